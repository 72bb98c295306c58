"""An adapter that does not fit is refused before a server starts, with the reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file
from support.tiny_model import write_adapter, write_fake_base

from harness.errors import UsageError
from harness.serving.adapters import check_adapter
from harness.serving.tensors import shapes


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write_fake_base(tmp_path / "base", layers=2)


def adapter(tmp_path: Path, config: dict[str, Any] | None = None, **shape: int) -> Path:
    folder = write_adapter(tmp_path / "adapter", **{"layers": 2, "hidden": 8, "intermediate": 16, "rank": 4, **shape})
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **(config or {})}))
    return folder


def test_a_fitting_adapter_tells_its_facts(base: Path, tmp_path: Path) -> None:
    facts = check_adapter(adapter(tmp_path), base)
    assert (facts.rank, facts.trained_on) == (4, "/somewhere/1")
    assert facts.modules == ("down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj")
    assert check_adapter(adapter(tmp_path), None).rank == 4


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        ({"hidden": 16}, r"does not fit its base .*down_proj is 8 x 16, the adapter wants 16 x 16.*trained on '/somewhere/1'"),
        ({"intermediate": 32}, r"down_proj is 8 x 16, the adapter wants 8 x 32"),
        ({"layers": 3}, r"the base has no module model.layers.2"),
    ],
)
def test_another_bases_adapter(base: Path, tmp_path: Path, shape: dict[str, int], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        check_adapter(adapter(tmp_path, **shape), base)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"r": 8}, "says r = 8, the weights of .* have rank 4"),
        ({"r": "8"}, "r is '8'"),
        ({"r": None}, "r is None"),
        ({"target_modules": ["q_proj", "w_pack"]}, "target modules without weights: w_pack"),
        ({"peft_type": "IA3"}, "IA3 adapter"),
        ({"use_dora": True}, "DoRA"),
        ({"bias": "all"}, "biases"),
        ({"modules_to_save": ["lm_head"]}, "lm_head.*merge it"),
    ],
)
def test_configs_that_do_not_fit_their_weights_or_vllm(base: Path, tmp_path: Path, config: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        check_adapter(adapter(tmp_path, config), base)


@pytest.mark.parametrize("targets", ["all-linear", ".*proj", None])
def test_patterns_of_target_modules_name_none_in_particular(base: Path, tmp_path: Path, targets: Any) -> None:
    assert check_adapter(adapter(tmp_path, {"target_modules": targets}), base).rank == 4


def test_wrapped_tied_and_quantized_bases_are_understood(tmp_path: Path) -> None:
    folder = tmp_path / "base"
    folder.mkdir()
    tensors = {
        "model.language_model.layers.0.self_attn.q_proj.weight": (8, 6),
        "model.language_model.embed_tokens.weight": (16, 6),
        "model.language_model.layers.0.mlp.up_proj.qweight": (2, 3),
    }
    save_file({name: np.zeros(shape, np.float32) for name, shape in tensors.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text("{}")
    tuned = tmp_path / "tuned"
    tuned.mkdir()
    pairs = {"model.layers.0.self_attn.q_proj": (8, 6), "lm_head": (16, 6), "model.layers.0.mlp.up_proj": (9, 6)}
    weights = {}
    for module, (out, inner) in pairs.items():
        weights[f"base_model.model.{module}.lora_A.weight"] = np.zeros((2, inner), np.float32)
        weights[f"base_model.model.{module}.lora_B.weight"] = np.zeros((out, 2), np.float32)
    save_file(weights, tuned / "adapter_model.safetensors")
    (tuned / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2}))
    assert check_adapter(tuned, folder).modules == ("lm_head", "q_proj", "up_proj")


def test_half_an_adapter_and_none_at_all(base: Path, tmp_path: Path) -> None:
    folder = adapter(tmp_path)
    save_file({"base_model.model.x.lora_A.weight": np.zeros((4, 8), np.float32)}, folder / "adapter_model.safetensors")
    with pytest.raises(UsageError, match="half an adapter: x has lora_A only"):
        check_adapter(folder, base)
    save_file({"x": np.zeros((4, 8), np.float32)}, folder / "adapter_model.safetensors")
    with pytest.raises(UsageError, match="no LoRA weights"):
        check_adapter(folder, base)


def test_missing_files(base: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such directory"):
        check_adapter(tmp_path / "nothing", base)
    with pytest.raises(UsageError, match=r"no adapter_model.safetensors"):
        check_adapter(base, base)
    folder = adapter(tmp_path)
    for content in ("{", "[]"):
        (folder / "adapter_config.json").write_text(content)
        with pytest.raises(UsageError, match="adapter_config"):
            check_adapter(folder, base)


def test_cut_weights_are_named(base: Path, tmp_path: Path) -> None:
    path = adapter(tmp_path) / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UsageError, match=r"adapter_model.safetensors: not a whole safetensors file \(it was cut"):
        check_adapter(path.parent, base)


def test_shapes_are_read_as_written(base: Path) -> None:
    found = shapes(base / "model.safetensors")
    assert found["model.layers.1.self_attn.k_proj.weight"] == (4, 8)
    assert len(found) == 15


@given(st.binary(max_size=80) | st.binary(max_size=40).map(lambda raw: len(raw).to_bytes(8, "little") + raw))
def test_any_bytes_are_shapes_or_a_usage_error(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    path = tmp_path_factory.mktemp("raw") / "x.safetensors"
    path.write_bytes(raw)
    try:
        assert isinstance(shapes(path), dict)
    except UsageError as error:
        assert str(path) in error.line()  # noqa: PT017


@pytest.mark.parametrize(
    "header",
    [
        '{"a": 1}',
        '{"a": {"shape": [1]}}',
        '{"a": {"shape": "x", "data_offsets": [0, 0]}}',
        "[]",
        '{"a": {"data_offsets": [0, 1]}}',
    ],
)
def test_hostile_headers(tmp_path: Path, header: str) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header.encode() + b"\0" * 8)
    with pytest.raises(UsageError, match="not a whole safetensors"):
        shapes(path)
