"""What ``harness data validate`` shows: lines of at most 80 columns, and the page."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.layout import fit
from reports.text import label, plural, visible

if TYPE_CHECKING:
    from harness.quality.counting import Lengths
    from harness.quality.validate import CodeCount, Validation
    from reports.data import CodeView, DataView, Histogram, Part, TrainerView
    from training.dryrun import TrainerPass
    from training.ifd import DifficultyPass

_FIRST = 2  # places shown of each code


def lines(
    found: Validation, trainer: TrainerPass | None, difficulty: DifficultyPass | None, verdict: tuple[bool, str]
) -> Iterator[str]:
    yield visible(f"{found.source}: {found.format} ({found.reason})")
    parts = (("clean", found.clean), ("with notes", found.noted), ("with warnings", found.warned), ("with errors", found.failed))
    yield f"{plural(found.rows, 'row')}: " + ", ".join(f"{count:,} {name}" for name, count in parts if count)
    for code in found.sorted_codes():
        yield from _code(code)
    yield from _lengths(found)
    for text in [*(trainer_words(trainer) if trainer else ()), *(difficulty_words(difficulty) if difficulty else ())]:
        yield from textwrap.wrap(text, 80, subsequent_indent="  ", break_long_words=False)
    yield from textwrap.wrap(f"{'PASS' if verdict[0] else 'FAIL'}: {verdict[1]}", 80)


def _code(code: CodeCount) -> Iterator[str]:
    yield f"  {code.level:<8}{fit(code.code, 22)}{plural(code.rows, 'row'):>14}"
    for line, message in code.first[:_FIRST]:
        where = f"line {line}" if line else "file"
        yield f"    {fit(f'{where}: {message}', 76).rstrip()}"
    yield f"    to do: {label(code.todo, 69)}"


def _lengths(found: Validation) -> Iterator[str]:
    rows = (("asked", found.asked), ("answer", found.answered), ("rejected", found.rejected))
    shown = [(name, lengths) for name, lengths in rows if lengths.n]
    if shown:
        yield f"  {'characters':<12}" + "".join(f"{name:>9}" for name in ("median", "p95", "max"))
        for name, lengths in shown:
            cells = (lengths.quantile(0.5), lengths.quantile(0.95), lengths.quantile(1.0))
            yield f"  {name:<12}" + "".join(f" {cell or 0:>8,}" for cell in cells)


def trainer_words(trainer: TrainerPass) -> list[str]:
    """What the trainer would do, in sentences."""
    fates, total = trainer.fates, trainer.total
    rows = sum(fates.values())
    words = [
        f"The trainer ({trainer.recipe.stage}, cutoff_len {trainer.recipe.cutoff_len:,}) would take {fates['whole']:,} of "
        f"{plural(rows, 'row')} whole, cut {fates['cut']:,}, drop {fates['dropped']:,} and refuse {fates['refused']:,}."
    ]
    if total["kept"]:
        words.append(
            f"Of {total['kept']:,} tokens it keeps, {total['learnt']:,} ({total['learnt'] / total['kept']:.0%}) are learnt, "
            f"the others are masked; {total['lost']:,} tokens of answers are cut off."
        )
    if p99 := trainer.tokens.quantile(0.99):
        words.append(f"Rows have {trainer.tokens.quantile(0.5):,} tokens (median), {p99:,} (99th percentile).")
    return words


def difficulty_words(difficulty: DifficultyPass) -> list[str]:
    """How much the questions help, in a sentence."""
    at = [difficulty.percents.quantile(share) for share in (0.1, 0.5, 0.9)]
    if None in at:
        return ["No row has an answer long enough for an IFD."]
    low, middle, high = (f"{(value or 0) / 100:.2f}" for value in at)
    rows, above = plural(difficulty.percents.n, "row"), difficulty.percents.above(100)
    return [
        f"IFD of {rows}: median {middle}, 80 % of them between {low} and {high}; above 1 in {above:,} "
        "(below 1 the question helps to predict the answer, near 0 the answer is easy with it)."
    ]


# -- the page --------------------------------------------------------------------------------------------------------------------


def write_page(
    path: Path,
    found: Validation,
    trainer: TrainerPass | None,
    difficulty: DifficultyPass | None,
    verdict: tuple[bool, str],
) -> None:
    from harness.errors import DataError
    from reports.data import render

    try:
        path.write_text(render(view(found, trainer, difficulty, verdict)), encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot be written: {error.strerror or error}", where=str(path), todo="Choose another place") from None


def view(
    found: Validation, trainer: TrainerPass | None, difficulty: DifficultyPass | None, verdict: tuple[bool, str]
) -> DataView:
    from reports.data import DataView, Part

    rows = (
        Part("clean", found.clean, "good"),
        Part("with notes", found.noted, "neutral"),
        Part("with warnings", found.warned, "unsure"),
        Part("with errors", found.failed, "bad"),
    )
    lengths = [("Asked", "characters", found.asked), ("Answer", "characters", found.answered)]
    lengths += [("Rejected", "characters", found.rejected), ("Turns", "turns", found.turns)]
    lengths += [("IFD", "% (above 100 the question does not help)", difficulty.percents)] if difficulty else []
    return DataView(
        file=found.source,
        passed=verdict[0],
        lead=verdict[1],
        facts=_facts(found),
        rows=rows,
        codes=tuple(_code_view(code, found.rows) for code in found.sorted_codes()),
        histograms=tuple(_histogram(name, unit, counts) for name, unit, counts in lengths if len(counts.counts) > 1),
        trainer=None if trainer is None else _trainer_view(trainer),
    )


def _facts(found: Validation) -> tuple[tuple[str, str], ...]:
    facts = [("Format", f"{found.format} ({found.reason})"), ("Rows", f"{found.rows:,}")]
    facts += [("Kinds", ", ".join(f"{kind} {count:,}" for kind, count in found.kinds.most_common()))] if found.kinds else []
    if pairs := found.longer + found.shorter:
        facts.append(("Chosen is longer", f"in {found.longer:,} of {plural(pairs, 'pair')} ({found.longer / pairs:.0%})"))
    return tuple(facts)


def _code_view(code: CodeCount, rows: int) -> CodeView:
    from reports.data import CodeView

    first = tuple((f"{line:,}" if line else "file", message) for line, message in code.first)
    return CodeView(code.code, code.check, code.level.value, code.rows, f"{code.rows / max(rows, 1):.1%}", code.todo, first)


def _histogram(name: str, unit: str, lengths: Lengths, limit: int | None = None) -> Histogram:
    from reports.data import Histogram

    names = (("median", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99), ("longest", 1.0))
    facts = tuple((key, f"{lengths.quantile(share) or 0:,}") for key, share in names)
    return Histogram(name, unit, tuple(lengths.bins()), facts, limit)


def _trainer_view(trainer: TrainerPass) -> TrainerView:
    from reports.data import Part, TrainerView

    fates, total = trainer.fates, trainer.total
    rows: tuple[Part, ...] = (
        Part("taken whole", fates["whole"], "good"),
        Part("cut", fates["cut"], "unsure"),
        Part("dropped", fates["dropped"], "bad"),
        Part("refused", fates["refused"], "ghost"),
    )
    tokens = (
        Part("learnt", total["learnt"], "good"),
        Part("masked", total["masked"], "neutral"),
        Part("cut off", total["cut"], "bad"),
    )
    histograms = (
        _histogram("Row before the cut", "tokens", trainer.tokens, trainer.recipe.cutoff_len),
        _histogram("Learnt in a row", "tokens", trainer.learnt),
        _histogram("Learnt share of a row", "% of its tokens", trainer.shares),
    )
    return TrainerView(tuple(trainer_words(trainer)), rows, tokens, tuple(each for each in histograms if len(each.bins) > 1))
