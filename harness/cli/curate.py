"""``harness curate``: failures of a stored run's dev split become preference pairs and SFT rows."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.options import open_store, store_option
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.cli.curating import Settings
    from harness.curation import Card
    from harness.model import RunRecord
    from harness.store import Store
    from harness.suite import Suite

NONE = "none"


@click.command("curate")
@click.argument("run", default="latest")
@click.option("--suite", "suite_path", type=click.Path(path_type=Path), required=True, help="The run's suite: checks and gate.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for pairs, rows, what is left out, the card.")
@click.option("--other", help="Run whose passing answers may be chosen; `none`. Default: the baseline's latest on these cases.")
@click.option(
    "--sources",
    default="person,own,other,reference",
    show_default=True,
    help="Where chosen answers come from, in order: person, own, other, reference.",
)
@click.option(
    "--min-margin", type=click.FloatRange(0, 1, min_open=True), default=0.1, show_default=True, help="Least gain of score."
)
@click.option("--length-ratio", type=click.FloatRange(1), default=3.0, show_default=True, help="Most that lengths may differ.")
@click.option(
    "--alike", type=click.FloatRange(0, 1, min_open=True), default=0.9, show_default=True, help="Near duplicates from here."
)
@click.option(
    "--balance", type=click.FloatRange(1), default=3.0, show_default=True, help="Most rows of a capability, in medians."
)
@click.option("--replay", type=click.FloatRange(0), default=1.0, show_default=True, help="Replay rows for each row that teaches.")
@click.option("--seed", type=int, default=0, show_default=True, help="Chooses where there are too many.")
@click.option("--unchecked-references", "unchecked", is_flag=True, help="Take references that only a judge could score.")
@click.option("--teacher", help="Base address of a server to ask where nothing passes. Key: TEACHER_API_KEY.")
@click.option("--teacher-model", help="The teacher, as its server names it.")
@click.option("--json", "as_json", is_flag=True, help="The card as one JSON object.")
@store_option
def command(run: str, suite_path: Path, out: Path, other: str | None, as_json: bool, store_dir: Path, **options: object) -> int:
    """Turn the failures of RUN (an id, its beginning, or `latest`) into training data, each row knowing where it comes from.

    Only cases of the dev split are looked at; whatever repeats a case of the gate split is refused. Exit code 1 when nothing is
    left to train on.
    """
    from harness.cli.curating import check, curate, write
    from harness.cli.options import load_suite

    suite, settings = load_suite(suite_path), _settings(options)
    if out.exists() and not out.is_dir():
        raise UsageError("this is a file", where=str(out), todo="Name a folder")
    with open_store(store_dir) as store:
        record = store.run(run, suite.name if run == "latest" else None)
        check(suite, record)
        found, card = curate(store, suite, record, other_run(store, suite, record, other), settings)
    write(out, found, card)
    if as_json:
        click.echo(json.dumps(card.as_dict(), ensure_ascii=False))
    else:
        for line in lines(card, out):
            click.echo(line)
    return 0 if found.pairs or found.lessons else 1


def _settings(options: dict[str, object]) -> Settings:
    from harness.cli.curating import Settings, Teacher
    from harness.curation import Limits, Rules
    from harness.curation.nouns import SOURCES, TEACHER

    names = tuple(dict.fromkeys(name.strip() for name in str(options["sources"]).split(",") if name.strip()))
    known = tuple(name for name in SOURCES if name != TEACHER)
    if not names or not set(names) <= set(known):
        wrong = ", ".join(name for name in names if name not in known) or "nothing"
        raise UsageError(f"--sources names {wrong}", todo="choose from " + ", ".join(known))
    if bool(options["teacher"]) != bool(options["teacher_model"]):
        raise UsageError("a teacher needs both --teacher and --teacher-model")
    teacher = None
    if options["teacher"]:
        teacher = Teacher(str(options["teacher"]), str(options["teacher_model"]), os.environ.get("TEACHER_API_KEY"))
    number = {name: float(options[name]) for name in ("min_margin", "length_ratio", "alike", "balance", "replay")}  # type: ignore[arg-type]
    return Settings(
        Rules(names, number["min_margin"], bool(options["unchecked"])),
        Limits(
            length_ratio=number["length_ratio"],
            alike=number["alike"] if number["alike"] < 1 else None,
            balance=number["balance"],
            replay=number["replay"],
            seed=int(options["seed"]),  # type: ignore[call-overload]
        ),
        teacher,
    )


def other_run(store: Store, suite: Suite, run: RunRecord, wanted: str | None) -> RunRecord | None:
    """The run named, or the baseline's latest of this suite version that asked dev cases; None where there is none."""
    from harness.model import Split

    if wanted == NONE:
        return None
    if wanted is not None:
        found = store.run(wanted)
        if found.suite_name != run.suite_name or found.id == run.id:
            what = "is the run itself" if found.id == run.id else f"is of the suite {found.suite_name}"
            raise UsageError(f"--other {wanted} {what}", todo="Name another run of the same suite")
        return found
    for record in store.runs(run.suite_name):
        fits = record.candidate.name == suite.baseline and record.suite_hash == run.suite_hash and record.id != run.id
        if fits and any(row.split is Split.DEV for row in store.score_rows(record.id)):
            return record
    return None


def lines(card: Card, out: Path) -> Iterator[str]:
    """What was made and what was not, in lines of at most 80 columns."""
    from harness.cli.layout import fit
    from reports.text import plural, visible

    where = f" beside {card.other_run_id}" if card.other_run_id else ""
    yield visible(f"{card.candidate} (run {card.run_id}{where}): {plural(card.cases, 'dev case')}, {card.failing:,} failing")
    yield (
        f"{plural(card.pairs, 'pair')}, {plural(card.lessons, 'SFT row')}, {plural(card.replay, 'replay row')}; "
        f"held against {plural(card.gate_cases, 'gate case')}"
    )
    if card.by_capability:
        yield f"  {'capability':<30} {'pairs':>7} {'sft':>7} {'replay':>7}"
    for name, counts in card.by_capability.items():
        yield f"  {fit(name, 30)} {counts.get('pairs', 0):>7,} {counts.get('sft', 0):>7,} {counts.get('replay', 0):>7,}"
    if card.by_source:
        yield "chosen from: " + ", ".join(f"{count:,} {name}" for name, count in card.by_source.items())
    longer = card.lengths.get("chosen_longer")
    if longer is not None:
        yield f"the chosen answer is the longer one in {100 * longer:.0f} % of the pairs"
    for name, count in card.left.items():
        yield f"  left out: {count:,} {name}"
    made = [name for name, count in (("pairs.jsonl", card.pairs), ("sft.jsonl", card.lessons + card.replay)) if count]
    if made:
        yield visible(f"written: {out} ({', '.join(made)}, card.md)")
    else:
        yield visible(f"nothing to train on; {out / 'dropped.jsonl'} says why")
