"""``harness validate``: every fault of a suite at once, without running anything."""

from __future__ import annotations

import json
from pathlib import Path

import click

from harness.cli.options import load_suite, open_store, store_option


@click.command("validate")
@click.argument("suite", type=click.Path(path_type=Path), required=False)
@click.option("--schema", is_flag=True, help="Print the JSON Schema of suite files, for editors, and stop.")
@click.option("--power", is_flag=True, help="Also tell what each capability's cases can show, and how many its margin needs.")
@store_option
def command(suite: Path | None, schema: bool, power: bool, store_dir: Path) -> None:
    """Check SUITE: every fault as file:line: message. Exit code 0 when there is none, 3 otherwise.

    The store is only looked at for --power: how often answers of two candidates differed in stored runs of this suite.
    """
    from harness.cli.options import today
    from harness.errors import UsageError
    from harness.suite import json_schema
    from harness.waivers import in_words, subject

    if schema:
        click.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))
        return
    if suite is None:
        raise UsageError("no suite given", todo="harness validate suite.yaml")
    loaded = load_suite(suite)
    click.echo(f"{suite}: valid. {loaded.name}, hash {loaded.hash[:12]}")
    click.echo(f"  candidates    {', '.join(loaded.candidates)} (baseline: {loaded.baseline})")
    width = max(len(name) for name in loaded.capabilities)
    for name, capability in loaded.capabilities.items():
        margin = f", margin {capability.margin:g}" if capability.margin else ""
        click.echo(f"  {name:<{width}}  {capability.role}{margin}, {len(capability.cases)} cases x {capability.samples} samples")
    if loaded.matrix:
        goals = ", ".join(f"{name} {goal:g}" for name, goal in loaded.matrix.goals.items())
        click.echo(f"  matrix: {len(loaded.matrix.combinations)} combinations, goal {goals} (harness choose)")
    for waiver in loaded.gate.waivers:
        over = " (expired: it no longer counts)" if waiver.expires < today().isoformat() else ""
        click.echo(f"  {subject(waiver)}: {in_words(waiver)}{over}")
    if power:
        from harness.cli.power import card

        cases = [case for capability in loaded.capabilities.values() for case in capability.cases]
        store = open_store(store_dir) if (store_dir / "lock").exists() else None
        for line in card(loaded.capabilities, cases, loaded.gate, store, loaded.name):
            click.echo(line)
