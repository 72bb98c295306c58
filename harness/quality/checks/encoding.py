"""encoding: the text was damaged on its way: replacement characters, UTF-8 read as Latin-1 (mojibake), controls, half characters.

Mojibake is told as ftfy tells it, by trying: text that, written back as Windows-1252 (or Latin-1), is valid UTF-8 with fewer
characters, is UTF-8 that somebody read wrongly. Only stretches of typical lead and continuation characters are tried.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import regex

from harness.quality.checks.base import DataCheckType, Found, Level, Sample, Settings, each_row, learnt_parts, parts
from harness.quality.examples import Example

# What the lead byte and the continuation bytes of UTF-8 look like when read as Windows-1252 or Latin-1.
_CONTINUED = "\u0080-\u00bf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ"
_MOJIBAKE = regex.compile(
    f"(?:[\u00c2-\u00df][{_CONTINUED}]|[\u00e0-\u00ef][{_CONTINUED}]{{2}}|[\u00f0-\u00f4][{_CONTINUED}]{{3}})+"
)
_CONTROL = regex.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")
_SURROGATE = regex.compile("[\ud800-\udfff]")
_ENTITY = regex.compile(r"&(?:amp|lt|gt|quot|nbsp|#\d{2,5}|#x[0-9a-fA-F]{2,4});")
_ODD = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x26\x7f-\x9f\u00a1-\u00ff\ud800-\udfff\ufffd-\uffff]"
)  # without these nothing is found


def _look(example: Example, settings: Settings) -> Iterator[Found]:
    for name, turn in parts(example):
        text = turn.content
        if not _ODD.search(text):
            continue
        if "\ufffd" in text:
            yield Found("replacement-character", f"{name} has {text.count(chr(0xFFFD))} replacement characters (U+FFFD)")
        if found := _CONTROL.search(text):
            yield Found("control-character", f"{name} has the control character U+{ord(found.group()):04X}")
        if _SURROGATE.search(text):
            yield Found("surrogate", f"{name} has half a character (a lone surrogate)")
        if said := mojibake(text):
            yield Found("mojibake", f"{name} has {said[0]!r} for {said[1]!r}")
        if (found := _ENTITY.search(text)) and "<" not in text and "```" not in text and name in dict(learnt_parts(example)):
            yield Found("html-entity", f"{name} has {found.group()!r}")


def mojibake(text: str) -> tuple[str, str] | None:
    """(what stands there, what was meant) of the first wrongly decoded stretch, or None."""
    for match in _MOJIBAKE.finditer(text):
        stretch = match.group()
        meant = _meant(stretch)
        if meant is None or len(meant) >= len(stretch) or not _plausible(stretch, meant):
            continue
        return stretch[:20], meant[:20]
    return None


def _meant(stretch: str) -> str | None:
    try:
        raw = b"".join(_byte(letter) for letter in stretch)
        return raw.decode("utf-8")
    except (UnicodeEncodeError, UnicodeDecodeError):
        return None


def _byte(letter: str) -> bytes:
    return bytes([ord(letter)]) if ord(letter) < 0x100 else letter.encode("cp1252")


def _plausible(stretch: str, meant: str) -> bool:
    """A capital A with circumflex before a no-break space or a sign is mojibake; two accented letters in a word need more."""
    if len(stretch) >= 3:
        return True
    return stretch[0] in "ÂÃ" or not (stretch[1].isalpha() or meant.isspace())


def _answer(text: str) -> dict[str, object]:
    return {"prompt": "q", "completion": text}


DATA_CHECKS = (
    DataCheckType(
        name="encoding",
        version=1,
        summary="Text is undamaged: no U+FFFD, no mojibake, no controls, no half characters, no HTML entities in answers.",
        codes={
            "replacement-character": (Level.ERROR, "read the source again in its true encoding"),
            "mojibake": (Level.ERROR, "read the source again as UTF-8"),
            "control-character": (Level.WARNING, "remove it"),
            "surrogate": (Level.ERROR, "write the source again as UTF-8: tokenizers stop at it"),
            "html-entity": (Level.NOTE, "unescape it, unless the text is HTML"),
        },
        start=each_row(_look),
        examples=(
            Sample(
                (_answer("caf\ufffd"), _answer("a\x00b"), _answer("x\ud800")),
                ((1, "replacement-character"), (2, "control-character"), (3, "surrogate")),
            ),
            Sample(
                (_answer("cafÃ©"), _answer("itâ€™s"), _answer("ä¸­æ–‡"), _answer("Â£5"), _answer("ðŸ˜€")),
                tuple((i, "mojibake") for i in range(1, 6)),
            ),
            Sample((_answer("café, naïve, Ãlvaro, it’s 5 £, 中文 😀, übergroß, São Paulo, €20, “quoted”…"),)),
            Sample((_answer("Tom &amp; Jerry"),), ((1, "html-entity"),)),
            Sample((_answer("<p>Tom &amp; Jerry</p>"), {"prompt": "&amp;", "completion": "x"})),
            Sample((_answer("line\u2028separator\tand tab\r\n"),)),
        ),
    ),
)
