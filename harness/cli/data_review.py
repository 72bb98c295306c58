"""``harness data review``: people accept or reject a sample of training rows in a browser; rates and agreement."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli import pages
from harness.cli.data_options import first_of, open_source, source_options

if TYPE_CHECKING:
    from harness.model import Estimate
    from harness.quality.files import Source
    from harness.quality.humancheck import Agreement, Rate, RowPlan, Summary
    from harness.quality.reviewfile import ReviewFile

_NAME = 22  # columns of a name


@click.command("review")
@source_options
@click.option(
    "--by", multiple=True, type=click.Choice(["capability", "source", "task", "nothing"]), help="Strata; may be repeated."
)
@click.option("--sample", type=click.IntRange(1, 5_000), help="Rows to read.  [default: 50]")
@click.option("--seed", type=click.IntRange(min=0), help="Of the sample.  [default: 0]")
@click.option("--rater", metavar="NAME", help="Who reads (default: who is logged in here).")
@click.option("--port", type=click.IntRange(0, 65_535), default=0, help="Port (default: a free one).")
@click.option(
    "--host", type=click.Choice(["127.0.0.1", "::1"]), default="127.0.0.1", show_default=True, help="Only this machine."
)
@click.option("--summary", is_flag=True, help="Say how many rows are accepted and how people agree; no server.")
@click.option("--json", "as_json", is_flag=True, help="The summary as one JSON object; no server.")
@click.option("--accepted", type=click.Path(path_type=Path), help="Write the rows that people accepted here; no server.")
def command(
    file: Path,
    form: str | None,
    columns: str | None,
    name: str | None,
    split: str | None,
    by: tuple[str, ...],
    sample: int | None,
    seed: int | None,
    rater: str | None,
    port: int,
    host: str,
    summary: bool,
    as_json: bool,
    accepted: Path | None,
) -> None:
    """Let people accept or reject a sample of FILE's rows, in a browser on this machine.

    Rows are drawn by capability and source where they carry them (`harness curate`), else by task type, each with a known chance.
    Verdicts are kept in FILE.review.jsonl and are safe as soon as the next page shows; the same command goes on.
    """
    from harness.quality.reviewfile import ReviewFile, beside, plan_for

    source = open_source(file, form, columns, name, split)
    log = ReviewFile(beside(source.path))
    if summary or as_json or accepted:
        _tell(source, log, summary, as_json, accepted)
        return
    who = pages.name_of(rater or pages.user())
    strata = None if not by else tuple(part for part in by if part != "nothing")
    plan = plan_for(log, source, by=strata, seed=seed, sample=sample)
    _review(source, log, plan, who, host, port)


def _review(source: Source, log: ReviewFile, plan: RowPlan, rater: str, host: str, port: int) -> None:
    from harness.quality.reviewfile import rows_of

    try:
        from reports.review import rows
        from reports.review.rows_session import RowReview
    except ImportError as error:
        raise pages.not_installed(error) from None
    review = RowReview(source.path.name, plan, rows_of(source, plan), log)
    listening = pages.listen(host, port)
    try:
        port = listening.getsockname()[1]
        application, token = rows.create(review, port=port, rater=rater)
        click.echo(f"{len(review.order):,} of {plan.rows:,} rows to read; {review.progress(rater).done:,} read by {rater}")
        pages.tell(pages.address(host, port, token))
        pages.serve(application, listening)
    finally:
        listening.close()
    click.echo(f"\nstopped; {review.progress(rater).done:,} rows read by {rater}, all stored in {log.path.name}")


# -- what was said ---------------------------------------------------------------------------------------------------------------


def _tell(source: Source, log: ReviewFile, summary: bool, as_json: bool, accepted: Path | None) -> None:
    from harness.errors import DataError
    from harness.quality.files import DroppedFile, write_examples
    from harness.quality.humancheck import summarise
    from harness.quality.reviewfile import accepted_rows, digest_of_file
    from reports.text import plural, visible

    plan = next(reversed(log.plans.values()), None)
    if plan is None:
        raise DataError("nobody has reviewed these rows yet", where=str(source.path), todo="Run it without --summary first")
    if summary or as_json:
        found, changed = summarise(plan, log.words), plan.file != digest_of_file(source.path)
        if as_json:
            click.echo(json.dumps(as_dict(found) | {"file_changed": changed, "damaged_lines": log.damaged}, ensure_ascii=False))
        else:
            for line in lines(source.path.name, found, changed=changed, damaged=log.damaged):
                click.echo(line)
    if accepted:
        with DroppedFile(None) as left:
            done = write_examples(accepted, accepted_rows(source, log), drop=left.add)
        if not as_json:
            click.echo(visible(f"wrote {plural(done.rows, 'accepted row')} to {accepted}"))
            if left.codes:
                click.echo(f"{plural(left.codes.total(), 'accepted row')} cannot be written there:")
                for line in first_of(left.told):
                    click.echo(line)


def as_dict(found: Summary) -> dict[str, object]:
    from harness.store.rows import plain

    told: dict[str, object] = plain(found)
    return told


def lines(file: str, found: Summary, *, changed: bool = False, damaged: int = 0) -> Iterator[str]:
    """The summary in at most 80 columns."""
    from harness.cli.layout import wrap
    from reports.text import label, plural

    total = found.all
    by = f" by {' and '.join(found.by)}" if found.by else ""
    people = plural(len(found.raters), "person", "people")
    drawn = f"{total.drawn:,} drawn{by} (seed {found.seed}), {total.read:,} read by {people}"
    yield from wrap(f"{label(file, 60)}: {plural(total.rows, 'row')}, {drawn}", 80, indent="  ")
    yield from wrap(f"accepted: {estimate(total.rate)}", 80, indent="  ")
    if total.disputed or total.skipped or total.other:
        parts = [f"{total.disputed:,} disputed (not accepted)"] if total.disputed else []
        parts += [f"{total.skipped:,} that nobody could tell (left out)"] if total.skipped else []
        parts += [f"{total.other:,} whose other answer is better"] if total.other else []
        yield from wrap(f"of the rows read: {', '.join(parts)}", 80, indent="  ")
    if found.missing and total.read:
        names = ", ".join(label(name, 40) for name in found.missing)
        yield from wrap(f"nothing was read of {names}: the rate speaks for the others only", 80, indent="  ")
    if changed:
        yield from wrap("the file has changed since these rows were drawn: this is about what it was", 80, indent="  ")
    if found.unread_rows:
        what = f"{plural(found.unread_rows, 'row')} of the file cannot be read and could not be drawn"
        yield from wrap(f"{what} (harness data validate says which)", 80, indent="  ")
    if damaged:
        yield f"{plural(damaged, 'line')} of the review cannot be read (cut short) and were left out"
    if total.read:
        yield from _table("stratum", found.strata)
        yield from _table("rater", found.raters)
    for pair in found.agreements:
        yield from wrap(_agreed(pair), 80, indent="  ")
    if found.alpha:
        yield from wrap(f"all raters: Krippendorff's alpha {estimate(found.alpha, share=False)}", 80, indent="  ")


def _table(what: str, rates: Sequence[Rate]) -> Iterator[str]:
    from harness.cli.layout import fit

    yield f"{fit(what, _NAME)}{'rows':>9}{'read':>6}{'accepted':>10}{'share':>8}   95 % interval"
    for rate in rates:
        value, low, high = rate.rate.value, rate.rate.low, rate.rate.high
        share = "–" if value is None else f"{100 * value:.1f}%"
        interval = "–" if low is None or high is None else f"{100 * low:.1f}% to {100 * high:.1f}%"
        yield f"{fit(rate.name, _NAME)}{rate.rows:>9,}{rate.read:>6,}{rate.accepted:>10,}{share:>8}   {interval}"


def _agreed(pair: Agreement) -> str:
    from reports.text import label, plural

    names = f"{label(pair.first, 30)} and {label(pair.second, 30)}"
    if not pair.share.n:
        return f"{names}: no row that both decided on"
    return f"{names} agree on {estimate(pair.share)} of {plural(pair.share.n, 'row')}, kappa {estimate(pair.kappa, share=False)}"


def estimate(found: Estimate, *, share: bool = True) -> str:
    """``86.0 % (95 % interval 73.3 % to 94.2 %)``, or why there is none."""
    if found.value is None:
        return f"unknown ({found.reason})"
    numbers = (found.value, found.low, found.high)
    value, low, high = (None if x is None else f"{100 * x:.1f}%" if share else f"{x:.2f}" for x in numbers)
    if low is None:
        return f"{value} (no interval: {found.reason})"
    if low == high:
        return f"{value} ({found.method})"
    return f"{value} ({found.level:.0%} interval {low} to {high})"
