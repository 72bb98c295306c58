"""Shapes of well-known models, so that nothing has to be downloaded to size one: the keys of their config.json that matter.

The numbers of parameters that their makers publish are asserted in tests/test_sizing.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def _config(
    family: str,
    vocab: int,
    hidden: int,
    width: int,
    layers: int,
    heads: tuple[int, int],
    head_dim: int | None = None,
    tied: bool = False,
    **more: Any,
) -> Mapping[str, Any]:
    return {
        "model_type": family,
        "vocab_size": vocab,
        "hidden_size": hidden,
        "intermediate_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads[0],
        "num_key_value_heads": heads[1],
        "head_dim": head_dim or hidden // heads[0],
        "tie_word_embeddings": tied,
        **more,
    }


NAMED: Mapping[str, Mapping[str, Any]] = {
    "llama-2-7b": _config("llama", 32000, 4096, 11008, 32, (32, 32)),
    "llama-2-13b": _config("llama", 32000, 5120, 13824, 40, (40, 40)),
    "llama-3-8b": _config("llama", 128256, 4096, 14336, 32, (32, 8)),
    "llama-3.1-8b": _config("llama", 128256, 4096, 14336, 32, (32, 8)),
    "llama-3.1-70b": _config("llama", 128256, 8192, 28672, 80, (64, 8)),
    "llama-3.2-1b": _config("llama", 128256, 2048, 8192, 16, (32, 8), 64, True),
    "llama-3.2-3b": _config("llama", 128256, 3072, 8192, 28, (24, 8), 128, True),
    "mistral-7b-v0.1": _config("mistral", 32000, 4096, 14336, 32, (32, 8), sliding_window=4096),
    "mistral-7b-v0.3": _config("mistral", 32768, 4096, 14336, 32, (32, 8)),
    "qwen2.5-0.5b": _config("qwen2", 151936, 896, 4864, 24, (14, 2), 64, True),
    "qwen2.5-1.5b": _config("qwen2", 151936, 1536, 8960, 28, (12, 2), 128, True),
    "qwen2.5-3b": _config("qwen2", 151936, 2048, 11008, 36, (16, 2), 128, True),
    "qwen2.5-7b": _config("qwen2", 152064, 3584, 18944, 28, (28, 4)),
    "qwen2.5-14b": _config("qwen2", 152064, 5120, 13824, 48, (40, 8)),
    "qwen2.5-32b": _config("qwen2", 152064, 5120, 27648, 64, (40, 8)),
    "qwen2.5-72b": _config("qwen2", 152064, 8192, 29568, 80, (64, 8)),
    "qwen3-0.6b": _config("qwen3", 151936, 1024, 3072, 28, (16, 8), 128, True),
    "qwen3-1.7b": _config("qwen3", 151936, 2048, 6144, 28, (16, 8), 128, True),
    "qwen3-4b": _config("qwen3", 151936, 2560, 9728, 36, (32, 8), 128, True),
    "qwen3-8b": _config("qwen3", 151936, 4096, 12288, 36, (32, 8), 128),
    "qwen3-14b": _config("qwen3", 151936, 5120, 17408, 40, (40, 8), 128),
    "qwen3-32b": _config("qwen3", 151936, 5120, 25600, 64, (64, 8), 128),
    "gemma-2b": _config("gemma", 256000, 2048, 16384, 18, (8, 1), 256, True),
    "gemma-7b": _config("gemma", 256000, 3072, 24576, 28, (16, 16), 256, True),
    "gemma-2-2b": _config("gemma2", 256000, 2304, 9216, 26, (8, 4), 256, True),
    "gemma-2-9b": _config("gemma2", 256000, 3584, 14336, 42, (16, 8), 256, True),
    "gemma-2-27b": _config("gemma2", 256000, 4608, 36864, 46, (32, 16), 128, True),
    "gemma-3-1b": _config("gemma3_text", 262144, 1152, 6912, 26, (4, 1), 256, True, sliding_window=512),
    "gemma-3-4b": _config("gemma3_text", 262208, 2560, 10240, 34, (8, 4), 256, True, sliding_window=1024),
    "gemma-3-12b": _config("gemma3_text", 262208, 3840, 15360, 48, (16, 8), 256, True, sliding_window=1024),
    "gemma-3-27b": _config("gemma3_text", 262208, 5376, 21504, 62, (32, 16), 128, True, sliding_window=1024),
    "phi-2": _config("phi", 51200, 2560, 10240, 32, (32, 32)),
    "phi-3-mini": _config("phi3", 32064, 3072, 8192, 32, (32, 32), sliding_window=2047),
    "phi-4": _config("phi3", 100352, 5120, 17920, 40, (40, 10)),
    "mixtral-8x7b": _config("mixtral", 32000, 4096, 14336, 32, (32, 8), num_local_experts=8, num_experts_per_tok=2),
    "qwen1.5-moe-a2.7b": _config(
        "qwen2_moe",
        151936,
        2048,
        5632,
        24,
        (16, 16),
        num_experts=60,
        num_experts_per_tok=4,
        moe_intermediate_size=1408,
        shared_expert_intermediate_size=5632,
    ),
    "qwen3-30b-a3b": _config(
        "qwen3_moe", 151936, 2048, 6144, 48, (32, 4), 128, num_experts=128, num_experts_per_tok=8, moe_intermediate_size=768
    ),
}
