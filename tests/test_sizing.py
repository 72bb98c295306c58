"""Sizes: what their makers publish, arithmetic done by hand, and measured figures of others, held against ours."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.sizing import (
    GIB,
    GPUS,
    METHODS,
    NAMED,
    Gpu,
    Job,
    approximate,
    checkpoint_bytes,
    count,
    kv_bytes,
    kv_bytes_per_token,
    load_shape,
    lora_parameters,
    needed,
    parse_gpu,
    shape_of,
    simple_rule,
    total,
    training_terms,
    weight_bytes,
)
from harness.sizing.memory import PRECISIONS, nf4_bytes

LLAMA = load_shape("llama-3-8b")

# What the models' makers say (the safetensors index of each).
PUBLISHED = {
    "llama-3-8b": 8_030_261_248,
    "llama-2-7b": 6_738_415_616,
    "llama-2-13b": 13_015_864_320,
    "llama-3.1-70b": 70_553_706_496,
    "llama-3.2-1b": 1_235_814_400,
    "llama-3.2-3b": 3_212_749_824,
    "mistral-7b-v0.1": 7_241_732_096,
    "mistral-7b-v0.3": 7_248_023_552,
    "qwen2.5-0.5b": 494_032_768,
    "qwen2.5-1.5b": 1_543_714_304,
    "qwen2.5-3b": 3_085_938_688,
    "qwen2.5-7b": 7_615_616_512,
    "qwen2.5-14b": 14_770_033_664,
    "qwen2.5-32b": 32_763_876_352,
    "qwen2.5-72b": 72_706_203_648,
    "qwen3-0.6b": 596_049_920,
    "qwen3-4b": 4_022_468_096,
    "qwen3-8b": 8_190_735_360,
    "qwen3-14b": 14_768_307_200,
    "qwen3-32b": 32_762_123_264,
    "gemma-2b": 2_506_172_416,
    "gemma-7b": 8_537_680_896,
    "gemma-2-2b": 2_614_341_888,
    "gemma-2-9b": 9_241_705_984,
    "gemma-2-27b": 27_227_128_320,
    "gemma-3-1b": 999_885_952,
    "phi-2": 2_779_683_840,
    "phi-3-mini": 3_821_079_552,
    "phi-4": 14_659_507_200,
    "mixtral-8x7b": 46_702_792_704,
    "qwen1.5-moe-a2.7b": 14_315_784_192,
    "qwen3-30b-a3b": 30_532_122_624,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_what_is_published(name: str) -> None:
    sizes = count(load_shape(name))
    assert sizes.total == PUBLISHED[name]
    assert sum(size for _, size in sizes.parts) == sizes.total


def test_experts_a_token_passes_through() -> None:
    assert count(load_shape("mixtral-8x7b")).active == 12_879_925_248  # "12.9 B active"
    assert round(count(load_shape("qwen3-30b-a3b")).active / 1e9, 1) == 3.4
    assert round(count(load_shape("qwen1.5-moe-a2.7b")).active / 1e9, 1) == 2.7
    assert count(LLAMA).active == count(LLAMA).total


def test_llama_by_hand() -> None:
    v, d, layers, f, q, kv = 128_256, 4096, 32, 14_336, 32 * 128, 8 * 128
    layer = d * q + 2 * d * kv + q * d + 3 * d * f + 2 * d
    assert count(LLAMA).total == 2 * v * d + layers * layer + d
    assert approximate(LLAMA) == 12 * 32 * 4096**2 + 128_256 * 4096


def test_lora_on_llama() -> None:
    assert lora_parameters(LLAMA, 8) == 20_971_520
    assert lora_parameters(LLAMA, 64) == 8 * 20_971_520
    seven = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    assert lora_parameters(LLAMA, 8, seven) == 20_971_520
    assert lora_parameters(LLAMA, 1, ("q_proj",)) == 32 * (4096 + 4096)
    with pytest.raises(UsageError, match="no linear layer 'q_prj'"):
        lora_parameters(LLAMA, 8, ("q_prj",))
    # the adapter's file: about 84 MB in fp32, 42 MB in bf16
    assert round(lora_parameters(LLAMA, 8) * 4 / 1e6) == 84


def test_weights_and_cache_of_llama() -> None:
    assert round(weight_bytes(LLAMA, "bf16") / GIB, 2) == 14.96
    assert kv_bytes_per_token(LLAMA) == 131_072
    assert kv_bytes(LLAMA, 8192) == GIB
    assert kv_bytes(LLAMA, 8192, 16) == 16 * GIB
    assert kv_bytes_per_token(LLAMA, 1.0) == 65_536
    assert nf4_bytes(1_000_000) == pytest.approx(515_869, abs=1)
    assert nf4_bytes(1_000_000, double=False) == 562_500
    linears = count(LLAMA).total - 2 * 128_256 * 4096 - 266_240
    assert weight_bytes(LLAMA, "nf4") == pytest.approx(linears * 0.51587 + 2 * (count(LLAMA).total - linears), rel=1e-5)
    with pytest.raises(UsageError, match="no dtype"):
        weight_bytes(LLAMA, "int3")


def test_a_window_bounds_the_cache() -> None:
    mistral, gemma = load_shape("mistral-7b-v0.1"), load_shape("gemma-3-1b")
    assert kv_bytes(mistral, 4096) == kv_bytes(mistral, 32_768)
    assert (gemma.window, gemma.windowed, gemma.layers) == (512, 22, 26)
    layer = kv_bytes_per_token(gemma) / 26
    assert kv_bytes(gemma, 8192) == layer * (4 * 8192 + 22 * 512)


def test_the_rule_of_thumb() -> None:
    assert simple_rule(7_000_000_000, 16) == pytest.approx(16.8e9)
    assert simple_rule(7_000_000_000, 4) == pytest.approx(4.2e9)


def terms_of(**job: Any) -> dict[str, float]:
    return {term.name: term.bytes for term in training_terms(LLAMA, Job(**job))}


def test_full_training_by_precision() -> None:
    p = count(LLAMA).total
    mixed = terms_of(method="full", precision="mixed")
    assert mixed["weights"] + mixed["fp32 masters"] + mixed["gradients"] + mixed["optimiser"] == 16 * p  # ZeRO's 2 + 2 + 12
    amp = terms_of(method="full", precision="amp")
    assert sum(amp[name] for name in ("weights", "fp32 masters", "gradients", "optimiser")) == 18 * p
    bf16 = terms_of(method="full", precision="bf16")
    assert sum(bf16[name] for name in ("weights", "gradients", "optimiser")) == 8 * p
    assert terms_of(method="full", optimiser="adamw_8bit")["optimiser"] == 2 * p


def test_logits_are_counted() -> None:
    """Batch 8 of 2,048 tokens on a vocabulary of 152,000: about 20 GB, which calculators leave out."""
    wide = shape_of({**NAMED["qwen2.5-7b"], "vocab_size": 152_000}, "wide")
    job = Job(method="lora", batch=8, length=2048)
    logits = next(term for term in training_terms(wide, job) if term.name == "logits")
    assert logits.bytes == 8 * 2048 * 152_000 * 8
    assert round(logits.bytes / 1e9) == 20
    chunked = next(term for term in training_terms(wide, replace(job, logits="chunked")) if term.name == "logits")
    assert chunked.bytes == logits.bytes / 8


def test_dpo_holds_two_answers_and_no_second_model_with_lora() -> None:
    sft, dpo = terms_of(method="lora"), terms_of(method="dpo")
    assert dpo["logits"] == 2 * sft["logits"]
    assert dpo["activations"] == 2 * sft["activations"]
    assert dpo["weights"] == sft["weights"]
    assert 0 < dpo["reference"] < dpo["logits"]
    assert "reference copy" not in dpo
    assert terms_of(method="dpo-full", precision="mixed")["reference copy"] == 2 * count(LLAMA).total


@pytest.mark.parametrize(("method", "measured"), [("lora", 16.2), ("qlora", 7.4)])
def test_close_to_what_others_measured(method: Any, measured: float) -> None:
    """torchtune's README, Llama-3.1-8B on one GPU, batch 2 of 2,048 packed tokens, bf16, checkpointing, chunked loss."""
    job = Job(method=method, batch=2, length=2048, rank=8, precision="bf16", logits="chunked")
    assert total(training_terms(LLAMA, job)) / GIB == pytest.approx(measured, rel=0.1)


