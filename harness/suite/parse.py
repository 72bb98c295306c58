"""Plain data against the models of spec.py: every fault with its line, and what is left when the faulty parts are taken out.

What is left lets the rest of the suite (its case files above all) be checked too, so that one look tells everything.
"""

from __future__ import annotations

import copy
import types
from collections.abc import Collection, Mapping
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from harness.errors import Fault
from harness.plugs import nearest
from harness.suite.document import Document, Location
from harness.suite.spec import SuiteFile

M = TypeVar("M", bound=BaseModel)

_ROUNDS = 20  # of taking out faulty parts: each round makes the data smaller


def parse_suite(data: Any, document: Document, unset: Collection[Location] = ()) -> tuple[SuiteFile | None, list[Fault]]:
    """The suite without its faulty parts (None: nothing is left), and the faults; unset: places whose fault is told already."""
    faults: list[Fault] | None = None
    for _ in range(_ROUNDS):
        try:
            return SuiteFile.model_validate(data), faults or []
        except ValidationError as error:
            details = error.errors(include_url=False, include_context=False, include_input=False)
        if faults is None:
            faults = _faults(details, data, document, unset)
        data = _pruned(data, details)
        if data is None:
            break
    return None, faults or []


def parse_file(kind: type[M], data: Any, document: Document) -> tuple[M | None, list[Fault]]:
    """Data of another kind of file than a suite: the model, or None and every fault with its line."""
    try:
        return kind.model_validate(data), []
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)
    return None, _faults(details, data, document, (), kind)


def _faults(
    details: Any, data: Any, document: Document, unset: Collection[Location], kind: type[BaseModel] = SuiteFile
) -> list[Fault]:
    """One fault per place, the innermost: the branches of a union all complain, the one that fits best says enough."""
    found: dict[Location, Fault] = {}
    for detail in details:
        location = _located(detail["loc"], data)
        key = (*location, detail["loc"][-1]) if detail["type"] == "missing" else location
        found.setdefault(key, _fault(detail, location, document, kind))
    inner = {location[:length] for location in found for length in range(len(location))}
    return [fault for location, fault in found.items() if location not in unset and location not in inner]


def _fault(detail: Any, location: Location, document: Document, kind: type[BaseModel]) -> Fault:
    where, dotted = document.where(location), ".".join(map(str, location))
    if detail["type"] == "extra_forbidden":
        return Fault(where, f"unknown key {str(location[-1])!r}", nearest(str(location[-1]), valid_keys(location[:-1], kind)))
    if detail["type"] == "missing":
        inside = f" in {dotted}" if dotted else ""
        return Fault(where, f"the key {detail['loc'][-1]!r} is missing{inside}", "add it")
    if detail["loc"] and detail["loc"][-1] == "[key]":
        return Fault(where, f"the name {str(location[-1])!r} cannot be used", "use letters, digits, `.`, `-` and `_`, 64 at most")
    message = detail["msg"].removeprefix("Value error, ").replace("Input should be", "must be").replace("a valid tuple", "a list")
    if detail["type"] in ("model_type", "model_attributes_type", "dict_type"):
        message = "must be a mapping"
    return Fault(where, f"{dotted}: {message}" if dotted else f"{'a suite' if kind is SuiteFile else 'the file'} {message}")


def _located(loc: Location, data: Any) -> Location:
    """pydantic's location without what is not in the data: names of validators and branches of unions."""
    out: Location = ()
    for part in loc:
        if (isinstance(data, Mapping) and part in data) or (
            isinstance(data, list) and isinstance(part, int) and 0 <= part < len(data)
        ):
            out, data = (*out, part), data[part]  # type: ignore[index, unused-ignore]
    return out


def _pruned(data: Any, details: Any) -> Any:
    """The data without the places that are at fault; None when that is all of it."""
    if not isinstance(data, dict):
        return None
    places: set[Location] = set()
    for detail in details:
        location = _located(detail["loc"], data)
        if detail["type"] == "missing" and location == ():
            data = data | {detail["loc"][-1]: "unnamed"}  # only the name is required
        elif location == ():
            return None
        else:
            places.add(location)
    data = copy.deepcopy(data)
    for location in sorted(places, key=lambda place: [(isinstance(part, int), part) for part in place], reverse=True):
        holder = data
        for part in location[:-1]:
            holder = holder[part] if _has(holder, part) else None
        if _has(holder, location[-1]):
            del holder[location[-1]]
    return data


def _has(holder: Any, part: str | int) -> bool:
    if isinstance(holder, dict):
        return part in holder
    return isinstance(holder, list) and isinstance(part, int) and part < len(holder)


def valid_keys(location: Location, root: type[BaseModel] = SuiteFile) -> list[str]:
    """The keys that the mapping at a place of a suite (or of another kind of file) may have."""
    kind: Any = root
    for part in location:
        kind = _step(kind, part)
    return list(kind.model_fields) if _is_model(kind) else []


def _step(kind: Any, part: str | int) -> Any:
    if _is_model(kind):
        field = kind.model_fields.get(part)
        return _peeled(field.annotation) if field else None
    arguments = get_args(kind)
    if get_origin(kind) is dict:
        return _peeled(arguments[1])
    return _peeled(arguments[0]) if get_origin(kind) is tuple else None


def _peeled(annotation: Any) -> Any:
    """The part of an annotation that has keys or items."""
    if get_origin(annotation) is Annotated:
        return _peeled(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        peeled = [_peeled(branch) for branch in get_args(annotation)]
        return next((branch for branch in peeled if _is_model(branch) or get_origin(branch) in (dict, tuple)), None)
    return annotation


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
