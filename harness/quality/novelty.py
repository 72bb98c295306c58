"""Is a text new? ROUGE-L against everything accepted so far, with rouge-score's decisions and without its 14 core-hours.

Self-Instruct (Wang et al. 2023) accepts an instruction when its ROUGE-L F is at most 0.7 against every instruction in the pool.
F = 2·L / (n + m) for texts of n and m words whose longest common subsequence has L words, so F > t needs L > t·(n + m) / 2. L is
at most the number of words the texts share (each as often as both have it), hence, as in set-similarity joins (Chaudhuri, Ganti
and Kaushik 2006, "prefix filter"):

1. at least o words of the text must be shared with any text that is too close, whatever its length, so whoever shares none of
   some n - o + 1 of its words is out: only the inverted lists of that many words are read, and the rarest are chosen;
2. what these lists name is kept where its length allows F > t, and where the words shared there and the words left could;
3. the rest is counted exactly, by rapidfuzz's bit-parallel longest common subsequence.

No bound ever decides for a text: F is computed as rouge-score computes it, in the same order of the same roundings. ROUGE-L is
symmetric in F, so it does not matter which text is called the reference.
"""

from __future__ import annotations

import math
import pickle
from array import array
from bisect import insort
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from rapidfuzz.distance import LCSseq

from harness.quality.scratch import Shelf
from harness.quality.words import rouge_words

THRESHOLD = 0.7  # Self-Instruct's


@dataclass(frozen=True, slots=True)
class Match:
    """The most similar text of an index: its number (order of adding, from 0; the first of equals) and the ROUGE-L F."""

    index: int
    score: float


def rouge_l(common: int, n: int, m: int) -> float:
    """ROUGE-L F of texts of n and m words whose longest common subsequence has ``common`` words, rounded as rouge-score does."""
    if not common:
        return 0.0
    precision, recall = common / n, common / m
    return 2 * precision * recall / (precision + recall)


@lru_cache(maxsize=1 << 16)
def needed(n: int, m: int, threshold: float) -> int:
    """The smallest common subsequence of n and m words whose F exceeds the threshold; min(n, m) + 1 if none does."""
    common = min(max(0, math.ceil(threshold * (n + m) / 2) - 2), min(n, m) + 1)
    while common <= min(n, m) and rouge_l(common, n, m) <= threshold:
        common += 1
    return common


class NoveltyIndex:
    """Texts that were accepted. ``closest`` says whether another one is too close to any of them; ``add`` accepts it.

    Deterministic; about 0.5 KB a text of 16 words (``memory``). threshold: an F above it is too close.
    """

    def __init__(self, texts: Iterable[str] = (), *, threshold: float = THRESHOLD) -> None:
        if not 0 <= threshold <= 1:
            raise ValueError(f"the threshold is {threshold}, not in [0, 1]")
        self.threshold = threshold
        self._ids: dict[str, int] = {}
        self._items: dict[tuple[int, int], int] = {}  # (word, how many times it stood before) -> item
        self._lists: list[array[int]] = []  # item -> texts that have it
        self._texts: list[tuple[int, ...]] = []
        self._lengths = array("i")
        self._read_words = 0  # of all texts together
        for text in texts:
            self.add(text)

    def __len__(self) -> int:
        return len(self._texts)

    @property
    def memory(self) -> int:
        """Bytes it takes, about: of each text its words, of each different word its letters and its list."""
        return 120 * len(self._texts) + 14 * self._read_words + 400 * len(self._lists)

    def add(self, text: str) -> int:
        """Accept a text whatever it is like; returns its number."""
        number = len(self._texts)
        words = tuple(self._ids.setdefault(word, len(self._ids)) for word in rouge_words(text))
        self._texts.append(words)
        self._lengths.append(len(words))
        self._read_words += len(words)
        for pair in _occurrences(words):
            item = self._items.setdefault(pair, len(self._lists))
            if item == len(self._lists):
                self._lists.append(array("i"))
            self._lists[item].append(number)
        return number

    def closest(self, text: str, *, but: int | None = None) -> Match | None:
        """The most similar text if its F exceeds the threshold, else None: then the text is new. but: a text not to look at."""
        words = self._read(text)
        n = len(words)
        least = _least_shared(n, self.threshold)
        if not n or least > n:
            return None
        lists = self._known(words)
        absent = n - len(lists)  # words no text has: they are the rarest of all
        prefix = sorted(lists, key=len)[: max(0, n - least + 1 - absent)]
        best: Match | None = None
        for number in self._possible(n, prefix, rest=len(lists) - len(prefix)):
            if number != but:
                best = self._better(best, words, number, self.threshold)
        return best

    def nearest(self, text: str) -> Match | None:
        """The most similar text however little that is, None where no text shares a word. Slower than ``closest``."""
        return next(iter(self.most_similar(text, 1)), None)

    def most_similar(self, text: str, count: int = 10) -> list[Match]:
        """The ``count`` most similar texts that share a word, best first, equals in the order they were added."""
        words = self._read(text)
        found, shared = _counted(self._known(words))
        if not len(found):
            return []
        lengths = self._lengths_of(found)
        bounds = 2.0 * np.minimum(shared, lengths) / (len(words) + lengths)
        best: list[tuple[float, int]] = []  # (-F, number), ascending
        for place in np.lexsort((found, -bounds)).tolist():
            worst = -best[-1][0] if len(best) == count else 0.0
            if bounds[place] < worst - 1e-9:
                break
            match = self._better(None, words, int(found[place]), 0.0, floor=worst - 1e-9)
            if match is not None:
                insort(best, (-match.score, match.index))
                del best[count:]
        return [Match(number, -score) for score, number in best]

    def _possible(self, n: int, prefix: Sequence[array[int]], rest: int) -> list[int]:
        """The texts named by the prefix's lists that may be too close to n words. rest: further words that might be shared."""
        found, shared = _counted(prefix)
        if not len(found):
            return []
        lengths = self._lengths_of(found)
        most = np.minimum(np.minimum(shared + rest, n), lengths)
        kept: list[int] = found[2.0 * most > self.threshold * (n + lengths) - 1e-6].tolist()  # slack: F itself decides
        return kept

    def _better(
        self, best: Match | None, words: Sequence[int], number: int, threshold: float, floor: float = 0.0
    ) -> Match | None:
        """``best``, or the text of that number if it is more similar (or as similar and earlier) and above the threshold.

        floor: an F below it need not be told.
        """
        other = self._texts[number]
        floor = max(threshold, floor, best.score - 1e-9 if best else 0.0)
        common = LCSseq.similarity(words, other, score_cutoff=needed(len(words), len(other), floor))
        score = rouge_l(common, len(words), len(other))
        if score <= threshold or (best and (score, -number) <= (best.score, -best.index)):
            return best
        return Match(number, score)

    def _read(self, text: str) -> tuple[int, ...]:
        """The text's words; one that no text of the index has gets a negative number of its own."""
        strange: dict[str, int] = {}
        return tuple(
            self._ids[word] if word in self._ids else strange.setdefault(word, -1 - len(strange)) for word in rouge_words(text)
        )

    def _known(self, words: Sequence[int]) -> list[array[int]]:
        items = (self._items.get(pair) for pair in _occurrences(words))
        return [self._lists[item] for item in items if item is not None]

    def _lengths_of(self, numbers: np.ndarray) -> np.ndarray:
        """Their words, counted; a copy, because an array that is looked at cannot grow."""
        return np.frombuffer(self._lengths, np.int32)[numbers]


