"""All nouns of the harness, frozen, and its three protocols. No behaviour beyond keys and counting lives here.

Words are those of the README's glossary. Times are seconds, sizes bytes, scores in [0, 1]. A value that is not known is None,
never 0 and never NaN.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol


class Role(StrEnum):
    """What a capability is for: it should get better, must not get worse, or is only reported."""

    TARGET = "target"
    PROTECTED = "protected"
    ADVISORY = "advisory"


class Split(StrEnum):
    """Gate cases decide and never reach training data; dev cases may be looked at, curated and trained on."""

    DEV = "dev"
    GATE = "gate"


class Outcome(StrEnum):
    SHIP = "SHIP"
    OPTIMIZE = "OPTIMIZE"
    INCONCLUSIVE = "INCONCLUSIVE"


class Claim(StrEnum):
    """What a comparison of one capability shows. See harness.statistics.paired for the hypotheses."""

    IMPROVED = "improved"
    NOT_WORSE = "not worse"
    EQUIVALENT = "equivalent"
    REGRESSED = "regressed"
    HARMED = "harmed"
    UNDECIDED = "undecided"


class ItemStatus(StrEnum):
    """planned = scored + unscored + errored + skipped; nothing else exists once a run has ended."""

    SCORED = "scored"
    UNSCORED = "unscored"  # a response exists, no score could be given: see the reason
    ERRORED = "errored"  # no response: infrastructure failed after all retries
    SKIPPED = "skipped"  # never asked (limit, interrupted, stopped early)


def digest_of(value: Any) -> str:
    """sha256 hex of a JSON-able value in canonical form (sorted keys, no spaces, UTF-8): the same on every host."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Message:
    role: str  # system | user | assistant
    content: str

    def as_dict(self) -> dict[str, str]:
        return {"role": self.role, "content": self.content}


@dataclass(frozen=True, slots=True)
class Case:
    """One input with its reference.

    id: 16 hex digits of the content digest (vars, reference, capability), stable across hosts, files and row order.
    vars: what prompt templates see; ``input`` is the default one. ``messages`` (list of role/content) replaces the template.
    reference: any JSON value, or None. cluster: cases that share it are not independent. source: ``file:line`` for people.
    """

    id: str
    capability: str
    vars: Mapping[str, Any]
    reference: Any = None
    cluster: str | None = None
    split: Split = Split.GATE
    must_pass: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""


@dataclass(frozen=True, slots=True)
class Prompt:
    """How a candidate is asked: a Jinja2 template over the case's vars, a system prompt, examples shown before the question.

    few_shot: (user text, assistant text) pairs, already rendered.
    """

    template: str = "{{ input }}"
    system: str | None = None
    few_shot: tuple[tuple[str, str], ...] = ()

    @property
    def digest(self) -> str:
        return digest_of([self.template, self.system, [list(pair) for pair in self.few_shot]])


@dataclass(frozen=True, slots=True)
class Candidate:
    """Base model + optional LoRA adapter, or an endpoint; ``digest`` identifies the weights.

    model: the name the server knows it by. digest: sha256 over weights, adapter, tokenizer and chat template (local), or over
    address, model name and declared revision (endpoint: only as good as the endpoint's word, and reports say so).
    base, adapter: local paths as the suite gave them. base_url: where it is served, None while not served yet.
    """

    name: str
    model: str
    digest: str
    kind: str = "local"  # local | endpoint
    base: str | None = None
    adapter: str | None = None
    base_url: str | None = None
    prompt: Prompt = field(default_factory=Prompt)


@dataclass(frozen=True, slots=True)
class Sampling:
    """Generation settings of one request. seed is the suite's; sample j is asked with seed + j."""

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 256
    seed: int = 0
    stop: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)  # passed to the server as they are (extra_body)

    def as_dict(self) -> dict[str, Any]:
        return {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "max_tokens": self.max_tokens,
            "seed": self.seed,
            "stop": list(self.stop),
            "extra": dict(self.extra),
        }


@dataclass(frozen=True, slots=True)
class Request:
    """One question to one candidate. ``key`` is what responses are cached by."""

    candidate: Candidate
    case: Case
    messages: tuple[Message, ...]
    sampling: Sampling
    sample: int = 0
    route: str = "chat"  # chat | classify (a reward model behind vLLM's /classify)

    @property
    def key(self) -> str:
        """32 hex digits over weights digest, rendered messages, sampling and sample index (and the route, unless it is chat)."""
        parts = [self.candidate.digest, [m.as_dict() for m in self.messages], self.sampling.as_dict(), self.sample]
        return digest_of(parts if self.route == "chat" else [*parts, self.route])[:32]


