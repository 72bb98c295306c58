"""Who may talk to the review: a browser on this machine that was opened with the token, and no page of another site.

The server listens on a loopback address, which keeps other machines out but no web page that this machine's browser shows. Such
a page can send requests here (CSRF), and with a name of its own that it lets point to 127.0.0.1 it can even read the answers (DNS
rebinding). So every request must

- name this server in its Host header: an address of the loopback interface with our port,
- if it says where it comes from (Origin), come from here, and say so when it changes anything,
- bring the cookie that the address with the token was answered with; the cookie is HttpOnly and SameSite=Strict,
- be small.

Answers carry a policy that lets the browser run our own script and style and nothing else, connect nowhere, be framed nowhere.
"""

from __future__ import annotations

import hmac
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 256 * 1024  # of a request's body
MOST_URL = 4_096

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src data:; connect-src 'none'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with no-referrer browsers send our own forms with the Origin null
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
ENTER = """<!doctype html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="0;url=/">
<title>harness review</title></head><body><p><a href="/">Go on to the review</a></p></body></html>"""


class Guard:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, *, port: int, token: str) -> None:
        self._app, self._token = app, token
        self._cookie = f"harness_review_{port}"  # cookies know no ports: two reviews at once must not take each other's
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        answer = self._refusal(scope) or self._entrance(scope)
        if answer is None and not self._known(scope):
            answer = PlainTextResponse("Open the address that `harness review` printed: it lets you in.", 403)
        sender = _with_headers(send)
        if answer is not None:
            await answer(scope, receive, sender)
            return
        await self._app(scope, _limited(receive), sender)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            return PlainTextResponse("This is not the address of this server.", 421)
        if len(origins) > 1 or (origins and origins[0].lower() != f"http://{hosts[0].lower()}"):
            return PlainTextResponse("Requests from other sites are refused.", 403)
        if scope["method"] not in ("GET", "HEAD") and not origins:
            return PlainTextResponse("A request that changes something must say where it comes from.", 403)
        if len(scope.get("raw_path", b"")) + len(scope.get("query_string", b"")) > MOST_URL:
            return PlainTextResponse("The address is too long.", 414)
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length[:12]) > MOST_BYTES:
            return PlainTextResponse("The request is too large.", 413)
        return None

    def _entrance(self, scope: Scope) -> Response | None:
        """The address with the token: a cookie, and on without the token.

        A page and not a redirect: a browser that followed a link of another site sends no strict cookie along a redirect.
        """
        if scope["path"] != "/" or not scope["query_string"]:
            return None
        given = parse_qs(scope["query_string"].decode("ascii", "replace")).get("token", [""])[0]
        if not given:
            return None
        if not _equal(given, self._token):
            return PlainTextResponse("This token is of another review. Open the address that `harness review` printed.", 403)
        answer = Response(ENTER, media_type="text/html")
        answer.set_cookie(self._cookie, self._token, httponly=True, samesite="strict", path="/")
        return answer

    def _known(self, scope: Scope) -> bool:
        found = [cookie_parser(value).get(self._cookie, "") for value in Headers(scope=scope).getlist("cookie")]
        return any(_equal(value, self._token) for value in found)


def _equal(a: str, b: str) -> bool:
    return hmac.compare_digest(a.encode("utf-8", "replace"), b.encode())


def _with_headers(send: Send) -> Send:
    async def sender(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
        await send(message)

    return sender


def _limited(receive: Receive) -> Receive:
    """Counts the body: a request without a length must not fill the memory either."""
    seen = 0

    async def receiver() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > MOST_BYTES:
            raise HTTPException(413, "The request is too large.")
        return message

    return receiver
