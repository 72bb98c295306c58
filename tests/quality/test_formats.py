"""Formats: what each shape means, what is refused with which reason, and that nothing is lost on the way from one to another."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import plugs
from harness.errors import DataError, SuiteError
from harness.quality import Dropped, Example, Kind, Turn
from harness.quality.files import example_of, open_examples, write_examples
from harness.quality.formats import Layout, Unfit, detect, read_info
from harness.quality.formats.reshape import reshape

DATA = Path(__file__).parents[1] / "data" / "llamafactory"
FORMATS = plugs.names("data format")


def read(name: str, row: dict[str, Any], **layout: Any) -> Example | Dropped:
    return example_of(row, plugs.find("data format", name), Layout(**layout), source="f.jsonl", line=1)


def good(name: str, row: dict[str, Any], **layout: Any) -> Example:
    found = read(name, row, **layout)
    assert isinstance(found, Example), found
    return found


def code(name: str, row: dict[str, Any], **layout: Any) -> str:
    found = read(name, row, **layout)
    assert isinstance(found, Dropped), found
    assert found.what
    assert found.raw == row
    return found.code


def said(turns: tuple[Turn, ...]) -> list[tuple[str, str]]:
    return [(turn.role, turn.content) for turn in turns]


# -- trl -------------------------------------------------------------------------------------------------------------------------


def test_standard_white_space_is_part_of_the_row() -> None:
    row = {"prompt": "The sky is", "chosen": " blue.", "rejected": " green.\n"}
    example = good("trl", row)
    assert example.standard
    assert (example.output_text, example.refused[0].content) == (" blue.", " green.\n")
    assert plugs.find("data format", "trl").write(example, []) == row


def test_implicit_prompts_are_found_in_both_sides() -> None:
    ask = {"role": "user", "content": "2+2?"}
    example = good(
        "trl", {"chosen": [ask, {"role": "assistant", "content": "4"}], "rejected": [ask, {"role": "assistant", "content": "5"}]}
    )
    assert said(example.asked) == [("user", "2+2?")]
    assert (example.output_text, example.refused[0].content) == ("4", "5")
    (explicit,) = reshape(example, Kind.PREFERENCE)
    assert said(explicit.prompt) == [("user", "2+2?")]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"prompt": "a", "completion": [{"role": "assistant", "content": "b"}]}, "mixed"),
        ({"prompt": "a", "completion": {"answer": 1}}, "not-text"),
        ({"prompt": "a", "completion": "b", "label": "yes"}, "label"),
        ({"messages": [{"role": "wizard", "content": "b"}]}, "role"),
        ({"messages": [{"role": "user", "content": {"a": 1}}]}, "not-text"),
        ({"messages": [{"role": "user"}]}, "not-text"),
        ({"messages": "hi"}, "messages"),
        ({"messages": ["hi"]}, "messages"),
        ({"messages": [{"role": "assistant", "content": "", "tool_calls": "f()"}]}, "tool-call"),
        ({"messages": [{"role": "assistant", "content": "x", "weight": 3}]}, "weight"),
        ({"text": 3}, "not-text"),
        ({"foo": "bar"}, "shape"),
        ({"prompt": "p", "completions": ["a"], "labels": [True]}, "stepwise"),
        ({"messages": [], "tools": "{not json"}, "tools"),
    ],
)
def test_trl_says_why_a_row_is_unfit(row: dict[str, Any], expected: str) -> None:
    assert code("trl", row) == expected


def test_messages_keep_what_the_format_has_no_word_for() -> None:
    parts = [{"type": "text", "text": "what is this?"}, {"type": "image", "image": "a.png"}]
    row = {
        "messages": [
            {"role": "developer", "content": parts, "name": "jo"},
            {"role": "assistant", "content": "a cat", "weight": 0},
        ],
        "id": 7,
    }
    example = good("trl", row)
    assert said(example.messages) == [("system", "what is this?"), ("assistant", "a cat")]
    assert example.messages[1].learn is False
    assert plugs.find("data format", "trl").write(example, []) == row


# -- LLaMA-Factory ---------------------------------------------------------------------------------------------------------------


def test_alpaca_as_its_converter_reads_it() -> None:
    example = good(
        "alpaca",
        {"instruction": "Add", "input": "1, 2", "output": "3", "system": "Be brief", "history": [["hi", "hello"]], "id": 5},
    )
    assert said(example.messages) == [
        ("system", "Be brief"), ("user", "hi"), ("assistant", "hello"), ("user", "Add\n1, 2"), ("assistant", "3"),
    ]  # fmt: skip
    assert example.extra == {"id": 5}
    assert good("alpaca", {"instruction": "", "input": "only input", "output": "x"}).instruction == "only input"
    assert good("alpaca", {"text": "a document"}).kind is Kind.TEXT
    assert good("alpaca", {"body": "a document"}, columns={"prompt": "body"}).output_text == "a document"


@pytest.mark.parametrize(
    ("row", "layout", "expected"),
    [
        ({"instruction": "a", "output": {"x": 1}}, {}, "not-text"),  # the row that LLaMA-Factory drops without a word
        ({"instruction": "a", "output": 3}, {}, "not-text"),
        ({"instruction": "a"}, {}, "missing"),
        ({"instruction": "a", "output": "b", "history": [["x"]]}, {}, "history"),
        ({"instruction": "a", "output": "b", "history": "x"}, {}, "history"),
        ({"instruction": "a", "output": "b", "kto_tag": 1}, {}, "label"),
        ({"instruction": "a", "chosen": "b"}, {"ranking": True}, "missing"),
    ],
)
def test_alpaca_says_why_a_row_is_unfit(row: dict[str, Any], layout: dict[str, Any], expected: str) -> None:
    assert code("alpaca", row, **layout) == expected


def turns(*pairs: tuple[str, str]) -> dict[str, Any]:
    return {"conversations": [{"from": role, "value": text} for role, text in pairs]}


CALL = json.dumps({"name": "f", "arguments": {"x": 1}})


def test_sharegpt_with_a_tool_call() -> None:
    row = turns(("human", "sum"), ("function_call", CALL), ("observation", "3"), ("gpt", "It is 3.")) | {
        "tools": '[{"name": "f"}]',
        "system": "s",
    }
    example = good("sharegpt", row)
    assert [turn.role for turn in example.messages] == ["system", "user", "assistant", "tool", "assistant"]
    assert example.messages[2].tool_calls == ({"type": "function", "function": {"name": "f", "arguments": {"x": 1}}},)
    assert example.tools == ({"name": "f"},)
    assert good("trl", plugs.find("data format", "trl").write(example, [])) == example


def test_a_leading_system_turn_goes_before_the_column() -> None:
    example = good("sharegpt", turns(("system", "turn"), ("human", "q"), ("gpt", "a")) | {"system": "column"})
    assert said(example.messages)[0] == ("system", "turn")


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (turns(("gpt", "a"), ("human", "b")), "role-order"),
        (turns(("human", "a"), ("human", "b")), "role-order"),
        (turns(("human", "a")), "role-order"),
        (turns(("human", "a"), ("gpt", "b"), ("human", "c")), "role-order"),
        ({"conversations": []}, "role-order"),
        (turns(("human", "a"), ("robot", "b")), "role"),
        (turns(("human", "a"), ("function_call", "f(")), "tool-call"),
        ({"conversations": [{"from": "human", "value": 3}]}, "not-text"),
        ({"conversations": [{"value": "x"}]}, "messages"),
        (turns(("human", "a"), ("gpt", "b")) | {"kto_tag": "good"}, "label"),
    ],
)
def test_sharegpt_says_why_a_row_would_be_skipped(row: dict[str, Any], expected: str) -> None:
    assert code("sharegpt", row) == expected


def test_sharegpt_preference_kto_and_tags() -> None:
    pair = turns(("human", "q")) | {"chosen": {"from": "gpt", "value": "a"}, "rejected": {"from": "gpt", "value": "b"}}
    assert good("sharegpt", pair).kind is Kind.PREFERENCE
    kto = good("sharegpt", turns(("human", "q"), ("gpt", "a")) | {"kto_tag": False})
    assert (kto.kind, kto.label, kto.output_text) == (Kind.UNPAIRED, False, "a")
    tags = {
        "role_tag": "role",
        "content_tag": "content",
        "user_tag": "user",
        "assistant_tag": "assistant",
        "system_tag": "system",
    }
    row = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}], "label": True}
    example = good("sharegpt", row, columns={"messages": "messages", "kto_tag": "label"}, tags=tags)
    assert (example.kind, example.label) == (Kind.UNPAIRED, True)


def test_v1_parts_weights_and_reasoning() -> None:
    row = {
        "messages": [
            {"role": "user", "content": [{"type": "text", "value": "q"}], "loss_weight": 1.0},
            {
                "role": "assistant",
                "content": [{"type": "reasoning", "value": "hm"}, {"type": "text", "value": "a"}],
                "loss_weight": 1.0,
            },
            {
                "role": "assistant",
                "content": [{"type": "text", "value": "x"}, {"type": "image_url", "value": "u"}],
                "loss_weight": 0.5,
            },
        ]
    }
    example = good("v1", row)
    assert [turn.learn for turn in example.messages] == [True, None, None]
    assert example.messages[1].thinking == "hm"
    assert plugs.find("data format", "v1").write(example, []) == row
    assert code("v1", {"messages": [{"role": "user", "content": "plain"}]}) == "messages"


def test_a_dataset_info_says_what_a_file_is(tmp_path: Path) -> None:
    info = {
        "mine": {"file_name": "a.json", "columns": {"prompt": "question", "response": "answer"}},
        "chat": {
            "file_name": "b.json",
            "formatting": "sharegpt",
            "ranking": True,
            "columns": {"chosen": "good", "rejected": "bad"},
        },
        "far": {"hf_hub_url": "someone/something"},
    }
    (tmp_path / "dataset_info.json").write_text(json.dumps(info))
    (tmp_path / "a.json").write_text('[{"question": "q", "answer": "a"}]')
    pair = turns(("human", "q")) | {"good": {"from": "gpt", "value": "a"}, "bad": {"from": "gpt", "value": "b"}}
    (tmp_path / "b.json").write_text(json.dumps([pair]))
    (first,) = open_examples(tmp_path / "a.json")
    assert isinstance(first, Example)
    assert (first.instruction, first.output_text) == ("q", "a")
    (second,) = open_examples(tmp_path / "dataset_info.json", name="chat")
    assert isinstance(second, Example)
    assert second.kind is Kind.PREFERENCE
    for name, what in (("far", "someone/something"), ("mien", "did you mean mine")):
        with pytest.raises(DataError, match=what):
            open_examples(tmp_path / "dataset_info.json", name=name)
    assert read_info(tmp_path / "dataset_info.json")["chat"].layout.ranking


def test_a_v1_yaml_names_files_and_converters(tmp_path: Path) -> None:
    text = (
        "mine:\n  path: a.json\n  source: local\n  converter: alpaca\n  size: 50\nraw:\n  path: v.jsonl\n  source: local\n"
        "hub:\n  path: someone/something\n"
    )
    (tmp_path / "data.yaml").write_text(text)
    (tmp_path / "a.json").write_text('[{"instruction": "q", "output": "a"}]')
    row = {"messages": [{"role": "user", "content": [{"type": "text", "value": "q"}], "loss_weight": 0.0}]}
    (tmp_path / "v.jsonl").write_text(json.dumps(row))
    assert open_examples(tmp_path / "data.yaml", name="mine").format.name == "alpaca"
    (example,) = open_examples(tmp_path / "data.yaml", name="raw")
    assert isinstance(example, Example)
    assert example.instruction == "q"
    with pytest.raises(DataError, match="someone/something"):
        open_examples(tmp_path / "data.yaml", name="hub")
    (tmp_path / "data.yaml").write_text("mine:\n  path: a.json\n  converter: alpacca\n")
    with pytest.raises(SuiteError, match=r"data\.yaml:1: mine: there is no converter 'alpacca'"):
        open_examples(tmp_path / "data.yaml", name="mine")


@pytest.mark.parametrize("place", ["../secret.json", "/etc/hostname"])
def test_a_description_reaches_no_file_outside_of_its_folder(place: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.json").write_text("[]")
    (tmp_path / "in" / "dataset_info.json").write_text(json.dumps({"x": {"file_name": place}}))
    with pytest.raises(DataError, match="outside of the folder"):
        open_examples(tmp_path / "in", name="x")


@pytest.mark.parametrize("text", ["[]", '{"a": 3}', "{", '{"a": {"formatting": "weird"}}'])
def test_a_file_that_is_no_dataset_info_is_said_so(text: str, tmp_path: Path) -> None:
    (tmp_path / "dataset_info.json").write_text(text)
    with pytest.raises(DataError, match=r"dataset_info\.json"):
        read_info(tmp_path / "dataset_info.json")


def test_the_real_identity_file_is_read_whole() -> None:
    source = open_examples(DATA / "identity.json")
    rows = list(source)
    assert source.format.name == "alpaca"
    assert len(rows) == 91
    assert not any(isinstance(row, Dropped) for row in rows)
    assert rows[0].where.endswith("identity.json:2")


@pytest.mark.skipif(
    "HARNESS_DEMO_DATA" not in os.environ, reason="HARNESS_DEMO_DATA names no folder of LLaMA-Factory's demo files"
)
@pytest.mark.parametrize(
    ("name", "form", "rows"),
    [
        ("alpaca_zh_demo.json", "alpaca", 1000),
        ("dpo_zh_demo.json", "sharegpt", 300),
        ("glaive_toolcall_en_demo.json", "sharegpt", 300),
        ("kto_en_demo.json", "sharegpt", 300),
        ("v1_sft_demo.jsonl", "v1", 500),
        ("v1_dpo_demo.jsonl", "v1", 10),
    ],
)
def test_the_demo_files_are_read_whole_and_come_back_from_trl(name: str, form: str, rows: int, tmp_path: Path) -> None:
    source = open_examples(Path(os.environ["HARNESS_DEMO_DATA"]) / name)
    found = list(source)
    assert source.format.name == form
    assert len(found) == rows
    for suffix in (".jsonl", ".json", ".csv", ".parquet"):
        path = tmp_path / f"x{suffix}"
        assert write_examples(path, found, to="trl").rows == rows
        assert list(open_examples(path)) == found


# -- detection -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ({"instruction": "a", "input": "", "output": "b"}, "alpaca"),
        ({"instruction": "a", "chosen": "b", "rejected": "c"}, "alpaca"),
        ({"text": "a"}, "trl"),
        ({"prompt": "a"}, "trl"),
        ({"prompt": "a", "completion": "b"}, "trl"),
        ({"chosen": "a", "rejected": "b"}, "trl"),
        ({"messages": [{"role": "user", "content": "a"}]}, "trl"),
        ({"messages": [{"role": "user", "content": "a"}], "label": True}, "messages"),
        ({"messages": [{"role": "user", "content": "a"}], "chosen": {}, "rejected": {}}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]}, "trl"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "value": "a"}]}]}, "v1"),
        ({"chosen_messages": [{"role": "user", "content": [{"type": "text", "value": "a"}]}], "rejected_messages": []}, "v1"),
        (turns(("human", "a"), ("gpt", "b")), "sharegpt"),
    ],
)
def test_a_format_is_told_by_its_rows_with_the_reason(row: dict[str, Any], name: str) -> None:
    guess = detect([row], "f")
    assert guess.format.name == name
    assert guess.reason.startswith("its row has ")


def test_most_rows_decide_and_an_unknown_shape_lists_its_keys() -> None:
    alpaca, trl = {"instruction": "a", "output": "b"}, {"prompt": "a", "completion": "b"}
    guess = detect([alpaca, alpaca, trl], "f")
    assert (guess.format.name, guess.reason) == ("alpaca", "2 of 3 first rows have instruction + output")
    with pytest.raises(DataError, match=r"'question', 'answer'.*--columns"):
        detect([{"question": "q", "answer": "a"}], "f")
    with pytest.raises(DataError, match="no row"):
        detect([], "f")


# -- there and back --------------------------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=30) | st.sampled_from(
    ["a\u2028b", " x ", "\r\n", "\x85", "[]", '{"role": 1}', "是的"]
)
WORDS = TEXT.filter(lambda text: bool(text))
EXTRA = st.dictionaries(
    st.sampled_from(["id", "score", "source", "tags"]),
    TEXT
    | st.integers(-(2**53), 2**53)
    | st.booleans()
    | st.lists(TEXT, max_size=2)
    | st.floats(allow_nan=False, allow_infinity=False),
    max_size=3,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)
CALLS = st.builds(
    lambda name, arguments: ({"type": "function", "function": {"name": name, "arguments": arguments}},),
    WORDS,
    st.dictionaries(TEXT, JSON, max_size=2),
)


@st.composite
def chats(draw: st.DrawFn, *, tools: bool = True) -> tuple[Turn, ...]:
    """A conversation that every format of conversations can say: user and assistant in turn, ends with a user."""
    system = draw(st.lists(st.builds(Turn, st.just("system"), WORDS), max_size=1))
    said: list[Turn] = []
    for _ in range(draw(st.integers(0, 2))):
        said += [draw(st.builds(Turn, st.just("user"), TEXT)), draw(st.builds(Turn, st.just("assistant"), TEXT))]
        if tools and draw(st.booleans()):
            said[-1] = Turn("assistant", "", tool_calls=draw(CALLS))
            said += [draw(st.builds(Turn, st.just("tool"), TEXT)), draw(st.builds(Turn, st.just("assistant"), TEXT))]
    return (*system, *said, draw(st.builds(Turn, st.just("user"), WORDS)))


def answers() -> st.SearchStrategy[tuple[Turn, ...]]:
    return st.builds(lambda text: (Turn("assistant", text),), TEXT)


@st.composite
def conversations(draw: st.DrawFn, *, tools: bool = True) -> Example:
    asked, extra = draw(chats(tools=tools)), draw(EXTRA)
    kind = draw(st.sampled_from([Kind.MESSAGES, Kind.PREFERENCE, Kind.UNPAIRED]))
    if kind is Kind.MESSAGES:
        return Example(kind, messages=asked + draw(answers()), extra=extra)
    if kind is Kind.UNPAIRED:
        return Example(kind, prompt=asked, completion=draw(answers()), label=draw(st.booleans()), extra=extra)
    return Example(kind, prompt=asked, chosen=draw(answers()), rejected=draw(answers()), extra=extra)


@st.composite
def plain_rows(draw: st.DrawFn) -> Example:
    text = st.builds(lambda text: (Turn("text", text),), TEXT)
    kind, extra = draw(st.sampled_from([Kind.TEXT, Kind.COMPLETION, Kind.PREFERENCE, Kind.UNPAIRED, Kind.PROMPT])), draw(EXTRA)
    if kind is Kind.TEXT:
        return Example(kind, messages=draw(text), extra=extra)
    if kind is Kind.PROMPT:
        return Example(kind, prompt=draw(text), extra=extra)
    if kind is Kind.PREFERENCE:
        return Example(kind, prompt=draw(text), chosen=draw(text), rejected=draw(text), extra=extra)
    label = draw(st.booleans()) if kind is Kind.UNPAIRED else None
    return Example(kind, prompt=draw(text), completion=draw(text), label=label, extra=extra)


@given(conversations())
def test_conversations_come_back_from_every_format_that_has_them(example: Example) -> None:
    for name in ("trl", "messages", "sharegpt", "v1"):
        if name == "v1" and example.kind is Kind.UNPAIRED:
            continue
        lost: list[str] = []
        row = plugs.find("data format", name).write(example, lost)
        back = good(name, json.loads(json.dumps(row)), ranking=name == "sharegpt" and example.kind is Kind.PREFERENCE)
        if name == "v1" and example.kind is Kind.PREFERENCE:
            (back,) = reshape(back, Kind.PREFERENCE)
        assert back == example
        assert lost == []


@given(conversations(tools=False))
def test_conversations_come_back_from_alpaca(example: Example) -> None:
    row = plugs.find("data format", "alpaca").write(example, [])
    assert good("alpaca", row, ranking=example.kind is Kind.PREFERENCE) == example


@given(plain_rows())
def test_plain_rows_come_back_from_trl(example: Example) -> None:
    assert good("trl", plugs.find("data format", "trl").write(example, [])) == example


@given(st.lists(conversations() | plain_rows(), min_size=1, max_size=4), st.sampled_from([".jsonl", ".json", ".parquet"]))
@settings(max_examples=60, deadline=None)
def test_files_give_back_what_was_written(tmp_path_factory: pytest.TempPathFactory, rows: list[Example], suffix: str) -> None:
    path = tmp_path_factory.mktemp("rows") / f"x{suffix}"
    done = write_examples(path, rows, to="trl")
    assert done.rows == len(rows)
    assert list(open_examples(path, form="trl")) == rows


# -- what cannot be said ---------------------------------------------------------------------------------------------------------


def test_what_a_format_cannot_say_is_refused_and_what_it_loses_is_told() -> None:
    call = Turn("assistant", "words", tool_calls=({"type": "function", "id": "c1", "function": {"name": "f", "arguments": {}}},))
    tools = Example(Kind.MESSAGES, messages=(Turn("user", "q"), call, Turn("tool", "3"), Turn("assistant", "a", thinking="hm")))
    with pytest.raises(Unfit, match="question of the user"):
        plugs.find("data format", "alpaca").write(tools, [])
    lost: list[str] = []
    plugs.find("data format", "sharegpt").write(tools, lost)
    assert len(lost) == 3
    with pytest.raises(Unfit, match="document"):
        plugs.find("data format", "messages").write(Example(Kind.TEXT, messages=(Turn("text", "x"),)), [])
    with pytest.raises(Unfit, match="unpaired"):
        plugs.find("data format", "v1").write(Example(Kind.UNPAIRED, completion=(Turn("assistant", "x"),), label=True), [])


def test_a_column_that_the_format_uses_itself_is_not_lost_in_silence() -> None:
    lost: list[str] = []
    example = Example(Kind.MESSAGES, messages=(Turn("user", "q"), Turn("assistant", "a")), extra={"output": "mine", "id": 1})
    row = plugs.find("data format", "alpaca").write(example, lost)
    assert row["output"] == "a"
    assert row["id"] == 1
    assert lost == ["column 'output' is left out: the format uses that name"]


@pytest.mark.parametrize("name", FORMATS)
@given(
    row=st.dictionaries(
        st.sampled_from(
            ["messages", "conversations", "prompt", "instruction", "output", "text", "chosen", "rejected", "tools", "label"]
        ),
        JSON,
        max_size=5,
    )
)
@settings(max_examples=60)
def test_any_row_is_read_or_dropped_with_a_reason(name: str, row: dict[str, Any]) -> None:
    found = read(name, row)
    assert isinstance(found, Example) or (found.code and found.what)


# -- reshaping -------------------------------------------------------------------------------------------------------------------


def test_reshaping_says_the_same_or_less() -> None:
    pair = Example(
        Kind.PREFERENCE,
        prompt=(Turn("user", "q"),),
        chosen=(Turn("assistant", "a"),),
        rejected=(Turn("assistant", "b"),),
        extra={"id": 1},
    )
    yes, no = reshape(pair, Kind.UNPAIRED)
    assert (yes.output_text, yes.label, no.output_text, no.label, no.extra) == ("a", True, "b", False, {"id": 1})
    (chat,) = reshape(pair, Kind.MESSAGES)
    assert said(chat.messages) == [("user", "q"), ("assistant", "a")]
    (completion,) = reshape(chat, Kind.COMPLETION)
    assert (said(completion.prompt), said(completion.completion)) == ([("user", "q")], [("assistant", "a")])
    for example, kind in (
        (chat, Kind.PREFERENCE),
        (no, Kind.MESSAGES),
        (chat.with_(messages=chat.messages[:1]), Kind.COMPLETION),
    ):
        with pytest.raises(Unfit):
            reshape(example, kind)
