"""From single trials to one Judgment: means and spreads over samples, reasons where there is none, counts of what it cost."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from harness.model import Judgment, Response
from judges.asking import Trial, tokens
from judges.base import JudgeSpec
from judges.detect import addresses_judge

EXPLANATION = 2000  # characters of a judge's reasons that are kept


@dataclass(frozen=True, slots=True)
class Said:
    """One readable verdict. value in [0, 1]; raw on the judge's own scale; mode None: that of the form."""

    value: float
    raw: float
    choice: str
    reasons: str = ""
    outside: float | None = None
    mode: str | None = None
    met: tuple[bool, ...] = ()  # a checklist's items, in order


def passes(value: float, threshold: float) -> bool:
    """The one comparison of a value with a threshold; a mean of exact verdicts must not fail by rounding."""
    return value >= threshold - 1e-9


def of_trials(spec: JudgeSpec, digest: str, case_id: str, trials: Sequence[Trial], text: str) -> Judgment:
    """One judgment of several samples. More than half of them must be readable, else it is unscored with the commonest reason:
    what a judge leaves out is not missing by chance, so a mean of few readable samples would not be that of all. A sample that
    could not be asked leaves it errored: the next run asks for that one only, the others' replies are stored."""
    said = [trial.verdict for trial in trials if trial.verdict is not None]
    replies = [reply for trial in trials for reply in trial.replies]
    flags = list(flags_of(text))
    if 2 * len(said) <= len(trials) or any(trial.errored for trial in trials):
        return unread(spec, digest, case_id, trials, flags)
    values = tuple(one.value for one in said)
    value = statistics.fmean(values)
    outside = [one.outside for one in said if one.outside is not None]
    if len(said) < len(trials):
        flags.append("samples-missing")
    if outside and max(outside) > 0.5:
        flags.append("mass-outside-menu")
    modes = {one.mode or trial.mode for trial, one in zip([t for t in trials if t.verdict is not None], said, strict=True)}
    prompt, completion = tokens(replies)
    return Judgment(
        spec.name,
        digest,
        case_id,
        value,
        passes(value, spec.threshold),
        explanation=said[0].reasons[:EXPLANATION],
        choice=", ".join(one.choice for one in said)[:200],
        mode=modes.pop() if len(modes) == 1 else "mixed",
        raw=statistics.fmean(one.raw for one in said),
        outside=max(outside) if outside else None,
        values=values,
        spread=spread_of(values),
        attempts=sum(max(reply.attempts, 1) for reply in replies),
        prompt_tokens=prompt,
        completion_tokens=completion,
        keys=tuple(reply.key for reply in replies),
        flags=tuple(flags),
    )


def unread(spec: JudgeSpec, digest: str, case_id: str, trials: Sequence[Trial], flags: Sequence[str]) -> Judgment:
    """Unscored: errored where a trial could not be asked, else with the commonest reason, and what the first such trial read."""
    failed = [trial for trial in trials if trial.errored] or [trial for trial in trials if trial.verdict is None]
    reason, _ = Counter(trial.unscored or "judge-no-verdict" for trial in failed).most_common(1)[0]
    first = next(trial for trial in failed if trial.unscored == reason)
    replies = [reply for trial in trials for reply in trial.replies]
    prompt, completion = tokens(replies)
    return Judgment(
        spec.name,
        digest,
        case_id,
        None,
        None,
        unscored=reason,
        errored=first.errored,
        explanation=first.detail[:EXPLANATION],
        mode=first.mode,
        attempts=sum(max(reply.attempts, 1) for reply in replies),
        prompt_tokens=prompt,
        completion_tokens=completion,
        keys=tuple(reply.key for reply in replies),
        flags=tuple(flags),
    )


def without_asking(spec: JudgeSpec, digest: str, case_id: str, reason: str, explanation: str = "") -> Judgment:
    """Unscored before anything was asked."""
    return Judgment(spec.name, digest, case_id, None, None, unscored=reason, explanation=explanation)


def unusable(response: Response) -> str | None:
    """Why there is nothing to judge, or None."""
    return "no-response" if response.error is not None else None


def flags_of(*texts: str) -> tuple[str, ...]:
    """``addresses-the-judge`` with its reasons, ``addresses-the-judge:REASON``, where a judged text does."""
    reasons = dict.fromkeys(reason for text in texts for reason in addresses_judge(text))
    return ("addresses-the-judge", *(f"addresses-the-judge:{reason}" for reason in reasons)) if reasons else ()


def spread_of(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None
