"""What a report is made of, frozen: everything already numeric or already put into words, so that a renderer computes nothing.

Fields ending in ``_shown`` are for people, those without are exact. Every string has been through ``reports.text`` (no control
characters, bounded length) and is still unescaped: each renderer escapes for its own format.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from harness.model import Outcome, Role


class Tone(StrEnum):
    """What a figure says of the candidate; drawn by colour, by shape and by word, never by colour alone."""

    GOOD = "good"
    BAD = "bad"
    NEUTRAL = "neutral"
    UNSURE = "unsure"


class State(StrEnum):
    """What came of one case, in both runs where there are two."""

    BROKEN = "broken"  # passed at the baseline, fails now
    FIXED = "fixed"  # failed at the baseline, passes now
    BOTH_FAIL = "fails in both"
    FAILED = "failed"  # fails, and there is no baseline score to compare with
    PASSED = "passed"
    SCORED = "scored"  # a score without a pass mark
    UNSCORED = "unscored"
    ERRORED = "errored"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Text:
    """A text as far as it is shown; ``left_out`` counts the characters that are not."""

    text: str
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a response: ``same`` in both, or only here (``del`` at the baseline, ``ins`` at the candidate)."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class MessageView:
    role: str
    content: Text


@dataclass(frozen=True, slots=True)
class CheckView:
    """What one check said. result: pass | fail | scored | unscored."""

    name: str
    version: int
    value: float | None
    value_shown: str
    result: str
    why: Text
    weight: float


@dataclass(frozen=True, slots=True)
class ResponseView:
    """One answer of one run with everything that was said about it. left_out: characters of the answer not shown."""

    who: str  # baseline | candidate
    result: str  # pass | fail | scored | unscored | errored | skipped
    summary: str  # score, or the reason there is none
    segments: tuple[Segment, ...] = ()
    left_out: int = 0
    thinking: Text | None = None
    facts: tuple[str, ...] = ()  # finish reason, tokens, time
    explanation: Text | None = None
    checks: tuple[CheckView, ...] = ()

    @property
    def text(self) -> str:
        return "".join(segment.text for segment in self.segments)


@dataclass(frozen=True, slots=True)
class PersonView:
    """What one person said of a case, in words. decides: it settles a disagreement."""

    rater: str
    said: str
    comment: Text | None
    decides: bool


@dataclass(frozen=True, slots=True)
class CaseView:
    """One case opened to the bottom. baseline_messages only when the baseline was asked in other words."""

    id: str
    capability: str
    state: State
    must_pass: bool
    source: str
    cluster: str
    preview: str  # the last thing asked, on one line
    samples_shown: str  # "" when there is one sample
    messages: tuple[MessageView, ...]
    baseline_messages: tuple[MessageView, ...]
    reference: Text | None
    baseline: ResponseView | None
    candidate: ResponseView | None
    diff_note: str = ""
    people: tuple[PersonView, ...] = ()


@dataclass(frozen=True, slots=True)
class CaseGroup:
    """The opened cases of one capability. totals: how many there are of each state; left_out: those not opened here."""

    capability: str
    role: Role
    totals: tuple[tuple[State, int], ...]
    cases: tuple[CaseView, ...]
    left_out: int


@dataclass(frozen=True, slots=True)
class CaseLine:
    """The light form: one line for every case of the run."""

    id: str
    capability: str
    state: State
    must_pass: bool
    candidate: float | None
    baseline: float | None
    why: str = ""  # reasons of unscored, errored, skipped


@dataclass(frozen=True, slots=True)
class CapabilityView:
    """One row of the capability table. Scores in [0, 1]; delta is candidate minus baseline. Defaults: not compared."""

    name: str
    short: str  # fits a chart's margin
    role: Role = Role.ADVISORY
    margin: float | None = None
    baseline: float | None = None
    candidate: float | None = None
    delta: float | None = None
    low: float | None = None
    high: float | None = None
    alpha: float | None = None
    method: str = ""
    p: Mapping[str, float] = field(default_factory=dict)  # claim -> one-sided p-value
    n_planned: int = 0
    n_paired: int = 0
    n_clusters: int = 0
    missing_candidate: int = 0
    missing_baseline: int = 0
    worst_delta: float | None = None
    worst_low: float | None = None
    worst_high: float | None = None
    claims: tuple[str, ...] = ()
    tone: Tone = Tone.NEUTRAL
    mark: str = ""
    n_broken: int = 0
    n_fixed: int = 0
    must_pass_failed: tuple[str, ...] = ()
    n_needed: int | None = None
    reason: str = ""
    baseline_shown: str = ""
    candidate_shown: str = ""
    delta_shown: str = ""
    interval_shown: str = ""
    margin_shown: str = ""
    n_shown: str = ""
    missing_shown: str = ""
    claims_shown: str = ""
    note: str = ""  # undecided: why, and what would decide it; missing scores: how far they could move it


@dataclass(frozen=True, slots=True)
class ReasonView:
    code: str
    text: str
    capability: str
    blocks: str  # OPTIMIZE | INCONCLUSIVE | ""
    tone: Tone


@dataclass(frozen=True, slots=True)
class SeesawView:
    """sentence names the seesaw, or says that none is shown. shown_*: names that hold at the false discovery rate."""

    shown: bool
    sentence: str
    shown_up: tuple[str, ...]
    shown_down: tuple[str, ...]
    rows: tuple[CapabilityView, ...]  # sorted, largest gain first


@dataclass(frozen=True, slots=True)
class EvidenceView:
    """A sequential run's evidence on one capability. above, below: (cases, log10 of the e-value) for the candidate, against it.

    limit: what decides, log10(1 / alpha). n: cases compared. decided_at: how many of them it took, None: undecided.
    """

    name: str
    role: Role
    n: int
    n_planned: int
    decided_at: int | None
    limit: float
    above: tuple[tuple[int, float], ...]
    below: tuple[tuple[int, float], ...]
    tone: Tone
    sentence: str


@dataclass(frozen=True, slots=True)
class WaiverView:
    """A waiver and what became of it. line: all of it in one sentence. capability, case: which of the two it names, else ""."""

    state: str  # used | unused | expired
    capability: str
    case: str
    owner: str
    reason: str
    expires: str
    waived: str  # what it kept from blocking; "" unless used
    line: str

    @property
    def skipped(self) -> str:
        """``waived by Ann until 2026-12-31: known``; what a test that it lets pass says."""
        return f"waived by {self.owner} until {self.expires}: {self.reason}"


@dataclass(frozen=True, slots=True)
class PowerView:
    """What one capability's cases could have shown. shows: smallest true loss or gain with 80 % power; needed: cases its margin
    takes; None: nothing was measured, or no affordable number."""

    name: str
    n: int
    shows: float | None
    margin: float
    needed: int | None
    n_shown: str
    shows_shown: str
    margin_shown: str
    needed_shown: str
    tone: Tone
    sentence: str
    undecided: bool


@dataclass(frozen=True, slots=True)
class DiagnosisView:
    """Why one capability's cases fail, and what to do next. counts: kind -> cases, in a fixed order. k: samples per case, 1: then
    no pass@k is told. sentence: with the capability's name; advice: without it."""

    name: str
    role: Role
    n: int
    failing: int
    counts: tuple[tuple[str, int], ...]
    k: int
    pass_1: float | None
    pass_k: float | None
    all_k: float | None
    pass_1_shown: str
    pass_k_shown: str
    all_k_shown: str
    kind: str
    advice: str
    note: str
    tone: Tone

    @property
    def sentence(self) -> str:
        return f"{self.name}: {self.advice}"


