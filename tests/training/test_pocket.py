"""The quickstart's data and models: disjoint entities, the same bytes every time, small, safe, no path of a machine."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.pocket import build, words
from training.pocket.generate import CAPABILITIES, DEV_CASES, GATE_CASES, LEGACY, rows

SUITE = Path(__file__).parents[2] / "suites" / "quickstart"
MODELS = SUITE / "models"
SHIPPED = sorted(path for path in MODELS.rglob("*") if path.is_file())


def cases(capability: str) -> list[dict]:
    return lines(SUITE / "cases" / f"{capability}.jsonl")


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def texts(row: dict) -> list[str]:
    """Every text of a training row: of a conversation, or of a ranking."""
    if "ranking" in row:
        return [row["prompt"], *(answer for group in row["ranking"] for answer in group)]
    return [message["content"] for message in row["messages"]]


def test_entity_lists_are_disjoint_and_large_enough() -> None:
    for list_of in (words.names, words.things, words.dates, words.zh_goods):
        train, dev, gate = (set(list_of(part)) for part in words.PARTS)
        assert len(train | dev | gate) == len(train) + len(dev) + len(gate)
        assert len(gate) >= GATE_CASES
        assert len(dev) >= DEV_CASES


@pytest.mark.parametrize("capability", [*CAPABILITIES, LEGACY])
def test_rows_are_about_entities_of_their_part_only(capability: str) -> None:
    for part in words.PARTS:
        made = rows(capability, part, 60)
        assert all(words.part_of(entity) == part for row in made for entity in row.entities)


def test_shipped_training_rows_name_no_entity_of_a_gate_or_dev_case() -> None:
    """Looked for in the text itself, not in what the generator says of it. Plurals count: "striped mugs" names a striped mug."""
    text = "\n".join(text for path in (SUITE / "train").glob("*.jsonl") for row in lines(path) for text in texts(row))
    assert "you must send" in text, "rankings count, too"
    single = re.findall(r"\w+", text)
    known = {*single, *map(" ".join, itertools.pairwise(single))}
    known |= {phrase.removesuffix("s") for phrase in known}
    seen = 0
    for capability in CAPABILITIES:
        for case in cases(capability):
            for entity in case["metadata"]["entities"]:
                plain = re.fullmatch(r"[A-Za-z ]+", entity)
                assert entity not in known if plain else entity not in text, entity
                seen += 1
    assert seen > 2000


def test_no_training_prompt_is_a_case() -> None:
    asked = {case["input"] for capability in CAPABILITIES for case in cases(capability)}
    base = {row.prompt for row in build.base_rows()}
    assert len(asked) == len(CAPABILITIES) * (DEV_CASES + GATE_CASES)
    assert not asked & base


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_cases_are_counted_unique_and_independent(capability: str) -> None:
    found = cases(capability)
    assert Counter(case["split"] for case in found) == {"dev": DEV_CASES, "gate": GATE_CASES}
    first = [case["metadata"]["entities"][0] for case in found]
    assert len(set(first)) == len(first)


def test_regenerating_gives_the_same_bytes(tmp_path: Path) -> None:
    build.write_cases(tmp_path)
    build.write_training_rows(tmp_path)
    made = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.jsonl"))
    labels = {Path("labels/courtesy.jsonl")}  # real answers: test_rewarding.py looks at them
    assert set(made) | labels == {path.relative_to(SUITE) for path in SUITE.rglob("*.jsonl")}
    for path in made:
        assert (tmp_path / path).read_bytes() == (SUITE / path).read_bytes(), path


@given(st.integers(1, 99))
def test_chinese_numbers_read_back(n: int) -> None:
    digits = "零一二三四五六七八九"
    tens, _, units = words.zh_number(n).rpartition("十")
    has_tens = "十" in words.zh_number(n)
    value = (10 * (digits.index(tens) if tens else 1) if has_tens else 0) + (digits.index(units) if units else 0)
    assert value == n


def test_shipped_models_are_small_and_safe() -> None:
    weights = [path.relative_to(MODELS) for path in SHIPPED if path.suffix == ".safetensors"]
    assert sorted(map(str, weights)) == [
        "base/model.safetensors",
        "repaired/adapter_model.safetensors",
        "reward/model.safetensors",
        "sft/adapter_model.safetensors",
    ]
    assert sum(path.stat().st_size for path in SUITE.rglob("*") if path.is_file()) < 10_000_000, "data and all"
    assert {path.suffix for path in SHIPPED} == {".safetensors", ".json", ".jinja"}


def test_shipped_settings_hold_no_path_of_a_machine() -> None:
    for path in SHIPPED:
        if path.suffix == ".json" and path.name != "tokenizer.json":
            assert "/work" not in path.read_text(encoding="utf-8")
            assert "/home" not in path.read_text(encoding="utf-8")
    for name in build.ADAPTERS:
        settings = json.loads((MODELS / name / "adapter_config.json").read_text(encoding="utf-8"))
        assert settings["base_model_name_or_path"] == "base"


def test_weights_are_bf16_and_finite() -> None:
    from safetensors import safe_open

    for path in SHIPPED:
        if path.suffix == ".safetensors":
            with safe_open(str(path), framework="pt") as file:
                for key in file.keys():  # noqa: SIM118 (safe_open is no mapping)
                    tensor = file.get_tensor(key)
                    assert str(tensor.dtype) == "torch.bfloat16", key
                    assert bool(tensor.isfinite().all()), key
