"""Reading training rows in a real Chromium: by the keyboard alone, at 1280 and 400 pixels."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.rowreview import log_of, pair, write

from harness.quality.reviewfile import plan_for, rows_of
from reports.review.rows import create
from reports.review.rows_session import RowReview

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium"),
]

ATTACK = (
    "</pre><script>document.title='owned'</script><img src=http://127.0.0.1:9/x onerror=\"document.title='owned'\">" + "W" * 200
)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[RowReview, str, str]]:
    """A real server over six pairs: the review, its address, its token."""
    uvicorn = pytest.importorskip("uvicorn")
    rows = [
        pair(i, "math" if i % 2 else "format", chosen=[{"role": "assistant", "content": f"It is {2 * i}. {ATTACK}"}])
        for i in range(6)
    ]
    source = write(tmp_path / "pairs.jsonl", rows)
    log = log_of(source)
    plan = plan_for(log, source, sample=6)
    review = RowReview("pairs.jsonl", plan, rows_of(source, plan), log)
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    application, token = create(review, port=port, rater="Ann")
    server = uvicorn.Server(uvicorn.Config(application, log_level="warning", access_log=False, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.02)
    yield review, f"http://127.0.0.1:{port}", token
    server.should_exit = True
    thread.join(20)


def press(page: Any, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def save(page: Any, *keys: str) -> None:
    press(page, *keys[:-1])
    with page.expect_navigation():
        press(page, keys[-1])


def test_rows_are_read_by_keyboard_alone_and_fit_the_window(served: tuple[RowReview, str, str], tmp_path: Path) -> None:
    review, address, token = served
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright here: pip install playwright")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, "--no-first-run"])
        page, told = browser.new_page(viewport={"width": 1280, "height": 900}), []
        page.on("console", lambda message: told.append(message.text))
        page.on("pageerror", lambda error: told.append(str(error)))
        page.on("request", lambda request: None if request.url.startswith((address, "data:")) else told.append(request.url))
        page.goto(f"{address}/?token={token}")
        page.wait_for_url(f"{address}/")
        save(page, "Enter")  # begin
        assert page.url == f"{address}/row/1"
        press(page, "Enter")
        assert page.locator(".problem").is_visible()  # nothing was chosen
        save(page, "r", "a", "c", "l", "o", "Control+Enter")  # letters in a comment are no keys
        save(page, "b", "Enter")
        save(page, "n")
        assert page.url.startswith(f"{address}/row/4")
        assert page.locator(".saved").inner_text().startswith("saved: cannot tell")
        save(page, "u")
        assert page.url == f"{address}/row/3"
        save(page, "r", "Enter")
        words = review.log.words
        assert [(word.verdict, word.comment) for word in words] == [
            ("accept", "lo"), ("other", ""), ("skip", ""), (None, ""), ("reject", "")
        ]  # fmt: skip
        assert all(word.seconds is not None for word in words if word.verdict)
        for width in (1280, 400):
            page.set_viewport_size({"width": width, "height": 900})
            for name, path in (("row", "/row/1"), ("overview", "/")):
                page.goto(address + path)
                assert page.evaluate("document.documentElement.scrollWidth") <= width
                page.screenshot(path=str(tmp_path / f"{name}-{width}.png"), full_page=True)
        assert "owned" not in page.title()
        assert told == []
        browser.close()
