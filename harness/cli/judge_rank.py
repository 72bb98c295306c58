"""``harness judge rank``: who is better, from pairs and rankings, in lines of at most 80 columns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError
from harness.model import Estimate

if TYPE_CHECKING:
    from harness.model import RunRecord
    from harness.standings import Duel, Field
    from harness.store import Store

_NAME = 26  # columns


def of_files(labels: Path, judgments: Path | None, judge: str | None) -> tuple[str, Field]:
    """Who says so, and the standings: by people's labels, or by a judge's verdicts where a file of them is named."""
    from harness.labelfiles import judges_of, read_labels, read_rulings
    from harness.standings import field_of, of_cases

    people = read_labels(labels)
    if people.kind != "pairwise":
        raise UsageError("these are labels of single answers", where=str(labels), todo="Name a file of pairs or rankings")
    if judgments is None:
        return "people", field_of(*of_cases(people.cases))
    judges = judges_of([read_rulings(judgments, people.kind)])
    if (judge is None and len(judges) > 1) or (judge is not None and judge not in judges):
        raise UsageError("which judge is meant?", where=str(judgments), todo=f"Name one with --judge: {', '.join(judges)}")
    name = judge or next(iter(judges))
    return name, field_of(*of_cases(people.judged_by(judges[name]), by_judge=True))


def of_run(store: Store, reference: str) -> tuple[str, Field]:
    """By the choices and rankings of a run's reviews; every candidate is called as its run says."""
    from harness.labels import settle
    from harness.standings import field_of, of_labels
    from harness.store.labels import LabelStore

    run = store.run(reference)
    labels = [label for label in LabelStore(store).labels(run.id) if label.kind in ("pair", "rank")]
    if not labels:
        todo = f"Let people choose or rank answers: harness review {run.id}"
        raise UsageError(f"nobody has compared answers of run {run.id} with others", todo=todo)
    names = {other.id: other.candidate.name for other in store.runs(run.suite_name)}
    return "people", field_of(*of_labels(settle(labels), names))


def of_judge(store: Store, reference: str, judge: str) -> tuple[str, Field]:
    """By what a pairwise judge said of this run and of every other candidate's latest run of the same suite version."""
    from harness.standings import field_of, of_judgments

    run = store.run(reference)
    wanted = _digest(run, judge)
    if wanted is None:
        judges = (run.provenance.get("judging") or {}).get("judges", {})
        known = ", ".join(name for name, about in judges.items() if about.get("pairwise")) or "none"
        raise UsageError(f"run {run.id} has no pairwise judge {judge!r}", todo=f"Its pairwise judges: {known}")
    names = {other.id: other.candidate.name for other in store.runs(run.suite_name)}
    latest: dict[str, str] = {run.candidate.name: run.id}
    for other in store.runs(run.suite_name):  # the latest first
        if other.suite_hash == run.suite_hash and _digest(other, judge) == wanted:
            latest.setdefault(other.candidate.name, other.id)
    judgments = (given for run_id in latest.values() for given in store.judgments(run_id, judge))
    return judge, field_of(*of_judgments(judgments, names))


def _digest(run: RunRecord, judge: str) -> str | None:
    """Of a pairwise judge that this run had, None where it had none of that name."""
    about = (run.provenance.get("judging") or {}).get("judges", {}).get(judge)
    return str(about["digest"]) if about and about.get("pairwise") else None


def lines(who: str, field: Field) -> Iterator[str]:
    from harness.cli.layout import fit, wrap
    from reports.text import label, plural

    standings = field.standings
    yield f"ranked by {fit(who, 30).rstrip()}: {plural(standings.n, 'comparison')}, {standings.n_clusters:,} independent"
    if standings.strengths:
        yield f"  {'place':>7}  {'candidate':<{_NAME}} {'beats':>7}  {'95 % interval':<16} {'log-odds':>9}"
    for one in standings.strengths:
        place = f"{one.place_low}" if one.place_low == one.place_high else f"{one.place_low}-{one.place_high}"
        odds = "" if one.log_odds.value is None else f"{one.log_odds.value:+.2f}"
        yield f"  {place:>7}  {fit(one.name, _NAME)} {_shown(one.beats):<25} {odds:>9}"
    if standings.reason:
        yield from wrap(f"  no ranking: {label(standings.reason, 400)}", 80, indent="    ")
    if field.duels:
        yield f"  {'':<{_NAME + 9}} {'wins':>7}  {'95 % interval':<16} {'even length':>11}"
    for duel in field.duels:
        yield _duel(duel)
    if field.left_out:
        yield from wrap("  left out: " + ", ".join(f"{why} {n:,}" for why, n in field.left_out.items()), 80, indent="    ")
    yield "  beats: chance to win against the average candidate; a tie is half a win"


def _duel(duel: Duel) -> str:
    from harness.cli.layout import fit

    pair = f"{fit(duel.first, 16).rstrip()} over {fit(duel.second, 16).rstrip()}"
    even = duel.at_equal_length.value
    level = "-" if even is None else f"{100 * even:.1f} %"
    return f"  {fit(pair, _NAME + 9)} {_shown(duel.wins):<25} {level:>11}"


def _shown(share: Estimate) -> str:
    if share.value is None:
        return f"{'-':>7}"
    interval = "" if share.low is None or share.high is None else f"{100 * share.low:.1f} to {100 * share.high:.1f}"
    return f"{100 * share.value:>5.1f} %  {interval}"


def as_dict(who: str, field: Field) -> dict[str, Any]:
    from harness.store.rows import plain

    return {"by": who, **plain(field)}
