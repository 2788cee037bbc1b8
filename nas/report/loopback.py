"""Servers that answer this machine alone, and only who has their address, a part of which nobody can guess."""

import hmac
import secrets
from collections.abc import Callable, Iterable
from http import HTTPStatus
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer
from wsgiref.util import shift_path_info

from search_spaces.errors import require

LOOPBACK = "127.0.0.1"
NAMES = (LOOPBACK, "localhost")  # by which this machine is asked, at whatever port a tunnel has led here from
PATIENCE_S = 30  # for the next line of a request
COOKIE = "paretonas"
HEADERS = {  # nothing is kept by a browser, embedded by another page, or told to one
    "Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin", "X-Frame-Options": "DENY"}

Environ = dict[str, Any]
Start = Callable[..., Any]
Application = Callable[[Environ, Start], Iterable[bytes]]  # of WSGI


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Handler(WSGIRequestHandler):
    timeout = PATIENCE_S
    server_version, sys_version = "paretonas", ""

    def log_message(self, format: str, *arguments: object) -> None:
        """Keeps requests to itself: they have the address."""


def loopback_server(answer: Application, port: int | None = None, remembered: str | None = None
                    ) -> tuple[WSGIServer, str]:
    """Returns a server, and the address at which it answers.

    Args:
        answer: what it serves, below the part of the address that nobody can guess.
        port: where to listen; by default where there is room.
        remembered: a path that the address leads to, for what has paths of its own: the browser shows by a cookie that
            it had the address. By default every request has to have it.

    Raises:
        InvalidInput: a port that there is none of.
        OSError: the port is taken.
    """
    require(port is None or 0 < port < 1 << 16, f"`port` lies in 1 to 65535, but got {port}")
    token = secrets.token_urlsafe(24)

    def guarded(environ: Environ, start: Start) -> Iterable[bytes]:
        if environ.get("HTTP_HOST", "").partition(":")[0] not in NAMES:  # a name of another's that leads here
            return answered(start, HTTPStatus.MISDIRECTED_REQUEST, "this server is asked by the address that it told")
        if _same(environ["PATH_INFO"].partition("/")[2].partition("/")[0], token):
            if remembered is not None:
                return answered(start, HTTPStatus.FOUND, "", {
                    "Location": remembered, "Set-Cookie": f"{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict"})
            shift_path_info(environ)
        elif remembered is None or not any(_same(cookie.strip(), f"{COOKIE}={token}") for cookie in
                                           environ.get("HTTP_COOKIE", "").split(";")):
            return answered(start, HTTPStatus.NOT_FOUND, "there is nothing here")
        return answer(environ, start)

    try:
        server = _Server((LOOPBACK, port or 0), _Handler)
    except OSError as error:  # which does not name the port
        raise OSError(error.errno, error.strerror, f"{LOOPBACK}:{port}") from None
    server.set_app(guarded)
    return server, f"http://{LOOPBACK}:{server.server_port}/{token}/"


def answered(start: Start, status: HTTPStatus, content: str | bytes = b"", more: dict[str, str] | None = None,
             kind: str = "text/plain") -> list[bytes]:
    """Begins an answer and returns its content."""
    body = content.encode() if isinstance(content, str) else content
    headers = HEADERS | (more or {}) | {"Content-Type": f"{kind}; charset=utf-8", "Content-Length": str(len(body))}
    start(f"{status.value} {status.phrase}", list(headers.items()))
    return [body]


def _same(given: str, expected: str) -> bool:
    """Tells whether two texts are the same, in a time that does not depend on where they differ."""
    return hmac.compare_digest(given.encode(errors="replace"), expected.encode())
