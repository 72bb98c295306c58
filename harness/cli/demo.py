"""``harness demo``: the quickstart, told as a story in two runs. Nothing here is staged: it calls ``harness run`` twice."""

from __future__ import annotations

import os
from pathlib import Path

import click

import harness

STEPS = (
    (
        "sft",
        1,
        "A candidate was tuned by LoRA SFT on one skill alone. Did it get better - and what did it cost?",
        "The gate refused it: in CI this exit code stops the release. The report shows what paid, case by case.",
    ),
    (
        "repaired",
        0,
        "The same skill, tuned again with examples of the old skills mixed in (replay). Did the repair work?",
        "The gate lets it pass: the target is shown improved, and every protected capability is shown not worse than its margin.",
    ),
)


def quickstart() -> Path:
    """The quickstart suite that travels with the package; shown relative to here where that is shorter."""
    path = Path(harness.__file__).parent.parent / "suites" / "quickstart" / "suite.yaml"
    relative = Path(os.path.relpath(path))
    return relative if len(str(relative)) < len(str(path)) else path


@click.command("demo")
@click.option("--store", type=click.Path(path_type=Path), default=None, help="Where results go (default: .harness).")
def command(store: Path | None) -> int:
    """Serve the pocket model and its adapters with vLLM and judge two candidates.

    Exit code 0 when the damaged candidate was refused and the repaired one shipped, 1 otherwise.
    """
    from harness.cli import call

    suite = quickstart()
    met = []
    for number, (candidate, expected, question, answer) in enumerate(STEPS, start=1):
        line = ["run", str(suite), "--candidate", candidate, *(["--store", str(store)] if store else [])]
        click.echo(f"\n== {number} of {len(STEPS)}: {question}\n\n$ harness {' '.join(line)}\n")
        code = call(line)
        met.append(code == expected)
        click.echo(f"\nexit code {code}. " + (answer if code == expected else f"Expected {expected}: see the reasons above."))
        if code == 4:
            return code
    click.echo("\nNext: read the two reports, then  harness init  to write a suite for your own checkpoint.")
    return 0 if all(met) else 1
