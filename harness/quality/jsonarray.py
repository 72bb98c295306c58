"""Rows of one JSON array (``[ {...}, {...} ]``), streamed: the file is never held whole, and a broken row does not end it.

Each element is cut out by counting brackets outside strings, then read as JSON like a line of JSONL. An element whose brackets do
not balance would swallow the rest of the file; then reading goes on at the next line that begins an element with the same
indentation, or else after the next ``},`` that an element can follow.
"""

from __future__ import annotations

import codecs
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from harness.rows import MOST, BadRow, Rows, as_text, json_kind, strict_json

_CHUNK = 1 << 20
_PIECE = re.compile(r'"(?:[^"\\\n]++|\\.)*+"|[\[\]{},]|"', re.DOTALL)
_SPACE = " \t\r\n"
_NOT_UTF8 = re.compile("[\udc80-\udcff]")
_NEXT = re.compile(r"\}\s*,\s*(?=\{)")


@dataclass
class _Text:
    """What is left of the file: ``text`` from ``at`` on, with more read on demand.

    line: of ``text[at]``, 1-based. indent: what stands before it on that line.
    """

    file: BinaryIO
    text: str = ""
    at: int = 0
    line: int = 1
    indent: str = ""
    ended: bool = False
    decoder: Any = field(default_factory=lambda: codecs.getincrementaldecoder("utf-8")("surrogateescape"))

    def more(self) -> bool:
        """Read on, twice as much as is held, and forget what is done with; False at the end of the file."""
        if self.ended:
            return False
        raw = self.file.read(max(_CHUNK, len(self.text) - self.at))
        self.ended = not raw
        self.text = self.text[self.at :] + self.decoder.decode(raw, final=self.ended)
        self.at = 0
        return not self.ended

    def go(self, end: int) -> str:
        """The text up to ``end``, which is then behind us."""
        piece = self.text[self.at : end]
        self.line += piece.count("\n")
        _, cut, after = piece.rpartition("\n")
        self.indent = after if cut else self.indent + piece
        self.at = end
        return piece

    def peek(self) -> str:
        """The next character that is no white space, without taking it; empty at the end."""
        while True:
            end = self.at
            while end < len(self.text) and self.text[end] in _SPACE:
                end += 1
            self.go(end)
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.more():
                return ""


def read_array(path: Path) -> Rows:
    """(line, row) of each object of the array, in order; a BadRow for each element that is none."""
    with path.open("rb") as file:
        rest = _Text(file)
        rest.more()
        rest.text = rest.text.removeprefix("\ufeff")
        if rest.peek() != "[":
            yield BadRow(rest.line, "is no JSON array of rows", "write [ {...}, {...} ], or JSONL: one object on each line")
            return
        rest.go(rest.at + 1)
        yield from _elements(rest)


def _elements(rest: _Text) -> Rows:
    parse = strict_json()
    while True:
        first = rest.peek()
        if first == ",":
            rest.go(rest.at + 1)
        elif first == "]":
            rest.go(rest.at + 1)
            if rest.peek():
                yield BadRow(rest.line, "text follows the end of the array", "a .json file holds one array")
            return
        elif not first:
            yield BadRow(rest.line, "the file ends inside the array", "the end is missing: was it copied whole?")
            return
        else:
            start, end = rest.line, _end(rest)
            if end is None:
                skipped = _resume(rest)
                todo = "mend the row; others are read" if skipped is not None else "mend the row: none is found after it"
                yield BadRow(start, "the brackets or quotes of this row do not balance", todo, skipped or "")
                if skipped is None:
                    return
                continue
            text = rest.go(end)
            yield _read(start, text, parse)


def _end(rest: _Text) -> int | None:
    """Where the element that starts here ends, or None when nothing closes it."""
    while True:
        inside: list[str] = []  # the brackets that are due to close
        for match in _PIECE.finditer(rest.text, rest.at):
            piece = match.group()
            if piece in "[{":
                inside.append("]" if piece == "[" else "}")
            elif piece in "]}" and inside:
                if inside.pop() != piece:
                    return None
                if not inside:
                    return match.end()
            elif not inside and piece in ",]}":
                return match.start() if match.start() > rest.at else match.end()
            elif piece == '"' and "\n" not in rest.text[match.end() :]:
                break  # a string that the chunk cuts (one with a line break in it is broken)
        if len(rest.text) - rest.at > MOST:
            return None
        if not rest.more():
            return None


def _resume(rest: _Text) -> str | None:
    """Go to where the next element seems to begin; what was skipped, None when there is no such place."""
    wanted = [_NEXT]
    if rest.text[rest.at] == "{" and not rest.indent.strip(_SPACE):
        wanted.insert(0, re.compile(rf"\n{re.escape(rest.indent)}(?=\{{)"))
    while True:
        for pattern in wanted:
            if found := pattern.search(rest.text, rest.at):
                return _whole(rest.go(found.end()))
        if len(rest.text) - rest.at > MOST or not rest.more():
            return None


def _whole(text: str) -> str:
    return as_text(text.encode("utf-8", "surrogateescape")).strip(", \t\r\n")


def _read(line: int, text: str, parse: Any) -> tuple[int, dict[str, Any]] | BadRow:
    if broken := _NOT_UTF8.search(text):
        what = f"is not UTF-8 text (byte 0x{ord(broken.group()) - 0xDC00:02x})"
        return BadRow(line, what, "save it as UTF-8", _whole(text))
    try:
        row = parse(text)
    except json.JSONDecodeError as error:
        at = line + text.count("\n", 0, error.pos)
        return BadRow(line, f"is not JSON: {error.msg} in line {at}", "mend the row", text)
    except ValueError as error:
        return BadRow(line, f"holds a number too long to read: {error}" if "limit" in str(error) else str(error), "", text)
    except RecursionError:
        return BadRow(line, "is nested too deeply", "", text)
    if isinstance(row, dict):
        return line, row
    return BadRow(line, f"is a JSON {json_kind(row)}, not an object", "write objects", text)


def looks_like_array(path: Path) -> bool:
    """Whether a .json file holds an array; otherwise it is read as JSONL, which many tools write under that name."""
    with path.open("rb") as file:
        return file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"["
