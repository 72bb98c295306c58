"""``harness train``: one adapter from one recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from training import TrainingResult
    from training.result import Progress


@click.command("train")
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), help="Write the adapter here instead of the recipe's output_dir.")
def command(recipe: Path, output: Path | None) -> None:
    """Train as RECIPE says (YAML: LoRA SFT or DPO) and write the adapter."""
    from training import load_recipe, train

    loaded = load_recipe(recipe)
    if output is not None:
        loaded = loaded.with_(output_dir=str(output))
    click.echo(f"{loaded.stage} on {loaded.model_name_or_path}", err=True)
    _print_result(train(loaded, progress=_print_progress))


def _print_progress(line: Progress) -> None:
    """Plain lines: trainers log every few seconds, and a line is as good on a terminal as in CI."""
    loss = f"loss {line.loss:.4f}" if line.loss is not None else ""
    left = f", about {line.eta_s:.0f} s left" if line.eta_s is not None else ""
    click.echo(f"step {line.step}/{line.steps} (epoch {line.epoch:.2f}) {loss}{left}", err=True)


def _print_result(result: TrainingResult) -> None:
    held = f", {result.held_out} held out" if result.held_out else ""
    cut = f", {result.cut} cut at cutoff_len" if result.cut else ""
    click.echo(
        f"{result.rows} rows{held}{cut}: {result.steps} steps in {result.seconds:.0f} s, {result.trainable:,} parameters trained"
    )
    for name, value in result.metrics.items():
        click.echo(f"  {name:<20} {value:.4f}")
    click.echo(str(result.path))
