"""Progress for people: a bar with rate and time left on a terminal, plain lines in CI and in files."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from harness.runner import Watcher

LINE_EVERY_S = 10.0


def watcher() -> Watcher:
    """The right one for where stderr goes; stdout stays free for the result."""
    return BarWatcher() if sys.stderr.isatty() else LineWatcher()


def _left(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


class _Counts:
    """What both kinds of watcher count. The rate is that of real requests, cached answers would flatter it."""

    def __init__(self) -> None:
        self.total = self.done = self.cached = self.errored = 0
        self.started = 0.0

    def start(self, total: int) -> None:
        self.total, self.done, self.cached, self.errored = total, 0, 0, 0
        self.started = time.monotonic()

    def add(self, cached: bool, errored: bool) -> None:
        self.done += 1
        self.cached += cached
        self.errored += errored

    @property
    def rate(self) -> float:
        return (self.done - self.cached) / max(1e-9, time.monotonic() - self.started)

    def describe(self) -> str:
        parts = [f"{self.rate:.0f} req/s"]
        if self.cached:
            parts.append(f"{self.cached} from the store")
        if self.errored:
            parts.append(f"{self.errored} failed")
        return ", ".join(parts)


class LineWatcher:
    """One line at the start, every ten seconds, and at the end."""

    def __init__(self) -> None:
        self._counts = _Counts()
        self._title = ""
        self._next = 0.0

    def begin(self, title: str, total: int) -> None:
        self._title = title
        self._counts.start(total)
        self._next = time.monotonic() + LINE_EVERY_S

    def advance(self, *, cached: bool, errored: bool) -> None:
        self._counts.add(cached, errored)
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + LINE_EVERY_S
            left = (self._counts.total - self._counts.done) / max(1e-9, self._counts.rate)
            self._print(f"{self._counts.done}/{self._counts.total}, {self._counts.describe()}, about {_left(left)} left")

    def end(self) -> None:
        seconds = time.monotonic() - self._counts.started
        self._print(f"{self._counts.done}/{self._counts.total} in {_left(seconds)}, {self._counts.describe()}")

    def _print(self, text: str) -> None:
        sys.stderr.write(f"{self._title}: {text}\n")
        sys.stderr.flush()


class BarWatcher:
    """A rich progress bar."""

    def __init__(self) -> None:
        self._counts = _Counts()
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def begin(self, title: str, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._counts.start(total)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        self._bar = Progress(*columns, console=Console(stderr=True))
        self._bar.start()
        self._task = self._bar.add_task(title, total=total, note="")

    def advance(self, *, cached: bool, errored: bool) -> None:
        self._counts.add(cached, errored)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, advance=1, note=self._counts.describe())

    def end(self) -> None:
        if self._bar is not None:
            self._bar.stop()
