"""A store in memory for report tests, and a small recognisable comparison: one target up, one protected capability down."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from harness.model import (
    Candidate,
    CapabilityComparison,
    Case,
    CheckResult,
    Claim,
    Gate,
    Item,
    ItemStatus,
    Ledger,
    Message,
    Outcome,
    PairedComparison,
    Reason,
    Response,
    Role,
    RunRecord,
    Score,
    ScoreRow,
    Seesaw,
    SliceComparison,
    Verdict,
)
from harness.store import StoredJudgment

T0 = 1_790_000_000.0


@dataclass(frozen=True)
class Decided:
    verdict: Verdict
    baseline_run_id: str | None


@dataclass(frozen=True)
class Timings:
    n: int = 0
    n_cached: int = 0
    ttft_p50_s: float | None = None
    ttft_p95_s: float | None = None
    total_p50_s: float | None = None
    total_p95_s: float | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True)
class Mean:
    run_id: str
    capability: str
    mean: float | None
    cases: str = "c"
    first_seen: float = T0


@dataclass
class FakeSource:
    """Implements reports.source.ReportSource over lists."""

    records: dict[str, RunRecord] = field(default_factory=dict)
    stored: dict[str, list[Item]] = field(default_factory=dict)
    verdicts: dict[str, Decided] = field(default_factory=dict)
    figures: dict[str, Timings] = field(default_factory=dict)
    twice: Decided | None = None
    suites: dict[str, tuple[str, str]] = field(default_factory=dict)
    means: list[Mean] = field(default_factory=list)
    said: dict[str, list[StoredJudgment]] = field(default_factory=dict)

    def suite(self, suite_hash: str, /) -> tuple[str, str] | None:
        return self.suites.get(suite_hash)

    def judgments(self, run_id: str, /) -> Iterator[StoredJudgment]:
        return iter(self.said.get(run_id, []))

    def capability_means(self, run_ids: Sequence[str], /) -> list[Mean]:
        return [mean for mean in self.means if mean.run_id in run_ids]

    def run(self, run_id: str, /) -> RunRecord:
        return self.records[run_id]

    def runs(self, suite: str, /) -> list[RunRecord]:
        return [record for record in self.records.values() if record.suite_name == suite]

    def verdict(self, run_id: str, baseline_run_id: str | None = None, /) -> Decided | None:
        found = self.verdicts.get(run_id)
        return None if found and baseline_run_id and found.baseline_run_id != baseline_run_id else found

    def items(self, run_id: str, *, case_ids: Sequence[str] | None = None) -> Iterator[Item]:
        wanted = None if case_ids is None else set(case_ids)
        return (item for item in self.stored[run_id] if wanted is None or item.case.id in wanted)

    def score_rows(self, run_id: str) -> Iterator[ScoreRow]:
        for item in self.stored[run_id]:
            score = item.score
            yield ScoreRow(
                item.case.id,
                item.case.capability,
                item.sample,
                item.status,
                score.value if score and item.status is ItemStatus.SCORED else None,
                score.passed if score else None,
                item.reason,
                item.case.cluster,
                item.case.split,
                item.case.must_pass,
            )

    def ledger(self, run_id: str) -> Ledger:
        return Ledger.of(self.score_rows(run_id))

    def latencies(self, run_id: str, /) -> Timings:
        return self.figures.get(run_id, Timings())

    def noise(self, suite: str, /) -> Decided | None:
        return self.twice


def record(run_id: str, name: str, *, status: str = "complete", suite: str = "quickstart", **provenance: object) -> RunRecord:
    candidate = Candidate(name, name, f"{run_id}{'0' * 52}", base="suites/pocket/base", adapter=f"suites/pocket/{name}")
    return RunRecord(
        run_id, suite, "a" * 64, candidate, status, {"limit": None, "samples": 1}, T0, T0 + 83.4, provenance=provenance
    )


def item(
    case_id: str,
    capability: str,
    question: str,
    answer: str,
    passed: bool | None,
    *,
    reference: object = None,
    sample: int = 0,
    status: ItemStatus = ItemStatus.SCORED,
    reason: str | None = None,
    error: str | None = None,
    value: float | None = None,
    why: str = "",
    must_pass: bool = False,
) -> Item:
    case = Case(case_id, capability, {"input": question}, reference, must_pass=must_pass, source="cases.jsonl:7")
    messages = (Message("system", "You answer shortly."), Message("user", question))
    response = Response(
        f"key{case_id}{sample}", answer, None, "stop", 40, 12, 0.021, 0.310, error=reason if error else None, error_message=error
    )
    number = value if value is not None else (float(passed) if passed is not None else None)
    scored = status is ItemStatus.SCORED
    score = Score(
        number if scored else None,
        passed if scored else None,
        None if scored else reason,
        why,
        (CheckResult("equals", 1, number if scored else None, passed if scored else None, why, None if scored else reason),),
    )
    return Item(case, sample, status, reason, messages, response, None if error else score)


def paired(delta: float, half: float, n: int, margin: float = 0.05) -> PairedComparison:
    return PairedComparison(delta, delta - half, delta + half, n, n, "tango", margin, 0.05, 0.5, 0.01, 0.5, 0.9)


def compared(
    name: str, role: Role, base: float, delta: float, half: float, claims: Sequence[Claim], *, n: int = 40, **more: object
) -> CapabilityComparison:
    start = CapabilityComparison(
        name, role, 0.05, base + delta, base, paired(delta, half, n), None, tuple(claims), n_planned=n, n_paired=n
    )
    return replace(start, **more)  # type: ignore[arg-type]


def seesaw() -> FakeSource:
    """Orders to JSON went up, dates went down, Chinese stands, rewriting is undecided; one time-out, one truncation."""
    ours: list[Item] = []
    theirs: list[Item] = []

    def pair(i: int, cap: str, q: str, before: tuple[str, bool], now: tuple[str, bool], ref: object = None) -> str:
        case_id = f"{i:016x}"
        theirs.append(item(case_id, cap, q, before[0], before[1], reference=ref, why="as expected" if before[1] else "differs"))
        ours.append(
            item(case_id, cap, q, now[0], now[1], reference=ref, why="as expected" if now[1] else "differs from the reference")
        )
        return case_id

    broken = [
        pair(
            i,
            "date normalisation",
            f"ISO date of March {i}, 2024",
            (f"2024-03-{i:02d}", True),
            (f"2024-{i:02d}-03", False),
            f"2024-03-{i:02d}",
        )
        for i in range(1, 9)
    ]
    fixed = []
    for i in range(1, 15):
        good = f'{{"item": "green tea", "quantity": {i}, "express": true}}'
        reference = {"item": "green tea", "quantity": i, "express": True}
        question = f"Order: {i} boxes of green tea for Ms Lee, express"
        fixed.append(
            pair(100 + i, "order to JSON", question, (f'{{"item": "tea", "qty": "{i}"}}', False), (good, True), reference)
        )
    chinese = pair(
        300,
        "中文改写",
        "请把这句话改得更礼貌：快点回复我。",
        ("麻烦您尽快回复我，谢谢。", True),
        ("请您尽快地回复我。", False),
        "麻烦您尽快回复我，谢谢。",
    )
    for i in range(400, 420):
        pair(
            i,
            "polite rewriting",
            "Rewrite politely: send it now",
            ("Could you please send it now?", True),
            ("Could you please send it?", True),
        )
    pair(430, "polite rewriting", "Rewrite politely: no", ("no", False), ("nope", False), "I am afraid not.")
    ours.append(
        item(
            "0" * 13 + "501",
            "order to JSON",
            "Order: …",
            "",
            None,
            status=ItemStatus.ERRORED,
            reason="timeout",
            error="no answer in 60 s",
        )
    )
    theirs.append(item("0" * 13 + "501", "order to JSON", "Order: …", "{}", False))
    ours.append(item("0" * 13 + "502", "中文改写", "改写", "好好好好好好", None, status=ItemStatus.UNSCORED, reason="truncated"))
    theirs.append(item("0" * 13 + "502", "中文改写", "改写", "好的", True))
    up, down = [Claim.IMPROVED, Claim.NOT_WORSE], [Claim.REGRESSED, Claim.HARMED]
    worst, why = paired(0.60, 0.14, 41), "the interval still reaches below the margin"
    comparisons = (
        compared("order to JSON", Role.TARGET, 0.10, 0.62, 0.13, up, fixed=tuple(fixed), missing_candidate=1, worst=worst),
        compared("date normalisation", Role.PROTECTED, 0.95, -0.31, 0.12, down, broken=tuple(broken)),
        compared("中文改写", Role.PROTECTED, 0.80, -0.012, 0.03, [Claim.NOT_WORSE], broken=(chinese,), missing_candidate=1),
        compared("polite rewriting", Role.ADVISORY, 0.90, -0.02, 0.09, [Claim.UNDECIDED], n_needed=310, n=21, reason=why),
    )
    verdict = Verdict(
        Outcome.OPTIMIZE,
        (
            Reason("target-met", "order to JSON improved by 62.0 points.", "order to JSON"),
            Reason(
                "undecided",
                "polite rewriting is undecided: 21 cases, about 310 would decide.",
                "polite rewriting",
                Outcome.INCONCLUSIVE,
            ),
            Reason(
                "harmed",
                "date normalisation (protected) is worse by more than its margin of 5.0 points: −31.0 [−43.0, −19.0].",
                "date normalisation",
                Outcome.OPTIMIZE,
            ),
        ),
        seesaws=(Seesaw(("order to JSON",), ("date normalisation",), 0.10),),
        comparisons=comparisons,
        gate=Gate(),
    )
    facts = {
        "command": ["harness", "run", "suites/quickstart/suite.yaml"],
        "versions": {"harness": "0.1.0", "vllm": "0.32.0", "python": "3.11.9"},
        "seed": 7,
        "api_key": "sk-never-print-me",
        "server": {"kv_cache_usage_perc": 0.12, "prefix_cache_hits_total": 220},
    }
    return FakeSource(
        {
            "cand00000001": record("cand00000001", "sft-orders", **facts),
            "base00000001": record("base00000001", "pocket-base", **facts),
        },
        {"cand00000001": ours, "base00000001": theirs},
        {"cand00000001": Decided(verdict, "base00000001")},
        {
            "cand00000001": Timings(45, 0, 0.02, 0.055, 0.31, 0.82, 1840, 552),
            "base00000001": Timings(46, 46, None, None, 0.29, 0.80, 1840, 500),
        },
    )


def poisoned(text: str) -> FakeSource:
    """The same comparison with ``text`` in every place that a stranger can write to."""
    source = seesaw()
    names = {c.capability: f"{c.capability} {text}" for c in source.verdicts["cand00000001"].verdict.comparisons}

    def dirty(old: Item) -> Item:
        case = replace(old.case, capability=names[old.case.capability], reference={text: text}, source=text, cluster=text)
        response = (
            replace(old.response, text=old.response.text + text, finish_reason=text, thinking=text) if old.response else None
        )
        if response and response.error_message:
            response = replace(response, error_message=text, error=text)
        score = old.score
        if score:
            checks = tuple(replace(c, check=text, explanation=text) for c in score.components)
            score = replace(score, components=checks, explanation=text + " why")
        messages = tuple(Message(text, text) for _ in old.messages)
        return replace(old, case=case, response=response, score=score, messages=messages, reason=text if old.reason else None)

    source.stored = {run_id: [dirty(one) for one in items] for run_id, items in source.stored.items()}
    for run_id, run in source.records.items():
        named = replace(run.candidate, name=text, model=text, base=text, adapter=text, base_url="http://user:pw@h/" + text)
        facts = {"command": text, text: text, "server": {text: text}}
        source.records[run_id] = replace(run, suite_name=text, candidate=named, plan={text: text}, status=text, provenance=facts)
    verdict = source.verdicts["cand00000001"].verdict
    verdict = replace(
        verdict,
        reasons=tuple(replace(r, text=text, code=text, capability=text) for r in verdict.reasons),
        comparisons=tuple(replace(c, capability=names[c.capability], reason=text) for c in verdict.comparisons),
        seesaws=tuple(
            Seesaw(tuple(names[n] for n in s.gains), tuple(names[n] for n in s.losses), s.fdr) for s in verdict.seesaws
        ),
    )
    source.verdicts["cand00000001"] = Decided(verdict, "base00000001")
    return source


def large(n_cases: int, n_capabilities: int, answer: str) -> FakeSource:
    """Many capabilities in which every second case broke and every fourth was fixed, with long answers."""
    ours: list[Item] = []
    theirs: list[Item] = []
    comparisons = []
    per = n_cases // n_capabilities
    for k in range(n_capabilities):
        name = f"capability {k:02d}"
        broken, fixed = [], []
        for i in range(per):
            case_id = f"{k * per + i:016x}"
            before, now = i % 2 == 0, i % 4 == 1
            theirs.append(item(case_id, name, answer, f"{answer} {i}", before, reference=answer, why=answer))
            ours.append(item(case_id, name, answer, f"{i} {answer}", now, reference=answer, why=answer))
            if before:
                broken.append(case_id)
            elif now:
                fixed.append(case_id)
        role = (Role.PROTECTED, Role.TARGET, Role.ADVISORY)[k % 3]
        claims = [Claim.HARMED]
        comparisons.append(
            compared(name, role, 0.5, -0.25 + k / 100, 0.05, claims, n=per, broken=tuple(broken), fixed=tuple(fixed))
        )
    verdict = Verdict(Outcome.OPTIMIZE, (Reason("harmed", "all of it", None, Outcome.OPTIMIZE),), comparisons=tuple(comparisons))
    return FakeSource(
        {"cand00000001": record("cand00000001", "worse"), "base00000001": record("base00000001", "base")},
        {"cand00000001": ours, "base00000001": theirs},
        {"cand00000001": Decided(verdict, "base00000001")},
    )


def rich(text: str = "") -> FakeSource:
    """The seesaw with all of what to do next: three samples a case, every kind of failure, slices and eight checkpoints.

    text: put into every capability's name, field and value, as a stranger would.
    """
    source = seesaw()
    caps = [f"orders {text}", f"dates {text}"]
    answers = {  # case -> (reference, the three answers)
        "passes": ("Tea", ("Tea", "Tea", "Tea")),
        "always": ("Tea", ("Milk", "Milk", "Juice")),
        "sometimes": ("Tea", ("Milk", "Tea", "Milk")),
        "format": ("Tea", ("tea.", "It is tea", '{"drink": "Tea"}')),
    }
    ours, theirs = [], []
    for k, cap in enumerate(caps):
        for j, (kind, (reference, texts)) in enumerate(answers.items()):
            for i in range(6):
                case_id = f"{1000 * k + 10 * j + i:016x}"
                for sample, answer in enumerate(texts):
                    ok = answer == reference
                    ours.append(item(case_id, cap, f"{kind} {i}", answer, ok, reference=reference, sample=sample))
                    theirs.append(item(case_id, cap, f"{kind} {i}", reference, True, reference=reference, sample=sample))
        lost = item(f"{1000 * k + 99:016x}", cap, "gone", "", None, status=ItemStatus.UNSCORED, reason="truncated")
        ours.append(lost)
        theirs.append(lost)
    source.stored = {"cand00000001": ours, "base00000001": theirs}
    field_name = f"lang {text}"
    slices = tuple(
        SliceComparison(caps[0], field_name, f"{value} {text}", 40, 40, 0.5 + d, 0.5, paired(d, 0.1, 40))
        for value, d in (("en", 0.3), ("zh", -0.3))
    )
    few = SliceComparison(caps[1], field_name, f"fr {text}", 4, 4, 0.5, 0.25, None, 3, "4 paired cases")
    old = source.verdicts["cand00000001"].verdict
    broken = tuple(
        i.case.id for i in ours if i.sample == 0 and i.case.capability == caps[1] and i.score and i.score.passed is False
    )
    comparisons = (
        compared(caps[0], Role.TARGET, 0.5, 0.2, 0.1, [Claim.IMPROVED], n=24),
        compared(caps[1], Role.PROTECTED, 0.5, -0.2, 0.1, [Claim.HARMED], n=24, broken=broken),
    )
    seen = Seesaw((slices[0].name,), (slices[1].name, caps[1]), 0.10)
    verdict = replace(old, comparisons=comparisons, slices=(*slices, few), seesaws=(seen,))
    source.verdicts["cand00000001"] = Decided(verdict, "base00000001")
    content = {"capabilities": {cap: {"temperature": 0.7} for cap in caps}}
    source.suites["a" * 64] = ("", json.dumps(content))
    ups = (0.5, 0.6, 0.45, 0.7, 0.42, 0.75, 0.41)
    for i, up in enumerate(ups):
        run_id = f"past{i:08d}"
        source.records[run_id] = replace(record(run_id, f"step-{i} {text}"), started_at=T0 - 1000.0 * (len(ups) - i))
        came = T0 - 1000.0 * (len(ups) - i)
        source.means += [Mean(run_id, caps[0], up, first_seen=came), Mean(run_id, caps[1], 1 - up, first_seen=came)]
    for run_id, up in (("cand00000001", 0.8), ("base00000001", 0.5)):
        source.means += [Mean(run_id, caps[0], up), Mean(run_id, caps[1], 1 - up)]
    return source
