"""The second cut among checkpoints: each becomes a candidate and is asked the suite's dev split, beside the suite's baseline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.store import Store
    from harness.suite import Suite
    from training import Recipe, TrainingResult
    from training.choice import Choice, Rule, Standing

_NAME = 24  # columns
_ACROSS = 5  # checkpoints beside one another


def check(suite: Suite) -> None:
    """Raise UsageError for a suite that cannot choose among checkpoints: better before the training than after it."""
    from harness.model import Split

    if suite.candidates.get(suite.baseline or "") is None:
        what, todo = (
            "the suite names no candidate as its baseline",
            "Give `baseline:` one of the candidates, or leave --suite out",
        )
    elif not any(capability.of(Split.DEV) for capability in suite.capabilities.values()):
        what, todo = (
            "no capability has a dev case to ask the checkpoints",
            "Set dev_fraction, or `split: dev` in rows of the cases",
        )
    else:
        return
    raise UsageError(what, where=str(suite.path), todo=todo)


def second_cut(suite: Suite, recipe: Recipe, result: TrainingResult, store: Store) -> Iterator[str]:
    """Run the checkpoints on the dev split; both tables and whether they agree, in lines."""
    from training.choice import Rule, Standing, choose

    base, asked = _ask(suite, recipe, result, store)
    rules = {name: Rule(str(c.role), c.margin) for name, c in suite.capabilities.items()}
    standings = [Standing(point.step, point.eval_loss, asked[point.step].means) for point in result.checkpoints]
    yield from lines(standings, rules, base.means, choose(standings, rules, base.means))
    for step, told in asked.items():
        if told.missing:
            yield f"  step {step}: {told.missing:,} answers without a score count 0"


Means = Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Told:
    """What one run says. means: capability -> mean score, None where it has no case. missing: answers without a score."""

    means: Means
    missing: int = 0


def _ask(suite: Suite, recipe: Recipe, result: TrainingResult, store: Store) -> tuple[Told, dict[int, Told]]:
    """The baseline on the dev split, and the checkpoints by step. Adapters share a server; whole models are served in turn."""
    from harness.cli.looping import with_candidate
    from harness.cli.pipeline import Ask, run_suite
    from harness.model import Split, digest_of
    from harness.suite.nouns import CandidateSpec

    base = suite.candidates[str(suite.baseline)]
    alone = replace(suite, candidates={base.name: base})
    if suite.gate.sequential:  # all dev cases are asked: another exam than the suite's
        gate = replace(suite.gate, sequential=False)
        alone = replace(alone, gate=gate, hash=digest_of([suite.hash, "checkpoints"]))
    adapter = recipe.finetuning_type == "lora"
    specs = {}
    for point in result.checkpoints:
        path = str(point.path.resolve())
        model, own = (recipe.model_name_or_path, path) if adapter else (path, None)
        specs[point.step] = CandidateSpec(f"step-{point.step}", model, own, prompt=base.prompt)
    told: dict[int, Told] = {}
    baseline = Told({})
    for steps in [list(specs)] if adapter else [[step] for step in specs]:
        narrowed = alone
        for step in steps:
            narrowed = with_candidate(narrowed, specs[step], base.name)
        for step, run in zip(steps, run_suite(Ask(narrowed, split=Split.DEV), store), strict=True):
            told[step] = _told(store, run.run.id, suite, missing=0.0)
            if run.baseline is not None:
                baseline = _told(store, run.baseline.id, suite, missing=None)
    return baseline, told


def _told(store: Store, run_id: str, suite: Suite, *, missing: float | None) -> Told:
    """missing: what an answer without a score counts; None: it is left out. A checkpoint that breaks off, or says nothing, must
    not be chosen for the few answers that it ends."""
    values: dict[str, list[float]] = {name: [] for name in suite.capabilities}
    without = 0
    for row in store.score_rows(run_id):
        value = missing if row.value is None else row.value
        without += row.value is None
        if value is not None:
            values[row.capability].append(value)
    return Told({name: sum(found) / len(found) if found else None for name, found in values.items()}, without)


def lines(standings: list[Standing], rules: Mapping[str, Rule], baseline: Means, choice: Choice) -> Iterator[str]:
    """Both tables: checkpoints by eval loss, and by capability with the baseline; then whether they agree."""
    for start in range(0, len(standings), _ACROSS):
        yield from _table(standings[start : start + _ACROSS], rules, baseline)
    yield "  mean scores in points on the dev split: for choosing, not for claiming; the gate asks its own cases"
    if choice.by_loss is not None:
        yield f"by the loss: step {choice.by_loss}"
    yield f"by the suite: step {choice.by_suite}: {choice.reason}" if choice.by_suite is not None else choice.reason
    if choice.by_loss is not None and choice.by_suite is not None:
        yield "both agree" if choice.agree else "they disagree: what was written is the choice by the loss"


def _table(standings: list[Standing], rules: Mapping[str, Rule], baseline: Means) -> Iterator[str]:
    from harness.cli.layout import fit

    yield f"{'checkpoint':<{_NAME}}{'baseline':>9}" + "".join(f"{s.step:>9}" for s in standings)
    losses = "".join(f"{'-' if s.eval_loss is None else f'{s.eval_loss:.4f}':>9}" for s in standings)
    yield f"{'loss on held-out rows':<{_NAME}}{'-':>9}{losses}"
    for name, rule in rules.items():
        cells = "".join(f"{_points(s.means.get(name)):>9}" for s in standings)
        yield f"{fit(f'{name} ({rule.role})', _NAME - 1)} {_points(baseline.get(name)):>9}{cells}"


def _points(mean: float | None) -> str:
    return "-" if mean is None else f"{100 * mean:.1f}"
