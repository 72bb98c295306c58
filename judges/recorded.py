"""Verdicts read from a file: people's, another tool's, an older judge's. Nothing is asked.

Rows (JSONL, CSV, Parquet) say what they are about by any of ``case_id``, ``response_digest`` (SHA-256 of the answer's text, hex),
``response``, ``prompt``, ``baseline`` and ``baseline_digest``, and what the verdict is by ``value``, ``passed`` or ``preference``
(candidate, baseline, tie). A row applies when all that it says of an answer is so; of several that apply, the one that says most.
A row that names no answer would give every candidate the same verdict, so it is refused unless ``any_answer`` is set.
"""

from __future__ import annotations

import hashlib
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from harness.checks.spec import SpecFault
from harness.model import Candidate, Case, Client, Judgment, Message, Request, Response, digest_of
from harness.rows import BadRow, read_rows
from judges.base import JudgeOptions, JudgeSpec, JudgeType, Setting
from judges.prompting import question_of
from judges.verdicts import EXPLANATION, flags_of, passes, spread_of, unusable, without_asking

ABOUT = ("case_id", "response_digest", "response", "prompt", "baseline", "baseline_digest")
DIGESTS = ("response_digest", "baseline_digest")
SAYS = ("value", "passed", "preference", "explanation", "judge")
VALUES = {"candidate": 1.0, "tie": 0.5, "baseline": 0.0}
MAX_FAULTS = 20


class RecordedOptions(JudgeOptions):
    """A file of verdicts and how it is read."""

    file: str = Field(min_length=1, description="JSONL, CSV or Parquet, relative to the suite.")
    fields: dict[str, str] = Field(
        default_factory=dict,
        description="Our name -> the file's: case_id, response_digest, response, prompt, baseline, value, ...",
    )
    judge: str | None = Field(default=None, description="Only rows whose judge is this one.")
    low: float = Field(default=0.0, description="The file's worst value.")
    high: float = Field(default=1.0, description="The file's best value.")
    pairwise: bool = Field(default=False, description="Rows hold preferences between the candidate's and the baseline's answer.")
    several: Literal["refuse", "mean"] = Field(default="refuse", description="What several rows about one answer are.")
    any_answer: bool = Field(default=False, description="Rows need not name the answer: a case's verdict holds for every one.")

    @model_validator(mode="after")
    def _sound(self) -> RecordedOptions:
        if self.low >= self.high:
            raise ValueError("low must be under high")
        if unknown := sorted(set(self.fields) - {*ABOUT, *SAYS}):
            raise ValueError(f"fields names {unknown[0]!r}; names are {', '.join((*ABOUT, *SAYS))}")
        return self


@dataclass(frozen=True, slots=True)
class Record:
    """One row. value in [0, 1], None where the row says that there is no verdict."""

    value: float | None
    explanation: str
    line: int


@dataclass(frozen=True, slots=True)
class Records:
    """signatures: which of ABOUT a row names, most first -> their values -> its records."""

    by_signature: Mapping[tuple[str, ...], Mapping[tuple[str, ...], tuple[Record, ...]]]
    digest: str

    def find(self, about: Mapping[str, str]) -> tuple[Record, ...]:
        for signature, found in self.by_signature.items():
            if all(name in about for name in signature):
                key = tuple(about[name] for name in signature)
                if key in found:
                    return found[key]
        return ()


class Recorded:
    """See judges.base.Judge."""

    def __init__(self, spec: JudgeSpec, candidates: Mapping[str, Candidate]) -> None:
        assert isinstance(spec.tool, Records)
        assert isinstance(spec.options, RecordedOptions)
        self.spec, self._records, self._options = spec, spec.tool, spec.options
        self.digest = spec.digest(None)

    def questions(
        self, case: Case, response: Response, *, baseline: Response | None = None, messages: Sequence[Message] | None = None
    ) -> tuple[Request, ...]:
        return ()

    async def judge(
        self,
        case: Case,
        response: Response,
        asker: Client,
        *,
        baseline: Response | None = None,
        messages: Sequence[Message] | None = None,
    ) -> Judgment:
        name, digest = self.spec.name, self.digest
        if reason := unusable(response):
            return without_asking(self.spec, digest, case.id, reason)
        about = {
            "case_id": case.id,
            "response_digest": response_digest(response.text),
            "response": response.text.strip(),
            "prompt": question_of(case, None, None).strip(),
        }
        if baseline is not None and baseline.error is None:
            about |= {"baseline": baseline.text.strip(), "baseline_digest": response_digest(baseline.text)}
        found = self._records.find(about)
        values = tuple(record.value for record in found if record.value is not None)
        if not values:
            return without_asking(self.spec, digest, case.id, "recorded-unscored" if found else "no-record")
        value = statistics.fmean(values)
        preference = ("candidate" if value > 0.5 else "baseline" if value < 0.5 else "tie") if self.spec.pairwise else None
        words = "\n\n".join(record.explanation for record in found if record.explanation)
        return Judgment(
            name,
            digest,
            case.id,
            value,
            passes(value, self.spec.threshold),
            explanation=words[:EXPLANATION],
            mode="recorded",
            raw=self._options.low + value * (self._options.high - self._options.low),
            preference=preference,
            values=values,
            spread=spread_of(values),
            flags=flags_of(response.text),
        )


