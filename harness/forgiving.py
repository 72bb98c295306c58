"""Is a failed answer right but for its form? What tells a format failure from a wrong answer, by a rule that can be read.

A scored, failed answer is format-only when every check that failed looks at form (FORM) or compares exactly (STRICT), and

    checked     only form failed, and a check that looks at content passed, or, the case having a reference,
    normalised  it equals the reference but for case, Unicode form, spacing, and quotes or punctuation around it, or
    parsed      a JSON value in it equals the reference but for key and letter case and numbers in quotes, or is an object whose
                only field does, or
    contained   it holds the reference as whole words; a number must be the last number of the answer, a single word its first
                or last word, for "no" also stands in wrong answers.

Where that cannot be told it is not format-only: another check failed (a judge, the user's own, one under a ``metric`` name of its
own), a negated one, or there is no reference. It is a reading and not a proof, and decides nothing; a report opens the answers.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from itertools import islice
from typing import Any

from harness.checks.jsontext import BrokenJSON, find, read
from harness.checks.numeric import NumericOptions, last_number
from harness.checks.texts import as_text
from harness.model import Case, Item, ItemStatus, Score

FORM = frozenset({"is-json", "contains-json", "word-count", "starts-with", "ends-with", "regex"})
STRICT = frozenset({"equals", "json-equals"})
_CONTAINS = ("contains", "icontains", "contains-any", "icontains-any", "contains-all", "icontains-all")
CONTENT = STRICT | {"numeric", "choice", "levenshtein", "rouge-l", "rouge-n", "bleu", "similar", *_CONTAINS}

LONGEST = 50_000  # characters of an answer that are read
_VALUES = 20  # JSON values of an answer that are tried
_AROUND = " \t\n\r\"'`*_.,;:!?()[]<>“”‘’「」『』。，；：！？（）"
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")


def forgiven(item: Item) -> str | None:
    """The rule by which a failed answer is right but for its form (checked | normalised | parsed | contained), or None."""
    score, response = item.score, item.response
    if item.status is not ItemStatus.SCORED or score is None or response is None or not response.text.strip():
        return None
    failed = {part.check for part in score.components if part.passed is False and not _is_group(part.check)}
    if not failed or not failed <= FORM | STRICT:
        return None
    if not failed & STRICT and _content_passed(score):
        return "checked"
    return _found(response.text[:LONGEST], item.case)


def _is_group(label: str) -> bool:
    """``all(equals, is-json)``: its members are reported after it."""
    return label.startswith(("all(", "any("))


def _content_passed(score: Score) -> bool:
    return any(part.passed and part.check in CONTENT for part in score.components)


def _found(text: str, case: Case) -> str | None:
    wanted = list(_alternatives(case.reference))
    folded = _fold(text)
    if any(folded == _fold(as_text(value)) for value in wanted):
        return "normalised"
    if _parsed(text, wanted):
        return "parsed"
    return "contained" if any(_contained(text, folded, value) for value in wanted) else None


def _alternatives(reference: Any) -> Iterator[Any]:
    """A list of texts means any of these; anything else is the one reference. Values that no text can be are left out."""
    texts = isinstance(reference, list | tuple) and all(isinstance(value, str) for value in reference)
    for value in reference if texts else (reference,):
        if value is not None and _fold(as_text(value)):
            yield value


def _fold(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).strip(_AROUND)


def _parsed(text: str, wanted: list[Any]) -> bool:
    if not wanted or not any(sign in text for sign in "{["):
        return False
    targets = [_plain(_as_value(value)) for value in wanted]
    for value in islice(find(text), _VALUES):
        found = _plain(value)
        only = next(iter(found.values())) if isinstance(found, dict) and len(found) == 1 else found
        if found in targets or only in targets:
            return True
    return False


def _as_value(reference: Any) -> Any:
    if not isinstance(reference, str):
        return reference
    try:
        return read(reference)
    except BrokenJSON:
        return reference


def _plain(value: Any) -> Any:
    """A JSON value as a person reads it: leaves as folded text, so that "3", 3 and 3.0 are one, and keys folded."""
    if isinstance(value, dict):
        return {_fold(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return _fold(value if isinstance(value, str) else as_text(value) if value is not None else "null")


def _contained(text: str, folded: str, reference: Any) -> bool:
    if isinstance(reference, dict | list | tuple | bool):
        return False
    target = _fold(as_text(reference))
    plain = NumericOptions.model_validate({})
    if re.fullmatch(r"[-+]?[\d.,]+", target):
        number = last_number(target, plain)
        return number is not None and last_number(text, plain) == number
    before = r"(?<!\w)" if not _UNSPACED.match(target[0]) else ""
    after = r"(?!\w)" if not _UNSPACED.match(target[-1]) else ""
    one_word = re.fullmatch(r"\w+", target) is not None and not _UNSPACED.search(target)
    if one_word:
        words = re.findall(r"\w+", folded)
        return bool(words) and target in (words[0], words[-1])
    return re.search(before + re.escape(target) + after, folded) is not None
