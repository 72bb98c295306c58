"""Foreign text made fit to be shown, and numbers put into words.

Model output, case text and names are data written by strangers. They may hold control characters that steer a terminal,
bidirectional overrides that reorder a page, characters no XML file may hold, and a megabyte where a word was meant. Everything a
report shows passes through ``visible`` (nothing invisible is lost: it is drawn) and ``cut`` or ``label`` (what is cut is said).
Escaping for HTML, XML or markdown is each renderer's own job.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from urllib.parse import urlsplit

from reports.nouns import Text

LABEL_CHARS = 160
MINUS = "\u2212"
UNKNOWN = "\u2013"

# Everything that is invisible and matters: controls but tab and newline, C1, zero-width and directional marks (the joiners U+200C
# and U+200D stay: emoji and scripts need them), line separators, byte order mark, surrogates, non-characters, tag characters.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufeff\ufffe\uffff"
    "\U000e0000-\U000e007f" + "".join(chr(plane * 0x10000 + end) for plane in range(1, 17) for end in (0xFFFE, 0xFFFF)) + "]"
)
_SECRET_KEY = re.compile(r"(?i)api[_-]?key|secret|passw|authorization|bearer|credential|(^|[_.-])token$")


def _draw(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code < 0x20:
        return chr(0x2400 + code)  # the control pictures block: one sign for each C0 control
    if code == 0x7F:
        return "\u2421"
    if 0xD800 <= code <= 0xDFFF:
        return "\ufffd"
    return f"\u27e8U+{code:04X}\u27e9"


def visible(text: str) -> str:
    """The text with newlines as ``\\n`` and every invisible or steering character drawn instead of obeyed."""
    return _INVISIBLE.sub(_draw, text.replace("\r\n", "\n"))


def cut(text: str, limit: int) -> Text:
    """The first ``limit`` characters, drawn visibly, with the number left out."""
    return Text(visible(text[:limit]), max(0, len(text) - limit))


def label(text: object, limit: int = LABEL_CHARS) -> str:
    """A name on one line: cut with an ellipsis, white space collapsed."""
    raw = str(text)
    shown = " ".join(visible(raw[: limit + 1].replace("\n", " ").replace("\t", " ")).split())
    return shown if len(raw) <= limit and len(shown) <= limit else shown[: limit - 1].rstrip() + "\u2026"


def is_secret(key: str) -> bool:
    """Whether a setting of this name must not be printed."""
    return _SECRET_KEY.search(key) is not None


def address(url: str) -> str:
    """An address without the user name, password, query and fragment it may carry."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "(unreadable address)"
    return label(f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}")


# -- numbers ---------------------------------------------------------------------------------------------------------------------


def signed(value: float, digits: int) -> str:
    """``+3.1``, ``\u22120.4``, ``0.0``: a real minus sign, and no sign on what rounds to zero."""
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0.0:
        return text
    return ("+" if value > 0 else MINUS) + text


def percent(value: float | None) -> str:
    """A score in [0, 1] as a percentage with one decimal."""
    return UNKNOWN if value is None else f"{100 * value:.1f}%"


def points(value: float | None) -> str:
    """A difference of scores in percentage points."""
    return UNKNOWN if value is None else signed(100 * value, 1)


def interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"[{points(low)}, {points(high)}]"


def plain(value: float | None, digits: int = 3) -> str:
    """A number without superfluous zeros."""
    if value is None:
        return UNKNOWN
    return f"{value:.{digits}f}".rstrip("0").rstrip(".") if isinstance(value, float) else f"{value:,}"


def seconds(value: float | None) -> str:
    """A time between microseconds and days, three significant digits."""
    if value is None:
        return UNKNOWN
    if value < 1:
        return f"{1000 * value:.3g} ms" if value < 0.9995 else "1.00 s"
    if value < 120:
        return f"{value:.2f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def moment(epoch: float | None) -> str:
    """Seconds since the epoch as a date in UTC."""
    if epoch is None:
        return UNKNOWN
    try:
        return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, OSError, ValueError):
        return UNKNOWN


def plural(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"
