"""``harness data distribution``: what training data is made of and what to add to it, in lines of at most 80 columns."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.data_options import first_of, open_source, source_options
from harness.cli.options import open_store, store_option

if TYPE_CHECKING:
    from harness.quality.distribution import Cover, Distribution, FailingCase, Gap

_BAR = 24  # columns of a full bar
_SHOWN = 12  # parts of a dimension


@click.command("distribution")
@source_options
@click.option("--target", type=click.Path(path_type=Path), help="YAML: tasks, languages, turns or lengths -> part -> share.")
@click.option("--run", "reference", help="Compare with the failing dev cases of this stored run (needs the extra `similar`).")
@click.option("--topics", type=click.IntRange(2, 100), help="Also find so many topics by embeddings (needs the extra `similar`).")
@click.option("--model", help="Folder of a sentence-transformers model. Default: the one of the extra `similar`.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the sample and of the topics.")
@click.option("--json", "as_json", is_flag=True, help="Everything, as one JSON object.")
@store_option
def command(
    file: Path,
    form: str | None,
    columns: str | None,
    name: str | None,
    split: str | None,
    target: Path | None,
    reference: str | None,
    topics: int | None,
    model: str | None,
    seed: int,
    as_json: bool,
    store_dir: Path,
) -> int:
    """Say what FILE is made of: task types, languages, turns, lengths, topics; and what to add to it.

    Exit code 0; 1 when a --target is missed by more than two points or a failing capability has cases without any row near.
    """
    from harness.quality.distribution import cover, distribution, gaps, read_target, with_topics

    wanted = read_target(target) if target else {}
    failing = _failing(store_dir, reference) if reference else []
    found = distribution(open_source(file, form, columns, name, split), seed=seed)
    told = gaps(found, wanted) if wanted else []
    covers: list[Cover] = []
    if topics or failing:
        from harness.quality.embedding import local_embedder

        embed = local_embedder(model)
        vectors = with_topics(found, embed, topics or 12, seed=seed)
        covers = cover(found, vectors, failing, embed)
    if as_json:
        click.echo(json.dumps(as_dict(found, told, covers), ensure_ascii=False))
    else:
        for line in lines(found, told, covers, failing if reference else None):
            click.echo(line)
    missed = any(abs(gap.share - gap.wanted) > 0.02 for gap in told) or any(each.far for each in covers)
    return 1 if missed else 0


def _failing(store_dir: Path, reference: str) -> list[FailingCase]:
    """The dev cases of a run of which no sample passes, with what they ask. Gate cases are never looked at: data follows."""
    from harness.cli import stored
    from harness.model import ItemStatus, Split
    from harness.quality.distribution import FailingCase

    passed: dict[tuple[str, str], bool] = {}
    texts: dict[tuple[str, str], str] = {}
    with open_store(store_dir) as store:
        run, _ = stored.named(store, reference)
        for item in store.items(run.id, status=ItemStatus.SCORED):
            if item.case.split is not Split.DEV or item.score is None:
                continue
            key = (item.case.capability, item.case.id)
            passed[key] = passed.get(key, False) or bool(item.score.passed)
            texts[key] = next((m.content for m in reversed(item.messages) if m.role == "user"), "")
    return [FailingCase(capability, case, texts[capability, case]) for (capability, case), good in passed.items() if not good]


def lines(
    found: Distribution, told: Sequence[Gap], covers: Sequence[Cover], failing: Sequence[FailingCase] | None
) -> Iterator[str]:
    from reports.text import plural

    skipped = found.unread.rows
    yield plural(found.rows, "row") + (f" ({plural(skipped, 'row')} could not be read)" if skipped else "")
    yield from first_of(found.unread)
    for dimension in ("tasks", "languages", "turns", "lengths"):
        yield from _dimension("answer lengths" if dimension == "lengths" else dimension, found.of(dimension), found.rows)
    yield from _topics(found)
    if told:
        yield "against the target, at the same number of rows:"
        for gap in told:
            yield from _wrapped(gap.sentence)
    if failing is not None and not failing:
        yield "against the run: no dev case fails (gate cases are not looked at: data would follow them)"
    elif covers:
        yield "against the failing dev cases of the run:"
        for each in covers:
            yield from _wrapped(each.sentence)


def _dimension(name: str, counts: Counter[str], rows: int) -> Iterator[str]:
    from harness.cli.layout import fit

    if not rows:
        return
    yield name
    for part, count in counts.most_common(_SHOWN):
        bar = "█" * max(1, round(_BAR * count / rows))
        yield f"  {fit(part, 22)}{count:>9,} {count / rows:>6.1%}  {bar}"
    if len(counts) > _SHOWN:
        rest = sum(count for _, count in counts.most_common()[_SHOWN:])
        yield f"  {fit(f'{len(counts) - _SHOWN} more', 22)}{rest:>9,} {rest / rows:>6.1%}"


def _topics(found: Distribution) -> Iterator[str]:
    from harness.cli.layout import fit

    if found.topics is None:
        return
    of = len(found.sample)
    yield f"topics of {of:,} rows" + (" (a sample)" if of < found.rows else "")
    for topic in found.topics.topics:
        line, text = found.sample[topic.nearest[0]]
        yield f"  {fit(topic.name, 30)}{topic.count:>7,} {topic.count / of:>6.1%}  {fit(f'line {line}: {text}', 30).rstrip()}"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 80, initial_indent="  ", subsequent_indent="    ", break_long_words=False)


def as_dict(found: Distribution, told: Sequence[Gap], covers: Sequence[Cover]) -> dict[str, object]:
    from harness.store.rows import plain

    return found.as_dict() | {
        "target": [plain(gap) | {"sentence": gap.sentence} for gap in told],
        "failing": [plain(each) | {"sentence": each.sentence} for each in covers],
    }
