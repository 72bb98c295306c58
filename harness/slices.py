"""Each capability by the values of a metadata field: where inside it the candidate gained and lost.

An average can stand still while one language goes up and another down. A slice is those cases of one capability that share one
value of a field; it is compared as the capability is (same pairing, clusters, methods), asks for nothing in the verdict, and
takes part in the seesaw's false discovery rate.

    values       a text as it is, a number or true/false as in JSON; a list puts its case into each of its values; a mapping, or a
                 list inside a list, is one value, its JSON; a field ``a.b`` is b inside a, unless a key is called so
    not there    NONE: the field is missing, null or an empty list
    rare         values of under LEAST cases, and those beyond the MOST most frequent, are put together into one slice
    too few      a slice of under LEAST paired cases is undecided: its mean is told, no interval and no test; so is the one slice
                 of a field that has rare values alone, which is the capability again
    one value    a capability whose cases all share it is no slice but the capability again: left out
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from harness.errors import UsageError
from harness.model import CapabilityComparison, Gate, ScoreRow, SliceComparison, Split, digest_of

LEAST = 10  # cases of a slice
FEW = 5  # values of a field, all of them rare, that are still told one by one
MOST = 20  # values of one field within one capability that stand alone
NONE = "(none)"
_LONGEST = 120  # characters of a value
_LOOKED_AT = 50  # values of one case, keys of one mapping

Key = tuple[str, str]  # capability, case id


def known_fields(metadata: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """The fields that can be named: keys, and keys inside mappings as ``a.b``."""
    found: set[str] = set()
    for mapping in metadata:
        for key, value in mapping.items():
            found.add(key)
            if isinstance(value, Mapping):
                found.update(f"{key}.{inner}" for inner in islice(value, _LOOKED_AT))
    return frozenset(found)


def values_of(metadata: Mapping[str, Any], field: str) -> tuple[str, ...]:
    """The values that a case has in a field, each once; (NONE,) when it has none."""
    value: Any = metadata
    if field in metadata:
        value = metadata[field]
    else:
        for part in field.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
    several = isinstance(value, list | tuple) and not any(isinstance(v, list | tuple | Mapping) for v in value)
    found = [_text(v) for v in (value[:_LOOKED_AT] if several else (value,))]
    return tuple(dict.fromkeys(found)) or (NONE,)


def _text(value: Any) -> str:
    if value is None:
        return NONE
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
    if len(text) > _LONGEST:  # long values that begin alike stay different
        text = f"{text[:_LONGEST]}... {digest_of(text)[:8]}"
    return text or "(empty)"


def compare_slices(
    candidate: Iterable[ScoreRow],
    baseline: Iterable[ScoreRow],
    metadata: Mapping[Key, Mapping[str, Any]],
    fields: Sequence[str],
    capabilities: Mapping[str, Any],
    gate: Gate,
    *,
    split: Split = Split.GATE,
) -> tuple[SliceComparison, ...]:
    """Every slice, in the order of fields, capabilities and size. metadata: of the cases that have any. capabilities: name ->
    role and margin, as for compare_runs. UsageError when no case has a field."""
    from harness.comparison import compare_runs  # loading a suite needs known_fields, and no scipy

    known = known_fields(metadata.values())
    for field in fields:
        if field not in known:
            todo = f"There are: {', '.join(sorted(known)[:20])}" if known else "The cases have no metadata"
            raise UsageError(f"no case has the metadata field {field!r}", todo=todo)
    ours = [row for row in candidate if row.split is split and row.capability in capabilities]
    planned: dict[str, dict[str, None]] = {name: {} for name in capabilities}
    for row in ours:
        planned[row.capability][row.case_id] = None
    slices = list(_slices(planned, metadata, fields))
    numbers: dict[Key, list[str]] = {}
    for number, (_, cases) in enumerate(slices):
        for key in cases:
            numbers.setdefault(key, []).append(str(number))
    policies = {str(number): capabilities[made.capability] for number, (made, _) in enumerate(slices)}
    theirs = (row for row in baseline if row.split is split)
    compared = compare_runs(_moved(ours, numbers), _moved(theirs, numbers), policies, gate, split=split)
    return tuple(_result(made, found) for (made, _), found in zip(slices, compared, strict=True))


def _slices(
    planned: Mapping[str, Iterable[str]], metadata: Mapping[Key, Mapping[str, Any]], fields: Sequence[str]
) -> Iterator[tuple[SliceComparison, list[Key]]]:
    for field in fields:
        for capability, ids in planned.items():
            values = {(capability, i): values_of(metadata.get((capability, i), {}), field) for i in ids}
            sizes = Counter(value for found in values.values() for value in found)
            if len(sizes) < 2:
                continue
            ordered = sorted(sizes, key=lambda value: (-sizes[value], value))
            alone = [value for value in ordered[:MOST] if sizes[value] >= LEAST]
            if not alone and len(ordered) <= FEW:
                alone = ordered
            rare = set(ordered) - set(alone)
            if len(rare) == 1:
                alone.append(rare.pop())
            for value in alone:
                cases = [key for key, found in values.items() if value in found]
                yield SliceComparison(capability, field, value, len(cases), 0), cases
            if rare:
                cases = [key for key, found in values.items() if not rare.isdisjoint(found)]
                name, why = f"{len(rare)} rare values", "" if alone else f"none of {len(rare)} values has {LEAST} cases"
                yield SliceComparison(capability, field, name, len(cases), 0, values=len(rare), reason=why), cases


def _moved(rows: Iterable[ScoreRow], numbers: Mapping[Key, Sequence[str]]) -> Iterator[ScoreRow]:
    """Each row once for each slice that its case is in, as of a capability called by the slice's number."""
    for row in rows:
        for number in numbers.get((row.capability, row.case_id), ()):
            yield ScoreRow(row.case_id, number, row.sample, row.status, row.value, row.passed, row.reason, row.cluster, row.split)


def _result(made: SliceComparison, found: CapabilityComparison) -> SliceComparison:
    paired, reason = found.paired, found.reason
    if made.reason:
        paired, reason = None, made.reason
    elif found.n_paired < LEAST:
        paired, reason = None, f"{found.n_paired} paired cases, and a slice needs at least {LEAST}"
    return SliceComparison(
        capability=made.capability,
        field=made.field,
        value=made.value,
        n_planned=made.n_planned,
        n_paired=found.n_paired,
        candidate_mean=found.candidate_mean,
        baseline_mean=found.baseline_mean,
        paired=paired,
        values=made.values,
        reason=reason,
    )
