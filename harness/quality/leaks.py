"""Does training data hold what a suite asks? Finds texts that repeat a case: whole, in part, or nearly.

One pass over the training texts; the suite's texts are held in an index, so any number of rows streams through. Three ways, the
strongest is told:

exact   the same words (case, punctuation and spacing aside), or all words of the case in a row inside the text
ngram   n words in a row are shared (13 as in Brown et al. 2020, appendix C; 8 as in s1 and open-r1, which finds shared templates
        too: 80 of GSM8K's 1,319 test questions share 8 words with a training question, 3 share 13)
near    the sets of 3-word shingles are alike: Jaccard similarity from 0.7. It is counted, where MinHash would estimate it

Scripts without spaces count characters as words. What is found is evidence with the shared words in it; whoever calls decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.model import Case
from harness.quality.words import Worded, shingles, worded, words

DEFAULT_N = 13
DEFAULT_NEAR = 0.7
SHINGLE = 3  # words
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


def leaks(
    texts: Iterable[str], targets: Iterable[Target], *, n: int = DEFAULT_N, near: float | None = DEFAULT_NEAR
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
    """Targets, ready to be looked for. Memory grows with the targets' words only."""

    def __init__(self, targets: Iterable[Target], *, n: int = DEFAULT_N, near: float | None = DEFAULT_NEAR) -> None:
        if n < 2:
            raise ValueError(f"n is {n}: fewer than 2 words in a row are no evidence")
        self.n, self.near = n, near
        self.targets: list[Target] = []
        self._words: list[tuple[str, ...]] = []
        self._whole: dict[str, list[int]] = {}  # all words of a target -> targets
        self._grams: dict[int, dict[str, list[tuple[int, int]]]] = {}  # length -> words in a row -> (target, first word)
        self._shingles: dict[str, list[int]] = {}
        self._sizes: list[int] = []  # shingles of each target
        for target in targets:
            self._add(target)

    def _add(self, target: Target) -> None:
        found = tuple(words(target.text))
        if not found:
            return
        number = len(self.targets)
        self.targets.append(target)
        self._words.append(found)
        self._whole.setdefault(" ".join(found), []).append(number)
        length = min(self.n, len(found))
        if length >= min(CONTAINED, self.n):
            table = self._grams.setdefault(length, {})
            firsts = {" ".join(found[i : i + length]): i for i in reversed(range(len(found) - length + 1))}
            for gram, i in firsts.items():
                table.setdefault(gram, []).append((number, i))
        own = shingles(found, SHINGLE) if self.near is not None else ()
        self._sizes.append(len(own))
        for shingle in own:
            self._shingles.setdefault(shingle, []).append(number)

    def find(self, text: str, row: int = 0) -> list[Leak]:
        """What the text repeats, one Leak a target, the worst first."""
        seen = worded(text)
        if not seen.words:
            return []
        same = set(self._whole.get(" ".join(seen.words), ()))
        runs = self._runs(seen)
        alike = dict(self._alike(seen.words))
        found: dict[int, Leak] = {}
        for number in same | runs.keys():
            length, first = (len(seen.words), 0) if number in same else runs[number]
            size = len(self._words[number])
            how = "exact" if length >= size else "ngram"
            span = seen.span(first, first + length - 1)
            found[number] = Leak(row, self.targets[number], how, min(1.0, length / size), length, span, alike.pop(number, None))
        for number, similarity in alike.items():
            found[number] = Leak(row, self.targets[number], "near", similarity, 0, seen.text, similarity)
        return [leak for _, leak in sorted(found.items(), key=lambda item: (_ORDER[item[1].how], -item[1].similarity, item[0]))]

    def _runs(self, seen: Worded) -> dict[int, tuple[int, int]]:
        """target -> (length, first word in the text) of its longest run that begins with an indexed n-gram."""
        best: dict[int, tuple[int, int]] = {}
        covered: dict[int, int] = {}  # target -> where its latest run ends: n-grams within it say nothing new
        for length, table in self._grams.items():
            for i in range(len(seen.words) - length + 1):
                for number, j in table.get(" ".join(seen.words[i : i + length]), ()):
                    if i + length <= covered.get(number, 0):
                        continue
                    size = _common(seen.words, i, self._words[number], j)
                    covered[number] = i + size
                    if size > best.get(number, (0, 0))[0]:
                        best[number] = (size, i)
        return best

    def _alike(self, found: Sequence[str]) -> Iterator[tuple[int, float]]:
        if self.near is None:
            return
        own = shingles(found, SHINGLE)
        shared = Counter(number for shingle in own for number in self._shingles.get(shingle, ()))
        for number, count in sorted(shared.items()):
            similarity = count / (len(own) + self._sizes[number] - count)
            if similarity >= self.near:
                yield number, similarity


_ORDER = {"exact": 0, "ngram": 1, "near": 2}


def _common(a: Sequence[str], i: int, b: Sequence[str], j: int) -> int:
    """How many words are equal from a[i] and b[j] on."""
    size = 0
    while i + size < len(a) and j + size < len(b) and a[i + size] == b[j + size]:
        size += 1
    return size
