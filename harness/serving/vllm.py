"""vLLM's life as a process: start, health, LoRA loading, figures, end. vLLM is never imported: a command, then an HTTP server.

One server serves one base under any number of names and each adapter as a LoRA module. It listens on loopback, writes to a log
file and lives under a watchdog (watchdog.py), which ends it with all its children when we do.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import aiohttp

from harness.errors import ServeError, UsageError
from harness.serving.adapters import check_adapter
from harness.serving.log import Cause, cause_of, stage_of
from harness.serving.memory import held_gb
from harness.serving.metrics import ServerMetrics, parse

VLLM = (sys.executable, "-m", "vllm.entrypoints.openai.api_server")
LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # what vLLM allows for --max-lora-rank
HUB_RANK = 64  # for adapters whose rank is not known
START_TRIES = 3  # ports
LOG_TAIL = 400_000  # bytes of log that are searched for a cause
GRACE_S = 10.0  # from SIGINT to SIGKILL
POLL_S = 0.25
_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|COOKIE|WEBHOOK", re.IGNORECASE)

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """How vLLM is started. args and env go to it as they are and win over ours.

    spare_adapters: room for adapters loaded later (load_adapter), of rank max_rank at most. kv_cache_gib: CPU build only.
    """

    max_model_len: int | None = None
    dtype: str | None = None
    device: str | None = None  # cpu | cuda | None: what the installed build is for
    port: int | None = None
    startup_timeout_s: float = 900.0
    spare_adapters: int = 0
    max_rank: int = 16
    kv_cache_gib: int = 1
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)


class Server:
    """A server that runs. url ends in /v1; names are what requests may call ``model``."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, names: Sequence[str], log_path: Path) -> None:
        self._process, self._root, self.log_path = process, f"http://127.0.0.1:{port}", log_path
        self.url, self.names = f"{self._root}/v1", list(names)
        self.started_s = 0.0  # seconds from start to ready
        self.on_cpu = True  # whose memory it holds

    @property
    def pid(self) -> int:
        """Process id of the watchdog; the server is its child."""
        return self._process.pid

    def check(self) -> None:
        """Raises ServeError with the log's cause when the server has died."""
        code = self._process.poll()
        if code is not None:
            raise _ended(code, self.log_path, "the model server died")

    async def metrics(self) -> ServerMetrics:
        """Figures since the start. Raises ServeError when the server does not give them."""
        page = await self._call("GET", "/metrics")
        held = await asyncio.to_thread(held_gb, self.pid, cpu=self.on_cpu)
        try:
            return replace(parse(page), memory_gb=held)
        except ValueError as error:
            raise ServeError("the server's figures cannot be read", where=f"{self._root}/metrics") from error

    async def load_adapter(self, name: str, path: Path, base: Path | None = None) -> None:
        """Makes another LoRA adapter askable as ``name``. Raises UsageError if it does not fit, ServeError if vLLM refuses it."""
        check_adapter(path, base)
        await self._call("POST", "/v1/load_lora_adapter", {"lora_name": name, "lora_path": str(path.resolve())})
        self.names.append(name)

    async def _call(self, method: str, path: str, body: object = None) -> str:
        self.check()
        try:
            async with _session(60) as session, session.request(method, self._root + path, json=body) as answer:
                text = await answer.text()
                if answer.status >= 400:
                    raise ServeError(f"vLLM answered {answer.status}: {' '.join(text.split())[:300]}", where=self._root + path)
                return text
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self.check()
            raise ServeError(f"vLLM does not answer: {error or type(error).__name__}", where=self._root + path) from error

    async def ready(self, seconds: float, say: Say) -> None:
        """Waits until the server answers and serves what it should. Raises ServeError with the log's cause."""
        began, said = time.monotonic(), ""
        async with _session(2) as session:
            while not await _healthy(session, self._root):
                code = self._process.poll()
                if code is not None:
                    raise _ended(code, self.log_path, "vLLM did not start")
                if time.monotonic() - began > seconds:
                    stage = stage_of(read_tail(self.log_path)) or "starting"
                    raise ServeError(
                        f"vLLM was not ready after {seconds:.0f} s (it was {stage})",
                        where=str(self.log_path),
                        todo="look into the log, or set serve.startup_timeout higher",
                    )
                stage = stage_of(read_tail(self.log_path))
                if stage != said:
                    say(f"waiting for vLLM: {stage} ({time.monotonic() - began:.0f} s)")
                    said = stage
                await asyncio.sleep(POLL_S)
        try:
            served = {str(model["id"]) for model in json.loads(await self._call("GET", "/v1/models"))["data"]}
        except (ValueError, LookupError, TypeError, RecursionError):
            served = set()
        if not set(self.names) <= served:
            raise ServeError(
                f"another server answers there: it serves {', '.join(sorted(served)) or 'no models'}", where=self.url
            )
        self.started_s = time.monotonic() - began

    async def stop(self) -> None:
        """Ends the server and everything it started; returns when all of it is gone."""
        with contextlib.suppress(OSError):
            self._process.stdin.close()  # type: ignore[union-attr]  # started with a pipe; the watchdog sees it close
        deadline = time.monotonic() + GRACE_S + 10
        while self._process.poll() is None and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        if self._process.poll() is None:  # a watchdog that hangs: never seen, but nothing may be left behind
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()


