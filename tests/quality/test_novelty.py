"""The novelty filter decides as rouge-score does, pair by pair, and names the same nearest text."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness.quality.novelty import Match, NoveltyIndex, needed, rouge_l
from harness.quality.words import rouge_words

SEEDS = Path(__file__).parents[2] / "harness" / "quality" / "seeds" / "seed_tasks.jsonl"


@cache
def scorer() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rougeL"])


def score(a: str, b: str) -> float:
    return float(scorer().score(a, b)["rougeL"].fmeasure)


def nearest(pool: Sequence[str], text: str) -> Match | None:
    """By rouge-score alone: every pair, the first of the best."""
    scores = [score(other, text) for other in pool]
    return Match(scores.index(max(scores)), max(scores)) if scores and max(scores) > 0 else None


def ranked(pool: Sequence[str], text: str) -> list[Match]:
    """By rouge-score alone: all that share a word, best first, equals in order."""
    scores = [score(other, text) for other in pool]
    return [Match(i, scores[i]) for i in sorted(range(len(pool)), key=lambda i: -scores[i]) if scores[i] > 0]


def check(texts: Sequence[str], threshold: float) -> None:
    """The whole filter, text by text, against rouge-score."""
    index, pool = NoveltyIndex(threshold=threshold), []
    for text in texts:
        expected = nearest(pool, text)
        assert index.nearest(text) == expected
        assert index.most_similar(text, 3) == ranked(pool, text)[:3]
        assert index.closest(text) == (expected if expected and expected.score > threshold else None)
        if index.closest(text) is None:
            assert index.add(text) == len(pool)
            pool.append(text)
    assert len(index) == len(pool)


FEW = st.lists(st.sampled_from("abcd"), max_size=12).map(" ".join)
MORE = st.lists(st.sampled_from([f"w{i}" for i in range(12)]), min_size=5, max_size=30).map(" ".join)
ODD = st.text(st.sampled_from("aAbB09 \t\n.,-_éßſKİ²ªµ½ÅØ'’\u0301"), max_size=20)
TEXTS = st.lists(st.one_of(FEW, MORE, ODD), max_size=12)


@settings(deadline=None, max_examples=150)
@given(TEXTS, st.sampled_from([0.0, 0.3, 0.5, 0.7, 0.7, 0.7, 0.9, 1.0]))
@example(["a b c d e f g h i j", "a b c d e f g x y z"], 0.7)  # F is 0.7 but for rounding
@example(["a b c", "a b c", "c b a", "", "!"], 0.7)
def test_every_decision_and_nearest_text_is_rouge_scores(texts: list[str], threshold: float) -> None:
    check(texts, threshold)


@settings(deadline=None, max_examples=60)
@given(MORE, st.randoms(use_true_random=False))
def test_texts_that_are_nearly_one_another_are_decided_as_rouge_score_does(text: str, rng: random.Random) -> None:
    """Around the threshold: words left out, doubled, moved, exchanged."""
    words = text.split()
    texts = [text]
    for _ in range(10):
        changed = list(rng.choice(texts).split()) or words[:1]
        for _ in range(rng.randrange(1, 6)):
            place = rng.randrange(len(changed))
            action = rng.randrange(4)
            if action == 0 and len(changed) > 1:
                changed.pop(place)
            elif action == 1:
                changed.insert(place, changed[place])
            elif action == 2:
                changed.insert(rng.randrange(len(changed)), changed.pop(place))
            else:
                changed[place] = f"new{rng.randrange(3)}"
        texts.append(" ".join(changed))
    check(texts, 0.7)


def test_real_instructions_are_decided_as_rouge_score_does() -> None:
    texts = [json.loads(line)["instruction"] for line in SEEDS.read_text(encoding="utf-8").splitlines()]
    index = NoveltyIndex(texts)
    for text in random.Random(3).sample(texts, 25):
        assert index.nearest(text) == nearest(texts, text)
        shuffled = " ".join(random.Random(text).sample(text.split(), len(text.split())))
        assert index.nearest(shuffled) == nearest(texts, shuffled)


def test_four_of_the_human_seeds_are_too_close_to_another_seed() -> None:
    texts = [json.loads(line)["instruction"] for line in SEEDS.read_text(encoding="utf-8").splitlines()]
    assert len(texts) == 175
    found = [NoveltyIndex(texts[:i] + texts[i + 1 :]).closest(text) for i, text in enumerate(texts)]
    close = [match.score for match in found if match]
    assert len(close) == 4
    assert max(close) == pytest.approx(0.82, abs=0.005)


def test_texts_of_frequent_words_only() -> None:
    """Nothing is rare here, so no bound is sharp; the nearest is found all the same."""
    rng = random.Random(5)
    texts = [" ".join(rng.choices(["the", "a", "of", "to", "in", "is"], k=rng.randrange(3, 40))) for _ in range(1500)]
    index = NoveltyIndex(texts)
    for text in (rng.choices(texts, k=5)) + [" ".join(rng.choices(["the", "a", "of"], k=12)) for _ in range(5)]:
        words = rouge_words(text)
        scores = [rouge_l(_lcs(words, rouge_words(other)), len(words), len(rouge_words(other))) for other in texts]
        best = Match(scores.index(max(scores)), max(scores))
        assert index.nearest(text) == best
        assert index.closest(text) == (best if best.score > 0.7 else None)


def _lcs(a: Sequence[str], b: Sequence[str]) -> int:
    row = [0] * (len(b) + 1)
    for x in a:
        before = 0
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], before + 1 if x == y else max(row[j], row[j - 1])
    return row[-1]


@given(st.integers(1, 300), st.integers(1, 300), st.floats(0, 1))
def test_needed_is_the_smallest_overlap_above_the_threshold(n: int, m: int, threshold: float) -> None:
    least = needed(n, m, threshold)
    above = [common for common in range(min(n, m) + 1) if rouge_l(common, n, m) > threshold]
    assert least == (above[0] if above else min(n, m) + 1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Héllo wörld 42m² İstanbul K9", ["h", "llo", "w", "rld", "42m", "i", "stanbul", "k9"]),
        ("今天天气很好 OK", ["今", "天", "天", "气", "很", "好", "ok"]),
        ("Привет, мир 2го", ["привет", "мир", "2", "го"]),
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
        ("カード ไทย", ["カ", "ー", "ド", "ไ", "ท", "ย"]),
        ("ΟΔΟΣ — α=5", ["οδος", "α", "5"]),
        ("😀 \ud800 \x00", []),
    ],
)
def test_words_of_every_script(text: str, words: list[str]) -> None:
    assert rouge_words(text) == words


def test_texts_that_rouge_score_does_not_see_are_compared_by_their_own_words() -> None:
    index = NoveltyIndex(["请把下面的句子翻译成英文", "Переведи это предложение на английский язык"])
    assert score("请把下面的句子翻译成英文", "请把下面的句子翻译成英文") == 0.0
    match = index.closest("请把下面的句子翻译成法文")
    assert match == Match(0, pytest.approx(11 / 12))
    assert index.closest("Переведи это предложение на французский язык") == Match(1, pytest.approx(5 / 6))
    assert index.closest("写一首关于秋天的诗") is None


def test_one_text_can_be_left_out() -> None:
    index = NoveltyIndex(["a b c d e f", "a b c d e g", "x y z"])
    assert index.closest("a b c d e f") == Match(0, 1.0)
    assert index.closest("a b c d e f", but=0) == Match(1, pytest.approx(5 / 6))
    assert index.closest("x y z", but=2) is None


def test_a_threshold_outside_of_zero_to_one_is_refused() -> None:
    for threshold in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="threshold"):
            NoveltyIndex(threshold=threshold)
