"""What the trainer would do with each row, without training: drop it, cut it, leave parts of it unlearnt, or refuse it.

The steps are trl 1.16's own (_prepare_dataset of SFTTrainer, DPOTrainer and RewardTrainer, and their collators): tokenise prompt
and whole, let the completion begin where the two part, mask what is not learnt with -100, cut at max_length, drop what has
nothing left to learn; a reward model drops whatever is too long. ``tests/training/test_dryrun.py`` compares every id and label
with what the real trainers prepare. Only a tokenizer is loaded, and rows stream, so a million of them can be asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness import plugs
from harness.errors import Fault, TrainingError
from harness.quality.checks.base import Found, Level
from harness.quality.counting import Lengths
from harness.quality.examples import Example
from harness.quality.formats import Unfit
from training.data import check_row
from training.recipe import Recipe

MASKED = -100
CODES: Mapping[str, tuple[Level, str]] = {
    "trainer-refuses": (Level.ERROR, "harness train stops at such a row: mend it, or leave it out"),
    "trainer-drops": (Level.ERROR, "raise cutoff_len, or shorten the prompt: the trainer leaves the row out without a word"),
    "trainer-cuts": (Level.WARNING, "raise cutoff_len, or shorten the row: the end of the answer is never learnt"),
    "trainer-evens": (Level.ERROR, "raise cutoff_len: what tells chosen from rejected is cut off"),
    "trainer-reads-on": (Level.NOTE, "the chat template renders the prompt differently without the answer"),
}


@dataclass(frozen=True, slots=True)
class Tokens:
    """One sequence as the trainer sees it before the cut. labels: the ids, MASKED where nothing is learnt."""

    ids: Sequence[int]
    labels: Sequence[int]

    def cut(self, limit: int | None, *, keep_end: bool = False) -> Tokens:
        if limit is None:
            return self
        part = slice(-limit, None) if keep_end else slice(None, limit)
        return Tokens(self.ids[part], self.labels[part])

    @property
    def learnt(self) -> int:
        return sum(label != MASKED for label in self.labels)


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a row. whole: its sequences (DPO: chosen, rejected) before the cut; kept: after it, empty when the row is
    dropped. strayed: tokens of the prompt that are not where the answer continues (see trl's common_prefix_length)."""

    whole: tuple[Tokens, ...]
    kept: tuple[Tokens, ...]
    strayed: int = 0

    @property
    def tokens(self) -> int:
        """Length before the cut, of the longer side."""
        return max((len(side.ids) for side in self.whole), default=0)

    @property
    def learnt(self) -> int:
        return sum(side.learnt for side in self.kept)

    @property
    def lost(self) -> int:
        """Tokens that would be learnt if nothing were cut."""
        return sum(side.learnt for side in self.whole) - self.learnt


