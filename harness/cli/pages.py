"""Pages that a command serves on this machine to people who review: the socket, the address, the server, who labels."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Callable
from typing import Any

import click

from harness.errors import UsageError

_LONGEST = 60  # characters of a rater's name


def user() -> str:
    """Who is logged in here."""
    import getpass

    try:
        return getpass.getuser()[:_LONGEST] or "reviewer"
    except (OSError, KeyError):  # no name for this user id, as in some containers
        return "reviewer"


def name_of(rater: str) -> str:
    """The rater's name on one line; UsageError for what is none."""
    name = " ".join(rater.split())
    if len(name) not in range(1, _LONGEST + 1):
        raise UsageError(f"a rater's name has 1 to {_LONGEST} characters", where="--rater")
    return name


def not_installed(error: ImportError) -> UsageError:
    what = f"the review needs {error.name or 'packages'} that are not installed"
    return UsageError(what, todo="pip install 'seesaw-harness[review]'")


def listen(host: str, port: int) -> socket.socket:
    """A listening socket, so that the address answers as soon as it is printed. UsageError for a port that is taken."""
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen()
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            todo = "End what listens there, or leave --port out: a free one is found"
            raise UsageError(f"port {port} is taken", where=f"{host}:{port}", todo=todo) from None
        what = f"cannot listen: {error.strerror or error}"
        raise UsageError(what, where=f"{host}:{port}", todo="Give another --port or --host") from None
    return listening


def address(host: str, port: int, token: str) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/?token={token}"


def tell(where: str) -> None:
    click.echo("open this address in a browser on this machine; it lets in, so keep it private:")
    click.echo(f"  {where}")
    click.echo("stop with Ctrl-C; every label is stored at once")


def serve(application: Callable[..., Any], listening: socket.socket) -> None:
    """Serve an ASGI application until Ctrl-C. Requests are not logged."""
    try:
        import uvicorn
    except ImportError as error:
        raise not_installed(error) from None
    config = uvicorn.Config(
        application, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=2, lifespan="off"
    )
    with contextlib.suppress(KeyboardInterrupt):  # how a review ends
        uvicorn.Server(config).run(sockets=[listening])
