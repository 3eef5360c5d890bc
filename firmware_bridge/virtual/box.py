"""VirtualBox: a box without hardware, to be used like a cable that somebody plugged in."""

from __future__ import annotations

import contextlib
import enum
import importlib.util
import json
import os
import pickle
import select
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from firmware_bridge.errors import FourPartError
from firmware_bridge.virtual.hardware import Setup
from firmware_bridge.virtual.playback import Trip

ANSWER_TIMEOUT_S = 30.0  # laying out the first seconds of a trip may take a while on a small machine
STOP_TIMEOUT_S = 5.0


class VirtualBoxError(FourPartError):
    """The virtual box could not be set up, or its hardware process ended."""


class Interpreter(enum.Enum):
    """What runs the firmware."""

    MICROPYTHON = "micropython"
    CPYTHON = "cpython"

    @classmethod
    def best(cls) -> Interpreter:
        """Return the real MicroPython where it is installed."""
        return cls.MICROPYTHON if cls.MICROPYTHON.available else cls.CPYTHON

    @property
    def available(self) -> bool:
        """Whether this machine has it: the MicroPython wheel is for x86-64 only."""
        return self is Interpreter.CPYTHON or importlib.util.find_spec("micropython_unix") is not None

    @property
    def command(self) -> tuple[str, ...]:
        """The command that runs ``main.py`` in the current folder."""
        if self is Interpreter.MICROPYTHON:
            return (sys.executable, "-m", "micropython_unix", "main.py")
        return (sys.executable, "-s", "main.py")


class VirtualBox:
    """The real firmware behind a pty, its sensors playing `trip`; a context manager.

    `link`: a path that always leads to the port, as a udev rule would give it; `state_dir`: the board's
    flash, its id and its console; both are the caller's. The trip's class must be importable, for the
    hardware runs in a process of its own. The trip begins when a host first says *start*, and goes on
    through resets and pulled cables as the world does.

    `drift_ppm` and `ticks_offset_us` make the board's clock wrong, and its counter begin anywhere
    at each boot.
    """

    def __init__(
        self,
        trip: Trip,
        link: Path | None,
        state_dir: Path,
        *,
        interpreter: Interpreter | None = None,
        drift_ppm: int = 0,
        ticks_offset_us: int = 0,
    ) -> None:
        self.interpreter = interpreter or Interpreter.best()
        self._setup = Setup(
            trip, link, state_dir.absolute(), self.interpreter.command, drift_ppm, ticks_offset_us
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._device = ""

    def __enter__(self) -> Self:
        """Plug the box in; return when its port is there."""
        self._setup.state_dir.mkdir(parents=True, exist_ok=True)
        environment = dict(os.environ, PYTHONPATH=os.pathsep.join(p or os.getcwd() for p in sys.path))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "firmware_bridge.virtual.hardware_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,  # a Ctrl-C at the terminal is for our owner alone
        )
        try:
            self._tell(pickle.dumps(self._setup))
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def port(self) -> str:
        """The serial port: `link` where one was asked for."""
        return str(self._setup.link) if self._setup.link is not None else self._device

    @property
    def console(self) -> Path:
        """The file in which the board's own error messages end up."""
        return self._setup.state_dir / "console.log"

    def reset(self, cause: str = "watchdog") -> None:
        """Reboot the board under a port that stays."""
        self._tell(f"reset {cause}\n".encode())

    def unplug(self) -> None:
        """Pull the cable: the port vanishes and the board loses power."""
        self._tell(b"unplug\n")

    def plug(self) -> None:
        """Put the cable back; without a link the port may have another name than before."""
        self._tell(b"plug\n")

    def hang(self) -> None:
        """Let the board stop in its tracks: the port is there and says nothing."""
        self._tell(b"hang\n")

    def wake(self) -> None:
        """Let a hanging board go on."""
        self._tell(b"wake\n")

    def close(self) -> None:
        """Switch the box off and wait until nothing of it runs."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None and process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
        if self._setup.link is not None:
            self._setup.link.unlink(missing_ok=True)

    def _tell(self, words: bytes) -> None:
        process = self._process
        if process is None:
            raise self._broken("it is switched off")
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(words)
            process.stdin.flush()
        except BrokenPipeError:
            raise self._broken(f"its process ended with status {process.wait()}") from None
        readable, _, _ = select.select([process.stdout], [], [], ANSWER_TIMEOUT_S)
        if not readable:
            raise self._broken(f"no answer in {ANSWER_TIMEOUT_S:.0f} s")
        line = process.stdout.readline()
        if not line:
            raise self._broken(f"its process ended with status {process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise self._broken(answer["error"])
        self._device = answer["port"]

    def _broken(self, got: str) -> VirtualBoxError:
        return VirtualBoxError(
            f"virtual box in {self._setup.state_dir}",
            got=got,
            expected="a board on a port",
            remedy="Its reasons stand above, or in console.log there.",
        )
