"""A mosquitto of the tests' own, which can be killed and started again, and which can ask for a password."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from agent.embedded_broker import HOST, find_mosquitto
from tests.live.processes import PATIENCE_S, Running


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on now."""
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        return int(sock.getsockname()[1])


class Mosquitto:
    """A broker in `folder`; running inside the ``with``. It keeps its sessions on disk, if told to `save`."""

    def __init__(self, folder: Path, *, port: int | None = None, user: tuple[str, str] | None = None) -> None:
        self.host = HOST
        self.port = port or free_port()
        self._folder = folder
        self._user = user
        self._running: Running | None = None
        self._store = folder / "mosquitto.db"

    def start(self) -> None:
        """Start it, on the same port each time; return when it takes connections."""
        program = find_mosquitto()
        assert program is not None, "these tests need mosquitto; `scripts/test` installs it"
        self._folder.mkdir(parents=True, exist_ok=True)
        lines = [
            f"listener {self.port} {self.host}",
            f"persistence_location {self._folder}/",
            "persistence true",
            "autosave_interval 0",
            "log_dest stderr",
            "log_type all",
        ]
        if os.geteuid() == 0:
            lines.append("user root")
        if self._user is None:
            lines.append("allow_anonymous true")
        else:
            passwords = self._folder / "passwords"
            passwords.touch(mode=0o600)
            subprocess.run(
                [_passwd(program), "-b", str(passwords), *self._user], check=True, capture_output=True
            )
            lines += ["allow_anonymous false", f"password_file {passwords}"]
        config = self._folder / "mosquitto.conf"
        config.write_text("\n".join(lines) + "\n")
        self._running = Running([program, "-c", str(config)])
        self._running.wait_line(r"mosquitto version .* running")

    def save(self) -> None:
        """Let it write its sessions to disk, as it would every half hour; return when they are there."""
        assert self._running is not None
        self._store.unlink(missing_ok=True)
        self._running.send(signal.SIGUSR1)
        self._running.wait_line(r"Saving in-memory database")
        waited = threading.Event()
        for _ in range(int(PATIENCE_S / 0.01)):
            if self._store.exists():  # it writes aside and renames
                return
            waited.wait(0.01)
        raise AssertionError(f"mosquitto wrote no {self._store}")

    def wait_refusal(self) -> None:
        """Return when it has refused somebody."""
        assert self._running is not None
        self._running.wait_line(r"not authorised|refused|disconnected, not auth", times=1)

    def said(self, pattern: str) -> int:
        """Return how many lines of its log match."""
        assert self._running is not None
        return sum(1 for line in self._running.err.splitlines() if re.search(pattern, line))

    def kill(self) -> None:
        """SIGKILL."""
        if self._running is not None:
            with self._running as running:
                running.kill()
            self._running = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()


def _passwd(mosquitto: str) -> str:
    beside = Path(mosquitto).parent
    places = [beside, beside.parent / "bin", Path("/usr/bin")]
    found = next(
        (place / "mosquitto_passwd" for place in places if (place / "mosquitto_passwd").exists()), None
    )
    assert found is not None, "mosquitto_passwd is not installed beside mosquitto"
    return str(found)
