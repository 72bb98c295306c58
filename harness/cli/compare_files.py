"""Two score files -> verdict, printed and reported on like a stored run, without a store.

The first file is the candidate's, the second the baseline's, and everything printed says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
from numpy.typing import NDArray

from harness.cli import verdicts
from harness.cli.options import today
from harness.columns import STATUSES, CaseTable, ScoreColumns
from harness.model import Candidate, Case, Item, ItemStatus, Ledger, Outcome, RunRecord, Score, ScoreRow, Verdict
from harness.scorefiles import ONLY, ScoreFiles, read_scores

if TYPE_CHECKING:
    from harness.suite.gatefile import GateRules
    from reports.nouns import ReportView
    from reports.source import CapabilityMean, Given

EXIT = {Outcome.SHIP: 0, Outcome.OPTIMIZE: 1, Outcome.INCONCLUSIVE: 2}
CANDIDATE, BASELINE = "candidate", "baseline"


def compare(candidate: Path, baseline: Path, gate: Path | None, *, as_json: bool, files: Mapping[str, Path]) -> int:
    """Judge, print, write the reports asked for, and return the exit code. Errors name the file and the line."""
    with ThreadPoolExecutor(1) as pool:  # the files are parsed while Python imports the rest
        reading = pool.submit(read_scores, candidate, baseline)
        import harness.decision  # noqa: F401 - scipy above all
        from harness.suite.gatefile import read_gate

        rules = read_gate(gate)
        scores = reading.result().called(rules.only or ONLY)
    verdict = judge(scores, rules)
    code = 4 if verdict.infrastructure else EXIT[verdict.outcome]
    names = {CANDIDATE: str(candidate), BASELINE: str(baseline)}
    source = FileSource(scores, verdict, names, str(gate) if gate else "the default gate")
    if files:
        from harness.cli import outputs

        outputs.write(_view(source), files)
    if as_json:
        sides = [
            verdicts.Side(name=Path(names[who]).stem, file=names[who], ledger=source.ledger(who), left_out=left)
            for who, left in zip(names, scores.left_out, strict=True)
        ]
        click.echo(verdicts.as_json(verdict, sides[0], sides[1], code))
    else:
        _show(source, files)
    return code


def judge(scores: ScoreFiles, rules: GateRules) -> Verdict:
    """The same steps as for stored runs: compare, gather facts, decide."""
    from harness.comparison import column_facts, compare_columns
    from harness.decision import decide

    policies = rules.rules_for(scores.cases.capabilities)
    comparisons = compare_columns(scores.cases, scores.candidate, scores.baseline, policies, rules.gate)
    with_floor = [floor.capability for floor in rules.gate.floors]
    facts = column_facts(scores.cases, scores.candidate, scores.baseline, only=with_floor)
    return decide(comparisons, rules.gate, facts, today=today())


def _show(source: FileSource, files: Mapping[str, Path]) -> None:
    from reports.terminal import show

    names, left = source.names, source.scores.left_out
    click.echo(f"candidate {names[CANDIDATE]}, baseline {names[BASELINE]}, gate: {source.gate}")
    for who, rows in zip(names, left, strict=True):
        if rows:
            click.echo(f"{rows:,} rows of the {who}'s file are of the dev split and decide nothing")
    compared = source.verdicts.comparisons
    fixed, broken = sum(len(c.fixed) for c in compared), sum(len(c.broken) for c in compared)
    paired = sum(c.n_paired for c in compared)
    click.echo(f"flips: {fixed:,} fixed (fail to pass), {broken:,} broken (pass to fail) of {paired:,} paired cases")
    show(_view(replace(source, brief=True)), path=str(files.get("html", "")))


def _view(source: FileSource) -> ReportView:
    from reports.view import build

    view = build(source, CANDIDATE, BASELINE)
    steps = tuple(step for step in view.next_steps if "`harness " not in step)  # there is no run to promote
    if view.outcome is Outcome.SHIP:
        steps = ("Ship it.",)
    return replace(view, next_steps=steps or ("Read the reasons above, most blocking first.",), opened_note="")


# -- what reports need of a store ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Decided:
    verdict: Verdict
    baseline_run_id: str | None = BASELINE


@dataclass(frozen=True, slots=True)
class _NoTimings:
    """Score files know nothing of serving."""

    n: int = 0
    n_cached: int = 0
    ttft_p50_s: float | None = None
    ttft_p95_s: float | None = None
    total_p50_s: float | None = None
    total_p95_s: float | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True)
class FileSource:
    """A reports.source.ReportSource over two score files. brief: without the single cases, which the terminal does not show."""

    scores: ScoreFiles
    verdicts: Verdict
    names: Mapping[str, str]
    gate: str
    brief: bool = False

    def run(self, reference: str, /) -> RunRecord:
        return RunRecord(
            id=reference,
            suite_name=self.gate,
            suite_hash="",
            candidate=Candidate(self.names[reference], model="", digest="", kind="file"),
            status="complete",
        )

    def verdict(self, run_id: str, baseline_run_id: str | None = None, /) -> _Decided:
        return _Decided(self.verdicts)

    def ledger(self, run_id: str, /) -> Ledger:
        return self._columns(run_id).ledger()

    def latencies(self, run_id: str, /) -> _NoTimings:
        return _NoTimings()

    def noise(self, suite: str, /) -> None:
        return None

    def suite(self, suite_hash: str, /) -> None:
        return None

    def runs(self, suite: str, /) -> Sequence[RunRecord]:
        return ()  # two files are no history

    def capability_means(self, run_ids: Sequence[str], /) -> Sequence[CapabilityMean]:
        return ()

    def judgments(self, run_id: str, /) -> Iterator[Given]:
        return iter(())  # a score file does not say who scored

    def score_rows(self, run_id: str, /) -> Iterator[ScoreRow]:
        if not self.brief:
            columns = self._columns(run_id)
            yield from _rows(self.scores.cases, columns, np.arange(len(columns.case)))

    def items(self, run_id: str, *, case_ids: Sequence[str] | None = None) -> Iterator[Item]:
        wanted = None if case_ids is None else set(case_ids)
        for row in self.score_rows(run_id):
            if wanted is None or row.case_id in wanted:
                case = Case(row.case_id, row.capability, {}, cluster=row.cluster)
                yield Item(case, row.sample, row.status, row.reason, score=Score(row.value, row.passed, row.reason))

    def _columns(self, run_id: str) -> ScoreColumns:
        return self.scores.candidate if run_id == CANDIDATE else self.scores.baseline


def _rows(cases: CaseTable, columns: ScoreColumns, at: NDArray[np.int64]) -> Iterator[ScoreRow]:
    """The rows at these positions as nouns, for people to look at. A pass is what the comparison takes for one."""
    case = columns.case[at]
    clusters = columns.cluster[at]
    labels = iter(cases.clusters.take(clusters[clusters >= 0]))
    for row, number, case_id, cluster in zip(at.tolist(), case.tolist(), cases.ids.take(case), clusters.tolist(), strict=True):
        status, value = STATUSES[columns.status[row]], float(columns.value[row])
        scored = status is ItemStatus.SCORED
        said = columns.passed[row]
        reason = int(columns.reason[row])
        yield ScoreRow(
            case_id,
            cases.capabilities[cases.capability[number]],
            int(columns.sample[row]),
            status,
            value if scored else None,
            passed=None if not scored else bool(said) if not np.isnan(said) else value >= 0.5,
            reason=None if scored else columns.reasons[reason] if reason >= 0 else "unknown",
            cluster=next(labels) if cluster >= 0 else None,
        )
