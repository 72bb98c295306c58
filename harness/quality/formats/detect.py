"""Which format a file has, by its first rows, with the reason in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness import plugs
from harness.errors import DataError
from harness.quality.formats.base import Format, Row

# The most particular first: it wins where two know as many rows.
_ORDER = ("v1", "sharegpt", "alpaca", "messages", "trl")


@dataclass(frozen=True, slots=True)
class Guess:
    """A format and why it is thought to be that one."""

    format: Format
    reason: str


def detect(rows: Sequence[Row], where: str) -> Guess:
    """The format that knows most of the rows. DataError when none knows any: then it says which keys there are."""
    if not rows:
        raise DataError("there is no row that can be read", where=where, todo="Check that it is the right file")
    valid = plugs.names("data format")
    order = sorted(valid, key=lambda name: _ORDER.index(name) if name in _ORDER else -1)
    best: tuple[int, Format, str] | None = None
    for name in order:
        form: Format = plugs.find("data format", name)
        reasons = Counter(reason for row in rows if (reason := form.known_by(row)))
        if reasons and (best is None or reasons.total() > best[0]):
            best = (reasons.total(), form, reasons.most_common(1)[0][0])
    if best is None:
        raise DataError(
            f"no format is known by the keys {_keys(rows[0])}",
            where=where,
            todo=f"Say --from ({', '.join(valid)}), with --columns where they have other names (prompt=question,response=answer)",
        )
    known, form, reason = best
    share = "all" if known == len(rows) else f"{known} of"
    return Guess(form, f"{share} {len(rows)} first rows have {reason}" if len(rows) > 1 else f"its row has {reason}")


def _keys(row: dict[str, Any] | Row) -> str:
    keys = [repr(key)[:40] for key in row]
    return ", ".join(keys[:12]) + (", ..." if len(keys) > 12 else "") or "(none)"
