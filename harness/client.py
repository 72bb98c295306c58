"""Asks an OpenAI-compatible server: bounded concurrency, retries with backoff, time limits; failures come back as data.

The ``openai`` client does HTTP, authentication and errors, on its aiohttp transport (httpx's connection pool costs five times the
CPU at 256 requests at once). We call it below its typed models: building those costs more than the request. Its own retries are
off, because ours count attempts, honour the time limit over all of them and are seeded.
"""

from __future__ import annotations

import asyncio
import email.utils
import json
import random
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp
import httpx2
import openai

from harness.errors import ServeError
from harness.model import Request, Response
from harness.replies import BadReply, Reply, StreamError, StreamReader, clean, error_text, read_classes, read_reply
from harness.thinking import DEFAULT_TAGS

RETRIED_STATUS = frozenset({408, 409, 429})  # and every 5xx
BACKOFF_FIRST_S, BACKOFF_CAP_S, RETRY_AFTER_CAP_S = 0.5, 30.0, 60.0
MESSAGE_CAP = 500  # characters of an error message that are kept
STREAM_SHARE = 16  # "sampled" streams one request in so many, to measure the time to first token
KEEPALIVE_S = 4.0  # under uvicorn's 5 s: a connection the server is about to close is not used again
_ADVICE = {
    401: "set the candidate's api_key",
    403: "check the candidate's api_key and what it may use",
    404: "check the model's name and that the address ends as the server wants it (mostly /v1)",
}


@dataclass(frozen=True, slots=True)
class _Failure:
    """One attempt that failed. retry_after_s: what the server asked for, if it did."""

    code: str
    message: str
    retried: bool
    retry_after_s: float | None = None


