"""Files of people's labels and of a judge's verdicts -> labelled cases: what ``harness judge calibrate --labels`` reads.

JSON arrays, JSONL, CSV or Parquet. A row is known by what it holds:

    pairs     {"input", "output_1", "output_2", "label": 1|2} and, of a judge, "results" with both orders       LLMBar
              {"idx", "annotator1": 0|1|2, ...} and, of a judge, {"idx", "gpt_result"}; any "..._result" will do  PandaLM
              {"case_id", "preference": candidate|baseline|tie} or 1|2|tie, A|B|tie; "rater", "probability", "cluster";
              of a judge "swapped" (the second answer was shown first), "unscored", "judge", "tokens", "seconds"
    answers   {"case_id", "passed"} or "rating" (1 to 5) or "value" in [0, 1]; "candidate" where a case has several answers;
              with "response", the answer itself (and "input", the question, unless a suite knows the case), judges can be asked
              the labels that ``harness review`` exports; of a judge those of ``harness export --kind judgments``

A preference names the answer, never the place where it was shown. Numbers may be written as text: judges' files mix both.
People's labels must be on the menu; what a judge says beside it is counted as a verdict that cannot be used.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.calibration import FAIL, FIRST, PASS, SECOND, TIE, LabelledCase, Ruling, Said
from harness.errors import DataError, Fault, SuiteError
from harness.labels import Settled, from_row, places, settle
from harness.model import Label, digest_of
from harness.quality.records import read_records
from harness.rows import BadRow, Row

MAX_FAULTS = 20
PASS_AT = 0.5

_PAIR = ("preference", "winner", "orders")
_POINT = ("passed", "rating", "value", "score")
_VERDICTS = {
    **dict.fromkeys(("1", "candidate", "a", "first", "output_1", "a>b"), FIRST),
    **dict.fromkeys(("2", "baseline", "b", "second", "output_2", "b>a"), SECOND),
    **dict.fromkeys(("0", "1.5", "tie", "draw", "equal", "a=b"), TIE),
}
_PASSES = {
    **dict.fromkeys(("true", "pass", "passed", "yes", "1"), PASS),
    **dict.fromkeys(("false", "fail", "failed", "no", "0"), FAIL),
}
_ANNOTATOR = re.compile(r"annotator\w*")
_RESULT = re.compile(r"\w+_result")


@dataclass(frozen=True, slots=True)
class LabelFile:
    """Labels by case. kind: pairwise | pointwise, as the rows are."""

    kind: str
    cases: tuple[LabelledCase, ...]

    def judged_by(self, rulings: Mapping[str, Sequence[Ruling]]) -> tuple[LabelledCase, ...]:
        """The same cases with what one judge said of them."""
        return tuple(replace(case, rulings=tuple(rulings.get(case.id, ()))) for case in self.cases)


@dataclass(frozen=True, slots=True)
class LabelledAnswer:
    """An answer that a row brings with its label. key: what LabelFile calls the case. input: the question, where a row has it."""

    key: str
    case_id: str
    response: str
    input: str | None = None
    candidate: str | None = None
    where: str = ""  # file:line, for people


@dataclass
class _Case:
    """A case while its rows come in."""

    people: list[Said] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)


class _Odd(ValueError):
    """What is wrong with one row, for people."""


def read_labels(path: Path, *, pass_at: float = PASS_AT) -> LabelFile:
    """SuiteError with ``file:line`` of every row (up to MAX_FAULTS) that is no label. pass_at: the least score that passes."""
    found: dict[str, _Case] = {}
    kinds: list[str] = []  # of the first row that is a label
    ours: list[Label] = []

    def take(row: Row, line: int) -> None:
        if "created_at" in row and "responses" in row:
            ours.append(_label(row))
            return
        kind = _kind(row)
        kinds[:] = kinds or [kind]
        if kind != kinds[0]:
            one, other = ("a single answer", "pairs") if kind == "pointwise" else ("a pair", "single answers")
            raise _Odd(f"labels {one} among labels of {other}")
        case = found.setdefault(_key(row), _Case())
        case.people.extend(_people(row, kind, pass_at))
        case.facts.update(_facts(row))

    _each(path, take)
    if ours and not found:
        return _reviewed(path, ours, pass_at)
    if not found:
        raise SuiteError([Fault(str(path), "holds no label", "Write one label on each line")])
    cases = tuple(LabelledCase(key, tuple(case.people), **case.facts) for key, case in found.items())
    return LabelFile(kinds[0], cases)


def read_answers(path: Path) -> dict[str, LabelledAnswer]:
    """The labelled answers, by the keys of read_labels. SuiteError where a row brings none, or another under one key."""
    found: dict[str, LabelledAnswer] = {}

    def take(row: Row, line: int) -> None:
        key, said, asked = _key(row), row.get("response"), row.get("input")
        if not isinstance(said, str):
            raise _Odd("holds no answer that a judge could read: `response` is missing")
        if asked is not None and not isinstance(asked, str):
            raise _Odd("input is not a text")
        whose = row.get("candidate")
        name = key.removesuffix(f" of {whose}") if isinstance(whose, str) else key
        one = LabelledAnswer(key, name, said, asked, whose if isinstance(whose, str) else None, f"{path}:{line}")
        if found.setdefault(key, one).response != said:
            raise _Odd(f"labels another answer than {found[key].where} does; name in `candidate` who gave it")

    _each(path, take)
    return found


def read_rulings(path: Path, kind: str, *, pass_at: float = PASS_AT) -> dict[str, dict[str, list[Ruling]]]:
    """Judge -> case -> what it said, in the file's order. SuiteError where rows cannot be read or name no case."""
    found: dict[str, dict[str, list[Ruling]]] = {}

    def take(row: Row, line: int) -> None:
        judge = str(row.get("judge") or _named(path))
        given, answer = _rulings(row, kind, pass_at), row.get("response_id")
        by_case, key = found.setdefault(judge, {}), _key(row)
        by_case.setdefault(key, []).extend(given)
        if kind == "pointwise" and isinstance(answer, str):
            by_case.setdefault(f"{key} {answer}", []).extend(given)

    _each(path, take)
    if not found:
        raise SuiteError([Fault(str(path), "holds no judgment", "Write one judgment on each line")])
    return found


