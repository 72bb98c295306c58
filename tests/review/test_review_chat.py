"""Chat with both checkpoints on a real local server: histories of their own, failures said, foreign text shown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.review_desk import BEFORE, NOW, ORIGIN, PORT, TOKEN, Person, make_store, start_review
from support.scripted_server import Body, Fault, ScriptedServer

from harness.cli import call
from harness.errors import UsageError
from harness.model import Prompt
from reports.review import chat as chats
from reports.review.app import create
from reports.review.chat import Chat
from reports.review.session import Review

ATTACK = "<script>document.title='owned'</script>\u202e"


@pytest.fixture(scope="module")
def review(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Review]:
    review = start_review(tmp_path_factory.mktemp("chat") / "store")
    yield review
    review.close()


def answer(body: Body) -> str:
    return f"{body['model']} answers {body['messages'][-1]['content']} {ATTACK}"


def talk(review: Review, server: ScriptedServer) -> tuple[Chat, Person]:
    assert review.baseline
    chat = Chat(server.url, [review.run.candidate, replace(review.baseline.candidate, prompt=Prompt(system="Be short."))])
    application, _ = create(review, port=PORT, rater="Ann", token=TOKEN, chat=chat)
    person = Person(application, base_url=ORIGIN)
    person.get(f"/?token={TOKEN}")
    return chat, person


def test_both_are_asked_with_histories_of_their_own(review: Review) -> None:
    with ScriptedServer(answer=answer, models=("tuned", "base")) as server:
        chat, ann = talk(review, server)
        chat.check()
        for message in ("one", f"two {ATTACK}"):
            page = ann.send_form("/chat", message=message).text
        asked = [seen.body for seen in server.requests]
        last = {body["model"]: body["messages"] for body in asked[-2:]}
        assert [m["role"] for m in last["tuned"]] == ["user", "assistant", "user"]
        assert [m["role"] for m in last["base"]] == ["system", "user", "assistant", "user"]
        assert last["tuned"][1]["content"].startswith("tuned answers one")
        assert last["base"][2]["content"].startswith("base answers one")
        assert "<script>document" not in page
        assert "&lt;script&gt;document" in page
        assert "\u202e" not in page
        order = chat.conversation("Ann").order
        names = [chat.speakers[i].name for i in order]
        assert re.search(rf"A is <bdi>{names[0]}</bdi>, B is <bdi>{names[1]}</bdi>", page)
        first = re.search(r"<h4>A</h4>\s*<pre[^>]*>(\w+) answers", page)
        assert first
        assert first[1] == names[0]
        assert "answers one" not in ann.send_form("/chat/new").text


def test_an_answer_that_fails_is_said_and_not_held_against_the_other(review: Review) -> None:
    def fail(number: int, body: Body) -> Fault | None:
        return Fault.status(400, "no, never") if body["model"] == "base" and number < 2 else None

    with ScriptedServer(answer=answer, faults=fail, models=("tuned", "base")) as server:
        _, ann = talk(review, server)
        page = ann.send_form("/chat", message="one").text
        assert page.count("(no answer: ") == 1
        assert "tuned answers one" in page
        page = ann.send_form("/chat", message="two").text
        assert "base answers two" in page


def test_a_conversation_is_each_raters_own_and_bounded(review: Review, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chats, "MOST_TURNS", 1)
    with ScriptedServer(answer=answer, models=("tuned", "base")) as server:
        chat, ann = talk(review, server)
        for bad in ("", "  \n", "x" * 20_001):
            assert ann.send_form("/chat", message=bad).status_code == 422
        assert server.requests == []
        ann.send_form("/chat", message="one")
        refused = ann.send_form("/chat", message="two")
        assert refused.status_code == 422
        assert "this conversation has 1 turns. Begin a new one" in refused.text
        assert chat.conversation("Bob").turns == []
        chat._busy.add("Bob")
        with pytest.raises(UsageError, match="still being answered"):
            chat.say("Bob", "one")


def test_it_begins_with_a_case(review: Review) -> None:
    with ScriptedServer(answer=answer, models=("tuned", "base")) as server:
        _, ann = talk(review, server)
        key = next(iter(review.cases))
        assert "Chat from here" in ann.get(f"/case/{review.token_of(key)}").text
        assert ">What is 0 + 1?</textarea>" in ann.get(f"/chat?case={review.token_of(key)}").text
        assert "></textarea>" in ann.get("/chat?case=nonsense").text


def test_without_a_server_there_is_no_chat(review: Review) -> None:
    application, _ = create(review, port=PORT, rater="Ann", token=TOKEN)
    ann = Person(application, base_url=ORIGIN)
    assert "/chat" not in ann.get(f"/?token={TOKEN}").text + ann.get("/").text
    assert ann.get("/chat").status_code == 404
    assert ann.send_form("/chat/new").status_code == 404


def test_a_server_that_is_not_there_or_does_not_know_them_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(make_store(tmp_path / "store", {"before": BEFORE, "now": NOW}).path)
    with ScriptedServer(answer=answer, models=("other",)) as server:
        assert call(["review", "cand1", "--store", folder, "--chat", server.url]) == 4
        assert "the server has no model 'tuned'. it serves: other" in capsys.readouterr().err
        gone = server.url
    assert call(["review", "cand1", "--store", folder, "--chat", gone]) == 4
    assert "start the server or mend the address" in capsys.readouterr().err
    assert call(["review", "cand1", "--store", folder, "--chat", "nonsense"]) == 4
    assert "is not an http(s) address" in capsys.readouterr().err
