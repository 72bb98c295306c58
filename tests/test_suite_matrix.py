"""`matrix:` of a suite: what it combines, what it draws, and every fault at its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from support.suites import SMALL, faults_of, load_small, write_rows, write_suite

from harness.cli import call as harness
from harness.prompts import render
from harness.suite import Suite, json_schema, starter_text
from harness.suite.load import load_suite
from harness.suite.matrix import MOST, expanded

CASES = [{"input": f"{n} + 1", "reference": n + 1, "split": "dev" if n % 2 else "gate"} for n in range(8)]
SUMS: dict[str, Any] = {"role": "target", "cases": CASES, "checks": ["numeric"]}
DATES: dict[str, Any] = {"role": "protected", "cases": [{"input": "a day", "reference": "1999-01-01"}], "checks": ["equals"]}
POOL = [{"input": f"{n} + 2", "output": str(n + 2)} for n in range(9)]
CAPABILITIES = {"capabilities": {"sums": SUMS, "dates": DATES}}


def load(folder: Path, matrix: Any, **changes: Any) -> Suite:
    return load_small(folder, **CAPABILITIES | {"matrix": {"goal": 0.9} | said(matrix)} | changes)


def said(matrix: Any) -> Any:
    """With a word on which of the two candidates tuning made, where there are two and none is written."""
    return {"tuned": ["sft"]} | matrix if isinstance(matrix, dict) and "candidates" not in matrix else matrix


def names(suite: Suite) -> list[str]:
    assert suite.matrix is not None
    return [c.name for c in suite.matrix.combinations]


# -- what is combined ------------------------------------------------------------------------------------------------------------


def test_every_combination_once_and_each_candidate_as_it_is(tmp_path: Path) -> None:
    matrix = {"prompts": {"terse": {"system": "Brief."}}, "few_shot": [0, 2, 2], "pool": {"sums": POOL}}
    suite = load(tmp_path, matrix)
    ways = ["", "+2-shot", "+terse", "+terse+2-shot"]
    assert names(suite) == [name + way for name in ("base", "sft") for way in ways]
    assert suite.matrix is not None
    assert [c.name for c in suite.matrix.combinations if c.is_plain] == ["base", "sft"]
    assert suite.matrix.goals == {"sums": 0.9}


def test_the_plain_candidate_is_tried_also_where_no_examples_is_not_asked_for(tmp_path: Path) -> None:
    assert names(load(tmp_path, {"candidates": ["sft"], "few_shot": [3], "pool": {"sums": POOL}})) == ["sft", "sft+3-shot"]


def test_a_matrix_prompt_lies_over_all_others_key_by_key(tmp_path: Path) -> None:
    capabilities = {"sums": SUMS | {"prompt": {"template": "Sum: {{ input }}", "system": "S"}}, "dates": DATES}
    candidates = {"base": {"model": "org/base", "prompt": {"system": "C"}}}
    matrix = {"goal": 0.9, "prompts": {"new": {"system": "M"}, "other": {"template": "T {{ input }}", "capabilities": ["dates"]}}}
    suite = load_small(tmp_path, capabilities=capabilities, candidates=candidates, prompt={"system": "A"}, matrix=matrix)
    assert suite.matrix is not None
    prompts = suite.matrix.prompts
    assert (prompts["base+new", "sums"].system, prompts["base+new", "sums"].template) == ("M", "Sum: {{ input }}")
    assert (prompts["base", "sums"].system, prompts["base", "dates"].system) == ("C", "C")
    assert prompts["base+other", "dates"].template == "T {{ input }}"
    assert prompts["base+other", "sums"] == prompts["base", "sums"]


def test_expanded_is_a_suite_of_combinations_with_the_same_hash(tmp_path: Path) -> None:
    suite = load(tmp_path, {"prompts": {"terse": {"system": "Brief."}}})
    wide = expanded(suite)
    assert list(wide.candidates) == ["base", "base+terse", "sft", "sft+terse"]
    assert wide.candidates["sft+terse"].model == "org/sft"
    assert wide.hash == suite.hash == load_small(tmp_path, **CAPABILITIES).hash
    case = wide.capabilities["sums"].all_cases[0]
    assert [m.content for m in render(wide.prompt_for("base+terse", "sums"), case)] == ["Brief.", "0 + 1"]
    assert wide.prompt_for("base", "sums") == suite.prompt_for("base", "sums")


def test_every_combination_of_a_candidate_has_a_prompt_of_its_own(tmp_path: Path) -> None:
    """Stored runs are told apart by weights and prompt: two ways of asking one model must not look like noise."""
    matrix = {"prompts": {"terse": {"system": "B."}, "day": {"template": "D {{ input }}", "capabilities": ["dates"]}}}
    wide = expanded(load(tmp_path, matrix | {"few_shot": [0, 2, 3], "pool": {"sums": POOL}, "candidates": ["base"]}))
    assert len({spec.prompt.digest for spec in wide.candidates.values()}) == len(wide.candidates) == 9


def test_goals_come_from_floors_unless_given(tmp_path: Path) -> None:
    prompts = {"terse": {"system": "Brief."}}
    floors = {"gate": {"floors": {"sums": 0.7}}}
    for matrix, goal in (({}, 0.7), ({"goal": 0.8}, 0.8), ({"goal": {"sums": 0.6}}, 0.6)):
        found = load_small(tmp_path, **CAPABILITIES | floors | {"matrix": said({"prompts": prompts} | matrix)}).matrix
        assert found is not None
        assert found.goals == {"sums": goal}


def test_tuned_are_those_with_an_adapter_unless_said(tmp_path: Path) -> None:
    (tmp_path / "lora").mkdir()
    candidates = {"base": {"model": "org/base"}, "sft": {"model": "org/base", "adapter": "./lora"}}
    for matrix, tuned in (({}, {"sft"}), ({"tuned": ["base"]}, {"base"}), ({"tuned": []}, set())):
        given = {"candidates": ["base", "sft"], "prompts": {"terse": {"system": "B."}}} | matrix
        found = load(tmp_path, given, candidates=candidates).matrix
        assert found is not None
        assert {c.candidate for c in found.combinations if c.tuned} == tuned


# -- examples --------------------------------------------------------------------------------------------------------------------


def shown(suite: Suite, combination: str) -> tuple[tuple[str, str], ...]:
    assert suite.matrix is not None
    return suite.matrix.prompts[combination, "sums"].few_shot


def test_examples_are_drawn_by_hash_and_fewer_are_part_of_more(tmp_path: Path) -> None:
    matrix = {"few_shot": [0, 2, 4], "pool": {"sums": POOL}, "candidates": ["base"]}
    suite = load(tmp_path, matrix)
    two, four = shown(suite, "base+2-shot"), shown(suite, "base+4-shot")
    assert len(set(four)) == 4
    assert four[:2] == two
    assert set(four) <= {(row["input"], row["output"]) for row in POOL}
    assert shown(load(tmp_path, matrix | {"pool": {"sums": [*POOL[::-1], POOL[3]]}}), "base+4-shot") == four
    assert shown(load(tmp_path, matrix | {"seed": 1}), "base+4-shot") != four
    assert suite.matrix is not None
    assert suite.matrix.prompts["base+4-shot", "dates"].few_shot == ()


def test_a_pool_in_a_file_in_either_shape_is_rendered_with_the_template_that_wins(tmp_path: Path) -> None:
    roles = ("system", "user", "assistant")
    turns = [zip(roles, ("x", row["input"], row["output"]), strict=True) for row in POOL]
    chats = [{"messages": [{"role": role, "content": text} for role, text in chat]} for chat in turns]
    write_rows(tmp_path / "plain.jsonl", POOL)
    write_rows(tmp_path / "chats.jsonl", chats)
    matrix = {"few_shot": [2], "candidates": ["base"], "prompts": {"q": {"template": "Q: {{ input }}"}}}
    found = [shown(load(tmp_path, matrix | {"pool": {"sums": f"{name}.jsonl"}}), "base+q+2-shot") for name in ("plain", "chats")]
    assert found[0] == found[1]
    assert all(question.startswith("Q: ") for question, _ in found[0])


def test_variables_are_not_filled_into_examples(tmp_path: Path) -> None:
    pool = [{"input": "what is ${HOME}", "output": "${SECRET}"}]
    suite = load(tmp_path, {"few_shot": [1], "pool": {"sums": pool}, "candidates": ["base"]})
    assert shown(suite, "base+1-shot") == (("what is ${HOME}", "${SECRET}"),)


# -- faults ----------------------------------------------------------------------------------------------------------------------


def faults(folder: Path, matrix: Any, **changes: Any) -> list[str]:
    path = write_suite(folder, SMALL | CAPABILITIES | {"matrix": said(matrix)} | changes)
    found = faults_of(path)
    lines = path.read_text().split("\n")
    first = next(i for i, line in enumerate(lines, 1) if '"matrix"' in line)
    assert all(int(fault.split(":")[1]) >= first for fault in found if fault.startswith("suite.yaml"))
    return found


TERSE = {"terse": {"system": "Brief."}}


@pytest.mark.parametrize(
    ("matrix", "says"),
    [
        ({"goal": 0.9, "candidates": ["base"]}, "nothing to choose from"),
        ({"goal": {"sums": True}, "prompts": TERSE}, "a number is needed"),
        ({"goal": 0.9, "few_shot": [True], "pool": {"sums": POOL}}, "matrix.few_shot.0"),
        ({"prompts": TERSE}, "the target 'sums' has no goal (set matrix.goal"),
        ({"goal": {"sum": 0.9}, "prompts": TERSE}, "a goal for 'sum', which is no target (did you mean sums?"),
        ({"goal": {"dates": 0.9, "sums": 0.9}, "prompts": TERSE}, "a goal for 'dates', which is no target"),
        ({"goal": 1.5, "prompts": TERSE}, "matrix.goal: must be less than or equal to 1"),
        ({"goal": True, "prompts": TERSE}, "matrix.goal"),
        ({"goal": 0.9, "prompts": {"default": {"system": "x"}}}, "the name 'default' is taken"),
        ({"goal": 0.9, "prompts": {"a": {"sytem": "x"}}}, "unknown key 'sytem' (did you mean system?"),
        ({"goal": 0.9, "prompts": {"a": {"system": "x", "capabilities": ["sum"]}}}, "'sum' is no capability"),
        ({"goal": 0.9, "prompts": {"a": {"template": "{{ inptu }}"}}}, "inptu"),
        ({"goal": 0.9, "prompts": {"a": {"template": "{{ input"}}}, "template line 1"),
        ({"goal": 0.9, "prompts": {"a": {"template": "{{ input }}"}}}, "prompt default and prompt a ask base the same"),
        ({"goal": 0.9, "prompts": {"a": {"system": "x"}, "b": {"system": "x"}}}, "prompt a and prompt b ask base the same"),
        ({"goal": 0.9, "prompts": TERSE, "candidates": ["bsae"]}, "'bsae' is no candidate (did you mean base?"),
        ({"goal": 0.9, "prompts": TERSE, "candidates": []}, "matrix.candidates"),
        ({"goal": 0.9, "prompts": TERSE, "candidates": ["base"], "tuned": ["sft"]}, "'sft' is not tried"),
        ({"goal": 0.9, "few_shot": [0, 2]}, "2 examples are wanted, and there is no pool"),
        ({"goal": 0.9, "prompts": TERSE, "pool": {"sums": POOL}}, "the pool has no effect"),
        ({"goal": 0.9, "few_shot": [-1], "pool": {"sums": POOL}}, "matrix.few_shot.0"),
        ({"goal": 0.9, "few_shot": [1], "pool": {"sum": POOL}}, "'sum' is no capability (did you mean sums?"),
        ({"goal": 0.9, "few_shot": [12], "pool": {"sums": POOL}}, "12 examples are wanted, and the pool of 'sums' has 9"),
        ({"goal": 0.9, "few_shot": [1], "pool": {"sums": "none.jsonl"}}, "no such file"),
        ({"goal": 0.9, "few_shot": [1], "pool": {"sums": [{"input": "x"}]}}, "the example has no output"),
        ({"goal": 0.9, "few_shot": [1], "pool": {"sums": ["x"]}}, "an example is not a mapping"),
        ({"goal": 0.9, "few_shot": [1], "pool": {"sums": [{"input": "x", "output": [1]}]}}, "the example's output is not text"),
        ({"goal": 0.9, "few_shot": [1], "pool": {"sums": [{"messages": [{"role": "user", "content": "x"}]}]}}, "one question"),
        ({"goal": 0.9, "few_shot": [1], "pool": {"sums": [{"question": "x", "output": "y"}]}}, "example 1"),
        ({"goal": 0.9, "prompts": {f"p{n}": {"system": str(n)} for n in range(40)}}, f"82 combinations, and at most {MOST}"),
        (3, "must be a mapping"),
        ({"goal": 0.9, "prompt": TERSE}, "unknown key 'prompt' (did you mean prompts?"),
    ],
)
def test_each_fault_has_its_line(tmp_path: Path, matrix: Any, says: str) -> None:
    found = faults(tmp_path, matrix)
    assert len(found) == 1, found
    assert says in found[0]


@pytest.mark.parametrize("question", ["3 + 1", "4 + 1", "  4 +  1\n"])
def test_an_example_that_is_a_cases_question_is_refused_at_its_line(tmp_path: Path, question: str) -> None:
    write_rows(tmp_path / "pool.jsonl", [*POOL, {"input": question, "output": "5", "note": "more columns change nothing"}])
    (found,) = faults(tmp_path, {"goal": 0.9, "few_shot": [1], "pool": {"sums": "pool.jsonl"}})
    assert found.startswith("pool.jsonl:10: the example is the question of a case (suite.yaml:")
    assert ("dev split" if question == "3 + 1" else "gate split") in found


def test_a_question_with_another_variable_is_another_question(tmp_path: Path) -> None:
    cases = [{"text": "one", "question": "how many?", "reference": 1}, {"text": "two", "question": "how many?", "reference": 2}]
    sums = SUMS | {"cases": cases, "prompt": {"template": "{{ text }} {{ question }}"}}
    pool = [{"text": "six", "question": "how many?", "output": "6"}]
    suite = load(tmp_path, {"few_shot": [1], "pool": {"sums": pool}}, capabilities={"sums": sums})
    assert shown(suite, "base+1-shot") == (("six how many?", "6"),)


def test_many_faults_of_a_pool_are_counted(tmp_path: Path) -> None:
    write_rows(tmp_path / "pool.jsonl", [{"input": str(n)} for n in range(50)])
    found = faults(tmp_path, {"goal": 0.9, "few_shot": [1], "pool": {"sums": "pool.jsonl"}})
    assert len(found) == 21
    assert any("30 more examples are faulty" in line for line in found)


def test_chats_take_no_examples(tmp_path: Path) -> None:
    chat = SUMS | {"cases": [{"messages": [{"role": "user", "content": "1 + 1"}], "reference": 2}]}
    (found,) = faults(tmp_path, {"goal": 0.9, "few_shot": [1], "pool": {"sums": POOL}}, capabilities={"sums": chat})
    assert "are chats" in found


def test_two_models_without_adapters_may_both_be_bases_or_not(tmp_path: Path) -> None:
    (found,) = faults(tmp_path, {"goal": 0.9, "prompts": TERSE, "candidates": ["base", "sft"]})
    assert "base, sft: nothing says which of them tuning made" in found
    for tuned in ([], ["sft"]):
        load(tmp_path, {"prompts": TERSE, "tuned": tuned})


def test_without_a_target_there_is_no_question(tmp_path: Path) -> None:
    (found,) = faults(tmp_path, {"goal": 0.9, "prompts": TERSE}, capabilities={"dates": DATES})
    assert "no capability is one" in found


@pytest.mark.parametrize(
    "data", [{"candidates": 5}, {"capabilities": [1]}, {"matrix": {"pool": 1, "prompts": [], "few_shot": {}}}]
)
def test_no_shape_makes_a_traceback(tmp_path: Path, data: dict[str, Any]) -> None:
    path = write_suite(tmp_path, SMALL | CAPABILITIES | {"matrix": {"goal": 0.9, "prompts": TERSE}} | data)
    assert faults_of(path)


def test_the_schema_knows_it_and_the_starter_shows_it(tmp_path: Path, root: Path) -> None:
    schema = json_schema()
    good = SMALL | {"matrix": {"goal": {"sums": 0.9}, "prompts": TERSE, "few_shot": [0, 2], "pool": {"sums": "p.jsonl"}}}
    jsonschema.validate(json.loads(json.dumps(good)), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(SMALL | {"matrix": {"gaol": 1}}, schema)
    text = starter_text()
    start = text.index("# matrix:")
    written = text[:start] + "".join(line.removeprefix("# ") for line in text[start:].splitlines(keepends=True))
    path = write_suite(tmp_path, written.replace("few_shot: [0, 2, 4] ", "few_shot: [0, 2] "))
    found = load_suite(path, env={}).matrix
    assert found is not None
    assert [c.name for c in found.combinations][-1] == "base+format+2-shot"
    assert load_suite(root / "suites" / "quickstart" / "matrix.yaml").matrix is not None


def test_validate_tells_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_suite(tmp_path, SMALL | CAPABILITIES | {"matrix": {"goal": 0.9, "prompts": TERSE, "tuned": []}})
    assert harness(["validate", str(path)]) == 0
    assert "matrix: 4 combinations, goal sums 0.9 (harness choose)" in capsys.readouterr().out
