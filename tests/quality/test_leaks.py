"""What leaks and what does not: by hand, and against a search that looks at every pair of runs."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model import Case
from harness.quality.examples import Example
from harness.quality.files import open_examples
from harness.quality.leaks import Leak, LeakIndex, Target, leaks, targets_of
from harness.quality.words import words

GSM8K = Path(__file__).parents[1] / "data/gsm8k/train_questions.parquet"
CASE = "A farmer sells 12 eggs a day, and eats three of them for breakfast. How many eggs are left at noon?"


def one(text: str, target: str = CASE, **options: Any) -> Leak | None:
    found = list(leaks([text], [Target("c", target)], **options))
    assert len(found) <= 1
    return found[0] if found else None


def test_the_same_words_are_exact_whatever_their_case_and_punctuation() -> None:
    leak = one(CASE.upper().replace("?", " !!"))
    assert leak is not None
    assert (leak.how, leak.similarity, leak.words) == ("exact", 1.0, len(words(CASE)))


def test_a_case_inside_a_longer_text_is_exact_and_its_span_is_shown_as_written() -> None:
    leak = one(f"Please solve this.\n\n{CASE}\n\nThink well.")
    assert leak is not None
    assert (leak.how, leak.span) == ("exact", CASE.rstrip("?"))


def test_a_shared_run_is_an_ngram_and_says_how_long_it_is() -> None:
    text = "Once a farmer sells 12 eggs a DAY, and eats three of -- nothing at all."
    assert one(text, n=13) is None
    leak = one(text, n=8)
    assert leak is not None
    assert (leak.how, leak.words, leak.span) == ("ngram", 11, "a farmer sells 12 eggs a DAY, and eats three of")
    assert leak.similarity == pytest.approx(11 / 21)


def test_a_word_changed_is_near() -> None:
    text = CASE.replace("12", "14")
    leak = one(text, n=18)
    assert leak is not None
    assert (leak.how, leak.span, leak.words) == ("near", text, 0)
    # 21 words are 19 shingles of 3 words; "12" stands in 3 of them
    assert leak.similarity == pytest.approx(16 / 22)
    assert one(text, n=18, near=0.73) is None
    assert one(text, n=18, near=None) is None


def test_the_longest_run_counts_not_the_first() -> None:
    text = "one two three four five six. alpha beta gamma delta epsilon zeta eta theta"
    target = "alpha beta gamma delta epsilon zeta eta theta iota one two three four five"
    leak = one(text, target, n=4)
    assert leak is not None
    assert (leak.words, leak.span) == (8, "alpha beta gamma delta epsilon zeta eta theta")


def test_short_cases_leak_when_they_are_the_text_and_not_when_they_stand_in_it() -> None:
    assert one("2 + 2", "2+2") is not None
    assert one("What is 2 + 2 and why?", "2 + 2") is None
    assert one("Name the capital of France, please.", "name the capital of france") is not None


def test_scripts_without_spaces_count_characters() -> None:
    leak = one("请回答:小明有十二个苹果,吃了三个,还剩几个苹果?谢谢", "小明有十二个苹果,吃了三个,还剩几个苹果?")
    assert leak is not None
    assert (leak.how, leak.span) == ("exact", "小明有十二个苹果,吃了三个,还剩几个苹果")
    assert one("小红有一只猫", "小明有一只狗", n=4) is None


def test_composed_and_full_width_letters_are_the_same_text() -> None:
    assert (
        one("Ｃａｆｅ\u0301 au lait, s'il vous plaît", "café au lait s'il vous plait".replace("plait", "plai\u0302t")) is not None
    )


def test_texts_without_words_leak_nothing() -> None:
    assert list(leaks(["", "  ", "!?"], [Target("a", ""), Target("b", "..."), Target("c", "words")])) == []
    assert LeakIndex([Target("a", "!!!")]).targets == []


def test_a_text_that_repeats_one_word_a_hundred_thousand_times_is_looked_at_once() -> None:
    leak = one("ha " * 100_000, "ha " * 500, n=8)
    assert leak is not None
    assert (leak.how, leak.words) == ("exact", 500)


def test_targets_of_a_case_are_what_it_asks_and_what_is_long_enough_to_be_evidence() -> None:
    long = "the answer is that nobody has ever seen such a thing before"
    cases = [
        Case(
            "1", "a", {"input": "What?", "context": long, "language": "English"}, reference={"text": long.upper()}, source="f:1"
        ),
        Case("2", "a", {"messages": [{"role": "system", "content": long}, {"role": "user", "content": "And you?"}]}, reference=7),
        Case("3", "a", {"left": "a b", "right": ["c", {"d": "e"}]}, reference="Paris"),
        Case("4", "a", {"input": "  "}),
    ]
    assert [(t.id, t.part, t.text) for t in targets_of(cases)] == [
        ("1", "input", "What?"),
        ("1", "context", long),
        ("1", "reference", long.upper()),
        ("2", "input", "And you?"),
        ("3", "input", "a b\nc\ne"),
    ]
    assert next(targets_of(cases)).source == "f:1"


LETTERS = st.lists(st.sampled_from("abcd"), max_size=24)


def runs(letters: list[str], n: int) -> set[tuple[str, ...]]:
    return {tuple(letters[i : i + n]) for i in range(len(letters) - n + 1)}


def whole(case: list[str], text: list[str], n: int) -> bool:
    """The case is the text, or stands in it and is long enough to prove something."""
    return bool(case) and (case == text or (len(case) >= min(5, n) and " ".join(case) in " ".join(text)))


@given(LETTERS, LETTERS, st.integers(2, 6))
def test_ngrams_are_found_exactly_where_every_pair_of_runs_says_so(text: list[str], case: list[str], n: int) -> None:
    leak = one(" ".join(text), " ".join(case), n=n, near=None)
    assert (leak is not None) == (bool(runs(text, n) & runs(case, n)) or whole(case, text, n))
    assert not whole(case, text, n) or (leak is not None and leak.how == "exact")
    if leak is not None:
        assert leak.span in " ".join(text)
        assert leak.span in " ".join(case)
        assert leak.words == len(leak.span.split()) >= min(n, len(case))
        assert (leak.how == "exact") == (leak.words == len(case))


@given(st.lists(st.sampled_from("ab"), max_size=30), st.lists(st.sampled_from("ab"), max_size=14))
def test_without_n_only_whole_cases_are_found(text: list[str], case: list[str]) -> None:
    leak = one(" ".join(text), " ".join(case), n=None, near=None)
    assert (leak is not None) == whole(case, text, 5)
    if leak is not None:
        assert (leak.how, leak.words, leak.span) == ("exact", len(case), " ".join(case))


def test_a_case_inside_a_text_that_repeats_itself_is_found() -> None:
    for n in (8, 13, None):
        leak = one("x " * 10 + "y", "x " * 9 + "y", n=n, near=None)
        assert leak is not None
        assert (leak.how, leak.words) == ("exact", 10)


def test_equal_hashes_do_not_make_a_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were all words of one hash, only equal words would still count."""
    monkeypatch.setattr("harness.quality.leaks._hashes", lambda found: np.ones(len(found), np.uint64))
    assert one("a b c d e f g h i j k l m n", "o p q r s t u v w x y z", n=4, near=None) is None
    leak = one("a b c d e f g h", "x c d e f y", n=4, near=None)
    assert leak is None or leak.span == "c d e f"


