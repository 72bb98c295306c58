"""The pages on which people read training rows: what is shown, what is stored, who may come in."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from support.rowreview import log_of, mixed, pair, write

from harness.quality.files import Source
from harness.quality.humancheck import summarise
from harness.quality.reviewfile import ReviewFile, plan_for, rows_of
from reports.review.guard import HEADERS
from reports.review.rows import create
from reports.review.rows_session import RowReview

PORT = 4712
ORIGIN = f"http://127.0.0.1:{PORT}"
TOKEN = "r" * 43
ATTACK = "</pre></textarea><script>document.title='owned'</script><img src=x onerror=alert(1)>{{7*7}}\u202e\x1b[31m"


class Reader(TestClient):
    """A browser at the pages: it has the cookie, sends the Origin, and follows the redirects of its forms."""

    def send_form(self, path: str, **fields: str) -> Any:
        return self.post(path, data=fields, headers={"Origin": ORIGIN})

    def next_path(self) -> str:
        return str(self.get("/next", follow_redirects=False).headers.get("location", ""))


def begin(source: Source, sample: int = 10, rater: str = "Ann") -> tuple[RowReview, Reader]:
    """Sit down at the file's review, as a process of one's own would."""
    log = log_of(source)
    plan = plan_for(log, source, sample=sample)
    review = RowReview(source.path.name, plan, rows_of(source, plan), log)
    application, _ = create(review, port=PORT, rater=rater, token=TOKEN)
    reader = Reader(application, base_url=ORIGIN)
    assert reader.get(f"/?token={TOKEN}").status_code == 200
    return review, reader


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return mixed(tmp_path / "pairs.jsonl", math=12, safety=4)


def verdicts(log: ReviewFile) -> list[str | None]:
    return [word.verdict for word in log.words]


def test_rows_are_read_in_turn_and_the_words_say_what_was_meant(source: Source) -> None:
    review, ann = begin(source)
    said = ["accept", "reject", "other", "accept"]
    for number, verdict in enumerate(said):
        path = ann.next_path()
        assert path == f"/row/{number + 1}"
        page = ann.get(path).text
        example = review.rows[review.order[number]]
        assert example.instruction in page
        assert html.escape(example.output_text) in page
        answer = ann.send_form(path, verdict=verdict, comment=f"number {number}", opened="0", seconds="2.5")
        assert answer.status_code == 200
        assert "saved:" in answer.text
    skipped = ann.send_form(ann.next_path(), do="skip", verdict="accept")
    assert "saved: cannot tell" in skipped.text
    words = log_of(source).words
    assert verdicts(log_of(source)) == [*said, "skip"]
    assert [word.row for word in words] == review.order[:5]
    assert [word.comment for word in words] == ["number 0", "number 1", "number 2", "number 3", ""]
    assert {word.seconds for word in words[:4]} == {2.5}
    assert {(word.rater, word.plan) for word in words} == {("Ann", review.plan.id)}
    rate = summarise(review.plan, words).all
    assert (rate.read, rate.accepted, rate.refused, rate.other, rate.skipped) == (5, 2, 2, 1, 1)


def test_another_process_goes_on_where_the_first_ended(source: Source) -> None:
    first, ann = begin(source)
    for _ in range(3):
        ann.send_form(ann.next_path(), verdict="accept")
    again, ann = begin(source)  # nothing but the file is left of the first
    assert again.plan == first.plan
    assert ann.next_path() == "/row/4"
    assert "3 of 10 by you" in ann.get("/").text
    while path := ann.next_path():
        ann.send_form(path, verdict="accept")
    assert "Nothing left to read" in ann.get("/next").text
    assert len(log_of(source).words) == 10


def test_two_people_read_the_same_rows_and_do_not_see_each_others_words(source: Source) -> None:
    review, ann = begin(source)
    _, bob = begin(source, rater="Bob")
    ann.send_form(ann.next_path(), verdict="reject", comment="Ann's secret thoughts")
    page = bob.get(bob.next_path()).text
    assert bob.next_path() == "/row/1"
    assert "secret" not in page + bob.get("/").text
    assert "checked" not in page
    bob.send_form("/row/1", verdict="accept")
    assert "<bdi>Ann</bdi>: 1 of 10" in ann.get("/").text  # words of the other process are read
    assert "<bdi>Bob</bdi>: 1 of 10" in ann.get("/").text
    assert summarise(review.plan, review.log.words).all.disputed == 1


def test_an_edit_and_undo(source: Source) -> None:
    review, ann = begin(source)
    ann.send_form("/row/1", verdict="accept")
    ann.send_form("/row/1", verdict="reject", comment="on second thoughts")
    page = ann.get("/row/1").text
    assert re.search(r'value="reject"[^>]*checked', page)
    assert ">on second thoughts</textarea>" in page
    answer = ann.send_form("/undo")
    assert str(answer.url).endswith("/row/1")
    assert re.search(r'value="accept"[^>]*checked', answer.text)
    ann.send_form("/undo")
    assert str(ann.send_form("/undo").url) == f"{ORIGIN}/"
    assert review.said("Ann") == {}
    assert len(log_of(source).words) == 4  # two words, and two that took them back


def test_a_form_that_says_nothing_is_asked_again(source: Source, tmp_path: Path) -> None:
    _, ann = begin(source)
    for bad in ({}, {"verdict": "perhaps"}, {"verdict": ""}):
        answer = ann.send_form("/row/1", comment="kept, though", **bad)
        assert answer.status_code == 422
        assert 'class="problem" role="alert" >' in answer.text
        assert ">kept, though</textarea>" in answer.text
    assert ann.send_form("/row/1", verdict="accept", comment="x" * 10_001).status_code == 422
    assert [ann.get(f"/row/{n}").status_code for n in ("0", "11", "99999999999999999999", "x")] == [404] * 4
    assert ann.send_form("/row/11", verdict="accept").status_code == 404
    assert log_of(source).words == []
    lesson = {"prompt": [{"role": "user", "content": "hi"}], "completion": [{"role": "assistant", "content": "ho"}]}
    rows = write(tmp_path / "sft.jsonl", [lesson])
    _, ann = begin(rows)
    assert "The other one" not in ann.get("/row/1").text
    assert ann.send_form("/row/1", verdict="other").status_code == 422  # there is no other one


def test_every_kind_of_row_is_shown(tmp_path: Path) -> None:
    user, said = {"role": "user", "content": "the question"}, {"role": "assistant", "content": "the answer"}
    shapes: list[tuple[dict[str, Any], list[str]]] = [
        (
            {"messages": [user, said, user, {"role": "assistant", "content": "the last"}]},
            ["the answer", "the last", "every assistant"],
        ),
        ({"prompt": [user], "completion": [said], "label": False}, ["the answer", "marked as bad"]),
        ({"text": "a whole document"}, ["a whole document", "learnt whole"]),
        ({"prompt": "the question"}, ["the question", "without an answer"]),
        ({"prompt": "Q: ", "chosen": " yes", "rejected": " no"}, [">Chosen<", " yes", ">Rejected<", " no"]),
        ({"chosen": [user, said], "rejected": [user, {"role": "assistant", "content": ""}]}, ["the question", "(empty answer)"]),
    ]
    for number, (row, expected) in enumerate(shapes):
        _, ann = begin(write(tmp_path / f"{number}.jsonl", [row]))
        page = ann.get("/row/1").text
        assert [text for text in expected if text not in page] == [], row


def test_hostile_rows_names_and_comments_are_shown_and_never_obeyed(tmp_path: Path) -> None:
    row = pair(1, ATTACK, ATTACK) | {
        "prompt": [{"role": "system", "content": ATTACK}, {"role": "user", "content": ATTACK}],
        "chosen": [{"role": "assistant", "content": ATTACK}],
        "rejected": [{"role": "assistant", "content": f"{ATTACK}!"}],
    }
    review, ann = begin(write(tmp_path / f"{'<b>'}x.jsonl", [row, pair(2)]))
    ann.send_form("/rater", name=f"Eve {ATTACK[:40]}")
    for place in (1, 2):
        ann.send_form(f"/row/{place}", verdict="accept", comment=ATTACK)
    pages = [ann.get(path).text for path in ("/", "/row/1", "/row/2", "/next")]
    for page in pages:
        assert "<script>document" not in page
        assert "<img" not in page
        assert "<b>x" not in page
        shown = re.sub(r"<textarea.*?</textarea>", "", page, flags=re.DOTALL)  # where one's own words are edited as they are
        assert "\u202e" not in shown
        assert "\x1b" not in shown
    hostile = next(page for page in pages[1:3] if "What is 2 and 2" not in page)
    assert hostile.count("&lt;script&gt;document") >= 4
    assert hostile.count("{{7*7}}") >= 4
    assert review.log.words[0].comment == ATTACK  # stored as it was written


def test_the_doors_are_those_of_the_review(source: Source) -> None:
    review, ann = begin(source)
    application, token = create(review, port=PORT, rater="Ann")
    assert len(token) > 40
    stranger = Reader(application, base_url=ORIGIN)
    for path in ("/", "/next", "/row/1", "/static/app.js"):
        assert stranger.get(path).status_code == 403
    assert stranger.post("/row/1", data={"verdict": "accept"}, headers={"Origin": ORIGIN}).status_code == 403
    for path in ("/row/1", "/undo", "/rater"):
        form = {"verdict": "accept", "name": "Eve"}
        assert ann.post(path, data=form, headers={"Origin": "http://evil.example"}).status_code == 403
        assert ann.post(path, data=form).status_code == 403
    assert ann.get("/", headers={"Host": "evil.example"}).status_code == 421
    assert ann.post("/row/1", content=b"x" * 300_000, headers={"Origin": ORIGIN}).status_code == 413
    answer = ann.get("/row/1")
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert log_of(source).words == []


def test_a_disk_that_cannot_be_written_is_said_and_nothing_is_lost(source: Source) -> None:
    review, ann = begin(source)
    ann.send_form("/row/1", verdict="accept")
    review.log.path.rename(review.log.path.with_suffix(".kept"))
    review.log.path.mkdir()
    answer = ann.send_form("/row/2", verdict="accept")
    assert answer.status_code == 503
    assert "cannot be" in answer.text
    review.log.path.rmdir()
    review.log.path.with_suffix(".kept").rename(review.log.path)
    assert ann.next_path() == "/row/2"


def test_equal_rows_are_read_once_and_counted_twice(tmp_path: Path) -> None:
    review, ann = begin(write(tmp_path / "f.jsonl", [pair(1), pair(2), pair(1)]))
    assert "0 of 2 by you" in ann.get("/").text
    for place in (1, 2):
        ann.send_form(f"/row/{place}", verdict="accept")
    rate = summarise(review.plan, review.log.words).all
    assert (rate.rows, rate.read, rate.rate.method) == (3, 3, "every row was read")
