"""What to do next, and what changed between pass and fail: stored rows and answers handed to harness.diagnosis, in words."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from harness import diagnosis
from harness.diagnosis import CapabilityDiagnosis, CaseDiagnosis, Key, Kind
from harness.model import CapabilityComparison, Claim, Role, RunRecord, ScoreRow, Verdict
from harness.statistics.sampling import Rate
from reports.evidence import Limits
from reports.nouns import CaseLine, DiagnosisView, FlipView, State, Tone
from reports.source import ReportSource
from reports.text import label, percent, plural

_ROLES = (Role.TARGET, Role.PROTECTED, Role.ADVISORY)
KINDS = (Kind.ALWAYS, Kind.SOMETIMES, Kind.UNSTABLE, Kind.FORMAT, Kind.UNSCORED)


def cases(source: ReportSource, run: RunRecord, rows: Iterable[ScoreRow], limits: Limits) -> tuple[CaseDiagnosis, ...]:
    """The kind of every case of a run; the answers of at most limits.diagnosed failing ones are read for their form."""
    found = diagnosis.diagnose(rows, greedy=_greedy(source, run), flipping=_flipping(source, run))
    wanted = _spread(diagnosis.always_failing(found), limits.diagnosed)
    if not wanted:
        return found
    items = source.items(run.id, case_ids=sorted({case_id for _, case_id in wanted}))
    return diagnosis.with_format(found, diagnosis.format_only(items))


def views(
    source: ReportSource,
    run: RunRecord,
    found: Sequence[CaseDiagnosis],
    lines: Sequence[CaseLine],
    comparisons: Sequence[CapabilityComparison],
    limits: Limits,
    *,
    has_baseline: bool,
) -> tuple[DiagnosisView, ...]:
    """One row a capability: targets, then protected, then advisory ones, those with the most failing cases first."""
    failing = diagnosis.always_failing(found)
    unread = frozenset(failing) - frozenset(_spread(failing, limits.diagnosed))
    before = frozenset((line.capability, line.id) for line in lines if line.state is State.BROKEN) if has_baseline else None
    roles = {c.capability: c.role for c in comparisons}
    regressed = {c.capability for c in comparisons if Claim.REGRESSED in c.claims or Claim.HARMED in c.claims}
    told = diagnosis.summarise(found, greedy=_greedy(source, run), passing_before=before, regressed=regressed, unread=unread)
    rows = [_view(one, roles.get(one.capability, Role.ADVISORY)) for one in told]
    return tuple(sorted(rows, key=lambda row: (_ROLES.index(row.role), -row.failing, row.name)))


def flips(verdict: Verdict, found: Sequence[CaseDiagnosis], lines: Sequence[CaseLine]) -> tuple[FlipView, ...]:
    """Churn and negative flips of each compared capability."""
    both = {(line.capability, line.id) for line in lines if line.candidate is not None and line.baseline is not None}
    clusters: dict[str, dict[str, str | None]] = {}
    for case in found:
        if case.key in both:
            clusters.setdefault(case.capability, {})[case.case_id] = case.cluster
    views = []
    for c in verdict.comparisons:
        one = diagnosis.flips(c, clusters.get(c.capability, {}), stopped_early=verdict.gate.sequential)
        views.append(
            FlipView(
                name=label(c.capability),
                fixed=one.fixed,
                broken=one.broken,
                churn=one.churn.value,
                negative=one.negative.value,
                churn_shown=_rate(one.churn),
                negative_shown=_rate(one.negative),
                note=f"no interval: {label(one.churn.reason, 120)}" if one.churn.reason else "",
            )
        )
    return tuple(views)


def _settings(source: ReportSource, run: RunRecord) -> Mapping[str, Any]:
    stored = source.suite(run.suite_hash)
    content = json.loads(stored[1]) if stored else {}
    found = content.get("capabilities") if isinstance(content, dict) else None
    return found if isinstance(found, dict) else {}


def _greedy(source: ReportSource, run: RunRecord) -> frozenset[str]:
    """The capabilities that were asked at temperature 0. Runs of before this was stored per capability have the suite's."""
    sampling = run.provenance.get("sampling")
    usual = sampling.get("temperature", 0.0) if isinstance(sampling, Mapping) else 0.0
    settings = _settings(source, run)
    return frozenset(name for name, c in settings.items() if isinstance(c, dict) and not c.get("temperature", usual))


def _flipping(source: ReportSource, run: RunRecord) -> frozenset[Key]:
    """The cases that flipped in the suite's A/A comparison."""
    twice = source.noise(run.suite_name)
    if twice is None:
        return frozenset()
    return frozenset((c.capability, i) for c in twice.verdict.comparisons for i in (*c.fixed, *c.broken))


def _spread(keys: Sequence[Key], most: int) -> tuple[Key, ...]:
    """At most so many cases, capabilities in turn, so that none is looked at in vain of another."""
    if len(keys) <= most:
        return tuple(keys)
    queues: dict[str, Iterator[Key]] = {}
    for name in dict.fromkeys(capability for capability, _ in keys):
        queues[name] = iter([key for key in keys if key[0] == name])
    chosen: list[Key] = []
    while queues and len(chosen) < most:
        for name in list(queues):
            key = next(queues[name], None)
            if key is None:
                del queues[name]
            elif len(chosen) < most:
                chosen.append(key)
    return tuple(chosen)


def _view(one: CapabilityDiagnosis, role: Role) -> DiagnosisView:
    notes = []
    if one.lost and not one.sentence.count("baseline passes"):
        notes.append(f"the baseline passes {one.lost:,} of those that always fail")
    if one.unread:
        notes.append(f"of {plural(one.unread, 'failing case')} the form was not looked at")
    return DiagnosisView(
        name=label(one.capability),
        role=role,
        n=one.n,
        failing=one.failing,
        counts=tuple((kind.value, one.counts.get(kind, 0)) for kind in KINDS),
        k=max(one.samples, 1),
        pass_1=one.at_1.value if one.at_1 else None,
        pass_k=one.at_k.value if one.at_k else None,
        all_k=one.all_k.value if one.all_k else None,
        pass_1_shown=_rate(one.at_1),
        pass_k_shown=_rate(one.at_k),
        all_k_shown=_rate(one.all_k),
        kind=one.main.value,
        advice=label(one.sentence, 400),
        note="; ".join(notes),
        tone=Tone.GOOD if one.main is Kind.PASSES else Tone.NEUTRAL,
    )


def _rate(rate: Rate | None) -> str:
    """``12.5% [8.1, 18.0]``; without an interval where there is none."""
    if rate is None or rate.value is None:
        return percent(None)
    bounds = "" if rate.low is None or rate.high is None else f" [{100 * rate.low:.1f}, {100 * rate.high:.1f}]"
    return percent(rate.value) + bounds
