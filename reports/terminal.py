"""The summary a person sees at the end of a run: coloured on a terminal, plain lines in CI. The only module that imports rich."""

from __future__ import annotations

import io
import sys
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from reports.nouns import CapabilityView, ReportView, Tone

_STYLE = {Tone.GOOD: "bold blue", Tone.BAD: "bold red", Tone.UNSURE: "bold yellow", Tone.NEUTRAL: ""}
_PLAIN = str.maketrans(
    {"\u2212": "-", "\u2013": "-", "\u2026": "...", "\u25b2": "^", "\u25bc": "v", "\u25bd": "v"}
    | {"\u2265": ">=", "\u00b1": "+/-", "\u2260": "!=", "\u2713": "+", "\u2195": "~", "\u2715": "x"}
)
_MAX_REASONS = 12


def show(view: ReportView, *, path: str = "", file: TextIO | None = None, width: int | None = None) -> None:
    """Print the summary. path: where the HTML report lies. Signs that the stream's encoding lacks are put in plain letters."""
    out = file or sys.stdout
    tty = out.isatty()
    text = render(view, path=path, width=width or (Console(file=out).width if tty else 80), color=tty)
    encoding = getattr(out, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        text = text.translate(_PLAIN).encode("ascii", "replace").decode()
    out.write(text)
    out.flush()


def render(view: ReportView, *, path: str = "", width: int = 80, color: bool = False) -> str:
    """The summary as text; with colours when asked."""
    buffer = io.StringIO()
    console = Console(
        file=buffer, width=width, force_terminal=color, color_system="standard" if color else None, highlight=False, emoji=False,
        markup=False, legacy_windows=False, _environ={},
    )  # fmt: skip
    console.print(Group(*_parts(view, width)))
    if path:
        console.print(f"Report: {path}", soft_wrap=True)  # never broken, so that it can be clicked and copied
    return "\n".join(line.rstrip() for line in buffer.getvalue().split("\n"))


def _parts(view: ReportView, width: int) -> list[RenderableType]:
    style = _STYLE[view.tone]
    sign = {Tone.GOOD: "\u2713", Tone.BAD: "\u2715"}.get(view.tone, "?")
    against = f" against {view.baseline_name}" if view.baseline_name else ""
    parts: list[RenderableType] = [
        Text(f"{sign} {view.headline}  ", style=style) + Text(f"{view.candidate}{against} on {view.suite}", style="default"),
        Text(view.lead),
    ]
    if view.partial:
        parts.append(Text(view.partial, style="yellow"))
    if view.reasons:
        parts += [Text(""), *(_reason(r.text, r.tone, r.blocks) for r in view.reasons[:_MAX_REASONS])]
        if len(view.reasons) > _MAX_REASONS:
            parts.append(Text(f"  and {len(view.reasons) - _MAX_REASONS} more reasons, in the report"))
    parts += [_reason(waiver.line, Tone.UNSURE, "") for waiver in view.waivers]
    if view.capabilities:
        parts += [Text(""), _table(view, width)]
        parts += [Text(f"* {name}: {remark}", style="yellow") for name, remark in view.remarks.items()]
    if unsure := [row for row in view.power if row.undecided]:
        parts += [Text(""), *(_reason(row.sentence, Tone.UNSURE, "", mark="?") for row in unsure[:_MAX_REASONS])]
    if view.noise:
        parts += [Text(""), Text(view.noise)]
    if view.people:
        parts += [Text(""), Text(view.people.sentence)]
    if view.evidence:
        parts += [Text(""), *(Text(f"{row.name}: {row.sentence}") for row in view.evidence)]
    if view.seesaw and (view.seesaw.shown_up or view.seesaw.shown_down):
        parts += [Text(""), Text(view.seesaw.sentence, style="bold" if view.seesaw.shown else "")]
    parts.append(Text(""))
    parts += [Text(f"{ledger.who}: {ledger.sum_shown}", style="" if ledger.closed else "yellow") for ledger in view.ledgers]
    if view.judges:
        parts.append(Text(""))
    parts += [_reason(judge.line, judge.tone, "", mark="?" if judge.tone is Tone.UNSURE else "") for judge in view.judges]
    parts.append(Text(""))
    parts += [_reason(step, Tone.NEUTRAL, "", mark="-") for step in (*view.next_steps, *_insights(view))]
    return parts


def _insights(view: ReportView) -> list[str]:
    """At most three lines of what the report tells at length: why the most important cases fail, slices, and history."""
    found = []
    if worst := next((row for row in view.diagnosis if row.failing), None):
        found.append(worst.sentence)
    if moved := [row for row in view.slices if row.seesaw]:
        names = ", ".join(f"{row.capability} [{row.field}: {row.value}]" for row in moved[:2])
        found.append(f"Look at the slices that moved, in the report: {names}" + (" ..." if len(moved) > 2 else ""))
    if view.history and view.history.is_against:
        found.append(view.history.sentence)
    return found


def _reason(text: str, tone: Tone, blocks: str, *, mark: str = "") -> RenderableType:
    """A hanging line: the mark, then the sentence indented under itself."""
    line = Table.grid(padding=(0, 1, 0, 0))
    line.add_column(no_wrap=True)
    line.add_column(overflow="fold")
    good = "\u2713" if tone is not Tone.UNSURE else "\u2195"  # up and down: a seesaw that blocks nothing by itself
    sign = mark or {"OPTIMIZE": "\u2715", "INCONCLUSIVE": "?"}.get(blocks, good)
    line.add_row(Text(sign, style=_STYLE[tone]), Text(text))
    return Padding(line, (0, 0, 0, 2))


def _table(view: ReportView, width: int) -> Table:
    """Figures are never cut: a long name gives way to them, down to ten columns."""
    compared = bool(view.baseline_id)
    heads = ("Role", "Base", "Cand", "Diff [interval]", "Shown") if compared else ("Score", "Cases", "Missing")
    rows = [_compared(row, width) if compared else _alone(row) for row in view.capabilities]
    widths = [max(cell.cell_len for cell in column) for column in zip(map(Text, heads), *rows, strict=True)]
    room = max(10, width - sum(widths) - 2 * len(widths))
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("Capability", no_wrap=True)
    for head, wide in zip(heads, widths, strict=True):
        table.add_column(head, justify="left" if head in ("Role", "Shown") else "right", no_wrap=True, min_width=wide)
    for row, cells in zip(view.capabilities, rows, strict=True):
        mark = " *" if row.name in view.remarks else ""
        name = Text(row.name)
        name.truncate(room - len(mark), overflow="ellipsis")
        name.append(mark)
        table.add_row(name, *cells)
    return table


def _alone(row: CapabilityView) -> tuple[Text, ...]:
    return Text(row.candidate_shown), Text(row.n_shown), Text(row.missing_shown)


def _compared(row: CapabilityView, width: int) -> tuple[Text, ...]:
    claim = row.claims[0] if width < 110 else row.claims_shown
    difference = f"{row.delta_shown} {row.interval_shown}".strip()
    shown = Text(f"{row.mark} {claim}", style=_STYLE[row.tone])
    return Text(row.role.value), Text(row.baseline_shown), Text(row.candidate_shown), Text(difference), shown
