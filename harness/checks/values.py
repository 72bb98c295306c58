"""Where a check's expected value comes from: a constant, a template over the case, or the case's reference.

A string (also inside a list) that holds ``{{`` or ``{%`` is a Jinja2 template over the case: its vars by name (``{{ city }}``),
``vars``, ``reference``, ``metadata`` and ``id`` (which win over vars of these names). A value that is one single expression keeps
its type (``"{{ reference.tags }}"`` stays a list); everything else becomes text. Templates are the suite's own words and run in
a sandbox; the case's text is data and never a template. A name that does not exist is an error, not an empty string.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, Undefined
from jinja2.sandbox import SandboxedEnvironment

from harness.checks.base import ABSENT, BadValue
from harness.model import Case

_EXPRESSION = re.compile(r"\s*\{\{((?:(?!\{\{|\}\}|\{%).)*)\}\}\s*", re.DOTALL)


def is_template(value: Any) -> bool:
    """Whether any string in the value (a string, or a list of them) is a template."""
    if isinstance(value, list):
        return any(is_template(item) for item in value)
    return isinstance(value, str) and ("{{" in value or "{%" in value)


def value_of(value: Any) -> Callable[[Case], Any]:
    """A function from a case to the check's value. BadValue when a template does not parse; the function raises it when a
    template fails on a case."""
    if value is ABSENT:
        return lambda case: case.reference
    if not is_template(value):
        return lambda case: value
    if isinstance(value, list):
        parts = [value_of(item) for item in value]
        return lambda case: [part(case) for part in parts]
    render = _compile(value)

    def rendered(case: Case) -> Any:
        context = {**case.vars, "vars": case.vars, "reference": case.reference, "metadata": case.metadata, "id": case.id}
        try:
            result = render(context)
            if isinstance(result, Undefined):
                str(result)  # StrictUndefined raises here, naming what is missing
            return result
        except TemplateError as error:
            raise BadValue(f"the template {value!r} fails on this case: {error.message}") from error
        except Exception as error:  # arithmetic on text, a missing filter argument: also the template's fault
            raise BadValue(f"the template {value!r} fails on this case: {type(error).__name__}: {error}") from error

    return rendered


def _compile(text: str) -> Callable[[dict[str, Any]], Any]:
    # Escaping is for HTML; these values are compared with plain text.
    environment = SandboxedEnvironment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)
    try:
        single = _EXPRESSION.fullmatch(text)
        if single:
            expression = environment.compile_expression(single.group(1), undefined_to_none=False)
            return lambda context: expression(context)
        template = environment.from_string(text)
        return lambda context: template.render(context)
    except TemplateSyntaxError as error:
        raise BadValue(f"the template {text!r} does not parse: {error.message} (wrap literal braces in {{% raw %}})") from error