class OpenAIClient:
    """A model.Client for one server. Use as ``async with``; any number of ``ask`` may run at once.

    concurrency: requests in flight at most. timeout_s: limit of one attempt; total_timeout_s: limit over all attempts and the
    waits between them (default three times timeout_s). retries: attempts after the first. stream: "sampled" streams a
    deterministic sixteenth of the requests so that the time to first token is measured without paying for it everywhere.
    thinking: the tags that wrap thinking, None to leave texts alone. secrets: values (beside api_key) that never appear in an
    error message. sleep: how to wait between attempts (tests hand in their own).
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        concurrency: int = 64,
        timeout_s: float = 120.0,
        total_timeout_s: float | None = None,
        retries: int = 5,
        stream: str = "sampled",
        thinking: tuple[str, str] | None = DEFAULT_TAGS,
        secrets: Iterable[str] = (),
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        if stream not in ("sampled", "always", "never"):
            raise ValueError(f"stream is {stream!r}, not sampled, always or never")
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ServeError(f"{base_url!r} is not an http(s) address", todo="write it like http://127.0.0.1:8000/v1")
        if "@" in parts.netloc:
            raise ServeError("the address carries a user name or password", where=parts.hostname, todo="use api_key instead")
        self.base_url = self._where = base_url
        self._local = parts.hostname in ("127.0.0.1", "::1", "localhost")
        self._api_key, self._concurrency, self._retries = api_key, concurrency, retries
        self._timeout_s = timeout_s
        self._total_s = total_timeout_s if total_timeout_s is not None else 3 * timeout_s
        self._stream, self._thinking, self._sleep = stream, thinking, sleep
        hidden = sorted({s for s in (*secrets, api_key or "") if len(s) >= 4}, key=len, reverse=True)
        self._hidden = re.compile("|".join([*map(re.escape, hidden), r"\bsk-[\w-]{8,}", r"(?<=Bearer )[^\s'\"]+"]))
        self._slots = asyncio.Semaphore(concurrency)
        self._openai: openai.AsyncOpenAI | None = None

    async def __aenter__(self) -> Self:
        limits = httpx2.Limits(max_connections=self._concurrency + 4, keepalive_expiry=KEEPALIVE_S)
        # Time limits are ours (asyncio.timeout around an attempt); a proxy from the environment never sits before loopback.
        http = openai.DefaultAioHttpClient(timeout=httpx2.Timeout(None), limits=limits, trust_env=not self._local)
        # Always a key: None would send the environment's OPENAI_API_KEY to whatever server this is.
        self._openai = openai.AsyncOpenAI(
            base_url=self.base_url, api_key=self._api_key or "none", http_client=http, max_retries=0, timeout=None
        )
        self._openai.organization = self._openai.project = None
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._openai is not None:
            await self._openai.close()
            self._openai = None

    async def ask(self, request: Request) -> Response:
        """The answer, or the failure as a Response with ``error``. Never raises but for cancellation.

        Error codes: timeout, connection, incomplete (a stream that broke off), bad-response, http-STATUS, client (a bug).
        """
        if self._openai is None:
            raise RuntimeError("OpenAIClient is used outside of its `async with`")
        async with self._slots:
            return await self._ask(request, request.key)

    async def list_models(self) -> tuple[str, ...]:
        """Names the server serves. Raises ServeError when it cannot be reached or does not answer as it should."""
        assert self._openai is not None
        try:
            async with asyncio.timeout(min(self._timeout_s, 30.0)):
                answer = await self._openai.get("/models", cast_to=httpx2.Response)
                return tuple(str(model["id"]) for model in json.loads(answer.content)["data"])
        except (ValueError, LookupError, TypeError, RecursionError):
            raise ServeError(
                "the server's list of models cannot be read", where=self._where, todo="check that the address ends in /v1"
            ) from None
        except Exception as error:
            failure = self._failure(error)
            todo = "" if failure.code.startswith("http-4") else "start the server or mend the address"
            raise ServeError(failure.message, where=self._where, todo=todo) from None

    async def require_model(self, name: str) -> None:
        """Raises ServeError unless the server is there and serves ``name``; says what it serves instead."""
        served = await self.list_models()
        if name not in served:
            shown = ", ".join(served[:20]) or "none"
            raise ServeError(f"the server has no model {name!r}", where=self._where, todo=f"it serves: {shown}")

    async def _ask(self, request: Request, key: str) -> Response:
        started_at, began = time.time(), time.monotonic()
        rng: random.Random | None = None
        chat = request.route == "chat"
        streamed = chat and (self._stream == "always" or (self._stream == "sampled" and int(key[:8], 16) % STREAM_SHARE == 0))
        body = _body(request, streamed) if chat else _classify_body(request)
        send = self._send if chat else self._classify
        attempts = 0
        while True:
            attempts += 1
            sent = time.monotonic()
            limit = min(self._timeout_s, began + self._total_s - sent)
            try:
                async with asyncio.timeout(limit):
                    reply, ttft = await (self._send_streamed(body, sent) if streamed else send(body))
                return _response(key, reply, ttft, time.monotonic() - sent, attempts, started_at)
            except Exception as error:
                failure = self._failure(error, limit)
            rng = rng or random.Random(key)  # noqa: S311  (jitter, the same on every host)
            wait = backoff(attempts, rng, failure.retry_after_s)
            now = time.monotonic()
            if not failure.retried or attempts > self._retries or now + wait - began >= self._total_s:
                failed = Response(key, total_s=now - sent, attempts=attempts, started_at=started_at)
                return replace(failed, error=failure.code, error_message=failure.message)
            await self._sleep(wait)

    async def _send(self, body: bytes) -> tuple[Reply, None]:
        assert self._openai is not None
        answer = await self._openai.post("/chat/completions", cast_to=httpx2.Response, content=body)
        return read_reply(answer.content, self._thinking), None

    async def _classify(self, body: bytes) -> tuple[Reply, None]:
        """vLLM serves /classify beside /v1, not under it."""
        assert self._openai is not None
        address = f"{self.base_url.rstrip('/').removesuffix('/v1')}/classify"
        answer = await self._openai.post(address, cast_to=httpx2.Response, content=body)
        return read_classes(answer.content), None

    async def _send_streamed(self, body: bytes, sent: float) -> tuple[Reply, float | None]:
        assert self._openai is not None
        answer = await self._openai.post("/chat/completions", cast_to=httpx2.Response, content=body, stream=True)
        try:
            if "json" in answer.headers.get("content-type", ""):  # a server that cannot stream
                return read_reply(await answer.aread(), self._thinking), None
            reader, ttft = StreamReader(), None
            async for chunk in answer.aiter_bytes():
                reader.feed(chunk)
                if ttft is None and reader.begun:
                    ttft = time.monotonic() - sent
            return reader.reply(self._thinking), ttft
        finally:
            await answer.aclose()

    def _failure(self, error: Exception, limit_s: float | None = None) -> _Failure:
        """What a failed attempt means. Only what may go away by itself is retried."""
        match error:
            case BadReply():
                found = _Failure("bad-response", str(error), retried=False)
            case StreamError():
                status = error.status
                if status is not None and 400 <= status < 500 and status not in RETRIED_STATUS:
                    found = _Failure(f"http-{status}", str(error), retried=False)
                else:
                    found = _Failure("incomplete", f"the stream broke off: {error}", retried=True)
            case openai.APIStatusError():
                found = _status_failure(error)
            case _ if _is_timeout(error):
                after = f" within {limit_s:.3g} s" if limit_s is not None else ""
                found = _Failure("timeout", f"no answer{after}", retried=True)
            case openai.APIConnectionError() | aiohttp.ClientError() | httpx2.TransportError() | OSError():
                found = _Failure("connection", f"the connection failed: {_root(error)}", retried=True)
            case _:
                found = _Failure("client", f"{type(error).__name__}: {error}", retried=False)
        message = self._hidden.sub("***", clean(found.message))[:MESSAGE_CAP]
        return _Failure(found.code, message, found.retried, found.retry_after_s)


def backoff(attempt: int, rng: random.Random, retry_after_s: float | None = None) -> float:
    """Seconds to wait after the ``attempt``-th attempt (from 1): full jitter over an exponential step.

    Source: Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog 2015. A server's Retry-After is a floor, capped at
    RETRY_AFTER_CAP_S; the jitter of a first step comes on top so that those turned away together do not come back together.
    """
    if retry_after_s is not None:
        return min(retry_after_s, RETRY_AFTER_CAP_S) + rng.uniform(0, BACKOFF_FIRST_S)
    return rng.uniform(0, min(BACKOFF_CAP_S, BACKOFF_FIRST_S * 2 ** min(attempt - 1, 30)))


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to wait as the headers ask: retry-after-ms, or Retry-After in seconds or as HTTP date. now: the epoch's seconds."""
    for name, scale in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            seconds = float(value) * scale
        except ValueError:
            try:
                seconds = email.utils.parsedate_to_datetime(value).timestamp() - now
            except (ValueError, TypeError, OverflowError):
                continue
        if seconds == seconds:  # not NaN
            return max(0.0, seconds)
    return None


