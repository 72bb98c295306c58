"""Does training data hold what a suite asks? Finds texts that repeat a case: whole, in part, or nearly.

One pass over the training texts; the suite's texts are held in an index, so any number of rows streams through. Three ways, the
strongest is told:

exact   the same words (case, punctuation and spacing aside), or all words of the case in a row inside the text
ngram   n words in a row are shared (13 as in Brown et al. 2020, appendix C; 8 as in s1 and open-r1, which finds shared templates
        too: 80 of GSM8K's 1,319 test questions share 8 words with a training question, 3 share 13)
near    the sets of 3-word shingles are alike: Jaccard similarity from 0.7. It is counted against all targets; MinHash, which
        proposes whom to count, is there for targets by the ten thousand (``hashing``)

Scripts without spaces count characters as words. What is found is evidence with the shared words in it; whoever calls decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.model import Case
from harness.quality.minhash import SHINGLE, Proposals, hashed
from harness.quality.words import worded, words

DEFAULT_N = 13
DEFAULT_NEAR = 0.7
HEAD = 8  # words by which a case inside a text is looked up
CONTAINED = 5  # a case of fewer words standing inside a longer text proves nothing
LONG = 8  # references and further variables of fewer words are no evidence: "Paris" answers many questions


@dataclass(frozen=True, slots=True)
class Target:
    """A text that training data should not hold. id: the case's. part: what of the case it is. source: ``file:line``."""

    id: str
    text: str
    part: str = "input"
    source: str = ""


@dataclass(frozen=True, slots=True)
class Leak:
    """A training text that repeats a target.

    row: the text's position, from 0. how: exact | ngram | near. words: length of the longest run of shared words, 0 where n are
    not reached. similarity: exact 1; ngram the run's share of the target's words; near the Jaccard similarity. span: the shared
    run as the training text has it; near without a run: the training text. jaccard: of the shingles where it reaches ``near``,
    whatever way is told.
    """

    row: int
    target: Target
    how: str
    similarity: float
    words: int
    span: str
    jaccard: float | None = None

    @property
    def alike(self) -> float:
        """How much of the target stands in the text, by whichever way says more; in [0, 1]."""
        return max(self.similarity, self.jaccard or 0.0)


def leaks(
    texts: Iterable[str], targets: Iterable[Target], *, n: int | None = DEFAULT_N, near: float | None = DEFAULT_NEAR
) -> Iterator[Leak]:
    """Every (text, target) that leaks, text by text, the worst first. near None: exact and n-grams only.

    Example: ``list(leaks(prompts, targets_of(capability.of(Split.GATE))))`` is empty where a suite's gate is clean.
    """
    index = LeakIndex(targets, n=n, near=near)
    for row, text in enumerate(texts):
        yield from index.find(text, row)


def targets_of(cases: Iterable[Case]) -> Iterator[Target]:
    """The texts of cases: the input (or the conversation, or all variables together), long references, further long variables."""
    for case in cases:
        vars = dict(case.vars)
        parts: list[tuple[str, str]] = []
        if isinstance(vars.get("input"), str):
            parts.append(("input", vars.pop("input")))
        for turn in _conversation(vars.pop("messages", None)):
            parts.append(("input" if not parts else "messages", turn))
        leaves = {name: "\n".join(_texts(value)) for name, value in vars.items()}
        if not parts:
            parts.append(("input", "\n".join(leaves.values())))
        further = [*leaves.items(), ("reference", "\n".join(_texts(case.reference)))]
        parts += [(name, text) for name, text in further if len(words(text)) >= LONG and text != parts[0][1]]
        yield from (Target(case.id, text, part, case.source) for part, text in parts if text.strip())


def _conversation(value: Any) -> list[str]:
    """What the user says in a conversation; system prompts are shared by many cases and leak nothing."""
    turns = value if isinstance(value, list) else []
    return [str(turn.get("content", "")) for turn in turns if isinstance(turn, Mapping) and turn.get("role") == "user"]