class ShelvedNovelty:
    """A NoveltyIndex of any length in bounded memory: what it holds beyond ``memory`` bytes is on disk, in parts.

    A part is read for many texts at once: ``older`` first, for the next texts, then ``closest`` and ``add``, text by text.
    Numbers and decisions are those of one NoveltyIndex.
    """

    def __init__(self, *, threshold: float = THRESHOLD, memory: int = 32_000_000) -> None:
        self._live, self._memory = NoveltyIndex(threshold=threshold), memory
        self._shelf = Shelf()
        self._firsts = array("Q")  # number of the first text of each shelved part
        self._first = 0  # of the live one

    @property
    def shelved(self) -> bool:
        return bool(self._firsts)

    def older(self, texts: Sequence[str]) -> list[Match | None]:
        """What ``closest`` needs to know of each of the texts that come next."""
        if self._live.memory > self._memory:
            self._shelf.put(pickle.dumps(self._live))
            self._firsts.append(self._first)
            self._first += len(self._live)
            self._live = NoveltyIndex(threshold=self._live.threshold)
        best: list[Match | None] = [None] * len(texts)
        for number, first in enumerate(self._firsts):
            best = _asked(self._shelf.get(number), texts, best, first)
        return best

    def closest(self, text: str, older: Match | None) -> Match | None:
        """The most similar text if its F exceeds the threshold, else None. older: what ``older`` said of the text."""
        return _best(older, self._live.closest(text), self._first)

    def add(self, text: str) -> int:
        """Accept a text whatever it is like; returns its number."""
        return self._first + self._live.add(text)


def _asked(held: bytes, texts: Sequence[str], best: Sequence[Match | None], first: int) -> list[Match | None]:
    """The better of what is known and what a shelved part has; the part is in memory for so long."""
    part: NoveltyIndex = pickle.loads(held)  # noqa: S301 - written by ShelvedNovelty, into a file nobody else has
    return [
        known if known is not None and known.score == 1.0 else _best(known, part.closest(text), first)
        for text, known in zip(texts, best, strict=True)
    ]


def _best(older: Match | None, newer: Match | None, first: int) -> Match | None:
    """The more similar one, the older of equals. newer: numbered from ``first`` on."""
    if newer is None or (older is not None and older.score >= newer.score):
        return older
    return Match(first + newer.index, newer.score)


def _occurrences(words: Sequence[int]) -> Iterable[tuple[int, int]]:
    """Each word with the number of times it stood before, so that sets of these count shared words as often as both have them."""
    seen: Counter[int] = Counter()
    for word in words:
        yield word, seen[word]
        seen[word] += 1


def _least_shared(n: int, threshold: float) -> int:
    """Words that a text of n words shares at least with any text whose F exceeds the threshold.

    L > t(n + m)/2 and m >= L give L > t·n / (2 - t). One less for rounding.
    """
    return max(1, math.floor(threshold * n / (2 - threshold) + 1e-9))


def _counted(lists: Sequence[array[int]]) -> tuple[np.ndarray, np.ndarray]:
    """The texts that the lists name, ascending, and in how many lists each stands."""
    if not lists:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    return np.unique(np.concatenate([np.array(each, np.int32) for each in lists]), return_counts=True)
