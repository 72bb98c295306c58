"""``harness demo``: the quickstart, told as a story in three commands. Nothing here is staged: they are the commands it shows."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import click

import harness

WIDTH = 80


@dataclass(frozen=True, slots=True)
class Step:
    """One command. words: of the command line; {suite} and {labels} stand for the files. code: the exit code to expect."""

    words: tuple[str, ...]
    code: int
    question: str
    answer: str


STEPS = (
    Step(
        ("judge", "calibrate", "--suite", "{suite}", "--labels", "{labels}"),
        0,
        "First a judge: a reward model, trained from rankings, says how courteous an answer is. Does it agree with labels?",
        "Kappa is agreement beyond chance; these labels are a rule's, which stands in for people. The runs below find it by the "
        "judge's digest, and their reports quote it.",
    ),
    Step(
        ("run", "{suite}", "--candidate", "sft"),
        1,
        "A candidate was tuned by LoRA SFT on one skill alone. Did it get better - and what did it cost?",
        "The gate refused it: in CI this exit code stops the release. The report shows what paid, case by case; `courtesy` there "
        "is the judge's word on the answers that `polite` checks by a rule.",
    ),
    Step(
        ("run", "{suite}", "--candidate", "repaired"),
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
    """Serve the pocket models with vLLM: calibrate a judge, then judge two candidates.

    Exit code 0 when the damaged candidate was refused and the repaired one shipped, 1 otherwise.
    """
    from harness.cli import call

    suite = quickstart()
    places = {"{suite}": str(suite), "{labels}": str(suite.parent / "labels" / "courtesy.jsonl")}
    met = []
    for number, step in enumerate(STEPS, start=1):
        line = [places.get(word, word) for word in step.words] + (["--store", str(store)] if store else [])
        _say(f"\n== {number} of {len(STEPS)}: {step.question}")
        click.echo(f"\n$ harness {' '.join(line)}\n")
        code = call(line)
        met.append(code == step.code)
        told = step.answer if code == step.code else f"Expected {step.code}: see the reasons above."
        _say(f"\nexit code {code}. {told}")
        if code == 4:
            return code
    _say("\nNext: read the two reports, then `harness init` to write a suite for your own checkpoint.")
    return 0 if all(met) else 1


def _say(text: str) -> None:
    """In lines that a narrow terminal holds; a leading new line stays."""
    from harness.cli.layout import wrap

    if text.startswith("\n"):
        click.echo()
    for line in wrap(text.strip(), WIDTH):
        click.echo(line)
