"""Chooses which cases a report opens, and opens them: what broke, then what was fixed, then a little of what fails anyway.

A report must stay a file one can mail: the number of opened cases, the length of each text and the bytes of all of them together
are bounded, and what does not fit is counted. The light score rows of both runs are read once; items only of the chosen cases.
"""

from __future__ import annotations

import html
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.model import CapabilityComparison, CheckResult, Item, ItemStatus, Message, Response, Role, Score, ScoreRow
from harness.packed import Packed
from reports import diff
from reports.nouns import CaseGroup, CaseLine, CaseView, CheckView, MessageView, ResponseView, Segment, State, Text, Trouble
from reports.source import ReportSource
from reports.text import cut, label, plain, plural, seconds, visible


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a report opens. bytes: of opened texts after HTML escaping, all together."""

    broken: int = 50  # per capability
    fixed: int = 50
    failing: int = 5
    cases: int = 400  # all capabilities together
    bytes: int = 1_800_000
    answer: int = 3_000  # characters
    prompt: int = 3_000
    reference: int = 1_500
    why: int = 400
    checks: int = 20
    messages: int = 12
    troubles: int = 30
    diagnosed: int = 2_000  # cases whose answers are read to tell whether only their form is wrong


_WORST = (ItemStatus.ERRORED, ItemStatus.UNSCORED, ItemStatus.SKIPPED)
ORDER = (State.BROKEN, State.FIXED, State.BOTH_FAIL, State.FAILED)


# -- one line for every case -----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Samples:
    """The samples of one case in one run, counted: a report over many cases keeps no row of them."""

    values: int = 0
    total: float = 0.0
    scored: bool = False
    marks: int = 0
    passes: int = 0
    must_pass: bool = False
    unscored: ScoreRow | None = None  # the worst of those without a score

    def add(self, row: ScoreRow) -> None:
        self.must_pass |= row.must_pass
        if row.status is not ItemStatus.SCORED:
            if self.unscored is None or _WORST.index(row.status) < _WORST.index(self.unscored.status):
                self.unscored = row
            return
        self.scored = True
        if row.value is not None:
            self.values += 1
            self.total += row.value
        if row.passed is not None:
            self.marks += 1
            self.passes += row.passed

    @property
    def mean(self) -> float | None:
        return self.total / self.values if self.values else None

    @property
    def passed(self) -> bool | None:
        """A case passes when at least half of its scored samples do; None without a pass mark."""
        return 2 * self.passes >= self.marks if self.marks else None

    @property
    def missing(self) -> ScoreRow | None:
        """The worst of its samples without a score, when no sample has one."""
        return None if self.scored else self.unscored


def case_lines(
    candidate: Iterable[ScoreRow], baseline: Iterable[ScoreRow], comparisons: Sequence[CapabilityComparison]
) -> Sequence[CaseLine]:
    """Every case of the candidate's run in the order of capabilities and ids. Flips are those that the comparison found."""
    ours, theirs = _by_case(candidate), _by_case(baseline)
    flips = {(c.capability, i): State.BROKEN for c in comparisons for i in c.broken}
    flips |= {(c.capability, i): State.FIXED for c in comparisons for i in c.fixed}
    rank = {c.capability: position for position, c in enumerate(comparisons)}

    def lines() -> Iterator[CaseLine]:
        for key in sorted(ours, key=lambda k: (rank.get(k[0], len(rank)), k)):
            mine, other = ours[key], theirs.get(key)
            state, why = _state(mine, other, flips.get(key))
            yield CaseLine(key[1], key[0], state, mine.must_pass, mine.mean, other.mean if other else None, why)

    return packed(lines())


def packed(lines: Iterable[CaseLine]) -> Sequence[CaseLine]:
    """Lines to be kept: those of a hundred thousand cases are 32 MB as objects."""
    states = {state.value: state for state in State}

    def line(values: tuple[Any, ...]) -> CaseLine:
        case_id, capability, state, *rest = values
        return CaseLine(case_id, capability, states[state], *rest)

    def values(line: CaseLine) -> tuple[Any, ...]:
        return line.id, line.capability, line.state.value, line.must_pass, line.candidate, line.baseline, line.why

    return Packed(lines, values, line)


