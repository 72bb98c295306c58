"""MinHash (Broder 1997) with locality-sensitive hashing, by datasketch: which texts may be alike, without comparing all of them.

Hashing only proposes, and it leans to too many: whoever asks counts the sets of what is proposed, so nothing is wrongly found. A
few are missed near the threshold (measured on GSM8K with changed words: 4 % at 0.7, 0.4 % at 0.8, none from 0.9). Hashes are the
same in every process, so are the proposals.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator, Sequence

import numpy as np

from harness.errors import UsageError
from harness.quality.scratch import Scratch, Shelf
from harness.quality.words import shingles

SHINGLE = 3  # words
_PERMUTATIONS = 128
_WAITING = 1 << 17  # band keys in memory, some 26 MB, before they go to the table


class Proposals:
    """Sets of hashed shingles by number; ``like`` proposes those that may be alike from ``threshold`` on.

    Memory does not grow with them: the newest band keys wait in a dict, the others and all sets are in temporary tables
    (harness.quality.scratch), about 1 KB for a text of 60 words.
    """

    def __init__(self, threshold: float) -> None:
        if importlib.util.find_spec("datasketch") is None:
            raise UsageError("minhash needs datasketch, which is not installed", todo="pip install 'seesaw-harness[data]'")
        from datasketch import MinHash, MinHashLSH

        self._empty = MinHash(num_perm=_PERMUTATIONS, seed=1, hashfunc=int)
        lsh = MinHashLSH(threshold=min(threshold, 0.99), num_perm=_PERMUTATIONS, weights=(0.1, 0.9))
        self._bands, self._band_size = lsh.b, lsh.r  # its tables are Python dicts, 9 KB a text; only its choice of bands is used
        self._stored = Scratch("create table bands (key integer, number integer, primary key (key, number)) without rowid")
        self._look = f"select distinct number from bands where key in ({', '.join('?' * self._bands)})"  # noqa: S608
        self._waiting: dict[int, list[int]] = {}  # keys that are not in the table yet: sorted, they go in faster
        self._entries = 0
        self._sets = Shelf()

    def sign(self, own: np.ndarray) -> list[int]:
        """The signature of a set, as ``like`` and ``add`` take it: a number for each band, signed, of 64 bits."""
        signed = self._empty.copy()
        signed.update_batch((own & np.uint64(0xFFFFFFFF)).tolist())
        bands = signed.hashvalues[: self._bands * self._band_size].reshape(self._bands, -1)
        return [_signed(bytes([place]) + band.tobytes()) for place, band in enumerate(bands)]

    def add(self, own: np.ndarray, signed: Sequence[int]) -> int:
        """The number it gets, from 0."""
        number = self._sets.put(own.tobytes())
        for key in signed:
            self._waiting.setdefault(key, []).append(number)
        self._entries += len(signed)
        if self._entries > _WAITING:
            rows = ((key, number) for key in sorted(self._waiting) for number in self._waiting[key])
            self._stored.insert_all("insert or ignore into bands values (?, ?)", rows)
            self._waiting.clear()
            self._entries = 0
        return number

    def like(self, own: np.ndarray, signed: Sequence[int]) -> Iterator[tuple[int, float]]:
        """(number, Jaccard similarity) of all that are proposed, in the numbers' order; the similarity is counted."""
        proposed = {number for (number,) in self._stored.rows(self._look, signed)}
        proposed.update(number for key in signed for number in self._waiting.get(key, ()))
        for number in sorted(proposed):
            yield number, jaccard(own, np.frombuffer(self._sets.get(number), np.uint64))


def _signed(value: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(value, digest_size=8).digest(), "big", signed=True)


def hashed(found: Sequence[str]) -> np.ndarray:
    """The shingles of a text's words as 64-bit numbers, ascending; none for a text without words."""
    return np.sort(np.array([_number(shingle) for shingle in shingles(found, SHINGLE)], dtype=np.uint64))


def _number(shingle: str) -> int:
    return int.from_bytes(hashlib.blake2b(shingle.encode("utf-8", "surrogatepass"), digest_size=16).digest()[:8], "big")


def jaccard(a: np.ndarray, b: np.ndarray) -> float:
    """Of two ascending sets, at least one of them not empty."""
    shared = len(np.intersect1d(a, b, assume_unique=True))
    return shared / (len(a) + len(b) - shared)
