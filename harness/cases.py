"""Case sources become Cases: what a row says, its content id, its cluster and its split.

A row is an object with ``input`` (or ``messages``, or any variables that the prompt's template uses), and optionally
``reference``, ``cluster``, ``split``, ``must_pass``, ``metadata``, ``vars`` and ``id``. Every other key is a template's variable.

The id of a case is made of its content alone (capability, variables, reference), so it is the same on every host and in any
order of rows. The split by hash is decided per cluster, so that cases that share a source never stand on both sides.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, model_validator

from harness.errors import Fault, HarnessError
from harness.model import Case, Split
from harness.packed import Packed
from harness.prompts import render_text
from harness.rows import BadRow, Row, Rows, read_dataset, read_rows

FIELDS = ("input", "messages", "vars", "reference", "cluster", "split", "must_pass", "metadata", "id")
ROLES = ("system", "user", "assistant")
MAX_FAULTS = 20  # of one source, by line; the rest is counted

# The very bytes of model.digest_of, made by an encoder that is built once: half of the time of loading cases goes here.
_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode

# Rows are checked one by one as they are read, not by pydantic, so that each fault has its line.
AnyRow = Annotated[Any, WithJsonSchema({"type": "object"})]
Where = Callable[[int | None], str]  # row of the source, from 1 (None: the source itself) -> where, for people


class CaseSource(BaseModel):
    """Where cases come from, and which column is what."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str | None = Field(default=None, description="A JSONL, CSV, TSV or Parquet file, relative to the suite.")
    dataset: str | None = Field(default=None, description="A directory that datasets wrote, or a hub id (needs [data]).")
    name: str | None = Field(default=None, description="The data set's configuration.")
    dataset_split: str | None = Field(
        default=None, description="The data set's split, e.g. test. Not the suite's dev/gate split."
    )
    revision: str | None = Field(
        default=None, description="The data set's revision on the hub; pin it, or the suite changes under you."
    )
    rows: tuple[AnyRow, ...] | None = Field(default=None, description="The cases themselves, written in the suite.")
    input: str | None = Field(default=None, description="Column of the input, or a Jinja2 template over the columns.")
    reference: str | None = Field(default=None, description="Column of the reference, or a Jinja2 template over the columns.")
    cluster: str | None = Field(default=None, description="Column that cases from the same source share.")
    id: str | None = Field(default=None, description="Column with your own name for a case; kept in its metadata.")
    must_pass: str | None = Field(default=None, description="Column that marks cases which must pass.")
    split: str | None = Field(default=None, description="Column that says dev or gate.")
    messages: str | None = Field(default=None, description="Column with a chat: a list of {role, content}.")
    vars: tuple[str, ...] = Field(default=(), description="Further columns that the template uses.")
    metadata: tuple[str, ...] = Field(default=(), description="Columns kept beside the case for reports.")
    limit: int | None = Field(
        default=None, ge=1, description="Take so many cases: the first, or with sample_seed a random choice."
    )
    sample_seed: int | None = Field(
        default=None, description="Choose the limited cases by hash with this seed, whatever their order."
    )
    dev_fraction: float = Field(
        default=0.0,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Share that goes to the dev split, by hash of the cluster or id.",
    )
    salt: str = Field(default="", description="Another salt, another dev/gate split.")

    @model_validator(mode="after")
    def _one_source(self) -> CaseSource:
        if sum(given is not None for given in (self.path, self.dataset, self.rows)) != 1:
            raise ValueError("name exactly one of path, dataset and rows")
        if self.path is not None and (self.name or self.dataset_split or self.revision):
            raise ValueError("name, dataset_split and revision belong to a dataset, not to a path")
        return self

    @property
    def maps(self) -> bool:
        """Columns are named: then only those are taken."""
        named = (self.input, self.reference, self.cluster, self.id, self.must_pass, self.split, self.messages)
        return any(name is not None for name in named) or bool(self.vars or self.metadata)

    def read(self, root: Path) -> Rows:
        if self.path is not None:
            return read_rows(root / self.path)
        if self.dataset is not None:
            return read_dataset(self.dataset, root=root, name=self.name, split=self.dataset_split, revision=self.revision)
        return (
            (number, row) if isinstance(row, dict) else BadRow(number, "a case is a mapping, e.g. {input: ..., reference: ...}")
            for number, row in enumerate(self.rows or (), 1)
        )

    @property
    def title(self) -> str:
        return self.path or self.dataset or "cases"


@dataclass(frozen=True, slots=True)
class LoadedCases:
    """All cases of a source, in its order, and everything wrong with it."""

    cases: tuple[Case, ...]
    faults: tuple[Fault, ...]


