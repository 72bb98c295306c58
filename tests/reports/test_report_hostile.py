"""Hostile strings in every place that a stranger can write to stay text, in every format; large runs stay small files."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.reports_fake import large, poisoned

from reports import html, json_report, junit, markdown, terminal
from reports.nouns import ReportView, State
from reports.view import build

ATTACKS = [
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg/onload=alert(1)>",
    "<a href='javascript:alert(1)'>x</a>",
    "</style><style>@import url(http://evil.test)</style>",
    "</pre></details></section><iframe src=//evil.test>",
    "{{ 7 * 7 }}{% include '/etc/passwd' %}${7*7}",
    "\x1b[2J\x1b]0;owned\x07\x9b31m",
    "\u202egnp.exe\u2066\u2067\u200b\ufeff",
    "a\x00b\x01\x0b\x0c\x7f\x85\ufffe\uffff\ud800",
    "| a | b |\n|---|---|\n```\n~~~\n# h\n- [x](http://evil.test) ![i](http://evil.test/i.png) @team #12 www.evil.test",
    "]]>&lt;&amp;<!-- --><![CDATA[ x <?xml ?>",
    "👩‍👩‍👧‍👦 🏴󠁧󠁢󠁥󠁮󠁧󠁿 e\u0301 ﷽ עברית العربية",
    "",
    " \n\t ",
]

ALLOWED = {
    "html",
    "head",
    "meta",
    "link",
    "title",
    "style",
    "body",
    "nav",
    "a",
    "main",
    "section",
    "header",
    "p",
    "b",
    "h1",
    "h2",
    "h3",
    "h4",
    "span",
    "div",
    "ul",
    "ol",
    "li",
    "small",
    "br",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "bdi",
    "svg",
    "g",
    "rect",
    "line",
    "path",
    "circle",
    "polyline",
    "text",
    "details",
    "summary",
    "code",
    "pre",
    "ins",
    "del",
    "button",
    "script",
}


class Elements(HTMLParser):
    """Every start tag with its attributes, and what stands inside scripts."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.comments = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_comment(self, data: str) -> None:
        self.comments += 1


def parsed(page: str) -> Elements:
    found = Elements()
    found.feed(page)
    return found


def assert_harmless(page: str) -> None:
    found = parsed(page)
    assert {tag for tag, _ in found.tags} <= ALLOWED
    assert [tag for tag, _ in found.tags].count("script") == 1
    assert [tag for tag, _ in found.tags].count("style") == 1
    assert found.comments == 0
    for tag, attributes in found.tags:
        assert not any(name.startswith("on") or name in ("style", "src", "srcdoc") for name in attributes), (tag, attributes)
        href = attributes.get("href")
        assert href is None or re.fullmatch(r"#\w+|data:,", href)
    controls = re.findall("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", page)
    assert controls == []
    page.encode("utf-8")


@pytest.mark.parametrize("attack", ATTACKS)
def test_html_holds_no_element_or_attribute_of_a_stranger(attack: str) -> None:
    page = html.render(build(poisoned(attack), "cand00000001"))
    assert_harmless(page)
    harmless = parsed(html.render(build(poisoned("plain"), "cand00000001")))
    kinds = {tag for tag, _ in harmless.tags} | {"span", "ins", "del"}
    assert {tag for tag, _ in parsed(page).tags} <= kinds


@given(st.text(st.characters(codec=None), max_size=60))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
def test_any_text_is_safe_in_every_format(text: str) -> None:
    view = build(poisoned(text), "cand00000001")
    assert_harmless(html.render(view))
    ET.fromstring(junit.render(view).encode())
    json.loads(json_report.render(view))
    assert_plain_markdown(markdown.render(view))
    assert_plain_terminal(terminal.render(view))


def assert_plain_markdown(text: str) -> None:
    """Outside of code blocks: no HTML, no link, no image, no mention, no reference to an issue, no bare address."""
    outside = re.sub(r"(?ms)^(`{3,})text\n.*?^\1$", "", text)
    assert "<" not in outside
    assert ">" not in outside
    for line in outside.split("\n"):
        bare = re.sub(r"\\.", "", line)  # without escaped signs
        assert not re.search(r"\]\(|`|[@#]\w|://|www\.", bare), line
    assert len(text) <= markdown.MAX_CHARS


def assert_plain_terminal(text: str) -> None:
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)


@pytest.mark.parametrize("attack", ATTACKS)
def test_junit_parses_and_keeps_its_tests(attack: str) -> None:
    view = build(poisoned(attack), "cand00000001")
    root = ET.fromstring(junit.render(view).encode())
    assert len(root.findall(".//testcase")) == len(view.cases) + 1
    assert {element.tag for element in root.iter()} <= {"testsuites", "testsuite", "testcase", "failure", "error", "skipped"}


@pytest.mark.parametrize("attack", ATTACKS)
def test_markdown_and_terminal_are_inert(attack: str) -> None:
    view = build(poisoned(attack), "cand00000001")
    assert_plain_markdown(markdown.render(view))
    assert_plain_terminal(terminal.render(view))
    table = next(block for block in markdown.render(view).split("\n\n") if block.startswith("| Capability"))
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in table.split("\n")} == {10}


def test_credentials_in_an_address_are_not_printed() -> None:
    page = html.render(build(poisoned("x"), "cand00000001"))
    assert "user:pw" not in page
    assert "http://h/x" in page


def test_a_megabyte_of_text_is_cut_and_the_count_is_said() -> None:
    page = html.render(build(poisoned("<é> " * 250_000), "cand00000001"))
    assert_harmless(page)
    assert len(page.encode()) < 3_000_000
    assert re.search(r"… (99\d|1,24\d),\d{3} more characters not shown", page)


@pytest.fixture(scope="module")
def big() -> ReportView:
    return build(large(5_040, 60, "你好 <b>&'\" long answer " * 160), "cand00000001")


def test_five_thousand_cases_with_long_answers_stay_under_three_megabytes(big: ReportView) -> None:
    page = html.render(big)
    assert len(page.encode()) < 3_000_000
    opened = sum(len(group.cases) for group in big.groups)
    totals = sum(n for group in big.groups for _, n in group.totals)
    left = sum(group.left_out for group in big.groups)
    assert totals == opened + left
    assert f"{left:,} more cases not opened here" in page
    assert "<code>harness export cand00000001</code>" in page
    assert len(big.cases) == 5_040
    assert len(markdown.render(big)) <= markdown.MAX_CHARS


def test_room_is_shared_between_capabilities_and_goes_to_broken_cases_first(big: ReportView) -> None:
    states = [case.state for group in big.groups for case in group.cases]
    assert set(states) == {State.BROKEN}  # there is no room for the fixed ones here
    counts = [len(group.cases) for group in big.groups]
    assert max(counts) - min(counts) <= 1
    assert min(counts) >= 1
