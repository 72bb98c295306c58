"""Task types, topics, target mixes and the cover of failing cases."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import DataError, SuiteError
from harness.quality import Dropped, Example, Kind, Turn
from harness.quality.counting import Lengths
from harness.quality.distribution import (
    DIMENSIONS,
    FailingCase,
    cover,
    distribution,
    gaps,
    is_part,
    language,
    read_target,
    with_topics,
)
from harness.quality.embedding import unit
from harness.quality.tasktypes import known_types, task_type
from harness.quality.topics import find_topics


def row(asked: str, answer: str = "ok", line: int = 1) -> Example:
    return Example(Kind.MESSAGES, messages=(Turn("user", asked), Turn("assistant", answer)), line=line)


@pytest.mark.parametrize(
    ("asked", "answer", "expected"),
    [
        ("Translate to French: good morning", "bonjour", "translation"),
        ("把下面的句子翻译成英文：你好", "hello", "translation"),
        ("Summarize this article: ...", "x", "summary"),
        ("请总结这段话", "x", "summary"),
        ("Classify the sentiment of: I love it", "positive", "classification"),
        ("Get the order", '{"id": 3, "items": []}', "extraction"),
        ("Reverse a list", "```python\nx = list(reversed(y))\n```", "code"),
        ("What is 3 + 4?", "7", "math"),
        ("计算12乘以3", "36", "math"),
        ("Rewrite the sentence: he go home", "He goes home.", "rewriting"),
        ("Tell a story about a fox", "Once...", "creative"),
        ("Write an email to my landlord", "Dear...", "writing"),
        ("Give me five names for a cat", "1. Tom", "list"),
        ("How to bake bread?", "Mix...", "how-to"),
        ("Explain photosynthesis", "Plants...", "explanation"),
        ("Who wrote Hamlet?", "Shakespeare", "question"),
        ("Who are you?", "I am a model.", "identity"),
        ("你是谁？", "我是助手。", "identity"),
        ("Hi", "Hello!", "conversation"),
        ("blue seven", "x", "other"),
    ],
)
def test_task_types_by_rule(asked: str, answer: str, expected: str) -> None:
    assert task_type(row(asked, answer)) == expected
    assert expected in known_types()


def test_tools_and_documents_are_told_by_structure() -> None:
    call = Turn("assistant", "", tool_calls=({"type": "function", "function": {"name": "f", "arguments": {}}},))
    assert task_type(Example(Kind.MESSAGES, messages=(Turn("user", "Translate it"), call))) == "tool use"
    assert task_type(Example(Kind.TEXT, messages=(Turn("text", "How to live"),))) == "document"


@given(st.text(max_size=200), st.text(max_size=200))
def test_every_row_has_a_known_type_and_a_language(asked: str, answer: str) -> None:
    example = row(asked, answer)
    assert task_type(example) in known_types()
    assert language(example)


def test_counts_and_a_uniform_seeded_sample() -> None:
    rows = [row(f"What is {i}?", "x" * i, i) for i in range(1, 1001)]
    dropped = Dropped("f", 9, "role", "no role")
    found = distribution([*rows, dropped], sample=50)
    assert (found.rows, found.unread.rows, found.tasks.total(), len(found.sample)) == (1000, 1, 1000, 50)
    assert found.turns == {"1 turn": 1000}
    assert dict(found.lengths) == {"up to 200 characters": 200, "to 1,000": 800}
    assert found.sample == distribution([*rows, dropped], sample=50).sample
    assert found.sample != distribution(rows, sample=50, seed=1).sample
    assert 300 < np.mean([line for line, _ in found.sample]) < 700


# -- topics ----------------------------------------------------------------------------------------------------------------------

TEXTS = [f"the red apple number {i} and the pear" for i in range(12)] + [f"a fast engine of car {i} wheel" for i in range(8)]


def toy(texts: Sequence[str]) -> np.ndarray:
    """Three axes: fruit, cars, the rest; a little of the text's own so that no two are equal."""
    rows = []
    for text in texts:
        fruit, car = "apple" in text or "pear" in text, "engine" in text or "car" in text
        rows.append([float(fruit), float(car), float(not fruit and not car), 0.01 * (hash_of(text) % 10)])
    return unit(np.array(rows, dtype=np.float32).reshape(len(texts), 4))


def hash_of(text: str) -> int:
    return sum(ord(letter) for letter in text)


def test_topics_are_the_clusters_with_the_words_that_set_them_apart() -> None:
    found = find_topics(TEXTS, toy(TEXTS), 2, np.random.default_rng(0))
    assert [topic.count for topic in found.topics] == [12, 8]
    assert "apple" in found.topics[0].name
    assert "engine" in found.topics[1].name
    assert "the" not in found.topics[0].name.split(", ")
    assert set(found.of[:12]) == {0}
    assert all(found.of[i] == 1 for i in found.topics[1].nearest)
    assert np.allclose(np.linalg.norm(found.centres, axis=1), 1.0, atol=1e-5)


