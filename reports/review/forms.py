"""What the pages of both reviews (of answers, of training rows) are made with: forms read, templates, files served."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Mapping
from importlib import resources
from urllib.parse import parse_qsl

from jinja2 import Environment, FunctionLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from harness.errors import StoreError
from harness.labels import COMMENT_CHARS, RATER_CHARS
from reports.text import visible

Form = Mapping[str, str]

FILE_TYPES = {"app.css": "text/css", "app.js": "text/javascript"}
_OWN = "reports.review.templates"
_SHARED = ("macros.html.j2",)  # of the report


async def form_of(request: Request) -> dict[str, str]:
    """The fields that were sent; none for a GET."""
    if request.method != "POST":
        return {}
    body = (await request.body()).decode("utf-8", "replace")
    try:
        return dict(parse_qsl(body, keep_blank_values=True, max_num_fields=200))
    except ValueError:
        raise HTTPException(400, "This is no form of these pages.") from None


def fault_of(error: Exception) -> tuple[int, str]:
    """The status of the page that tells of an error, and its line."""
    if isinstance(error, HTTPException):
        return error.status_code, visible(error.detail)
    return 503 if isinstance(error, StoreError) else 422, visible(str(error))


def endpoint_of(work: Callable[[Request, Form], Response]) -> Callable[[Request], Awaitable[Response]]:
    """A page as an endpoint: the form is read here, the work is done in a thread (it may wait for the store or the disk)."""

    async def endpoint(request: Request) -> Response:
        return await run_in_threadpool(work, request, await form_of(request))

    return endpoint


def comment_of(form: Form) -> str:
    comment = form.get("comment", "").replace("\r\n", "\n")
    if len(comment) > COMMENT_CHARS:
        raise HTTPException(
            422, f"A comment has at most {COMMENT_CHARS:,} characters; nothing was saved. Go back and shorten it."
        )
    return comment


def seconds_of(form: Form) -> float | None:
    """Seconds spent: what the page counted while it was seen, but no longer than since it was made; None if it says neither."""
    made = time.time() - _number(form.get("opened", ""))
    counted = _number(form.get("seconds", ""))
    spent = min(made, counted) if math.isfinite(counted) else made
    return spent if math.isfinite(spent) and spent >= 0 else None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def rater_of(text: str) -> str:
    """A rater's name on one line, "" for what is none."""
    name = " ".join(visible(text).split())
    return name if len(name) <= RATER_CHARS else ""


def templates() -> Environment:
    return Environment(
        loader=FunctionLoader(_template), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


def static_files() -> dict[str, str]:
    """name -> text of what the pages load."""
    return {"app.css": _read("reports.sections", "style.css") + _read(_OWN, "app.css"), "app.js": _read(_OWN, "app.js")}


def _read(package: str, name: str) -> str:
    return (resources.files(package) / name).read_text(encoding="utf-8")


def _template(name: str) -> tuple[str, None, Callable[[], bool]]:
    return _read("reports.sections" if name in _SHARED else _OWN, name), None, lambda: True