def test_close_to_a_measured_full_training() -> None:
    """The same, full: 18.9 GiB with 8-bit moments paged out and every gradient gone as soon as its weight is updated."""
    terms = terms_of(method="full", batch=2, length=2048, precision="bf16", logits="chunked")
    largest_gradient = 2 * 128_256 * 4096
    held = terms["weights"] + terms["activations"] + terms["logits"] + largest_gradient
    assert held / GIB == pytest.approx(18.9, rel=0.1)


def test_checkpoints() -> None:
    p, adapter = count(LLAMA).total, 20_971_520
    assert checkpoint_bytes(LLAMA, Job(method="full", precision="mixed")) == (14 * p, 2 * p)
    assert checkpoint_bytes(LLAMA, Job(method="full", precision="amp")) == (12 * p, 2 * p)
    assert checkpoint_bytes(LLAMA, Job(method="lora")) == (12 * adapter, 2 * adapter)


@given(
    method=st.sampled_from(METHODS),
    precision=st.sampled_from(PRECISIONS),
    batch=st.integers(1, 64),
    length=st.integers(1, 32_768),
    rank=st.integers(1, 256),
)
def test_more_never_takes_less(method: Any, precision: str, batch: int, length: int, rank: int) -> None:
    job = Job(method=method, batch=batch, length=length, rank=rank, precision=precision)
    size = total(training_terms(LLAMA, job))
    for more in (replace(job, batch=batch + 1), replace(job, length=length + 1), replace(job, rank=rank + 1)):
        assert total(training_terms(LLAMA, more)) >= size
    assert total(training_terms(LLAMA, replace(job, checkpointing=False))) >= size
    assert total(training_terms(LLAMA, job), 8) <= size


