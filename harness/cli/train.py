"""``harness train``: one adapter (or model) from one recipe, with what came of it stored."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.options import open_store, store_option
from harness.errors import HarnessError, UsageError

if TYPE_CHECKING:
    from harness.model import Case
    from harness.suite import Suite
    from training import Recipe, TrainingResult

_WIDTH = 80  # columns


@click.command("train")
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), help="Write here instead of to the recipe's output_dir.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Replace a value of the recipe (repeatable; YAML).")
@click.option("--suite", type=click.Path(path_type=Path), help="Ask every saved checkpoint this suite's dev split.")
@click.option("--merge", "merged", type=click.Path(path_type=Path), help="Also write base and adapter as one model here.")
@click.option("--dry-run", is_flag=True, help="Say what would become of the rows and of the memory, and stop.")
@store_option
def command(
    recipe: Path,
    output: Path | None,
    changes: tuple[str, ...],
    suite: Path | None,
    merged: Path | None,
    dry_run: bool,
    store_dir: Path,
) -> None:
    """Train as RECIPE says (YAML: SFT, DPO or reward model; LoRA or full) and write the adapter or the model.

    Before anything is loaded: rows that repeat a gate case, of --suite or of any run in the store, are refused, and it is said
    which rows would be cut or dropped. Stopped by whatever, `resume: true` goes on from the last checkpoint. Over several GPUs:
    accelerate launch -m harness train RECIPE.
    """
    from harness.cli import trained
    from training import load_recipe

    loaded = load_recipe(recipe, dict(map(_change, changes)))
    if output is not None:
        loaded = loaded.with_(output_dir=str(output))
    _check_wishes(loaded, suite, merged)
    asked = _load_suite(suite)
    say = _say if _is_main() else _silent
    say(f"{loaded.stage} on {loaded.model_name_or_path}")
    if _is_main():
        for line in trained.ahead(loaded, _gate_cases(store_dir, asked)):
            _tell(line, err=not dry_run)  # of a dry run this is the result
    if dry_run:
        return
    result = _train(loaded, store_dir)
    if not result.main:
        return
    for line in trained.summary(result):
        _tell(line)
    if asked is not None:
        _choose(asked, loaded, result, store_dir)
    if merged is not None:
        _merge(result.path, loaded.model_name_or_path, merged)
    click.echo(str(result.path))


def _change(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UsageError(f"--set {text!r} is not KEY=VALUE", todo="For example --set learning_rate=1e-4")
    return key.strip(), value


def _check_wishes(recipe: Recipe, suite: Path | None, merged: Path | None) -> None:
    """What would only be refused after hours of training."""
    if merged is not None and (recipe.stage == "rm" or recipe.finetuning_type == "full"):
        raise UsageError("--merge is for LoRA adapters: this recipe writes a whole model as it is", todo="Leave --merge out")
    if merged is not None and recipe.quantization_bit:
        raise UsageError(
            "--merge cannot work with quantization_bit: nothing is merged onto a quantised base",
            todo="Merge onto the full-precision base afterwards: harness merge ADAPTER --base BASE",
        )
    if suite is not None and recipe.stage == "rm":
        raise UsageError("--suite asks language models; a reward model answers with a number", todo="Leave --suite out")
    if suite is not None and recipe.save_strategy == "no":
        raise UsageError("--suite asks saved checkpoints, and save_strategy is no", todo="Set save_strategy: epoch or steps")


def _load_suite(path: Path | None) -> Suite | None:
    if path is None:
        return None
    from harness.cli.second_cut import check
    from harness.suite import load_suite

    suite = load_suite(path)
    check(suite)
    return suite


def _gate_cases(store_dir: Path, suite: Suite | None) -> list[Case]:
    """The gate cases of the suite and of every run in the store."""
    from harness.model import Split

    found = [case for capability in suite.capabilities.values() for case in capability.of(Split.GATE)] if suite else []
    if (store_dir / "lock").exists():
        from harness.store.trainings import gate_cases

        with open_store(store_dir) as store:
            found += gate_cases(store)
    return list({(case.capability, case.id): case for case in found}.values())


def _train(recipe: Recipe, store_dir: Path) -> TrainingResult:
    """Train, and store what came of it, failures too."""
    from harness.cli import trained
    from harness.cli.training_progress import reporter
    from training import train

    started = time.time()
    with reporter() as report:
        try:
            result = train(recipe, progress=report)
        except HarnessError as error:
            if _is_main():
                trained.keep_failure(recipe, error, store_dir, started)
            raise
    if result.main:
        trained.keep(recipe, result, store_dir, started)
    return result


def _choose(suite: Suite, recipe: Recipe, result: TrainingResult, store_dir: Path) -> None:
    from harness.cli.second_cut import second_cut

    if not result.checkpoints:
        _say("no checkpoint was saved, so the suite has nothing to choose from: lower save_steps")
        return
    with open_store(store_dir, create=True) as store:
        for line in second_cut(suite, recipe, result, store):
            _tell(line)


def _merge(adapter: Path, base: str, output: Path) -> None:
    from harness.cli.merge import say_merged
    from training.merge import merge

    say_merged(merge(adapter, output, base=base))


def _is_main() -> bool:
    """Of several processes that accelerate starts, the one that speaks and writes."""
    return os.environ.get("RANK", "0") == "0"


def _tell(line: str, *, err: bool = False) -> None:
    """A line of a table as it is, a long sentence on as many lines as it needs."""
    from harness.cli.layout import columns_of, wrap

    click.echo(line if columns_of(line) <= _WIDTH else "\n".join(wrap(line, _WIDTH, indent="  ")), err=err)


def _say(line: str) -> None:
    click.echo(line, err=True)


def _silent(line: str) -> None:
    """What the other processes say."""
