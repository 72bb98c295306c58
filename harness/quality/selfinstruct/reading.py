"""What the model wrote, read; and why it cannot be used, in one code each. Model output is data: nothing in it is obeyed.

The heuristics are Self-Instruct's. An instruction is turned away when it has at most 3 or more than 150 words; names what a text
model cannot see or make (NOT_TEXT, as whole words: image, images, graph, graphs, picture, pictures, file, files, map, maps, draw,
plot, "go to"); begins with "Write a program" (they crowd the pool and are hard to check), with punctuation, or with a letter
beyond ASCII (``any_script`` allows it, for seeds in other languages, and then counts words as harness.quality.words does).

An instance is turned away when its output is empty or repeats its input, or when either ends with a colon (the model stopped
where something should follow); when the answer was cut by the token limit, the last one is. One input with two different outputs
condemns all instances of the task.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.checks.texts import printable
from harness.quality.selfinstruct.seeds import Instance
from harness.quality.words import words

LEAST_WORDS, MOST_WORDS = 4, 150
MOST_INSTANCES = 5
NOT_TEXT = ("image", "images", "graph", "graphs", "picture", "pictures", "file", "files", "map", "maps", "draw", "plot", "go to")
_NOT_TEXT = re.compile(rf"\b({'|'.join(NOT_TEXT)})\b", re.IGNORECASE)
_NUMBERED = re.compile(r"^[ \t]*(\d{1,3})\s?[.)][ \t]*", re.MULTILINE)
_BOLD = re.compile(r"\*\*(.+?)\*\*")

# code -> what a person reads
REASONS = {
    "failed": "the request failed",
    "cut": "the answer was cut by the token limit",
    "no-list": "the answer has no numbered list",
    "too-short": f"fewer than {LEAST_WORDS} words",
    "too-long": f"more than {MOST_WORDS} words",
    "not-text": "names what a text model cannot see or make",
    "write-a-program": 'begins with "Write a program"',
    "punctuation": "begins with punctuation",
    "not-ascii": "begins with a letter beyond ASCII",
    "too-similar": "too similar to another instruction",
    "surplus": "as many as were asked for are made",
    "unchanged": "the harder version is the instruction itself",
    "no-instance": "the answer has no instance that can be read",
    "empty-output": "the output is empty",
    "echo": "the output repeats the input",
    "colon": "input or output ends with a colon",
    "contradicting": "one input has different outputs",
    "repeated": "the same instance stands there twice",
    "too-many": f"more than {MOST_INSTANCES} instances",
}


def listed(text: str, first: int, last: int) -> list[str]:
    """The new instructions of an answer that goes on with a list at number ``first``, each in one line.

    What stands before the list is a greeting, unless the list begins with the number after ``first``: then it is the first item.
    An item ends at a blank line. Numbers beyond ``last`` are not asked for.
    """
    found = list(_NUMBERED.finditer(text))
    if not found:
        return []
    items: list[str] = []
    if int(found[0].group(1)) == first + 1:
        items.append(text[: found[0].start()])
    ends = [match.start() for match in found[1:]] + [len(text)]
    items += [text[m.end() : end] for m, end in zip(found, ends, strict=True) if first <= int(m.group(1)) <= last]
    lines = (" ".join(printable(_BOLD.sub(r"\1", re.split(r"\n[ \t]*\n", item.strip())[0])).split()) for item in items)
    return [line for line in lines if line]


def fault(instruction: str, *, any_script: bool = False) -> str | None:
    """Why an instruction cannot be used, or None. Novelty is looked at elsewhere."""
    count = len(words(instruction)) if any_script else len(instruction.split())
    if count < LEAST_WORDS:
        return "too-short"
    if count > MOST_WORDS:
        return "too-long"
    if _NOT_TEXT.search(instruction):
        return "not-text"
    if instruction.lower().startswith("write a program"):
        return "write-a-program"
    if instruction[0] in string.punctuation:
        return "punctuation"
    return "not-ascii" if not any_script and not instruction[0].isascii() else None


def says_yes(text: str) -> bool | None:
    """Whether a task is a classification; None where the answer is neither yes nor no."""
    match = re.match(r"[\W_]*(yes|no)\b", text, re.IGNORECASE)
    return match.group(1).lower() == "yes" if match else None


def one_line(text: str) -> str:
    """The first line of a harder version that says something, without bold marks and quotes around it."""
    lines = (" ".join(printable(_BOLD.sub(r"\1", line)).split()) for line in text.splitlines())
    line = next((line for line in lines if line), "")
    return line[1:-1].strip() if len(line) > 1 and line[0] == line[-1] == '"' else line


@dataclass(frozen=True, slots=True)
class Refused:
    """An instance that cannot be used. code: one of REASONS."""

    instance: Instance
    code: str


_LABEL = re.compile(r"^[ \t*]*Class label[ \t*]*:[ \t*]*", re.IGNORECASE | re.MULTILINE)
_EXAMPLE = re.compile(r"^[ \t*#]*Example[ \t]*\d*[ \t]*[.:]?[ \t*]*$\n?", re.IGNORECASE | re.MULTILINE)
_INPUT = re.compile(r"^[ \t*]*Input[ \t*]*:[ \t*]*", re.IGNORECASE | re.MULTILINE)
_OUTPUT = re.compile(r"^[ \t*]*Output[ \t*]*:[ \t*]*", re.IGNORECASE | re.MULTILINE)
_NO_INPUT = ("", "none", "n/a", "no input", "<noinput>", "(none)", "none.")


def labelled(text: str) -> list[Instance]:
    """Instances of an answer that gives the label first: ``Class label: x``, then the input."""
    found = []
    for piece in _LABEL.split(text)[1:]:
        label, _, rest = piece.partition("\n")
        said = _EXAMPLE.split(rest)[0]
        found.append(Instance(_clean(_INPUT.sub("", said, count=1)), _clean(label)))
    return found


def worked(text: str) -> list[Instance]:
    """Instances of an answer that gives the input first: ``Input: x``, ``Output: y``, each under ``Example n`` or not."""
    pieces = _EXAMPLE.split(text)
    if len(pieces) == 1:
        pieces = _by_input(text)
    found = []
    for piece in pieces:
        before, mark, after = _parted(piece)
        if mark:
            given = _clean(_INPUT.sub("", before, count=1))
            found.append(Instance("" if given.lower() in _NO_INPUT else given, _clean(after)))
    return found


def _by_input(text: str) -> list[str]:
    """Pieces that begin at ``Input:``, where no ``Example`` parts them; a text without any is one piece."""
    starts = [match.start() for match in _INPUT.finditer(text)]
    ends = [*starts[1:], len(text)]
    return [text[start:end] for start, end in zip(starts, ends, strict=True)] if starts else [text]


def _parted(piece: str) -> tuple[str, bool, str]:
    match = _OUTPUT.search(piece)
    return (piece[: match.start()], True, piece[match.end() :]) if match else (piece, False, "")


def _clean(text: str) -> str:
    return printable(text).strip()


def sifted(instances: Sequence[Instance], *, cut: bool) -> tuple[list[Instance], list[Refused]]:
    """Those that can be used, at most five, and the others with the reason. cut: the token limit ended the answer."""
    refused: list[Refused] = []
    if cut and instances:
        refused.append(Refused(instances[-1], "cut"))
        instances = instances[:-1]
    good = []
    for instance in instances:
        code = _instance_fault(instance)
        if code:
            refused.append(Refused(instance, code))
        else:
            good.append(instance)
    outputs: dict[str, set[str]] = {}
    for instance in good:
        outputs.setdefault(instance.input, set()).add(instance.output)
    if any(given and len(several) > 1 for given, several in outputs.items()):
        return [], refused + [Refused(instance, "contradicting") for instance in good]
    return _few(good, refused)


def _few(good: Sequence[Instance], refused: list[Refused]) -> tuple[list[Instance], list[Refused]]:
    unique = list(dict.fromkeys(good))
    refused += [Refused(instance, "repeated") for instance in _extra(good)]
    refused += [Refused(instance, "too-many") for instance in unique[MOST_INSTANCES:]]
    return unique[:MOST_INSTANCES], refused


def _extra(good: Sequence[Instance]) -> Iterator[Instance]:
    seen: set[Instance] = set()
    for instance in good:
        if instance in seen:
            yield instance
        seen.add(instance)


def _instance_fault(instance: Instance) -> str | None:
    if not instance.output:
        return "empty-output"
    if instance.input == instance.output:
        return "echo"
    return "colon" if instance.input.endswith(":") or instance.output.endswith(":") else None