def said_by(settled: Settled, kind: str, pass_at: float = PASS_AT) -> tuple[Said, ...]:
    """What people said of one thing in a review; an adjudicator's word stands alone. Empty: nothing of this kind."""
    labels = settled.labels if settled.state != "adjudicated" or settled.final is None else (settled.final,)
    words = [(label, _preferred(label) if kind == "pairwise" else _rated(label, pass_at)) for label in labels]
    return tuple(Said(label.rater, word[0], word[1]) for label, word in words if word is not None)


def _preferred(label: Label) -> tuple[str, None] | None:
    """Of a choice, or of a ranking in which both runs' answers stand."""
    if label.preference is not None:
        return _VERDICTS[label.preference], None
    place = places(label)
    sides = {run: answer for answer, runs in zip(label.responses, label.sides, strict=False) for run in runs.split(",")}
    two = [place.get(sides.get(run or "", "")) for run in (label.run_id, label.baseline_run_id)]
    if two[0] is None or two[1] is None:
        return None
    return (TIE if two[0] == two[1] else FIRST if two[0] < two[1] else SECOND), None


def _rated(label: Label, pass_at: float) -> tuple[str, float | None] | None:
    score = None if label.rating is None else (label.rating - 1) / 4.0
    passed = label.passed if label.passed is not None else None if score is None else score >= pass_at
    return None if passed is None else ((PASS if passed else FAIL), score)


def _label(row: Row) -> Label:
    try:
        return from_row(row, where="label")
    except DataError as error:
        raise _Odd(error.what) from None


def _reviewed(path: Path, labels: Sequence[Label], pass_at: float) -> LabelFile:
    """Labels of a review's export: choices and rankings of pairs, or ratings of answers, not both in one file."""
    settled = settle(labels)
    kind = "pointwise" if all(label.kind in ("rate", "mark") for label in labels) else "pairwise"
    found: dict[str, LabelledCase] = {}
    for matter in settled:
        if people := said_by(matter, kind, pass_at):
            label = matter.labels[0]
            key = label.case_id if kind == "pairwise" else f"{label.case_id} {label.responses[0]}"
            found.setdefault(key, LabelledCase(key, people, probability=label.probability))
    if not found:
        raise SuiteError([Fault(str(path), "holds no label that counts", "Export labels that are not taken back")])
    return LabelFile(kind, tuple(found.values()))