@dataclass(frozen=True, slots=True)
class FlipView:
    """Cases of one capability that changed between pass and fail, and their share of all with 95 % bounds."""

    name: str
    fixed: int
    broken: int
    churn: float | None
    negative: float | None
    churn_shown: str
    negative_shown: str
    note: str


@dataclass(frozen=True, slots=True)
class SliceView:
    """One slice. seesaw: up | down when part of a shown seesaw, else "". note: why it is undecided, what it puts together."""

    capability: str
    field: str
    value: str
    n: int
    baseline: float | None
    candidate: float | None
    delta: float | None
    low: float | None
    high: float | None
    seesaw: str
    n_shown: str
    baseline_shown: str
    candidate_shown: str
    delta_shown: str
    interval_shown: str
    tone: Tone
    note: str


@dataclass(frozen=True, slots=True)
class TrackView:
    """One capability over the checkpoints, oldest first; None where a checkpoint has no score."""

    name: str
    scores: tuple[float | None, ...]
    first_shown: str
    last_shown: str
    change_shown: str
    range_shown: str


@dataclass(frozen=True, slots=True)
class HistoryView:
    """The checkpoints up to this run. sentence: what moves against what; pairs: those shown, else the closest, in words."""

    checkpoints: int
    sentence: str
    is_against: bool
    tracks: tuple[TrackView, ...]
    pairs: tuple[str, ...]
    pairs_shown: bool
    note: str


@dataclass(frozen=True, slots=True)
class StandingView:
    """A candidate by people's choices and rankings: its chance to win against the average one, and the places it may have."""

    name: str
    beats: float | None
    beats_shown: str
    places_shown: str


