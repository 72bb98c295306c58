"""Topics: clusters of embedded questions, each with the words that set it apart.

Clusters are those of spherical k-means (Dhillon & Modha 2001) with k-means++ seeding; names are the words with the highest
class-based TF-IDF (Grootendorst 2022, arXiv 2203.05794: frequency in the cluster times log(1 + mean words per cluster / frequency
overall)). The embedder is handed in; randomness is a generator's.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.checks.texts import tokens

ROUNDS = 30
NAMED = 3  # words in a name
_COMMON_WORDS = """
the a an of to and in is for on that with as by it this be or are from at which you your i my we our me have has was were will can
could would should do does did not no if what how why when where who please following given write give make create using use one
two some any all each most more than then into about between their there these those its his her they he she them
"""
_COMMON_SIGNS = "的一是在了和有我你他它这那个请以及为与对中上下不也就都并或被把给出会能要可如何什么面很"
_COMMON = frozenset(_COMMON_WORDS.split()) | frozenset(_COMMON_SIGNS)


@dataclass(frozen=True, slots=True)
class Topic:
    """One cluster: its words, how many of the texts are in it, and the texts nearest its middle (their numbers)."""

    name: str
    count: int
    nearest: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Topics:
    """topics: the largest first. of: the topic of each text, an index into topics. centres: unit vectors, shape (k, d)."""

    topics: tuple[Topic, ...]
    of: NDArray[np.int64]
    centres: NDArray[np.float32]


def find_topics(texts: Sequence[str], vectors: NDArray[np.float32], k: int, rng: np.random.Generator) -> Topics:
    """k topics (fewer where there are fewer different texts) of n texts with their unit vectors, shape (n, d)."""
    if not len(texts):
        return Topics(
            (), np.zeros(0, dtype=np.int64), np.zeros((0, vectors.shape[1] if vectors.ndim == 2 else 0), dtype=np.float32)
        )
    labels, centres = _kmeans(vectors, min(k, len(texts)), rng)
    order = np.argsort(-np.bincount(labels, minlength=len(centres)), kind="stable")
    order = np.array([cluster for cluster in order if (labels == cluster).any()])
    place = {int(cluster): index for index, cluster in enumerate(order)}
    of = np.array([place[int(label)] for label in labels], dtype=np.int64)
    names = _names(texts, of, len(order))
    topics = []
    for index, cluster in enumerate(order):
        members = np.flatnonzero(of == index)
        close = members[np.argsort(-(vectors[members] @ centres[cluster]), kind="stable")][:3]
        topics.append(Topic(names[index], len(members), tuple(int(i) for i in close)))
    return Topics(tuple(topics), of, centres[order])


def _kmeans(vectors: NDArray[np.float32], k: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    centres = _seeds(vectors, k, rng)
    labels = np.full(len(vectors), -1, dtype=np.int64)
    for _ in range(ROUNDS):
        new = np.argmax(vectors @ centres.T, axis=1)
        if (new == labels).all():
            break
        labels = new
        for cluster in range(len(centres)):
            middle = vectors[labels == cluster].sum(axis=0)
            size = float(np.linalg.norm(middle))
            if size > 0:
                centres[cluster] = middle / size
    return labels, centres


def _seeds(vectors: NDArray[np.float32], k: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """k-means++ (Arthur & Vassilvitskii 2007): each next seed with a chance proportional to its distance from the nearest one."""
    chosen = [int(rng.integers(len(vectors)))]
    distance = 1.0 - vectors @ vectors[chosen[0]]
    while len(chosen) < k:
        weights = np.maximum(distance.astype(np.float64), 0.0)
        weights[weights < 1e-6] = 0.0
        if not weights.sum():
            break  # every text is one of the seeds
        chosen.append(int(rng.choice(len(vectors), p=weights / weights.sum())))
        distance = np.minimum(distance, 1.0 - vectors @ vectors[chosen[-1]])
    return vectors[chosen].copy()


def _names(texts: Sequence[str], of: NDArray[np.int64], k: int) -> list[str]:
    counts = [Counter[str]() for _ in range(k)]
    for text, topic in zip(texts, of, strict=True):
        counts[int(topic)].update(set(_terms(text)))  # once for each text: a text that repeats a word is one text
    overall = Counter[str]()
    for count in counts:
        overall.update(count)
    mean = sum(overall.values()) / max(k, 1)
    return [_name(count, overall, mean) for count in counts]


def _name(count: Counter[str], overall: Counter[str], mean: float) -> str:
    total = sum(count.values()) or 1
    scores = {word: n / total * math.log(1 + mean / overall[word]) for word, n in count.items()}
    best = sorted(scores, key=lambda word: (-scores[word], word))
    chosen: list[str] = []
    for word in best:
        if len(chosen) < NAMED and not any(word in other or other in word for other in chosen):
            chosen.append(word)
    return ", ".join(chosen) or "(no words)"


def _terms(text: str) -> list[str]:
    """Words, and pairs of signs in scripts without spaces (a single sign seldom is a word)."""
    words, terms = tokens(text[:1000]), []
    for word, after in zip(words, [*words[1:], ""], strict=True):
        if len(word) == 1 and not word.isascii():
            if len(after) == 1 and not after.isascii() and word not in _COMMON and after not in _COMMON:
                terms.append(word + after)
        elif word not in _COMMON and not word.isdigit() and len(word) > 2:
            terms.append(word)
    return terms
