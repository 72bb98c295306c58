"""python: a function of the user's scores the answer.

    checks:
      - {type: python, value: "my_checks.py:polite"}

    def polite(text: str, case: harness.model.Case) -> bool | float | dict: ...

The path starts from the suite's folder. The function gives a bool, a number in [0, 1], a mapping with ``score`` (and perhaps
``explanation``, ``unscored``: a reason code), or an object with these as attributes (``value`` for ``score``), such as a
harness.model.Score. Anything else, a number outside [0, 1], or an exception leaves the response unscored ("check-error").

This is the user's own code and runs in the harness's process with its rights, when the checks are compiled. It is as trusted as
the suite that names it: look at a stranger's suite before running it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.checks.base import BadValue, CheckType, Example, Outcome, Seen, Takes, unscored
from harness.checks.texts import finite, printable
from harness.errors import UsageError

_REFERENCE = re.compile(r"(?P<file>.+\.py):(?P<name>[A-Za-z_]\w*)")


@dataclass(frozen=True, slots=True)
class _Function:
    call: Callable[[Any, Any], Any]
    sha256: str  # of the file's content, so that a changed function rescores


def _prepare(value: Any, options: Any) -> str:
    if not isinstance(value, str) or not _REFERENCE.fullmatch(value):
        raise BadValue('the value is "file.py:function"')
    return value


def _setup(options: Any, value: Any, root: Path) -> _Function:
    found = _REFERENCE.fullmatch(_prepare(value, options))
    assert found is not None
    path = (root / found["file"]).resolve()
    if not path.is_file():
        raise UsageError(f"python check {value!r}: there is no file {path}", todo="paths start from the suite's folder")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    function = getattr(_load(path, digest), found["name"], None)
    if not callable(function):
        raise UsageError(f"python check: there is no function {found['name']!r} in it", where=str(path))
    if inspect.iscoroutinefunction(function):
        raise UsageError(f"python check: {found['name']!r} is async", where=str(path), todo="make it a plain function")
    try:
        inspect.signature(function).bind("text", "case")
    except TypeError as error:
        raise UsageError(f"python check: {found['name']!r} cannot be called as (text, case): {error}", where=str(path)) from error
    return _Function(function, digest)


def _load(path: Path, digest: str) -> Any:
    """The user's module, under a name of its own, so that it can neither shadow nor be shadowed by an installed one."""
    name = f"_harness_check_{path.stem}_{digest[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickling look a module up by its name
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        line = getattr(error, "lineno", None) or (lines[-1] if lines else 1)
        what = f"python check: {type(error).__name__}: {error}"
        raise UsageError(what, where=f"{path}:{line}", todo="mend the file") from error
    return module


def _judge(seen: Seen, expected: str, tool: _Function) -> Outcome:
    try:
        result = tool.call(seen.text, seen.case)
    except (Exception, SystemExit) as error:
        return unscored("check-error", printable(f"{expected}: {type(error).__name__}: {error}")[:500])
    return _outcome(result, expected)


def _outcome(result: Any, name: str) -> Outcome:
    value: Any
    explanation: Any
    reason: Any
    value, explanation, reason = result, None, None
    if isinstance(result, Mapping):
        value, explanation, reason = result.get("score"), result.get("explanation"), result.get("unscored")
    elif hasattr(result, "value") and not isinstance(result, bool | int | float):
        value, explanation, reason = result.value, getattr(result, "explanation", None), getattr(result, "unscored", None)
    explanation = printable(str(explanation or f"{name} gave {result!r:.80}"))[:2000]
    if reason:
        return unscored(re.sub(r"[^a-z0-9]+", "-", str(reason).lower()).strip("-")[:40] or "check-error", explanation)
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        value = value.item()  # a NumPy or torch scalar
    if isinstance(value, bool):
        return Outcome(float(value), explanation)
    number = finite(value)
    if number is None or not 0.0 <= number <= 1.0:
        return unscored("check-error", printable(f"{name} gave {value!r:.80}, not a bool or a number in [0, 1]"))
    return Outcome(number, explanation)


CHECKS = (
    CheckType(
        name="python",
        version=1,
        summary="A function of yours, file.py:function, called with (text, case), gives a bool or a number in [0, 1].",
        judge=_judge,
        takes=Takes.OWN,
        setup=_setup,
        prepare=_prepare,
        identity=lambda tool: tool.sha256,
        examples=(  # the functions of tests/checks/files/answers.py, where the tests' suite folder is
            Example("please", 1.0, value="answers.py:polite"),
            Example("now", 0.0, value="answers.py:polite"),
            Example("abcd", 0.4, value="answers.py:length_of_ten"),
            Example("abcdefghijklmno", None, value="answers.py:length_of_ten", unscored="check-error"),
            Example("x", 0.25, value="answers.py:mapping"),
            Example("x", None, value="answers.py:abstains", unscored="needs-a-human"),
            Example("x", None, value="answers.py:crashes", unscored="check-error"),
            Example("x", None, value="answers.py:exits", unscored="check-error"),
            Example("x", None, value="answers.py:forgets", unscored="check-error"),
            Example("x", None, value="answers.py:nan", unscored="check-error"),
            Example("Ada", 1.0, value="answers.py:as_score", reference="Ada"),
        ),
    ),
)
