"""What can be wrong with a suite's checks, and where it says so."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import TypeAdapter

from harness import plugs
from harness.checks import CheckGroup, CheckSpec, parse_checks, validate_spec
from harness.checks.spec import AnySpec


def test_a_good_list_has_no_faults_and_keeps_what_was_written() -> None:
    raw = [
        "equals",
        {"type": "not-contains", "value": "As an AI", "weight": 2, "metric": "no-preamble"},
        {
            "any": [{"type": "numeric", "abs_tolerance": 0.1}, {"all": ["is-json", {"type": "regex", "value": r"^\d"}]}],
            "weight": 3,
        },
    ]
    specs, faults = parse_checks(raw)
    assert faults == ()
    first, second, group = specs
    assert isinstance(first, CheckSpec)
    assert first.type == "equals"
    assert isinstance(second, CheckSpec)
    assert (second.base, second.negate, second.weight, second.metric) == ("contains", True, 2, "no-preamble")
    assert isinstance(group, CheckGroup)
    assert isinstance(group.members[0], CheckSpec)
    assert group.members[0].options == {"abs_tolerance": 0.1}
    assert parse_checks(specs) == (specs, ()), "models are taken as they are"


FAULTS: list[tuple[Any, tuple[str | int, ...], str]] = [
    ([{"type": "equal"}], ("checks", 0, "type"), "did you mean equals"),
    ([{"type": "not-equal"}], ("checks", 0, "type"), "did you mean not-equals"),
    (["equals", {"type": "equals", "ignorecase": True}], ("checks", 1, "ignorecase"), "unknown key 'ignorecase'"),
    ([{"type": "rouge-n", "n": "many"}], ("checks", 0, "n"), "valid integer"),
    ([{"type": "rouge-l", "measure": "x"}], ("checks", 0, "measure"), "'f', 'p' or 'r'"),
    ([{"type": "equals", "threshold": 5}], ("checks", 0, "threshold"), "less than or equal to 1"),
    ([{"type": "equals", "threshold": float("nan")}], ("checks", 0, "threshold"), "finite"),
    ([{"type": "equals", "weight": -1}], ("checks", 0, "weight"), "greater than or equal to 0"),
    ([{"type": "equals", "weight": 1e308}], ("checks", 0, "weight"), "less than or equal to 1000000"),
    ([{"type": "equals", "weight": 0}], ("checks",), "every check has weight 0"),
    ([{"value": "x"}], ("checks", 0), "'type' is missing"),
    ([7], ("checks", 0), "a check is a name, or a mapping"),
    ([], ("checks",), "there is no check"),
    ("equals", ("checks",), "the checks are a list"),
    ([{"all": []}], ("checks", 0, "all"), "at least 1"),
    ([{"all": ["equals"], "any": ["equals"]}], ("checks", 0), "either `all` or `any`"),
    ([{"all": ["equals"], "threshold": 1}], ("checks", 0, "threshold"), "unknown key"),
    (
        [{"any": ["equals", {"all": [{"type": "regex", "value": "("}]}]}],
        ("checks", 0, "any", 1, "all", 0, "value"),
        "does not parse",
    ),
    ([{"any": [{"type": "equals", "weight": 2}]}], ("checks", 0, "any", 0, "weight"), "no effect inside a group"),
    ([{"type": "is-json", "value": {"type": "objekt"}}], ("checks", 0, "value"), "schema is not valid at type"),
    ([{"type": "is-json", "value": {"$ref": "http://example.org/s.json"}}], ("checks", 0, "value"), "points outside"),
    ([{"type": "is-json", "value": {"$ref": "#/$defs/a"}}], ("checks", 0, "value"), "points to nothing"),
    ([{"type": "is-json", "value": None}], ("checks", 0, "value"), "the schema is a mapping"),
    ([{"type": "contains", "value": ""}], ("checks", 0, "value"), "could never fail"),
    ([{"type": "contains", "value": ["a"]}], ("checks", 0, "value"), "contains-any"),
    ([{"type": "contains-any", "value": []}], ("checks", 0, "value"), "empty list"),
    ([{"type": "numeric", "value": "many"}], ("checks", 0, "value"), "no number"),
    ([{"type": "numeric", "value": float("inf")}], ("checks", 0, "value"), "not a number one can compare"),
    ([{"type": "numeric", "pattern": "("}], ("checks", 0, "pattern"), "does not parse"),
    ([{"type": "equals", "value": "{{ a"}], ("checks", 0, "value"), "does not parse"),
    ([{"type": "equals", "value": float("nan")}], ("checks", 0, "value"), "cannot be written"),
    ([{"type": "word-count"}], ("checks", 0), "min or max is needed"),
    ([{"type": "word-count", "min": 3, "max": 2}], ("checks", 0), "above max"),
    ([{"type": "latency", "max": 2, "value": 3}], ("checks", 0, "value"), "takes no value"),
    ([{"type": "latency"}], ("checks", 0), "'max' is missing"),
    ([{"type": "finish-reason", "value": 3}], ("checks", 0, "value"), "a word of the server's"),
    ([{"type": "language"}], ("checks", 0), "which one"),
    ([{"type": "language", "value": "fr"}], ("checks", 0, "value"), "script: Latin"),
    ([{"type": "language", "script": "Klingon"}], ("checks", 0, "script"), "no Unicode script"),
    ([{"type": "python", "value": "rm -rf /"}], ("checks", 0, "value"), "file.py:function"),
    ([{"type": "similar", "endpoint": "ftp://x"}], ("checks", 0, "endpoint"), "match pattern"),
]


@pytest.mark.parametrize(("raw", "path", "words"), FAULTS, ids=[words for _, _, words in FAULTS])
def test_fault(raw: Any, path: tuple[str | int, ...], words: str) -> None:
    faults = validate_spec(raw)
    assert len(faults) == 1, faults
    assert faults[0].path == path
    assert words in f"{faults[0].what} {faults[0].todo}"


def test_every_fault_at_once_under_the_callers_path() -> None:
    raw = [
        {"type": "equl"},
        {"value": 1},
        {"type": "regex", "value": "(", "flags": "i"},
        {"type": "word-count", "min": -1, "max": "x"},
    ]
    faults = validate_spec(raw, ("capabilities", "maths", "checks"))
    assert [fault.path[3:] for fault in faults] == [(0, "type"), (1,), (2, "flags"), (3, "min"), (3, "max")]
    assert all(fault.path[:3] == ("capabilities", "maths", "checks") for fault in faults)


def test_the_json_schema_for_editors_takes_what_we_take() -> None:
    schema = TypeAdapter(list[AnySpec]).json_schema()
    json.dumps(schema)
    Draft202012Validator.check_schema(schema)
    editor = Draft202012Validator(schema)
    for name in plugs.names("check"):
        for example in plugs.find("check", name).examples:
            raw = [{"type": f"not-{name}", **example.options, "threshold": 0.5, "weight": 2, "metric": "m"}]
            assert editor.is_valid(raw), raw
    assert editor.is_valid(["equals", {"any": ["not-is-json", {"type": "word-count", "max": 3}]}])
    for raw in (
        ["equal"],
        [{"type": "equals", "stripp": 1}],
        [{"type": "word-count", "value": 3}],
        [{"type": "latency"}],
        [{"any": ["x"]}],
    ):
        assert not editor.is_valid(raw), raw


YAML = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["equals", "not-regex", "all"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["type", "value", "all", "any", "weight", "threshold", "metric", "n", "max"]), inner)
    ),
    max_leaves=12,
)


@settings(max_examples=50, deadline=None)
@given(YAML)
def test_any_yaml_gives_checks_or_faults_but_never_an_exception(raw: Any) -> None:
    specs, faults = parse_checks(raw)
    assert bool(specs) != bool(faults)
    assert all(fault.path[0] == "checks" and fault.what for fault in faults)