@asynccontextmanager
async def serve(
    base: str,
    adapters: Mapping[str, Path] | None = None,
    *,
    names: Sequence[str] = ("base",),
    options: ServeOptions = ServeOptions(),
    log_path: Path,
    say: Say = lambda line: None,
    program: Sequence[str] = VLLM,
) -> AsyncIterator[Server]:
    """A server of ``base`` (directory or hub id) under ``names``, and of each adapter under its name, while the block runs.

    say gets a line whenever the start has come further. Raises UsageError for an adapter that does not fit, ServeError with the
    log's cause when the server does not start. However the block is left, the server and its children are gone.
    """
    adapters = dict(adapters or {})
    facts = [check_adapter(path, Path(base) if Path(base).is_dir() else None) for path in adapters.values()]
    ranks = [fact.rank for fact in facts] + ([options.max_rank] if options.spare_adapters else [])
    if program is VLLM and importlib.util.find_spec("vllm") is None:
        raise _failed(cause_of("No module named 'vllm'"), "vLLM did not start", log_path)
    server: Server | None = None
    try:
        for attempt in range(1, START_TRIES + 1):
            port = options.port or free_port()
            command = [*program, *arguments(base, adapters, names, max(ranks, default=0), port, options)]
            server = _launch(command, environment(os.environ, base, options), log_path, port, [*names, *adapters])
            server.on_cpu = is_cpu(options)
            try:
                await server.ready(options.startup_timeout_s, say)
                break
            except _PortTaken:
                if options.port or attempt == START_TRIES:
                    raise
        assert server is not None
        say(f"vLLM is ready after {server.started_s:.0f} s: {', '.join(server.names)}")
        yield server
    finally:
        if server is not None:
            await asyncio.shield(server.stop())


def arguments(
    base: str, adapters: Mapping[str, Path], names: Sequence[str], max_rank: int, port: int, options: ServeOptions
) -> list[str]:
    """vLLM's command line. Only safetensors are ever loaded."""
    found = ["--model", base, "--host", "127.0.0.1", "--port", str(port), "--served-model-name", *names]
    found += ["--load-format", "safetensors", "--disable-uvicorn-access-log"]
    if options.max_model_len is not None:
        found += ["--max-model-len", str(options.max_model_len)]
    if options.dtype is not None:
        found += ["--dtype", options.dtype]
    if max_rank:
        slots = len(adapters) + options.spare_adapters
        active = min(slots, 8)
        if is_cpu(options):
            # vLLM's CPU kernels take the last slot's weights for tokens without an adapter (an index of -1). So there is one slot
            # more than adapters: it stays empty, and the base answers as itself whatever is asked beside it or was before.
            slots = active = slots + 1
        found += ["--enable-lora", "--max-lora-rank", str(allowed_rank(max_rank)), "--max-loras", str(active)]
        found += ["--max-cpu-loras", str(slots)]
    if adapters:
        modules = ({"name": name, "path": str(path.resolve())} for name, path in adapters.items())
        found += ["--lora-modules", *map(json.dumps, modules)]
    if is_cpu(options):
        found += ["--enforce-eager"]  # compiling costs more of a short run than it saves
    return [*found, *options.args]


