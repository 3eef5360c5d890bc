"""A broker for `cargobox demo` and for tests, on a machine that has none running.

``mosquitto`` where it is installed (MQTT 5), else amqtt from PyPI (MQTT 3.1.1). Either is a process of
its own, on a free port of the loopback interface, without persistence, and ends when its parent ends,
however that comes about: mosquitto by a signal of the kernel (prctl(2), PR_SET_PDEATHSIG), amqtt when its
standard input ends.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import ctypes
import importlib.util
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO, Literal

from agent.errors import BrokerError

Program = Literal["mosquitto", "amqtt"]

HOST = "127.0.0.1"
START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 5.0
ATTEMPTS = 3  # a free port may be taken by another process before the broker has it
PR_SET_PDEATHSIG = 1  # linux/prctl.h
SBIN = "/usr/local/sbin:/usr/sbin:/sbin"  # Debian puts mosquitto there, and not on a user's PATH

_READY = {"mosquitto": "running", "amqtt": "ready"}


def find_mosquitto() -> str | None:
    """Return the path of an installed mosquitto."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path=SBIN)


def available() -> list[Program]:
    """Return the brokers that can be started here, the better one first."""
    found: list[Program] = []
    if find_mosquitto() is not None:
        found.append("mosquitto")
    if importlib.util.find_spec("amqtt") is not None:
        found.append("amqtt")
    return found


class EmbeddedBroker:
    """A running broker, from ``with`` to the end of the block. Raises BrokerError if none can be had."""

    def __init__(self, *, prefer: Program | None = None) -> None:
        programs = available()
        if not programs or (prefer is not None and prefer not in programs):
            raise BrokerError(
                "starting an embedded broker",
                got=f"{prefer or 'neither mosquitto nor amqtt'} is not installed",
                expected="one of them",
                remedy="Install the extra: `pip install cargobox-agent[demo]`, or the mosquitto package.",
            )
        self.program: Program = prefer or programs[0]
        self.protocol: Literal["5", "3.1.1"] = "5" if self.program == "mosquitto" else "3.1.1"
        self.host = HOST
        self.port = 0
        self._process: subprocess.Popen[str] | None = None
        self._keeper: threading.Thread | None = None
        self._started = threading.Event()
        self._ready = False
        self._said: collections.deque[str] = collections.deque(maxlen=20)

    @property
    def pid(self) -> int | None:
        """The broker's process."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the broker; returns when it takes connections."""
        for _ in range(ATTEMPTS):
            self.port = _free_port()
            self._started.clear()
            self._ready = False
            # The kernel's signal comes when the *thread* ends that started the child: this one lasts.
            self._keeper = threading.Thread(target=self._keep, name="embedded-broker", daemon=True)
            self._keeper.start()
            self._started.wait(START_TIMEOUT_S)
            if self._ready and self._answers():
                return
            self.stop()
        raise BrokerError(
            f"starting {self.program} on {HOST}:{self.port}",
            got=" / ".join(list(self._said)[-3:]) or f"nothing within {START_TIMEOUT_S:g} s",
            expected="a broker that takes connections",
            remedy="Start a broker yourself and name it under [broker].",
        )

    def stop(self) -> None:
        """Stop the broker; returns when its process is gone."""
        process = self._process
        if process is not None:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._keeper is not None:
            self._keeper.join(STOP_TIMEOUT_S)
        self._process = self._keeper = None

    def __enter__(self) -> EmbeddedBroker:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _keep(self) -> None:
        """Start the process and read what it says until it ends."""
        package_root = str(Path(__file__).parents[1])
        path = os.pathsep.join(filter(None, (package_root, os.environ.get("PYTHONPATH"))))
        command = [sys.executable, "-m", "agent.embedded_broker", f"--{self.program}", str(self.port)]
        with tempfile.TemporaryDirectory(prefix="cargobox-broker-") as directory:
            self._process = process = subprocess.Popen(
                [*command, directory],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env={**os.environ, "PYTHONPATH": path},
                start_new_session=True,  # a Ctrl-C at the terminal is for our owner alone
            )
            with process:
                assert process.stdout is not None
                self._listen(process.stdout)
        self._started.set()

    def _listen(self, output: IO[str]) -> None:
        for line in output:
            self._said.append(line.strip())
            if not self._ready and line.rstrip().endswith(_READY[self.program]):
                self._ready = True
                self._started.set()

    def _answers(self) -> bool:
        try:
            socket.create_connection((self.host, self.port), STOP_TIMEOUT_S).close()
        except OSError:
            return False
        return True


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        return int(sock.getsockname()[1])


# -- in the child's process ----------------------------------------------------------------------


def _become_mosquitto(port: int, directory: Path) -> None:
    parent = os.getppid()
    # Not SIGTERM: mosquitto forgets one that comes between its "running" and its loop. It keeps nothing.
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)  # the parent ended before the kernel knew of our wish
    program = find_mosquitto()
    assert program is not None
    config = directory / "mosquitto.conf"
    lines = [
        f"listener {port} {HOST}",
        "allow_anonymous true",
        "persistence false",
        "log_dest stderr",
        "log_type error",
        "log_type warning",
        "log_type information",
        "connection_messages false",
    ]
    if os.geteuid() == 0:
        lines.append("user root")  # else it looks for a user that need not exist
    config.write_text("\n".join(lines) + "\n")
    os.execv(program, [program, "-c", str(config)])


async def _serve_amqtt(port: int) -> None:
    from amqtt.broker import Broker

    # Only what lets clients in: no system topics, no packet log.
    plugins = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
    listeners = {"default": {"type": "tcp", "bind": f"{HOST}:{port}"}}
    broker = Broker({"listeners": listeners, "plugins": plugins})
    await broker.start()
    print("ready", flush=True)
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, over.set)
    loop.add_signal_handler(signal.SIGINT, lambda: None)  # Ctrl-C in a terminal is for the parent
    loop.add_reader(sys.stdin.fileno(), over.set)  # nothing is ever sent: readable means ended
    await over.wait()
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(broker.shutdown(), STOP_TIMEOUT_S / 2)


def main(arguments: list[str]) -> None:
    """Become the broker that `EmbeddedBroker` starts: ``--mosquitto|--amqtt PORT DIRECTORY``."""
    program, port, directory = arguments
    if program == "--mosquitto":
        _become_mosquitto(int(port), Path(directory))
    else:
        logging.disable(logging.CRITICAL)
        asyncio.run(_serve_amqtt(int(port)))


if __name__ == "__main__":
    main(sys.argv[1:])