def holds_rulings(path: Path) -> bool:
    """Whether a file of labels holds a judge's verdicts, too."""
    first = next((entry[1] for entry in read_records(path) if not isinstance(entry, BadRow)), {})
    return "results" in first or any(_RESULT.fullmatch(key) for key in first)


def _each(path: Path, take: Callable[[Row, int], None]) -> None:
    faults: list[Fault] = []
    for entry in read_records(path):
        if isinstance(entry, BadRow):
            faults.append(Fault(f"{path}:{entry.line}" if entry.line else str(path), entry.what, entry.todo))
        else:
            try:
                take(entry[1], entry[0])
            except _Odd as odd:
                faults.append(Fault(f"{path}:{entry[0]}", str(odd)))
        if len(faults) >= MAX_FAULTS:
            break
    if faults:
        raise SuiteError(faults)


# -- which case a row is about ---------------------------------------------------------------------------------------------------


def _key(row: Row) -> str:
    for name in ("case_id", "pair_id", "idx", "id"):
        value = row.get(name)
        if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
            whose = row.get("candidate")
            return f"{value}" if not isinstance(whose, str) else f"{value} of {whose}"
    texts = [row.get("input", row.get("instruction")), row.get("output_1"), row.get("output_2")]
    if all(isinstance(text, str) for text in texts):
        return digest_of(texts)[:16]
    raise _Odd("names no case: it has neither case_id nor input, output_1 and output_2")


def _kind(row: Row) -> str:
    is_pair = "output_2" in row or ("idx" in row and any(_ANNOTATOR.fullmatch(key) for key in row))
    if is_pair or any(row.get(key) is not None for key in _PAIR) or row.get("kind") == "pair":
        return "pairwise"
    if any(row.get(key) is not None for key in (*_POINT, "label")) or row.get("kind") == "rate":
        return "pointwise"
    raise _Odd("holds no label: neither preference nor passed, rating, value or label")


def _facts(row: Row) -> dict[str, Any]:
    """What a row says of its case beside the verdict."""
    facts: dict[str, Any] = {}
    for first, second in (("output_1", "output_2"), ("response1", "response2")):
        if isinstance(row.get(first), str) and isinstance(row.get(second), str):
            facts["lengths"] = (len(row[first]), len(row[second]))
    makers = row.get("generator_1"), row.get("generator_2")
    both = str(row.get("cmp_key", "")).split("_")  # PandaLM: opt-7b_pythia-6.9b gave response1 and response2
    if all(isinstance(maker, str) for maker in makers):
        facts["makers"] = makers
    elif len(both) == 2 and all(both):
        facts["makers"] = tuple(both)
    if isinstance(row.get("cluster"), str):
        facts["cluster"] = row["cluster"]
    if row.get("probability") is not None:
        chance = _number(row["probability"])
        if chance is None or not 0.0 < chance <= 1.0:
            raise _Odd(f"probability {row['probability']!r} is not in (0, 1]")
        facts["probability"] = chance
    return facts


def _named(path: Path) -> str:
    """A judge's name from where its file lies: evaluators/GPT-4/Swap/result.json is GPT-4/Swap."""
    parts = path.parts
    return "/".join(parts[parts.index("evaluators") + 1 : -1]) if "evaluators" in parts[:-2] else path.stem


# -- what it says ----------------------------------------------------------------------------------------------------------------


def _people(row: Row, kind: str, pass_at: float) -> list[Said]:
    several = {key: value for key, value in row.items() if _ANNOTATOR.fullmatch(key)} if kind == "pairwise" else {}
    if several:
        return [Said(rater, _of_menu(_preference(value), value)) for rater, value in several.items() if value is not None]
    rater = str(row.get("rater") or row.get("annotator") or "person")
    if kind == "pairwise":
        value = next((row[key] for key in ("preference", "winner", "label") if row.get(key) is not None), None)
        return [] if value is None else [Said(rater, _of_menu(_preference(value), value))]
    verdict, score, given = _point(row, pass_at)
    return [] if given is None else [Said(rater, _of_menu(verdict, given), score)]


def _of_menu(verdict: str | None, value: Any) -> str:
    if verdict is None:
        raise _Odd(f"{value!r} is no label of this kind")
    return verdict


