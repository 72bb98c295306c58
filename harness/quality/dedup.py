"""Which rows say again what an earlier row said: exactly, by ROUGE-L, by MinHash, by meaning.

Each method goes through the rows once, in order, and keeps the first of what is alike; a row that is dropped says which kept row
it repeats and how much alike they are. Same rows, same decisions. What is remembered of a kept row (exact: two digests; rouge:
its words as numbers; minhash: its shingles and signature; semantic: a vector) is on disk beyond some tens of MB, so memory does
not grow with the rows but for 8 bytes each (harness.quality.scratch).

exact     the same text but for letter case, white space and how accents are encoded (NFC); punctuation counts: 2-2 is not 2+2
rouge     ROUGE-L F above 0.7 as in Self-Instruct; decisions are rouge-score's (harness.quality.novelty)
minhash   Jaccard similarity of the sets of 3-word shingles from 0.7; hashing proposes pairs (and may miss some), the sets
          themselves decide
semantic  cosine of sentence embeddings from 0.9
"""

from __future__ import annotations

import hashlib
import unicodedata
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from harness.errors import UsageError
from harness.quality.embedding import Embed
from harness.quality.examples import Example
from harness.quality.minhash import SHINGLE, Proposals, hashed
from harness.quality.novelty import THRESHOLD, ShelvedNovelty
from harness.quality.scratch import KeyTable, Shelf
from harness.quality.words import words

T = TypeVar("T")
MINHASH_THRESHOLD, SEMANTIC_THRESHOLD = 0.7, 0.9
_EMBEDDED = 256  # texts at once
_BLOCK = 4096  # kept vectors compared at once
_READ_AHEAD = 8192  # rows compared at once with what is on disk
_READ_AHEAD_TEXT, _READ_AHEAD_HELD = 1_000_000, 16_000_000  # fewer where what is compared of them, or all they hold, is more


@dataclass(frozen=True, slots=True)
class Twin:
    """The kept row that a row repeats. of: its position among all rows, from 0. similarity: in [0, 1]. why: for people."""

    of: int
    similarity: float
    why: str


Decisions = Iterator[tuple[T, Twin | None]]
Method = Callable[[Iterable[T], Callable[[T], str]], Decisions[T]]  # rows and their text -> each row, with its twin if it has one


def method(
    name: str,
    threshold: float | None = None,
    embed: Callable[[], Embed] | None = None,
    weight: Callable[[Any], int] | None = None,
) -> Method[Any]:
    """The method of that name. threshold: None for its own. embed: makes the embedder, which only semantic needs.

    weight: about how many bytes a row takes, for methods that read ahead; None: its text alone.
    """
    if threshold is not None and not 0 < threshold <= 1:
        raise UsageError(f"the threshold is {threshold:g}", todo="give one above 0 and up to 1")
    if name == "exact":
        if threshold is not None:
            raise UsageError("exact has no threshold", todo="leave it out, or take rouge, minhash or semantic")
        return exact
    if name == "rouge":
        return lambda rows, text: rouge(rows, text, THRESHOLD if threshold is None else threshold, weight)
    if name == "minhash":
        return lambda rows, text: minhash(rows, text, MINHASH_THRESHOLD if threshold is None else threshold)
    if name == "semantic" and embed is not None:
        least = SEMANTIC_THRESHOLD if threshold is None else threshold
        return lambda rows, text: semantic(rows, text, embed(), least, weight)
    raise UsageError(f"there is no method {name!r}", todo="use exact, rouge, minhash or semantic")


def exact(rows: Iterable[T], text: Callable[[T], str]) -> Decisions[T]:
    """The same text but for letter case and white space. Rows without text are kept: there is nothing to compare."""
    seen = KeyTable()
    for position, row in enumerate(rows):
        said = text(row)
        plain = " ".join(unicodedata.normalize("NFC", said).casefold().split())
        as_written = int.from_bytes(_digest(said)[:8], "big", signed=True)
        before = seen.first(_digest(plain), position, as_written) if plain else None
        if before is None:
            yield row, None
        else:
            why = "the same text" if before[1] == as_written else "the same text but for case and spacing"
            yield row, Twin(before[0], 1.0, why)


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def rouge(
    rows: Iterable[T],
    text: Callable[[T], str],
    threshold: float = THRESHOLD,
    weight: Callable[[T], int] | None = None,
) -> Decisions[T]:
    """ROUGE-L F above the threshold with any kept row; the twin is the most similar one."""
    index, kept, position = ShelvedNovelty(threshold=threshold), array("Q"), 0
    for batch in _batches(rows, text, lambda: _READ_AHEAD if index.shelved else 1, weight):
        for (row, said), older in zip(batch, index.older([said for _, said in batch]), strict=True):
            match = index.closest(said, older)
            if match is None:
                index.add(said)
                kept.append(position)
                yield row, None
            else:
                yield row, Twin(kept[match.index], match.score, f"ROUGE-L {match.score:.2f}")
            position += 1


