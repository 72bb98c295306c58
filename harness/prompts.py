"""A case and a Prompt become the messages that a model is asked.

Templates are Jinja2 in its sandbox: no private attributes, no unknown variables (a missing one is an error, never an empty
string), no HTML escaping (the reader is a model), and no multiplication that blows up. Templates are the user's; the text of a
case only ever goes in as a value and is never compiled.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError
from jinja2.exceptions import SecurityError, UndefinedError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from harness.errors import DataError, UsageError
from harness.model import Case, Message, Prompt

MAX_REPEAT = 1_000_000  # characters or items that ``*`` may make in a template


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja2's sandbox, with ``*`` and ``**`` bounded: ``{{ 'a' * 10 ** 10 }}`` would take the machine down."""

    intercepted_binops = frozenset(["*", "**"])

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" and not (abs(left) <= 1000 and abs(right) <= 100):
            raise SecurityError("this power is too large for a template")
        for size, times in ((left, right), (right, left)):
            if isinstance(size, str | list | tuple) and isinstance(times, int) and len(size) * times > MAX_REPEAT:
                raise SecurityError("this repetition is too long for a template")
        return super().call_binop(context, operator, left, right)


@lru_cache(maxsize=1)
def _environment() -> _Sandbox:
    return _Sandbox(undefined=StrictUndefined, autoescape=False)


@lru_cache(maxsize=512)
def compile_template(text: str) -> Template:
    """Compile once per text; UsageError with the template's own line when its syntax is wrong."""
    try:
        return _environment().from_string(text)
    except TemplateSyntaxError as error:
        raise UsageError(f"template line {error.lineno}: {error.message}", todo="Mend the Jinja2 syntax") from None
    except (TemplateError, RecursionError) as error:
        raise UsageError(f"the template cannot be compiled: {error}") from None


def render_text(template: str, values: Mapping[str, Any], *, where: str = "") -> str:
    """The template filled in; DataError says which variable is missing or why it fails."""
    compiled = compile_template(template)
    try:
        return compiled.render(values)
    except UndefinedError as error:
        have = ", ".join(sorted(map(str, values))) or "nothing"
        raise DataError(f"the template fails: {error.message}", where=where, todo=f"The case has: {have}") from None
    except SecurityError as error:
        raise DataError(f"the template is refused: {error}", where=where, todo="Use values and filters only") from None
    except Exception as error:  # an expression of the template can raise anything
        raise DataError(f"the template fails: {type(error).__name__}: {error}", where=where) from None


def render(prompt: Prompt, case: Case) -> tuple[Message, ...]:
    """System prompt, examples, question. A case with ``messages`` is asked as it stands, with the system prompt put in front when
    it has none."""
    chat = case.vars.get("messages")
    if chat is not None:
        messages = tuple(Message(turn["role"], turn["content"]) for turn in chat)
        if prompt.system is not None and all(message.role != "system" for message in messages):
            return (Message("system", render_text(prompt.system, case.vars, where=case.source)), *messages)
        return messages
    question = Message("user", render_text(prompt.template, case.vars, where=case.source))
    examples = [
        message for user, assistant in prompt.few_shot for message in (Message("user", user), Message("assistant", assistant))
    ]
    if prompt.system is None:
        return (*examples, question)
    return (Message("system", render_text(prompt.system, case.vars, where=case.source)), *examples, question)
