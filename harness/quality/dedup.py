"""Which rows say again what an earlier row said: exactly, by ROUGE-L, by MinHash, by meaning.

Each method goes through the rows once, in order, and keeps the first of what is alike; a row that is dropped says which kept row
it repeats and how much alike they are. Same rows, same decisions. What is remembered of a kept row: exact two digests (150 MB for
a million rows, however long), rouge its words as numbers, minhash its shingles and signature, semantic a vector.

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
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import numpy as np

from harness.errors import UsageError
from harness.quality.embedding import Embed
from harness.quality.examples import Example
from harness.quality.minhash import SHINGLE, Proposals, hashed
from harness.quality.novelty import THRESHOLD, NoveltyIndex
from harness.quality.words import words

T = TypeVar("T")
MINHASH_THRESHOLD, SEMANTIC_THRESHOLD = 0.7, 0.9
_BATCH = 256  # texts embedded at once
_BLOCK = 16_384  # kept vectors compared at once


@dataclass(frozen=True, slots=True)
class Twin:
    """The kept row that a row repeats. of: its position among all rows, from 0. similarity: in [0, 1]. why: for people."""

    of: int
    similarity: float
    why: str


Decisions = Iterator[tuple[T, Twin | None]]
Method = Callable[[Iterable[T], Callable[[T], str]], Decisions[T]]  # rows and their text -> each row, with its twin if it has one


def method(name: str, threshold: float | None = None, embed: Callable[[], Embed] | None = None) -> Method[Any]:
    """The method of that name. threshold: None for its own. embed: makes the embedder, which only semantic needs."""
    if threshold is not None and not 0 < threshold <= 1:
        raise UsageError(f"the threshold is {threshold:g}", todo="give one above 0 and up to 1")
    if name == "exact":
        if threshold is not None:
            raise UsageError("exact has no threshold", todo="leave it out, or take rouge, minhash or semantic")
        return exact
    if name == "rouge":
        return lambda rows, text: rouge(rows, text, THRESHOLD if threshold is None else threshold)
    if name == "minhash":
        return lambda rows, text: minhash(rows, text, MINHASH_THRESHOLD if threshold is None else threshold)
    if name == "semantic" and embed is not None:
        return lambda rows, text: semantic(rows, text, embed(), SEMANTIC_THRESHOLD if threshold is None else threshold)
    raise UsageError(f"there is no method {name!r}", todo="use exact, rouge, minhash or semantic")


def exact(rows: Iterable[T], text: Callable[[T], str]) -> Decisions[T]:
    """The same text but for letter case and white space. Rows without text are kept: there is nothing to compare."""
    kept: dict[bytes, int] = {}  # digest -> place in the two arrays
    positions, as_written = array("Q"), array("Q")
    for position, row in enumerate(rows):
        said = text(row)
        plain = " ".join(unicodedata.normalize("NFC", said).casefold().split())
        own = int.from_bytes(_digest(said)[:8], "big")
        place = kept.setdefault(_digest(plain), len(positions)) if plain else -1
        if 0 <= place < len(positions):
            why = "the same text" if as_written[place] == own else "the same text but for case and spacing"
            yield row, Twin(positions[place], 1.0, why)
            continue
        if plain:
            positions.append(position)
            as_written.append(own)
        yield row, None


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def rouge(rows: Iterable[T], text: Callable[[T], str], threshold: float = THRESHOLD) -> Decisions[T]:
    """ROUGE-L F above the threshold with any kept row; the twin is the most similar one."""
    index, kept = NoveltyIndex(threshold=threshold), array("Q")
    for position, row in enumerate(rows):
        said = text(row)
        match = index.closest(said)
        if match is None:
            index.add(said)
            kept.append(position)
            yield row, None
        else:
            yield row, Twin(kept[match.index], match.score, f"ROUGE-L {match.score:.2f}")


def minhash(rows: Iterable[T], text: Callable[[T], str], threshold: float = MINHASH_THRESHOLD) -> Decisions[T]:
    """Jaccard similarity of shingles from the threshold on with a row that hashing proposes; the twin is the most similar."""
    proposals = Proposals(threshold)
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
            proposals.add(position, own, signed)
            yield row, None
        else:
            yield row, Twin(best[1], best[0], f"Jaccard similarity {best[0]:.2f} of {SHINGLE}-word shingles")


def semantic(rows: Iterable[T], text: Callable[[T], str], embed: Embed, threshold: float = SEMANTIC_THRESHOLD) -> Decisions[T]:
    """Cosine of embeddings from the threshold on with any kept row; the twin is the most similar. Rows without text are kept."""
    stream, kept, positions, position = iter(rows), _Vectors(), array("Q"), 0
    while batch := list(islice(stream, _BATCH)):
        said = [text(row) for row in batch]
        vectors = embed(said)
        places, cosines = kept.closest(vectors)
        before = len(positions)
        for row, own, vector, place, cosine in zip(batch, said, vectors, places.tolist(), cosines.tolist(), strict=True):
            if len(positions) > before:  # rows of this very batch that were kept
                newer, near = kept.closest(vector[None], before)
                if near[0] > cosine:
                    place, cosine = int(newer[0]), float(near[0])
            if cosine >= threshold and own.strip():
                yield row, Twin(positions[place], min(1.0, cosine), f"cosine {cosine:.2f} of embeddings")
            else:
                if own.strip():
                    kept.add(vector)
                    positions.append(position)
                yield row, None
            position += 1


class _Vectors:
    """Unit vectors in growing blocks of (_BLOCK, d) float32."""

    def __init__(self) -> None:
        self.blocks: list[np.ndarray] = []
        self.count = 0

    def add(self, vector: np.ndarray) -> None:
        place = self.count % _BLOCK
        if place == 0:
            self.blocks.append(np.zeros((_BLOCK, len(vector)), dtype=np.float32))
        self.blocks[-1][place] = vector
        self.count += 1

    def closest(self, vectors: np.ndarray, start: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """For each of n vectors (n, d) the most similar one from number ``start`` on (the first of equals), and the cosine.

        Where there is none: number 0, cosine -1.
        """
        best, cosines = np.zeros(len(vectors), dtype=np.int64), np.full(len(vectors), -1.0, dtype=np.float32)
        for number in range(start // _BLOCK, len(self.blocks)):
            first = max(start - number * _BLOCK, 0)
            block = self.blocks[number][first : self.count - number * _BLOCK]
            if not len(block):
                continue
            products = vectors @ block.T
            places = products.argmax(axis=1)
            found = products[np.arange(len(vectors)), places]
            better = found > cosines
            best[better], cosines[better] = places[better] + first + number * _BLOCK, found[better]
        return best, cosines


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