def response_digest(text: str) -> str:
    """What ``response_digest`` and ``baseline_digest`` of a row hold: SHA-256 over the answer's UTF-8 text, hex."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def read_records(rows: Iterable[tuple[int, Mapping[str, Any]] | BadRow], options: RecordedOptions) -> tuple[Records, list[str]]:
    """The records, and what is wrong with rows (``line N: ...``)."""
    faults: list[str] = []
    found: dict[tuple[str, ...], dict[tuple[str, ...], list[Record]]] = {}
    content: list[Any] = []
    for row in rows:
        if isinstance(row, BadRow):
            faults.append(f"line {row.line}: {row.what}" if row.line else row.what)
            continue
        line, raw = row
        named = {name: raw.get(options.fields.get(name, name)) for name in (*ABOUT, *SAYS)}
        if options.judge is not None and named["judge"] != options.judge:
            continue
        try:
            signature, key, record = _record(line, named, options)
        except ValueError as error:
            faults.append(f"line {line}: {error}")
            continue
        earlier = found.setdefault(signature, {}).setdefault(key, [])
        if earlier and options.several == "refuse" and earlier[0].value != record.value:
            faults.append(
                f"line {line}: another verdict on this answer stands on line {earlier[0].line}; several: mean takes both"
            )
            continue
        if not earlier or options.several == "mean":
            earlier.append(record)
            content.append([signature, key, record.value, record.explanation])
    ordered = sorted(found, key=lambda signature: (-len(signature), [ABOUT.index(name) for name in signature]))
    tables = {signature: {key: tuple(records) for key, records in found[signature].items()} for signature in ordered}
    return Records(tables, digest_of(content)[:32]), faults


def _record(line: int, row: Mapping[str, Any], options: RecordedOptions) -> tuple[tuple[str, ...], tuple[str, ...], Record]:
    """ValueError says what is wrong with the row."""
    about = {name: row[name] for name in ABOUT if row[name] not in (None, "")}
    if wrong := [name for name, value in about.items() if not isinstance(value, str)]:
        raise ValueError(f"{wrong[0]} is not a text")
    if not options.any_answer and not about.keys() & {"response", "response_digest"}:
        raise ValueError("it does not say which answer it is about: give response or response_digest, or set any_answer")
    if not options.any_answer and options.pairwise and not about.keys() & {"baseline", "baseline_digest"}:
        raise ValueError("it does not say which answer the other one was: give baseline or baseline_digest, or set any_answer")
    if not about:
        raise ValueError(f"it says nothing of what it is about: give one of {', '.join(ABOUT)}")
    key = tuple(value.strip().lower() if name in DIGESTS else value.strip() for name, value in about.items())
    words = row["explanation"]
    return tuple(about), key, Record(_value(row, options), words if isinstance(words, str) else "", line)


def _value(row: Mapping[str, Any], options: RecordedOptions) -> float | None:
    if options.pairwise:
        preference = row["preference"]
        if preference is None:
            return None
        if preference not in VALUES:
            raise ValueError(f"preference is {str(preference)[:40]!r}, not {', '.join(VALUES)}")
        return VALUES[preference]
    value = row["value"]
    passed = {"true": True, "false": False}.get(str(row["passed"]).lower(), row["passed"])  # CSV knows texts only
    if value is None:
        if passed is not None and not isinstance(passed, bool):
            raise ValueError("passed is not true or false")
        return None if passed is None else float(passed)
    value = _number(value)
    if value is None:
        raise ValueError(f"value is {str(row['value'])[:40]!r}, not a number")
    if not options.low <= value <= options.high:
        raise ValueError(f"value {value:g} is not between {options.low:g} and {options.high:g}")
    return (value - options.low) / (options.high - options.low)


def _number(value: Any) -> float | None:
    """A finite number, also one that CSV made a text of; None for anything else."""
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _prepare(name: str, options: RecordedOptions, setting: Setting) -> tuple[JudgeSpec | None, list[SpecFault]]:
    path = Path(setting.root) / options.file
    records, wrong = read_records(read_rows(path), options)
    faults = [SpecFault(("file",), f"{options.file}: {what}") for what in wrong[:MAX_FAULTS]]
    if len(wrong) > MAX_FAULTS:
        faults.append(
            SpecFault(("file",), f"{options.file}: {len(wrong) - MAX_FAULTS:,} more rows are wrong", "mend these first")
        )
    if not wrong and not records.by_signature:
        faults.append(SpecFault(("file",), f"{options.file}: there is no verdict in it", "check judge and fields"))
    if faults:
        return None, faults
    threshold = options.threshold if options.threshold is not None else 0.5
    identity = [records.digest, options.several, options.pairwise]
    return JudgeSpec(name, RECORDED, options, None, (), records, identity, options.pairwise, threshold), []


RECORDED = JudgeType(
    name="recorded",
    version=1,
    summary="Verdicts read from a file.",
    options=RecordedOptions,
    prepare=_prepare,
    bind=Recorded,
)
JUDGES = (RECORDED,)
