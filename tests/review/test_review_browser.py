"""The review in a real Chromium: everything by the keyboard alone, ranking by drag, at 1280 and 400 pixels, light and dark."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.people import make_label
from support.review_desk import make_store

from harness.model import Label
from harness.store import Store
from harness.store.labels import LabelStore
from reports.review import app
from reports.review.session import Review, Settings

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium"),
]

ATTACK = "</pre><script>document.title='owned'</script><img src=http://127.0.0.1:9/x onerror=\"document.title='owned'\">"
WIDE = "W" * 200


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright here: pip install playwright")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, "--no-first-run"])
        yield opened
        opened.close()


@dataclass
class Served:
    review: Review
    address: str
    token: str
    store: Store

    def labels(self) -> list[Label]:
        return LabelStore(self.store).labels()

    def wait_for(self, count: int) -> list[Label]:
        """The labels, once there are so many."""
        for _ in range(300):
            if len(found := self.labels()) >= count:
                return found
            time.sleep(0.05)
        raise AssertionError(f"{len(found)} labels are stored, not {count}")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A real server with three answers to each prompt: the candidate's, the baseline's and another run's."""
    uvicorn = pytest.importorskip("uvicorn")
    n = range(6)
    old, new = {i: f"right, said the old one {i}" for i in n}, {i: f"wrong, says the new one {i} {ATTACK}{WIDE}" for i in n}
    third = {"before": {}, "now": {i: f"right, says a third {i}" for i in n}, "names": ("none", "third1")}
    store = make_store(tmp_path / "store", {"before": old, "now": new}, third)
    review = Review.begin(store, store.run("cand1"), store.run("base1"), Settings(also=("third1",), batch=4))
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    application, token = app.create(review, port=port, rater="Ann")
    server = uvicorn.Server(uvicorn.Config(application, log_level="warning", access_log=False, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.02)
    yield Served(review, f"http://127.0.0.1:{port}", token, store)
    server.should_exit = True
    thread.join(20)
    review.close()


def enter(browser: Any, served: Served, *, width: int = 1280, **options: Any) -> tuple[Any, list[str]]:
    """A page at the overview, and a list that fills with whatever the browser complains of or asks of others."""
    context = browser.new_context(viewport={"width": width, "height": 900}, **options)
    page, told = context.new_page(), []
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith((served.address, "data:")) else told.append(request.url))
    page.goto(f"{served.address}/?token={served.token}")
    page.wait_for_url(f"{served.address}/")
    assert served.token not in page.url
    return page, told


