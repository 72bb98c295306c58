"""The training that a run's candidate came of, as a report shows it: from the store alone, whatever became of its files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import curves
from reports.nouns import CurveView, TrainingView
from reports.text import UNKNOWN, label, moment, plain, plural, seconds

if TYPE_CHECKING:
    from harness.store.trainings import SavedCheckpoint, Training

_MOST_POINTS, _MOST_CHECKPOINTS, _MOST_FILES = 400, 60, 20
_PLACES = ("model_name_or_path", "output_dir", "dataset", "stage")  # recipe keys that have a line of their own


def view(made: Training, step: int | None, cases: int) -> TrainingView:
    """step: where the candidate is one of its checkpoints. cases: how many its rows come of, 0 where no row says."""
    rows = sum(file.rows for file in made.data)
    of = f", of {plural(cases, 'case')}" if cases else ""
    at = f", as it stood at step {step:,}" if step is not None else ""
    return TrainingView(
        sentence=f"This candidate came of {label(made.stage, 20)} on {plural(rows, 'row')}{of}{at}.",
        facts=(
            ("Training", label(made.id, 40)),
            ("Base", label(made.base, 400)),
            ("Written to", label(made.output, 400)),
            ("Begun", moment(made.started_at)),
            ("Took", seconds(made.finished_at - made.started_at)),
        ),
        recipe=tuple((label(key, 60), _setting(value)) for key, value in made.recipe.items() if _tells(key, value)),
        files=tuple((label(f.path, 400), f"{f.rows:,}", label(f.sha256[:16])) for f in made.data[:_MOST_FILES]),
        metrics=tuple((label(name, 60), _figure(value)) for name, value in made.metrics.items()),
        checkpoints=tuple(_checkpoint(point, step) for point in made.checkpoints[-_MOST_CHECKPOINTS:]),
        curves=tuple(_curve(panel, step) for panel in curves.panels(made.history)),
    )


def _checkpoint(point: SavedCheckpoint, step: int | None) -> tuple[str, str, str]:
    what = ["the best by this loss"] if point.best else []
    what += ["this candidate"] if point.step == step else []
    return f"{point.step:,}", _figure(point.eval_loss), ", ".join(what)


def _curve(panel: curves.Panel, step: int | None) -> CurveView:
    (first, last), (low, high) = panel.steps, panel.values
    series = tuple((name, curves.thinned(points, _MOST_POINTS)) for name, points in panel.series)
    ends = [f"{name} {_figure(points[0][1])} to {_figure(points[-1][1])}" for name, points in series]
    return CurveView(
        title=panel.title,
        series=series,
        steps=(first, last),
        values=(low, high),
        at=step if step is not None and first <= step <= last else None,
        ticks=(_figure(high), _figure((low + high) / 2), _figure(low)),
        ends=(f"step {first:g}", f"{last:g}"),
        sentence=f"{panel.title} over {last - first:g} steps: " + "; ".join(ends),
    )


def _figure(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.4g}"


def _tells(key: str, value: object) -> bool:
    return key not in _PLACES and value is not None


def _setting(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:g}" if isinstance(value, float) else plain(value)
    if isinstance(value, list | tuple):
        return label(", ".join(map(str, value)), 400)
    return label(value, 400)
