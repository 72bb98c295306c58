"""``harness review``: people read, rate, compare, rank and adjudicate in a browser; labels go out to and come in from files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli import pages
from harness.cli.options import open_store, store_option

if TYPE_CHECKING:
    from harness.model import CapabilityComparison, Label, RunRecord
    from harness.store import Store
    from reports.review.session import Review, Settings


@click.command("review")
@click.argument("run", default="latest")
@click.option("--baseline", help="Against this run (default: that of the run's verdict, else the promoted one).")
@click.option("--also", multiple=True, metavar="RUN", help="Rank the answers of this run, too (repeatable).")
@click.option("--rater", metavar="NAME", help="Who labels (default: who is logged in here).")
@click.option("--split", type=click.Choice(["gate", "dev"]), default="gate", show_default=True, help="Whose cases.")
@click.option("--sample", "batch", type=click.IntRange(1, 5_000), default=50, show_default=True, help="Cases of one sitting.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the drawn order.")
@click.option("--port", type=click.IntRange(0, 65_535), default=0, help="Port (default: a free one).")
@click.option(
    "--host", type=click.Choice(["127.0.0.1", "::1"]), default="127.0.0.1", show_default=True, help="Only this machine."
)
@click.option("--chat", "chat_url", metavar="URL", help="Chat with both models, too: a server that serves them, with /v1.")
@click.option(
    "--export", "export_to", type=click.Path(path_type=Path), help="Write the labels (JSONL), with their history; no server."
)
@click.option("--import", "import_from", type=click.Path(path_type=Path), help="Read labels (JSONL) of this run; no server.")
@click.option("--status", is_flag=True, help="Say who labelled what, and where people disagree; no server.")
@store_option
def command(
    run: str,
    baseline: str | None,
    also: tuple[str, ...],
    rater: str | None,
    split: str,
    batch: int,
    seed: int,
    port: int,
    host: str,
    chat_url: str | None,
    export_to: Path | None,
    import_from: Path | None,
    status: bool,
    store_dir: Path,
) -> None:
    """Let people label the cases of RUN (an id, its beginning, or `latest`) in a browser on this machine.

    What would move the verdict comes first, mixed with a random sample whose chances are stored. Labels are safe as soon as the
    next page shows; stop with Ctrl-C, go on with the same command.
    """
    from harness.model import Split
    from reports.review.session import Settings

    with open_store(store_dir) as store:
        record = store.run(run)
        if import_from:
            click.echo(f"{_import(store, record, import_from)} from {import_from}")
        if export_to:
            click.echo(f"wrote {_export(store, record, export_to)} to {export_to}")
        if status:
            for line in _status(store, record):
                click.echo(line)
        if import_from or export_to or status:
            return
        settings = Settings(Split(split), seed, batch, tuple(store.run(name).id for name in also))
        against, comparisons = _against(store, record, baseline)
        _review(store, record, against, comparisons, settings, rater or pages.user(), host, port, chat_url)


def _against(store: Store, run: RunRecord, reference: str | None) -> tuple[RunRecord | None, tuple[CapabilityComparison, ...]]:
    """The run to hold this one against, and what their stored verdict (if there is one) says of each capability."""
    named = store.run(reference) if reference else None
    decided = store.verdict(run.id, named.id if named else None)
    if named is None and decided and decided.baseline_run_id:
        named = store.run(decided.baseline_run_id)
    if named is None:
        named = store.promoted(run.suite_name)
    if named is None or named.id == run.id:
        return None, ()
    return named, decided.verdict.comparisons if decided and decided.baseline_run_id == named.id else ()


# -- the server ------------------------------------------------------------------------------------------------------------------


def _review(
    store: Store,
    run: RunRecord,
    baseline: RunRecord | None,
    comparisons: tuple[CapabilityComparison, ...],
    settings: Settings,
    rater: str,
    host: str,
    port: int,
    chat_url: str | None,
) -> None:
    from reports.text import label

    try:
        from reports.review import app
        from reports.review.chat import Chat
        from reports.review.session import Review
    except ImportError as error:
        raise pages.not_installed(error) from None
    rater_name = pages.name_of(rater)
    speakers = [r.candidate for r in (run, baseline) if r]
    chat = Chat(chat_url, speakers, api_key=os.environ.get("OPENAI_API_KEY")) if chat_url else None
    if chat:
        chat.check()
    listening = pages.listen(host, port)
    against = f" against {label(baseline.candidate.name, 40)}" if baseline else ""
    click.echo(f"review of {label(run.candidate.name, 40)}{against}")  # reading a large run takes a while
    review = Review.begin(store, run, baseline, settings, comparisons)
    try:
        port = listening.getsockname()[1]
        application, token = app.create(review, port=port, rater=rater_name, chat=chat)
        _greet(review, pages.address(host, port, token))
        pages.serve(application, listening)
    finally:
        review.close()
        listening.close()
    said = sum(one.rater == rater for one in review.current())
    click.echo(f"\nstopped; {said} labels by {rater} count, all stored")


def _greet(review: Review, address: str) -> None:
    for kind, words in (("rate", "to rate"), ("pair", "to compare"), ("rank", "to rank")):
        plan = review.plans[kind]
        if plan.picks:
            click.echo(f"  {min(plan.batch, len(plan.picks)):>6,} of {plan.population:,} cases {words}")
    pages.tell(address)


# -- files -----------------------------------------------------------------------------------------------------------------------


def _export(store: Store, run: RunRecord, path: Path) -> str:
    from harness.errors import UsageError
    from harness.labels import as_row
    from harness.store.labels import LabelStore
    from reports.text import plural

    found = LabelStore(store).labels(run.id)
    text = "".join(json.dumps(as_row(label), ensure_ascii=False) + "\n" for label in found)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write the labels: {error.strerror}", where=str(path), todo="Give another path") from error
    return plural(len(found), "label")


def _import(store: Store, run: RunRecord, path: Path) -> str:
    """Labels of a file into the store; all of them, or none where one row is wrong. Those already there are left as they are."""
    from harness.store.labels import LabelStore
    from reports.text import plural

    people = LabelStore(store)
    labels = list(_read(store, run, path))
    known = {label.id for label in people.labels()}
    new = {label.id: label for label in labels if label.id not in known}
    with people.writer() as writer:
        writer.add_many(new.values())
    return f"{plural(len(new), 'new label')}, {len(labels) - len(new):,} already there,"


def _read(store: Store, run: RunRecord, path: Path) -> Iterator[Label]:
    import time

    from harness.errors import Fault, HarnessError, SuiteError
    from harness.labels import from_row
    from harness.rows import BadRow, read_rows

    splits = {(row.capability, row.case_id): str(row.split) for row in store.score_rows(run.id)}
    faults: list[Fault] = []
    found: list[Label] = []
    now = time.time()
    for row in read_rows(path):
        if isinstance(row, BadRow):
            faults.append(Fault(f"{path}:{row.line}", row.what, row.todo))
            continue
        line, values = row
        where = f"{path}:{line}"
        split = splits.get((str(values.get("capability")), str(values.get("case_id"))))
        try:
            label = from_row(values, where=where, defaults={"run_id": run.id, "split": split or "gate", "created_at": now})
        except HarnessError as error:
            faults.append(Fault(where, error.what, error.todo))
            continue
        if split is None:  # then nobody could say whether it is a gate case
            faults.append(Fault(where, f"run {run.id} has no case {label.case_id!r} in {label.capability!r}"))
        elif label.split != split:
            faults.append(Fault(where, f"says split {label.split}, the run says {split}", "correct it: gate cases never train"))
        else:
            found.append(label)
    if faults:
        raise SuiteError(faults[:20])
    yield from found


def _status(store: Store, run: RunRecord) -> Iterator[str]:
    from harness.cli.layout import fit
    from harness.labels import current, settle
    from harness.store.labels import LabelStore
    from reports.text import label, plural

    found = LabelStore(store).labels(run.id)
    counting, matters = current(found), settle(found)
    yield f"labels of run {run.id} ({label(run.candidate.name, 40)}): {len(counting):,} count, {len(found):,} in the history"
    if not counting:
        return
    yield f"  {'rater':<24}" + "".join(f"{word:>10}" for word in ("rated", "compared", "ranked", "marked"))
    for rater in sorted({one.rater for one in counting}):
        counts = [sum(one.rater == rater and one.kind == kind for one in counting) for kind in ("rate", "pair", "rank", "mark")]
        yield f"  {fit(rater, 24)}" + "".join(f"{n:>10,}" for n in counts)
    states = {state: sum(matter.state == state for matter in matters) for state in ("agreed", "disputed", "adjudicated")}
    both = states["agreed"] + states["disputed"] + states["adjudicated"]
    if both:
        yield f"{plural(both, 'thing')} by several people: " + ", ".join(f"{n:,} {state}" for state, n in states.items())
    marks: dict[str, int] = {}
    for one in counting:
        for mark in one.marks:
            marks[mark] = marks.get(mark, 0) + 1
    if marks:
        yield "marks: " + ", ".join(f"{n:,} {mark}" for mark, n in sorted(marks.items()))
