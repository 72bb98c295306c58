"""Small inline SVG drawings: one forest-plot row, its axis, one bar of the seesaw.

They are fluid: horizontal positions are percentages of whatever width the page gives, so that one drawing serves 1280 and 400
pixels. Geometry only: no number that a reader reads is computed here. Colours come from classes in style.css, and every colour
also has a shape.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from reports.choice import CombinationView
from reports.nouns import CapabilityView, CurveView, EvidenceView, SeesawView, TrackView
from reports.text import signed

# 14 x 14 shapes around the origin, by mark: filled for what is shown, hollow for what is weaker.
_SHAPES = {
    "\u25b2": ('<path d="M0-6 6 5-6 5Z"/>', "full"),
    "\u25bc": ('<path d="M0 6 6-5-6-5Z"/>', "full"),
    "\u25bd": ('<path d="M0 6 6-5-6-5Z"/>', "hollow"),
    "=": ('<rect x="-5" y="-5" width="10" height="10"/>', "full"),
    "\u2265": ('<circle r="5"/>', "full"),
    "?": ('<path d="M0-6 6 0 0 6-6 0Z"/>', "hollow"),
}


@dataclass(frozen=True, slots=True)
class Scale:
    """A range of differences in [-1, 1] laid over 0..100 percent, with round ticks."""

    low: float
    high: float
    ticks: tuple[float, ...] = ()

    def at(self, value: float) -> str:
        share = (value - self.low) / (self.high - self.low)
        return f"{100 * min(max(share, 0.0), 1.0):.3f}%"


def forest_scale(rows: Sequence[CapabilityView]) -> Scale:
    """Wide enough for every interval, every margin and zero, in round steps."""
    values = [0.0]
    for row in rows:
        values += [v for v in (row.delta, row.low, row.high) if v is not None]
        values += [-row.margin] if row.margin else []
    return _rounded(min(values), max(values))


def score_scale(rows: Sequence[CombinationView]) -> Scale:
    """Scores from the lowest bound or goal to the highest, within 0 and 1, with round ticks inside."""
    low, high = min(min(row.low, row.goal) for row in rows), max(max(row.high, row.goal) for row in rows)
    found = _rounded(low, high)
    half = (found.high - found.low) / (len(found.ticks) - 1) / 2
    ticks = tuple(found.low + half * i for i in range(2 * len(found.ticks) - 1))
    return Scale(max(found.low, -0.02), min(found.high, 1.02), tuple(t for t in ticks if -1e-9 <= t <= 1.0 + 1e-9))


def seesaw_scale(view: SeesawView) -> Scale:
    """Symmetric around zero: a seesaw has its pivot in the middle."""
    reach = max((abs(row.delta or 0.0) for row in view.rows), default=0.0) or 0.01
    return Scale(-1.04 * reach, 1.04 * reach)


def _rounded(low: float, high: float) -> Scale:
    span = max(high - low, 0.02)
    raw = span / 4
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(s * size for s in (1, 2, 5, 10) if s * size >= raw)
    first, last = math.floor(low / step - 0.15), math.ceil(high / step + 0.15)
    ticks = tuple(i * step for i in range(first, last + 1))
    return Scale(first * step, last * step, ticks)


def _svg(inner: str, height: int, name: str, css: str) -> Markup:
    role = f'role="img" aria-label="{escape(name)}"' if name else 'aria-hidden="true"'
    return Markup(f'<svg class="{css}" width="100%" height="{height}" {role}>{inner}</svg>')  # noqa: S704 - numbers and constants; name is escaped


def forest(row: CapabilityView, scale: Scale) -> Markup:
    """Zero line, dashed margin line with the forbidden side shaded, the interval with its ends, the point."""
    zero = scale.at(0.0)
    parts = []
    if row.margin:
        edge = scale.at(-row.margin)
        parts.append(f'<rect class="beyond" x="0" y="0" width="{edge}" height="30"/>')
        parts.append(f'<line class="margin" x1="{edge}" x2="{edge}" y1="0" y2="30"/>')
    parts.append(f'<line class="zero" x1="{zero}" x2="{zero}" y1="0" y2="30"/>')
    if row.low is not None and row.high is not None:
        a, b = scale.at(row.low), scale.at(row.high)
        parts.append(f'<g class="range {row.tone}"><line x1="{a}" x2="{b}" y1="15" y2="15"/>')
        parts.append(f'<line x1="{a}" x2="{a}" y1="10" y2="20"/><line x1="{b}" x2="{b}" y1="10" y2="20"/></g>')
    if row.delta is not None:
        parts.append(_point(row, scale.at(row.delta)))
    name = f"{row.name}: {row.delta_shown} {row.interval_shown}, margin {row.margin_shown}, {row.claims_shown}"
    return _svg("".join(parts), 30, name, "forest")


def score(row: CombinationView, scale: Scale) -> Markup:
    """The dashed goal line with what falls short of it shaded, the interval with its ends, the point."""
    goal, a, b = scale.at(row.goal), scale.at(row.low), scale.at(row.high)
    parts = [
        f'<rect class="beyond" x="0" y="0" width="{goal}" height="30"/>',
        f'<line class="margin" x1="{goal}" x2="{goal}" y1="0" y2="30"/>',
        f'<g class="range {row.tone}"><line x1="{a}" x2="{b}" y1="15" y2="15"/>',
        f'<line x1="{a}" x2="{a}" y1="10" y2="20"/><line x1="{b}" x2="{b}" y1="10" y2="20"/></g>',
    ]
    if row.mean is not None:
        parts.append(_point(row, scale.at(row.mean)))
    return _svg("".join(parts), 30, f"{row.name}: {row.mean_shown} {row.bounds_shown}, {row.reach}", "forest")


def _point(row: CapabilityView | CombinationView, x: str) -> str:
    shape, fill = _SHAPES.get(row.mark, _SHAPES["?"])
    return f'<svg x="{x}" y="15" overflow="visible"><g class="point {row.tone} {fill}">{shape}</g></svg>'


def axis(scale: Scale, *, signs: bool = True) -> Markup:
    """Tick labels in percentage points; signs: of differences, which scores do not have."""
    digits = 0 if all(abs(100 * t - round(100 * t)) < 1e-9 for t in scale.ticks) else 1
    ticks = scale.ticks[1:-1] or scale.ticks
    named = [(t, signed(100 * t, digits) if signs else f"{100 * t:.{digits}f}") for t in ticks]
    inner = [f'<text x="{scale.at(t)}" y="12">{name}</text>' for t, name in named]
    return _svg("".join(inner), 16, "", "axis")


def bar(row: CapabilityView, scale: Scale) -> Markup:
    """A gain to the right of the pivot or a loss to the left; advisory capabilities are drawn hollow."""
    delta = row.delta or 0.0
    left, right = sorted((0.0, delta))
    width = f"{float(scale.at(right)[:-1]) - float(scale.at(left)[:-1]):.3f}%"
    css = f"bar {'gain' if delta >= 0 else 'loss'}" + (" advisory" if row.role == "advisory" else "")
    inner = f'<rect class="{css}" x="{scale.at(left)}" y="4" width="{width}" height="12" rx="2"/>'
    inner += f'<line class="zero" x1="{scale.at(0.0)}" x2="{scale.at(0.0)}" y1="0" y2="20"/>'
    return _svg(inner, 20, f"{row.name}: {row.delta_shown}", "bars")


def evidence(row: EvidenceView) -> Markup:
    """Two lines over the planned cases, clipped two decades below nothing and half a decade above what decides."""
    bottom, top = -2.0, row.limit + 0.5
    height, width = 80.0, 300.0

    def x(n: float) -> float:
        return width * n / max(row.n_planned, row.n, 1)

    def y(value: float) -> float:
        return height * (top - min(max(value, bottom), top)) / (top - bottom)

    def line(name: str, points: Sequence[tuple[int, float]]) -> str:
        return f'<polyline class="{name}" points="{" ".join(f"{x(n):.1f},{y(value):.1f}" for n, value in points)}"/>'

    limit, start = f"{y(row.limit):.1f}", f"{y(0.0):.1f}"
    parts = [
        f'<rect class="spared" x="{x(row.n):.1f}" y="0" width="{width - x(row.n):.1f}" height="{height:g}"/>',
        f'<line class="zero" x1="0" x2="{width:g}" y1="{start}" y2="{start}"/>',
        f'<line class="limit" x1="0" x2="{width:g}" y1="{limit}" y2="{limit}"/>',
        line("against", row.below),
        line("for", row.above),
    ]
    if row.decided_at is not None:
        at = f"{x(row.decided_at):.1f}"
        parts.append(f'<line class="at" x1="{at}" x2="{at}" y1="0" y2="{height:g}"/>')
    name = escape(f"{row.name}: {row.sentence}")
    box = f'viewBox="0 0 {width:g} {height:g}" preserveAspectRatio="none" width="100%" height="{height:g}"'
    return Markup(f'<svg class="evidence" {box} role="img" aria-label="{name}">{"".join(parts)}</svg>')  # noqa: S704 - as above


def track(row: TrackView) -> Markup:
    """Scores over the checkpoints between 0 and 1: a line that is broken where a score is missing, and a dot for each."""
    width, height, last = 200.0, 36.0, max(len(row.scores) - 1, 1)
    points = [(4 + (width - 8) * i / last, 3 + (height - 6) * (1.0 - s)) for i, s in enumerate(row.scores) if s is not None]
    stretches: list[list[str]] = [[]]
    known = iter(points)
    for score in row.scores:
        if score is None:
            stretches.append([])
        else:
            x, y = next(known)
            stretches[-1].append(f"{x:.1f},{y:.1f}")
    lines = "".join(f'<polyline points="{" ".join(stretch)}"/>' for stretch in stretches if len(stretch) > 1)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2"/>' for x, y in points)
    name = escape(f"{row.name}: {row.first_shown} to {row.last_shown}")
    box = f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}"'
    return Markup(f'<svg class="trail" {box} role="img" aria-label="{name}">{lines}{dots}</svg>')  # noqa: S704 - as above


def curve(view: CurveView) -> Markup:
    """Lines over steps, each with its own dash beside its colour, and a rule at this candidate's step; ticks stand outside."""
    width, height = 300.0, 120.0
    (first, last), (low, high) = view.steps, view.values

    def x(step: float) -> float:
        return width * (step - first) / (last - first)

    def line(number: int, points: Sequence[tuple[float, float]]) -> str:
        placed = [(x(step), height * (high - value) / (high - low)) for step, value in points]
        if len(placed) == 1:
            (across, down) = placed[0]
            placed = [(max(across - 2, 0.0), down), (min(across + 2, width), down)]
        return f'<polyline class="c{number}" points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in placed)}"/>'

    parts = [f'<line class="grid" x1="0" x2="{width:g}" y1="{y:g}" y2="{y:g}"/>' for y in (0, height / 2, height)]
    if view.at is not None:
        parts.append(f'<line class="at" x1="{x(view.at):.1f}" x2="{x(view.at):.1f}" y1="0" y2="{height:g}"/>')
    parts += [line(number, points) for number, (_, points) in enumerate(view.series)]
    box = f'viewBox="0 0 {width:g} {height:g}" preserveAspectRatio="none" width="100%" height="{height:g}"'
    return Markup(f'<svg class="curve" {box} role="img" aria-label="{escape(view.sentence)}">{"".join(parts)}</svg>')  # noqa: S704 - as above


def key(number: int) -> Markup:
    """The stroke of a curve's series, for its legend."""
    line = f'<line class="c{number:d}" x1="0" x2="24" y1="4" y2="4"/>'
    return Markup(f'<svg class="key" width="24" height="8" aria-hidden="true">{line}</svg>')  # noqa: S704 - a number
