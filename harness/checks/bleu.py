"""bleu: sacrebleu's sentence BLEU against one or several references, from 0 to 1.

Sentence BLEU with effective order (n-grams longer than the answer are left out) and sacrebleu's default smoothing; a corpus
BLEU is another number and no mean of these.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import regex

from harness.checks.base import CheckType, Example, Options, Outcome, Seen
from harness.checks.texts import alternatives, some_text

_HAN = regex.compile(r"\p{Han}")
_KANA_OR_UNSPACED = regex.compile(r"[\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]")


class BleuOptions(Options):
    """tokenize: sacrebleu's tokenizer. auto takes by the reference: char for kana and other scripts without spaces, zh for
    Chinese, 13a (sacrebleu's default) otherwise."""

    tokenize: Literal["auto", "13a", "zh", "char", "intl", "none"] = "auto"
    lowercase: bool = False


@dataclass(frozen=True, slots=True)
class _Bleu:
    """The metric objects by tokenizer, made when the check is compiled."""

    tokenize: str
    metrics: dict[str, Any] = field(default_factory=dict)


def _setup(options: BleuOptions, value: Any, root: Path) -> _Bleu:
    from sacrebleu.metrics.bleu import BLEU  # heavy: only for suites that use it

    names = ("13a", "zh", "char") if options.tokenize == "auto" else (options.tokenize,)
    metrics = {name: BLEU(tokenize=name, effective_order=True, lowercase=options.lowercase) for name in names}
    return _Bleu(options.tokenize, metrics)


def _tokenizer(references: tuple[str, ...]) -> str:
    text = " ".join(references)
    if _KANA_OR_UNSPACED.search(text):
        return "char"
    return "zh" if _HAN.search(text) else "13a"


def _judge(seen: Seen, expected: tuple[str, ...], tool: _Bleu) -> Outcome:
    name = _tokenizer(expected) if tool.tokenize == "auto" else tool.tokenize
    score = tool.metrics[name].sentence_score(seen.text, list(expected)).score
    return Outcome(min(1.0, max(0.0, score / 100)), f"BLEU {score:.1f} (tokenizer {name})")


CHECKS = (
    CheckType(
        name="bleu",
        version=1,
        summary="sacrebleu's sentence BLEU / 100 against the reference or references; passes from 0.5.",
        judge=_judge,
        options=BleuOptions,
        threshold=0.5,
        setup=_setup,
        prepare=alternatives(some_text),
        identity=lambda tool: version("sacrebleu"),
        examples=(
            Example("The cat sat on the mat.", 1.0, value="The cat sat on the mat."),
            Example("the cat sat on the mat.", 1.0, value="The cat sat on the mat.", options={"lowercase": True}),
            Example("今天天气很好。", 1.0, value="今天天气很好。"),
            Example("こんにちは世界", 1.0, value=["x", "こんにちは世界"]),
            Example("", 0.0, value="The cat"),
        ),
    ),
)
