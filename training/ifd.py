"""Instruction-following difficulty: how much the question helps a model to predict the answer.

    IFD = exp(mean negative log-likelihood of the answer after the question) / exp(the same without the question)

(Li et al. 2023, arXiv 2308.12032; there rows with a high IFD below 1 are the ones worth training on, and above 1 question and
answer do not belong together.) Both means are over the same tokens here, the answer's but the first, which has no context without
the question; the authors' code counts that token in the numerator only. Any small local model of the language will do.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.errors import TrainingError
from harness.quality.checks.base import Found, Level
from harness.quality.counting import Lengths
from harness.quality.examples import Example
from training.dryrun import common_prefix

MIN_TOKENS = 4  # a shorter answer has no perplexity worth the name
CODES: Mapping[str, tuple[Level, str]] = {
    "ifd-misaligned": (Level.WARNING, "read the row: its question makes the answer less likely"),
}


@dataclass
class DifficultyPass:
    """IFD of every row as one pass over a file. percents: 100 x IFD, rounded. untold: rows whose answer is too short."""

    model: Any
    tokenizer: Any
    limit: int = 1024
    percents: Lengths = field(default_factory=Lengths)
    untold: int = 0

    def see(self, example: Example) -> Iterator[Found]:
        value = self.ifd(example)
        if value is None:
            self.untold += 1
            return
        self.percents.add(min(round(100 * value), 100_000))
        if value > 1.0:
            yield Found("ifd-misaligned", f"IFD {value:.2f}: the question makes the answer harder to predict")

    def end(self) -> Iterator[Found]:
        return iter(())

    def ifd(self, example: Example) -> float | None:
        """The row's IFD, None where the answer is too short, or no room is left for it after the question."""
        asked, answer = self._tokens(example)
        answer = answer[: self.limit - len(asked)] if len(asked) < self.limit else []
        if not asked or len(answer) < MIN_TOKENS:
            return None
        after, alone = self._nll(asked + answer, len(answer) - 1), self._nll(answer, len(answer) - 1)
        return math.exp(min(after - alone, 50.0))

    def _tokens(self, example: Example) -> tuple[list[int], list[int]]:
        """(ids of what is asked, ids of the answer), as the chat template lays them out."""
        if example.standard or not self.tokenizer.chat_template:
            return self._plain(example.input_text), self._plain(example.output_text)
        from harness.quality.formats.chat_messages import write_turns

        if not example.asked or not example.answer:
            return [], []
        before = self._chat(write_turns(example.asked), add_generation_prompt=True)
        whole = self._chat(write_turns(example.asked + example.answer))
        at = common_prefix(before, whole)
        return whole[:at], whole[at:]

    def _plain(self, text: str) -> list[int]:
        return list(self.tokenizer(text=text, add_special_tokens=False)["input_ids"]) if text else []

    def _chat(self, messages: list[dict[str, Any]], **more: Any) -> list[int]:
        return list(self.tokenizer.apply_chat_template(messages, tokenize=True, return_dict=True, **more)["input_ids"])

    def _nll(self, ids: list[int], last: int) -> float:
        """Mean negative log-likelihood (nats) of the last so many tokens, each given all before it."""
        import torch

        with torch.inference_mode():
            logits = self.model(input_ids=torch.tensor([ids])).logits[0, -last - 1 : -1].float()
        return float(torch.nn.functional.cross_entropy(logits, torch.tensor(ids[-last:])))

    def as_dict(self) -> dict[str, Any]:
        return {"rows": self.percents.n, "untold": self.untold, "percent": self.percents.summary()}


def load_pass(model: str) -> DifficultyPass:
    """The pass with a local causal model. TrainingError without the train extra or the model."""
    import importlib.util

    if importlib.util.find_spec("transformers") is None:
        raise TrainingError("IFD needs torch and transformers", todo="pip install 'seesaw-harness[train]'")
    from transformers import AutoTokenizer
    from transformers.utils import logging

    from training.models import load_base

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    loaded = load_base(model)
    limit = getattr(loaded.config, "max_position_embeddings", None) or 1024
    return DifficultyPass(loaded.eval(), AutoTokenizer.from_pretrained(model), min(limit, 1024))
