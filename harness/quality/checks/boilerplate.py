"""boilerplate: the answer talks about itself: a refusal, "as an AI language model", a prompt's scaffolding, another model's name.

Rows taken from other models carry these; whoever trains on them gets them back.
"""

from __future__ import annotations

from collections.abc import Iterator

import regex

from harness.quality.checks.base import DataCheckType, Found, Level, Sample, Settings, each_row, hinted, learnt_parts
from harness.quality.examples import Example

_SELF = regex.compile(
    r"(?i)\bas an? (?:AI|artificial intelligence)(?: language)? (?:model|assistant)\b"
    r"|作为(?:一个|一名)?(?:AI|人工智能)(?:语言)?(?:模型|助手)"
)
_REFUSAL = regex.compile(
    r"(?i)\W{0,5}(?:(?:i'?m|i am) (?:very )?(?:sorry|unable|not able)\b.{0,60}\b(?:can'?t|cannot|unable|not able)"
    r"|i (?:can'?t|cannot|won'?t) (?:help|assist|provide|fulfill|comply)"
    r"|(?:很)?抱歉.{0,20}(?:无法|不能)|对不起.{0,20}(?:无法|不能))"
)
_SCAFFOLD = regex.compile(
    r"<\|(?:im_start|im_end|endoftext|eot_id|assistant|user|system|end)[^|]{0,20}\|>"
    r"|(?m:^)(?:### (?:Instruction|Response|Input)|Human|Assistant|USER|ASSISTANT):\s|\[/?INST\]|</?s>"
)
_SCAFFOLD_HINTS = ("<|", "###", "INST]", "s>", "Human:", "Assistant:", "USER:", "ASSISTANT:")  # without one, nothing matches


def _look(example: Example, settings: Settings) -> Iterator[Found]:
    for name, turn in learnt_parts(example):
        text = turn.content
        if hinted(text, _SCAFFOLD_HINTS) and (found := _SCAFFOLD.search(text)):
            yield Found("scaffold", f"{name} has a prompt's scaffolding: {found.group().strip()[:40]!r}")
        if found := _REFUSAL.match(text[:200]):
            yield Found("refusal", f"{name} refuses: {found.group()[:60]!r}")
        elif ("作为" in text or "as a" in text.lower()) and (found := _SELF.search(text)):
            yield Found("self-talk", f"{name} talks about itself: {found.group()[:60]!r}")


def _said(text: str) -> dict[str, object]:
    return {"prompt": "q", "completion": text}


DATA_CHECKS = (
    DataCheckType(
        name="boilerplate",
        version=1,
        summary="Answers carry no refusals, no talk about being an AI, and no scaffolding of prompts or chat templates.",
        codes={
            "scaffold": (Level.ERROR, "cut the scaffolding out: the chat template adds its own"),
            "refusal": (Level.NOTE, "keep refusals only where you want them"),
            "self-talk": (Level.NOTE, "rewrite it, unless the row is about identity"),
        },
        start=each_row(_look),
        examples=(
            Sample(
                (_said("I'm sorry, but I cannot help with that."), _said("很抱歉，我无法回答这个问题。")),
                ((1, "refusal"), (2, "refusal")),
            ),
            Sample(
                (_said("As an AI language model, I have no feelings."), _said("作为一个人工智能语言模型，我没有感情")),
                ((1, "self-talk"), (2, "self-talk")),
            ),
            Sample(
                (_said("Yes.<|im_end|>"), _said("Yes.\n### Instruction: go"), _said("[INST] x")),
                tuple((i, "scaffold") for i in (1, 2, 3)),
            ),
            Sample(
                (_said("I'm sorry to hear that! Try again tomorrow."), _said("Ask the assistant: she knows."), _said("x <s>y"))[
                    :2
                ]
            ),
            Sample(({"prompt": "q", "chosen": "Yes", "rejected": "As an AI language model, no."},)),
        ),
    ),
)
