"""``harness data validate``: a reason per row, what the trainer would do, and an exit code for CI."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.data_options import open_source, source_options, watched
from harness.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.quality.examples import Dropped, Example
    from harness.quality.files import DroppedFile
    from harness.quality.validate import Looker, RowFinding, Validation
    from harness.quality.writers import Writer
    from training.dryrun import TrainerPass
    from training.ifd import DifficultyPass


@click.command("validate")
@source_options
@click.option("--suite", type=click.Path(path_type=Path), help="Also look for this suite's cases among the rows, word for word.")
@click.option("--recipe", type=click.Path(path_type=Path), help="Also say what the trainer would drop, cut and mask.")
@click.option("--ifd", metavar="MODEL", help="Also say by a small local model how much each question helps (slow).")
@click.option("--language", metavar="CODE", help="What answers must be written in: zh, ja, ko, ..., Latin, Cyrillic, ...")
@click.option("--check", "only", multiple=True, metavar="NAME", help="Only this check; may be repeated.")
@click.option("--without", multiple=True, metavar="NAME", help="Every check but this; may be repeated.")
@click.option("--fail-on", type=click.Choice(("error", "warning")), default="error", show_default=True, help="What counts.")
@click.option("--allow", default="0", show_default=True, metavar="N|P%", help="So many rows may have it before the file fails.")
@click.option("--limit", type=click.IntRange(min=1), help="Only the first rows.")
@click.option("--clean", type=click.Path(path_type=Path), help="Write the rows without errors here, as they were read.")
@click.option("--dropped", type=click.Path(path_type=Path), help="Write the rows with errors here. [CLEAN.dropped.jsonl]")
@click.option("--findings", type=click.Path(path_type=Path), help="Write every finding here, one JSON object on each line.")
@click.option("--html", type=click.Path(path_type=Path), help="Write a page about the file.")
@click.option("--json", "as_json", is_flag=True, help="The result as one JSON object.")
def command(file: Path, form: str | None, columns: str | None, name: str | None, split: str | None, **options: Any) -> int:
    """Look at every row of FILE: what is wrong, where, what to do about it.

    Exit code 0: fine; 1: more rows than --allow have an error (or --fail-on warning); 3: the file cannot be read as asked.
    """
    from harness.quality.validate import Validation, lookers, validate

    asked = Asked(**options)
    allowed = _allowed(asked.allow)
    source = open_source(file, form, columns, name, split)
    checks = lookers(_settings(asked), only=asked.only, without=asked.without)
    trainer, difficulty = _trainer(asked.recipe), _difficulty(asked.ifd)
    checks += _model_checks(trainer, difficulty)
    found = Validation(str(source.path), source.format.name, source.reason)
    with ExitStack() as stack:
        aside = _Aside.open(asked, stack)
        validate(watched(islice(source, asked.limit)), checks, found, aside.tell)
    verdict = _verdict(found, asked.fail_on, allowed, asked.allow)
    _show(found, trainer, difficulty, verdict, asked, aside)
    return 0 if verdict[0] else 1


@dataclass(frozen=True, slots=True)
class Asked:
    """The options of one call, by their names."""

    suite: Path | None
    recipe: Path | None
    ifd: str | None
    language: str | None
    only: tuple[str, ...]
    without: tuple[str, ...]
    fail_on: str
    allow: str
    limit: int | None
    clean: Path | None
    dropped: Path | None
    findings: Path | None
    html: Path | None
    as_json: bool


def _allowed(text: str) -> float:
    """Rows (a whole number) or, when negative, minus a share of the rows."""
    try:
        value = -float(text[:-1]) / 100 if text.endswith("%") else float(int(text))
    except ValueError:
        raise UsageError(f"--allow {text!r} is neither a number of rows nor a share like 1%") from None
    if value < -1 or (value < 0) != (text.endswith("%") and value != 0):
        raise UsageError(f"--allow {text!r} is not between nothing and all rows")
    return value


def _settings(asked: Asked) -> Any:
    from harness.quality.checks.base import Settings
    from harness.quality.checks.language import known_language

    if asked.language is not None:
        known_language(asked.language)
    return Settings(language=asked.language, known={} if asked.suite is None else _cases(asked.suite))


def _cases(suite: Path) -> dict[str, str]:
    """Digests of what the suite's cases ask -> which case it is."""
    from harness.quality.checks.leak import digest
    from harness.suite import load_suite

    known: dict[str, str] = {}
    for capability in load_suite(suite, check_models=False).capabilities.values():
        for case in capability.cases:
            chat = case.vars.get("messages")
            said = [turn.get("content") for turn in chat if isinstance(turn, dict)] if isinstance(chat, list) else []
            for text in (*case.vars.values(), *said):
                key = digest(text) if isinstance(text, str) else None
                if key is not None:
                    known.setdefault(key, f"the {case.split} case {case.id[:12]} of {case.capability}")
    return known