@dataclass(frozen=True, slots=True)
class PeopleView:
    """What people said of this run. agree of both: the candidate's answers on which people and the score say the same.

    marks: (mark, times, in words). marked: (case id, capability, mark in words, rater, comment). standing: strongest first, by
    Bradley-Terry; empty where nobody can be ranked, and standing_note says why.
    """

    raters: int
    looked_at: int
    of: int
    agree: int
    both: int
    disputed: int
    sentence: str
    choices: str
    marks: tuple[tuple[str, int, str], ...]
    marked: tuple[tuple[str, str, str, str, str], ...]
    marked_left_out: int
    standing: tuple[StandingView, ...] = ()
    standing_note: str = ""


@dataclass(frozen=True, slots=True)
class LedgerPart:
    status: str
    total: int
    reasons: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class LedgerView:
    """planned = the sum of the parts, printed. closed is False while a run goes on, and a bug once it has ended."""

    who: str
    run_id: str
    planned: int
    parts: tuple[LedgerPart, ...]
    closed: bool
    sum_shown: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """One example of a case without a score."""

    who: str
    capability: str
    case_id: str
    status: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Fact:
    """One figure of both runs. key is stable for machines; values exact where they are numbers."""

    key: str
    label: str
    candidate: float | int | str | None
    baseline: float | int | str | None
    candidate_shown: str
    baseline_shown: str


@dataclass(frozen=True, slots=True)
class JudgeView:
    """One judge of a run. about: what it is. standing: whether people stand behind it, and how it agrees with them.

    facts: its figures in both runs. warnings: canaries that moved, texts that speak to the judge. line: all of it in a sentence.
    """

    name: str
    about: str
    capabilities: tuple[str, ...]
    calibrated: bool
    standing: str
    facts: tuple[Fact, ...]
    warnings: tuple[str, ...]
    tone: Tone
    line: str


@dataclass(frozen=True, slots=True)
class CurveView:
    """One panel of a training's curves. series: (name, points (step, value)) each. at: the step of this candidate, if it is a
    checkpoint on the way. sentence: first and last value of each series, for those who do not see the drawing."""

    title: str
    series: tuple[tuple[str, tuple[tuple[float, float], ...]], ...]
    steps: tuple[float, float]
    values: tuple[float, float]
    at: int | None
    ticks: tuple[str, str, str]  # from the top down
    ends: tuple[str, str]
    sentence: str


@dataclass(frozen=True, slots=True)
class TrainingView:
    """The training that a run's candidate came of. facts, recipe: (name, value). files: (path, rows, sha256).

    checkpoints: (step, loss on held-out rows, what it is).
    """

    sentence: str
    facts: tuple[tuple[str, str], ...]
    recipe: tuple[tuple[str, str], ...]
    files: tuple[tuple[str, str, str], ...]
    metrics: tuple[tuple[str, str], ...]
    checkpoints: tuple[tuple[str, str, str], ...]
    curves: tuple[CurveView, ...]


@dataclass(frozen=True, slots=True)
class ReportView:
    """A whole report. outcome None: there is no verdict (a run alone, or one that still goes on)."""

    title: str
    run_id: str
    baseline_id: str
    suite: str
    candidate: str
    baseline_name: str
    status: str
    outcome: Outcome | None
    infrastructure: bool
    tone: Tone
    headline: str
    lead: str
    reasons: tuple[ReasonView, ...]
    next_steps: tuple[str, ...]
    partial: str
    capabilities: tuple[CapabilityView, ...]
    interval_note: str
    seesaw: SeesawView | None
    groups: tuple[CaseGroup, ...]
    opened_note: str
    ledgers: tuple[LedgerView, ...]
    troubles: tuple[Trouble, ...]
    troubles_left_out: int
    serving: tuple[Fact, ...]
    provenance: tuple[Fact, ...]
    cases: Sequence[CaseLine] = field(default=(), repr=False)
    evidence: tuple[EvidenceView, ...] = field(default=(), repr=False)
    evidence_risk: str = ""
    waivers: tuple[WaiverView, ...] = ()
    power: tuple[PowerView, ...] = ()
    noise: str = ""  # what an A/A comparison of this suite showed, "" when none is stored
    diagnosis: tuple[DiagnosisView, ...] = ()  # the most important first
    flips: tuple[FlipView, ...] = ()
    slices: tuple[SliceView, ...] = ()
    slices_note: str = ""
    history: HistoryView | None = None
    judges: tuple[JudgeView, ...] = ()
    remarks: Mapping[str, str] = field(default_factory=dict)  # capability -> what stands beside its score and difference
    side_remarks: Mapping[str, str] = field(default_factory=dict)  # the same beside its slices, flips and history
    people: PeopleView | None = None  # None: nobody labelled anything
    training: TrainingView | None = None  # None: the store knows of none
