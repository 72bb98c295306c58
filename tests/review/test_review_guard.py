"""Nobody but a browser on this machine that was given the token gets in; what strangers wrote is shown, never obeyed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from support.review_desk import HOST, ORIGIN, PORT, TOKEN, Person, desk, sit_down

from reports.review.guard import MOST_BYTES
from reports.review.session import Review

ATTACK = "</pre><script>document.title='owned'</script><img src=x onerror=alert(1)>{{7*7}}\u202e' OR 1=1 --"


@pytest.fixture(scope="module")
def review(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Review]:
    with desk(tmp_path_factory.mktemp("guard") / "store") as (review, _):
        yield review


@pytest.fixture
def stranger(review: Review) -> Person:
    return sit_down(review, enter=False)


@pytest.fixture
def person(review: Review) -> Person:
    return sit_down(review)


@pytest.mark.parametrize("path", ["/", "/rate", "/pair/x", "/case/x", "/adjudicate", "/static/app.js", "/nothing"])
def test_without_the_token_nothing_is_shown(stranger: Person, path: str) -> None:
    answer = stranger.get(path)
    assert answer.status_code == 403
    assert "Open the address" in answer.text


@pytest.mark.parametrize("token", ["", "wrong", TOKEN + "x", TOKEN[:-1], "\u00e9" * 43])
def test_a_wrong_token_lets_nobody_in(stranger: Person, token: str) -> None:
    answer = stranger.get("/", params={"token": token})
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers
    if token.isascii():
        assert stranger.get("/", headers={"Cookie": f"harness_review_{PORT}={token or 'x'}"}).status_code == 403


def test_the_token_becomes_a_strict_cookie_and_leaves_the_address(stranger: Person) -> None:
    answer = stranger.get("/", params={"token": TOKEN})
    cookie = answer.headers["set-cookie"].lower()
    assert answer.status_code == 200
    assert all(flag in cookie for flag in ("httponly", "samesite=strict", f"harness_review_{PORT}="))
    assert TOKEN not in answer.text
    assert stranger.get("/").status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", f"evil.example:{PORT}", "127.0.0.1", f"127.0.0.1:{PORT + 1}", f"127.0.0.1.evil.example:{PORT}", ""]
)
def test_another_host_is_refused_even_with_the_cookie(person: Person, host: str) -> None:
    assert person.get("/", headers={"Host": host}).status_code == 421
    assert person.get("/", params={"token": TOKEN}, headers={"Host": host}).status_code == 421


@pytest.mark.parametrize("host", [f"localhost:{PORT}", f"LOCALHOST:{PORT}", f"[::1]:{PORT}", HOST])
def test_this_machines_own_names_are_taken(person: Person, host: str) -> None:
    name = f"harness_review_{PORT}"
    assert person.get("/", headers={"Host": host, "Cookie": f"{name}={TOKEN}"}).status_code == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", f"https://{HOST}", "http://127.0.0.1", f"http://localhost:{PORT}", f"{ORIGIN}.evil"]
)
def test_a_form_from_elsewhere_is_refused(person: Person, review: Review, origin: str) -> None:
    before = review.labels()
    path = person.next_path("rate")
    for where in (path, "/undo", "/rater"):
        assert person.post(where, data={"passed": "pass", "name": "Eve"}, headers={"Origin": origin}).status_code == 403
    assert person.get("/", headers={"Origin": origin}).status_code == 403
    assert review.labels() == before


def test_a_form_that_does_not_say_where_it_comes_from_is_refused(person: Person, review: Review) -> None:
    before = review.labels()
    assert person.post(person.next_path("rate"), data={"passed": "pass"}).status_code == 403
    assert person.request("DELETE", "/").status_code == 403
    assert review.labels() == before


def test_every_answer_says_what_a_browser_may_do(person: Person, stranger: Person) -> None:
    for answer in (person.get("/"), person.get("/static/app.js"), stranger.get("/"), person.get("/none"), person.get("/rate")):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "same-origin"


def test_pages_have_no_inline_script_or_style_and_name_no_other_server(person: Person) -> None:
    for path in ("/", "/rate", "/pair", "/rank", "/adjudicate"):
        text = person.get(path).text
        assert text.count("<script") == 1
        assert '<script src="/static/app.js" defer></script>' in text
        assert not any(word in text for word in (" style=", "<style", "onclick", "javascript:", "https://"))
        assert "http://" not in text
    assert "http" not in person.get("/static/app.js").text
    assert "url(" not in person.get("/static/app.css").text


@pytest.mark.parametrize(
    "path",
    [
        "/static/../../../etc/passwd",
        "/static/..%2f..%2fpage.html.j2",
        "/static/%2e%2e/app.py",
        "/static/page.html.j2",
        "/rate/..%2f..%2fetc",
        "/case/%00",
        "/case/' OR '1'='1",
        "/pair/zzzzzzzzzzzzzzzz",
        "/adjudicate/mark/0000000000000000",
        "/mark/0000000000000000",
        "/rate/0000000000000000/0",
        "/rate/0000000000000000/99999999999999999999",
        "/nonsense",
    ],
)
def test_paths_are_looked_up_and_never_opened(person: Person, path: str) -> None:
    answer = person.get(path)
    assert answer.status_code == 404
    assert "root:" not in answer.text
    assert "{%" not in answer.text


def test_large_requests_are_refused(person: Person, review: Review) -> None:
    before, path = review.labels(), person.next_path("rate")
    body = b"passed=pass&comment=" + b"x" * MOST_BYTES
    headers = {"Origin": ORIGIN, "Content-Type": "application/x-www-form-urlencoded"}
    assert person.post(path, content=body, headers=headers).status_code == 413
    assert person.post(path, content=iter([body[:9], body[9:]]), headers=headers).status_code == 413  # without a length
    assert person.post(path, content=b"a=1&" * 300, headers=headers).status_code == 400
    assert person.get("/?" + "x" * 5_000).status_code == 414
    assert person.send_form(path, passed="pass", comment="y" * 10_001).status_code == 422
    assert review.labels() == before


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Review, Person]]:
    answers: dict[str, Any] = {
        "before": {1: f"old {ATTACK}", 2: "x" * 2_000_000},
        "now": {1: f"new {ATTACK}", 2: "y" * 2_000_000},
    }
    case = {"vars": {"input": ATTACK}, "reference": {ATTACK: ATTACK}, "source": ATTACK, "cluster": ATTACK}
    folder = tmp_path_factory.mktemp("poisoned") / "store"
    with desk(folder, "Eve <script>", capability=f"math {ATTACK}", **answers, **case) as found:
        yield found


def test_hostile_text_is_shown_and_not_obeyed(poisoned: tuple[Review, Person]) -> None:
    review, person = poisoned
    key = next(key for key in review.cases if key[1].endswith("1"))
    token = review.token_of(key)
    person.send_form(f"/case/{token}", comment=ATTACK, **{"check-wrong": "1"})
    person.send_form(f"/rate/{token}/0", passed="pass", comment=ATTACK)
    for path in ("/", f"/rate/{token}/0", f"/rate/{token}/1", f"/pair/{token}", f"/rank/{token}", f"/case/{token}"):
        answer = person.get(path)
        assert answer.status_code == 200
        assert "<script>" not in answer.text
        assert "<img" not in answer.text
        assert "{{7*7}}" in answer.text  # and not 49
        assert "\u202e" not in re.sub(r"<textarea.*?</textarea>", "", answer.text, flags=re.DOTALL)  # there it may be edited
        assert "&lt;script&gt;" in answer.text
    assert person.get(f"/case/{token}").text.count("OR 1=1") >= 5


def test_a_huge_answer_is_cut_and_the_cut_is_said(poisoned: tuple[Review, Person]) -> None:
    review, person = poisoned
    token = next(review.token_of(key) for key in review.cases if key[1].endswith("2"))
    for path in (f"/rate/{token}/0", f"/pair/{token}", f"/rank/{token}", f"/case/{token}"):
        text = person.get(path).text
        assert len(text) < 500_000
        assert "1,900,000 more characters not shown" in text


def test_the_name_of_a_rater_is_data(poisoned: tuple[Review, Person]) -> None:
    _, person = poisoned
    for bad in ("", "   ", "x" * 61):
        assert person.send_form("/rater", name=bad).status_code == 422
    answer = person.send_form("/rater", name='  Zo\u00eb;\n\u202e"<b>  ')
    assert answer.status_code == 200
    assert "Zo\u00eb; \u27e8U+202E\u27e9&#34;&lt;b&gt;" in answer.text
