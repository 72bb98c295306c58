"""Files of training data: JSON arrays, broken rows and where they are, tables, folders, and rows that no table can hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import DataError
from harness.quality import Dropped, Example, Kind, Turn, read_examples, write_dropped, write_examples
from harness.quality import jsonarray as arrays
from harness.quality.examples import weight
from harness.quality.files import DroppedFile, open_examples
from harness.quality.records import read_records
from harness.rows import BadRow

ROW = {"prompt": "q", "completion": "a"}


def write(tmp_path: Path, text: str | bytes, name: str = "rows.json") -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    return path


def told(path: Path) -> list[tuple[int, Any]]:
    return [(e.line, e.what.split(":")[0]) if isinstance(e, BadRow) else e for e in read_records(path)]


# -- JSON arrays -----------------------------------------------------------------------------------------------------------------


def test_elements_have_the_line_they_begin_on(tmp_path: Path) -> None:
    assert told(write(tmp_path, '[\n  {"a": 1},\n\n  {"a":\n 2},{"a": 3}]\n')) == [(2, {"a": 1}), (4, {"a": 2}), (5, {"a": 3})]
    assert told(write(tmp_path, "\ufeff[]")) == []
    assert told(write(tmp_path, "[{}]")) == [(1, {})]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[{"a": 1},\n{"a": oops},\n{"a": 3}]', [(1, {"a": 1}), (2, "is not JSON"), (3, {"a": 3})]),
        (
            '[{"a": 1},\n3, "x", [1],\n{"a": 3}]',
            [(1, {"a": 1}), *[(2, "is a JSON " + k + ", not an object") for k in ("number", "string", "list")], (3, {"a": 3})],
        ),
        ('[{"a": NaN},\n{"a": 1, "a": 2}]', [(1, "NaN is not a JSON number"), (2, "key 'a' stands twice")]),
        ('[\n{"a": "b"},\n{"a": "c},\n{"a": "d"}\n]', [(2, {"a": "b"}), (3, "is not JSON"), (4, {"a": "d"})]),
        ('[\n  {"a": {"b": 1},\n  {"a": 2}\n]', [(2, "the brackets or quotes of this row do not balance"), (3, {"a": 2})]),
        ('[{"a": 1},\n{"a": 2', [(1, {"a": 1}), (2, "the brackets or quotes of this row do not balance")]),
        ('[{"a": 1},\n', [(1, {"a": 1}), (2, "the file ends inside the array")]),
        ('[{"a": 1}]\n{"b": 1}', [(1, {"a": 1}), (2, "text follows the end of the array")]),
    ],
)
def test_a_broken_element_does_not_end_the_reading(text: str, expected: list[Any], tmp_path: Path) -> None:
    assert told(write(tmp_path, text)) == expected


def test_bytes_that_are_no_utf8_are_one_rows_fault(tmp_path: Path) -> None:
    assert told(write(tmp_path, b'[{"a": "\xff"},\n{"a": 2}]')) == [(1, "is not UTF-8 text (byte 0xff)"), (2, {"a": 2})]


def test_a_json_file_of_lines_is_read_as_lines(tmp_path: Path) -> None:
    assert told(write(tmp_path, '{"a": 1}\n{"a": 2}\n')) == [(1, {"a": 1}), (2, {"a": 2})]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=("Cs",)), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('ab"\\{}[],\n', max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.lists(st.dictionaries(st.text("xy", max_size=2), JSON, max_size=3), max_size=6),
    st.sampled_from([None, 0, 2]),
    st.booleans(),
)
@settings(deadline=None)
def test_arrays_are_read_as_json_reads_them(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any], indent: int | None, ascii_only: bool
) -> None:
    path = tmp_path_factory.mktemp("array") / "x.json"
    path.write_text(json.dumps(rows, indent=indent, ensure_ascii=ascii_only), encoding="utf-8")
    before = arrays._CHUNK
    try:
        arrays._CHUNK = 7  # so that every chunk cuts something
        assert [entry[1] for entry in read_records(path) if not isinstance(entry, BadRow)] == rows
    finally:
        arrays._CHUNK = before


# -- reading ---------------------------------------------------------------------------------------------------------------------


def test_a_malformed_line_is_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    lines = [json.dumps(ROW), "{broken", json.dumps({"prompt": "q", "completion": 5}), "", json.dumps(ROW)]
    rows = list(read_examples(write(tmp_path, "\n".join(lines), "x.jsonl")))
    assert [(row.line, row.code if isinstance(row, Dropped) else "ok") for row in rows] == [
        (1, "ok"), (2, "unreadable"), (3, "not-text"), (5, "ok"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("x.jsonl", "", "no row that can be read"),
        ("x.jsonl", "{broken\n", "no row that can be read"),
        ("x.txt", "hello", "unknown kind of file"),
        ("x.parquet", "no parquet", "not a Parquet file"),
        ("x.jsonl", '{"question": "a"}\n', "no format is known by the keys 'question'"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_error(name: str, text: str, what: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=what):
        list(read_examples(write(tmp_path, text, name)))


def test_a_missing_file_is_said_so_with_and_without_a_format(tmp_path: Path) -> None:
    for form in (None, "trl"):
        with pytest.raises(DataError, match="no such file"):
            open_examples(tmp_path / "gone.jsonl", form=form)


def test_columns_with_other_names(tmp_path: Path) -> None:
    path = write(tmp_path, '{"question": "q", "answer": "a"}\n', "x.jsonl")
    source = open_examples(path, columns={"prompt": "question", "response": "answer"})
    (row,) = source
    assert source.format.name == "alpaca"
    assert isinstance(row, Example)
    assert (row.instruction, row.output_text) == ("q", "a")
    (row,) = open_examples(path, form="trl", columns={"prompt": "question", "completion": "answer"})
    assert isinstance(row, Example)
    assert (row.kind, row.output_text) == (Kind.COMPLETION, "a")


# -- writing ---------------------------------------------------------------------------------------------------------------------

CHAT = Example(Kind.MESSAGES, messages=(Turn("user", "a\u2028b"), Turn("assistant", " x\r\n")), extra={"id": 1})


def test_line_breaks_of_unicode_are_escaped_in_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    write_examples(path, [CHAT], to="trl")
    assert len(path.read_text(encoding="utf-8").splitlines()) == 1
    assert list(read_examples(path)) == [CHAT]


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".parquet"])
def test_mixed_types_come_back_as_they_were(suffix: str, tmp_path: Path) -> None:
    rows = [CHAT.with_(extra={"id": value}) for value in (1, "1", 1.5, True, [1, "x"], {"a": None}, 2**70)]
    done = write_examples(tmp_path / f"x{suffix}", rows, to="trl")
    back = list(read_examples(tmp_path / f"x{suffix}"))
    assert back == rows
    assert [type(row.extra["id"]) for row in back] == [int, str, float, bool, list, dict, int]
    assert ("mixed types" in "".join(done.lost)) == (suffix == ".parquet")


def test_csv_keeps_text_and_says_what_types_it_does_not(tmp_path: Path) -> None:
    plain = Example(
        Kind.PREFERENCE, prompt=(Turn("text", "[[1, 2]]"),), chosen=(Turn("text", ' blue,\n"x"'),), rejected=(Turn("text", "[]"),)
    )
    label = Example(Kind.UNPAIRED, prompt=(Turn("text", "q"),), completion=(Turn("text", "a"),), label=False)
    for rows in ([plain], [label], [CHAT.with_(extra={"note": "x"})]):
        assert write_examples(tmp_path / "x.csv", rows, to="trl").lost == {}
        assert list(read_examples(tmp_path / "x.csv")) == rows
    done = write_examples(tmp_path / "x.tsv", [CHAT], to="trl")
    assert dict(done.lost) == {"CSV keeps no types: id will be read as text": 1}


def test_a_folder_of_the_datasets_library(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    rows = [
        CHAT,
        CHAT.with_(
            messages=(
                Turn("user", "q"),
                Turn("assistant", "", tool_calls=({"type": "function", "function": {"name": "f", "arguments": {"x": 1}}},)),
            )
        ),
    ]
    write_examples(tmp_path / "out", rows, to="trl")
    assert list(read_examples(tmp_path / "out")) == rows
    with pytest.raises(DataError, match="is there already"):
        write_examples(tmp_path / "out", rows, to="trl")


def test_filters_write_rows_back_as_they_were_read(tmp_path: Path) -> None:
    raw = [{"instruction": "i", "input": "x", "output": "o", "odd": None}, {"instruction": "j", "output": "p"}]
    path = write(tmp_path, json.dumps(raw), "a.json")
    write_examples(tmp_path / "b.json", read_examples(path))
    assert json.loads((tmp_path / "b.json").read_text()) == raw


def test_half_a_character_is_escaped_in_lines_and_dropped_from_tables(tmp_path: Path) -> None:
    half = CHAT.with_(messages=(Turn("user", "q"), Turn("assistant", "\ud83d")))
    write_examples(tmp_path / "x.jsonl", [half], to="trl")
    assert list(read_examples(tmp_path / "x.jsonl")) == [half]
    dropped: list[Dropped] = []
    assert write_examples(tmp_path / "x.parquet", [half, CHAT], to="trl", drop=dropped.append).rows == 1
    assert [item.code for item in dropped] == ["surrogate"]


def test_nothing_appears_when_writing_fails(tmp_path: Path) -> None:
    def rows() -> Any:
        yield CHAT
        raise RuntimeError("the source died")

    for suffix in (".jsonl", ".json", ".csv", ".parquet"):
        with pytest.raises(RuntimeError):
            write_examples(tmp_path / f"x{suffix}", rows(), to="trl")
    assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_be_written_are_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="cannot be written"):
        write_examples(tmp_path / "file" / "x.jsonl", [CHAT], to="trl")
    with pytest.raises(DataError, match="unknown kind of file"):
        write_examples(tmp_path / "x.docx", [CHAT], to="trl")


def test_dropped_rows_are_kept_with_place_and_reason(tmp_path: Path) -> None:
    items = [
        Dropped("a.jsonl", 3, "duplicate", "says the same as line 1", raw={"x": "\ud800"}, nearest="a.jsonl:1"),
        Dropped("a.jsonl", 4, "odd", "holds a value without a name in JSON", raw={"x": float("nan")}),
        Dropped("a.jsonl", 5, "unreadable", "is not JSON"),
    ]
    assert write_dropped(tmp_path / "d.jsonl", items) == 3
    lines = [json.loads(line) for line in (tmp_path / "d.jsonl").read_text().splitlines()]
    assert lines[0] == {
        "source": "a.jsonl",
        "line": 3,
        "code": "duplicate",
        "reason": "says the same as line 1",
        "nearest": "a.jsonl:1",
        "row": {"x": "\ud800"},
    }
    assert lines[1]["text"] == "{'x': nan}"
    assert [sorted(line) for line in lines[1:]] == [
        ["code", "line", "reason", "source", "text"],
        ["code", "line", "reason", "source"],
    ]
    with DroppedFile(tmp_path / "none.jsonl") as file:
        assert not file.codes
    assert not (tmp_path / "none.jsonl").exists()
    with DroppedFile(tmp_path / "d.jsonl"):
        pass
    assert (tmp_path / "d.jsonl").read_text() == ""  # an earlier run's rows would be taken for this one's


def test_a_row_weighs_what_all_its_columns_hold_however_deep() -> None:
    deep: Any = "x"
    for _ in range(5000):
        deep = [deep]
    assert 1000 <= weight(Example(Kind.PROMPT, raw={"prompt": "q" * 1000})) < 1300
    assert 3000 <= weight(Example(Kind.PROMPT, raw={"a": [{"b": "q" * 1000}, b"q" * 1000], "q" * 1000: 1})) < 3700
    assert weight(Example(Kind.PROMPT, raw={"a": deep})) > 5000
    assert 500 <= weight(Dropped("f", 1, "unreadable", "is not JSON", text="q" * 500)) < 700
