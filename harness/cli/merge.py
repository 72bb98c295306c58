"""``harness merge``: an adapter and its base as one model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from training.merge import Merged


@click.command("merge")
@click.argument("adapter", type=click.Path(path_type=Path))
@click.option("--output", required=True, type=click.Path(path_type=Path), help="The new model's folder.")
@click.option("--base", help="The base: a folder or a hub id. Default: what the adapter names.")
@click.option("--dtype", type=click.Choice(["bfloat16", "float32", "float16"]), default="bfloat16", show_default=True)
@click.option("--shard", default="5GB", show_default=True, help="Size of one safetensors file at most.")
def command(adapter: Path, output: Path, base: str | None, dtype: str, shard: str) -> None:
    """Merge ADAPTER into its base and write one model: safetensors, tokenizer, chat template.

    A quantised base is refused: merge onto the full-precision one, then quantise the result.
    """
    from training.merge import merge

    say_merged(merge(adapter, output, base=base, dtype=dtype, shard=shard))


def say_merged(merged: Merged) -> None:
    click.echo(f"merged: {merged.parameters:,} parameters, {merged.bytes / 1e6:,.1f} MB")
    click.echo(str(merged.path))
