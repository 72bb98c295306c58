"""The real vLLM, with a random model of the pocket model's shape: one start does it all, because a start takes half a minute."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.tiny_model import write_adapter, write_base

from harness.client import OpenAIClient
from harness.errors import ServeError
from harness.model import Candidate, Case, Message, Request, Response, Sampling
from harness.serving.identity import identify
from harness.serving.log import STAGES
from harness.serving.vllm import ServeOptions, Server, serve

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed"),
]
ROOT = Path(__file__).parent.parent.parent


def descendants(pid: int) -> set[int]:
    """The process and everything it started, by the parents that /proc tells."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(entry.parent.name)] = int(entry.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def running(pids: set[int]) -> set[int]:
    return {pid for pid in pids if Path(f"/proc/{pid}").exists() and "State:\tZ" not in _status(pid)}


def _status(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return "State:\tZ"


def wait_gone(pids: set[int], seconds: float) -> set[int]:
    deadline = time.monotonic() + seconds
    while running(pids) and time.monotonic() < deadline:
        time.sleep(0.1)
    return running(pids)


async def answers(server: Server, candidate: Candidate, count: int) -> list[Response]:
    async with OpenAIClient(server.url, concurrency=16, timeout_s=60, stream="sampled", retries=0) as client:
        await client.require_model(candidate.model)
        requests = [
            Request(
                candidate,
                Case(f"{i:016x}", "c", {}),
                (Message("user", f"question {i}"),),
                Sampling(max_tokens=8, extra={"ignore_eos": True}),
            )
            for i in range(count)
        ]
        return await asyncio.gather(*map(client.ask, requests))


def test_serves_base_and_adapters_and_dies_in_plain_words(tmp_path: Path) -> None:
    base = write_base(tmp_path / "base")
    write_adapter(tmp_path / "first", rank=16, scale=0.2)
    write_adapter(tmp_path / "second", seed=2, scale=0.2)
    plain = identify("plain", "base", root=tmp_path)
    tuned = identify("tuned", "base", adapter="first", root=tmp_path)
    said: list[str] = []

    async def main() -> set[int]:
        options = ServeOptions(max_model_len=256, spare_adapters=1)
        adapters = {"tuned": tmp_path / "first"}
        log = tmp_path / "vllm.log"
        async with serve(str(base), adapters, names=["plain"], options=options, log_path=log, say=said.append) as server:
            pids = descendants(server.pid)
            assert len(pids) >= 4
            of_plain, of_tuned = await answers(server, plain, 16), await answers(server, tuned, 16)
            for response in (*of_plain, *of_tuned):
                assert (response.error, response.finish_reason, response.completion_tokens) == (None, "length", 8)
                assert (response.prompt_tokens or 0) > 5
            assert [r.text for r in of_plain] != [r.text for r in of_tuned]
            beside = await asyncio.gather(answers(server, plain, 16), answers(server, tuned, 16))
            for mixed, own, other in ((beside[0], of_plain, of_tuned), (beside[1], of_tuned, of_plain)):
                # Asked together, base and adapter answer as themselves. Some answers of a model with random weights hang on the
                # batch; where the base got the adapter's weights, none was its own.
                assert alike(mixed, own) > alike(mixed, other)
                assert alike(mixed, own) >= 4
            await server.load_adapter("later", tmp_path / "second", base)
            later = Candidate("later", "later", "2")
            assert [r.text for r in await answers(server, later, 16)] != [r.text for r in of_tuned]
            figures = await server.metrics()
            assert (figures.requests, figures.generation_tokens) == (80, 640)
            assert 0.1 < (figures.memory_gb or 0) < 100
            assert 0 < (figures.latency_s or 0) < 60
            (engine,) = (pid for pid in descendants(server.pid) if "VLLM::Engine" in _status(pid))
            os.kill(engine, signal.SIGKILL)
            dead = await answers_of_a_dying_server(server, plain)
            assert dead.error is not None
            assert not wait_gone({server.pid}, 30), "the server outlives its engine"
            with pytest.raises(ServeError, match=r"the model server died \(exit code"):
                server.check()
            return pids

    pids = asyncio.run(main())
    assert not wait_gone(pids, 5)
    check_stages(said, (tmp_path / "vllm.log").read_text(errors="replace"))


def alike(some: list[Response], others: list[Response]) -> int:
    return sum(a.text == b.text for a, b in zip(some, others, strict=True))


def check_stages(said: list[str], log: str) -> None:
    """This vLLM's log still shows every stage of a start. A stage shorter than a poll is not said, so what was said is a part."""
    words = [stage for mark, stage in STAGES if mark in log]
    assert "loading the weights" in words
    assert len(words) >= len(STAGES) - 1, f"vLLM's log no longer says {[mark for mark, _ in STAGES if mark not in log]}"
    told = [line.removeprefix("waiting for vLLM: ").rpartition(" (")[0] for line in said if line.startswith("waiting")]
    assert told
    assert [stage for stage in words if stage in told] == told


async def answers_of_a_dying_server(server: Server, candidate: Candidate) -> Response:
    async with OpenAIClient(server.url, timeout_s=15, retries=0) as client:
        request = Request(candidate, Case("0" * 16, "c", {}), (Message("user", "still there?"),), Sampling(max_tokens=64))
        return await client.ask(request)


HARNESS = """
import asyncio, sys
from pathlib import Path
from harness.serving.vllm import ServeOptions, serve
async def main():
    folder = Path(sys.argv[1])
    async with serve(str(folder / "base"), log_path=folder / "vllm.log", options=ServeOptions(max_model_len=256)) as server:
        print(server.pid, flush=True)
        await asyncio.sleep(600)
asyncio.run(main())
"""


def test_kill_9_of_the_harness_leaves_no_process_of_vllm(tmp_path: Path) -> None:
    write_base(tmp_path / "base")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", HARNESS, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as harness:
        assert harness.stdout is not None
        pids = descendants(int(harness.stdout.readline()))
        assert len(running(pids)) >= 4
        harness.kill()
        assert not wait_gone(pids, 15)