def _trainer(recipe: Path | None) -> TrainerPass | None:
    if recipe is None:
        return None
    from training.dryrun import load_pass
    from training.recipe import load_recipe

    return load_pass(load_recipe(recipe))


def _difficulty(model: str | None) -> DifficultyPass | None:
    if model is None:
        return None
    from training.ifd import load_pass

    return load_pass(model)


def _model_checks(trainer: TrainerPass | None, difficulty: DifficultyPass | None) -> list[Looker]:
    """The checks that need a tokenizer or a model, which live where such things may be loaded."""
    from harness.quality.validate import Looker

    found = []
    if trainer is not None:
        from training import dryrun

        found.append(Looker("trainer", dryrun.CODES, trainer))
    if difficulty is not None:
        from training import ifd

        found.append(Looker("ifd", ifd.CODES, difficulty))
    return found


@dataclass
class _Aside:
    """The files that rows and findings are written to while they pass."""

    clean: Writer | None = None
    dropped: DroppedFile | None = None
    findings: Writer | None = None

    @classmethod
    def open(cls, asked: Asked, stack: ExitStack) -> _Aside:
        from harness.quality.files import DroppedFile
        from harness.quality.writers import open_writer

        dropped = asked.dropped or (asked.clean.with_name(asked.clean.name + ".dropped.jsonl") if asked.clean else None)
        return cls(
            clean=stack.enter_context(open_writer(asked.clean)) if asked.clean else None,
            dropped=stack.enter_context(DroppedFile(dropped)) if dropped else None,
            findings=stack.enter_context(open_writer(asked.findings, kind=".jsonl")) if asked.findings else None,
        )

    def tell(self, row: Example | Dropped, findings: Sequence[RowFinding]) -> None:
        from harness.quality.checks.base import Level
        from harness.quality.examples import Dropped
        from harness.quality.files import keep

        if self.findings is not None:
            for finding in findings:
                self.findings.write(finding.as_dict())
        bad = next((finding for finding in findings if finding.level is Level.ERROR), None)
        left: Dropped | None = None
        if isinstance(row, Dropped):
            left = row
        elif bad is not None:
            left = Dropped.of(row, bad.code, bad.message)
        elif self.clean is not None:
            left = keep(self.clean, row)
        if left is not None and self.dropped is not None:
            self.dropped.add(left)


def _verdict(found: Validation, fail_on: str, allowed: float, said: str) -> tuple[bool, str]:
    """Whether the file passes, and that in a sentence."""
    from harness.quality.checks.base import Level
    from reports.text import plural

    bad = found.count(Level(fail_on))
    limit = allowed if allowed >= 0 else -allowed * found.rows
    what = "an error" if fail_on == "error" else "an error or a warning"
    share = f" ({bad / found.rows:.1%})" if found.rows else ""
    has = "has" if bad == 1 else "have"
    if not found.rows:
        return False, "There are no rows."
    return bad <= limit, f"{bad:,} of {plural(found.rows, 'row')}{share} {has} {what}; allowed: {said}."


def _show(
    found: Validation,
    trainer: TrainerPass | None,
    difficulty: DifficultyPass | None,
    verdict: tuple[bool, str],
    asked: Asked,
    aside: _Aside,
) -> None:
    from harness.cli import data_shown
    from reports.text import plural, visible

    if asked.html:
        data_shown.write_page(asked.html, found, trainer, difficulty, verdict)
    if asked.as_json:
        told = found.as_dict() | {"passed": verdict[0], "verdict": verdict[1]}
        told |= {"trainer": trainer.as_dict()} if trainer else {}
        told |= {"ifd": difficulty.as_dict()} if difficulty else {}
        click.echo(json.dumps(told, ensure_ascii=False))
        return
    for line in data_shown.lines(found, trainer, difficulty, verdict):
        click.echo(line)
    for path, count in (
        (asked.clean, aside.clean and aside.clean.count),
        (aside.dropped and aside.dropped.path, aside.dropped and aside.dropped.codes.total()),
    ):
        if path and count:
            click.echo(visible(f"{plural(count, 'row')} in {path}"))
    if asked.html:
        click.echo(f"page: {asked.html}")
