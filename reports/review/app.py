"""The pages of the review and what their forms do. Every page works without JavaScript; with it, by keyboard alone.

A form is answered with a redirect to the next thing to label, so that reloading a page never labels twice. Whoever sends a form
names things only by tokens and letters that are looked up; what stands behind a letter is known here alone.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from functools import partial
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
from harness.labels import COMMENT_CHARS, MARKS, RATER_CHARS
from reports.review import views
from reports.review.chat import MOST_CHARS, Chat
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
from reports.review.queue import TIERS, Key
from reports.review.session import KINDS, Review, Task
from reports.text import label, visible

Page = Callable[["Desk", Request, Form], Response]

TITLES = {"rate": "Rate", "pair": "Compare", "rank": "Rank"}


def create(review: Review, *, port: int, rater: str, token: str | None = None, chat: Chat | None = None) -> tuple[Starlette, str]:
    """The application, and the token that lets a browser in. rater: who labels unless they give another name in the page."""
    token = token or secrets.token_urlsafe(32)
    desk = Desk(review, port, rater, chat)
    routes = [
        Route("/", _page(desk, overview)),
        Route("/undo", _page(desk, undo), methods=["POST"]),
        Route("/rater", _page(desk, take_seat), methods=["POST"]),
        Route("/adjudicate", _page(desk, disagreements)),
        Route("/adjudicate/rate/{token}/{number:int}", _page(desk, partial(label_task, kind="rate", adjudicates=True)),
              methods=["GET", "POST"]),
        Route("/adjudicate/{kind}/{token}", _page(desk, partial(label_task, adjudicates=True)), methods=["GET", "POST"]),
        Route("/chat", _page(desk, talk), methods=["GET", "POST"]),
        Route("/chat/new", _page(desk, talk_anew), methods=["POST"]),
        Route("/case/{token}", _page(desk, open_case), methods=["GET", "POST"]),
        Route("/static/{name}", _page(desk, static)),
        Route("/rate/{token}/{number:int}", _page(desk, partial(label_task, kind="rate")), methods=["GET", "POST"]),
        Route("/{kind}/{token}", _page(desk, label_task), methods=["GET", "POST"]),
        Route("/{kind}", _page(desk, next_one)),
    ]  # fmt: skip
    guard = Middleware(Guard, port=port, token=token)
    faults = {HTTPException: desk.fault, HarnessError: desk.fault}
    return Starlette(routes=routes, middleware=[guard], exception_handlers=faults), token


class Desk:
    """What the pages share: the review, the templates, who sits there, and a server to chat with, if there is one."""

    def __init__(self, review: Review, port: int, rater: str, chat: Chat | None) -> None:
        self.review, self.chat, self._rater, self._seat = review, chat, rater, f"harness_rater_{port}"
        self._templates, self.files = templates(), static_files()

    def rater(self, request: Request) -> str:
        return rater_of(unquote(request.cookies.get(self._seat, ""))) or self._rater

    def seat(self, answer: Response, rater: str) -> None:
        answer.set_cookie(self._seat, quote(rater, safe=""), httponly=True, samesite="strict", path="/")

    def show(self, request: Request, name: str, status: int = 200, **values: Any) -> HTMLResponse:
        review, rater = self.review, self.rater(request)
        text = self._templates.get_template(name).render(
            run=label(review.run.candidate.name),
            baseline=label(review.baseline.candidate.name) if review.baseline else "",
            suite=label(review.run.suite_name),
            rater=visible(rater),
            tabs=[(kind, TITLES[kind]) for kind in KINDS if review.plans[kind].picks],
            n_disputed=len(review.disputed()),
            chats=self.chat is not None,
            now=time.time(),
            comment_chars=COMMENT_CHARS,
            rater_chars=RATER_CHARS,
            **values,
        )
        return HTMLResponse(text.encode("utf-8", "replace"), status)

    async def fault(self, request: Request, error: Exception) -> Response:
        status, line = fault_of(error)
        return await run_in_threadpool(self.show, request, "fault.html.j2", status, line=line, here="")


def _page(desk: Desk, page: Page) -> Callable[[Request], Any]:
    return endpoint_of(partial(_refreshed, desk, page))


def _refreshed(desk: Desk, page: Page, request: Request, form: Form) -> Response:
    if request.method == "GET" and not request.url.path.startswith("/static/"):
        desk.review.refresh()
    return page(desk, request, form)


# -- pages -----------------------------------------------------------------------------------------------------------------------


def overview(desk: Desk, request: Request, form: Form) -> Response:
    """Where everybody stands, how the sample was drawn, and the rater's last labels."""
    review, rater = desk.review, desk.rater(request)
    table = []
    for kind, title in TITLES.items():
        plan = review.plans[kind]
        if not plan.picks:
            continue
        progress = review.progress(kind, rater)
        counts = {tier: sum(p.tier == tier for p in plan.picks[: progress.cases]) for tier in TIERS}
        table.append(
            {
                "kind": kind,
                "title": title,
                "progress": progress,
                "left": views.left_shown(progress.left_s),
                "population": plan.population,
                "looked_at": review.looked_at(kind),
                "tiers": [(TIERS[tier], n) for tier, n in counts.items() if n],
            }
        )
    current = review.current()
    raters = [(visible(name), [sum(x.rater == name and x.kind == k for x in current) for k in (*KINDS, "mark")])
              for name in review.raters()]  # fmt: skip
    return desk.show(
        request,
        "overview.html.j2",
        here="overview",
        table=table,
        raters=raters,
        recent=views.recent(review, rater),
        split=review.plans["rate"].split,
        seed=review.plans["rate"].seed,
    )


