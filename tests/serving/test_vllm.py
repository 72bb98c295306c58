"""The life of a server process, against a stand-in that misbehaves; the real vLLM is in test_vllm_real.py."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.tiny_model import write_adapter, write_fake_base

from harness.errors import ServeError, UsageError
from harness.model import Candidate
from harness.serving.fleet import serve_candidates
from harness.serving.vllm import ServeOptions, Server, allowed_rank, arguments, environment, free_port, serve

FAKE = (sys.executable, str(Path(__file__).parent.parent / "support" / "fake_vllm.py"))


class Life:
    """One stand-in in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "logs" / "vllm.log"
        self.base = str(write_fake_base(folder / "base"))
        self.said: list[str] = []

    def options(self, mode: str, *, log: str = "", timeout: float = 20, **more: Any) -> ServeOptions:
        env = {"FAKE_MODE": mode, "FAKE_DIR": str(self.folder), "FAKE_LOG": log}
        return ServeOptions(startup_timeout_s=timeout, device="cpu", env=env, **more)

    def run(
        self, use: Callable[[Server], Awaitable[Any]], mode: str = "ok", adapters: dict[str, Path] | None = None, **more: Any
    ) -> Any:
        async def main() -> Any:
            options = self.options(mode, **more)
            async with serve(
                self.base, adapters, options=options, log_path=self.log, say=self.said.append, program=FAKE
            ) as server:
                return await use(server)

        return asyncio.run(main())

    def pids(self) -> list[int]:
        deadline = time.monotonic() + 10
        while not (self.folder / "pids").exists():
            assert time.monotonic() < deadline, "the stand-in did not start"
            time.sleep(0.02)
        return [int(pid) for pid in (self.folder / "pids").read_text().split()]

    def seen(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "seen.json").read_text()))


@pytest.fixture
def life(tmp_path: Path) -> Life:
    return Life(tmp_path)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(pids: list[int], seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(map(alive, pids))


async def nothing(server: Server) -> None:
    pass


def test_starts_serves_and_leaves_nothing_behind(life: Life) -> None:
    tuned = write_adapter(life.folder / "sft=1", layers=1, hidden=8, intermediate=16, rank=9)

    async def use(server: Server) -> list[int]:
        server.check()
        figures = await server.metrics()
        assert (figures.generation_tokens, figures.prefix_cache_hit_rate, figures.latency_s) == (12, 0.25, None)
        with urllib.request.urlopen(server.url + "/models") as models:
            assert [model["id"] for model in json.load(models)["data"]] == ["base", "sft"]
        pids = life.pids()
        assert all(map(alive, [*pids, server.pid]))
        return [*pids, server.pid]

    pids = life.run(use, adapters={"sft": tuned})
    assert len(pids) == 4
    assert not any(map(alive, pids))
    assert any("loading the weights" in line for line in life.said)
    assert "ready" in life.said[-1]
    argv = life.seen()["argv"]
    assert argv[argv.index("--max-lora-rank") + 1] == "16"
    assert json.loads(argv[argv.index("--lora-modules") + 1]) == {"name": "sft", "path": str(tuned)}


def test_an_exception_inside_the_block_ends_the_server_too(life: Life) -> None:
    async def use(server: Server) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError):
        life.run(use)
    assert not any(map(alive, life.pids()))


@pytest.mark.parametrize("mode", ["ok", "hang"])
def test_cancelling_ends_the_server_whether_ready_or_not(life: Life, mode: str) -> None:
    async def main() -> None:
        async def hold(server: Server) -> None:
            await asyncio.sleep(60)

        async def life_of_server() -> None:
            async with serve(life.base, options=life.options(mode), log_path=life.log, program=FAKE) as server:
                await hold(server)

        task = asyncio.create_task(life_of_server())
        await asyncio.to_thread(life.pids)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert not any(map(alive, life.pids()))