def test_topics_of_few_or_equal_texts() -> None:
    assert find_topics([], np.zeros((0, 4), dtype=np.float32), 5, np.random.default_rng(0)).topics == ()
    same = ["equal words here"] * 6
    found = find_topics(same, toy(same), 4, np.random.default_rng(0))
    assert [topic.count for topic in found.topics] == [6]
    signs = ["苹果很甜", "苹果很红", "苹果很大"]
    assert find_topics(signs, toy(signs), 1, np.random.default_rng(0)).topics[0].name.startswith("苹果")


# -- against a target ------------------------------------------------------------------------------------------------------------


def mix(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mix.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_gaps_say_what_to_add(tmp_path: Path) -> None:
    rows = [row("What is 3 + 4?")] * 10 + [row("Who wrote Hamlet?")] * 90
    target = read_target(
        mix(tmp_path, "tasks:\n  math: 30%\n  question: 0.9\nlanguages:\n  Chinese: 0.2\n".replace("0.9", "0.5"))
    )
    told = gaps(distribution(rows), target)
    assert [(gap.part, gap.add) for gap in told] == [("Chinese", 20), ("math", 20), ("question", -40)]
    assert told[1].sentence == "math: 10.0% of the rows, wanted 30.0%; 20 more rows are needed"
    assert told[2].sentence.endswith("40 rows too many")
    with pytest.raises(DataError, match="no rows"):
        gaps(distribution([]), target)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("task:\n  math: 0.5\n", "did you mean tasks"),
        ("tasks:\n  maths: 0.5\n", "did you mean math"),
        ("languages:\n  en: 100%\n", "languages know no 'en'"),
        ("languages:\n  Latin: 100%\n", "languages know no 'Latin' (valid names: Chinese"),
        ("turns:\n  1 turn: 0.1\n  12 turns: 0.1\n  1 turns: 0.5\n", "turns know no '1 turns'"),
        ("lengths:\n  short: 0.5\n", "lengths know no 'short'"),
        ("tasks:\n  math: 1.5\n", "no share"),
        ("tasks:\n  math: lots\n", "no share"),
        ("tasks:\n  math: true\n", "no share"),
        ("tasks:\n  math: 60%\n  code: 50%\n", "more than all"),
        ("tasks: 3\n", "maps parts to shares"),
        ("[]", "a target mix maps"),
    ],
)
def test_a_wrong_target_is_refused_with_its_line(text: str, what: str, tmp_path: Path) -> None:
    with pytest.raises(SuiteError) as caught:
        read_target(mix(tmp_path, text))
    assert what in caught.value.line()
    assert "mix.yaml:" in caught.value.line()


@given(st.lists(st.sampled_from([*"aбगعΩאไあアガ中한,7 ", " words of it "]), max_size=60).map("".join), st.integers(0, 30))
def test_every_part_that_is_counted_can_be_named_in_a_target(text: str, turns: int) -> None:
    asked = [Turn("user", text)] * turns
    found = distribution([Example(Kind.COMPLETION, prompt=tuple(asked), completion=(Turn("assistant", text * 40),))])
    for name in DIMENSIONS:
        for part in found.of(name):
            assert is_part(name, part)


# -- against failing cases -------------------------------------------------------------------------------------------------------


def test_cover_finds_the_capability_that_the_data_leaves_alone() -> None:
    found = distribution([row(text, line=i) for i, text in enumerate(TEXTS[:12], 1)])
    vectors = with_topics(found, toy, 2)
    failing = [
        FailingCase("fruit", "f1", "an apple"),
        FailingCase("cars", "c1", "a car"),
        FailingCase("cars", "c2", "what is an engine?"),
    ]
    cars, fruit = cover(found, vectors, failing, toy)
    assert (cars.capability, cars.cases, cars.far, cars.near) == ("cars", 2, 2, 0.0)
    assert "no row is near to any of them: add rows of this kind" in cars.sentence
    assert (fruit.far, fruit.near) == (0, 1.0)
    assert "each has rows near to it (100.0% of the data)" in fruit.sentence


# -- lengths ---------------------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=200), st.floats(0.01, 1.0))
def test_quantiles_are_those_of_the_sorted_list(values: list[int], share: float) -> None:
    lengths = Lengths()
    for value in values:
        lengths.add(value)
    ranked = sorted(values)
    at = lengths.quantile(share)
    assert at in ranked
    assert sum(value <= at for value in ranked) >= share * len(ranked) - 1e-6
    assert sum(value < at for value in ranked) < share * len(ranked) + 1e-6
    assert sum(rows for _, _, rows in lengths.bins()) == len(values)
    assert lengths.bins()[0][0] == ranked[0]
    assert len(lengths.bins()) <= 41


def test_lengths_of_nothing() -> None:
    assert Lengths().quantile(0.5) is None
    assert Lengths().bins() == []
    assert json.dumps(Lengths().summary()) == '{"n": 0}'