def _by_case(rows: Iterable[ScoreRow]) -> dict[tuple[str, str], _Samples]:
    cases: dict[tuple[str, str], _Samples] = defaultdict(_Samples)
    for row in rows:
        cases[row.capability, row.case_id].add(row)
    return cases


def _state(mine: _Samples, other: _Samples | None, flip: State | None) -> tuple[State, str]:
    if flip is not None:
        return flip, ""
    missing = mine.missing
    if missing is not None:
        return State(missing.status.value), label(missing.reason or "unknown")
    if mine.passed is None:
        return State.SCORED, ""
    if mine.passed:
        return State.PASSED, ""
    return (State.BOTH_FAIL if other is not None and other.passed is False else State.FAILED), ""


# -- the cases that are opened ---------------------------------------------------------------------------------------------------


def groups(
    source: ReportSource,
    run_id: str,
    baseline_id: str | None,
    lines: Sequence[CaseLine],
    roles: Mapping[str, Role],
    limits: Limits,
) -> tuple[CaseGroup, ...]:
    """Opened cases by capability. Broken cases of all capabilities are served before any other, capabilities in turn."""
    wanted: dict[str, dict[State, list[CaseLine]]] = {}
    for line in lines:
        if line.state in ORDER:
            wanted.setdefault(line.capability, {}).setdefault(line.state, []).append(line)
    chosen = _choose(wanted, limits)
    ids = sorted({line.id for line in chosen})
    ours = _items(source, run_id, ids)
    theirs = _items(source, baseline_id, ids) if baseline_id else {}
    opened: dict[str, list[CaseView]] = defaultdict(list)
    left = limits.bytes
    for line in chosen:
        key = (line.capability, line.id)
        view = _open(line, ours.get(key, []), theirs.get(key, []), limits)
        left -= _weight(view)
        if left < 0:
            break
        opened[line.capability].append(view)
    found = []
    for capability, states in wanted.items():
        totals = tuple((state, len(states[state])) for state in ORDER if state in states)
        cases = tuple(opened[capability])
        role = roles.get(capability, Role.ADVISORY)
        found.append(CaseGroup(label(capability), role, totals, cases, sum(n for _, n in totals) - len(cases)))
    return tuple(sorted(found, key=lambda group: tuple(-dict(group.totals).get(state, 0) for state in ORDER)))


def _choose(wanted: Mapping[str, Mapping[State, Sequence[CaseLine]]], limits: Limits) -> list[CaseLine]:
    caps = {State.BROKEN: limits.broken, State.FIXED: limits.fixed, State.BOTH_FAIL: limits.failing, State.FAILED: limits.broken}
    chosen: list[CaseLine] = []
    for state in ORDER:
        queues = [list(states.get(state, ()))[: caps[state]] for states in wanted.values()]
        for turn in range(max(map(len, queues), default=0)):
            chosen += [queue[turn] for queue in queues if turn < len(queue)]
    return chosen[: limits.cases]


def _items(source: ReportSource, run_id: str, ids: Sequence[str]) -> dict[tuple[str, str], list[Item]]:
    found: dict[tuple[str, str], list[Item]] = defaultdict(list)
    if ids:
        for item in source.items(run_id, case_ids=ids):
            found[item.case.capability, item.case.id].append(item)
    for samples in found.values():
        samples.sort(key=lambda item: item.sample)
    return found


def _weight(view: CaseView) -> int:
    """Bytes of the opened case in HTML, near enough: escaped texts plus their mark-up."""
    texts: list[str] = [m.content.text for m in (*view.messages, *view.baseline_messages)]
    texts += [view.reference.text] if view.reference else []
    total = 900 + 60 * len(texts)
    for answer in (view.baseline, view.candidate):
        if answer:
            total += 500 + 11 * len(answer.segments) + 260 * len(answer.checks)
            texts += [answer.text, *(check.why.text for check in answer.checks)]
            texts += [text.text for text in (answer.thinking, answer.explanation) if text]
    return total + sum(len(html.escape(text).encode()) for text in texts)