@given(LETTERS, LETTERS, st.sampled_from([0.3, 0.5, 0.7, 0.9]))
def test_near_is_the_jaccard_similarity_of_shingles(text: list[str], case: list[str], near: float) -> None:
    a, b = (runs(letters, min(3, len(letters))) if letters else set() for letters in (text, case))
    similarity = len(a & b) / len(a | b) if a and b else 0.0
    leak = one(" ".join(text), " ".join(case), n=25, near=near)
    if whole(case, text, 25):
        assert leak is not None
        assert leak.how == "exact"
    else:
        assert (leak.similarity if leak else None) == (similarity if similarity >= near else None)


def test_minhash_finds_what_counting_finds_but_for_a_few_near_the_threshold() -> None:
    """GSM8K's questions with some words changed: nothing that counting does not find, all from 0.85 on, most of the others."""
    pytest.importorskip("datasketch")
    rows = [row.input_text for row in open_examples(GSM8K) if isinstance(row, Example)][:400]
    dice, targets = random.Random(1), [Target(str(i), row) for i, row in enumerate(rows)]
    counted, hashed = (LeakIndex(targets, n=None, hashing=hashing) for hashing in (False, True))
    found: list[dict[tuple[int, str], float]] = [{}, {}]
    for number, row in enumerate(rows):
        changed = row.split()
        for _ in range(dice.randint(0, 6)):
            changed[dice.randrange(len(changed))] = "other"
        for kept, index in zip(found, (counted, hashed), strict=True):
            kept |= {(number, leak.target.id): leak.jaccard or 0.0 for leak in index.find(" ".join(changed)) if leak.jaccard}
    assert len(found[0]) > 200
    assert found[1].items() <= found[0].items(), "the similarity of what is proposed is counted, too"
    missed = found[0].keys() - found[1].keys()
    assert len(missed) <= 0.06 * len(found[0])
    assert all(found[0][pair] < 0.85 for pair in missed)
