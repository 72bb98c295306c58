"""``harness data score``: a judge reads every row and gives it a value with its reasons, by a rubric."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.data_options import first_of, open_source, source_options
from harness.errors import IncompleteError

if TYPE_CHECKING:
    from harness.quality.examples import Dropped, Example
    from harness.quality.files import Source
    from harness.quality.scoring import QualityScore, Scores, ScoreSummary
    from judges import Judge

_EVERY = 500  # rows between two lines of progress


@click.command("score")
@source_options
@click.option("--endpoint", required=True, help="Base address of an OpenAI-compatible server, .../v1. Key: OPENAI_API_KEY.")
@click.option("--model", required=True, help="The judge's model, as the server names it.")
@click.option(
    "--rubric", default="helpfulness", show_default=True, help="A pointwise rubric: a built-in one's name, or a YAML file."
)
@click.option(
    "--scores", type=click.Path(path_type=Path), required=True, help="Where scores are written (and read: it goes on there)."
)
@click.option(
    "--min", "least", type=click.FloatRange(0, 1), default=0.5, show_default=True, help="The value that a row must reach."
)
@click.option("--clean", type=click.Path(path_type=Path), help="Write the rows that reach it here, as they were read.")
@click.option("--dropped", type=click.Path(path_type=Path), help="Write the others here, with the reason. [CLEAN.dropped.jsonl]")
@click.option("--limit", type=click.IntRange(min=1), help="Only the first rows.")
@click.option("--concurrency", type=click.IntRange(1, 512), default=32, show_default=True, help="Rows asked about at once.")
@click.option("--json", "as_json", is_flag=True, help="The result as one JSON object.")
def command(
    file: Path, form: str | None, columns: str | None, name: str | None, split: str | None, as_json: bool, **options: Any
) -> int:
    """Have a judge grade every row of FILE; its scores and reasons go to --scores, and are not asked twice.

    Exit code 0: every row is scored and reaches --min; 1: some do not; 4: some could not be asked (run it again).
    """
    from harness.quality.scoring import Scores, ScoreSummary
    from judges import build

    source = open_source(file, form, columns, name, split)
    written = {
        "kind": "pointwise",
        "rubric": options["rubric"],
        "model": {"model": options["model"], "endpoint": options["endpoint"]},
    }
    spec = build("quality", written, root=Path.cwd())
    judge = spec.bind({spec.model_key: _candidate(options["endpoint"], options["model"])})
    scores, summary = Scores.open(options["scores"], judge.digest), ScoreSummary(options["least"])
    asyncio.run(_score(source, judge, scores, summary, options))
    if as_json:
        click.echo(json.dumps(summary.as_dict() | {"asked": scores.asked, "known": scores.known}, ensure_ascii=False))
    else:
        for line in _lines(source, summary, scores):
            click.echo(line)
    if summary.errored:
        raise IncompleteError(f"{summary.errored:,} rows could not be asked about", todo="Run the same command again")
    return 0 if summary.reached == summary.rows else 1


def _candidate(endpoint: str, model: str) -> Any:
    from harness.model import Candidate, digest_of

    return Candidate("judge", model, digest_of([endpoint, model]), kind="endpoint", base_url=endpoint)


async def _score(source: Source, judge: Judge, scores: Scores, summary: ScoreSummary, options: dict[str, Any]) -> None:
    from harness.client import OpenAIClient
    from harness.quality.examples import Example
    from harness.quality.files import DroppedFile, keep
    from harness.quality.scoring import score_rows
    from harness.quality.writers import open_writer

    clean, key = options["clean"], os.environ.get("OPENAI_API_KEY")
    aside = options["dropped"] or (clean.with_name(clean.name + ".dropped.jsonl") if clean else None)
    with ExitStack() as stack:
        kept = stack.enter_context(open_writer(clean)) if clean else None
        left = stack.enter_context(DroppedFile(aside))
        async with OpenAIClient(options["endpoint"], api_key=key, concurrency=options["concurrency"], stream="never") as client:
            await client.require_model(options["model"])
            rows = islice(source, options["limit"])
            async for row, score in score_rows(rows, scores, _asker(judge, client), at_once=options["concurrency"]):
                summary.add(row, score)
                if summary.rows % _EVERY == 0:
                    click.echo(f"{summary.rows:,} rows graded, {scores.asked:,} of them asked now", err=True)
                reason = _why_not(row, score, options["least"])
                if reason is None and kept is not None and isinstance(row, Example):
                    reason = keep(kept, row)
                if reason is not None:
                    left.add(reason)


def _asker(judge: Judge, client: Any) -> Any:
    """Ask the judge about one row: the row's question and answer are a case and its response."""
    from harness.model import Case, Response
    from harness.quality.scoring import QualityScore

    async def ask(row: Example) -> QualityScore:
        case = Case(row.where, "data", {"input": row.input_text})
        found = await judge.judge(case, Response("", row.output_text, finish_reason="stop"), client)
        return QualityScore(found.value, found.explanation, found.unscored, found.errored)

    return ask


def _why_not(row: Any, score: QualityScore | None, least: float) -> Dropped | None:
    """The row as Dropped, or None when it reaches the value. What has no score is not kept: nobody read it."""
    from harness.quality.examples import Dropped

    if isinstance(row, Dropped):
        return row
    if score is None:
        return Dropped.of(row, "no-answer", "there is no answer to grade")
    if score.value is None:
        return Dropped.of(row, "unscored", f"the judge gave no value: {score.unscored}")
    if score.value < least:
        return Dropped.of(row, "low-quality", f"graded {score.value:.2f}: {score.reason}")
    return None


def _lines(source: Source, summary: ScoreSummary, scores: Scores) -> Iterator[str]:
    from harness.cli.layout import fit
    from reports.text import plural, visible

    unscored = summary.unscored.total()
    yield visible(f"{source.path}: {plural(summary.rows, 'row')}")
    parts = (
        ("scored", summary.scored),
        ("unscored", unscored),
        ("errored", summary.errored),
        ("without an answer", summary.skipped),
        ("unreadable", summary.unread.rows),
    )
    yield "  " + ", ".join(f"{count:,} {what}" for what, count in parts if count)
    yield from first_of(summary.unread)
    yield f"  {scores.asked:,} asked now, {scores.known:,} known from {visible(str(scores.path))}"
    if summary.scored:
        at = [f"{(summary.percents.quantile(share) or 0) / 100:.2f}" for share in (0.1, 0.5, 0.9)]
        yield f"  values: 10 % up to {at[0]}, median {at[1]}, 90 % up to {at[2]}"
        yield f"  {summary.reached:,} of {plural(summary.rows, 'row')} reach {summary.least:g}"
        for line, value, reason in summary.low:
            yield f"    {fit(f'line {line}: {value:.2f} {reason}', 76).rstrip()}"
