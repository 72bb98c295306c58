"""The real vLLM under the judges: JSON Schema and log-probabilities. Its model is random, so verdicts mean nothing; forms do."""

from __future__ import annotations

import asyncio
import importlib.util
from pathlib import Path
from typing import Any

import pytest
from support.judging import answer, case
from support.tiny_model import write_base

from harness.client import OpenAIClient
from harness.model import Candidate, Judgment
from harness.serving.vllm import ServeOptions, serve
from judges import build
from judges.attacks import corpus

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed"),
]

# Without it the schema allows any white space between tokens, and a random model asked greedily writes nothing else.
TIGHT = ("--structured-outputs-config", '{"backend": "xgrammar", "disable_any_whitespace": true}')
JUDGES: dict[str, dict[str, Any]] = {
    "brief": {"kind": "pointwise", "rubric": "helpfulness", "explain": False, "max_tokens": 32},
    "wordy": {"kind": "pointwise", "rubric": "helpfulness-zh", "max_tokens": 32},
    "list": {"kind": "checklist", "rubric": "politeness", "explain": False, "max_tokens": 120},
    "pair": {"kind": "pairwise", "rubric": "pairwise-preference", "explain": False, "max_tokens": 32},
    "text": {"kind": "pointwise", "rubric": "helpfulness", "form": "text", "max_tokens": 24},
}


def test_verdicts_by_schema_and_expected_scores(tmp_path: Path) -> None:
    base = write_base(tmp_path / "base", max_length=8192)
    found = asyncio.run(judged(base, tmp_path / "vllm.log"))
    brief = found["brief"]
    assert brief.mode == "logprob"
    assert brief.choice in "12345"
    assert brief.raw is not None
    assert 1 <= brief.raw <= 5
    assert brief.raw != int(brief.choice), "a mean over five digits that a random model finds about alike"
    assert brief.outside == pytest.approx(0, abs=1e-3), "this vLLM tells probabilities after the schema has had its say"
    wordy = found["wordy"]
    assert (wordy.mode, wordy.attempts) == ("logprob", 2), "its reasons never end, so the second question has none"
    assert {item.value for item in found["list"].items} <= {0.0, 1.0}
    assert found["list"].mode == found["pair"].mode == "schema"
    assert found["pair"].preference in ("candidate", "baseline", "tie")
    assert len(found["pair"].keys) == 2
    text = found["text"]
    assert (text.value, text.mode, text.errored) == (None, "text", False)
    assert text.unscored in ("judge-cut", "judge-no-verdict", "judge-empty")


async def judged(base: Path, log: Path) -> dict[str, Judgment]:
    hostile = next(attack for attack in corpus() if attack.id == "chatml-turn").answer
    options = ServeOptions(max_model_len=8192, dtype="float32", args=TIGHT)
    async with serve(base, names=["grader"], options=options, log_path=log) as server:
        grader = Candidate("grader", "grader", "0" * 64, base_url=server.url)
        async with OpenAIClient(server.url, timeout_s=120, stream="never", retries=0) as client:
            found = {}
            for name, options in JUDGES.items():
                spec = build(name, {"model": "grader", **options}, root=base)
                judge = spec.bind({"grader": grader})
                found[name] = await judge.judge(case(), answer(hostile), client, baseline=answer("Press 'Reset'."))
    return found