def next_one(desk: Desk, request: Request, form: Form) -> Response:
    """On to the first thing of a kind that this rater has not labelled."""
    kind = request.path_params["kind"]
    if kind not in TITLES:
        raise HTTPException(404, "There is no such page.")
    task = desk.review.next_task(kind, desk.rater(request))
    if task is None:
        return desk.show(request, "done.html.j2", here=kind, title=TITLES[kind], empty=not desk.review.plans[kind].picks)
    return RedirectResponse(task.path + ("?saved=1" if request.query_params.get("saved") else ""), 303)


def label_task(desk: Desk, request: Request, form: Form, *, kind: str | None = None, adjudicates: bool = False) -> Response:
    """The page on which one thing is rated, compared or ranked; and what its form does."""
    rater = desk.rater(request)
    task = _task(desk, request, kind or request.path_params["kind"], rater)
    problem = False
    if request.method == "POST":
        said = _said(desk, task, form)
        problem = said is None
        if said is not None:
            desk.review.say(task, rater, adjudicates=adjudicates, seconds=seconds_of(form), comment=comment_of(form), **said)
            return RedirectResponse("/adjudicate" if adjudicates else f"/{task.kind}?saved=1", 303)
    shown = views.task(desk.review, task, rater, adjudicates=adjudicates)
    if shown is None:
        raise HTTPException(404, "An answer to this case is no longer in the store.")
    progress = desk.review.progress(task.kind, rater)
    return desk.show(
        request,
        f"{task.kind}.html.j2",
        422 if problem else 200,
        here="adjudicate" if adjudicates else task.kind,
        task=shown,
        action=("/adjudicate" if adjudicates else "") + task.path,
        progress=progress,
        left=views.left_shown(progress.left_s),
        saved=_saved(desk, request, rater),
        problem=problem,
        missing=_MISSING[task.kind],
        comment=comment_of(form) if problem else shown.earlier.comment if shown.earlier else "",
        others=_others(desk, task) if adjudicates else [],
    )


def disagreements(desk: Desk, request: Request, form: Form) -> Response:
    review, rater = desk.review, desk.rater(request)
    rows = []
    for matter, task in views.disagreements(review, rater):
        who = sorted(visible(x.rater) for x in matter.labels if not x.adjudicates)
        path = f"/adjudicate{task.path}" if task else ""
        rows.append((label(matter.thing[1]), label(matter.thing[2]), TITLES[matter.thing[0]].lower(), who, path))
    return desk.show(request, "disagreements.html.j2", here="adjudicate", rows=rows)


def open_case(desk: Desk, request: Request, form: Form) -> Response:
    """A case with everything: whose answers, what checks and judges said, who labelled it how. Marks are given here."""
    review, rater, key = desk.review, desk.rater(request), _key(desk, request)
    if request.method == "POST":
        review.mark(key, rater, [mark for mark in MARKS if form.get(mark)], comment_of(form))
        return RedirectResponse(request.url.path + "?saved=1", 303)
    review.open_case(key, rater)
    earlier = review.marked(key, rater)
    return desk.show(
        request,
        "case.html.j2",
        here="",
        case=views.opened(review, key),
        token=request.path_params["token"],
        history=views.history(review, key),
        marks=earlier.marks if earlier else (),
        comment=visible(earlier.comment) if earlier else "",
        saved="marks saved" if request.query_params.get("saved") else "",
        kinds=[(TITLES[kind], task.path) for kind in KINDS for task in review.tasks(kind, key, rater)[:1]],
    )


