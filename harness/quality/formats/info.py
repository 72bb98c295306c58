"""LLaMA-Factory's descriptions of data sets: dataset_info.json (which file, format, columns, tags) and the v1 engine's YAML.

A v1 YAML maps names to {path, source, split, converter, size, weight}. Its ``size`` draws rows with replacement, so that some are
there twice and others never: here every row is read, once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import DataError, Fault, SuiteError
from harness.plugs import nearest
from harness.quality.formats.base import Layout
from harness.suite.document import read_document

INFO = "dataset_info.json"
_REMOTE = ("hf_hub_url", "ms_hub_url", "om_hub_url", "script_url", "cloud_file_name")
_CONVERTERS = {None: "v1", "alpaca": "alpaca", "sharegpt": "sharegpt", "pair": "trl"}
YAML = (".yaml", ".yml")
_FORMATS = {"alpaca": "alpaca", "sharegpt": "sharegpt", "openai": "messages"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One data set of the file. remote: its hub id or address where it lies on no disk (LLaMA-Factory then takes that first)."""

    name: str
    file_name: str | None
    format: str
    layout: Layout
    remote: str | None = None
    split: str = "train"


def describes(path: Path) -> bool:
    """Whether the file describes data sets rather than being one."""
    return path.name == INFO or path.suffix.lower() in YAML


def read_info(path: Path) -> dict[str, Entry]:
    """Every data set of a dataset_info.json or of a v1 YAML; DataError (SuiteError for YAML) for a file that is neither."""
    if path.suffix.lower() in YAML:
        return _read_yaml(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"cannot be read: {error}", where=str(path)) from None
    if not isinstance(data, dict) or not all(isinstance(value, dict) for value in data.values()):
        raise DataError("is no dataset_info.json: it maps names to descriptions", where=str(path))
    return {name: _entry(name, value, path) for name, value in data.items()}


def _read_yaml(path: Path) -> dict[str, Entry]:
    document = read_document(path)
    data, faults = document.data, list(document.faults)
    if not isinstance(data, dict) or not all(isinstance(value, dict) for value in data.values()):
        faults.append(Fault(document.where(), "maps names to data sets: {path, source, converter, ...}"))
    if faults:
        raise SuiteError(faults)
    found = {}
    for name, value in data.items():
        converter = value.get("converter")
        if converter not in _CONVERTERS:
            valid = ", ".join(key for key in _CONVERTERS if key)
            raise SuiteError([Fault(document.where((name,)), f"{name}: there is no converter {converter!r}", f"use {valid}")])
        place, local = str(value.get("path", "")), value.get("source", "hf_hub") == "local"
        file_name, remote = (place, None) if local else (None, place or "nowhere")
        found[name] = Entry(name, file_name, _CONVERTERS[converter], Layout(), remote, str(value.get("split", "train")))
    return found


def _entry(name: str, value: Mapping[str, Any], path: Path) -> Entry:
    formatting = value.get("formatting", "alpaca")
    if formatting not in _FORMATS:
        raise DataError(
            f"data set {name!r} has the formatting {formatting!r}", where=str(path), todo=f"Use {', '.join(_FORMATS)}"
        )
    columns, tags = ({str(k): str(v) for k, v in (value.get(key) or {}).items()} for key in ("columns", "tags"))
    remote = next((str(value[key]) for key in _REMOTE if value.get(key)), None)
    file_name = value.get("file_name")
    if formatting == "openai":
        columns.setdefault("messages", "conversations")  # its default whatever the formatting
    return Entry(
        name=name,
        file_name=None if file_name is None else str(file_name),
        format=_FORMATS[formatting],
        layout=Layout(columns, tags, bool(value.get("ranking"))),
        remote=remote,
        split=str(value.get("split", "train")),
    )


def named(path: Path, name: str | None) -> Entry:
    """The data set of that name; DataError lists the names there are."""
    entries = read_info(path)
    if name is None or name not in entries:
        local = [entry.name for entry in entries.values() if entry.file_name and not entry.remote] or sorted(entries)
        what = f"there is no data set {name!r}" if name is not None else f"holds {len(entries)} data sets"
        raise DataError(what, where=str(path), todo=f"Say --name: {nearest(name or '', local)}")
    entry = entries[name]
    if entry.remote or not entry.file_name:
        raise DataError(f"data set {name!r} lies at {entry.remote or 'no named place'}, not in a file", where=str(path))
    if not (path.parent / entry.file_name).resolve().is_relative_to(path.parent.resolve()):
        raise DataError(f"data set {name!r} lies outside of the folder: {entry.file_name!r}", where=str(path))
    return entry


def entry_for(path: Path) -> Entry | None:
    """What a dataset_info.json beside the file says of it, or None: no such file, not named there, or not readable."""
    beside = path.parent / INFO
    if describes(path) or not beside.is_file():
        return None
    try:
        entries = read_info(beside)
    except DataError:
        return None
    return next((entry for entry in entries.values() if entry.file_name == path.name), None)
