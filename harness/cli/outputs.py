"""A stored run -> the files people and CI read. One view, any number of renderers."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UsageError
from harness.store import Store

if TYPE_CHECKING:
    from harness.model import SliceComparison
    from harness.store.trainings import Training
    from reports.view import ReportView


def renderers() -> Mapping[str, Callable[[ReportView], str]]:
    """Format -> renderer."""
    from reports.html import render as html
    from reports.json_report import render as json
    from reports.junit import render as junit
    from reports.markdown import render as markdown

    return {"html": html, "markdown": markdown, "junit": junit, "json": json}


def view_of(
    store: Store, run_id: str, baseline_id: str | None = None, *, asked: Sequence[SliceComparison] | None = None
) -> ReportView:
    from harness.store.labels import LabelStore
    from reports.view import build

    run = store.run(run_id)
    labels = LabelStore(store).labels(run.id)
    return build(store, run_id, baseline_id, asked=asked, labels=labels, training=_training_of(store, run.candidate.digest))


def _training_of(store: Store, weights: str) -> tuple[Training, int | None, int] | None:
    """The stored training these weights came of, with what reports.view needs beside it."""
    from harness.store.trainings import cases_of, trained

    found = trained(store, weights)
    return (*found, len(cases_of(store, found[0].id))) if found else None


def check_paths(paths: Iterable[Path]) -> None:
    """Raise UsageError for a report that could not be written: better before hours of asking than after them."""
    for path in paths:
        above = next(folder for folder in path.absolute().parents if folder.exists())
        if path.is_dir():
            raise UsageError("cannot write the report: it is a directory", where=str(path), todo="Name a file")
        if not above.is_dir() or not os.access(above, os.W_OK):
            what = f"cannot write the report: {above} is " + ("not writable" if above.is_dir() else "a file, not a directory")
            raise UsageError(what, where=str(path), todo="Give another path")


def write(view: ReportView, files: Mapping[str, Path]) -> None:
    """Render the view into each format's file; UsageError when one cannot be written."""
    rendering = renderers()
    for form, path in files.items():
        text = rendering[form](view)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"cannot write the report: {error.strerror}", where=str(path), todo="Give another path") from error


def default_path(store: Store, suite: str, candidate: str, run_id: str) -> Path:
    """Where the HTML report goes when nobody says: beside the store, named so that people find it."""
    name = re.sub(r"[^\w.-]+", "-", f"{suite}-{candidate}", flags=re.ASCII)[:80]
    return store.path / "reports" / f"{name}-{run_id}.html"