def talk(desk: Desk, request: Request, form: Form) -> Response:
    """Both checkpoints side by side. With ?case= the message is that case's last question."""
    chat, rater = _chat(desk), desk.rater(request)
    if request.method == "POST":
        chat.say(rater, form.get("message", "").replace("\r\n", "\n"))
        return RedirectResponse("/chat", 303)
    conversation, key = chat.conversation(rater), desk.review.case_of(request.query_params.get("case", ""))
    names = [label(chat.speakers[i].name) for i in conversation.order]
    return desk.show(
        request,
        "chat.html.j2",
        here="chat",
        turns=[(views.shown(turn.asked), views.spoken(turn.answers)) for turn in conversation.turns],
        who=list(zip(views.LETTERS, names, strict=False)),
        prefill=views.question(desk.review, key) if key else "",
        most=MOST_CHARS,
    )


def talk_anew(desk: Desk, request: Request, form: Form) -> Response:
    _chat(desk).start_over(desk.rater(request))
    return RedirectResponse("/chat", 303)


def _chat(desk: Desk) -> Chat:
    if desk.chat is None:
        raise HTTPException(404, "There is nobody to chat with: start the review with --chat and a server's address.")
    return desk.chat


def undo(desk: Desk, request: Request, form: Form) -> Response:
    """Take the last word back, and show what it was about."""
    taken = desk.review.undo(desk.rater(request))
    return RedirectResponse((views.path_of(desk.review, taken) if taken else "") or "/", 303)


def take_seat(desk: Desk, request: Request, form: Form) -> Response:
    name = rater_of(form.get("name", ""))
    if not name:
        raise HTTPException(422, f"A name has 1 to {RATER_CHARS} characters.")
    answer = RedirectResponse("/", 303)
    desk.seat(answer, name)
    return answer


def static(desk: Desk, request: Request, form: Form) -> Response:
    name = request.path_params["name"]
    if name not in desk.files:
        raise HTTPException(404, "There is no such page.")
    return Response(desk.files[name], media_type=FILE_TYPES[name])


# -- what a request says ---------------------------------------------------------------------------------------------------------


def _key(desk: Desk, request: Request) -> Key:
    key = desk.review.case_of(request.path_params["token"])
    if key is None:
        raise HTTPException(404, "There is no such case in this review.")
    return key


def _task(desk: Desk, request: Request, kind: str, rater: str) -> Task:
    if kind not in TITLES:
        raise HTTPException(404, "There is no such page.")
    tasks = desk.review.tasks(kind, _key(desk, request), rater)
    number = request.path_params.get("number", 0)
    if number >= len(tasks):
        raise HTTPException(404, "There is nothing of this kind to say of this case.")
    return tasks[number]


_MISSING = {
    "rate": "Choose pass or fail, or a rating from 1 to 5, first.",
    "pair": "Choose A, B or a tie first.",
    "rank": "Give every answer a place from 1 (the best); equal places tie.",
}


def _said(desk: Desk, task: Task, form: Form) -> dict[str, Any] | None:
    """The fields of a label; None when the form does not say enough. "Cannot tell" is a label without a value."""
    if form.get("do") == "skip":
        return {}
    if task.kind == "rate":
        passed, rating = {"pass": True, "fail": False}.get(form.get("passed", "")), form.get("rating", "")
        if passed is None and rating not in tuple("12345"):
            return None
        return {"passed": passed, "rating": int(rating) if rating in tuple("12345") else None}
    if task.kind == "pair":
        choice = form.get("choice", "")
        if choice == "tie":
            return {"preference": "tie"}
        if choice not in ("A", "B"):
            return None
        return {"preference": "candidate" if task.sides[choice == "B"] == desk.review.run.id else "baseline"}
    return _ranking(task, form)


def _ranking(task: Task, form: Form) -> dict[str, Any] | None:
    groups: dict[int, list[str]] = {}
    for letter, answer in zip(views.LETTERS, task.responses, strict=False):
        place = form.get(f"place-{letter}", "").strip()
        if place not in tuple("123456789"):
            return None
        groups.setdefault(int(place), []).append(answer)
    return {"ranking": tuple(tuple(groups[place]) for place in sorted(groups))}


def _saved(desk: Desk, request: Request, rater: str) -> Mapping[str, str] | None:
    last = desk.review.last(rater) if request.query_params.get("saved") else None
    if last is None:
        return None
    token = desk.review.token_of((last.capability, last.case_id))
    return {"what": views.said(desk.review, last), "verdict": views.verdict_on(desk.review, last), "token": token}


def _others(desk: Desk, task: Task) -> list[tuple[str, str, str]]:
    """What others said of a task, in this task's letters: (rater, label, comment)."""
    about = desk.review.about(task)
    settled = next((m for m in desk.review.settled() if m.thing == about), None)
    found = [x for x in settled.labels if not x.adjudicates] if settled else []
    return [(visible(x.rater), views.said(desk.review, x, task), visible(x.comment)) for x in found]
