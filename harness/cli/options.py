"""Options that several commands share, and the store they open."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from harness.checks import SpecFault
    from harness.store import Store
    from harness.suite import Capability, Suite
    from harness.suite.spec import SuiteFile

Command = Callable[..., Any]


def store_option(function: Command) -> Command:
    return click.option(
        "--store",
        "store_dir",
        type=click.Path(path_type=Path),
        envvar="HARNESS_STORE",
        default=Path(".harness"),
        show_default=True,
        help="Directory of the store.",
    )(function)


def open_store(path: Path, *, create: bool = False) -> Store:
    """The store, telling on stderr when another process makes us wait."""
    from harness.store import Store

    return Store.open(path, create=create, notify=lambda text: click.echo(text, err=True))


def today() -> date:
    """The day in UTC: what waivers are held against. The only place that asks the clock for it."""
    return datetime.now(UTC).date()


def load_suite(path: Path) -> Suite:
    """A suite with all its faults told, those of its judges included; judges are imported only for a suite that has some."""
    from harness.suite import load_suite as load

    return load(path, judges=_judge_faults)


def _judge_faults(spec: SuiteFile, capabilities: Mapping[str, Capability], root: Path) -> Iterable[SpecFault]:
    if not spec.judges:
        return ()
    from harness.cli.jury import faults

    return faults(spec, capabilities, root)