def packed(cases: Iterable[Case]) -> Sequence[Case]:
    """Cases to be kept for long: equal to these, in a tenth of the memory."""
    return Packed(cases, _packed_case, _case_of)


def _packed_case(case: Case) -> tuple[Any, ...]:
    c = case
    return c.id, c.capability, dict(c.vars), c.reference, c.cluster, str(c.split), c.must_pass, dict(c.metadata), c.source


def _case_of(values: tuple[Any, ...]) -> Case:
    case_id, capability, variables, reference, cluster, split, must_pass, metadata, source = values
    return Case(case_id, capability, variables, reference, cluster, _SPLITS[split], must_pass, metadata, source)


_SPLITS = {str(split): split for split in Split}


class _Bad(ValueError):
    """One row cannot become a case."""

    def __init__(self, what: str, todo: str = "") -> None:
        super().__init__(what)
        self.what, self.todo = what, todo


def load_cases(source: CaseSource, capability: str, root: Path, where: Where, label: Where | None = None) -> LoadedCases:
    """Read a source to its end. where: how faults name a row (None: the source itself); label: what ``Case.source`` says."""
    label, maps = label or where, source.maps
    bad: list[BadRow] = []
    cases: list[Case] = []
    explicit: dict[str, Split] = {}  # cluster or id -> the split its rows name
    lines: dict[str, int] = {}  # id -> row
    for entry in source.read(root):
        if isinstance(entry, BadRow):
            bad.append(entry)
            continue
        line, row = entry
        try:
            mapped = _mapped(row, source) if maps else row
            case = _case(mapped, capability, label(line))
            first = lines.setdefault(case.id, line)
            if first != line:
                raise _Bad(f"the same case as {label(first)}: equal input and reference", "remove one of them")
            if mapped.get("split") is not None:
                _agree(explicit, case)
        except _Bad as error:
            bad.append(BadRow(line, error.what, error.todo))
        else:
            cases.append(case)
    chosen = _limited(cases, source)
    faults = [
        Fault(where(row.line), row.what, row.todo) if row.line else Fault(where(None), f"{source.title}: {row.what}", row.todo)
        for row in bad[:MAX_FAULTS]
    ]
    if len(bad) > MAX_FAULTS:
        faults.append(
            Fault(
                where(None),
                f"{source.title}: {len(bad) - MAX_FAULTS:,} more rows are faulty",
                "mend the first ones, then look again",
            )
        )
    return LoadedCases(tuple(_split(chosen, explicit, source)), tuple(faults))


def _mapped(row: Row, source: CaseSource) -> Row:
    """The row in the canonical names. Fields that are not mapped are taken from their own name where it exists."""
    out: Row = {}
    for name in ("input", "reference", "cluster", "split", "must_pass", "messages", "id"):
        column = getattr(source, name)
        if column is None:
            if row.get(name) is not None:
                out[name] = row[name]
        elif "{{" in column or "{%" in column:
            try:
                out[name] = render_text(column, row)
            except HarnessError as error:
                raise _Bad(f"{name}: {error.what}", error.todo) from None
        else:
            out[name] = _column(row, column)
    if source.vars:
        out["vars"] = {name: _column(row, name) for name in source.vars}
    if source.metadata:
        out["metadata"] = {name: _column(row, name) for name in source.metadata}
    return out