def minhash(rows: Iterable[T], text: Callable[[T], str], threshold: float = MINHASH_THRESHOLD) -> Decisions[T]:
    """Jaccard similarity of shingles from the threshold on with a row that hashing proposes; the twin is the most similar."""
    proposals, kept = Proposals(threshold), array("Q")
    for position, row in enumerate(rows):
        own = hashed(words(text(row)))
        if not len(own):
            yield row, None
            continue
        signed = proposals.sign(own)
        best: tuple[float, int] | None = None
        for other, similarity in proposals.like(own, signed):
            if similarity >= threshold and (best is None or similarity > best[0]):
                best = similarity, other
        if best is None:
            proposals.add(own, signed)
            kept.append(position)
            yield row, None
        else:
            yield row, Twin(kept[best[1]], best[0], f"Jaccard similarity {best[0]:.2f} of {SHINGLE}-word shingles")


def semantic(
    rows: Iterable[T],
    text: Callable[[T], str],
    embed: Embed,
    threshold: float = SEMANTIC_THRESHOLD,
    weight: Callable[[T], int] | None = None,
) -> Decisions[T]:
    """Cosine of embeddings from the threshold on with any kept row; the twin is the most similar. Rows without text are kept."""
    kept, positions, position = _Vectors(), array("Q"), 0
    for batch in _batches(rows, text, lambda: _EMBEDDED if kept.count <= _BLOCK else _READ_AHEAD // 4, weight):
        vectors = np.concatenate([embed([own for _, own in part]) for part in _cut(batch, _EMBEDDED)])
        places, cosines = kept.closest(vectors)
        before, newest = len(positions), np.empty_like(vectors)  # those of this very batch that are kept
        for own, (row, said) in enumerate(batch):
            place, cosine, more = int(places[own]), float(cosines[own]), len(positions) - before
            if more:
                products = newest[:more] @ vectors[own]
                if products.max() > cosine:
                    place, cosine = before + int(products.argmax()), float(products.max())
            if cosine >= threshold and said.strip():
                yield row, Twin(positions[place], min(1.0, cosine), f"cosine {cosine:.2f} of embeddings")
            else:
                if said.strip():
                    newest[more] = vectors[own]
                    positions.append(position)
                yield row, None
            position += 1
        kept.add(newest[: len(positions) - before])


def _batches(
    rows: Iterable[T], text: Callable[[T], str], most: Callable[[], int], weight: Callable[[T], int] | None
) -> Iterator[list[tuple[T, str]]]:
    """Rows with their text, ``most()`` at once, and fewer where they are large: to read what is on disk once for many rows."""
    batch: list[tuple[T, str]] = []
    said = held = 0
    for row in rows:
        batch.append((row, text(row)))
        said += len(batch[-1][1])
        held += weight(row) if weight else 0
        if len(batch) >= most() or said >= _READ_AHEAD_TEXT or held >= _READ_AHEAD_HELD:
            yield batch
            batch, said, held = [], 0, 0
    if batch:
        yield batch


def _cut(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))


class _Vectors:
    """Unit vectors in blocks of (_BLOCK, d) float32: those that are full on disk, the others in memory."""

    def __init__(self) -> None:
        self.count = 0
        self._full = Shelf()
        self._newest: np.ndarray | None = None

    def add(self, vectors: np.ndarray) -> None:
        newest = vectors if self._newest is None else np.concatenate([self._newest, vectors])
        self.count += len(vectors)
        while len(newest) >= _BLOCK:
            self._full.put(np.ascontiguousarray(newest[:_BLOCK]).data)
            newest = newest[_BLOCK:]
        self._newest = newest.copy()

    def closest(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For each of n vectors (n, d) the number of the most similar one (the first of equals), and the cosine.

        Where there is none: number 0, cosine -1.
        """
        best, cosines = np.zeros(len(vectors), dtype=np.int64), np.full(len(vectors), -1.0, dtype=np.float32)
        for start in range(0, self.count, _BLOCK):
            products = vectors @ self._block(start // _BLOCK).T
            places = products.argmax(axis=1)
            found = products[np.arange(len(vectors)), places]
            better = found > cosines
            best[better], cosines[better] = places[better] + start, found[better]
        return best, cosines

    def _block(self, number: int) -> np.ndarray:
        assert self._newest is not None
        if number == self.count // _BLOCK:
            return self._newest
        return np.frombuffer(self._full.get(number), np.float32).reshape(_BLOCK, -1)


PARTS = ("all", "input", "instruction", "output")


def text_of(example: Example, part: str = "all") -> str:
    """What of an Example is compared: all it says, all it asks, the last thing a user says, or the answer."""
    if part == "input":
        return example.input_text
    if part == "instruction":
        return example.instruction
    if part == "output":
        return example.output_text
    return "\n".join(turn.text for turn in example.turns)
