"""harness.sizing against PyTorch: parameters on the meta device, and the bytes of real tensors on a small model."""

from __future__ import annotations

from typing import Any

import pytest

from harness.errors import TrainingError
from harness.sizing import NAMED, Job, count, load_shape, lora_parameters, shape_of, training_terms
from harness.sizing.memory import layer_activations
from training.metacount import count_on_meta, meta_model

SMALL = {
    "vocab_size": 512,
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
ODD: list[dict[str, Any]] = [
    {"model_type": "llama", "attention_bias": True, "mlp_bias": True, "head_dim": 48},
    {"model_type": "llama", "tie_word_embeddings": True},
    {"model_type": "mistral", "head_dim": 64},
    {"model_type": "qwen2", "head_dim": 64},
    {"model_type": "qwen3", "attention_bias": True},
    {"model_type": "gemma", "attention_bias": True},
    {"model_type": "gemma2", "tie_word_embeddings": False},
    {"model_type": "gemma3_text"},
    {"model_type": "phi3", "head_dim": 32},
    {"model_type": "phi", "qk_layernorm": True},
    {"model_type": "mixtral", "num_local_experts": 3, "num_experts_per_tok": 1, "head_dim": 32},
    {"model_type": "qwen2_moe", "num_experts": 4, "moe_intermediate_size": 96, "shared_expert_intermediate_size": 160},
    {"model_type": "qwen2_moe", "num_experts": 4, "moe_intermediate_size": 96, "shared_expert_intermediate_size": 1}
    | {"mlp_only_layers": [0], "qkv_bias": False},
    {
        "model_type": "qwen3_moe",
        "num_experts": 6,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 96,
        "decoder_sparse_step": 2,
    },
]


@pytest.mark.parametrize("name", NAMED)
def test_named_shapes_count_the_same(name: str) -> None:
    assert count_on_meta(NAMED[name]) == count(load_shape(name)).total


@pytest.mark.parametrize("change", ODD, ids=lambda change: "-".join(str(v) for v in change.values()))
def test_odd_configurations_count_the_same(change: dict[str, Any]) -> None:
    config = SMALL | change
    assert count(shape_of(config, "odd")).total == count_on_meta(config)


@pytest.mark.filterwarnings("ignore:The following .*_pattern keys:RuntimeWarning")
@pytest.mark.parametrize("change", ODD, ids=lambda change: "-".join(str(v) for v in change.values()))
def test_lora_counts_what_peft_adds(change: dict[str, Any]) -> None:
    from peft import LoraConfig, get_peft_model

    config = SMALL | change
    adapted = get_peft_model(meta_model(config), LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    trainable = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    assert lora_parameters(shape_of(config, "odd"), 4) == trainable


def test_a_shape_transformers_cannot_build() -> None:
    with pytest.raises(TrainingError, match="cannot build"):
        count_on_meta({"model_type": "no-such-model"})


def small_model(family: str, dtype: Any) -> tuple[Any, dict[str, Any]]:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = SMALL | {"head_dim": 32}
    torch.manual_seed(0)
    settings = AutoConfig.for_model(family, **config)
    model = AutoModelForCausalLM.from_config(settings, dtype=dtype, attn_implementation="sdpa")
    return model.train(), config | {"model_type": family, "tie_word_embeddings": settings.tie_word_embeddings}


@pytest.mark.parametrize(("precision", "dtype_name"), [("fp32", "float32"), ("bf16", "bfloat16")])
def test_weights_gradients_and_optimiser_are_the_tensors_bytes(precision: str, dtype_name: str) -> None:
    import torch

    model, config = small_model("llama", getattr(torch, dtype_name))
    optimiser = torch.optim.AdamW(model.parameters())
    ids = torch.randint(3, 500, (2, 32))
    model(ids, labels=ids).loss.backward()
    optimiser.step()
    measured = {
        "weights": sum(p.nbytes for p in model.parameters()),
        "gradients": sum(p.grad.nbytes for p in model.parameters() if p.grad is not None),
        "optimiser": sum(v.nbytes for state in optimiser.state.values() for v in state.values() if v.dim()),
    }
    job = Job(method="full", batch=2, length=32, precision=precision)
    predicted = {term.name: term.bytes for term in training_terms(shape_of(config, "small"), job)}
    assert {name: predicted[name] for name in measured} == measured


@pytest.mark.parametrize("dtype_name", ["float32", "bfloat16"])
@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "phi3"])
def test_activations_are_near_what_autograd_keeps(family: str, dtype_name: str) -> None:
    """All storages saved for the backward pass but weights; beside the layers, the last norm and rotary tables."""
    import torch

    model, config = small_model(family, getattr(torch, dtype_name))
    own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    saved, alive = {}, []

    def keep(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            saved[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)  # else a later tensor may lie at the same address
        return tensor

    ids = torch.randint(3, 500, (2, 64))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(ids)
    shape, element = shape_of(config, "small"), 4.0 if dtype_name == "float32" else 2.0
    predicted = ids.numel() * sum(layer_activations(shape, width, element) for width in shape.mlp_widths)
    assert predicted == pytest.approx(sum(saved.values()), rel=0.12)
