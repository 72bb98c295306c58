"""A random-init Qwen2 checkpoint of the pocket model's shape and LoRA adapters: to serve and to identify, not to be clever.

``write_base`` needs torch and transformers (seconds to import); ``write_fake_base`` and ``write_adapter`` only safetensors: they
write files with the right names and shapes.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def write_base(folder: Path, *, seed: int = 0, max_length: int = 512) -> Path:
    """4 layers, hidden 256, byte-level BPE of 256 bytes + specials; safetensors in fp32, about 13 MB."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: i for i, token in enumerate(["<|endoftext|>", "<|im_start|>", "<|im_end|>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    fast.chat_template = CHAT_TEMPLATE
    fast.save_pretrained(folder)
    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=512, hidden_size=256, intermediate_size=768, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=max_length, tie_word_embeddings=True, eos_token_id=2, bos_token_id=None, pad_token_id=0,
    )  # fmt: skip
    Qwen2ForCausalLM(config).save_pretrained(folder)
    return folder


def write_fake_base(folder: Path, *, layers: int = 1, hidden: int = 8, intermediate: int = 16, vocab: int = 16) -> Path:
    """Files of a Qwen2 checkpoint with tiny tensors."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    tensors = {"model.embed_tokens.weight": (vocab, hidden)}
    for layer in range(layers):
        for name, shape in _projections(hidden, intermediate).items():
            tensors[f"model.layers.{layer}.{name}.weight"] = shape
    save_file({k: rng.normal(size=s).astype(np.float32) for k, s in tensors.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(
        json.dumps(
            {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "hidden_size": hidden, "num_hidden_layers": layers}
        )
    )
    (folder / "tokenizer.json").write_text("{}")
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": CHAT_TEMPLATE}))
    return folder


def write_adapter(
    folder: Path,
    *,
    layers: int = 4,
    hidden: int = 256,
    intermediate: int = 768,
    rank: int = 8,
    seed: int = 1,
    scale: float = 0.02,
) -> Path:
    """A PEFT LoRA adapter on all linear layers, written by hand (no torch)."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    tensors = {}
    for layer in range(layers):
        for name, (out, inner) in _projections(hidden, intermediate).items():
            stem = f"base_model.model.model.layers.{layer}.{name}"
            tensors[f"{stem}.lora_A.weight"] = rng.normal(scale=scale, size=(rank, inner)).astype(np.float32)
            tensors[f"{stem}.lora_B.weight"] = rng.normal(scale=scale, size=(out, rank)).astype(np.float32)
    save_file(tensors, folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": 2 * rank, "bias": "none"}
    config |= {"target_modules": list(TARGETS), "base_model_name_or_path": f"/somewhere/{seed}", "lora_dropout": 0.0}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def _projections(hidden: int, intermediate: int) -> dict[str, tuple[int, int]]:
    """Linear layers of one decoder layer: name -> (out, in). Half as many key/value heads as heads."""
    return {
        "self_attn.q_proj": (hidden, hidden),
        "self_attn.k_proj": (hidden // 2, hidden),
        "self_attn.v_proj": (hidden // 2, hidden),
        "self_attn.o_proj": (hidden, hidden),
        "mlp.gate_proj": (intermediate, hidden),
        "mlp.up_proj": (intermediate, hidden),
        "mlp.down_proj": (hidden, intermediate),
    }
