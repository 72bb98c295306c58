"""Finds parts by name: built-in modules of a fixed folder, and entry points of installed distributions.

Nothing registers itself by being imported. A kind of part has a package folder, whose modules name their parts in one constant
(``CHECKS = (...)``), and an entry-point group, where each entry point is one part and its name is the part's name. So a new
part is one new file, and a part of another distribution is one line in its pyproject.toml:

    [project.entry-points."seesaw_harness.checks"]
    my-check = "my_package.checks:MY_CHECK"

Built-in packages are named here as strings and imported when a kind is first asked for: this module stays on its floor although
later kinds live in judges, training and reports.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from harness.errors import UsageError


@dataclass(frozen=True, slots=True)
class Kind:
    """Where the parts of one kind are found.

    package: the folder of the built-in ones. constant: the tuple of parts a module exposes; a module without it holds helpers.
    group: entry points of other distributions. Each part has an attribute ``name``.
    """

    package: str
    constant: str
    group: str


KINDS: Mapping[str, Kind] = {
    "check": Kind("harness.checks", "CHECKS", "seesaw_harness.checks"),
    "data format": Kind("harness.quality.formats", "FORMATS", "seesaw_harness.data_formats"),
    "data check": Kind("harness.quality.checks", "DATA_CHECKS", "seesaw_harness.data_checks"),
    "judge": Kind("judges", "JUDGES", "seesaw_harness.judges"),
}


def find(kind: str, name: str) -> Any:
    """The part of that kind and name. UsageError when there is none (with the nearest valid names), when a plugged-in part does
    not load, or when two distributions claim the name: nobody should have to guess which one scored."""
    builtin, plugged = _builtin(kind), _plugged(kind)
    points = plugged.get(name, ())
    if len(points) + (name in builtin) > 1:
        owners = ["built in"] * (name in builtin) + [_owner(point) for point in points]
        raise UsageError(
            f"the {kind} {name!r} is defined {len(owners)} times: {', '.join(owners)}",
            todo="rename one, or uninstall one distribution",
        )
    if name in builtin:
        return builtin[name]
    if points:
        return _load(kind, points[0])
    raise UsageError(f"there is no {kind} named {name!r}", todo=nearest(name, names(kind)))


def names(kind: str) -> list[str]:
    """Every valid name of that kind, sorted. Plugged-in parts are listed without loading them."""
    return sorted({*_builtin(kind), *_plugged(kind)})


def nearest(name: str, valid: list[str]) -> str:
    """What to do about a name that is not valid: the names it may have been meant to be, then all of them."""
    close = get_close_matches(name.lower(), valid, n=3, cutoff=0.6)
    listed = f"valid names: {', '.join(valid)}"
    return f"did you mean {' or '.join(close)}? {listed}" if close else listed


def _kind(kind: str) -> Kind:
    if kind not in KINDS:
        raise UsageError(f"there is no kind of part named {kind!r}", todo=nearest(kind, sorted(KINDS)))
    return KINDS[kind]


@cache
def _builtin(kind: str) -> Mapping[str, Any]:
    """name -> part, read from the folder. Two files with one name are a bug of ours, not a user's error."""
    spec = _kind(kind)
    package = importlib.import_module(spec.package)
    found: dict[str, Any] = {}
    for module in pkgutil.iter_modules(package.__path__):
        for part in getattr(importlib.import_module(f"{spec.package}.{module.name}"), spec.constant, ()):
            if part.name in found:
                raise ValueError(f"{spec.package}: two parts are named {part.name!r}")
            found[part.name] = part
    return found


@cache
def _plugged(kind: str) -> Mapping[str, tuple[EntryPoint, ...]]:
    """name -> entry points that claim it, not loaded yet."""
    found: dict[str, tuple[EntryPoint, ...]] = {}
    for point in entry_points(group=_kind(kind).group):
        found[point.name] = (*found.get(point.name, ()), point)
    return found


def _load(kind: str, point: EntryPoint) -> Any:
    try:
        part = point.load()
    except Exception as error:  # another distribution's code: whatever it raises, its name is what helps
        raise UsageError(
            f"the {kind} {point.name!r} of {_owner(point)} does not load: {type(error).__name__}: {error}",
            todo="mend or uninstall that distribution",
        ) from error
    if getattr(part, "name", None) != point.name:
        raise UsageError(
            f"the {kind} {point.name!r} of {_owner(point)} calls itself {getattr(part, 'name', None)!r}",
            todo="give the entry point the part's own name",
        )
    return part


def _owner(point: EntryPoint) -> str:
    return f"{point.dist.name} ({point.value})" if point.dist else point.value
