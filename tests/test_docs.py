"""Docs are executed: every `$ ` command of a console block runs, and prints the lines that the page shows, in that order.

A line `...` stands for any lines; `[exit code N]` is checked. Words may wrap where they like: only their order counts. Of other
programs than harness, the few that a page needs are done here.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pytest

from harness.cli import call as run

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Step:
    """One command of a page with what the page shows of its output."""

    command: str
    shown: tuple[str, ...]


def steps(page: str) -> Iterator[Step]:
    for block in BLOCK.findall(page):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *shown = part.rstrip("\n").split("\n")
            yield Step(command, tuple(shown))


def execute(command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    name, *args = shlex.split(command)
    if name == "cd":
        monkeypatch.chdir(ROOT / args[0])
        return 0, ""
    if name == "cat":
        return 0, Path(args[0]).read_text()
    if name == "head":
        return 0, "".join(islice(Path(args[2]).open(), int(args[1])))
    assert name == "harness", f"a page runs {name!r}, which this test does not know"
    code = run(args)
    return code, capsys.readouterr().out


def words(text: str) -> str:
    return " ".join(text.split())


def missing(shown: tuple[str, ...], output: str) -> str | None:
    """The first shown line that does not come in its turn, or None."""
    rest, gap = words(output), False
    for line in shown:
        if line == "...":
            gap = True
            continue
        before, found, rest = rest.partition(words(line))
        if not found or (before.strip() and not gap and line is not shown[0]):
            return line
        gap = False
    return None


@pytest.mark.parametrize("page", sorted(path.name for path in (ROOT / "docs").glob("*.md")))
def test_a_page_says_what_its_commands_print(
    page: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    for step in steps((ROOT / "docs" / page).read_text(encoding="utf-8")):
        code, output = execute(step.command, monkeypatch, capsys)
        expected = [int(line[11:-1]) for line in step.shown if line.startswith("[exit code ")] or [0]
        shown = tuple(line for line in step.shown if not line.startswith("[exit code "))
        assert [code] == expected, step.command
        assert missing(shown, output) is None, f"{step.command} does not print {missing(shown, output)!r}:\n{output}"


def test_gsm8k_shows_every_pair() -> None:
    page = (ROOT / "docs" / "gsm8k.md").read_text(encoding="utf-8")
    commands = [step.command for step in steps(page) if step.command.startswith("harness compare")]
    pairs = {frozenset(command.split()[2:4]) for command in commands}
    assert len(pairs) == 3
    assert "260 fixed (fail to pass), 88 broken (pass to fail)" in page
    assert {command.split("--gate ")[1] for command in commands} == {"target.yaml", "protected-02.yaml", "protected-05.yaml"}


def test_a_line_that_is_not_printed_is_found() -> None:
    output = "one two\nthree\nfour"
    assert missing(("one two", "three"), output) is None
    assert missing(("one two three", "...", "four"), output) is None
    assert missing(("one", "four"), output) == "four"
    assert missing(("three", "...", "one"), output) == "one"
    assert missing(("five",), output) == "five"
