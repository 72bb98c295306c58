"""The curves of harness.curves as files beside an adapter: SVG, a small HTML page and PNG.

One scene of lines and texts is made and drawn twice, so that both pictures show the same. PNG needs Pillow, else there is none.
"""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.curves import Panel, panels
from training.result import History

WIDTH, HEIGHT = 640, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 12, 28, 26
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#8c564b")  # told apart by colour-blind eyes too
_GREY, _INK = "#d0d0d0", "#222222"


@dataclass(frozen=True, slots=True)
class _Line:
    points: tuple[tuple[float, float], ...]
    colour: str
    width: int = 1


@dataclass(frozen=True, slots=True)
class _Text:
    x: float
    y: float
    text: str
    colour: str = _INK
    anchor: str = "start"  # start | middle | end


def draw_curves(history: History, folder: Path, *, title: str) -> None:
    """Write curves.svg, curves.html and curves.png into the folder; nothing where the log has no point."""
    found = panels(history)
    if not found:
        return
    folder.mkdir(parents=True, exist_ok=True)
    picture = svg(found)
    (folder / "curves.svg").write_text(picture, encoding="utf-8")
    (folder / "curves.html").write_text(page(picture, title), encoding="utf-8")
    png(found, folder / "curves.png")


def _scene(found: tuple[Panel, ...]) -> Iterator[_Line | _Text]:
    for number, panel in enumerate(found):
        yield from _panel(panel, number * HEIGHT)


def _panel(panel: Panel, top: float) -> Iterator[_Line | _Text]:
    (first, last), (low, high) = panel.steps, panel.values
    right, bottom = WIDTH - _RIGHT, top + HEIGHT - _BOTTOM

    def place(x: float, y: float) -> tuple[float, float]:
        across = _LEFT + (x - first) / (last - first) * (right - _LEFT)
        return round(across, 1), round(bottom - (y - low) / (high - low) * (bottom - top - _TOP), 1)

    yield _Text(_LEFT, top + 18, panel.title)
    for tick in (low, (low + high) / 2, high):
        y = place(first, tick)[1]
        yield _Line(((_LEFT, y), (right, y)), _GREY)
        yield _Text(_LEFT - 6, y + 4, f"{tick:.3g}", anchor="end")
    yield _Text(_LEFT, bottom + 16, f"{first:g}", anchor="middle")
    yield _Text(right, bottom + 16, f"step {last:g}", anchor="end")
    for number, (name, points) in enumerate(panel.series):
        colour = _COLOURS[number % len(_COLOURS)]
        placed = tuple(place(x, y) for x, y in points)
        if len(placed) == 1:
            (x, y) = placed[0]
            placed = ((x - 3, y), (x + 3, y))
        yield _Line(placed, colour, 2)
        yield _Text(right - 96 * (len(panel.series) - 1 - number), top + 18, name, colour, "end")


def svg(found: tuple[Panel, ...]) -> str:
    """One SVG with the panels below one another."""
    height = HEIGHT * len(found)
    look = 'role="img" font-family="sans-serif" font-size="12"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" {look}>',
        f"<title>{html.escape(', '.join(panel.title for panel in found))} over steps</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    for item in _scene(found):
        if isinstance(item, _Line):
            points = " ".join(f"{x:g},{y:g}" for x, y in item.points)
            parts.append(f'<polyline points="{points}" fill="none" stroke="{item.colour}" stroke-width="{item.width}"/>')
        else:
            at = f'x="{item.x:g}" y="{item.y:g}" fill="{item.colour}" text-anchor="{item.anchor}"'
            parts.append(f"<text {at}>{html.escape(item.text)}</text>")
    return "\n".join([*parts, "</svg>"]) + "\n"


def page(picture: str, title: str) -> str:
    """A page that holds the picture and needs nothing else."""
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<meta name="viewport" content="width=device-width">\n'
        f"<title>{html.escape(title)}</title>\n"
        "<style>body{font:16px sans-serif;margin:1rem auto;max-width:60rem;padding:0 1rem}svg{width:100%;height:auto}</style>\n"
        f"<h1>{html.escape(title)}</h1>\n{picture}</html>\n"
    )


def png(found: tuple[Panel, ...], path: Path) -> bool:
    """The same scene as PNG, twice as large. False, and no file, without Pillow."""
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ImportError:
        return False
    scale = 2
    image = Image.new("RGB", (WIDTH * scale, HEIGHT * len(found) * scale), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(12 * scale)
    anchors = {"start": "ls", "middle": "ms", "end": "rs"}
    for item in _scene(found):
        if isinstance(item, _Line):
            draw.line([(x * scale, y * scale) for x, y in item.points], fill=item.colour, width=item.width * scale)
        else:
            draw.text((item.x * scale, item.y * scale), item.text, fill=item.colour, font=font, anchor=anchors[item.anchor])
    image.save(path)
    return True
