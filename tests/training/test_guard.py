"""Gate cases never reach training: exactly or nearly repeated they are refused; templates alone are told, not refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.errors import TrainingError
from harness.model import Case, Split
from harness.suite import load_suite
from training import Recipe, load_recipe
from training.data import load_rows
from training.guard import refuse_leaks
from training.origins import Origin, origins

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "suites" / "quickstart" / "suite.yaml"
ASKED = "Please write a short and friendly reminder to Ms Okafor that her rent is due on Friday"


def recipe(path: str = "rows.jsonl") -> Recipe:
    return Recipe(stage="sft", model_name_or_path="m", dataset=path, output_dir="o")


def row(prompt: str, answer: str = "ok") -> dict[str, list[dict[str, str]]]:
    return {"prompt": [{"role": "user", "content": prompt}], "completion": [{"role": "assistant", "content": answer}]}


CASE = Case(
    "c1", "polite", {"input": ASKED}, "Dear Ms Okafor, a gentle reminder that your rent is due this Friday.", split=Split.GATE
)


@pytest.mark.parametrize(
    "text",
    [ASKED, ASKED.upper() + "!!", f"Here is a task.\n{ASKED}\nAnswer:", ASKED.replace("Friday", "Monday")],
    ids=["same", "case and marks", "inside another text", "one word changed"],
)
def test_a_repeated_case_is_refused(text: str) -> None:
    with pytest.raises(TrainingError, match=r"1 training rows repeat gate cases, row 2 the case c1"):
        refuse_leaks(recipe(), [row("something else entirely, about the weather of today"), row(text)], [CASE])


def test_a_reference_in_an_answer_is_refused_too() -> None:
    with pytest.raises(TrainingError, match="row 1 the case c1"):
        refuse_leaks(recipe(), [row("write", "Dear Ms Okafor, a gentle reminder that your rent is due this Friday.")], [CASE])


def test_what_only_resembles_is_told() -> None:
    text = "Please write a short and friendly reminder to Ms Okafor that her rent will go up in spring"  # 13 of 17 words
    found = refuse_leaks(recipe(), [row(text)] * 3 + [row("hello")], [CASE])
    assert (found.cases, found.similar) == (1, 3)
    assert found.worst is not None
    assert (found.worst.how, found.worst.words) == ("ngram", 13)
    assert refuse_leaks(recipe(), [row("hello")], [CASE]).worst is None


def test_the_quickstarts_own_rows_pass_and_its_gate_cases_do_not() -> None:
    suite = load_suite(QUICKSTART)
    cases = [case for capability in suite.capabilities.values() for case in capability.of(Split.GATE)]
    repaired = load_recipe(ROOT / "training" / "recipes" / "quickstart_repaired.yaml")
    assert refuse_leaks(repaired, load_rows(repaired.dataset, "sft"), cases).cases == len(cases)
    leaked = [row(str(case.vars["input"])) for case in cases[::97]]
    with pytest.raises(TrainingError, match=f"{len(leaked)} training rows repeat gate cases"):
        refuse_leaks(repaired, leaked, cases)


def test_origins_are_read_where_rows_say_them(tmp_path: Path) -> None:
    rows = [
        {"prompt": "a", "completion": "b", "provenance": {"case_id": "c1", "run_id": "r1", "pair_id": "p1"}},
        {"prompt": "a", "completion": "b"},
        {"prompt": "a", "completion": "b", "case_id": "c2"},
        {"prompt": "a", "completion": "b", "metadata": {"case": 7}, "id": "p9"},
        {"prompt": "a", "completion": "b", "provenance": "hostile", "case_id": ["x"]},
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in rows) + "{broken\n", encoding="utf-8")
    assert list(origins([str(path)])) == [
        Origin(0, 1, "p1", "c1", "r1"),
        Origin(0, 3, None, "c2", None),
        Origin(0, 4, "p9", "7", None),
    ]