def _body(request: Request, streamed: bool) -> bytes:
    """The request's JSON. ``extra`` may add fields, replace sampling fields and drop one by null, but not touch the question."""
    sampling = request.sampling
    body: dict[str, Any] = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
        "seed": sampling.seed + request.sample,
    }
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    body.update(sampling.extra)
    body["n"] = body["stream"] = body["stream_options"] = None
    if streamed:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    body |= {"model": request.candidate.model, "messages": [message.as_dict() for message in request.messages]}
    text = json.dumps({name: value for name, value in body.items() if value is not None}, ensure_ascii=False)
    return clean(text).encode()


def _classify_body(request: Request) -> bytes:
    """A conversation for vLLM's /classify; ``extra`` says the rest (use_activation). Sampling has no meaning there."""
    body = {**request.sampling.extra, "model": request.candidate.model, "messages": [m.as_dict() for m in request.messages]}
    return clean(json.dumps(body, ensure_ascii=False)).encode()


def _response(key: str, reply: Reply, ttft: float | None, total: float, attempts: int, started_at: float) -> Response:
    return Response(
        key=key,
        text=reply.text,
        thinking=reply.thinking,
        finish_reason=reply.finish_reason,
        prompt_tokens=reply.prompt_tokens,
        completion_tokens=reply.completion_tokens,
        ttft_s=ttft,
        total_s=total,
        attempts=attempts,
        started_at=started_at,
        tail=reply.tail,
    )


def _status_failure(error: openai.APIStatusError) -> _Failure:
    status, response = error.status_code, error.response
    try:
        said = error_text(response.content)
    except httpx2.StreamError:  # the body was never read
        said = error.message
    advice = f" ({_ADVICE[status]})" if status in _ADVICE else ""
    retried = status in RETRIED_STATUS or status >= 500
    return _Failure(f"http-{status}", f"{said}{advice}", retried, retry_after(response.headers, time.time()))


def _chain(error: BaseException) -> list[BaseException]:
    """The error and what it came from, outermost first."""
    found: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in found:
        found.append(current)
        current = current.__cause__ or current.__context__
    return found


def _is_timeout(error: BaseException) -> bool:
    """The transport calls a dropped connection a ConnectTimeout, so only a real time-out at the root of it counts."""
    return any(isinstance(cause, TimeoutError) for cause in _chain(error))


def _root(error: BaseException) -> str:
    causes = [cause for cause in _chain(error) if isinstance(cause, aiohttp.ClientError | OSError)]
    cause = causes[0] if causes else error
    return str(cause) or type(cause).__name__