def _texts(value: Any) -> Iterator[str]:
    """All texts inside a JSON value; numbers are none."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


class LeakIndex:
    """Targets, ready to be looked for. Read-only once it is made; about 6 KB a target of 45 words.

    n None: no n-grams, whole cases and near ones only. hashing: near ones are those that MinHash proposes (what it misses:
    harness.quality.minhash). Words in a row are looked up by 64-bit hashes; where a run is told, the words were compared.
    """

    def __init__(
        self,
        targets: Iterable[Target],
        *,
        n: int | None = DEFAULT_N,
        near: float | None = DEFAULT_NEAR,
        hashing: bool = False,
    ) -> None:
        if n is not None and n < 2:
            raise ValueError(f"n is {n}: fewer than 2 words in a row are no evidence")
        self.n, self.near = n, near
        self._proposals = Proposals(near) if hashing and near is not None else None
        self.targets: list[Target] = []
        self._words: list[tuple[str, ...]] = []
        self._same: dict[tuple[str, ...], list[int]] = {}  # all words of a target -> targets
        sizes: list[int] = []  # shingles of each target
        heads = {length: _Table() for length in range(CONTAINED, HEAD + 1)}
        grams, alike = _Table(), _Table()
        known: dict[str, str] = {}  # each word once in memory
        for target in targets:
            found = tuple(known.setdefault(word, word) for word in words(target.text))
            if not found:
                continue
            number, hashes = len(self.targets), _hashes(found)
            self.targets.append(target)
            self._words.append(found)
            self._same.setdefault(found, []).append(number)
            if (length := min(len(found), HEAD)) >= CONTAINED:
                heads[length].add(number, _rows(hashes[:length], length))
            if n is not None:
                grams.add(number, _rows(hashes, n))
            if self._proposals is not None:
                own = hashed(found)
                self._proposals.add(own, self._proposals.sign(own))
                continue
            own = _shingled(hashes) if near is not None else hashes[:0]
            sizes.append(len(own))
            alike.add(number, own)
        self._heads = {length: table.sorted() for length, table in heads.items() if table}
        self._grams, self._alike = grams.sorted(), alike.sorted()
        self._shingles = np.array(sizes, dtype=np.int64)

    def find(self, text: str, row: int = 0) -> list[Leak]:
        """What the text repeats, one Leak a target, the worst first."""
        seen = worded(text)
        if not seen.words:
            return []
        hashes = _hashes(seen.words)
        runs = self._runs(seen.words, hashes) | self._wholes(seen.words, hashes)
        near = dict(self._proposed(seen.words) if self._proposals is not None else self._nearly(hashes))
        found: dict[int, Leak] = {}
        for number, (length, first) in runs.items():
            size = len(self._words[number])
            how = "exact" if length >= size else "ngram"
            span = seen.span(first, first + length - 1)
            found[number] = Leak(row, self.targets[number], how, min(1.0, length / size), length, span, near.pop(number, None))
        for number, similarity in near.items():
            found[number] = Leak(row, self.targets[number], "near", similarity, 0, seen.text, similarity)
        return [leak for _, leak in sorted(found.items(), key=lambda item: (_ORDER[item[1].how], -item[1].similarity, item[0]))]

    def _wholes(self, seen: Sequence[str], hashes: np.ndarray) -> dict[int, tuple[int, int]]:
        """target -> (its length, first word in the text), where the text is the target, or all of it stands in the text."""
        found = {number: (len(seen), 0) for number in self._same.get(tuple(seen), ())}
        for length, table in self._heads.items():
            for i, number, _ in table.hits(_rows(hashes, length)):
                size = len(self._words[number])
                if number not in found and tuple(seen[i : i + size]) == self._words[number]:
                    found[number] = (size, i)
        return found

    def _runs(self, seen: Sequence[str], hashes: np.ndarray) -> dict[int, tuple[int, int]]:
        """target -> (length, first word in the text) of the longest run of n shared words or more."""
        best: dict[int, tuple[int, int]] = {}
        covered: dict[int, int] = {}  # target -> where its latest run ends: n-grams within it say nothing new
        if self.n is None:
            return best
        for i, number, j in self._grams.hits(_rows(hashes, self.n)):
            if i + self.n <= covered.get(number, 0):
                continue
            size = _common(seen, i, self._words[number], j)
            if size < self.n:
                continue  # two hashes that are equal by chance
            covered[number] = i + size
            if size > best.get(number, (0, 0))[0]:
                best[number] = (size, i)
        return best

    def _nearly(self, hashes: np.ndarray) -> Iterator[tuple[int, float]]:
        if self.near is None:
            return
        own = _shingled(hashes)
        numbers, shared = np.unique(self._alike.found(own), return_counts=True)
        similarities = shared / (len(own) + self._shingles[numbers] - shared)
        for place in np.flatnonzero(similarities >= self.near).tolist():
            yield int(numbers[place]), float(similarities[place])

    def _proposed(self, seen: Sequence[str]) -> Iterator[tuple[int, float]]:
        assert self._proposals is not None
        assert self.near is not None
        own = hashed(seen)
        for number, similarity in self._proposals.like(own, self._proposals.sign(own)):
            if similarity >= self.near:
                yield number, similarity


_ORDER = {"exact": 0, "ngram": 1, "near": 2}
_FACTOR = np.uint64(0x9E3779B97F4A7C15)


def _hashes(found: Sequence[str]) -> np.ndarray:
    """One 64-bit number a word, the same within this process."""
    return np.fromiter((hash(word) & 0xFFFFFFFFFFFFFFFF for word in found), dtype=np.uint64, count=len(found))


def _rows(hashes: np.ndarray, length: int) -> np.ndarray:
    """One number for each ``length`` words in a row: a polynomial of theirs, modulo 2^64. Empty where there are fewer words."""
    count = len(hashes) - length + 1
    if count <= 0:
        return hashes[:0]
    rows = np.full(count, length, dtype=np.uint64)
    for place in range(length):
        rows = rows * _FACTOR + hashes[place : place + count]
    return rows


def _shingled(hashes: np.ndarray) -> np.ndarray:
    """The set of shingles, as numbers; a text shorter than a shingle is one."""
    return np.unique(_rows(hashes, min(SHINGLE, len(hashes))))


class _Table:
    """Numbers of words in a row -> (target, place in the target), as three arrays in the numbers' order; 16 bytes an entry."""

    def __init__(self) -> None:
        self.keys = np.empty(0, np.uint64)
        self.targets, self.places = np.empty(0, np.int32), np.empty(0, np.int32)
        self._parts: list[tuple[int, np.ndarray, np.ndarray]] = []

    def __bool__(self) -> bool:
        return bool(self._parts)

    def add(self, number: int, rows: np.ndarray) -> None:
        """A target's rows, each once, where it first stands."""
        if len(rows):
            self._parts.append((number, *np.unique(rows, return_index=True)))

    def sorted(self) -> _Table:
        """The same table, ready to be looked into."""
        if self._parts:
            keys = np.concatenate([keys for _, keys, _ in self._parts])
            targets = np.repeat(
                np.array([number for number, _, _ in self._parts], np.int32), [len(keys) for _, keys, _ in self._parts]
            )
            order = np.argsort(keys, kind="stable")
            self.keys, self.targets = keys[order], targets[order]
            self.places = np.concatenate([places for _, _, places in self._parts]).astype(np.int32)[order]
            self._parts = []
        return self

    def found(self, rows: np.ndarray) -> np.ndarray:
        """The targets of every entry that one of the rows has, as often as it has them."""
        first, last = np.searchsorted(self.keys, rows, side="left"), np.searchsorted(self.keys, rows, side="right")
        some = np.flatnonzero(last > first)
        ranges = zip(first[some].tolist(), last[some].tolist(), strict=True)
        return np.concatenate([self.targets[:0], *(self.targets[start:end] for start, end in ranges)])

    def hits(self, rows: np.ndarray) -> Iterator[tuple[int, int, int]]:
        """(place in rows, target, place in the target) of every entry that one of the rows has, in the rows' order."""
        first = np.searchsorted(self.keys, rows, side="left")
        last = np.searchsorted(self.keys, rows, side="right")
        for i in np.flatnonzero(last > first).tolist():
            for entry in range(int(first[i]), int(last[i])):
                yield i, int(self.targets[entry]), int(self.places[entry])


def _common(a: Sequence[str], i: int, b: Sequence[str], j: int) -> int:
    """How many words are equal from a[i] and b[j] on."""
    size = 0
    while i + size < len(a) and j + size < len(b) and a[i + size] == b[j + size]:
        size += 1
    return size