def environment(outer: Mapping[str, str], base: str, options: ServeOptions) -> dict[str, str]:
    """The server's environment: ours without keys, tokens and passwords, and with vLLM's telemetry off.

    A hub token passes where the base comes from the hub. PYTHONSAFEPATH: a folder named like a package, in the directory where
    the user happens to be, must not become that package.
    """
    local = Path(base).is_dir()
    hub = () if local else ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH")
    kept = {name: value for name, value in outer.items() if name in hub or not _SECRET.search(name)}
    kept |= {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1"}
    kept |= {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    kept["VLLM_ENGINE_READY_TIMEOUT_S"] = str(max(1, round(options.startup_timeout_s)))
    if kept.get("VLLM_LOGGING_LEVEL") != "DEBUG":
        kept["VLLM_LOGGING_LEVEL"] = "INFO"  # the log tells how far a start is and why it failed; importing trl sets it to ERROR
    if local:
        kept |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    if is_cpu(options):
        kept.setdefault("VLLM_CPU_KVCACHE_SPACE", str(options.kv_cache_gib))
    return kept | dict(options.env)


def is_cpu(options: ServeOptions) -> bool:
    """Whether vLLM will run on the CPU: as the options say, or as the installed build is made."""
    if options.device is not None:
        return options.device == "cpu"
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return bool(importlib.metadata.version("vllm-cpu"))
    return False


def allowed_rank(rank: int) -> int:
    """The least --max-lora-rank that vLLM allows for adapters of ``rank``."""
    for allowed in LORA_RANKS:
        if rank <= allowed:
            return allowed
    raise UsageError(f"an adapter has rank {rank}, vLLM serves {LORA_RANKS[-1]} at most", todo="merge it into its base")


def free_port() -> int:
    """A port free at this moment; another process may still be faster."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def read_tail(path: Path) -> str:
    """The end of a log; "" where there is none."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - LOG_TAIL))
        return file.read().decode("utf-8", "replace")
    return ""


class _PortTaken(ServeError):
    """The start failed because another process took the port in between."""


def _launch(command: Sequence[str], env: Mapping[str, str], log_path: Path, port: int, names: Sequence[str]) -> Server:
    """Starts the watchdog, which starts the server. It is in a session of its own: a Ctrl-C at the terminal reaches only us."""
    log_path.parent.mkdir(parents=True, exist_ok=True)
    watchdog = [sys.executable, "-I", str(Path(__file__).with_name("watchdog.py")), str(os.getpid()), str(GRACE_S)]
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [*watchdog, *command], stdin=subprocess.PIPE, stdout=log, stderr=log, env=dict(env), start_new_session=True
        )
    return Server(process, port, names, log_path)


async def _healthy(session: aiohttp.ClientSession, root: str) -> bool:
    with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
        async with session.get(root + "/health") as answer:
            return answer.status == 200
    return False


def _session(seconds: float) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=seconds), trust_env=False)


def _ended(code: int, log_path: Path, what: str) -> ServeError:
    return _failed(cause_of(read_tail(log_path), code), f"{what} (exit code {code})", log_path)


def _failed(cause: Cause, what: str, log_path: Path) -> ServeError:
    kind = _PortTaken if cause.code == "port" else ServeError
    return kind(f"{what}: {cause.what}", where=str(log_path), todo=cause.todo)