def _column(row: Row, name: str) -> Any:
    if name not in row:
        close = difflib.get_close_matches(name, row, 1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise _Bad(f"no column {name!r}", f"{hint}it has: {', '.join(map(str, row))}")
    return row[name]


def _case(row: Row, capability: str, source: str) -> Case:
    values: dict[str, Any] = {}
    for key, value in row.items():
        if key not in FIELDS:
            if field := _nearly(key):
                raise _Bad(f"unknown key {key!r}", f"did you mean {field!r}? A variable of that name goes into vars")
            values[key] = value
    if row.get("vars") is not None:
        values |= _mapping(row["vars"], "vars")
    if row.get("input") is not None:
        values["input"] = row["input"]
    if row.get("messages") is not None:
        values["messages"] = _chat(row["messages"])
    if not values:
        raise _Bad("has no input", "give it input, messages, or the variables that the template uses")
    if values.get("input") == "":
        raise _Bad("input is empty")
    metadata = dict(_mapping(row["metadata"], "metadata")) if row.get("metadata") is not None else {}
    if row.get("id") is not None:
        metadata["id"] = row["id"]
    reference = row.get("reference")
    cluster = row.get("cluster")
    return Case(
        id=_identify(capability, values, reference, metadata),
        capability=capability,
        vars=values,
        reference=reference,
        cluster=None if cluster is None else _name(cluster),
        split=_split_name(row.get("split")),
        must_pass=_flag(row.get("must_pass")),
        metadata=metadata,
        source=source,
    )


def _identify(capability: str, values: Row, reference: Any, metadata: Row) -> str:
    """First 16 hex digits of model.digest_of([capability, vars, reference]); refuses what JSON or UTF-8 cannot say."""
    try:
        if metadata:
            _canonical(metadata).encode()
        return hashlib.sha256(_canonical([capability, values, reference]).encode()).hexdigest()[:16]
    except UnicodeEncodeError:
        raise _Bad("holds half of a surrogate pair, which is no text", "remove it, or write the whole character") from None
    except TypeError as error:
        raise _Bad(f"holds a value that JSON cannot say: {error}", "convert the column to text or numbers") from None
    except ValueError:
        raise _Bad(
            "holds a number that JSON cannot say (NaN, infinity, or too long)", "write null where a value is missing"
        ) from None
    except RecursionError:
        raise _Bad("is nested too deeply") from None


@lru_cache(maxsize=1024)
def _nearly(key: str) -> str | None:
    """The field that a key nearly is: then it is a typing error, not a variable."""
    close = difflib.get_close_matches(key.lower(), FIELDS, 1, 0.85)
    return close[0] if close else None


def _mapping(value: Any, name: str) -> Row:
    """An object, or (in a CSV cell) the JSON text of one."""
    value = _unpacked(value)
    if not isinstance(value, dict):
        raise _Bad(f"{name} is not an object")
    return value


def _unpacked(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _chat(value: Any) -> list[dict[str, str]]:
    turns = _unpacked(value)
    if not isinstance(turns, list) or not turns:
        raise _Bad("messages is not a list of {role, content}")
    for number, turn in enumerate(turns, 1):
        if not isinstance(turn, dict) or set(turn) != {"role", "content"}:
            raise _Bad(f"message {number} must have role and content and nothing else")
        if turn["role"] not in ROLES:
            raise _Bad(f"message {number} has the role {turn['role']!r}", f"use one of {', '.join(ROLES)}")
        if not isinstance(turn["content"], str):
            raise _Bad(f"the content of message {number} is not text")
    if turns[-1]["role"] != "user":
        raise _Bad("the last message is not the user's", "end with the question that is to be answered")
    return turns


def _name(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise _Bad("cluster is neither text nor a whole number")
    return str(value)


def _split_name(value: Any) -> Split:
    if value is None:
        return Split.GATE
    if value not in ("dev", "gate"):
        raise _Bad(f"split {value!r} is unknown", "use dev or gate; a data set's own split is named with dataset_split")
    return Split(value)


_FLAGS = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}


def _flag(value: Any) -> bool:
    if value is None or isinstance(value, bool):
        return bool(value)
    flag = _FLAGS.get(str(value).lower()) if isinstance(value, str | int) else None
    if flag is None:
        raise _Bad(f"must_pass {value!r} is neither true nor false")
    return flag


def _unit(case: Case) -> str:
    """What is split: the cluster, or the case alone."""
    return f"cluster {case.cluster}" if case.cluster is not None else f"case {case.id}"


def _agree(explicit: dict[str, Split], case: Case) -> None:
    """Rows that name a split decide for their whole cluster, so they must agree."""
    unit = _unit(case)
    if explicit.setdefault(unit, case.split) is not case.split:
        raise _Bad(f"{unit} stands in both splits", "a cluster shares its sources: put all of it into dev or into gate")


def _limited(cases: list[Case], source: CaseSource) -> list[Case]:
    if source.limit is None or source.limit >= len(cases):
        return cases
    if source.sample_seed is None:
        return cases[: source.limit]
    ranked = sorted(cases, key=lambda case: hashlib.sha256(f"{source.sample_seed}\0{case.id}".encode()).digest())
    kept = {case.id for case in ranked[: source.limit]}
    return [case for case in cases if case.id in kept]


def _split(cases: Iterable[Case], explicit: Mapping[str, Split], source: CaseSource) -> Iterable[Case]:
    """Each case in its split: the one its cluster's rows name, else by hash; without a dev_fraction, gate."""
    if not source.dev_fraction and not explicit:
        return cases
    return (_placed(case, explicit.get(_unit(case)) or split_of(_unit(case), source.dev_fraction, source.salt)) for case in cases)


def _placed(case: Case, split: Split) -> Case:
    return case if case.split is split else replace(case, split=split)


def split_of(unit: str, dev_fraction: float, salt: str = "") -> Split:
    """dev for a share of all units, by hash: u uniform in [0, 1) from the first 52 bits of sha256(salt NUL unit)."""
    u = int(hashlib.sha256(f"{salt}\0{unit}".encode()).hexdigest()[:13], 16) / 2**52
    return Split.DEV if u < dev_fraction else Split.GATE
