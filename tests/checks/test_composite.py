"""How checks make one score: weights, groups, what is not looked at, and what never raises."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import plugs
from harness.checks import CheckType, Outcome, compile_checks, composite
from harness.errors import SuiteError, UsageError
from harness.model import Case, Response, Score

CASE = Case("0123456789abcdef", "skill", {"city": "Paris", "words": ["red", "blue"]}, "Paris")


def score(
    checks: list[Any], text: str = "Paris", case: Case = CASE, response: dict[str, Any] | None = None, **policy: Any
) -> Score:
    return compile_checks(checks, **policy).score(
        case, Response("k", **{"text": text, "finish_reason": "stop", **(response or {})})
    )


YES: dict[str, Any] = {"type": "contains", "value": "Par"}
NO: dict[str, Any] = {"type": "contains", "value": "Rome"}
UNSCORED: dict[str, Any] = {"type": "numeric", "value": 1}


def test_weighted_mean_and_pass() -> None:
    found = score([{**YES, "weight": 3}, NO])
    assert found.value == 0.75
    assert found.passed is False
    assert found.explanation == 'contains: "Rome" is not in the answer'
    assert [(c.check, c.value, c.weight) for c in found.components] == [("contains", 1.0, 3.0), ("contains", 0.0, 1.0)]
    assert score([YES]).passed is True


def test_score_pass_is_all_or_nothing() -> None:
    assert score([{**YES, "weight": 3}, NO], score="pass").value == 0.0
    assert score([YES, YES], score="pass").value == 1.0
    graded = {"type": "levenshtein", "value": "Parts"}
    assert score([graded]).value == pytest.approx(0.8)
    assert score([graded], score="pass").value == 1.0, "0.8 reaches the default threshold"
    assert score([{**graded, "threshold": 0.81}], score="pass").value == 0.0


def test_weight_zero_is_reported_and_decides_nothing() -> None:
    found = score([YES, {**NO, "weight": 0}, {**UNSCORED, "weight": 0}])
    assert (found.value, found.passed, found.unscored) == (1.0, True, None)
    assert len(found.components) == 3


@pytest.mark.parametrize(
    ("group", "value", "passed", "reason"),
    [
        ({"all": [YES, NO]}, 0.0, False, None),
        ({"all": [YES, YES]}, 1.0, True, None),
        ({"any": [YES, NO]}, 1.0, True, None),
        ({"any": [NO, NO]}, 0.0, False, None),
        ({"any": [UNSCORED, YES]}, 1.0, True, None),
        ({"any": [UNSCORED, NO]}, None, None, "unparsed"),
        ({"all": [UNSCORED, YES]}, None, None, "unparsed"),
        ({"all": [YES, {"any": [NO, {"all": [YES, YES]}]}]}, 1.0, True, None),
    ],
)
def test_groups(group: dict[str, Any], value: float | None, passed: bool | None, reason: str | None) -> None:
    found = score([group])
    assert (found.value, found.passed, found.unscored) == (value, passed, reason)


def test_reported_weights_make_the_mean() -> None:
    found = score([{**NO, "weight": 2}, {"any": [YES, NO], "weight": 3, "metric": "either"}])
    total = sum(c.weight for c in found.components)
    assert found.value == pytest.approx(sum(c.weight * (c.value or 0) for c in found.components) / total)
    assert [c.check for c in found.components] == ["contains", "either", "contains", "contains"]


def test_one_unscored_check_leaves_the_score_open() -> None:
    found = score([YES, UNSCORED])
    assert (found.value, found.passed, found.unscored) == (None, None, "unparsed")
    assert found.explanation.startswith("numeric: no number")
    assert found.components[0].value == 1.0, "what was found is still reported"


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ({"text": "", "error": "timeout"}, "errored"),
        ({"text": "Paris", "finish_reason": "length"}, "truncated"),
        ({"text": ""}, "empty"),
        ({"text": " \n\u3000"}, "empty"),
    ],
)
def test_what_is_not_an_answer_is_not_scored(response: dict[str, Any], reason: str) -> None:
    found = score([YES], response=response)
    assert (found.value, found.passed, found.unscored, found.components) == (None, None, reason, ())


def test_policies_score_the_truncated_and_the_empty() -> None:
    assert score([YES], response={"finish_reason": "length"}, on_truncated="score").value == 1.0
    assert score([YES], text=" ", on_empty="score").value == 0.0
    assert score([YES], response={"error": "timeout"}, on_truncated="score", on_empty="score").unscored == "errored"


@pytest.mark.parametrize(
    ("value", "text", "expected"),
    [
        ("{{ reference }}", "Paris", 1.0),
        ("{{ city }}!", "Paris!", 1.0),
        ("{{ vars.city | upper }}", "PARIS", 1.0),
        (["Rome", "{{ city }}"], "Paris", 1.0),
        ("{{ words }}", "blue", 1.0),
        ("{% if words %}red{% endif %}", "red", 1.0),
        ("{% raw %}{{ city }}{% endraw %}", "{{ city }}", 1.0),
        ("{{ city }}", "Rome", 0.0),
    ],
)
def test_templates(value: Any, text: str, expected: float) -> None:
    assert score([{"type": "equals", "value": value}], text=text).value == expected


@pytest.mark.parametrize(
    "value", ["{{ nobody }}", "{{ vars.nobody }}", "x{{ nobody }}", "{{ 1 + city }}", "{{ ''.__class__.__mro__ }}"]
)
def test_templates_that_fail_are_the_suites_fault_not_the_models(value: str) -> None:
    scorer = compile_checks([{"type": "equals", "value": value}])
    assert scorer.score(CASE, Response("k", "Paris")).unscored == "bad-reference"
    assert len(scorer.faults(CASE)) == 1
    assert value in scorer.faults(CASE)[0]


def test_case_text_is_never_a_template() -> None:
    case = Case("0123456789abcdef", "skill", {"city": "{{ 7 * 7 }}"}, "{{ 7 * 7 }}")
    assert score(["equals"], text="{{ 7 * 7 }}", case=case).value == 1.0
    assert score([{"type": "equals", "value": "{{ city }}"}], text="49", case=case).value == 0.0


def test_faults_of_a_case_are_known_without_a_response() -> None:
    scorer = compile_checks(["equals", {"any": ["numeric", YES]}])
    assert scorer.faults(CASE) == ('numeric: no number in "Paris"',)
    assert scorer.faults(Case("1", "skill", {}, 7)) == ()
    assert len(scorer.faults(Case("1", "skill", {}))) == 2


def test_a_choice_that_is_no_option_is_known_without_a_response() -> None:
    scorer = compile_checks(["choice"])
    assert scorer.faults(Case("1", "skill", {"choices": ["yes", "no"]}, "B")) == ()
    assert scorer.faults(Case("1", "skill", {"choices": ["yes", "no"]}, "no")) == ()
    assert "neither one of the letters AB" in scorer.faults(Case("1", "skill", {"choices": ["yes", "no"]}, "C"))[0]


def test_compile_reports_every_fault() -> None:
    with pytest.raises(SuiteError) as caught:
        compile_checks([{"type": "equal"}, {"any": [{"type": "regex", "value": "("}]}])
    assert [fault.where for fault in caught.value.faults] == ["checks[0].type", "checks[1].any[0].value"]


def test_digest_follows_everything_that_decides_a_score(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def f(text, case): return True\n", "utf-8")

    def digest(checks: list[Any], **policy: Any) -> str:
        return compile_checks(checks, root=tmp_path, **policy).digest

    base = digest([YES])
    assert base == digest([dict(YES)])
    assert base == digest([{**YES, "threshold": 1.0}]), "the default spelt out is the same check"
    changed = [
        digest([NO]),
        digest([{**YES, "weight": 2}]),
        digest([{**YES, "type": "not-contains"}]),
        digest([{**YES, "threshold": 0.5}]),
        digest([{"all": [YES]}]),
        digest([{"any": [YES]}]),
        digest([YES], score="pass"),
        digest([YES], on_empty="score"),
        digest(["contains"]),
        digest([{"type": "python", "value": "mine.py:f"}]),
    ]
    file.write_text("def f(text, case): return False\n", "utf-8")
    changed.append(digest([{"type": "python", "value": "mine.py:f"}]))
    assert len({base, *changed}) == len(changed) + 1


def test_digest_follows_the_version(monkeypatch: pytest.MonkeyPatch) -> None:
    before = compile_checks(["equals"]).digest
    old = plugs.find("check", "equals")
    new = CheckType(**{name: getattr(old, name) for name in CheckType.__slots__} | {"version": old.version + 1})
    monkeypatch.setattr(composite, "find_type", lambda name: new)
    assert compile_checks(["equals"]).digest != before


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan, math.inf])
def test_a_check_outside_its_range_is_no_score(value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = CheckType("equals", 1, "", lambda seen, expected, tool: Outcome(value), ())
    monkeypatch.setattr(composite, "find_type", lambda name: broken)
    found = score(["equals"])
    assert (found.value, found.unscored) == (None, "check-error")


def test_a_crashing_check_is_no_score(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(seen: Any, expected: Any, tool: Any) -> Outcome:
        raise RuntimeError("oh no\ud800")

    monkeypatch.setattr(composite, "find_type", lambda name: CheckType("equals", 1, "", crash, ()))
    found = score(["equals"])
    assert (found.value, found.unscored) == (None, "check-error")
    assert "RuntimeError: oh no" in found.explanation
    found.explanation.encode("utf-8")


@pytest.mark.parametrize(
    ("source", "name", "words"),
    [
        (None, "f", "there is no file"),
        ("x = 1\n", "f", "there is no function 'f'"),
        ("x = 1\n1 / 0\n", "f", "mine.py:2: python check: ZeroDivisionError"),
        ("def f(:\n", "f", "mine.py:1: python check: SyntaxError"),
        ("import sys\nsys.exit(3)\n", "f", "SystemExit"),
        ("async def f(text, case): return True\n", "f", "is async"),
        ("def f(): return True\n", "f", "cannot be called as (text, case)"),
    ],
)
def test_python_file_faults_are_users_errors(tmp_path: Path, source: str | None, name: str, words: str) -> None:
    if source is not None:
        (tmp_path / "mine.py").write_text(source, "utf-8")
    with pytest.raises(UsageError) as caught:
        compile_checks([{"type": "python", "value": f"mine.py:{name}"}], root=tmp_path)
    assert words in caught.value.line()


HOSTILE = st.text(st.characters(codec=None), max_size=60) | st.sampled_from(
    [
        "\ud800",
        "\x00",
        "[" * 5000,
        "{" * 5000,
        '{"a":' * 3000,
        "<script>",
        "'; DROP TABLE",
        "{{ 7*7 }}",
        "\\boxed{",
        "####",
        "1e" + "9" * 400,
        "9" * 6000,
        "-" * 500,
        "(A)(B)",
        "\u202e",
        "a" * 3000,
        "1/0",
        "####" * 400,
        "```json\n",
        "\r\n" * 300,
        "１／０",
        "答案是",
    ]
)
# One reference and value that each check accepts, where it needs one.
SPECS: dict[str, dict[str, Any]] = {
    "contains-any": {"value": ["a", "1"]},
    "contains-all": {"value": ["a", "1"]},
    "icontains-any": {"value": ["a", "1"]},
    "icontains-all": {"value": ["a", "1"]},
    "regex": {"value": r"(\w+\s?)+[!?]$", "timeout_s": 0.2},
    "contains-json": {"value": {"type": "object"}},
    "json-equals": {"value": {"a": [1, 2]}, "partial": True},
    "numeric": {"value": 7, "fractions": True, "percent": "scale", "rel_tolerance": 0.1},
    "choice": {"value": "B", "choices": ["yes", "no", "maybe"]},
    "word-count": {"min": 1},
    "latency": {"max": 1.0},
    "language": {"script": "Latin"},
    "python": {"value": "answers.py:length_of_ten"},
}
SKIP = {"similar"}  # loads a real model: its examples do
NAMES = [name for name in plugs.names("check") if name not in SKIP]
FILES = Path(__file__).parent / "files"


def _pair(name: str) -> tuple[Any, Any]:
    options = SPECS.get(name, {})
    policy: dict[str, Any] = {"on_truncated": "score", "on_empty": "score", "root": FILES}
    return compile_checks([{"type": name, **options}], **policy), compile_checks([{"type": f"not-{name}", **options}], **policy)


PAIRS = {name: _pair(name) for name in NAMES}


@settings(max_examples=40, deadline=None)
@given(HOSTILE, st.sampled_from([None, 0.0, 1.5]), st.sampled_from(["stop", "length", None]))
@pytest.mark.parametrize("name", NAMES)
def test_never_raises_and_not_is_the_complement(name: str, text: str, seconds: float | None, finish: str | None) -> None:
    scorer, negated = PAIRS[name]
    response = Response("k", text, finish_reason=finish, total_s=seconds)
    plain, opposite = scorer.score(CASE, response), negated.score(CASE, response)
    assert plain.unscored != "check-error" or name == "python", plain
    assert plain.unscored == opposite.unscored
    if plain.unscored is None:
        assert plain.value is not None
        assert 0.0 <= plain.value <= 1.0
        assert opposite.value == 1.0 - plain.value
        assert opposite.passed is (not plain.passed)
    else:
        assert plain.value is None
        assert plain.passed is None
    for part in (plain, *plain.components):
        part.explanation.encode("utf-8")


@given(st.lists(st.tuples(st.floats(0.01, 100), st.booleans()), min_size=1, max_size=6))
def test_the_mean_is_the_weighted_mean(members: list[tuple[float, bool]]) -> None:
    found = score([{**(YES if right else NO), "weight": weight} for weight, right in members])
    expected = sum(weight for weight, right in members if right) / sum(weight for weight, _ in members)
    assert found.value == pytest.approx(expected)
    assert found.passed is all(right for _, right in members)
