"""The report of a run served to browsers of this machine, anew when there is more to tell."""

import hashlib
import hmac
import secrets
import threading
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from evaluators.machine.locks import training_turn
from nas.export.certificate import CERTIFICATE
from nas.report.html.findings import findings_of
from nas.report.html.page import report
from nas.run.directory import RunDirectory
from search_spaces.errors import InvalidInput, require

LOOPBACK = "127.0.0.1"
NAMES = (LOOPBACK, "localhost")  # by which this machine is asked, at whatever port a tunnel has led here from
REST = 10  # times as long as it took to write a page it is not written anew
PATIENCE_S = 30  # for the next line of a request
HEADERS = {  # nothing is kept by a browser, embedded by another page, or told to one
    "Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin", "Content-Security-Policy": "frame-ancestors 'none'"}


@dataclass
class LivePage:
    """The report of a run as it is now, or shortly was: a search is to have its machine.

    It is written in a turn as trainings have them, so not while a latency is measured, and the run is only read.
    """

    run: Path
    _version: str = ""
    _content: bytes = b""
    _rests_until: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def read(self) -> tuple[str, bytes]:
        """Returns the version and the content of the page; raises as `findings_of` does."""
        with self._lock:
            version = self._state()
            if version != self._version and time.monotonic() >= self._rests_until:
                with training_turn():
                    began = time.thread_time()
                    self._content = report(findings_of(RunDirectory.existing(self.run)), version)
                self._version = version
                self._rests_until = time.monotonic() + REST * (time.thread_time() - began)
            return self._version, self._content

    def _state(self) -> str:
        """Returns a text that is another one when a file of the run has changed."""
        files = sorted(path for pattern in ("*.*", f"*/{CERTIFICATE}") for path in self.run.glob(pattern))
        states = [(str(path), status.st_mtime_ns, status.st_size) for path in files if path.is_file()
                  and (status := path.stat())]
        return hashlib.sha256(repr(states).encode()).hexdigest()[:16]


def live_server(run: Path, port: int | None = None) -> tuple[ThreadingHTTPServer, str]:
    """Returns a server of the report of a run, and the address at which it answers: on this machine, to who has that.

    Args:
        run: the run directory, which is not written to.
        port: where to listen; by default where there is room.

    Raises:
        InvalidInput: a port that there is none of.
        OSError: the port is taken.
    """
    require(port is None or 0 < port < 1 << 16, f"`port` lies in 1 to 65535, but got {port}")
    page, path = LivePage(run), f"/{secrets.token_urlsafe(24)}/"
    page.read()  # raises before anything is told

    class Handler(BaseHTTPRequestHandler):
        timeout = PATIENCE_S

        def do_GET(self) -> None:
            """Answers with the page to those who know its path, and with nothing of it to others."""
            self.server_version, self.sys_version = "paretonas", ""
            if self.headers.get("Host", "").partition(":")[0] not in NAMES:  # a name of another's that leads here
                self._answer(HTTPStatus.MISDIRECTED_REQUEST, b"this server is asked by the address that it has told")
                return
            if not hmac.compare_digest(self.path.encode(), path.encode()):
                self._answer(HTTPStatus.NOT_FOUND, b"there is nothing here")
                return
            try:
                version, content = page.read()
            except (InvalidInput, OSError) as error:
                self._answer(HTTPStatus.SERVICE_UNAVAILABLE, f"The run cannot be read: {error}".encode())
                return
            if self.headers.get("If-None-Match") == version:
                self._answer(HTTPStatus.NOT_MODIFIED)
            else:
                self._answer(HTTPStatus.OK, content, "text/html")

        def _answer(self, status: HTTPStatus, content: bytes = b"", kind: str = "text/plain") -> None:
            self.send_response(status)
            for name, value in HEADERS.items():
                self.send_header(name, value)
            if status != HTTPStatus.NOT_MODIFIED:
                self.send_header("Content-Type", f"{kind}; charset=utf-8")
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: object) -> None:
            """Keeps requests to itself: they have the path."""

    server = ThreadingHTTPServer((LOOPBACK, port or 0), Handler)
    return server, f"http://{LOOPBACK}:{server.server_port}{path}"
