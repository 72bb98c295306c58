"""Progress of a training: a bar with the time left on a terminal, plain lines in CI and in files."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from training.result import Progress, Report


@contextlib.contextmanager
def reporter() -> Iterator[Report]:
    """The right one for where stderr goes; stdout stays free for the result."""
    if not sys.stderr.isatty():
        yield line
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("step"), BarColumn(bar_width=20), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, TextColumn("{task.fields[note]}"), console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=None, note="")

        def show(progress: Progress) -> None:
            bar.update(task, completed=progress.step, total=progress.steps, note=_figures(progress))

        yield show


def line(progress: Progress) -> None:
    """Trainers log every few seconds, and a line is as good there as a bar."""
    left = "" if progress.eta_s is None or not progress.loss else f", about {_left(progress.eta_s)} left"
    click.echo(f"step {progress.step}/{progress.steps} (epoch {progress.epoch:.2f}) {_figures(progress)}{left}", err=True)


def _figures(progress: Progress) -> str:
    loss = f"loss {progress.loss:.4f}" if progress.loss is not None else ""
    return ", ".join(part for part in (loss, progress.note) if part)


def _left(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