def opened(line: CaseLine, ours: Sequence[Item], theirs: Sequence[Item], limits: Limits) -> CaseView:
    """One case of which all samples are at hand, opened; what the review shows of it."""
    return _open(line, ours, theirs, limits)


def _open(line: CaseLine, ours: Sequence[Item], theirs: Sequence[Item], limits: Limits) -> CaseView:
    mine, other = _telling_pair(line.state, ours, theirs)
    first = mine or other
    a, b = (_answer_text(item, limits) for item in (other, mine))
    marked = diff.mark(a.text, b.text) if other and mine and other.response and mine.response else None
    messages = _messages(mine.messages, limits) if mine else ()
    before = _messages(other.messages, limits) if other else ()
    case = first.case if first else None
    reference = case.reference if case else None
    return CaseView(
        id=label(line.id),
        capability=label(line.capability),
        state=line.state,
        must_pass=line.must_pass,
        source=label(case.source) if case else "",
        cluster=label(case.cluster) if case and case.cluster else "",
        preview=_preview(messages or before),
        samples_shown=_samples_shown(ours, theirs, first),
        messages=messages or before,
        baseline_messages=before if messages and before != messages else (),
        reference=None if reference is None else cut(_as_text(reference), limits.reference),
        baseline=_response("baseline", other, marked.baseline if marked else diff.whole(a.text), a.left_out, limits),
        candidate=_response("candidate", mine, marked.candidate if marked else diff.whole(b.text), b.left_out, limits),
        diff_note=marked.note if marked else "",
    )


def _telling_pair(state: State, ours: Sequence[Item], theirs: Sequence[Item]) -> tuple[Item | None, Item | None]:
    """Of several samples the first pair that shows the flip; else the first of each."""
    want = {State.BROKEN: (False, True), State.FIXED: (True, False)}.get(state)
    before = {item.sample: item for item in theirs}
    for item in ours:
        other = before.get(item.sample)
        if want and other and (_passed(item), _passed(other)) == want:
            return item, other
    mine = next((item for item in ours if want is None or _passed(item) == want[0]), ours[0] if ours else None)
    return mine, before.get(mine.sample) if mine and mine.sample in before else (theirs[0] if theirs else None)


def _passed(item: Item) -> bool | None:
    return item.score.passed if item.score else None


def _samples_shown(ours: Sequence[Item], theirs: Sequence[Item], shown: Item | None) -> str:
    if shown is None or max(len(ours), len(theirs)) <= 1:
        return ""
    now = f"{sum(_passed(i) is True for i in ours)} of {len(ours)} now"
    before = f", {sum(_passed(i) is True for i in theirs)} of {len(theirs)} before" if theirs else ""
    return f"sample {shown.sample + 1} shown; passing samples: {now}{before}"


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True)


def _preview(messages: Sequence[MessageView]) -> str:
    asked = [m.content.text for m in messages if m.role == "user"] or [m.content.text for m in messages]
    return label(asked[-1], 110) if asked else ""


def _messages(messages: Sequence[Message], limits: Limits) -> tuple[MessageView, ...]:
    """The prompt's messages; of a very long conversation the last ones, with the number left out."""
    kept = list(messages)[-limits.messages :]
    found = [MessageView(label(m.role, 20), cut(m.content, limits.prompt)) for m in kept]
    gone = len(messages) - len(kept)
    if gone:
        found.insert(0, MessageView("note", Text(f"({plural(gone, 'earlier message')} not shown)")))
    return tuple(found)


# -- one answer ------------------------------------------------------------------------------------------------------------------


def _answer_text(item: Item | None, limits: Limits) -> Text:
    return cut(item.response.text, limits.answer) if item and item.response else Text("")


def _response(who: str, item: Item | None, segments: tuple[Segment, ...], left_out: int, limits: Limits) -> ResponseView | None:
    if item is None:
        return None
    result, summary = _result(item)
    score, response = item.score, item.response
    return ResponseView(
        who=who,
        result=result,
        summary=summary,
        segments=segments,
        left_out=left_out,
        thinking=cut(response.thinking, limits.answer) if response and response.thinking else None,
        facts=_facts(item, response),
        explanation=_explanation(item, limits),
        checks=tuple(_check(c, limits) for c in score.components[: limits.checks]) if score else (),
    )


