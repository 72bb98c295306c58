"""Checks against the libraries and data they stand for."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import DefaultTokenizer
from sacrebleu.metrics.bleu import BLEU

from harness.checks import compile_checks, schemas
from harness.checks.jsontext import BrokenJSON, find, read
from harness.checks.numeric import NumericOptions, last_number
from harness.checks.texts import tokens
from harness.model import Case, Response

ASCII = st.text(st.characters(max_codepoint=127), max_size=80)
VOCABULARY = ["the", "cat", "sat", "on", "a", "mat", "with", "my", "dog", "42", "times"]
WORDS = st.lists(st.sampled_from(VOCABULARY), min_size=1, max_size=20).map(" ".join)
ROUGE = RougeScorer(["rouge1", "rouge2", "rougeL"])


def value(spec: dict[str, Any], text: str, reference: Any) -> float | None:
    scorer = compile_checks([spec], on_empty="score")
    return scorer.score(Case("1", "c", {}, reference), Response("k", text)).value


@given(ASCII)
def test_tokens_are_rouge_scores_own_on_ascii(text: str) -> None:
    assert tokens(text) == DefaultTokenizer(use_stemmer=False).tokenize(text)


@given(WORDS, WORDS)
@pytest.mark.parametrize(("measure", "name"), [("f", "fmeasure"), ("p", "precision"), ("r", "recall")])
def test_rouge_is_rouge_scores(measure: str, name: str, text: str, reference: str) -> None:
    theirs = ROUGE.score(reference, text)
    assert value({"type": "rouge-l", "measure": measure}, text, reference) == pytest.approx(getattr(theirs["rougeL"], name))
    for n in (1, 2):
        ours = value({"type": "rouge-n", "n": n, "measure": measure}, text, reference)
        assert ours == pytest.approx(getattr(theirs[f"rouge{n}"], name))


@given(WORDS, st.lists(WORDS, min_size=1, max_size=3))
def test_bleu_is_sacrebleus(text: str, references: list[str]) -> None:
    theirs = BLEU(effective_order=True).sentence_score(text, references).score
    assert value({"type": "bleu"}, text, references) == pytest.approx(min(1.0, theirs / 100))


def test_bleu_chinese_uses_sacrebleus_chinese_tokenizer() -> None:
    text, reference = "今天的天气非常好。", "今天天气很好。"
    theirs = BLEU(tokenize="zh", effective_order=True).sentence_score(text, [reference]).score / 100
    assert theirs > 0.1
    assert value({"type": "bleu"}, text, reference) == pytest.approx(theirs)
    assert value({"type": "bleu", "tokenize": "zh"}, text, reference) == pytest.approx(theirs)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("今天天气", 4),
        ("カタカナ", 4),
        ("สวัสดี", 4),
        ("안녕 하세요", 2),
        ("नमस्ते दुनिया", 2),
        ("naïve café", 2),
        ("👍🏽 ok", 1),
        ("I'm", 2),
    ],
)
def test_tokens_in_many_scripts(text: str, count: int) -> None:
    assert len(tokens(text)) == count


def test_long_texts_do_not_take_long() -> None:
    text = "word " * 20_000
    started = time.process_time()
    assert value({"type": "rouge-l"}, text, text) == 1.0
    assert value({"type": "rouge-l"}, "[1," * 20_000, "one") == 0.0
    assert value({"type": "contains-json"}, "[1," * 50_000, None) == 0.0
    assert value({"type": "contains-json"}, '{["(' * 200_000, None) == 0.0
    assert value({"type": "contains-json"}, '{"a": [' * 20_000, None) == 0.0
    assert value({"type": "numeric"}, "1," * 50_000 + "2", 2) == 1.0
    assert value({"type": "choice"}, "(A " * 30_000, "B") is None
    assert value({"type": "repetition"}, text, None) == 0.0
    assert time.process_time() - started < 10


# The last lines of answers as GSM8K's writers and models write them (own numbers, their shapes).
GSM8K = [
    ("48/2 = <<48/2=24>>24 clips.\n48+24 = <<48+24=72>>72 in all.\n#### 72", "So the total is 72.", True),
    ("#### 1,080", "He earned $1,080.00 that week.", True),
    ("#### 70000", "The profit is $70,000.", True),
    ("#### -3", "The temperature was −3 degrees.", True),
    ("#### 0.5", "She uses .5 cups", True),
    ("A: 18", "18", True),
    ("#### 18", "The answer is 18 dollars, for 9 eggs at $2 each.\n#### 18", True),
    ("#### 25", "25% of 100 is 25%", True),
    ("#### 540", "3 sprints * 3 times = 9; 9 * 60 = 540 meters a week.", True),
    ("#### 20", "120", False),
    ("#### 3", "3.5", False),
    ("#### 10", "It takes 2 hours and 30 minutes", False),
]


@pytest.mark.parametrize(("reference", "text", "right"), GSM8K)
def test_gsm8k_shapes(reference: str, text: str, right: bool) -> None:
    assert value({"type": "numeric"}, text, reference) == float(right)


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12, places=3))
def test_a_number_is_read_back_however_it_is_written(number: Any) -> None:
    for written in (f"{number}", f"{number:,}", f"It is {number:,}.", f"共{number}元", f"#### {number}\nDone."):
        assert last_number(written, NumericOptions()) == number, written


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=15,
)


@given(JSON, st.booleans())
def test_json_survives_the_way_through_an_answer(data: Any, escape: bool) -> None:
    text = json.dumps(data, ensure_ascii=escape)
    assert read(text) == data
    assert next(find(f"Sure:\n```json\n{text}\n```\nBye")) == data
    if data is not None:
        assert value({"type": "json-equals", "value": text}, f"```\n{text}\n```", None) == 1.0
        assert value({"type": "json-equals", "value": text, "partial": True, "unordered": True}, text, None) == 1.0


@given(JSON, JSON)
def test_json_equality_is_symmetric_and_partial_credit_bounded(a: Any, b: Any) -> None:
    one, two = json.dumps([a]), json.dumps([b])
    for options in ({}, {"partial": True}, {"unordered": True, "partial": True}):
        there = value({"type": "json-equals", "value": one, **options}, two, None)
        back = value({"type": "json-equals", "value": two, **options}, one, None)
        assert there is not None
        assert back is not None
        assert 0.0 <= there <= 1.0
        assert there == pytest.approx(back)


@pytest.mark.parametrize(
    "text", ['{"a": NaN}', "[Infinity]", "[1e400]", '{"a":1,"a":1}', "[" * 201 + "]" * 201, "1 2", "", "'a'", "[1,]"]
)
def test_broken_json(text: str) -> None:
    with pytest.raises(BrokenJSON):
        read(text)


def test_a_schemas_pattern_cannot_run_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schemas, "PATTERN_TIMEOUT_S", 0.05)
    scorer = compile_checks([{"type": "is-json", "value": {"pattern": "^(a|a)*$"}}])
    assert scorer.score(Case("1", "c", {}), Response("k", f'"{"a" * 40}!"')).unscored == "regex-timeout"


class TestSimilarEndpoint:
    """similar against an embeddings endpoint: a scripted one on this machine."""

    @pytest.fixture
    def endpoint(self) -> Any:
        import threading
        from http.server import BaseHTTPRequestHandler, HTTPServer

        seen: list[Any] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                seen.append((self.headers["Authorization"], body))
                vectors = {
                    "up": [0.0, 1.0],
                    "down": [0.0, -1.0],
                    "right": [1.0, 0.0],
                    "up and right": [3.0, 4.0],
                    "zero": [0.0, 0.0],
                }
                rows = [{"object": "embedding", "index": i, "embedding": vectors[text]} for i, text in enumerate(body["input"])]
                data = json.dumps({"object": "list", "model": body["model"], "data": rows[::-1], "usage": {}}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: Any) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1", seen
        server.shutdown()
        thread.join()
        server.server_close()

    def test_cosines(self, endpoint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("EMBED_KEY", "sk-secret")
        url, seen = endpoint
        spec = {"type": "similar", "endpoint": url, "model": "m", "api_key_env": "EMBED_KEY"}
        assert value(spec, "up", "up and right") == pytest.approx(0.8)
        assert value(spec, "up", ["down", "right", "up and right"]) == pytest.approx(0.8)
        assert value(spec, "up", "down") == 0.0
        assert value(spec, "zero", "up") is None
        assert seen[0][0] == "Bearer sk-secret"
        assert seen[0][1]["model"] == "m"

    def test_a_dead_endpoint_is_no_score(self) -> None:
        spec = {"type": "similar", "endpoint": "http://127.0.0.1:9/v1", "timeout_s": 1}
        found = compile_checks([spec]).score(Case("1", "c", {}, "up"), Response("k", "up"))
        assert (found.value, found.unscored) == (None, "embedding-failed")

    def test_a_missing_extra_is_said_when_compiling(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import importlib.util

        from harness.errors import UsageError

        real = importlib.util.find_spec
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "sentence_transformers" else real(name))
        with pytest.raises(UsageError, match=r"pip install 'seesaw-harness\[similar\]'"):
            compile_checks(["similar"])

    def test_a_missing_folder_is_said_when_compiling(self, tmp_path: Path) -> None:
        from harness.errors import UsageError

        with pytest.raises(UsageError, match="there is no model folder"):
            compile_checks([{"type": "similar", "model": "models/none"}], root=tmp_path)