@dataclass(frozen=True, slots=True)
class TokenChoice:
    """One token of an answer and what might have stood in its place: (token, natural logarithm of its probability)."""

    token: str
    top: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Response:
    """One sample of a candidate on a case, or the failure to get one.

    text: the answer with any thinking split off. error: None, or a short code (timeout, http-500, connection, ...)
    with error_message for people. Times in seconds: ttft only when streamed. attempts: requests sent, retries included.
    tail: the last tokens of the answer with their alternatives, where the request asked for log-probabilities.
    """

    key: str
    text: str = ""
    thinking: str | None = None
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    ttft_s: float | None = None
    total_s: float | None = None
    attempts: int = 1
    started_at: float | None = None  # seconds since the epoch
    error: str | None = None
    error_message: str | None = None
    tail: tuple[TokenChoice, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check or judge said of one response. value None means unscored: then ``unscored`` is the reason code."""

    check: str  # as the suite names it, e.g. "not-contains" or a metric name
    version: int
    value: float | None
    passed: bool | None
    explanation: str = ""
    unscored: str | None = None
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Score:
    """The score of one response on its capability, with the results it is made of. value None: unscored, with the reason code."""

    value: float | None
    passed: bool | None
    unscored: str | None = None
    explanation: str = ""
    components: tuple[CheckResult, ...] = ()


@dataclass(frozen=True, slots=True)
class JudgedItem:
    """One line of a checklist as a judge answered it. value 1 met, 0 not met, None unscored."""

    id: str
    question: str
    value: float | None
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Judgment:
    """What a judge said of one response, or of a pair. value None means unscored: then ``unscored`` is the reason code.

    digest: over the judge's model, rubric, prompts and settings; equal digests judge alike. value: pointwise the score mapped to
    [0, 1]; pairwise 1 candidate, 0.5 tie, 0 baseline. explanation, choice: the judge's own words, hostile data. mode: logprob
    (expected score) | schema | text | recorded | reward | panel | mixed, or empty where no judge was asked. raw: the mean on the
    judge's own scale (1-5, a reward). outside: largest share of probability that lay outside the menu, mode logprob only.
    preference: candidate | baseline | tie. orders: per sample what was preferred with the candidate shown first, then second.
    values: each scored sample's; spread: their standard deviation (n - 1), None under two. attempts: requests to the judge; keys:
    of its responses. errored: the judge could not be asked, which asking again may mend. members: a panel's single judgments.
    """

    judge: str
    digest: str
    case_id: str
    value: float | None
    passed: bool | None
    unscored: str | None = None
    errored: bool = False
    explanation: str = ""
    choice: str | None = None
    mode: str = ""
    raw: float | None = None
    outside: float | None = None
    preference: str | None = None
    orders: tuple[tuple[str | None, str | None], ...] = ()
    values: tuple[float, ...] = ()
    spread: float | None = None
    items: tuple[JudgedItem, ...] = ()
    members: tuple[Judgment, ...] = ()
    attempts: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    keys: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CanaryResult:
    """How a judge judged an answer of known quality. state: held | drifted (value outside of low..high) | unscored.

    text: the sentence for people. judgment: as of any answer; its case_id is ``canary:ID``.
    """

    judge: str
    canary: str
    low: float
    high: float
    state: str
    judgment: Judgment
    text: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """One planned (case, sample) of a run and what came of it; what a report opens a number down to."""

    case: Case
    sample: int
    status: ItemStatus
    reason: str | None = None  # why unscored, errored or skipped
    messages: tuple[Message, ...] = ()
    response: Response | None = None
    score: Score | None = None
    cached: bool = False  # the response was in the store before this run


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """The light form of an Item, all that statistics need. value None unless status is scored."""

    case_id: str
    capability: str
    sample: int
    status: ItemStatus
    value: float | None = None
    passed: bool | None = None
    reason: str | None = None
    cluster: str | None = None
    split: Split = Split.GATE
    must_pass: bool = False


@dataclass(frozen=True, slots=True)
class Ledger:
    """The closed denominator of one run, or of one capability of it."""

    planned: int = 0
    scored: int = 0
    unscored: Mapping[str, int] = field(default_factory=dict)  # reason -> count
    errored: Mapping[str, int] = field(default_factory=dict)  # error code -> count
    skipped: Mapping[str, int] = field(default_factory=dict)

    @property
    def n_unscored(self) -> int:
        return sum(self.unscored.values())

    @property
    def n_errored(self) -> int:
        return sum(self.errored.values())

    @property
    def n_skipped(self) -> int:
        return sum(self.skipped.values())

    @property
    def closed(self) -> bool:
        return self.planned == self.scored + self.n_unscored + self.n_errored + self.n_skipped

    @staticmethod
    def of(rows: Iterable[ScoreRow]) -> Ledger:
        planned = scored = 0
        by: dict[ItemStatus, dict[str, int]] = {status: {} for status in ItemStatus}
        for row in rows:
            planned += 1
            if row.status is ItemStatus.SCORED:
                scored += 1
            else:
                counts, reason = by[row.status], row.reason or "unknown"
                counts[reason] = counts.get(reason, 0) + 1
        return Ledger(planned, scored, by[ItemStatus.UNSCORED], by[ItemStatus.ERRORED], by[ItemStatus.SKIPPED])


@dataclass(frozen=True, slots=True)
class RunRecord:
    """All responses and scores of one candidate on one suite version.

    id: 12 hex digits over suite hash, candidate and plan, so that the same command finds its own run again; a fresh run gets a
    nonce. status: running | complete | interrupted | partial (a limit or filter). plan: limit, capabilities, splits, samples.
    """

    id: str
    suite_name: str
    suite_hash: str
    candidate: Candidate
    status: str
    plan: Mapping[str, Any] = field(default_factory=dict)
    started_at: float = 0.0  # seconds since the epoch
    finished_at: float | None = None
    ledger: Ledger = field(default_factory=Ledger)
    provenance: Mapping[str, Any] = field(default_factory=dict)  # versions, command, host-independent settings, server figures
    promoted: bool = False


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """Candidate minus baseline on paired cases; produced by harness.statistics.compare_paired.

    low, high: two one-sided bounds at alpha each, so a (1 - 2 alpha) two-sided interval. p_*: one-sided p-values of the claims
    (H0 in harness.statistics.paired). method: tango-exact | tango | paired-t | clustered-t | betting | sequential |
    prediction-powered | undecided.
    reason: why undecided or why betting. gain, p_gain: the gain a target needs, and the p-value of H0: delta <= gain.
    """

    delta: float
    low: float
    high: float
    n: int
    n_clusters: int
    method: str
    margin: float
    alpha: float
    p_improved: float
    p_not_worse: float
    p_regressed: float
    p_harmed: float
    reason: str = ""
    gain: float = 0.0
    p_gain: float = 1.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its two-sided interval. value None: it cannot be given, and reason says why; no interval: likewise.

    n: cases behind it. level: of the interval. method: which formula gave the interval, in a word or two.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    method: str = ""
    reason: str = ""
    level: float = 0.95


@dataclass(frozen=True, slots=True)
class JudgeStanding:
    """A judge that a capability's scores depend on, and whether it was held against people (harness.calibration).

    kappa: its agreement with them, None: never measured, the judge is uncalibrated. n_labels: cases that people labelled for it.
    """

    judge: str
    digest: str
    kappa: Estimate | None = None
    n_labels: int = 0


@dataclass(frozen=True, slots=True)
class CapabilityComparison:
    """Two runs compared on one capability: the estimate, what it shows, and what is missing from it.

    paired: cases scored in both runs. worst: the same with each missing candidate score 0 and each missing baseline score 1.
    fixed, broken: ids of cases that went fail->pass, pass->fail. must_pass_failed, must_pass_missing: the candidate's must-pass
    cases that failed, and those that have no score. n_needed: cases that would decide it (80 % power), None if decided or if no
    n would. judges: those whose word decides about it. n_labelled: cases with people's labels that corrected ``paired`` (0: it is
    the judge's alone); ``uncorrected`` is what the judge alone would say then.
    """

    capability: str
    role: Role
    margin: float
    candidate_mean: float | None
    baseline_mean: float | None
    paired: PairedComparison | None
    worst: PairedComparison | None = None
    claims: tuple[Claim, ...] = ()
    n_planned: int = 0
    n_paired: int = 0
    missing_candidate: int = 0
    missing_baseline: int = 0
    fixed: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    must_pass_failed: tuple[str, ...] = ()
    must_pass_missing: tuple[str, ...] = ()
    n_needed: int | None = None
    reason: str = ""
    judges: tuple[JudgeStanding, ...] = ()
    n_labelled: int = 0
    uncorrected: PairedComparison | None = None

    @property
    def uncalibrated(self) -> tuple[str, ...]:
        """Judges that it rests on although nobody held them against people."""
        return () if self.n_labelled else tuple(standing.judge for standing in self.judges if standing.kappa is None)


@dataclass(frozen=True, slots=True)
class SliceComparison:
    """Two runs compared on those cases of a capability that share one value of a metadata field; see harness.slices.

    It decides nothing but takes part in the seesaw. values: how many rare values were put together, 1: ``value`` stands alone.
    paired None: too few cases, and reason says so.
    """

    capability: str
    field: str
    value: str
    n_planned: int
    n_paired: int
    candidate_mean: float | None = None
    baseline_mean: float | None = None
    paired: PairedComparison | None = None
    values: int = 1
    reason: str = ""

    @property
    def name(self) -> str:
        """What a seesaw calls it; no capability is called so."""
        return f"{self.capability} [{self.field}: {self.value}]"


@dataclass(frozen=True, slots=True)
class Floor:
    """An absolute floor on a capability's mean score: its lower confidence bound must reach it, unless point is True."""

    capability: str
    minimum: float
    point: bool = False


@dataclass(frozen=True, slots=True)
class Waiver:
    """A harm that a person answers for until a day: one protected capability's loss, or one must-pass case's failure.

    Exactly one of capability and case is set. expires: the last day it holds, ISO (2026-12-31), in UTC; see harness.waivers.
    """

    owner: str
    reason: str
    expires: str
    capability: str | None = None
    case: str | None = None


@dataclass(frozen=True, slots=True)
class WaiverUse:
    """What became of a waiver in a verdict. state: used | unused | expired; waived: what it kept from blocking, in words."""

    waiver: Waiver
    state: str
    waived: str = ""


@dataclass(frozen=True, slots=True)
class Gate:
    """The policy a verdict is made by. Roles and margins come with the comparisons."""

    alpha: float = 0.05
    targets: str = "all"  # all | any
    min_gain: float = 0.0  # what a target must gain, beyond being shown improved; in score points of [0,1]
    seesaw: str = "report"  # report | forbid
    fdr: float = 0.10  # q of Benjamini-Hochberg for the seesaw
    floors: tuple[Floor, ...] = ()
    max_error_rate: float = 0.02  # errored / planned, above: infrastructure, exit 4
    max_unscored_rate: float = 0.05  # unscored / planned of the candidate, above: hard gate failed
    max_ttft_p95_s: float | None = None
    max_latency_p95_s: float | None = None
    min_clusters: int = 10
    sequential: bool = False  # cases in random order, asked until decided; evidence by harness.statistics.sequential
    max_tpot_p95_s: float | None = None  # per output token after the first
    waivers: tuple[Waiver, ...] = ()
    slices: tuple[str, ...] = ()  # metadata fields by whose values each capability is looked at, too
    trust_uncalibrated: bool = False  # whether a judge nobody held against people may let a protected capability pass
    min_kappa: float | None = None  # every judge that decides must agree with people so well (lower bound of its kappa)
    max_memory_gb: float | None = None  # 10^9 bytes that serving the candidate may take
    min_requests_per_s: float | None = None  # answers a second, measured with at_concurrency requests under way
    at_concurrency: int | None = None


@dataclass(frozen=True, slots=True)
class Served:
    """How a run was served: answers that its own requests got (none from the store), the seconds that took, how many were under
    way at once; memory_gb: 10^9 bytes that the server's processes held at its end, None where nobody could look."""

    requests: int
    seconds: float
    concurrency: int
    memory_gb: float | None = None


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What hard gates look at beside the comparisons."""

    candidate: Ledger = field(default_factory=Ledger)
    baseline: Ledger = field(default_factory=Ledger)
    partial: bool = False
    partial_reason: str = ""
    ttft_p95_s: float | None = None
    latency_p95_s: float | None = None
    candidate_scores: Mapping[str, Sequence[float]] = field(default_factory=dict)  # capability -> case means, for floors
    candidate_clusters: Mapping[str, Sequence[str | None]] = field(default_factory=dict)  # labels of the same cases, where any
    tpot_p95_s: float | None = None
    served: Served | None = None


@dataclass(frozen=True, slots=True)
class Reason:
    """One sentence of a verdict. code is stable for machines; blocks is the outcome it argues for."""

    code: str
    text: str
    capability: str | None = None
    blocks: Outcome | None = None


@dataclass(frozen=True, slots=True)
class Seesaw:
    """Capabilities (and slices, by name) shown up and shown down in the same comparison (Benjamini-Hochberg at fdr)."""

    gains: tuple[str, ...]
    losses: tuple[str, ...]
    fdr: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision with its evidence. claims: capability -> claims shown."""

    outcome: Outcome
    reasons: tuple[Reason, ...]
    claims: Mapping[str, tuple[Claim, ...]] = field(default_factory=dict)
    seesaws: tuple[Seesaw, ...] = ()
    comparisons: tuple[CapabilityComparison, ...] = ()
    gate: Gate = field(default_factory=Gate)
    infrastructure: bool = False  # True: exit code 4, the run cannot be judged as it stands
    waivers: tuple[WaiverUse, ...] = ()
    slices: tuple[SliceComparison, ...] = ()


@dataclass(frozen=True, slots=True)
class Calibration:
    """One judge held against people on cases that both have judged; made by harness.calibration, read by gates and reports.

    digest: of the judge (model, rubric, prompt), empty when it is not known: then it speaks for no judge in a verdict.
    kind: pointwise | pairwise. n_labels: cases with a label. n: those of them with a verdict. unparsed: reason -> cases without
    one. kappa, agreement: over the n. agreement_all: over all labelled cases, one without a verdict disagreeing.
    recall: what people said -> how often the judge said it too (pass and fail: TPR and TNR). confusion: people -> judge -> cases.
    biases: position, length, self-preference and the like, by name. usage: tokens and seconds per 1,000 judgments, where known.
    scale: Krippendorff's alpha with people's mean score, where both give numbers. people: the raters among themselves, by name:
    what a judge can be asked for at most. left_out: why -> labelled cases that could not count.
    capability: which cases, empty for all. labels_digest: of the labels, so that a changed label is seen.
    """

    judge: str
    digest: str
    kind: str
    n_labels: int
    n: int
    kappa: Estimate
    agreement: Estimate
    agreement_all: Estimate
    unparsed: Mapping[str, int] = field(default_factory=dict)
    recall: Mapping[str, Estimate] = field(default_factory=dict)
    confusion: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    biases: Mapping[str, Estimate] = field(default_factory=dict)
    usage: Mapping[str, Estimate] = field(default_factory=dict)
    raters: tuple[str, ...] = ()
    capability: str = ""
    labels_digest: str = ""
    unparsed_share: Estimate | None = None
    scale: Estimate | None = None
    people: Mapping[str, Estimate] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Label:
    """What one person said of one case of a run. Never changed: an edit is another label, so the history stays; see
    harness.labels.

    kind: rate (one answer: passed, rating 1-5), pair (candidate or baseline), rank (several answers) or mark. A rate, pair or
    rank label without a value says that the person could not tell. responses: ids of the stored answers in the order they
    were shown; sides: which runs gave each of them (ids, several joined by a comma where they gave the same words).
    preference: candidate | baseline | tie. ranking: response ids, best first; those in one group tie. marks: check-wrong,
    judge-wrong, accept-change. blind: neither scores nor who answered had been shown. seconds: spent on it. probability: with
    which the case was drawn (harness.statistics.selection), None: it was not drawn. supersedes: the label it takes the place
    of, or takes back when withdrawn. adjudicates: decides between people who disagree. Labels on gate cases calibrate, they
    never train.
    """

    id: str
    run_id: str
    capability: str
    case_id: str
    split: Split
    kind: str
    rater: str
    created_at: float  # seconds since the epoch
    baseline_run_id: str | None = None
    sample: int = 0
    responses: tuple[str, ...] = ()
    sides: tuple[str, ...] = ()
    passed: bool | None = None
    rating: int | None = None
    preference: str | None = None
    ranking: tuple[tuple[str, ...], ...] = ()
    marks: tuple[str, ...] = ()
    comment: str = ""
    blind: bool = True
    seconds: float | None = None
    plan: str | None = None
    probability: float | None = None
    supersedes: str | None = None
    withdrawn: bool = False
    adjudicates: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing a data check found in one row."""

    row: int
    code: str
    message: str


class Client(Protocol):
    """Asks a model. Never raises for a failed request: the failure is in the Response."""

    async def ask(self, request: Request) -> Response: ...


class Scorer(Protocol):
    """Scores one response of one case. Never raises for bad model output: that is unscored, with a reason."""

    def score(self, case: Case, response: Response) -> Score: ...


class DataCheck(Protocol):
    """Looks at rows of a data set (harness.quality's Examples) and says what it found, by their lines; line 0: the whole set."""

    def find(self, rows: Iterable[Any]) -> Iterable[Finding]: ...
