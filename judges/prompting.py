"""The words a judge is asked with: Jinja2 templates of prompts/LANGUAGE, rendered in the sandbox, versioned and hashed.

The system prompt holds all that is the same for every case (task, rubric, form of the verdict), so that a server's prefix cache
carries it; what changes - the marker and the fenced texts - is the user's message, with the reminder after it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from harness.errors import DataError
from harness.model import Case, Message
from harness.prompts import render_text
from judges.fence import fenced
from judges.rubric import RubricFile

VERSION = 1  # raised with every change of prompts/; a test holds the digest of each version
FOLDER = Path(__file__).parent / "prompts"


@cache
def source(language: str, name: str) -> str:
    return (FOLDER / language / f"{name}.j2").read_text("utf-8")


def prompt_digest(language: str) -> str:
    """16 hex digits over every template of a language, with the version: part of every judge's digest."""
    digest = hashlib.sha256(str(VERSION).encode())
    for path in sorted((FOLDER / language).glob("*.j2")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def compose(language: str, kind: str, texts: Mapping[str, str], values: Mapping[str, Any]) -> tuple[Message, ...]:
    """System and user message. texts: label -> text to fence; values: what the templates see beside (rubric, form, ...)."""
    marker, blocks = fenced(texts)
    user = {**values, "marker": marker, "blocks": blocks}
    system = {**values, "rules": source(language, "rules").strip()}
    return (
        Message("system", render_text(source(language, f"{kind}.system"), system).strip()),
        Message("user", render_text(source(language, f"{kind}.user"), user).strip()),
    )


def texts_of(
    case: Case, rubric: RubricFile, template: str | None, messages: Sequence[Message] | None, answers: Mapping[str, str]
) -> dict[str, str]:
    """What a judge is shown, label -> text: the question, the reference as the rubric wants it, the answers.

    DataError when the question cannot be rendered or a required reference lacks.
    """
    texts = {"question": question_of(case, template, messages)}
    if rubric.reference == "required" and case.reference is None:
        raise DataError("the rubric requires a reference and the case has none", where=case.source)
    if rubric.reference != "never" and case.reference is not None:
        texts["reference"] = as_text(case.reference)
    return {**texts, **answers}


def question_of(case: Case, template: str | None, messages: Sequence[Message] | None) -> str:
    """The question as the judge sees it: the judge's own template, what the candidate was asked, or what the case holds."""
    if template is not None:
        values = {"vars": case.vars, "reference": case.reference, "metadata": case.metadata, **case.vars}
        return render_text(template, values, where=case.source)
    chat = messages if messages is not None else case.vars.get("messages")
    if chat is None:
        return as_text(case.vars["input"] if "input" in case.vars else dict(case.vars))
    turns = [(turn.role, turn.content) if isinstance(turn, Message) else (turn["role"], turn["content"]) for turn in chat]
    if len(turns) == 1 and turns[0][0] == "user":
        return str(turns[0][1])
    return "\n\n".join(f"({role})\n{content}" for role, content in turns)


def as_text(value: Any) -> str:
    """A text as it is, any other JSON value as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
