"""Self-Instruct by the pocket model on the real vLLM: not what it writes (it knows five small skills) but that all is counted.

Asked freely it writes no list, so every answer is rejected. Held to the form of a list by a regular expression it gives
instructions, so that the later steps are asked for real, too. The same server then sorts rows into task types.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.cli import call
from harness.quality.selfinstruct.reading import REASONS, listed
from harness.quality.tasktypes import known_types
from harness.serving.vllm import ServeOptions, serve

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed"),
]
POCKET = Path(__file__).parents[2] / "suites/quickstart/models/base"
COUNT, BATCH = 6, 4
_ITEM = "[A-Z][a-z]{2,7}( [a-z]{2,7}){4,6}"
LIST = {"structured_outputs": {"regex": rf"9\. {_ITEM}\n10\. {_ITEM}\n11\. {_ITEM}"}}
# The pocket model was trained on 512 tokens; the prompts have up to 3,000. It may be asked more, and answers worse.
LONG = ServeOptions(max_model_len=6144, dtype="float32", env={"VLLM_ALLOW_LONG_MAX_MODEL_LEN": "1"})


def test_the_whole_flow_is_asked_counted_and_gone_on_with(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    free, held = tmp_path / "free", tmp_path / "held"

    async def main() -> None:
        async with serve(str(POCKET), names=["pocket"], options=LONG, log_path=tmp_path / "vllm.log") as server:

            async def run(folder: Path, *more: str) -> int:
                words = ["data", "self-instruct", "--endpoint", server.url, "--model", "pocket", "--out", str(folder)]
                size = ["-n", str(COUNT), "--batch", str(BATCH), "--max-tokens", "48"]
                return await asyncio.to_thread(call, [*words, *size, *more])

            assert await run(free) == 4, "a model without a new instruction ends the run"
            assert await run(held, "--extra", json.dumps(LIST)) == 0
            before = {path.name: path.read_bytes() for path in held.iterdir() if path.name != "report.json"}
            assert await run(held, "--extra", json.dumps(LIST)) == 0
            assert report(held)["requests"] == {"asked": 0, "from_journal": sum(report(held)["requests"].values())}
            assert {name: (held / name).read_bytes() for name in before} == before
            sort = ["data", "distribution", str(held / "train.jsonl"), "--endpoint", server.url, "--endpoint-model", "pocket"]
            code = await asyncio.to_thread(call, [*sort, "--answers", str(tmp_path / "sorted"), "--ask", "8", "--json"])
            assert code == 0

    asyncio.run(main())
    shown = capfd.readouterr()
    sorted_rows = json.loads(shown.out.splitlines()[-1])
    assert sum(sorted_rows["tasks"].values()) == 8, "held to the schema, it names a type for each row"
    assert sorted_rows["tasks"].keys() <= set(known_types())
    assert "20 rounds in a row brought no new instruction" in shown.err
    assert "Traceback" not in shown.err
    everything_is_accounted_for(free)
    everything_is_accounted_for(held)
    found = report(held)
    assert (found["instructions"], found["finished"], found["complete"]) == (COUNT, COUNT, True)
    assert report(free)["instructions"] == 0
    assert not report(free)["complete"]
    for folder in (free, held):
        seeds = [row for row in lines(folder / "train.jsonl") if row["origin"] == "human"]
        assert len(seeds) == 175, "seeds are kept whatever is rejected"


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def report(folder: Path) -> Any:
    return json.loads((folder / "report.json").read_text())


def everything_is_accounted_for(folder: Path) -> None:
    """Each text of each answer of the first step is an instruction, or rejected with its reason; of the later steps likewise."""
    _, *answers = lines(folder / "journal.jsonl")
    tasks, rejected = lines(folder / "tasks.jsonl"), lines(folder / "rejected.jsonl")
    used = Counter(task["request"] for task in tasks)
    left = Counter(row["request"] for row in rejected if row["step"] == "instruction")
    later = [answer for answer in answers if answer["key"] not in used | left]
    assert len(later) == 2 * len(tasks), "each instruction is asked about twice: a classification or not, and its instances"
    for answer in answers:
        if answer not in later:
            assert used[answer["key"]] + left[answer["key"]] == max(1, len(texts(answer)))
    assert {row["code"] for row in rejected} <= set(REASONS)
    counted = Counter((row["step"], row["code"]) for row in rejected)
    told = {(step, code): count for step, codes in report(folder)["rejected"].items() for code, count in codes.items()}
    assert told == counted
    made = {task["id"]: task["instances"] for task in tasks}
    refused = Counter(row["task"] for row in rejected if row["step"] == "instance")
    assert all(made[name] or refused[name] for name in made), "an instruction has instances, or reasons why it has none"


def texts(answer: dict[str, Any]) -> Sequence[str]:
    return listed(answer["text"], 9, 15) if answer["finish"] != "length" else ()
