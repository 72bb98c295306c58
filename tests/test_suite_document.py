"""YAML with lines: what is read, and what hostile files meet."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from harness.errors import SuiteError
from harness.suite.document import MAX_DEPTH, parse_document, read_document

HERE = Path("s.yaml")


def refused(text: str) -> str:
    with pytest.raises(SuiteError) as error:
        parse_document(text, HERE)
    return error.value.line()


def test_every_key_and_item_has_its_line() -> None:
    document = parse_document("a: 1\nb:\n  - x\n  - {c: 2,\n     d: 3}\n", HERE)
    assert document.data == {"a": 1, "b": ["x", {"c": 2, "d": 3}]}
    lines = {("a",): 1, ("b",): 2, ("b", 0): 3, ("b", 1): 4, ("b", 1, "c"): 4, ("b", 1, "d"): 5}
    assert {place: document.lines[place] for place in lines} == lines
    assert document.where(("b", 1, "d", "deeper", 7)) == "s.yaml:5"
    assert document.where(("unknown",)) == "s.yaml:1"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),  # YAML 1.1 makes these false, 750, a date, 7 and 685230.15
        ("12:30", "12:30"),
        ("2024-01-01", "2024-01-01"),
        ("007", "007"),
        ("190:20:30.15", "190:20:30.15"),
        ("1_000", "1_000"),
        (".nan", ".nan"),
        (".inf", ".inf"),
        ("1.", "1."),
        ("+e5", "+e5"),
        ("true", True),
        ("~", None),
        ("", None),
        ("-7", -7),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("'1'", "1"),
        ("!!str 1", "1"),
        ("10000000000000000000000", 10**22),
    ],
)
def test_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    found = parse_document(f"k: {text}\n", HERE).data["k"]
    assert found == value
    assert type(found) is type(value)


def test_keys_are_always_text() -> None:
    assert parse_document("1: a\ntrue: b\nnull: c\n", HERE).data == {"1": "a", "true": "b", "null": "c"}


def test_every_duplicate_key_is_told_with_both_lines() -> None:
    document = parse_document("a: 1\nb: {c: 1, c: 2}\na: 2\n", HERE)
    assert [fault.line() for fault in document.faults] == [
        "s.yaml:2: the key 'c' stands twice, first in line 2 (remove one)",
        "s.yaml:3: the key 'a' stands twice, first in line 1 (remove one)",
    ]
    assert document.data == {"a": 1, "b": {"c": 1}}


@pytest.mark.parametrize(
    "value",
    [
        "!!python/object/apply:os.system ['touch pwned']",
        "!!python/name:os.system",
        "!!binary aGk=",
        "!!set {a, b}",
        "!!timestamp 2024-01-01",
        "!include other.yaml",
        "!function x.y",
    ],
)
def test_tags_are_refused_and_never_run(value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    document = parse_document(f"a: 1\nb: {value}\n", HERE)
    assert [fault.where for fault in document.faults] == ["s.yaml:2"]
    assert "is refused" in document.faults[0].what
    assert document.data == {"a": 1, "b": None}
    assert list(tmp_path.iterdir()) == []


def test_anchors_and_merge_keys() -> None:
    text = "base: &b {x: 1, y: 2}\nother: &o {y: 5, z: 6}\na: {<<: *b, y: 3}\nc: {<<: [*b, *o]}\nd: *b\n"
    data = parse_document(text, HERE).data
    assert data["a"] == {"x": 1, "y": 3}
    assert data["c"] == {"x": 1, "y": 2, "z": 6}
    assert data["d"] == {"x": 1, "y": 2}
    assert parse_document("a: {<<: 3}", HERE).faults[0].what == "`<<` merges mappings only"


def test_a_billion_laughs_end_early() -> None:
    text = 'a0: &a0 ["lol"]\n' + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))
    assert "grows to more than 200,000 values" in refused(text)
    merges = "a0: &a0 {k: v}\n" + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}\n" for n in range(1, 10))
    assert "grows to more than 200,000 values" in refused(merges)


@pytest.mark.parametrize("text", ["a: &a [*a]", "a: &a {b: *a}", "a: &a {<<: *a}", "&a [*a]"])
def test_a_value_cannot_hold_itself(text: str) -> None:
    assert "alias of itself" in refused(text)


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 5_000])
def test_deep_nesting(depth: int) -> None:
    assert "nested" in refused("[" * depth + "]" * depth)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [1\nb: 2\n", "s.yaml:2: is not valid YAML"),
        ("a: 1\n b: 2\n", "s.yaml:2: is not valid YAML"),
        ("a: 1\n---\nb: 2\n", "s.yaml:2: is not valid YAML: but found another document expected a single document"),
        ("a: *nowhere\n", "s.yaml:1: is not valid YAML: found undefined alias 'nowhere'"),
        ("a: 1\n\tb: 2\n", "s.yaml:2: is not valid YAML"),
        ("a: 1\nb: \x00\n", "s.yaml:2: holds the character U+0000"),
        ("", "s.yaml:1: is empty"),
        ("# only a comment\n", "s.yaml:1: is empty"),
    ],
)
def test_broken_yaml_names_its_line(text: str, says: str) -> None:
    assert refused(text).startswith(says)


def test_a_line_separator_is_text_and_not_a_line() -> None:
    document = parse_document('a: "x\u2028y"\nb: !bad 1\n', HERE)
    assert document.data["a"] == "x\u2028y"
    assert document.faults[0].where == "s.yaml:2"


def test_half_a_surrogate_pair_is_refused() -> None:
    document = parse_document('a: "\\ud800"\n', HERE)
    assert document.data == {"a": None}
    assert "half of a surrogate pair" in document.faults[0].what


def test_numbers_too_long_or_too_large() -> None:
    document = parse_document(f"a: {'9' * 5000}\nb: 1e999\n", HERE)
    assert [fault.where for fault in document.faults] == ["s.yaml:1", "s.yaml:2"]


def test_files_as_editors_save_them(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: !bad x\r\n")
    document = read_document(path)
    assert document.data == {"a": 1, "b": None}
    assert document.faults[0].where == f"{path}:2"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("a: 1".encode("utf-16"), "is UTF-16 text (save it as UTF-8)"),
        (b"a: \xe9", "is not UTF-8 text (byte 0xe9)"),
        (b"", "is empty"),
        (b"# \n" * 3_000_000, "is larger than 8 MiB"),
    ],
)
def test_files_that_are_no_text(content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_bytes(content)
    with pytest.raises(SuiteError, match=r"s\.yaml") as error:
        read_document(path)
    assert says in error.value.line()


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    os.mkfifo(tmp_path / "pipe")
    for name, says in {
        "none.yaml": "no such file",
        ".": "is a directory",
        "loop": "Too many levels of symbolic links",
        "pipe": "is not a regular file",
        "a\0b": "null",
    }.items():
        with pytest.raises(SuiteError) as error:
            read_document(tmp_path / name)
        assert says in error.value.line(), name


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x7f"), max_size=40)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


BREAKS = set("\x85\u2028\u2029")


@pytest.mark.parametrize("mark", sorted(BREAKS))
def test_a_key_over_a_raw_line_break_is_told(mark: str) -> None:
    with pytest.raises(SuiteError, match=":1: is not valid YAML"):
        parse_document(f'{{"a{mark}b": 1}}', HERE)


@given(st.dictionaries(texts, json_values, min_size=1, max_size=4), st.booleans())
def test_json_is_yaml(value: object, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    assume(ascii_only or "\\" not in text)
    assume(not BREAKS & set(text))  # line breaks to YAML, letters to JSON: see the next test
    try:
        document = parse_document(text, HERE)
    except SuiteError as error:  # YAML forbids some characters where they stand raw; then it is told
        told = error.line()
    else:
        told = ""
    if told:
        assert "which YAML does not allow" in told
        return
    assert document.faults == ()
    assert document.data == value


@given(st.text(alphabet="ab:-[]{}&*!|>'\"#%@,? \n\t<~", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse_document(text, HERE)
    except SuiteError as error:
        where = error.faults[0].where
    else:
        where = "s.yaml:1"
    assert where.startswith("s.yaml:")
