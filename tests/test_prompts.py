"""Cases and prompts become messages; templates cannot escape, blow up or pass over what is missing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import DataError, UsageError
from harness.model import Case, Message, Prompt
from harness.prompts import compile_template, render, render_text


def case(**values: object) -> Case:
    return Case(id="0" * 16, capability="c", vars=values, source="cases.jsonl:7")


def test_system_examples_question() -> None:
    prompt = Prompt("Q: {{ input }}", "Be {{ tone }}.", (("Q: 1", "one"), ("Q: 2", "two")))
    assert render(prompt, case(input="3", tone="brief")) == (
        Message("system", "Be brief."),
        Message("user", "Q: 1"),
        Message("assistant", "one"),
        Message("user", "Q: 2"),
        Message("assistant", "two"),
        Message("user", "Q: 3"),
    )
    assert render(Prompt(), case(input="x")) == (Message("user", "x"),)


def test_a_chat_is_asked_as_it_stands() -> None:
    chat = [{"role": "user", "content": "{{ hi }}"}, {"role": "assistant", "content": "a"}, {"role": "user", "content": "b"}]
    prompt = Prompt("never {{ used }}", "S", (("x", "y"),))
    assert [m.role for m in render(prompt, case(messages=chat))] == ["system", "user", "assistant", "user"]
    assert render(prompt, case(messages=chat))[1].content == "{{ hi }}"
    own = [{"role": "system", "content": "mine"}, *chat]
    assert render(prompt, case(messages=own))[0] == Message("system", "mine")


@given(st.text())
def test_the_text_of_a_case_is_never_a_template(text: str) -> None:
    assert render(Prompt("{{ input }}"), case(input=text))[-1].content == text


def test_text_of_a_case_with_template_marks() -> None:
    hostile = "{{ 7 * 7 }}{% for x in range(9) %}{# #}<b>&"
    assert render(Prompt("<{{ input }}>"), case(input=hostile))[-1].content == f"<{hostile}>"


def test_a_missing_variable_is_an_error_with_the_place_and_what_is_there() -> None:
    with pytest.raises(DataError) as error:
        render(Prompt("{{ question }}"), case(input="x"))
    assert error.value.line() == "cases.jsonl:7: the template fails: 'question' is undefined. The case has: input"


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ input.__class__ }}",
        "{{ ''['__class__'] }}",
        "{{ ''|attr('__class__') }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ self.__init__.__globals__ }}",
        "{{ '{0.__class__}'.format(input) }}",
        "{{ range(10 ** 9) | list | length }}",
        "{{ 'a' * 10 ** 10 }}",
        "{{ 10 ** 10 ** 10 }}",
        "{{ [0] * 100000000 }}",
        "{{ items.append(1) }}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}",
        "{{ 1 / 0 }}",
        "{{ 'a' ** 2 }}",
    ],
)
def test_attacks_end_as_errors_for_people(template: str) -> None:
    with pytest.raises((DataError, UsageError)):
        render_text(template, {"input": "x", "items": [1]})


@pytest.mark.parametrize(
    "template", ["{% if", "{{ input", "{{ input | nofilter }}", "{% nope %}", "a\n{{ ) }}", "{{" + "(" * 5000]
)
def test_wrong_syntax_is_an_error_for_people(template: str) -> None:
    with pytest.raises(UsageError):
        compile_template(template)


def test_wrong_syntax_names_the_line_of_the_template() -> None:
    with pytest.raises(UsageError, match="template line 3"):
        compile_template("a\nb\n{{ ) }}")


def test_nothing_is_escaped_for_html() -> None:
    assert render_text("{{ a }} & {{ b }}", {"a": "<b>", "b": "it's"}) == "<b> & it's"


def test_small_arithmetic_works() -> None:
    assert (
        render_text("{{ n * 2 }} {{ '-' * 3 }} {{ 2 ** 10 }} {{ words | join(', ') }}", {"n": 4, "words": ["a", "b"]})
        == "8 --- 1024 a, b"
    )
