"""The report of a run served to browsers of this machine, anew when there is more to tell."""

import hashlib
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from wsgiref.simple_server import WSGIServer

from evaluators.machine.locks import training_turn
from evaluators.machine.trouble import MachineTrouble
from nas.export.certificate import CERTIFICATE
from nas.report.html.findings import findings_of
from nas.report.html.page import report
from nas.report.loopback import Environ, Start, answered, loopback_server
from nas.run.directory import RunDirectory
from nas.run.storage import StudyFile
from search_spaces.errors import InvalidInput

AGAIN_S = 30
REST = 10  # times as long as it took to write a page it is not written anew


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
        if not StudyFile(self.run).path.exists():  # its trials are in a database elsewhere, which is asked now and then
            states.append(("", int(time.monotonic() // AGAIN_S), 0))
        return hashlib.sha256(repr(states).encode()).hexdigest()[:16]


def live_server(run: Path, port: int | None = None) -> tuple[WSGIServer, str]:
    """Returns a server of the report of a run, which is not written to, and the address at which it answers.

    Raises:
        InvalidInput: as `loopback_server` and `findings_of` do.
        OSError: likewise.
    """
    page = LivePage(run)
    page.read()  # raises before anything is told

    def answer(environ: Environ, start: Start) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] != "GET" or environ["PATH_INFO"] != "/":
            return answered(start, HTTPStatus.NOT_FOUND, "there is nothing here")
        try:
            version, content = page.read()
        except (InvalidInput, OSError, MachineTrouble) as error:
            return answered(start, HTTPStatus.SERVICE_UNAVAILABLE, f"The run cannot be read: {error}")
        if environ.get("HTTP_IF_NONE_MATCH") == version:
            return answered(start, HTTPStatus.NOT_MODIFIED)
        return answered(start, HTTPStatus.OK, content, kind="text/html")

    return loopback_server(answer, port)
