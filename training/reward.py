"""Rewards of conversations by a reward model on this machine: what vLLM's pooling server answers, without a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import TrainingError

Messages = Sequence[Mapping[str, str]]
_BATCH = 16


class RewardModel:
    """A sequence-classification checkpoint with one label. Conversations are rendered by the checkpoint's own chat template."""

    def __init__(self, model: Any, tokenizer: Any, max_length: int) -> None:
        self._model, self._tokenizer, self.max_length = model, tokenizer, max_length

    @classmethod
    def load(cls, path: str | Path, *, max_length: int | None = None) -> RewardModel:
        """Raises TrainingError for what is no reward model. max_length: tokens, default the model's own limit."""
        import json

        import torch
        from transformers import AutoModelForSequenceClassification

        from training.models import load_tokenizer

        folder = Path(path)
        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            heads = [str(name) for name in config.get("architectures") or []]
            labels = len(config.get("id2label") or {})
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise TrainingError(f"this is no model ({type(error).__name__})", where=str(path), todo="Name its folder") from None
        if not any(name.endswith("ForSequenceClassification") for name in heads) or labels != 1:
            raise TrainingError(
                f"this is no reward model ({', '.join(heads) or 'no architecture'}, {labels} labels)",
                where=str(path),
                todo="Train one with stage rm",
            )
        tokenizer = load_tokenizer(str(folder))
        try:
            model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32, use_safetensors=True)
        except (OSError, ValueError) as error:
            raise TrainingError(f"cannot load the reward model ({str(error).splitlines()[0]})", where=str(path)) from None
        model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
        limit = int(getattr(model.config, "max_position_embeddings", 0) or 2048)
        return cls(model.eval(), tokenizer, max_length or limit)

    def rewards(self, conversations: Sequence[Messages]) -> list[float | None]:
        """A reward for each conversation, higher is better, unbounded; None for one longer than max_length, never a guess."""
        import torch

        texts = [self._tokenizer.apply_chat_template([dict(m) for m in talk], tokenize=False) for talk in conversations]
        tokens = [self._tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
        fitting = [i for i, ids in enumerate(tokens) if 0 < len(ids) <= self.max_length]
        found: list[float | None] = [None] * len(texts)
        for start in range(0, len(fitting), _BATCH):
            which = fitting[start : start + _BATCH]
            batch = self._tokenizer.pad({"input_ids": [tokens[i] for i in which]}, padding_side="right", return_tensors="pt")
            with torch.inference_mode():
                values = self._model(**batch).logits[:, 0].tolist()
            for i, value in zip(which, values, strict=True):
                found[i] = float(value)
        return found
