"""What people said of the answers to a case -> which answer they prefer to which. Dev cases only; disputes teach nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from harness.curation.nouns import Answer
from harness.labels import settle, trainable
from harness.model import Label

Preference = tuple[Answer, Answer, str]


def preferences(labels: Iterable[Label], answers: Mapping[str, Answer], run_id: str) -> list[Preference]:
    """(better, worse, who), the most telling first: rankings, then choices between the two runs, then ratings of single answers.

    answers: response id -> the answer, all of one case. run_id: the candidate's; its answers are what pairs are made of, so the
    worse one is its own where a ranking leaves a choice.
    """
    ranked: list[Preference] = []
    chosen: list[Preference] = []
    rated: dict[str, tuple[float, str]] = {}
    for matter in settle(trainable(labels)):
        label = matter.final
        if label is None:
            continue
        who = ", ".join(dict.fromkeys(one.rater for one in matter.labels))
        if label.kind == "rank":
            groups = [[answers[answer] for answer in group if answer in answers] for group in label.ranking]
            groups = [group for group in groups if group]
            if len(groups) > 1:
                worse = next((answer for answer in groups[-1] if answer.run_id == run_id), groups[-1][0])
                ranked.append((groups[0][0], worse, who))
        elif label.kind == "pair" and label.preference in ("candidate", "baseline"):
            sides = {
                side: answers[answer] for answer, side in zip(label.responses, label.sides, strict=False) if answer in answers
            }
            mine = next((answer for side, answer in sides.items() if label.run_id in side.split(",")), None)
            other = next((answer for side, answer in sides.items() if (label.baseline_run_id or "") in side.split(",")), None)
            if mine and other and mine is not other:
                chosen.append((mine, other, who) if label.preference == "candidate" else (other, mine, who))
        elif label.kind == "rate" and label.responses and label.responses[0] in answers:
            value = label.rating / 5 if label.rating is not None else float(bool(label.passed))
            rated[label.responses[0]] = (value, who)
    return [pair for pair in (*ranked, *chosen, *_rated(rated, answers)) if pair[0].words != pair[1].words]


def _rated(rated: Mapping[str, tuple[float, str]], answers: Mapping[str, Answer]) -> list[Preference]:
    """The best rated answer over the worst, where two ratings are at least two steps of five apart."""
    if len(rated) < 2:
        return []
    best, worst = max(rated, key=lambda i: rated[i][0]), min(rated, key=lambda i: rated[i][0])
    if rated[best][0] - rated[worst][0] < 0.4:
        return []
    return [(answers[best], answers[worst], rated[best][1])]