def _result(item: Item) -> tuple[str, str]:
    score = item.score
    if item.status is not ItemStatus.SCORED or score is None or score.value is None:
        status = item.status if item.status is not ItemStatus.SCORED else ItemStatus.UNSCORED
        reason = item.reason or (score.unscored if score else None) or "unknown"
        return status.value, f"{status.value}: {label(reason)}"
    result = "scored" if score.passed is None else "pass" if score.passed else "fail"
    return result, f"{result}, score {plain(float(score.value))}"


def _explanation(item: Item, limits: Limits) -> Text | None:
    if item.response and item.response.error_message:
        return cut(item.response.error_message, limits.why)
    score = item.score
    if score is None or not score.explanation or any(_says_the_same(part, score) for part in score.components):
        return None  # nothing to say, or the check below says the same
    return cut(score.explanation, limits.why)


def _says_the_same(part: CheckResult, score: Score) -> bool:
    """A judge can say much: not twice."""
    judged = part.check.startswith(("judge ", "not-judge ")) and score.explanation == f"{part.check}: {part.explanation}"
    return judged or part.explanation == score.explanation


def _facts(item: Item, response: Response | None) -> tuple[str, ...]:
    if response is None:
        return ()
    found = []
    if response.finish_reason:
        found.append(f"finished: {label(response.finish_reason, 40)}")
    if response.completion_tokens is not None:
        found.append(plural(response.completion_tokens, "token"))
    if response.total_s is not None:
        found.append(seconds(response.total_s))
    if response.attempts > 1:
        found.append(plural(response.attempts, "attempt"))
    if item.cached:
        found.append("from cache")
    return tuple(found)


def _check(result: CheckResult, limits: Limits) -> CheckView:
    word = "unscored" if result.value is None else "scored" if result.passed is None else "pass" if result.passed else "fail"
    why = result.explanation or (result.unscored or "")
    shown = plain(float(result.value)) if result.value is not None else ""
    return CheckView(label(result.check, 60), result.version, result.value, shown, word, cut(why, limits.why), result.weight)


# -- what went missing -----------------------------------------------------------------------------------------------------------


def troubles(
    source: ReportSource, runs: Sequence[tuple[str, str]], rows: Mapping[str, Sequence[ScoreRow]], limits: Limits
) -> tuple[tuple[Trouble, ...], int]:
    """Examples of cases without a score, a few of every reason in both runs, and how many more there are.

    runs: (who, run id). rows: run id -> its score rows.
    """
    found: list[Trouble] = []
    total = 0
    for who, run_id in runs:
        missing = [r for r in rows[run_id] if r.status in (ItemStatus.ERRORED, ItemStatus.UNSCORED)]
        total += len(missing)
        picked = sorted(_few_of_each(missing, 3), key=lambda r: (r.status, r.reason or "", r.capability, r.case_id, r.sample))
        picked = picked[: limits.troubles - len(found)]
        wanted = {(r.capability, r.case_id, r.sample): r for r in picked}
        items = {
            (i.case.capability, i.case.id, i.sample): i
            for i in (source.items(run_id, case_ids=sorted({r.case_id for r in picked})) if picked else iter(()))
        }
        for key, row in wanted.items():
            found.append(_trouble(who, row, items.get(key)))
    return tuple(found), total - len(found)


def _few_of_each(rows: Iterable[ScoreRow], few: int) -> Iterator[ScoreRow]:
    seen: dict[tuple[str, str | None], int] = defaultdict(int)
    for row in sorted(rows, key=lambda r: (r.status, r.reason or "", r.capability, r.case_id, r.sample)):
        seen[row.status, row.reason] += 1
        if seen[row.status, row.reason] <= few:
            yield row


def _trouble(who: str, row: ScoreRow, item: Item | None) -> Trouble:
    message = ""
    if item and item.response and item.response.error_message:
        message = item.response.error_message
    elif item and item.score and item.score.explanation:
        message = item.score.explanation
    elif item and item.response:
        message = item.response.text
    shown = label(visible(message[:300]), 220)
    return Trouble(who, label(row.capability), label(row.case_id), row.status.value, label(row.reason or "unknown"), shown)
