"""YAML as data with the line of everything in it, and nothing else: no tags, no duplicate keys, no bombs.

PyYAML composes nodes (which know their place) and this module turns them into plain values. Scalars follow YAML 1.2's core
schema, not 1.1: ``no``, ``12:30`` and ``2024-01-01`` are text, ``007`` keeps its zeros. Keys are always text.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from harness.errors import Fault, SuiteError
from harness.rows import decode, file_trouble

Location = tuple[str | int, ...]  # keys and list positions from the document's root

MAX_BYTES = 8 * 2**20
MAX_NODES = 200_000  # after aliases are followed
MAX_DEPTH = 64

_CORE = "tag:yaml.org,2002:"
_PLAIN_TAGS = {_CORE + name for name in ("str", "int", "float", "bool", "null", "map", "seq", "merge")}


@dataclass(frozen=True)
class Document:
    """One YAML file. data: plain values. lines: location -> 1-based line. spans: location of a scalar -> (start, end) in text."""

    path: Path
    text: str
    data: Any
    lines: Mapping[Location, int]
    spans: Mapping[Location, tuple[int, int]]
    faults: tuple[Fault, ...] = ()

    def where(self, location: Location = ()) -> str:
        """``file:line`` of the location, or of the nearest thing around it."""
        while location and location not in self.lines:
            location = location[:-1]
        return f"{self.path}:{self.lines.get(location, 1)}"


def read_document(path: Path) -> Document:
    """Read and parse; SuiteError when there is nothing to go on with. Duplicate keys and tags are faults of the Document, so
    that they are told together with all else."""
    if trouble := file_trouble(path):
        raise SuiteError([Fault(str(path), trouble, "give the path of a YAML file")])
    try:
        raw = path.read_bytes()
        if len(raw) > MAX_BYTES:
            raise SuiteError([Fault(str(path), f"is larger than {MAX_BYTES >> 20} MiB", "put cases into a JSONL file")])
        text = decode(raw)
    except OSError as error:
        raise SuiteError([Fault(str(path), f"cannot be read: {error.strerror or error}")]) from None
    except ValueError as error:
        raise SuiteError([Fault(str(path), str(error), "save it as UTF-8")]) from None
    return parse_document(text, path)


def parse_document(text: str, path: Path) -> Document:
    """The same of a text; path names it in faults."""
    breaks = [match.start() for match in re.finditer("\n", text)]

    def line_of(index: int) -> int:
        return bisect_right(breaks, index - 1) + 1 if index else 1

    def stop(index: int, what: str, todo: str = "") -> SuiteError:
        return SuiteError([Fault(f"{path}:{line_of(index)}", what, todo)])

    try:
        loader = _Loader(text)
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(part for part in (error.problem, error.context) if part)
        raise stop(mark.index if mark else 0, f"is not valid YAML: {what}") from None
    except yaml.reader.ReaderError as error:
        raise stop(error.position, f"holds the character U+{_code(error.character):04X}, which YAML does not allow") from None
    except RecursionError:
        raise stop(0, "is nested too deeply") from None
    except (ValueError, OverflowError) as error:  # e.g. \UFFFFFFFF in a quoted text
        raise stop(0, f"is not valid YAML: {error}") from None
    if node is None:
        raise stop(0, "is empty", "write a starter with harness init")
    builder = _Builder(path, line_of)
    try:
        data = builder.build(node, ())
    except _Bomb as bomb:
        raise stop(bomb.index, str(bomb)) from None
    return Document(path, text, data, builder.lines, builder.spans, tuple(builder.faults))


def _code(character: Any) -> int:
    return character if isinstance(character, int) else ord(character)


class _CoreResolver(BaseResolver):
    """Plain scalars by YAML 1.2's core schema, with JSON's numbers."""


for _name, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", list("-+0123456789")),
    ("float", r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?", list("-+.0123456789")),
    ("merge", r"<<", ["<"]),
):
    _CoreResolver.add_implicit_resolver(_CORE + _name, re.compile(f"^(?:{_pattern})$"), _first)


class _Loader(Reader, Scanner, Parser, Composer, _CoreResolver):
    """PyYAML's pure Python front end up to nodes: nothing is constructed here."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        _CoreResolver.__init__(self)


