"""Pages on which people accept or reject training rows, and what their forms do. Without JavaScript; with it, by keyboard alone.

Who may come in, what a form may say and how a page looks is as in the review of answers (guard, forms, templates). A page names a
row by its place in the drawn order, a form says a verdict of a fixed list; everything else that is shown or stored is data.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from harness.errors import HarnessError
from harness.labels import COMMENT_CHARS, RATER_CHARS
from harness.quality.examples import Example, Kind, Turns
from harness.quality.humancheck import ACCEPT, OTHER, REJECT, SKIP, Word, provenance
from reports.nouns import MessageView, Text
from reports.review.forms import (
    FILE_TYPES,
    Form,
    comment_of,
    endpoint_of,
    fault_of,
    rater_of,
    seconds_of,
    static_files,
    templates,
)
from reports.review.guard import Guard
from reports.review.rows_session import RowReview
from reports.review.views import MOST_MESSAGES, TEXT_CHARS, left_shown
from reports.text import cut, label, moment, plural, visible

Page = Callable[["RowDesk", Request, Form], Response]

WORDS = {ACCEPT: "accepted", REJECT: "rejected", OTHER: "the other one is better", SKIP: "cannot tell"}
_RECENT = 12


def create(review: RowReview, *, port: int, rater: str, token: str | None = None) -> tuple[Starlette, str]:
    """The application, and the token that lets a browser in. rater: who reads unless they give another name in the page."""
    token = token or secrets.token_urlsafe(32)
    desk = RowDesk(review, port, rater)
    routes = [
        Route("/", _page(desk, overview)),
        Route("/next", _page(desk, next_one)),
        Route("/row/{place:int}", _page(desk, read_row), methods=["GET", "POST"]),
        Route("/undo", _page(desk, undo), methods=["POST"]),
        Route("/rater", _page(desk, take_seat), methods=["POST"]),
        Route("/static/{name}", _page(desk, static)),
    ]
    guard = Middleware(Guard, port=port, token=token)
    faults = {HTTPException: desk.fault, HarnessError: desk.fault}
    return Starlette(routes=routes, middleware=[guard], exception_handlers=faults), token


class RowDesk:
    """What the pages share: the review, the templates, and who sits there."""

    def __init__(self, review: RowReview, port: int, rater: str) -> None:
        self.review, self._rater, self._seat = review, rater, f"harness_rater_{port}"
        self._templates, self.files = templates(), static_files()

    def rater(self, request: Request) -> str:
        return rater_of(unquote(request.cookies.get(self._seat, ""))) or self._rater

    def seat(self, answer: Response, rater: str) -> None:
        answer.set_cookie(self._seat, quote(rater, safe=""), httponly=True, samesite="strict", path="/")

    def show(self, request: Request, name: str, status: int = 200, **values: Any) -> HTMLResponse:
        text = self._templates.get_template(name).render(
            file=label(self.review.name, 80),
            rater=visible(self.rater(request)),
            now=time.time(),
            comment_chars=COMMENT_CHARS,
            rater_chars=RATER_CHARS,
            **values,
        )
        return HTMLResponse(text.encode("utf-8", "replace"), status)

    async def fault(self, request: Request, error: Exception) -> Response:
        status, line = fault_of(error)
        return await run_in_threadpool(self.show, request, "rows_fault.html.j2", status, line=line, here="")


def _page(desk: RowDesk, page: Page) -> Callable[[Request], Any]:
    return endpoint_of(partial(_refreshed, desk, page))


def _refreshed(desk: RowDesk, page: Page, request: Request, form: Form) -> Response:
    if not request.url.path.startswith("/static/"):
        desk.review.log.refresh()  # another process may have written
    return page(desk, request, form)


# -- pages -----------------------------------------------------------------------------------------------------------------------


def overview(desk: RowDesk, request: Request, form: Form) -> Response:
    """How far everybody is, how the sample was drawn, and the rater's last words. No rates: they would tell when to stop."""
    review, rater = desk.review, desk.rater(request)
    said, drawn = review.said(rater), review.plan.drawn()
    by_stratum: dict[str, int] = {}
    for pick in review.plan.picks:
        by_stratum[pick.stratum] = by_stratum.get(pick.stratum, 0) + (pick.row in said)
    progress = review.progress(rater)
    recent = sorted(said.values(), key=lambda word: -word.created_at)[:_RECENT]
    return desk.show(
        request,
        "rows_overview.html.j2",
        here="overview",
        progress=progress,
        left=left_shown(progress.left_s),
        plan=review.plan,
        by=" and ".join(review.plan.by),
        strata=[(label(name), rows, drawn[name], by_stratum.get(name, 0)) for name, rows in review.plan.strata.items()],
        raters=[(visible(name), n) for name, n in review.raters().items()],
        recent=[_told(review, word) for word in recent],
        start=review.next_row(rater),
    )


def next_one(desk: RowDesk, request: Request, form: Form) -> Response:
    """On to the first row that this rater has said nothing of."""
    place = desk.review.next_row(desk.rater(request))
    if place is None:
        return desk.show(request, "rows_done.html.j2", here="next")
    return RedirectResponse(f"/row/{place + 1}" + ("?saved=1" if request.query_params.get("saved") else ""), 303)