def test_gpus() -> None:
    mine = Gpu("mine", 10.0)
    assert needed(mine, 0.1, lambda n: 9 * GIB / n) == 1
    assert needed(mine, 0.1, lambda n: 9.1 * GIB / n) == 2
    assert needed(mine, 0.0, lambda n: 80 * GIB / n) == 8
    assert needed(mine, 0.1, lambda n: 9.1 * GIB) is None
    assert parse_gpu("h100-80") in GPUS
    assert parse_gpu("x=48.5") == Gpu("x", 48.5)
    for wrong in ("nothing", "x=", "x=-1", "x=nan", "x=1e9"):
        with pytest.raises(UsageError):
            parse_gpu(wrong)
    with pytest.raises(UsageError, match="headroom"):
        needed(mine, 1.0, lambda n: 0.0)


def test_a_directory_a_file_and_a_name(tmp_path: Path) -> None:
    config = dict(NAMED["qwen2.5-0.5b"]) | {"architectures": ["Qwen2ForCausalLM"], "torch_dtype": "bfloat16"}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    for model in (str(tmp_path), str(tmp_path / "config.json"), "Qwen/Qwen2.5-0.5B-Instruct"):
        assert count(load_shape(model)).total == 494_032_768


def test_a_multimodal_configuration_is_its_text_part() -> None:
    """Such files leave out what is the family's default."""
    text = {"model_type": "gemma3_text", "hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34}
    shape = shape_of({"model_type": "gemma3", "text_config": text | {"sliding_window": 1024}, "vision_config": {}}, "gemma")
    assert count(shape).total == count(load_shape("gemma-3-4b")).total
    assert "text part" in shape.notes[0]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"model_type": "mamba"}, "the family 'mamba' is not known"),
        ({"model_type": None}, "not known"),
        ({"hidden_size": "4096"}, "hidden_size must be a whole number"),
        ({"hidden_size": True}, "hidden_size must be a whole number"),
        ({"hidden_size": 10**60}, "hidden_size must be a whole number"),
        ({"num_hidden_layers": -3}, "num_hidden_layers"),
        ({"num_hidden_layers": 10**9}, "no real number of layers"),
        ({"vocab_size": None}, "vocab_size is missing"),
        ({"intermediate_size": 1.5}, "intermediate_size"),
    ],
)
def test_nonsense_is_refused(change: dict[str, Any], expected: str) -> None:
    with pytest.raises(UsageError, match=expected):
        shape_of({**NAMED["llama-3-8b"], **change}, "x")


def test_more_experts_used_than_there_are() -> None:
    with pytest.raises(UsageError, match="num_experts_per_tok"):
        shape_of({**NAMED["mixtral-8x7b"], "num_experts_per_tok": 9}, "x")


@pytest.mark.parametrize("text", ["", "[]", "{", "null", "[" * 100_000])
def test_files_that_are_no_configuration(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=r"config\.json"):
        load_shape(str(path))


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"llama-3\.1-8b"):
        load_shape("llama-3.1-8bb")


@pytest.mark.parametrize(
    "job", [Job(method="magic"), Job(precision="fp4"), Job(optimiser="lion"), Job(logits="no"), Job(batch=0)]
)  # type: ignore[arg-type]
def test_a_job_that_is_none(job: Job) -> None:
    with pytest.raises(UsageError):
        training_terms(LLAMA, job)