class DryRun:
    """The data side of a trainer. settings: keyword arguments of trl's SFTConfig or DPOConfig, as the recipe gives them."""

    def __init__(self, stage: str, settings: Mapping[str, Any], tokenizer: Any) -> None:
        if stage not in ("sft", "dpo", "rm"):
            raise TrainingError(f"the dry run knows the stages sft, dpo and rm, not {stage}")
        self.stage, self.tokenizer = stage, tokenizer
        self.limit: int | None = settings["max_length"]
        self.keep_end = settings.get("truncation_mode") == "keep_end"
        self.packing = bool(settings.get("packing"))
        self.assistant_only = bool(settings.get("assistant_only_loss"))
        self.completion_only = settings.get("completion_only_loss")
        self.template = _training_template(tokenizer) if self.assistant_only else None

    def fate(self, row: Mapping[str, Any]) -> Fate:
        """What becomes of a row of one of trl's shapes. TrainingError where the trainer would stop."""
        if self.stage == "dpo":
            return self._pair(row)
        if self.stage == "rm":
            return self._ranked(row)
        whole, strayed = self._supervised(row)
        kept = whole.cut(self.limit, keep_end=self.keep_end)
        dropped = not self.packing and self.limit is not None and not kept.learnt
        return Fate((whole,), () if dropped else (kept,), strayed)

    # -- supervised: SFTTrainer.tokenize_fn and build_labels -------------------------------------------------------------------

    def _supervised(self, row: Mapping[str, Any]) -> tuple[Tokens, int]:
        tools = row.get("tools")
        if "prompt" not in row:
            text = row["messages"] if "messages" in row else self._ended(row["text"])
            ids, assistant = self._encode(text, tools)
            return Tokens(ids, _labels(ids, assistant)), 0
        prompt, completion = row["prompt"], row["completion"]
        if isinstance(completion, str):
            completion = self._ended(completion)
        start, _ = self._encode(prompt, tools, asking=True)
        ids, assistant = self._encode(prompt + completion, tools)
        at = common_prefix(start, ids)
        completed = [0] * at + [1] * (len(ids) - at)
        only = True if self.completion_only is None else self.completion_only
        return Tokens(ids, _labels(ids, assistant, completed if only else None)), len(start) - at

    # -- preference: DPOTrainer.tokenize_fn and DataCollatorForPreference ----------------------------------------------------

    def _pair(self, row: Mapping[str, Any]) -> Fate:
        prompt, tools = row["prompt"], row.get("tools")
        sides = [self._ended(side) if isinstance(side, str) else side for side in (row["chosen"], row["rejected"])]
        start, _ = self._encode(prompt, tools, asking=True)
        both = [self._encode(prompt + side, tools)[0] for side in sides]
        at = min(common_prefix(start, ids) for ids in both)
        whole = tuple(Tokens([*start[:at], *ids[at:]], [MASKED] * at + list(ids[at:])) for ids in both)
        dropped = self.limit is not None and not self.keep_end and at >= self.limit
        kept = () if dropped else tuple(side.cut(self.limit, keep_end=self.keep_end) for side in whole)
        return Fate(whole, kept, len(start) - at)

    # -- reward: RewardTrainer.tokenize_fn; the score is read at the last token, so that is what is learnt ---------------------

    def _ranked(self, row: Mapping[str, Any]) -> Fate:
        prompt, tools = row.get("prompt") or "", row.get("tools")
        sides = [self._ended(side) if isinstance(side, str) else side for side in (row["chosen"], row["rejected"])]
        both = [self._encode(prompt + side if prompt else side, tools)[0] for side in sides]
        whole = tuple(Tokens(ids, [*[MASKED] * (len(ids) - 1), *ids[-1:]]) for ids in both)
        dropped = self.limit is not None and max(map(len, both)) > self.limit
        return Fate(whole, () if dropped else whole)

    def _ended(self, text: str) -> str:
        """Plain text with the end-of-sequence token that trl adds."""
        end = self.tokenizer.eos_token
        return text if text.endswith(end) else text + end

    def _encode(self, value: Any, tools: Any, *, asking: bool = False) -> tuple[list[int], list[int] | None]:
        """(ids, assistant mask or None) of messages through the chat template, or of plain text."""
        if isinstance(value, str):
            return list(self.tokenizer(text=value)["input_ids"]), None
        more: dict[str, Any] = {"add_generation_prompt": True} if asking else {}
        if self.assistant_only and not asking:
            more["return_assistant_tokens_mask"] = True
        try:
            found = self.tokenizer.apply_chat_template(
                value, tokenize=True, return_dict=True, chat_template=self.template, tools=tools, **more
            )
        except Exception as error:  # jinja2's and the template's own, which trl lets through
            raise TrainingError(
                f"the chat template refuses the row: {str(error).splitlines()[0] if str(error) else error!r}"
            ) from error
        mask = found.get("assistant_masks") if self.assistant_only and not asking else None
        if mask is not None and 1 not in mask:
            raise TrainingError("the row has no token of the assistant, where trl stops (assistant_only_loss)")
        return list(found["input_ids"]), mask


def common_prefix(ids: Sequence[int], others: Sequence[int]) -> int:
    """How many tokens two sequences share from the start."""
    size = 0
    for left, right in zip(ids, others, strict=False):
        if left != right:
            break
        size += 1
    return size


def _labels(ids: Sequence[int], *masks: Sequence[int] | None) -> list[int]:
    labels = list(ids)
    for mask in masks:
        if mask is not None:
            labels = [label if bit else MASKED for label, bit in zip(labels, mask, strict=False)]
    return labels


def _training_template(tokenizer: Any) -> str | None:
    """The template that trl trains with: None for the tokenizer's own, if it marks the assistant's words, else trl's for it."""
    if re.search(r"\{%-?\s*generation\s*-?%\}", tokenizer.chat_template or ""):
        return None
    from trl.chat_template_utils import get_training_chat_template

    try:
        template: str | None = get_training_chat_template(tokenizer)
    except ValueError as error:
        raise TrainingError(
            "the chat template does not mark the assistant's words ({% generation %}), so messages cannot be trained on",
            todo="Add the marks to the template, or use rows of prompt + completion",
        ) from error
    return template


# -- as a data check -------------------------------------------------------------------------------------------------------------


