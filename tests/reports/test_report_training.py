"""The training a run's candidate came of, in its report: curves drawn from the store, whatever became of the training's files."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.reports_fake import seesaw
from support.runs import make_record, make_request, make_response, make_score

from harness.cli import call
from harness.curves import Panel, panels, thinned
from harness.model import Candidate
from harness.store import Store
from harness.store.trainings import SavedCheckpoint, TrainedFile, TrainedRow, Training, save_training
from reports import charts, html, trainings
from reports.view import build

ATTACK = "</svg></section><script>alert(1)</script>\u202e"


def made(**changes: Any) -> Training:
    steps = range(10, 110, 10)
    history: list[dict[str, float]] = [
        {"step": s, "loss": 7 / s, "learning_rate": 1e-5 * (110 - s), "rewards/chosen": s / 50, "rewards/rejected": -s / 40}
        | {"rewards/margins": s / 22, "rewards/accuracies": min(1.0, s / 60)}
        for s in steps
    ]
    history += [{"step": s, "eval_loss": 0.9 - s / 200 + (s == 100) * 0.2} for s in (50, 100)]
    values: dict[str, Any] = {
        "id": "tabc123",
        "stage": "dpo",
        "base": "suites/quickstart/models/base",
        "output": "/gone/for/good",
        "weights": "d" * 64,
        "status": "complete",
        "recipe": {"stage": "dpo", "learning_rate": 1e-5, "lora_target": ["q_proj", "v_proj"], "bf16": True, "deepspeed": None},
        "data": (TrainedFile("/gone/pairs.jsonl", "a" * 64, 1_400),),
        "metrics": {"train_loss": 0.51234, "eval_loss": 0.6},
        "history": tuple(history),
        "provenance": {},
        "started_at": 1000.0,
        "finished_at": 1042.0,
        "checkpoints": (SavedCheckpoint(50, "/gone/50", "e" * 64, 0.65, True), SavedCheckpoint(100, "/gone/100", None, 0.6)),
    }
    return Training(**values | changes)


def page(training: Training, step: int | None = None, cases: int = 12) -> str:
    return html.render(build(seesaw(), "cand00000001", training=(training, step, cases)))


def section(text: str) -> str:
    return text[text.index('<section id="training">') :].partition("</section>")[0]


def test_recipe_rows_metrics_checkpoints_and_curves_are_shown() -> None:
    shown = section(page(made(), step=50))
    assert "This candidate came of dpo on 1,400 rows, of 12 cases, as it stood at step 50." in shown
    assert shown.count('<svg class="curve"') == 4
    assert re.findall(r"<figcaption>([a-z ]+?) ?<small", shown) == ["loss", "rewards", "accuracy", "learning rate"]
    for text in ("q_proj, v_proj", "1e-05", "/gone/pairs.jsonl", "0.5123", "the best by this loss, this candidate", "42.00 s"):
        assert text in shown
    assert 'aria-label="loss over 90 steps: training 0.7 to 0.07; held out 0.65 to 0.6"' in shown
    assert "as it stood" not in section(page(made()))
    assert '<section id="training">' not in html.render(build(seesaw(), "cand00000001"))


def test_hostile_names_and_numbers_stay_text() -> None:
    bad = made(
        stage=ATTACK,
        base=ATTACK,
        output=ATTACK,
        recipe={ATTACK: ATTACK, "dataset": ATTACK},
        data=(TrainedFile(ATTACK, ATTACK, 1),),
        metrics={ATTACK: 1.0},
        history=({"step": 1.0, "loss": float("nan")}, {"step": float("inf"), "loss": 1.0}, {"step": 2.0, "loss": ATTACK}),
    )
    shown = page(bad)
    assert shown.count("<script>") == 1
    assert "alert(1)" in section(shown).replace("&lt;/", "")
    assert '<svg class="curve"' not in shown
    assert "\u202e" not in shown


@given(st.lists(st.tuples(st.integers(0, 10**6), st.floats(-1e9, 1e9)), min_size=1, max_size=40), st.integers(0, 10**6))
def test_every_point_lies_in_the_drawing(points: list[tuple[int, float]], step: int) -> None:
    history = tuple({"step": float(s), "loss": value} for s, value in points)
    (curve,) = trainings.view(made(history=history), step, 0).curves
    drawn = ElementTree.fromstring(str(charts.curve(curve)))
    numbers = [tuple(map(float, pair.split(","))) for line in drawn.iter("polyline") for pair in str(line.get("points")).split()]
    assert numbers
    assert all(0 <= x <= 300 and 0 <= y <= 120 for x, y in numbers)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=3_000))
def test_thinning_loses_no_peak_and_keeps_the_order(values: list[float]) -> None:
    points = tuple((float(i), value) for i, value in enumerate(values))
    kept = thinned(points, 100)
    assert len(kept) <= 100
    assert set(kept) <= set(points)
    assert list(kept) == sorted(kept)
    assert {min(values), max(values)} <= {value for _, value in kept}


def test_panels_of_a_log_leave_out_what_is_no_number() -> None:
    odd: tuple[dict[str, object], ...] = ({"step": 1, "loss": 1}, {"step": None, "loss": 2.0}, {"step": 2, "loss": "x"})
    assert panels(odd) == (Panel("loss", (("training", ((1.0, 1.0),)),)),)


def test_a_report_finds_the_training_by_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command, a real store, and nothing left of the training's folder; a checkpoint's run leads there as well."""
    monkeypatch.chdir(tmp_path)
    with Store.open(tmp_path / "store") as store:
        save_training(store, made(), [TrainedRow(0, n, None, f"c{n % 3}", "r1") for n in range(9)])
        for run_id, weights in (("adapter00001", "d" * 64), ("checkpoint01", "e" * 64), ("untrained001", "f" * 64)):
            candidate = Candidate("sft", "sft", weights)
            request = replace(make_request(1), candidate=candidate)
            record = make_record(run_id, candidate=candidate)
            with store.begin_run(record, "suite: demo", {"suite": "demo"}, [request]) as writer:
                response = make_response(request)
                writer.add_response(request, response)
                writer.add_score(request, response, make_score(), "digest")
                writer.finish("complete")
    for run_id, expected in (
        ("adapter00001", "of 3 cases."),
        ("checkpoint01", "of 3 cases, as it stood at step 50."),
        ("untrained001", ""),
    ):
        assert call(["report", run_id, "--store", "store", "--output", f"{run_id}.html"]) == 0
        text = Path(f"{run_id}.html").read_text(encoding="utf-8")
        assert expected in text
        assert ('<section id="training">' in text) == bool(expected)


@pytest.mark.browser
def test_it_is_seen_in_a_browser_wide_and_narrow(tmp_path: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright here: pip install playwright")
    if chromium is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    (tmp_path / "page.html").write_text(page(made(output="/a/very/long/path" * 12), step=50), encoding="utf-8")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for width in (1280, 400):
            seen = browser.new_page(viewport={"width": width, "height": 900})
            seen.goto((tmp_path / "page.html").as_uri())
            assert seen.evaluate("document.documentElement.scrollWidth") <= width
            for drawing in seen.locator("#training svg.curve").all():
                box = drawing.bounding_box()
                assert box is not None
                assert box["width"] >= 150
                assert box["height"] == pytest.approx(120, abs=1)
            strokes = "[...document.querySelectorAll('#training .c0, #training .c1')].map(e => getComputedStyle(e).stroke)"
            assert len(set(seen.evaluate(strokes))) == 2
        browser.close()
