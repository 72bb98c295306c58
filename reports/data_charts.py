"""Drawings of the data page: one bar cut into parts, and a histogram. Fluid, like charts.py: positions are percentages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from reports.data import Histogram, Part

_HEIGHT = 120


def stacked(parts: Sequence[Part], name: str) -> Markup:
    """The parts side by side, each as wide as its share; a part that is there is never thinner than a line."""
    total = sum(part.count for part in parts) or 1
    at, pieces = 0.0, []
    for part in parts:
        width = 100 * part.count / total
        if part.count:
            pieces.append(f'<rect class="fill {part.tone}" x="{at:.3f}%" y="0" width="{max(width, 0.4):.3f}%" height="22"/>')
        at += width
    said = f"{name}: " + ", ".join(f"{part.name} {part.count:,}" for part in parts)
    return Markup(f'<svg class="stacked" width="100%" height="22" role="img" aria-label="{escape(said)}">{"".join(pieces)}</svg>')  # noqa: S704 - numbers and constants; the name is escaped


def histogram(data: Histogram) -> Markup:
    """Bars over the range of lengths, the limit as a dashed line with all beyond it in the colour of what is cut."""
    if not data.bins:
        return Markup("")
    low, most = data.bins[0][0], max(rows for _, _, rows in data.bins) or 1
    high, count = data.bins[-1][1], len(data.bins)
    parts = []
    for number, (first, last, rows) in enumerate(data.bins):
        if rows:
            height = max(_HEIGHT * rows / most, 1.5)
            tone = "bad" if data.limit is not None and first > data.limit else "good"
            title = f"<title>{first:,} to {last:,}{' and more' if number == count - 1 else ''}: {rows:,}</title>"
            parts.append(
                f'<rect class="fill {tone}" x="{100 * number / count:.3f}%" y="{_HEIGHT - height:.1f}" '
                f'width="{92 / count:.3f}%" height="{height:.1f}">{title}</rect>'
            )
    if data.limit is not None and low <= data.limit <= high:
        x = f"{100 * (data.limit + 1 - low) / (high - low + 1):.3f}%"
        parts.append(f'<line class="margin" x1="{x}" x2="{x}" y1="0" y2="{_HEIGHT}"/>')
    parts.append(f'<line class="zero" x1="0" x2="100%" y1="{_HEIGHT}" y2="{_HEIGHT}"/>')
    middle = (low + high) // 2
    for x, anchor, text in (("0", "first", f"{low:,}"), ("50%", "middle", f"{middle:,}"), ("100%", "last", f"{high:,}+")):
        parts.append(f'<text class="{anchor}" x="{x}" y="{_HEIGHT + 14}">{text}</text>')
    name = f"{data.name} in {data.unit}: " + ", ".join(f"{key} {value}" for key, value in data.facts)
    size = f'width="100%" height="{_HEIGHT + 18}"'
    svg = f'<svg class="histogram" {size} role="img" aria-label="{escape(name)}">{"".join(parts)}</svg>'
    return Markup(svg)  # noqa: S704 - as above
