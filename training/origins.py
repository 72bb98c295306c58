"""Where training rows come from, as they say themselves: the pair, the case and the run that `harness curate` wrote with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.quality.records import read_records
from harness.rows import BadRow

_PLACES = ("provenance", "origin", "metadata")
_NAMES = {"pair_id": ("pair_id", "id"), "case_id": ("case_id", "case"), "run_id": ("run_id", "run")}


@dataclass(frozen=True, slots=True)
class Origin:
    """file: position in the recipe's dataset, from 0; line: of the file, from 1."""

    file: int
    line: int
    pair_id: str | None
    case_id: str | None
    run_id: str | None


def origins(dataset: Sequence[str]) -> Iterator[Origin]:
    """The origin of every row that names a case. A row says so under ``provenance`` (or ``origin``, ``metadata``), or itself."""
    for number, path in enumerate(dataset):
        for entry in read_records(Path(path)):
            if isinstance(entry, BadRow):
                continue
            line, row = entry
            said = next((row[place] for place in _PLACES if isinstance(row.get(place), Mapping)), row)
            found = {name: _text(said, names) or _text(row, names) for name, names in _NAMES.items()}
            if found["case_id"]:
                yield Origin(number, line, **found)


def _text(mapping: Mapping[str, Any], names: Sequence[str]) -> str | None:
    value = next((mapping[name] for name in names if mapping.get(name) is not None), None)
    return str(value)[:200] if isinstance(value, str | int) and not isinstance(value, bool) else None