def _preference(value: Any) -> str | None:
    number = _number(value)
    text = f"{number:g}" if number is not None else str(value).strip().lower()
    return None if isinstance(value, bool) else _VERDICTS.get(text)


def _point(row: Row, pass_at: float) -> tuple[str | None, float | None, Any]:
    """Verdict, score in [0, 1], and what was given at all (None: nothing)."""
    score: float | None = None
    given: Any = None
    for key, low, high in (("value", 0.0, 1.0), ("score", 0.0, 1.0), ("rating", 1.0, 5.0)):
        if row.get(key) is not None:
            given, number = row[key], _number(row[key])
            if number is None or not low <= number <= high:
                return None, None, given
            score = (number - low) / (high - low)
    flag = next((row[key] for key in ("passed", "label") if row.get(key) is not None), None)
    if flag is not None:
        return _PASSES.get(str(flag).strip().lower()), score, flag
    return (None if score is None else PASS if score >= pass_at else FAIL), score, given


def _rulings(row: Row, kind: str, pass_at: float) -> list[Ruling]:
    spent = _spent(row)
    if kind == "pointwise":
        verdict, score, given = _point(row, pass_at)
        return [Ruling(verdict, score, "" if verdict else _why(row, given), None, *spent)]
    if isinstance(row.get("results"), list):
        return _both_orders(row["results"])
    if isinstance(row.get("orders"), list) and row["orders"]:
        pairs = [pair for pair in row["orders"] if isinstance(pair, list | tuple) and len(pair) == 2]
        said = [(value, swapped) for pair in pairs for value, swapped in zip(pair, (False, True), strict=True)]
        return [_ruling(row, value, swapped, spent if i == 0 else (0, 0.0)) for i, (value, swapped) in enumerate(said)]
    named = [key for key in row if _RESULT.fullmatch(key)]
    value = next((row[key] for key in ("preference", "winner", "verdict", *named) if row.get(key) is not None), None)
    swapped = row.get("swapped")
    return [_ruling(row, value, swapped if isinstance(swapped, bool) else None, spent)]


def _both_orders(results: Sequence[Any]) -> list[Ruling]:
    """LLMBar: the last of several rounds counts; each has a winner, by answer, in both orders."""
    last = results[-1] if results and isinstance(results[-1], dict) else {}
    rulings = []
    for swapped in (False, True):
        said = last.get(f"swap = {swapped}")
        winner = said.get("winner") if isinstance(said, dict) else None
        rulings.append(_ruling({}, winner, swapped, (None, None)))
    return rulings


def _ruling(row: Row, value: Any, swapped: bool | None, spent: tuple[int | None, float | None]) -> Ruling:
    verdict = None if value is None else _preference(value)
    return Ruling(verdict, None, "" if verdict else _why(row, value), swapped, *spent)


def _why(row: Row, value: Any) -> str:
    """Why a row holds no verdict: its own reason, else what stands there."""
    reason = row.get("unscored") or row.get("reason")
    if isinstance(reason, str):
        return reason[:60]
    return "no verdict" if value is None else f"off the menu: {str(value)[:40]}"


def _spent(row: Row) -> tuple[int | None, float | None]:
    """Tokens and seconds of a judgment, where the row tells."""
    parts = [_number(row.get(key)) for key in ("tokens", "prompt_tokens", "completion_tokens")]
    known = [part for part in (parts[:1] if parts[0] is not None else parts[1:]) if part is not None and part >= 0.0]
    seconds = _number(row.get("seconds"))
    return (int(sum(known)) if known else None), (seconds if seconds is not None and seconds >= 0.0 else None)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if abs(number) < 1e300 else None  # NaN and infinity are no numbers here


def judges_of(rulings: Iterable[Mapping[str, Mapping[str, Sequence[Ruling]]]]) -> dict[str, Mapping[str, Sequence[Ruling]]]:
    """The judges of several files; one that two files name alike is told apart by a number."""
    found: dict[str, Mapping[str, Sequence[Ruling]]] = {}
    for one in rulings:
        for judge, by_case in one.items():
            number = sum(name == judge or name.startswith(f"{judge} #") for name in found)
            found[judge if not number else f"{judge} #{number + 1}"] = by_case
    return found
