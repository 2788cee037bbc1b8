"""PostgreSQL servers of Debian's package that are begun in a temporary directory, for tests and experiments."""

import contextlib
import ctypes
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DEBIAN = Path("/usr/lib/postgresql")  # holds a directory for each version, which are not on the PATH
USER = "paretonas"
ANSWERS_WITHIN_S = 30.0
STOPS_WITHIN_S = 30.0
PR_SET_PDEATHSIG = 1  # of linux/prctl.h


def free_port() -> int:
    """Returns a port of the loopback interface that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@dataclass
class Server:
    """A server on the loopback interface, reached with a password; its database outlives `stop`, until it is left.

    Attributes:
        directory: its files.
        binaries: the directory of the package's commands.
        options: settings of the server.
        port: chosen when it is begun first.
        password: of its one user.
    """

    directory: Path
    binaries: Path
    options: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    password: str = field(default_factory=lambda: secrets.token_urlsafe(16), repr=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def url(self, database: str = "postgres") -> str:
        """Returns the address of a database, with the password."""
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """Makes a database, and returns its address."""
        name = f"study_{secrets.token_hex(8)}"
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", USER, name,
                  env={**os.environ, "PGPASSWORD": self.password})
        return self.url(name)

    def start(self) -> None:
        """Starts the server, and waits until it answers."""
        settings = {"port": str(self.port), "listen_addresses": "127.0.0.1", "unix_socket_directories": "",
                    **self.options}
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen([self.binaries / "postgres", "-D", self._data, *arguments], stdout=log,
                                             stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
                                             preexec_fn=_end_with_parent, **_user())
        deadline_s = time.monotonic() + ANSWERS_WITHIN_S
        while subprocess.run([self.binaries / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)],
                             check=False).returncode:
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                self.stop()
                raise RuntimeError(f"PostgreSQL did not start: {(self.directory / 'log').read_text()[-2000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Stops the server as an administrator does: its connections end at once, what was committed is kept."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(STOPS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGQUIT)  # which ends its children too
            self._process.wait()
        self._process = None

    def initialise(self) -> None:
        """Makes its files, and the password of its user."""
        password = self.directory / "password"
        password.write_text(self.password)
        shutil.chown(password, **_owner())
        try:
            self._run("initdb", "-D", self._data, "-U", USER, f"--pwfile={password}", "--auth=scram-sha-256",
                      "--encoding=UTF8", "--locale=C", "--no-sync", **_user())
        finally:
            password.unlink()

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def _run(self, name: str, *arguments: str | Path, **options: Any) -> None:
        done = subprocess.run([self.binaries / name, *arguments], capture_output=True, text=True, check=False,
                              cwd=self.directory, **options)
        if done.returncode:
            raise RuntimeError(f"{name} of PostgreSQL failed: {done.stderr.strip()}")


def binaries() -> Path | None:
    """Returns the directory of the newest package's commands, or of those on the PATH; None where there is none."""
    versions = sorted(DEBIAN.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    found = versions[-1] if versions else shutil.which("initdb")
    return Path(found).parent if found else None


@contextlib.contextmanager
def running(**options: str) -> Iterator[Server]:
    """Yields a server that has been started; it is stopped and its files are removed with the context."""
    found = binaries()
    if found is None:
        raise FileNotFoundError(f"PostgreSQL's initdb is neither in {DEBIAN} nor on the PATH")
    with tempfile.TemporaryDirectory(prefix="postgresql-") as directory:
        shutil.chown(directory, **_owner())
        server = Server(Path(directory), found, options)
        server.initialise()
        try:
            server.start()
            yield server
        finally:
            server.stop()


def _end_with_parent() -> None:
    """Lets the kernel stop this process in order when the one that has started it is killed."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)


def _owner() -> dict[str, int]:
    """Returns the user and group of the server: PostgreSQL refuses to be run by root."""
    if os.getuid():
        return {"user": os.getuid(), "group": os.getgid()}
    users = {user.pw_name: user for user in pwd.getpwall()}
    user = users.get("postgres") or users["nobody"]  # the package makes the first one
    return {"user": user.pw_uid, "group": user.pw_gid}


def _user() -> dict[str, Any]:
    """Returns the options of a process of the server."""
    return {**_owner(), "extra_groups": []} if not os.getuid() else {}
