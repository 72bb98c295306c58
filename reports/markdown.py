"""The report as GitHub-flavoured markdown, for a comment on a pull request or a job summary; at most 60,000 characters.

Names and texts are foreign: in a line they are escaped so that no mark-up, link, mention, reference or HTML comes of them; model
output stands in a fence longer than any run of backticks it holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from harness.model import Outcome
from reports.nouns import CapabilityView, CaseView, EvidenceView, JudgeView, ReportView, State
from reports.text import UNKNOWN, plural

MAX_CHARS = 60_000
_DIAGNOSED, _SLICES = 10, 40
_OPENED = 10
_ANSWER_CHARS = 300
_BLOCKS = "\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"  # the full block: decided
_SPECIAL = re.compile(r"([\\`*_{}\[\]#|~$^])")
_SIGN = {Outcome.SHIP: "\u2705", Outcome.OPTIMIZE: "\u274c", Outcome.INCONCLUSIVE: "\u2754"}


def render(view: ReportView) -> str:
    """Whole blocks while they fit; what does not fit is said at the end."""
    done: list[str] = []
    size, left = 0, 0
    for block in _blocks(view):
        if left or size + len(block) + 2 > MAX_CHARS - 200:
            left += 1
            continue
        done.append(block)
        size += len(block) + 2
    if left:
        done.append(f"_{plural(left, 'more part')} left out to keep this short: see the HTML report._")
    return "\n\n".join(done) + "\n"


def escape(text: str) -> str:
    """Foreign text inside a line of markdown, inert."""
    text = " ".join(text.split())
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = _SPECIAL.sub(r"\\\1", text)
    text = re.sub(r"([@#])(?=\w)", "\\1\u2060", text)  # a word joiner: no mention, no reference to an issue
    text = re.sub(r":(?=//)", r"\\:", text)  # no link by itself
    text = re.sub(r"(?i)\bwww\.", lambda m: m.group()[:-1] + r"\.", text)
    return re.sub(r"^([-+=]|\d+[.)])", r"\\\1", text) if not text[:1].isdigit() else re.sub(r"^(\d+)([.)])", r"\1\\\2", text)


def fence(text: str) -> str:
    """A code block that its content cannot close."""
    runs = re.findall(r"`+", text)
    ticks = "`" * max(3, 1 + max(map(len, runs), default=0))
    return f"{ticks}text\n{text}\n{ticks}"


def _blocks(view: ReportView) -> Iterator[str]:
    sign = _SIGN[view.outcome] if view.outcome else "\u2754"
    yield f"## {sign} {view.headline}: {escape(view.candidate)}" + (
        f" against {escape(view.baseline_name)}" if view.baseline_name else ""
    )
    yield escape(view.lead)
    if view.partial:
        yield f"**{escape(view.partial)}**"
    if view.reasons:
        yield "\n".join(f"- {'**' + r.blocks + '** ' if r.blocks else ''}{escape(r.text)}" for r in view.reasons)
    if view.waivers:
        yield "**Waivers:**\n\n" + "\n".join(f"- {escape(waiver.line)}" for waiver in view.waivers)
    if view.capabilities:
        yield from _table(view)
    if view.noise:
        yield escape(view.noise)
    if view.people:
        yield escape(" ".join(filter(None, [view.people.sentence, view.people.choices])))
    if view.seesaw:
        yield escape(view.seesaw.sentence)
    if view.evidence:
        yield from _evidence(view)
    yield "\n".join(f"- {ledger.who}: {escape(ledger.sum_shown)}" for ledger in view.ledgers)
    if view.judges:
        yield "**Judges:**\n\n" + "\n".join(_judge(judge) for judge in view.judges)
    yield "**Next:**\n\n" + "\n".join(f"{i}. {escape(step)}" for i, step in enumerate(view.next_steps, 1))
    if failing := [row for row in view.diagnosis if row.failing]:
        yield "**Why cases fail:**\n\n" + "\n".join(f"- {escape(row.sentence)}" for row in failing[:_DIAGNOSED])
    if view.slices:
        yield from _slices(view)
    if view.history:
        pairs = view.history.pairs if view.history.pairs_shown else ()
        yield "\n".join([escape(view.history.sentence), "", *(f"- {escape(pair)}" for pair in pairs)]).rstrip()
    yield from _broken(view)
    base = f", baseline {escape(view.baseline_id)}" if view.baseline_id else ""
    yield f"Run {escape(view.run_id)}{base}, suite {escape(view.suite)}"


def _judge(judge: JudgeView) -> str:
    return "\n".join([f"- {escape(judge.line)}", *(f"    - {escape(warning)}" for warning in judge.warnings)])


def _named(view: ReportView, row: CapabilityView) -> str:
    remark = view.remarks.get(row.name)
    return escape(row.name) + (f" ({escape(remark)})" if remark else "")


def _table(view: ReportView) -> Iterator[str]:
    if view.baseline_id:
        head = "| Capability | Role | Baseline | Candidate | Difference | Margin | Shown | Cases | Missing |"
        head += "\n|---|---|--:|--:|--:|--:|---|--:|--:|"
        rows = [_compared(view, row) for row in view.capabilities]
    else:
        head = "| Capability | Score | Cases | Missing |\n|---|--:|--:|--:|"
        rows = [f"| {_named(view, r)} | {r.candidate_shown} | {r.n_shown} | {r.missing_shown} |" for r in view.capabilities]
    for start in range(0, len(rows), 100):
        yield "\n".join([head, *rows[start : start + 100]])


def _evidence(view: ReportView) -> Iterator[str]:
    """The path as a line of marks: the odds for and against at ten places on the way, a decade a step."""
    head = "| Evidence | For, against | Ends |\n|---|---|---|"
    rows = [f"| {escape(r.name)} | {_path(r.above, r)}<br>{_path(r.below, r)} | {escape(r.sentence)} |" for r in view.evidence]
    risk = escape(view.evidence_risk)
    told = f"Cases were asked in a random order until they decided; the evidence is wrong with a chance of at most {risk}."
    for start in range(0, len(rows), 100):
        yield (told + "\n\n" if start == 0 else "") + "\n".join([head, *rows[start : start + 100]])


def _path(points: Sequence[tuple[int, float]], row: EvidenceView) -> str:
    """Ten blocks, from nothing (or less) to what decides."""
    last = max(points[-1][0], 1)
    at = [max((p for p in points if p[0] <= last * (step + 1) / 10), key=lambda p: p[0]) for step in range(10)]
    heights = [min(max(value / row.limit, 0.0), 1.0) for _, value in at]
    return "".join(_BLOCKS[min(int(h * (len(_BLOCKS) - 1) + 1e-9), len(_BLOCKS) - 1)] for h in heights)


def _slices(view: ReportView) -> Iterator[str]:
    head = "| Slice | Cases | Baseline | Candidate | Difference |\n|---|--:|--:|--:|---|"
    rows = [
        f"| {escape(row.capability)}, {escape(row.field)}: {escape(row.value)} | {row.n_shown} | {row.baseline_shown} "
        f"| {row.candidate_shown} | {f'{row.delta_shown} {escape(row.interval_shown)}'.strip()} |"
        for row in view.slices[:_SLICES]
    ]
    yield "\n".join([head, *rows])


def _compared(view: ReportView, row: CapabilityView) -> str:
    cells = (
        _named(view, row),
        row.role.value,
        row.baseline_shown,
        row.candidate_shown,
        f"{row.delta_shown} {escape(row.interval_shown)}".strip() or UNKNOWN,
        row.margin_shown,
        f"{row.mark} {escape(row.claims_shown)}",
        row.n_shown,
        row.missing_shown,
    )
    return "| " + " | ".join(cells) + " |"


def _broken(view: ReportView) -> Iterator[str]:
    cases = [case for group in view.groups for case in group.cases if case.state in (State.BROKEN, State.FAILED)]
    if cases:
        yield (
            "### "
            + ("Broken cases" if view.baseline_id else "Failing cases")
            + (f" ({_OPENED} of those opened in the HTML report)" if len(cases) > _OPENED else "")
        )
    for case in cases[:_OPENED]:
        yield _case(case)


def _case(case: CaseView) -> str:
    parts = [f"**{escape(case.capability)}** {escape(case.id)}: {escape(case.preview)}"]
    for answer in (case.baseline, case.candidate):
        if answer:
            text = answer.text
            shown = text if len(text) <= _ANSWER_CHARS else text[: _ANSWER_CHARS - 1] + "\u2026"
            parts.append(f"{answer.who} ({escape(answer.summary)}):\n\n{fence(shown)}")
    return "\n\n".join(parts)
