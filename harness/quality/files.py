"""Training data from and to files, one row at a time: JSONL, JSON arrays, CSV, Parquet, and folders of the datasets library.

    for row in read_examples(Path("train.jsonl")):
        if isinstance(row, Dropped): ...      # with file:line and the reason
    write_examples(Path("train.parquet"), rows, to="trl")

Reading holds one row (Parquet: one batch) in memory, whatever the size of the file. Which format the rows have is found from the
first hundred (or said by a dataset_info.json beside the file, or by the caller).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any

from harness import plugs
from harness.errors import DataError
from harness.quality.examples import Dropped, Example, Unread
from harness.quality.formats import Entry, Format, Layout, Unfit, detect, entry_for
from harness.quality.formats.info import INFO, describes, named
from harness.quality.records import read_records
from harness.quality.writers import Writer, open_writer
from harness.rows import BadRow, Rows, file_trouble

_LOOK = 100  # rows by which the format is told


@dataclass(frozen=True, slots=True)
class Source:
    """A file of training rows and how it is read. reason: why that format, in words. split: of a data set folder."""

    path: Path
    format: Format
    layout: Layout
    reason: str
    split: str | None = None

    def __iter__(self) -> Iterator[Example | Dropped]:
        for entry in read_records(self.path, split=self.split):
            yield self.example(entry)

    def example(self, entry: tuple[int, dict[str, Any]] | BadRow) -> Example | Dropped:
        if isinstance(entry, BadRow):
            return Dropped(str(self.path), entry.line, "unreadable", entry.what, entry.todo, text=entry.text)
        line, row = entry
        return example_of(row, self.format, self.layout, source=str(self.path), line=line)


def example_of(
    row: Mapping[str, Any], form: Format, layout: Layout | None = None, *, source: str = "", line: int = 0
) -> Example | Dropped:
    """One row as the format reads it, or why it cannot be."""
    try:
        found = form.read(row, layout or Layout())
    except Unfit as error:
        return Dropped(source, line, error.code, error.what, error.todo, raw=row)
    return found.with_(source=source, line=line, raw=row)


def open_examples(
    path: Path,
    *,
    form: str | None = None,
    columns: Mapping[str, str] | None = None,
    name: str | None = None,
    split: str | None = None,
) -> Source:
    """How a file is to be read. form: a format's name, else it is found. columns: logical name -> column (prompt -> question).
    name: the data set meant when path is a dataset_info.json (or a folder with one). split: of a ``datasets`` folder.

    DataError: no such file, no readable row, no known format. UsageError: no format of that name.
    """
    path, entry = _meant(path, name)
    entry = entry or (entry_for(path) if form is None else None)
    if form is not None or entry is not None:
        chosen = plugs.find("data format", form or (entry.format if entry else ""))
        base = entry.layout if entry and not form else Layout()
        layout = Layout({**base.columns, **(columns or {})}, base.tags, base.ranking)
        if not path.is_dir() and (trouble := file_trouble(path)):
            raise DataError(trouble, where=str(path), todo="Check the path")
        return Source(path, chosen, layout, "as asked" if form else "its description says so", split)
    rows = [entry[1] for entry in islice(_readable(path, split), _LOOK) if not isinstance(entry, BadRow)]
    layout = Layout(dict(columns or {}))
    guess = detect([_default_names(row, layout) for row in rows], str(path))
    return Source(path, guess.format, layout, guess.reason, split)


def _meant(path: Path, name: str | None) -> tuple[Path, Entry | None]:
    """The file that is meant, and what a description of data sets says of it."""
    folder = path if path.is_dir() else path.parent
    if describes(path) or (path.is_dir() and name is not None and (path / INFO).is_file()):
        entry = named(folder / INFO if path.is_dir() else path, name)
        return folder / str(entry.file_name), entry
    if name is not None:
        raise DataError(
            "a --name needs a dataset_info.json or a YAML of data sets",
            where=str(path),
            todo="Give that file, or leave --name out",
        )
    return path, None


def _default_names(row: Mapping[str, Any], layout: Layout) -> Mapping[str, Any]:
    """The row as the formats know it, so that a file with other column names is told too."""
    names = {"query": "input", "response": "output"} | {
        key: key for key in ("messages", "history", "chosen", "rejected", "system")
    }
    alpaca = {column: names.get(name, "instruction" if name == "prompt" else name) for name, column in layout.columns.items()}
    return {alpaca.get(key, key): value for key, value in row.items()} if layout.columns else row


def _readable(path: Path, split: str | None) -> Rows:
    """The rows; DataError when the file as a whole cannot be read."""
    for entry in read_records(path, split=split):
        if isinstance(entry, BadRow) and not entry.line:
            raise DataError(entry.what, where=str(path), todo=entry.todo or "Check the path")
        yield entry


def read_examples(
    path: Path, *, form: str | None = None, columns: Mapping[str, str] | None = None
) -> Iterator[Example | Dropped]:
    """Every row of a file as an Example, or Dropped with its line and the reason. See open_examples for what is raised."""
    yield from open_examples(path, form=form, columns=columns)


# -- writing ---------------------------------------------------------------------------------------------------------------------


@dataclass
class Written:
    """What came of writing: rows written, and what was left out of them (text -> rows). first: an example that was written."""

    rows: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    first: Example | None = None


def write_examples(
    path: Path, examples: Iterable[Example | Dropped], *, to: str | None = None, drop: Callable[[Dropped], object] | None = None
) -> Written:
    """Write examples to a file chosen by its ending (.jsonl, .json, .csv, .tsv, .parquet; none: a ``datasets`` folder).

    to: a format's name; None writes each row back exactly as it was read, which is what filters want. drop: told of each row
    that is not written, those that came dropped and those that the format cannot say; see DroppedFile. The file appears under
    its name only when all is written.
    """
    form: Format | None = plugs.find("data format", to) if to is not None else None
    done = Written()
    drop = drop or (lambda _: None)
    with open_writer(path) as writer:
        for example in examples:
            if isinstance(example, Dropped):
                drop(example)
                continue
            notes: list[str] = []
            try:
                row = form.write(example, notes) if form else dict(example.raw)
                notes += writer.write(row)
            except Unfit as error:
                drop(Dropped.of(example, error.code, error.what))
                continue
            done.first = done.first or example
            done.rows += 1
            done.lost.update(set(notes))
        done.lost.update(writer.notes())
    return done


def keep(writer: Writer, row: Example) -> Dropped | None:
    """Write a row as it was read; Dropped where the kind of file cannot hold it."""
    try:
        writer.write(dict(row.raw))
    except Unfit as error:
        return Dropped.of(row, error.code, error.what)
    return None


@dataclass
class DroppedFile:
    """Rows that are not used, one JSON object on each line: source, line, code, reason and the row (or the text there).

    A context; the file is made with its first row, so that a clean run leaves none (and empties one of an earlier run). path
    None: nothing is written. codes: reason code -> rows. told: how many, and the first of them.
    """

    path: Path | None
    codes: Counter[str] = field(default_factory=Counter)
    told: Unread = field(default_factory=Unread)
    writer: Writer | None = None

    def __enter__(self) -> DroppedFile:
        return self

    def add(self, item: Dropped) -> None:
        self.codes[item.code] += 1
        self.told.add(item)
        if self.path is None:
            return
        self.writer = self.writer or open_writer(self.path, kind=".jsonl")
        try:
            self.writer.write(item.as_dict())
        except Unfit:  # a value that JSON does not know, such as bytes or NaN
            self.writer.write(replace(item, raw=None, text=repr(item.raw)).as_dict())

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.writer is not None:
            self.writer.__exit__(kind, error, trace)
        elif kind is None and self.path is not None and self.path.is_file():
            self.path.write_bytes(b"")


def write_dropped(path: Path, dropped: Iterable[Dropped]) -> int:
    """Write a DroppedFile in one go; how many rows there were."""
    with DroppedFile(path) as file:
        for item in dropped:
            file.add(item)
    return file.codes.total()