class _Bomb(Exception):
    def __init__(self, index: int, what: str) -> None:
        super().__init__(what)
        self.index = index


@dataclass
class _Builder:
    """Nodes -> values. Counts every node it visits, so that aliases of aliases of aliases end early."""

    path: Path
    line_of: Callable[[int], int]
    lines: dict[Location, int] = field(default_factory=dict)
    spans: dict[Location, tuple[int, int]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    visited: int = 0
    open: list[Node] = field(default_factory=list)

    def build(self, node: Node, location: Location) -> Any:
        self.visited += 1
        if self.visited > MAX_NODES:
            raise _Bomb(node.start_mark.index, f"grows to more than {MAX_NODES:,} values when its aliases are followed")
        if len(self.open) >= MAX_DEPTH:
            raise _Bomb(node.start_mark.index, f"is nested more than {MAX_DEPTH} deep")
        if any(node is outer for outer in self.open):
            raise _Bomb(node.start_mark.index, "holds an alias of itself")
        self.lines.setdefault(location, self.line_of(node.start_mark.index))
        if node.tag not in _PLAIN_TAGS:
            self.fault(node, f"the tag {node.tag.removeprefix(_CORE)!r} is refused", "a suite is plain data: remove the tag")
            return None
        self.open.append(node)
        try:
            if isinstance(node, MappingNode):
                return self.mapping(node, location)
            if isinstance(node, SequenceNode):
                return [self.build(item, (*location, number)) for number, item in enumerate(node.value)]
            return self.scalar(node, location) if isinstance(node, ScalarNode) else None
        finally:
            self.open.pop()

    def mapping(self, node: MappingNode, location: Location) -> dict[str, Any]:
        out: dict[str, Any] = {}
        seen: dict[str, int] = {}
        merged: list[Node] = []
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                self.fault(key_node, "a key must be text, not a list or a mapping", "write `key: value`")
                continue
            if key_node.tag == _CORE + "merge":
                merged += value_node.value if isinstance(value_node, SequenceNode) else [value_node]
                continue
            key, line = self.whole(key_node.value, key_node), self.line_of(key_node.start_mark.index)
            if key is None:
                continue
            if key in seen:
                self.fault(key_node, f"the key {key!r} stands twice, first in line {seen[key]}", "remove one")
                continue
            seen[key] = line
            self.lines[(*location, key)] = line
            out[key] = self.build(value_node, (*location, key))
        for source in merged:  # an earlier one wins, and the mapping's own keys win over all
            values = self.build(source, (*location, "<<"))
            if not isinstance(values, dict):
                self.fault(source, "`<<` merges mappings only")
                continue
            for key, value in values.items():
                out.setdefault(key, value)
        return out

    def scalar(self, node: ScalarNode, location: Location) -> Any:
        text: str = node.value
        self.spans[location] = (node.start_mark.index, node.end_mark.index)
        try:
            if node.tag == _CORE + "null":
                return None
            if node.tag == _CORE + "bool":
                return text.lower() == "true"
            if node.tag == _CORE + "int":
                return int(text)
            if node.tag == _CORE + "float":
                number = float(text)
                if math.isinf(number):
                    raise ValueError("it is too large")
                return number
        except ValueError as error:
            self.fault(node, f"is not a number: {error}")
            return None
        return self.whole(text, node)

    def whole(self, text: str, node: Node) -> str | None:
        """The text with surrogate pairs joined: JSON writes U+10000 and up as two escapes, which PyYAML leaves apart."""
        try:
            return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            self.fault(node, "holds half of a surrogate pair, which is no text", "write the whole character")
            return None

    def fault(self, node: Node, what: str, todo: str = "") -> None:
        self.faults.append(Fault(f"{self.path}:{self.line_of(node.start_mark.index)}", what, todo))
