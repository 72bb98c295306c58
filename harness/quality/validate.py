"""One pass over a file of training data: every row is read, looked at by every check, counted, and kept or set aside.

Nothing here grows with the file but what single checks say they keep (see checks/repeats.py): of findings the first few of each
code are held, the rest is counted and handed on to whoever writes them down.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness import plugs
from harness.quality.checks.base import DataCheckType, Found, Level, Pass, Settings
from harness.quality.counting import Lengths
from harness.quality.examples import Dropped, Example, joined

KEPT = 20  # findings of each code that a report shows
UNREADABLE = (Level.ERROR, "mend the row, or leave it out")


@dataclass(frozen=True, slots=True)
class Looker:
    """A check at work on one file: its name, what its codes mean, its pass."""

    name: str
    codes: Mapping[str, tuple[Level, str]]
    work: Pass


@dataclass
class CodeCount:
    """How often a code was found. first: (line, message) of the first findings; line 0 is the whole file."""

    code: str
    check: str
    level: Level
    todo: str
    rows: int = 0
    first: list[tuple[int, str]] = field(default_factory=list)
    last: int = -1  # the line counted last: a row with two findings of a code is one row

    def add(self, line: int, message: str) -> None:
        self.rows += line != self.last
        self.last = line
        if len(self.first) < KEPT:
            self.first.append((line, message))


@dataclass
class Validation:
    """What one pass found. rows: every row that was there, read or not. clean, noted, warned, failed: rows by their worst finding
    (failed includes what could not be read at all)."""

    source: str
    format: str
    reason: str
    rows: int = 0
    clean: int = 0
    noted: int = 0
    warned: int = 0
    failed: int = 0
    codes: dict[str, CodeCount] = field(default_factory=dict)
    kinds: Counter[str] = field(default_factory=Counter)
    turns: Lengths = field(default_factory=Lengths)
    asked: Lengths = field(default_factory=Lengths)
    answered: Lengths = field(default_factory=Lengths)
    rejected: Lengths = field(default_factory=Lengths)
    longer: int = 0  # pairs in which chosen is longer than rejected
    shorter: int = 0

    def count(self, level: Level) -> int:
        """Rows at this level or worse."""
        return {Level.ERROR: self.failed, Level.WARNING: self.failed + self.warned, Level.NOTE: self.rows - self.clean}[level]

    def sorted_codes(self) -> list[CodeCount]:
        """The gravest first, then the most frequent."""
        order = list(Level)
        return sorted(self.codes.values(), key=lambda code: (order.index(code.level), -code.rows, code.code))

    def as_dict(self) -> dict[str, Any]:
        codes = [
            {
                "code": code.code,
                "check": code.check,
                "level": code.level.value,
                "rows": code.rows,
                "todo": code.todo,
                "first": [{"line": line, "message": message} for line, message in code.first],
            }
            for code in self.sorted_codes()
        ]
        lengths = {"turns": self.turns, "asked": self.asked, "answered": self.answered, "rejected": self.rejected}
        return {
            "file": self.source,
            "format": self.format,
            "reason": self.reason,
            "rows": self.rows,
            "clean": self.clean,
            "noted": self.noted,
            "warned": self.warned,
            "failed": self.failed,
            "kinds": dict(sorted(self.kinds.items())),
            "codes": codes,
            "characters": {name: found.summary() for name, found in lengths.items() if found.n},
            "chosen_longer": self.longer,
            "chosen_shorter": self.shorter,
        }


@dataclass(frozen=True, slots=True)
class RowFinding:
    """One finding with everything a line of the findings file says."""

    line: int
    check: str
    code: str
    level: Level
    message: str

    def as_dict(self) -> dict[str, Any]:
        return {"line": self.line, "level": self.level.value, "code": self.code, "message": self.message, "check": self.check}


Tell = Callable[[Example | Dropped, Sequence[RowFinding]], object]


def lookers(settings: Settings, *, only: Sequence[str] = (), without: Sequence[str] = ()) -> list[Looker]:
    """The data checks by name, ready for one pass; UsageError for a name that there is not."""
    for name in (*only, *without):
        plugs.find("data check", name)
    found = []
    for name in only or plugs.names("data check"):
        check: DataCheckType = plugs.find("data check", name)
        if name not in without and check.wants(settings):
            found.append(Looker(name, check.codes, check.start(settings)))
    return found


def validate(
    rows: Iterable[Example | Dropped], checks: Sequence[Looker], into: Validation, tell: Tell | None = None
) -> Validation:
    """Look at every row once. tell: called with each row and what was found in it, in order, e.g. to keep the clean ones."""
    tell = tell or (lambda row, findings: None)
    for row in rows:
        into.rows += 1
        if isinstance(row, Dropped):
            findings = [RowFinding(row.line, "format", row.code, Level.ERROR, row.what)]
            _count(into, findings[0], row.todo or UNREADABLE[1])
        else:
            _measure(into, row)
            findings = [finding for check in checks for finding in _look(into, check, row)]
        _rank(into, findings)
        tell(row, findings)
    for check in checks:
        for found in check.work.end():
            _count(into, _finding(0, check, found), check.codes[found.code][1])
    return into


def _look(into: Validation, check: Looker, row: Example) -> list[RowFinding]:
    findings = []
    for found in check.work.see(row):
        finding = _finding(row.line, check, found)
        _count(into, finding, check.codes[found.code][1])
        findings.append(finding)
    return findings


def _finding(line: int, check: Looker, found: Found) -> RowFinding:
    return RowFinding(line, check.name, found.code, check.codes[found.code][0], found.message)


def _count(into: Validation, finding: RowFinding, todo: str) -> None:
    count = into.codes.get(finding.code)
    if count is None:
        count = into.codes[finding.code] = CodeCount(finding.code, finding.check, finding.level, todo)
    count.add(finding.line, finding.message)


def _rank(into: Validation, findings: Sequence[RowFinding]) -> None:
    levels = {finding.level for finding in findings}
    into.failed += Level.ERROR in levels
    into.warned += Level.WARNING in levels and Level.ERROR not in levels
    into.noted += levels == {Level.NOTE}
    into.clean += not levels


def _measure(into: Validation, row: Example) -> None:
    into.kinds[f"{row.kind}{' (plain text)' if row.standard else ''}"] += 1
    into.turns.add(len(row.asked) + len(row.answer))
    if row.asked:
        into.asked.add(len(joined(row.asked)))
    answered = len(joined(row.answer))
    into.answered.add(answered)
    if row.rejected:
        rejected = len(joined(row.refused))
        into.rejected.add(rejected)
        into.longer += answered > rejected
        into.shorter += answered < rejected