HARNESS = """
import asyncio, sys
from pathlib import Path
from harness.serving.vllm import ServeOptions, serve
async def main():
    env = {"FAKE_MODE": sys.argv[3], "FAKE_DIR": sys.argv[2]}
    options = ServeOptions(device="cpu", env=env)
    async with serve(sys.argv[1], options=options, log_path=Path(sys.argv[2]) / "log", program=sys.argv[4:]) as server:
        print(server.pid, flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""


def harness_process(life: Life, mode: str = "ok") -> subprocess.Popen[str]:
    """A harness that answers to SIGINT as at a terminal: tests started in the background would hand down "ignore"."""
    root = str(Path(__file__).parent.parent.parent)
    command = [sys.executable, "-c", HARNESS, life.base, str(life.folder), mode, *FAKE]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": root},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.mark.parametrize("mode", ["ok", "hang"])
def test_kill_9_of_the_harness_leaves_no_process(life: Life, mode: str) -> None:
    with harness_process(life, mode) as harness:
        pids = life.pids()
        if mode == "ok":
            pids.append(int(harness.stdout.readline()))  # type: ignore[union-attr]
        assert all(map(alive, pids))
        harness.kill()
        assert gone(pids)


def test_ctrl_c_ends_harness_and_server(life: Life) -> None:
    with harness_process(life) as harness:
        pids = [*life.pids(), int(harness.stdout.readline())]  # type: ignore[union-attr]
        harness.send_signal(signal.SIGINT)
        assert gone([*pids, harness.pid])


def test_kill_9_of_the_watchdog_ends_the_server(life: Life) -> None:
    with harness_process(life) as harness:
        watchdog = int(harness.stdout.readline())  # type: ignore[union-attr]
        server = life.pids()[0]
        os.kill(watchdog, signal.SIGKILL)
        assert gone([server])
        harness.kill()
    for pid in life.pids()[1:]:  # the stand-in's children are nobody's now; vLLM's watch their parent
        os.kill(pid, signal.SIGKILL)


def test_a_server_that_ignores_signals_is_killed(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.serving.vllm.GRACE_S", 0.3)
    life.run(nothing, "deaf")
    assert not any(map(alive, life.pids()))


def test_a_start_that_fails_says_why(life: Life) -> None:
    with pytest.raises(ServeError, match=r"vllm.log: vLLM did not start \(exit code 1\): ValueError: bad luck") as caught:
        life.run(nothing, "crash", log="Traceback (most recent call last):\nValueError: bad luck")
    assert caught.value.exit_code == 4


def test_a_command_that_is_not_there(life: Life) -> None:
    async def main() -> None:
        async with serve(life.base, options=life.options("ok"), log_path=life.log, program=["/no/such/python"]):
            pass

    with pytest.raises(ServeError, match=r"exit code 127.*No such file"):
        asyncio.run(main())


def test_without_vllm_it_says_what_to_install(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with serve(life.base, options=life.options("ok"), log_path=life.log):
            pass

    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ServeError, match=r"vLLM is not installed.*seesaw-harness\[serve\].*serve-cpu"):
        asyncio.run(main())
    assert not life.log.exists()


def test_a_start_that_takes_too_long_is_ended(life: Life) -> None:
    with pytest.raises(ServeError, match=r"not ready after 1 s \(it was loading the weights\).*startup_timeout"):
        life.run(nothing, "hang", timeout=0.9)
    assert not any(map(alive, life.pids()))


def test_a_port_taken_in_between_is_tried_again(life: Life) -> None:
    async def use(server: Server) -> str:
        return server.url

    url = life.run(use, "taken-once")
    assert (life.folder / "taken").read_text() not in url
    (life.folder / "taken").unlink()
    with pytest.raises(ServeError, match=r"the port is taken.*leave serve.port out"):
        life.run(use, "taken-once", port=free_port())


def test_a_server_that_dies_mid_run_is_noticed(life: Life) -> None:
    async def use(server: Server) -> None:
        with pytest.raises(OSError):  # noqa: PT011
            urllib.request.urlopen(server.url.removesuffix("/v1") + "/die", timeout=2)
        with pytest.raises(ServeError, match=r"does not answer|died"):
            await server.metrics()
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            server.check()
            await asyncio.sleep(0.02)

    with pytest.raises(ServeError, match=r"died \(exit code 7\): RuntimeError: the engine fell over"):
        life.run(use)
    assert not any(map(alive, life.pids()))


def test_adapters_are_loaded_while_it_runs(life: Life) -> None:
    fits = write_adapter(life.folder / "fits", layers=1, hidden=8, intermediate=16)
    wrong = write_adapter(life.folder / "wrong", layers=1, hidden=32, intermediate=16)

    async def use(server: Server) -> None:
        await server.load_adapter("new", fits, Path(life.base))
        assert server.names == ["base", "new"]
        with pytest.raises(UsageError, match="does not fit"):
            await server.load_adapter("wrong", wrong, Path(life.base))
        with pytest.raises(ServeError, match=r"answered 400: .*no room"):
            await server.load_adapter("refused", fits)

    life.run(use, spare_adapters=2, max_rank=20)
    argv = life.seen()["argv"]
    assert argv[argv.index("--max-lora-rank") + 1] == "32"


def test_a_wrong_adapter_is_refused_before_anything_starts(life: Life) -> None:
    wrong = write_adapter(life.folder / "wrong", layers=1, hidden=32, intermediate=16)
    with pytest.raises(UsageError, match="does not fit"):
        life.run(nothing, adapters={"wrong": wrong})
    assert not life.log.exists()


def test_the_environment_keeps_secrets_and_telemetry_away(tmp_path: Path) -> None:
    outer = {
        "PATH": "/bin",
        "OPENAI_API_KEY": "x",
        "HF_TOKEN": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "VLLM_API_KEY": "x",
        "LANG": "C",
    }
    local = environment(outer, str(tmp_path), ServeOptions(device="cpu", env={"MINE": "1"}))
    assert {"PATH", "LANG", "MINE"} <= set(local)
    assert not {"OPENAI_API_KEY", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "VLLM_API_KEY"} & set(local)
    assert (local["HF_HUB_OFFLINE"], local["VLLM_NO_USAGE_STATS"], local["DO_NOT_TRACK"]) == ("1", "1", "1")
    assert local["VLLM_CPU_KVCACHE_SPACE"] == "1"
    hub = environment({**outer, "VLLM_CPU_KVCACHE_SPACE": "9"}, "owner/name", ServeOptions(device="cpu"))
    assert ("HF_HUB_OFFLINE" in hub, hub["HF_TOKEN"], hub["VLLM_CPU_KVCACHE_SPACE"]) == (False, "x", "9")
    assert "OPENAI_API_KEY" not in hub
    for outside, level in (("ERROR", "INFO"), ("DEBUG", "DEBUG")):  # trl, imported in this process, sets ERROR
        assert environment({"VLLM_LOGGING_LEVEL": outside}, str(tmp_path), ServeOptions())["VLLM_LOGGING_LEVEL"] == level
    own = environment({}, str(tmp_path), ServeOptions(env={"VLLM_LOGGING_LEVEL": "WARNING"}))
    assert own["VLLM_LOGGING_LEVEL"] == "WARNING"


def test_arguments_follow_the_options(tmp_path: Path) -> None:
    plain = arguments("b", {}, ["one", "two"], 0, 1, ServeOptions(device="cuda"))
    assert plain[plain.index("--served-model-name") + 1 :][:2] == ["one", "two"]
    assert not {"--enable-lora", "--enforce-eager", "--max-model-len", "--dtype"} & set(plain)
    assert "safetensors" in plain
    full = arguments(
        "b", {"a": tmp_path}, ["one"], 17, 1, ServeOptions(device="cpu", max_model_len=7, dtype="float32", args=("--seed", "3"))
    )
    assert full[-2:] == ["--seed", "3"]
    for flag, value in {"--max-model-len": "7", "--dtype": "float32", "--max-lora-rank": "32"}.items():
        assert full[full.index(flag) + 1] == value
    ten = {f"a{i}": tmp_path for i in range(10)}
    for device, adapters, active, known in (("cuda", 1, 1, 1), ("cuda", 10, 8, 10), ("cpu", 1, 2, 2), ("cpu", 10, 11, 11)):
        given = dict(list(ten.items())[:adapters])
        found = arguments("b", given, ["one"], 16, 1, ServeOptions(device=device))
        assert found[found.index("--max-loras") + 1] == str(active), "on the CPU one slot stays empty, for the base"
        assert found[found.index("--max-cpu-loras") + 1] == str(known)
    assert [allowed_rank(rank) for rank in (1, 2, 8, 9, 512)] == [1, 8, 8, 16, 512]
    with pytest.raises(UsageError, match="rank 513"):
        allowed_rank(513)


def test_a_fleet_is_one_server_for_each_base_and_the_endpoints(life: Life) -> None:
    other = str(write_fake_base(life.folder / "other base"))
    tuned = str(write_adapter(life.folder / "sft", layers=1, hidden=8, intermediate=16))
    base = Candidate("one", "one", "1", base=life.base)
    candidates = [
        base,
        replace(base, name="two", model="two", adapter=tuned),
        replace(base, name="three", model="three", base=other, adapter=tuned),
    ]
    candidates.append(Candidate("four", "m", "4", kind="endpoint", base_url="http://h/v1"))

    async def main() -> list[int]:
        async with serve_candidates(candidates, options=life.options("ok"), log_dir=life.folder / "logs", program=FAKE) as fleet:
            fleet.check()
            assert fleet.urls["one"] == fleet.urls["two"] != fleet.urls["three"]
            assert fleet.urls["four"] == "http://h/v1"
            assert fleet.servers["one"].names == ["one", "two"]
            assert fleet.servers["three"].names == ["base", "three"]
            return [server.pid for server in set(fleet.servers.values())]

    pids = asyncio.run(main())
    assert len(pids) == 2
    assert gone(pids)
    assert len(list((life.folder / "logs").glob("vllm-*.log"))) == 2