def press(page: Any, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def test_rating_by_keyboard_alone(browser: Any, served: Served) -> None:
    page, told = enter(browser, served)
    page.goto(f"{served.address}/rate")
    first = page.url
    press(page, "Enter")
    assert page.locator(".problem").is_visible()  # nothing was chosen
    assert served.labels() == []
    press(page, "p", "f", "4", "c")
    page.keyboard.type("p 5 ? n: letters in a comment are no keys")
    press(page, "Escape", "Enter")
    page.wait_for_url("**saved=1")
    [label] = served.wait_for(1)
    assert (label.passed, label.rating, label.comment) == (False, 4, "p 5 ? n: letters in a comment are no keys")
    assert label.blind
    assert label.seconds is not None
    assert page.locator(".saved").inner_text().startswith("saved: fail 4 of 5")
    press(page, "u")
    page.wait_for_url(first)
    assert len(served.wait_for(2)) == 2
    press(page, "n")
    page.wait_for_url("**saved=1")
    assert served.wait_for(3)[-1].passed is None
    press(page, "p", "p")  # chosen and not
    assert page.locator("input:checked").count() == 0
    press(page, "p", "c")
    page.keyboard.type("good")
    with page.expect_navigation():
        press(page, "Control+Enter")
    assert served.wait_for(4)[-1].comment == "good"
    assert told == []
    page.context.close()


def test_comparing_by_keyboard_alone(browser: Any, served: Served) -> None:
    page, told = enter(browser, served)
    page.goto(f"{served.address}/pair")
    for count, key in enumerate(("ArrowLeft", "b", "t"), 1):
        texts = page.locator(".answer pre").all_inner_texts()
        press(page, key)
        with page.expect_navigation():
            press(page, "Enter")
        label = served.wait_for(count)[-1]
        chosen = {"ArrowLeft": texts[0], "b": texts[1]}.get(key)
        expected = "tie" if chosen is None else "candidate" if "new" in chosen else "baseline"
        assert label.preference == expected
    assert told == []
    page.context.close()


def ranked(page: Any) -> list[tuple[str, str]]:
    """(letter, place) from top to bottom, as the page shows them."""
    rows = page.locator("#ranking li")
    return [(rows.nth(i).get_attribute("data-letter"), rows.nth(i).locator("input").input_value()) for i in range(rows.count())]


def test_ranking_by_keyboard_alone_with_a_tie(browser: Any, served: Served) -> None:
    page, told = enter(browser, served)
    page.goto(f"{served.address}/rank")
    assert ranked(page) == [("A", ""), ("B", ""), ("C", "")]
    press(page, "Enter")
    assert page.locator(".problem").is_visible()
    press(page, "ArrowDown", "ArrowDown", "ArrowDown", "Shift+ArrowUp", "Shift+ArrowUp")
    assert ranked(page) == [("C", "1"), ("A", "2"), ("B", "3")]
    press(page, "ArrowDown", "ArrowDown", "=")
    assert ranked(page) == [("C", "1"), ("A", "2"), ("B", "2")]
    press(page, "=")
    assert ranked(page) == [("C", "1"), ("A", "2"), ("B", "3")]
    press(page, "1")
    assert dict(ranked(page)) == {"C": "1", "A": "2", "B": "1"}
    press(page, "s")
    assert [place for _, place in ranked(page)] == ["1", "2", "3"]
    press(page, "ArrowDown", "=")  # the second ties with the first
    shown = ranked(page)
    with page.expect_navigation():
        press(page, "Enter")
    [label] = served.wait_for(1)
    by_letter = dict(zip("ABC", label.responses, strict=True))
    assert [set(group) for group in label.ranking] == [
        {by_letter[letter] for letter, place in shown if place == "1"},
        {by_letter[letter] for letter, place in shown if place == "2"},
    ]
    assert sorted(label.sides) == ["base1", "cand1", "third1"]
    assert told == []
    page.context.close()


def drag(page: Any, letter: str, onto: str, share: float) -> None:
    """Drag one answer onto another, at this share of its height."""
    target = page.locator(f"#ranking li[data-letter={onto}]")
    box = target.bounding_box()
    at = {"x": 20, "y": box["height"] * share}
    page.locator(f"#ranking li[data-letter={letter}]").drag_to(target, source_position={"x": 20, "y": 8}, target_position=at)


def test_ranking_by_drag_with_a_tie(browser: Any, served: Served) -> None:
    page, told = enter(browser, served)
    page.goto(f"{served.address}/rank")
    drag(page, "C", "A", 0.1)
    assert ranked(page) == [("C", "1"), ("A", "2"), ("B", "3")]
    drag(page, "C", "B", 0.9)
    assert ranked(page) == [("A", "1"), ("B", "2"), ("C", "3")]
    drag(page, "A", "C", 0.5)
    assert ranked(page) == [("B", "1"), ("C", "2"), ("A", "2")]
    with page.expect_navigation():
        page.get_by_role("button", name="Save and go on").click()
    [label] = served.wait_for(1)
    by_letter = dict(zip("ABC", label.responses, strict=True))
    assert label.ranking[0] == (by_letter["B"],)
    assert set(label.ranking[1]) == {by_letter["A"], by_letter["C"]}
    assert told == []
    page.context.close()


def test_help_marks_and_ways_by_keyboard_alone(browser: Any, served: Served) -> None:
    page, told = enter(browser, served)
    page.goto(f"{served.address}/rate")
    assert not page.locator("#help").is_visible()
    press(page, "?")
    assert page.locator("#help").is_visible()
    press(page, "p")  # while the help is open nothing is chosen
    press(page, "Escape")
    assert not page.locator("#help").is_visible()
    assert page.locator("input:checked").count() == 0
    with page.expect_navigation():
        press(page, "v")
    press(page, "x", "y", "c")
    page.keyboard.type("the reference is old")
    with page.expect_navigation():
        press(page, "Control+Enter")
    [label] = served.wait_for(1)
    assert (label.kind, label.marks, label.comment) == ("mark", ("check-wrong", "accept-change"), "the reference is old")
    with page.expect_navigation():
        press(page, "b")
    assert "/rate/" in page.url
    with page.expect_navigation():
        press(page, "o")
    assert page.url == f"{served.address}/"
    assert told == []
    page.context.close()


def test_a_disagreement_is_adjudicated_by_keyboard_alone(browser: Any, served: Served) -> None:
    key = next(iter(served.review.cases))
    [task, *_] = served.review.tasks("rate", key, "Ann")
    about = {"run_id": "cand1", "capability": key[0], "case_id": key[1], "responses": task.responses, "sides": task.sides}
    with LabelStore(served.store).writer() as writer:
        writer.add_many([make_label(**about), make_label(rater="Bob", passed=False, **about)])
    served.review._look_again = 0.0  # a few seconds later
    page, told = enter(browser, served)
    page.goto(f"{served.address}/adjudicate")
    with page.expect_navigation():
        press(page, "Enter")
    assert page.locator(".others li").all_inner_texts() == ["Ann: pass", "Bob: fail"]
    press(page, "f")
    with page.expect_navigation():
        press(page, "Enter")
    assert page.locator(".empty").is_visible()
    assert served.wait_for(3)[-1].adjudicates
    assert told == []
    page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_pages_are_quiet_and_never_scroll_sideways(browser: Any, served: Served, width: int, scheme: str) -> None:
    page, told = enter(browser, served, width=width, color_scheme=scheme)
    token = served.review.token_of(next(iter(served.review.cases)))
    for path in ("/", "/rate", "/pair", "/rank", f"/case/{token}", "/adjudicate", "/done", "/case/none"):
        page.goto(served.address + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert page.locator("img").count() == 0
        assert "owned" not in page.title()
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (dark == "rgb(19, 21, 25)") == (scheme == "dark")
    assert [line for line in told if "404" not in line] == []
    page.context.close()


def test_it_works_without_javascript(browser: Any, served: Served) -> None:
    page, told = enter(browser, served, java_script_enabled=False)
    page.goto(f"{served.address}/rank")
    for letter, place in (("A", "2"), ("B", "1"), ("C", "2")):
        page.fill(f"input[name=place-{letter}]", place)
    page.click("button.main")
    page.goto(f"{served.address}/rate")
    page.check("input[value=fail]")
    page.click("button.main")
    ranking, rating = served.wait_for(2)
    assert [len(group) for group in ranking.ranking] == [1, 2]
    assert rating.passed is False
    assert rating.seconds is not None
    assert told == []
    page.context.close()


def test_a_page_of_another_site_can_neither_write_nor_read(browser: Any, served: Served, tmp_path: Path) -> None:
    page, _ = enter(browser, served)
    key = next(iter(served.review.cases))
    path = served.review.tasks("rate", key, "Ann")[0].path
    evil = tmp_path / "evil.html"
    evil.write_text(
        f"""<form method=post action="{served.address}{path}"><input name=passed value=pass></form>
        <script>window.read = "";
        fetch("{served.address}/rate", {{credentials: "include"}}).then(r => r.text()).then(t => window.read = t).catch(e => 0);
        </script>"""
    )
    page.goto(evil.as_uri())
    page.wait_for_timeout(300)
    assert page.evaluate("window.read") == ""
    with page.expect_navigation():
        page.evaluate("document.forms[0].submit()")
    assert "Open the address" in page.inner_text("body") or "other sites" in page.inner_text("body")
    assert served.labels() == []
    page.context.close()