@dataclass
class TrainerPass:
    """The dry run of a recipe as one pass over a file; see harness.quality.checks.base.Pass. shares: learnt tokens in percent of
    a row's kept tokens."""

    recipe: Recipe
    tokenizer: Any
    runs: dict[str, DryRun] = field(default_factory=dict)
    shape: tuple[str, ...] | None = None
    tokens: Lengths = field(default_factory=Lengths)
    learnt: Lengths = field(default_factory=Lengths)
    shares: Lengths = field(default_factory=Lengths)
    fates: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("whole", "cut", "dropped", "refused"), 0))
    total: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("kept", "learnt", "masked", "cut", "lost"), 0))

    def see(self, example: Example) -> Iterator[Found]:
        try:
            row = self._row(example)
            fate = self._run(row).fate(row)
        except (TrainingError, Unfit) as error:
            self.fates["refused"] += 1
            yield Found("trainer-refuses", error.what)
            return
        self._count(fate)
        yield from self._told(fate)

    def end(self) -> Iterator[Found]:
        return iter(())

    def _row(self, example: Example) -> dict[str, Any]:
        """The row as harness train reads it, once converted to trl's shapes."""
        faults: list[Fault] = []
        row = check_row("", plugs.find("data format", "trl").write(example, []), self.recipe.stage, faults)
        if row is None:
            raise TrainingError(faults[0].what)
        shape = tuple(row)
        self.shape = self.shape or shape
        if shape != self.shape:
            raise TrainingError(f"has {' + '.join(shape)}, rows before it {' + '.join(self.shape)}: one shape in all rows")
        return dict(row)

    def _run(self, row: Mapping[str, Any]) -> DryRun:
        key = "completion" if "completion" in row else self.recipe.stage
        if key not in self.runs:
            self.runs[key] = dry_run(self.recipe, self.tokenizer, completion=key == "completion")
        return self.runs[key]

    def _count(self, fate: Fate) -> None:
        limit = self.recipe.cutoff_len
        kept = sum(len(side.ids) for side in fate.kept)
        self.fates["dropped" if not fate.kept else "cut" if fate.tokens > limit else "whole"] += 1
        self.tokens.add(fate.tokens)
        self.learnt.add(fate.learnt)
        if kept:
            self.shares.add(round(100 * fate.learnt / kept))
        self.total["kept"] += kept
        self.total["learnt"] += fate.learnt
        self.total["masked"] += kept - fate.learnt
        self.total["cut"] += sum(len(side.ids) for side in fate.whole) - kept
        self.total["lost"] += fate.lost

    def _told(self, fate: Fate) -> Iterator[Found]:
        limit = self.recipe.cutoff_len
        if not fate.kept and self.recipe.stage == "rm":
            yield Found("trainer-drops", f"{fate.tokens:,} tokens, more than cutoff_len {limit:,}: the pair is dropped")
        elif not fate.kept:
            yield Found(
                "trainer-drops", f"{fate.tokens:,} tokens, and nothing of the answer within cutoff_len {limit:,}: dropped"
            )
        elif len(fate.kept) == 2 and fate.kept[0].ids == fate.kept[1].ids:
            yield Found("trainer-evens", f"chosen and rejected are the same within cutoff_len {limit:,}: nothing to learn")
        elif fate.tokens > limit:
            yield Found(
                "trainer-cuts", f"{fate.tokens:,} tokens, cut to {limit:,}: {fate.lost:,} tokens of the answer are not learnt"
            )
        if fate.strayed:
            yield Found("trainer-reads-on", f"{fate.strayed} tokens of the prompt are not where the answer begins in training")

    def as_dict(self) -> dict[str, Any]:
        return {
            "stage": self.recipe.stage,
            "cutoff_len": self.recipe.cutoff_len,
            "rows": dict(self.fates),
            "tokens": dict(self.total),
            "lengths": self.tokens.summary(),
            "learnt": self.learnt.summary(),
        }


def dry_run(recipe: Recipe, tokenizer: Any, *, completion: bool = False) -> DryRun:
    """The dry run of a recipe. completion: the rows are prompt + completion (sft)."""
    if recipe.stage == "dpo":
        from training.dpo import dpo_settings

        return DryRun("dpo", dpo_settings(recipe), tokenizer)
    if recipe.stage == "rm":
        from training.rm import rm_settings

        return DryRun("rm", rm_settings(recipe), tokenizer)
    from training.sft import sft_settings

    return DryRun(recipe.stage, sft_settings(recipe, completion=completion), tokenizer)


def load_pass(recipe: Recipe) -> TrainerPass:
    """The dry run of a recipe with its base's tokenizer. TrainingError without the train extra or the tokenizer."""
    import importlib.util

    if importlib.util.find_spec("transformers") is None:
        raise TrainingError("the trainer dry run needs transformers", todo="pip install 'seesaw-harness[train]'")
    from transformers.utils import logging

    from training.models import load_tokenizer

    logging.set_verbosity_error()  # long rows are what is looked for: no warning about each
    return TrainerPass(recipe, load_tokenizer(recipe.model_name_or_path, recipe.chat_template))