def read_row(desk: RowDesk, request: Request, form: Form) -> Response:
    """One row with everything that it teaches; and what its form says of it."""
    review, rater, place = desk.review, desk.rater(request), request.path_params["place"] - 1
    if not 0 <= place < len(review.order):
        raise HTTPException(404, "There is no such row in this sample.")
    example = review.rows[review.order[place]]
    problem = False
    if request.method == "POST":
        verdict = _verdict(form, example)
        if verdict is not None:
            review.say(place, rater, verdict, comment=comment_of(form), seconds=seconds_of(form))
            return RedirectResponse("/next?saved=1", 303)
        problem = True
    earlier, progress = review.said(rater).get(review.order[place]), review.progress(rater)
    last = review.last(rater) if request.query_params.get("saved") else None
    return desk.show(
        request,
        "rows_row.html.j2",
        422 if problem else 200,
        here="next",
        row=shown(example, label(review.picks[review.order[place]].stratum)),
        place=place + 1,
        progress=progress,
        left=left_shown(progress.left_s),
        saved=_told(review, last) if last else None,
        problem=problem,
        verdict=earlier.verdict if earlier else "",
        comment=comment_of(form) if problem else earlier.comment if earlier else "",
    )


def undo(desk: RowDesk, request: Request, form: Form) -> Response:
    """Take the last word back, and show the row it was about."""
    place = desk.review.undo(desk.rater(request))
    return RedirectResponse("/" if place is None else f"/row/{place + 1}", 303)


def take_seat(desk: RowDesk, request: Request, form: Form) -> Response:
    name = rater_of(form.get("name", ""))
    if not name:
        raise HTTPException(422, f"A name has 1 to {RATER_CHARS} characters.")
    answer = RedirectResponse("/", 303)
    desk.seat(answer, name)
    return answer


def static(desk: RowDesk, request: Request, form: Form) -> Response:
    name = request.path_params["name"]
    if name not in desk.files:
        raise HTTPException(404, "There is no such page.")
    return Response(desk.files[name], media_type=FILE_TYPES[name])


def _verdict(form: Form, example: Example) -> str | None:
    """What a form says; None when it says nothing that can be said of this row."""
    if form.get("do") == "skip":
        return SKIP
    said = form.get("verdict", "")
    possible = (ACCEPT, REJECT, OTHER) if example.kind is Kind.PREFERENCE else (ACCEPT, REJECT)
    return said if said in possible else None


# -- what is shown ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Side:
    """An answer of a row, with the name under which it stands there."""

    name: str
    text: Text
    thinking: Text | None


@dataclass(frozen=True, slots=True)
class RowShown:
    """A row cut and drawn visibly, still unescaped. note: what kind of row it is. origin: its provenance as JSON."""

    stratum: str
    where: str
    note: str
    messages: tuple[MessageView, ...]
    sides: tuple[Side, ...]
    preference: bool
    origin: Text | None


_NOTES = {
    Kind.TEXT: "a text, learnt whole",
    Kind.MESSAGES: "a conversation, every assistant turn of it learnt",
    Kind.PROMPT: "a prompt without an answer",
    Kind.COMPLETION: "an answer to be learnt",
    Kind.PREFERENCE: "the chosen answer is to be preferred over the rejected one",
}


def shown(example: Example, stratum: str) -> RowShown:
    kind = example.kind
    sides = [_side({Kind.PREFERENCE: "Chosen", Kind.TEXT: "Text"}.get(kind, "Answer"), example.answer)]
    sides += [_side("Rejected", example.refused)] if kind is Kind.PREFERENCE else []
    note = _NOTES.get(kind) or f"an answer marked as {'good' if example.label else 'bad'}"
    origin = provenance(example)
    return RowShown(
        stratum=stratum,
        where=f"line {example.line:,} of {Path(example.source).name}",
        note=note,
        messages=_messages(example.asked),
        sides=tuple(sides) if kind is not Kind.PROMPT else (),
        preference=kind is Kind.PREFERENCE,
        origin=cut(json.dumps(origin, ensure_ascii=False, indent=1, default=str), TEXT_CHARS) if origin else None,
    )


def _messages(turns: Turns) -> tuple[MessageView, ...]:
    kept = turns[-MOST_MESSAGES:]
    found = [MessageView("prompt" if turn.role == "text" else label(turn.role, 20), cut(turn.text, TEXT_CHARS)) for turn in kept]
    if len(kept) < len(turns):
        found.insert(0, MessageView("note", Text(f"({plural(len(turns) - len(kept), 'earlier message')} not shown)")))
    return tuple(found)


def _side(name: str, turns: Turns) -> Side:
    thinking = "\n".join(turn.thinking for turn in turns if turn.thinking)
    return Side(name, cut(_joined(turns), TEXT_CHARS), cut(thinking, TEXT_CHARS) if thinking else None)


def _joined(turns: Turns) -> str:
    """One turn as it stands; several with who speaks."""
    if len(turns) == 1:
        return turns[0].text
    return "\n\n".join(f"{turn.role}:\n{turn.text}" for turn in turns)


def _told(review: RowReview, word: Word) -> Mapping[str, Any]:
    what = WORDS.get(str(word.verdict), "")
    comment = cut(word.comment, 1_000) if word.comment else None
    place = review.order.index(word.row) + 1
    return {"what": what, "line": word.line, "place": place, "when": moment(word.created_at), "comment": comment}
