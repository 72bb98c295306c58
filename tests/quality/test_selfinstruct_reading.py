"""What a model wrote is read as it was meant, turned away with the right reason, and never trusted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import SuiteError
from harness.quality.selfinstruct import prompts
from harness.quality.selfinstruct.reading import (
    NOT_TEXT,
    REASONS,
    Refused,
    fault,
    labelled,
    listed,
    one_line,
    says_yes,
    sifted,
    worked,
)
from harness.quality.selfinstruct.seeds import Instance, read_seeds


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("9. Name a NASA mission.\n10. Say why\n   bees dance.", ["Name a NASA mission.", "Say why bees dance."]),
        ("Sure! Here are more:\n\n9) One two\n\n10) Three  four\n\nHope this helps!", ["One two", "Three four"]),
        (" Go on from nine.\n10. Ten.", ["Go on from nine.", "Ten."]),  # the prompt ended in "9."
        ("9. **Write** a **poem**\n16. Too late\n8. Too early\n15 . Just right", ["Write a poem", "Just right"]),
        ("I am sorry, I cannot do that.", []),
        ("", []),
        ("9.\n10.   \n11. x", ["x"]),
        ("9. Count from 1. to 3. aloud\n10. b", ["Count from 1. to 3. aloud", "b"]),
        ("9. a\u2028b \x1b[31mc\ud800", ["a b [31mc\ufffd"]),
        ("1. one\n2. two", []),
    ],
)
def test_lists_are_read(text: str, items: list[str]) -> None:
    assert [item.replace("?", "\ufffd") for item in listed(text, 9, 15)] == items


@pytest.mark.parametrize(
    ("instruction", "code"),
    [
        ("Name three rare fruits.", None),
        ("Explain what NASA and the ESA share.", None),
        ("Name three fruits.", "too-short"),
        (" ".join(["word"] * 150), None),
        (" ".join(["word"] * 151), "too-long"),
        ("Describe the Image of a river.", "not-text"),
        ("Please go to the next town now.", "not-text"),
        ("Plot the sales of the year.", "not-text"),
        ("Imagine a mapped filesystem with plots.", None),
        ("write a Program that sorts numbers.", "write-a-program"),
        ("Write a programme for a concert.", "write-a-program"),  # a prefix, as in the published program
        ('"Quoted" things are not welcome here.', "punctuation"),
        ("- a list item of some kind", "punctuation"),
        ("écrire un poème sur la mer", "not-ascii"),
        ("", "too-short"),
    ],
)
def test_the_heuristics_of_self_instruct(instruction: str, code: str | None) -> None:
    assert fault(instruction) == code
    assert code is None or code in REASONS


def test_every_listed_word_is_turned_away_as_a_whole_word_only() -> None:
    for word in NOT_TEXT:
        assert fault(f"Tell us how one may {word} nicely here.") == "not-text"
        assert fault(f"Tell us how x{word}y came to be here.") is None


def test_other_scripts_on_demand() -> None:
    assert fault("请写一首关于秋天的诗", any_script=True) is None
    assert fault("写诗", any_script=True) == "too-short"
    assert fault("écrire un poème sur la mer", any_script=True) is None


def test_yes_and_no() -> None:
    answers = {
        "Yes": True,
        " yes.": True,
        "**YES**": True,
        "No": False,
        "no, because": False,
        "Not": None,
        "yesterday": None,
        "": None,
    }
    assert {text: says_yes(text) for text in answers} == answers


def test_harder_versions_are_one_line() -> None:
    assert one_line('\n"Name **five** fruits  and why."\nI added a condition.') == "Name five fruits and why."
    assert one_line(" \n\t") == ""
    assert one_line('"') == '"'


def test_label_first() -> None:
    text = "Class label: good\nInput: It works.\nIt is quick.\n\n**Class label:** bad\nText: It broke.\nClass label: ugly"
    assert labelled(text) == [
        Instance("It works.\nIt is quick.", "good"),
        Instance("Text: It broke.", "bad"),
        Instance("", "ugly"),
    ]
    assert labelled("Input: x\nOutput: y") == []


@pytest.mark.parametrize(
    ("text", "instances"),
    [
        ("Input: a\nOutput: b", [Instance("a", "b")]),
        ("Output: just this\nand that", [Instance("", "just this\nand that")]),
        ("Example 1\nInput: a\nOutput: b\n\nExample 2\nOutput: c", [Instance("a", "b"), Instance("", "c")]),
        ("Of course:\n**Example 1:**\n**Input:** a\n**Output:** b", [Instance("a", "b")]),
        ("Sure.\nInput: a\nOutput: b\nInput: c\nOutput: d", [Instance("a", "b"), Instance("c", "d")]),
        ("Sentence: a\nWord: b\nOutput: c", [Instance("Sentence: a\nWord: b", "c")]),
        ("Input: None\nOutput: b", [Instance("", "b")]),
        ("Input: a, and no answer", []),
        ("", []),
    ],
)
def test_input_first(text: str, instances: list[Instance]) -> None:
    assert worked(text) == instances


def codes(refused: list[Refused]) -> list[str]:
    return [one.code for one in refused]


def test_instances_are_sifted_with_the_reason() -> None:
    good = Instance("a", "b")
    kept, refused = sifted(
        [good, Instance("x", ""), Instance("x", "x"), Instance("x:", "y"), Instance("y", "z:"), good], cut=False
    )
    assert kept == [good]
    assert codes(refused) == ["empty-output", "echo", "colon", "colon", "repeated"]


def test_an_answer_that_was_cut_loses_its_last_instance_only() -> None:
    assert sifted([Instance("a", "b"), Instance("c", "d")], cut=True) == (
        [Instance("a", "b")],
        [Refused(Instance("c", "d"), "cut")],
    )
    assert sifted([], cut=True) == ([], [])


def test_one_input_with_two_outputs_condemns_the_task_but_no_input_does_not() -> None:
    kept, refused = sifted([Instance("a", "b"), Instance("a", "c"), Instance("d", "e")], cut=False)
    assert kept == []
    assert codes(refused) == ["contradicting"] * 3
    several = [Instance("", "b"), Instance("", "c")]
    assert sifted(several, cut=False) == (several, [])


def test_five_instances_at_most() -> None:
    many = [Instance(str(i), "x") for i in range(7)]
    kept, refused = sifted(many, cut=False)
    assert kept == many[:5]
    assert codes(refused) == ["too-many"] * 2


@given(st.text(st.sampled_from("Example 1Input:Output Class label9.1\n*#\x00\ud800é\u2028")), st.booleans())
def test_no_text_breaks_the_readers(text: str, cut: bool) -> None:
    for item in listed(text, 9, 15):
        assert item == " ".join(item.split())
        assert item.encode()
        assert fault(item) is None or fault(item) in REASONS
    for found in (labelled(text), worked(text)):
        kept, refused = sifted(found, cut=cut)
        assert len(kept) + len(refused) == len(found)
        assert all(one.output and one.input != one.output for one in kept)
    one_line(text)
    says_yes(text)


def test_prompts_have_the_shape_of_the_paper() -> None:
    asked = prompts.generate([f"Task number {i}\n of eight" for i in range(1, 9)])
    assert "\n8. Task number 8 of eight\n9." in asked
    assert asked.endswith("9.")
    shots = prompts.classify("Do it.")
    assert shots.count("\nClassification: Yes\n") == 12
    assert shots.count("\nClassification: No\n") == 19
    assert shots.endswith("Task: Do it.\nClassification:")
    assert prompts.label_first("Do it.").count("\nTask: ") == 16 + 1
    assert prompts.input_first("Do it.").count("\nTask: ") == 11 + 1
    assert "names the labels" in prompts.generate(["a"] * 8, labels_only=True)


def test_a_worked_example_of_each_prompt_is_read_as_it_stands() -> None:
    """The forms shown are the forms understood."""
    shown = prompts.label_first("x").split("\n\nTask: ")[-2].partition("\n")[2]
    assert [one.output for one in labelled(shown)] == ["high", "low", "medium"]
    shown = prompts.input_first("x").split("\n\nTask: ")[-2].partition("\n")[2]
    assert [one.input for one in worked(shown)] == ["potatoes, eggs, onions", "tomatoes, old bread, basil"]


def test_braces_in_an_instruction_are_text() -> None:
    assert prompts.evolve("Explain {mark} and {0} and {how}.", 1, "abc").count("{mark} and {0} and {how}") == 1
    assert "{instruction}" in prompts.classify("Fill {instruction} in.")


def test_seeds_are_read_with_every_fault(tmp_path) -> None:  # type: ignore[no-untyped-def]
    assert len(read_seeds()) == 175
    assert sum(task.classification for task in read_seeds()) == 26
    path = tmp_path / "seeds.jsonl"
    path.write_text('{"instruction": "x"}\n{"instruction": ""}\nnot json\n{"instruction": "y", "instances": [{"input": 1}]}\n')
    with pytest.raises(SuiteError) as caught:
        read_seeds(path)
    lines = caught.value.line().split("\n")
    assert [line.split(":")[1] for line in lines] == ["2", "3", "4"]
    path.write_text('{"instruction": "x", "input": "a", "output": "b"}\n' * 7)
    with pytest.raises(SuiteError, match="has 7 seed tasks"):
        read_seeds(path)
    path.write_text("".join(f'{{"instruction": "Task {i}", "input": "a", "output": "b"}}\n' for i in range(8)))
    assert read_seeds(path)[7].instances == (Instance("a", "b"),)
