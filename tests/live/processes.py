"""Programs of the project as processes of their own, waited for by what they say and never by the clock."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

TOP = Path(__file__).resolve().parents[2]
PATIENCE_S = 60.0  # what is waited for comes within seconds, or never


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a process that finds the project, whatever folder it runs in."""
    kept = {k: v for k, v in os.environ.items() if k not in {"NOTIFY_SOCKET", "WATCHDOG_USEC"}}
    # output as a user has it: block-buffered in a pipe
    kept.pop("PYTHONUNBUFFERED", None)
    return {**kept, "PYTHONPATH": str(TOP), **more}


def command(*arguments: object) -> list[str]:
    """Return the command line of ``cargobox`` with these arguments."""
    return [sys.executable, "-m", "agent.cli", *map(str, arguments)]


class Running:
    """A process whose output is gathered line by line; killed at the end of the ``with`` if it still runs."""

    def __init__(self, line: list[str], *, cwd: Path | None = None, group: bool = False, **more: str) -> None:
        self._line = line
        self._told = threading.Condition()
        self._out: list[str] = []
        self._err: list[str] = []
        self._open = 2
        self.process = subprocess.Popen(
            line,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=cwd,
            env=environment(**more),
            start_new_session=group,
        )
        assert self.process.stdout is not None and self.process.stderr is not None
        pipes = ((self.process.stdout, self._out), (self.process.stderr, self._err))
        self._readers = [threading.Thread(target=self._gather, args=pipe) for pipe in pipes]
        for reader in self._readers:
            reader.start()

    def _gather(self, pipe: IO[str], lines: list[str]) -> None:
        for line in pipe:
            with self._told:
                lines.append(line.rstrip("\n"))
                self._told.notify_all()
        with self._told:
            self._open -= 1
            self._told.notify_all()

    @property
    def out(self) -> str:
        """All of stdout so far."""
        with self._told:
            return "\n".join(self._out)

    @property
    def err(self) -> str:
        """All of stderr so far."""
        with self._told:
            return "\n".join(self._err)

    @property
    def document(self) -> dict[str, Any]:
        """Stdout as the one JSON document that it must be."""
        found = json.loads(self.out)
        assert isinstance(found, dict), f"stdout is no JSON object: {self.out[:300]}"
        return found

    def wait_line(self, pattern: str, *, times: int = 1) -> str:
        """Return the line of stdout or stderr that matches, once it has come (for the n-th time)."""
        wanted = re.compile(pattern)

        def found() -> list[str]:
            return [line for line in (*self._out, *self._err) if wanted.search(line)]

        with self._told:
            self._told.wait_for(lambda: len(found()) >= times or not self._open, PATIENCE_S)
            assert len(found()) >= times, (
                f"{' '.join(self._line)}\nnever said {pattern!r} ({times} ×); it said:\n"
                + "\n".join((*self._out, *self._err))
            )
            return found()[times - 1]

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process alone."""
        self.process.send_signal(number)

    def send_group(self, number: signal.Signals) -> None:
        """Send a signal to the process and its children, as a terminal does (``group=True``)."""
        os.killpg(self.process.pid, number)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.process.kill()
        self._wait()

    def end(self, number: signal.Signals | None = None) -> int:
        """Send a signal if one is given; return the exit status."""
        if number is not None:
            self.send(number)
        return self._wait()

    def _wait(self) -> int:
        try:
            status = self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{' '.join(self._line)}\ndid not end; it said:\n{self.err}") from None
        for reader in self._readers:
            reader.join(PATIENCE_S)
        return status

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self._wait()
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()


def cargobox(*arguments: object, cwd: Path | None = None) -> Running:
    """Run a verb to its end."""
    with Running(command(*arguments), cwd=cwd) as process:
        process.end()
    return process


def children_of(pid: int) -> set[int]:
    """Return all descendants of a process that run now."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # gone meanwhile
        parents[int(stat.parent.name)] = int(fields[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def program_of(pid: int) -> str:
    """Return the command line of a process; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


@contextlib.contextmanager
def ends(pids: Iterable[int]) -> Iterator[None]:
    """Assert that these processes are all gone some time after the ``with``."""
    handles = {os.pidfd_open(pid): program_of(pid) for pid in pids}
    try:
        yield
        for handle, program in handles.items():
            gone, _, _ = select.select([handle], [], [], PATIENCE_S)
            assert gone, f"still there: {program}"
    finally:
        for handle in handles:
            os.close(handle)


@contextlib.contextmanager
def virtual_box(link: Path, *, seed: int = 1) -> Iterator[Running]:
    """Yield ``python -m firmware_bridge.virtual``, plugged in at `link`."""
    line = [sys.executable, "-m", "firmware_bridge.virtual", "--link", str(link), "--seed", str(seed)]
    with Running(line) as box:
        box.wait_line(re.escape(str(link)))
        yield box
        assert box.end(signal.SIGTERM) == 0, box.err
