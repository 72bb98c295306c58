"""The page in a real Chromium, at 1280 and 400 pixels, from a file:// address."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.reports_fake import large, poisoned, rich, seesaw

from reports import html
from reports.view import build

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright here: pip install playwright")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("report")
    attack = "</script><img src=http://127.0.0.1:9/x onerror=\"document.title='owned'\">\u202e" + "W" * 300
    sources = {"plain": seesaw(), "hostile": poisoned(attack), "large": large(1_200, 60, "long answer " * 30)}
    sources |= {"rich": rich(), "rich and hostile": rich(attack)}
    paths = {}
    for name, source in sources.items():
        paths[name] = folder / f"{name}.html"
        paths[name].write_text(html.render(build(source, "cand00000001")), encoding="utf-8")
    return paths


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("name", ["plain", "hostile", "large", "rich", "rich and hostile"])
def test_the_page_is_quiet_and_never_scrolls_sideways(browser: Any, pages: dict[str, Path], name: str, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900})
    page = context.new_page()
    told: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(pages[name].as_uri())
    page.evaluate("document.querySelectorAll('details').forEach((d, i) => { if (i < 60) d.open = true })")
    assert told == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("script").count() == 1
    assert page.locator("img").count() == 0
    assert page.title() != "owned"
    box = page.locator("h1").bounding_box()
    assert box is not None
    assert box["y"] + box["height"] < 400  # the verdict is seen at once
    context.close()


@pytest.mark.parametrize("javascript", [True, False])
def test_a_flip_opens_on_click_and_shows_both_answers(browser: Any, pages: dict[str, Path], javascript: bool) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, java_script_enabled=javascript)
    page = context.new_page()
    page.goto(pages["plain"].as_uri())
    case = page.locator("details.case").first
    assert not case.locator(".answer.baseline").is_visible()
    case.locator("summary").first.click()
    left, right = case.locator(".answer.baseline"), case.locator(".answer.candidate")
    assert left.is_visible()
    assert right.is_visible()
    assert left.locator("pre").first.inner_text() == "2024-03-01"
    assert left.bounding_box()["y"] == right.bounding_box()["y"]  # side by side
    assert page.get_by_role("button", name="open all").is_visible() is javascript
    context.close()


def test_all_cases_open_with_one_button(browser: Any, pages: dict[str, Path]) -> None:
    page = browser.new_page()
    page.goto(pages["plain"].as_uri())
    page.get_by_role("button", name="open all").click()
    assert page.locator("details.case:not([open])").count() == 0
    page.close()


def test_tables_scroll_inside_their_own_box_on_a_phone(browser: Any, pages: dict[str, Path]) -> None:
    page = browser.new_page(viewport={"width": 400, "height": 800})
    page.goto(pages["plain"].as_uri())
    inner, outer = page.evaluate(
        "(() => { const s = document.querySelector('.scroll'); return [s.scrollWidth, s.clientWidth] })()"
    )
    assert inner > outer > 300
    page.close()
