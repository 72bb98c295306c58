"""The second cut among checkpoints: each becomes a candidate and is asked the suite's dev split, beside the suite's baseline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.store import Store
    from harness.suite import Suite
    from training import Recipe, TrainingResult
    from training.choice import Choice, Rule, Standing

_NAME = 24  # columns


def second_cut(suite: Suite, recipe: Recipe, result: TrainingResult, store: Store) -> Iterator[str]:
    """Run the checkpoints on the dev split; both tables and whether they agree, in lines."""
    from training.choice import Rule, Standing, choose

    means, baseline = _ask(suite, recipe, result, store)
    rules = {name: Rule(str(c.role), c.margin) for name, c in suite.capabilities.items()}
    standings = [Standing(point.step, point.eval_loss, means[point.step]) for point in result.checkpoints]
    yield from lines(standings, rules, baseline, choose(standings, rules, baseline))


Means = Mapping[str, float | None]


def _ask(suite: Suite, recipe: Recipe, result: TrainingResult, store: Store) -> tuple[dict[int, Means], Means]:
    """(step -> capability -> mean, the baseline's) on the dev split."""
    from harness.cli.pipeline import Ask, run_suite
    from harness.model import Split
    from harness.suite.nouns import CandidateSpec

    base = suite.candidates.get(suite.baseline or "")
    if base is None:
        raise UsageError(
            "the suite names no candidate as its baseline", where=str(suite.path), todo="Give `baseline:` one of the candidates"
        )
    candidates = {base.name: base}
    for point in result.checkpoints:
        name, path = f"step-{point.step}", str(point.path.resolve())
        adapter = recipe.finetuning_type == "lora"
        candidates[name] = CandidateSpec(
            name, recipe.model_name_or_path if adapter else path, path if adapter else None, prompt=base.prompt
        )
    narrowed = replace(suite, candidates=candidates)
    finished = run_suite(Ask(narrowed, split=Split.DEV), store)
    means: dict[int, Means] = {
        int(run.run.candidate.name.removeprefix("step-")): _means(store, run.run.id, suite) for run in finished
    }
    of_base = next((run.baseline for run in finished if run.baseline is not None), None)
    return means, _means(store, of_base.id, suite) if of_base else {}


def _means(store: Store, run_id: str, suite: Suite) -> dict[str, float | None]:
    """Mean score of each capability over its scored answers."""
    values: dict[str, list[float]] = {name: [] for name in suite.capabilities}
    for row in store.score_rows(run_id):
        if row.value is not None:
            values[row.capability].append(row.value)
    return {name: sum(found) / len(found) if found else None for name, found in values.items()}


def lines(standings: list[Standing], rules: Mapping[str, Rule], baseline: Means, choice: Choice) -> Iterator[str]:
    """Both tables: checkpoints by eval loss, and by capability with the baseline; then whether they agree."""
    from harness.cli.layout import fit

    yield f"{'checkpoint':<{_NAME}}{'baseline':>9}" + "".join(f"{s.step:>9}" for s in standings)
    losses = "".join(f"{'-' if s.eval_loss is None else f'{s.eval_loss:.4f}':>9}" for s in standings)
    yield f"{'loss on held-out rows':<{_NAME}}{'-':>9}{losses}"
    for name, rule in rules.items():
        cells = "".join(f"{_points(s.means.get(name)):>9}" for s in standings)
        yield f"{fit(f'{name} ({rule.role})', _NAME - 1)} {_points(baseline.get(name)):>9}{cells}"
    yield "  mean scores in points on the dev split: for choosing, not for claiming; the gate asks its own cases"
    if choice.by_loss is not None:
        yield f"by the loss: step {choice.by_loss}"
    yield f"by the suite: step {choice.by_suite}: {choice.reason}" if choice.by_suite is not None else choice.reason
    if choice.by_loss is not None and choice.by_suite is not None:
        yield "both agree" if choice.agree else "they disagree: what was written is the choice by the loss"


def _points(mean: float | None) -> str:
    return "-" if mean is None else f"{100 * mean:.1f}"
