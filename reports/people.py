"""What people said of a run's cases (harness review), beside the cases and in one sentence. It is foreign text like any other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from harness import standings
from harness.labels import Settled, current, is_skip, settle
from harness.model import Label, RunRecord, ScoreRow
from reports.nouns import CaseGroup, CaseLine, PeopleView, PersonView, StandingView
from reports.text import cut, label, percent, plural

MARKS = {"check-wrong": "the check is wrong", "judge-wrong": "the judge is wrong", "accept-change": "the change is accepted"}
_LINES = 12  # said of one case
_COMMENT = 500  # characters
_MARKED = 30  # cases named

Key = tuple[str, str]  # capability, case id


def view(
    labels: Sequence[Label],
    run: RunRecord,
    base: RunRecord | None,
    rows: Iterable[ScoreRow],
    lines: Sequence[CaseLine],
    names: Mapping[str, str],
) -> PeopleView | None:
    """None when nobody said anything.

    rows: the candidate's scores, to be held against people's; lines: the report's cases; names: run id -> its candidate.
    """
    counting = current(labels)
    if not counting:
        return None
    looked, cases = {_key(one) for one in counting if one.kind != "mark"}, len(lines)
    looked &= {(line.capability, line.id) for line in lines}
    matters = settle(labels)
    agree, both = _agreement(matters, run, rows)
    disputed = sum(matter.state == "disputed" for matter in matters)
    marked = [(one, mark) for one in counting if one.kind == "mark" and one.run_id == run.id for mark in one.marks]
    marks = Counter(mark for _, mark in marked)
    raters = len({one.rater for one in counting})
    standing, note = _standing(matters, names)
    return PeopleView(
        raters=raters,
        looked_at=len(looked),
        of=cases,
        agree=agree,
        both=both,
        disputed=disputed,
        sentence=_sentence(raters, len(looked), cases, agree, both, disputed),
        choices=_choices(matters, run, base),
        marks=tuple((mark, n, f"{plural(n, 'time')}: {MARKS.get(mark, label(mark))}") for mark, n in sorted(marks.items())),
        marked=tuple(
            (
                label(one.case_id),
                label(one.capability),
                MARKS.get(mark, label(mark)),
                label(one.rater, 60),
                label(one.comment, 200),
            )
            for one, mark in marked[:_MARKED]
        ),
        marked_left_out=max(0, len(marked) - _MARKED),
        standing=standing,
        standing_note=note,
    )


def _sentence(raters: int, looked: int, cases: int, agree: int, both: int, disputed: int) -> str:
    words = f"{plural(raters, 'person', 'people')} looked at {looked:,} of {plural(cases, 'case')}."
    if both:
        words += f" On {agree:,} of {plural(both, 'answer')} of the candidate they say what the score says."
    if disputed:
        words += f" They contradict each other on {plural(disputed, 'thing')}; nobody has decided yet."
    return words


def _agreement(matters: Iterable[Settled], run: RunRecord, rows: Iterable[ScoreRow]) -> tuple[int, int]:
    """(agreeing, all) of the candidate's answers on which both people and the score say pass or fail."""
    said = {}
    for matter in matters:
        one = matter.final
        if one is not None and one.kind == "rate" and one.passed is not None and run.id in ",".join(one.sides).split(","):
            said[one.capability, one.case_id, one.sample] = one.passed
    scored = {(r.capability, r.case_id, r.sample): r.passed for r in rows if r.passed is not None} if said else {}
    both = [passed == scored[key] for key, passed in said.items() if key in scored]
    return sum(both), len(both)


def _choices(matters: Iterable[Settled], run: RunRecord, base: RunRecord | None) -> str:
    """How often which answer was preferred, in this comparison; not weighted by how the cases were drawn."""
    chosen = [m.final for m in matters if m.final is not None and m.final.kind == "pair"]
    ours = (run.id, base.id if base else None)
    won = Counter(one.preference for one in chosen if (one.run_id, one.baseline_run_id) == ours)
    if not won:
        return ""
    n = won.total()
    return f"Of {plural(n, 'comparison')}, {won['candidate']:,} went to the candidate, {won['baseline']:,} to the baseline, " + (
        f"{won['tie']:,} to neither (of the cases looked at, which were not drawn evenly)."
    )


def _standing(matters: Sequence[Settled], names: Mapping[str, str]) -> tuple[tuple[StandingView, ...], str]:
    comparisons, _ = standings.of_labels([m for m in matters if m.thing[0] in ("pair", "rank")], names)
    if not comparisons:
        return (), ""
    found = standings.field_of(comparisons, {}).standings
    rows = []
    for one in found.strengths:
        beats = one.beats
        bounds = f" [{percent(beats.low)}, {percent(beats.high)}]" if beats.low is not None and beats.high is not None else ""
        places = f"{one.place_low}" if one.place_low == one.place_high else f"{one.place_low} to {one.place_high}"
        rows.append(StandingView(label(one.name), beats.value, percent(beats.value) + bounds, places))
    told = f"Bradley-Terry over {plural(found.n, 'comparison')} on {plural(found.n_clusters, 'case')}; a ranking counts as one."
    return tuple(rows), told if rows else f"Nobody can be ranked: {label(found.reason, 300)}."


def beside(groups: Sequence[CaseGroup], labels: Sequence[Label], run: RunRecord, base: RunRecord | None) -> tuple[CaseGroup, ...]:
    """The opened cases with what people said of each."""
    if not labels:
        return tuple(groups)
    by: dict[Key, list[Label]] = {}
    for one in current(labels):
        by.setdefault((label(one.capability), label(one.case_id)), []).append(one)
    names = {run.id: "candidate"} | ({base.id: "baseline"} if base else {})

    def told(group: CaseGroup) -> CaseGroup:
        cases = [
            replace(case, people=tuple(_person(x, names) for x in by.get((case.capability, case.id), [])[:_LINES]))
            for case in group.cases
        ]
        return replace(group, cases=tuple(cases))

    return tuple(told(group) for group in groups)


def _person(one: Label, names: Mapping[str, str]) -> PersonView:
    comment = cut(one.comment, _COMMENT) if one.comment else None
    return PersonView(label(one.rater, 60), _said(one, names), comment, one.adjudicates)


def _said(one: Label, names: Mapping[str, str]) -> str:
    if one.kind == "mark":
        return ", ".join(MARKS.get(mark, label(mark)) for mark in one.marks) or "a comment"
    if is_skip(one):
        return "cannot tell"
    if one.kind == "rate":
        who = " and ".join(dict.fromkeys(names.get(run_id, "another run") for run_id in ",".join(one.sides).split(",")))
        verdict = {True: "pass", False: "fail", None: ""}[one.passed]
        return " ".join(filter(None, [f"{who}:" if one.sides else "", verdict, f"{one.rating} of 5" if one.rating else ""]))
    if one.kind == "pair":
        return "a tie" if one.preference == "tie" else f"the {one.preference}'s is better"
    sides = dict(zip(one.responses, one.sides, strict=False))
    groups = [[_runs(sides.get(answer, ""), names) for answer in group] for group in one.ranking]
    return "ranked: " + " > ".join(" = ".join(group) for group in groups)


def _runs(sides: str, names: Mapping[str, str]) -> str:
    return "/".join(names.get(run_id) or label(run_id, 20) for run_id in sides.split(","))


def _key(one: Label) -> Key:
    return one.capability, one.case_id
