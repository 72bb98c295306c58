"""Curves: one scene in three files; nothing of a log is taken for markup, and odd numbers do no harm."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from harness.curves import Panel, panels
from training.curves import HEIGHT, WIDTH, draw_curves, svg

DPO = (
    {"step": 1.0, "loss": 0.7, "learning_rate": 0.0, "rewards/chosen": 0.0, "rewards/rejected": 0.0, "rewards/accuracies": 0.0},
    {"step": 2.0, "loss": 0.5, "learning_rate": 1e-4, "rewards/chosen": 0.2, "rewards/rejected": -0.1, "rewards/accuracies": 1.0},
    {"step": 2.0, "eval_loss": 0.6, "eval_rewards/accuracies": 0.5},
    {"train_loss": 0.6, "step": 2.0},
)


def test_panels_are_what_the_log_has() -> None:
    assert [panel.title for panel in panels(DPO)] == ["loss", "rewards", "accuracy", "learning rate"]
    loss = panels(DPO)[0]
    assert loss.series == (("training", ((1.0, 0.7), (2.0, 0.5))), ("held out", ((2.0, 0.6),)))
    assert panels(()) == ()
    assert panels(({"step": 1.0, "loss": float("nan")},)) == ()


def test_three_files_are_written(tmp_path: Path) -> None:
    from PIL import Image

    draw_curves(DPO, tmp_path, title="dpo on <base> & co")
    root = ElementTree.parse(tmp_path / "curves.svg").getroot()
    assert root.get("viewBox") == f"0 0 {WIDTH} {4 * HEIGHT}"
    page = (tmp_path / "curves.html").read_text(encoding="utf-8")
    assert "<h1>dpo on &lt;base&gt; &amp; co</h1>" in page
    assert "http" not in page.replace('xmlns="http://www.w3.org/2000/svg"', "")
    with Image.open(tmp_path / "curves.png") as image:
        assert image.size == (2 * WIDTH, 8 * HEIGHT)
        assert len(image.getcolors(1 << 20) or ()) > 4
    draw_curves((), tmp_path / "none", title="x")
    assert not (tmp_path / "none").exists()


@given(st.lists(st.tuples(st.integers(0, 10**6), st.floats(-1e9, 1e9)), min_size=1, max_size=30))
def test_every_point_lies_in_the_picture(points: list[tuple[int, float]]) -> None:
    root = ElementTree.fromstring(svg((Panel("p", (("s", tuple((float(x), y) for x, y in points)),)),)))
    for line in root.iter("{http://www.w3.org/2000/svg}polyline"):
        for pair in str(line.get("points")).split():
            x, y = map(float, pair.split(","))
            assert 0 <= x <= WIDTH
            assert 0 <= y <= HEIGHT
