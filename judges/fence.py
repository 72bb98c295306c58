"""Keeps what is judged apart from what judges: every text under judgment is fenced, declared data and made harmless.

**Markers.** A fence is a pair of lines with a marker that its content cannot contain. The marker is a digest of the very texts
it encloses: a text that holds its own marker would be a fixed point of SHA-256 (2^-96 by chance), and should one ever turn up the
next salt is taken, so absence is certain and not only likely. It looks random to whoever wrote the text, and is the same whenever
the same texts are judged, so the cache key of the judge's request is stable without a secret or a stored nonce.

**Characters.** Controls, bidirectional overrides, invisible and tag characters are shown by name instead of sent, and what
looks like a special token of a chat template (``<|im_end|>``, ``[/INST]``, ``<start_of_turn>``, ...) is written with other
brackets: a server's tokenizer would take it for the real one, and end the user's turn right there, fence or not. So are the
beginnings of our own fence lines, although their marker would be wrong.

What this cannot do: make a model deaf. A judge may still be swayed by what it reads; canaries, calibration on labelled cases and
judges.detect are for that.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

SALT = "seesaw fence 1"  # no secret: it separates these digests from others, and has a number to raise
MARKER_DIGITS = 24

# C0 and C1 controls but tab and newline, soft hyphen, Arabic letter mark, zero width space, direction marks, line and paragraph
# separators, bidirectional embeddings and isolates, word joiner and invisible operators, byte-order mark, interlinear marks,
# tag characters. Zero width joiner and non-joiner stay: emoji and several scripts are spelt with them.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)
_SPECIAL = re.compile(
    r"<[|\uff5c][^<>\n]{1,60}?[|\uff5c]>"  # <|im_start|>, <|eot_id|>, DeepSeek's full-width bars
    r"|</?(?:s|bos|eos|pad|unk|think|tool_call|tool_response|start_of_turn|end_of_turn|system|user|assistant)>"
    r"|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\]"
    r"|<</?SYS>>"
    r"|\[\[\s*/?\s*(?:BEGIN|END)\b",  # our own fence, with whatever marker
    re.IGNORECASE,
)
_BRACKETS = str.maketrans("<>[]|\uff5c", "‹›⟦⟧¦¦")


def harmless(text: str) -> str:
    """The text as a judge may see it. Line ends become LF. Applying it twice changes nothing more."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = _HIDDEN.sub(lambda match: f"‹U+{ord(match[0]):04X}›", text)
    return _SPECIAL.sub(lambda match: match[0].translate(_BRACKETS), text)


def hidden(text: str) -> bool:
    """Whether the text holds characters that a reader does not see as they are."""
    return bool(_HIDDEN.search(text.replace("\r\n", "\n").replace("\r", "\n")))


def special(text: str) -> bool:
    """Whether the text holds what looks like a special token of a chat template, or like a line of the fence."""
    return bool(_SPECIAL.search(text))


def marker_for(texts: Mapping[str, str]) -> str:
    """The marker of a request that shows these texts (label -> harmless text): hex digits that none of them contains."""
    joined = "\0".join(f"{label}\0{text}" for label, text in texts.items())
    for number in range(1_000_000):
        digest = hashlib.sha256(f"{SALT} {number}\0{joined}".encode("utf-8", "surrogatepass")).hexdigest()[:MARKER_DIGITS]
        if digest not in joined.lower():
            return digest
    raise AssertionError("unreachable: a text would have to hold a million digests of itself")


def fenced(texts: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """(marker, label -> block). Labels are ours (question, reference, answer); texts are anybody's."""
    shown = {label: harmless(text) for label, text in texts.items()}
    marker = marker_for(shown)
    return marker, {label: f"[[BEGIN {label} {marker}]]\n{text}\n[[END {label} {marker}]]" for label, text in shown.items()}
