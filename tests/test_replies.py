"""Reading answers and splitting thinking: properties over anything a server may send."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.replies import BadReply, StreamError, StreamReader, clean, error_text, read_classes, read_reply
from harness.thinking import DEFAULT_TAGS, split_thinking

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=40)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["choices", "message", "content", "delta", "error", "usage"]), inner)
    ),
    max_leaves=8,
)


@given(ANY_TEXT)
def test_clean_text_can_be_stored_and_clean_is_idempotent(text: str) -> None:
    cleaned = clean(text)
    cleaned.encode("utf-8")
    assert clean(cleaned) == cleaned
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        assert "\ufffd" in cleaned or any(ord(c) > 0xFFFF for c in cleaned)
    else:
        assert cleaned == text


def test_torn_pairs_join_and_lone_halves_are_replaced() -> None:
    assert clean("\ud83d" + "\ude00") == "😀"
    assert clean("a\ud83d") == "a\ufffd"
    assert clean("\ude00b") == "\ufffdb"


@given(st.binary(max_size=60) | ANY_JSON.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_an_answer_or_a_bad_reply(body: bytes) -> None:
    with contextlib.suppress(BadReply):
        assert isinstance(read_reply(body, DEFAULT_TAGS).text, str)
    assert isinstance(error_text(body), str)


@given(st.lists(ANY_JSON, max_size=4), st.integers(1, 30))
def test_any_stream_is_an_answer_or_a_bad_reply(events: list[object], size: int) -> None:
    raw = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
    reader = StreamReader()
    with contextlib.suppress(BadReply, StreamError):
        for start in range(0, len(raw), size):
            reader.feed(raw[start : start + size])
        assert isinstance(reader.reply(DEFAULT_TAGS).text, str)


@given(st.lists(st.text(max_size=6), min_size=1, max_size=6), st.integers(1, 50))
def test_a_stream_reads_the_same_however_its_bytes_are_cut(pieces: list[str], size: int) -> None:
    events = [{"choices": [{"delta": {"content": piece}}]} for piece in pieces]
    events += [{"choices": [{"delta": {}, "finish_reason": "stop"}]}, {"choices": [], "usage": {"completion_tokens": 3}}]
    raw = (
        b": ping\r\n\r\n"
        + b"".join(b"data: " + json.dumps(event).encode() + b"\r\n\r\n" for event in events)
        + b"data: [DONE]\n\n"
    )
    reader = StreamReader()
    for start in range(0, len(raw), size):
        reader.feed(raw[start : start + size])
    reply = reader.reply(None)
    assert (reply.text, reply.finish_reason, reply.completion_tokens) == ("".join(pieces), "stop", 3)
    assert reader.complete
    assert reader.begun == any(pieces)


@pytest.mark.parametrize(
    ("text", "answer", "thinking"),
    [
        ("plain", "plain", None),
        (" plain ", " plain ", None),
        ("<think>a</think>b", "b", "a"),
        ("\n<think>\na\n</think>\n\nb\n", "b\n", "a"),
        ("<think></think>b", "b", ""),
        ("<think>a</think><think>c</think>b", "b", "a\nc"),
        ("a</think>b", "b", "a"),
        ("</think>b", "b", ""),
        ("<think>a", "", "a"),
        ("use <think> to think", "use <think> to think", None),
        ("write <think>x</think> so", "write <think>x</think> so", None),
        ("<think>a</think>b </think> c", "b </think> c", "a"),
    ],
)
def test_thinking(text: str, answer: str, thinking: str | None) -> None:
    assert split_thinking(text) == (answer, thinking)


@given(st.text(), st.text())
def test_answers_survive_a_leading_block(thought: str, answer: str) -> None:
    if any(tag in thought + answer for tag in DEFAULT_TAGS):
        return
    assert split_thinking(f"<think>{thought}</think>{answer}") == (answer.lstrip(), thought.strip())
    assert split_thinking(answer) == (answer, None)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"error": {"message": "m"}}', "m"),
        (b'{"error": "m"}', "m"),
        (b'{"message": "m"}', "m"),
        (b'{"detail": "m"}', "m"),
        (b'{"detail": [{"loc": 1}]}', '[{"loc": 1}]'),
        (b"<h1>Bad\n  Gateway</h1>", "'<h1>Bad Gateway</h1>'"),
        (b"", "an empty body"),
    ],
)
def test_error_bodies(body: bytes, text: str) -> None:
    assert error_text(body) == text


@given(ANY_JSON)
def test_log_probabilities_of_any_shape_never_spoil_the_answer(value: object) -> None:
    body = json.dumps({"choices": [{"message": {"content": "yes"}, "finish_reason": "stop", "logprobs": value}]}).encode()
    reply = read_reply(body, DEFAULT_TAGS)
    assert (reply.text, reply.finish_reason) == ("yes", "stop")


@given(st.recursive(st.none() | st.floats() | st.text(max_size=3), lambda inner: st.lists(inner, max_size=3), max_leaves=6))
def test_numbers_of_a_classifier_or_a_bad_reply(value: object) -> None:
    with contextlib.suppress(BadReply):
        numbers = json.loads(read_classes(json.dumps({"data": [{"probs": value}]}).encode()).text)
        assert numbers == value
        assert all(abs(number) < 1e300 for number in numbers)
