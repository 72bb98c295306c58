"""Which option of a multiple-choice question a text picks, or that it picks none.

Ways to say it, the strongest first; the first way that is there decides:

1. a statement: "The answer is (B)", "Answer: B", "B is correct", "I choose B", \\boxed{B}, "正确答案是B", "选B". Of several
   the last counts, because models correct themselves; "A or B" is no pick.
2. a first or last line that is nothing but the letter: "B", "(B)", "**B**.", "Therefore, B".
3. a first line that begins with the letter ("B. Because ...", "(B) 12"), unless the text lists the options, or names others in
   brackets ("(A) is wrong, (B) is right").
4. one option's letter, and no other's, in brackets: "... so (B) fits".
5. an option's text, as the answer or as the only one contained in it.

To read no pick is better than to read a wrong one: what is left is for the check to call unparsed. Repeats in the patterns are
bounded, so that a long run of brackets or spaces costs no more than its length.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from string import ascii_lowercase, ascii_uppercase

_WIDE = {ord("Ａ") + i: letter for i, letter in enumerate(ascii_uppercase)}
_WIDE |= {ord("ａ") + i: letter for i, letter in enumerate(ascii_lowercase)}
_WIDE |= {ord("（"): "(", ord("）"): ")", ord("："): ":", ord("．"): "."}

_OPENERS = r"[\s(\[{*_`\"'“「《【<>]{0,12}"  # what may stand between a phrase and the letter
_CLOSERS = r"[\s)\]}*_`\"'”」》】<]{0,12}"
_ENGLISH = r"(?:\banswer|\bchoice|\boption)(?:\s+(?:here|to\s+\w+(?:\s+\w+){0,3}))?\s*(?:is|would\s+be|must\s+be|:|=)+\s*:?"
_CHOOSE = r"\bI(?:\s+would|'d|\s+will|'ll)?\s+(?:choose|pick|select|go\s+with)"
_CHINESE = r"(?:答案|选项|选择|应选|故选|选)\s*(?:应该|应当|应)?\s*(?:是|为|选)?\s*:?"
_MARKUP = r"\\boxed\s*\{(?:\\text\s*\{)?|<answer>"
_CORRECT = r"\s{1,3}is\s{1,3}(?:therefore\s|thus\s|the\s)?(?:correct|right|best)\b"


def narrow(text: str) -> str:
    """Full-width letters and brackets made ASCII, white space around removed."""
    return text.translate(_WIDE).strip()


@dataclass(frozen=True, slots=True)
class _Patterns:
    """The regular expressions for one set of letters; each has a group ``pick``."""

    statement: re.Pattern[str]
    verdict: re.Pattern[str]
    either: re.Pattern[str]
    alone: re.Pattern[str]
    leading: re.Pattern[str]
    bracket: re.Pattern[str]


@lru_cache(maxsize=64)
def _patterns(labels: str) -> _Patterns:
    letter = f"[{labels}{labels.lower()}]"
    pick = rf"(?P<pick>{letter})(?![A-Za-z0-9'’])"
    # "The answer is a dog": a small letter, or the words A and I, count only where the phrase ends.
    ends, reason = r"(?:$|[\n.,;:!?<。，；：！？)\]}|\u4e00-\u9fff])", r"(?:[-–—]|(?:because|since|as|for|which)\b)"
    stop = rf"(?={_CLOSERS}{ends}|\s{{0,12}}{reason})"
    lead = f"(?i:{_ENGLISH}|{_CHOOSE}|{_CHINESE}|{_MARKUP})"
    return _Patterns(
        statement=re.compile(rf"{lead}{_OPENERS}(?i:(?:option|choice|选项)\s*)?{_OPENERS}{pick}(?:(?<=[B-HJ-Z])|{stop})"),
        verdict=re.compile(rf"(?<![\w'’])(?<!or )(?<!and )[(\[*_`\"'“]{{0,6}}(?P<pick>[{labels}])[)\]*_`\"'”]{{0,6}}{_CORRECT}"),
        either=re.compile(rf"{_CLOSERS}(?:or|and|/|,|&|或者?|和|、)\s*[(\[*_`\"'“]*{letter}(?![A-Za-z0-9'’])"),
        alone=re.compile(rf"(?:(?i:so|thus|hence|therefore|answer)\b|答)?[,:，]?{_OPENERS}{pick}{_CLOSERS}[.。]?{_CLOSERS}"),
        leading=re.compile(rf"{_OPENERS}(?P<pick>{letter})(?:[)\]*_`\"'”]*[.):\]、](?:\s|$|(?=[^\x00-\x7f]))|[)\]*]+\s)"),
        bracket=re.compile(rf"[(\[]\s*(?P<pick>{letter})\s*[)\]]"),
    )


def picked(text: str, labels: str, choices: tuple[str, ...] = ()) -> str | None:
    """The capital letter (one of labels) that a text picks, or None when it picks none or several."""
    patterns, text = _patterns(labels), narrow(text)
    statements = [*patterns.statement.finditer(text), *patterns.verdict.finditer(text)]
    if statements:
        last = max(statements, key=lambda found: found.end("pick"))
        return None if patterns.either.match(text, last.end("pick")) else _letter(last)
    lines = [line for line in text.splitlines() if line.strip()]
    for line in (lines[0], lines[-1]) if lines else ():
        if found := patterns.alone.fullmatch(line.strip()):
            return _letter(found)
    listed = {_letter(found) for line in lines if (found := patterns.leading.match(line))}
    bracketed = {_letter(found) for found in patterns.bracket.finditer(text)}
    first = patterns.leading.match(lines[0]) if lines else None
    if first and listed == {_letter(first)} and bracketed <= listed:
        return _letter(first)
    if listed or bracketed:
        return bracketed.pop() if len(bracketed) == 1 and listed <= bracketed else None
    return _by_text(text, labels, choices)


def _letter(found: re.Match[str]) -> str:
    return found["pick"].upper()


def _by_text(text: str, labels: str, choices: tuple[str, ...]) -> str | None:
    """The option whose text the answer is, or the only one that it contains (as whole words). An option inside a longer one
    that is also there ("red" in "dark red") does not count."""
    plain = " ".join(text.casefold().split()).strip(" .。!！\"'")
    options = [" ".join(choice.casefold().split()).strip(" .。") for choice in choices]
    if plain in options and options.count(plain) == 1:
        return labels[options.index(plain)]
    present = [i for i, option in enumerate(options) if option and _has_words(plain, option)]
    longest = [i for i in present if not any(i != j and options[i] in options[j] for j in present)]
    return labels[longest[0]] if len(longest) == 1 else None


def _has_words(text: str, part: str) -> bool:
    before = r"(?<![^\W_])" if part[0].isascii() else ""
    after = r"(?![^\W_])" if part[-1].isascii() else ""
    return re.search(before + re.escape(part) + after, text) is not None
