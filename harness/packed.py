"""Many small things in little memory: packed a few hundred at a time, made again when they are looked at.

A hundred thousand cases as objects are 70 MB, held for as long as a run takes and looked at in order, a few times. Packed they
are 5, and going through all of them takes a fifth of a second.
"""

from __future__ import annotations

import marshal
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")

TOGETHER = 500


class Packed(Sequence[T], Generic[T]):
    """An immutable sequence; going through it in order is fast, picking single ones is not.

    pack: a thing -> plain values (None, bool, int, float, str, and tuples, lists and dicts of them), unpack: back again. Things
    are equal to what was packed but are new objects each time.
    """

    __slots__ = ("_blocks", "_length", "_unpack")

    def __init__(self, things: Iterable[T], pack: Callable[[T], Any], unpack: Callable[[Any], T]) -> None:
        self._unpack, self._length = unpack, 0
        self._blocks: list[bytes] = []
        rest = iter(things)
        while some := [pack(thing) for thing in islice(rest, TOGETHER)]:
            # marshal, not pickle: plain values only, and twice as fast. It never leaves this process.
            self._blocks.append(zlib.compress(marshal.dumps(some), 1))
            self._length += len(some)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[T]:
        for number in range(len(self._blocks)):
            yield from map(self._unpack, self._values(number))

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[T, ...]: ...
    def __getitem__(self, index: int | slice) -> T | tuple[T, ...]:
        if isinstance(index, slice):
            start, stop, step = index.indices(self._length)
            return tuple(islice(self, start, stop, step)) if step > 0 else tuple(self)[index]
        at = range(self._length)[index]
        return self._unpack(self._values(at // TOGETHER)[at % TOGETHER])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Packed | tuple):
            return NotImplemented
        return len(self) == len(other) and all(mine == theirs for mine, theirs in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{self._length} packed>"

    def _values(self, number: int) -> list[Any]:
        values: list[Any] = marshal.loads(zlib.decompress(self._blocks[number]))  # noqa: S302 - packed above
        return values
