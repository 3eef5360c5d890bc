"""Turns of trouble and of quiet in one run of ``scripts/bench alarms_flooded`` and the like."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

NS_PER_S = 1_000_000_000
TURN_S = 5.0
AFTER_NS = NS_PER_S // 2
"""So long after a change alarms belong to neither."""


@dataclass(slots=True)
class Turns:
    """When there was trouble: [begin, end) on the monotonic clock."""

    spans: list[tuple[int, int]] = field(default_factory=list)
    changes: list[int] = field(default_factory=list)

    def kind_of(self, at_ns: int) -> bool | None:
        """Return whether there was trouble at a time; None just after a change."""
        if any(change <= at_ns < change + AFTER_NS for change in self.changes):
            return None
        return any(begin <= at_ns < end for begin, end in self.spans)

    def when(self, wanted: bool | None) -> Callable[[int], bool]:
        """Return what tells whether there was trouble at a time, or else quiet; None: just after a change."""
        return lambda at_ns: self.kind_of(at_ns) is wanted


@contextmanager
def by_turns(trouble: Callable[[bool], object], turn_s: float = TURN_S) -> Iterator[Turns]:
    """Have `trouble` begin and end, again and again, inside the ``with``."""
    turns, stop = Turns(), threading.Event()

    def run() -> None:
        while not stop.wait(turn_s):
            begin_ns = time.monotonic_ns()
            turns.changes.append(begin_ns)
            turns.spans.append((begin_ns, 1 << 62))
            trouble(True)
            stop.wait(turn_s)
            trouble(False)
            end_ns = time.monotonic_ns()
            turns.spans[-1] = begin_ns, end_ns
            turns.changes.append(end_ns)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield turns
    finally:
        stop.set()
        thread.join()


class Flooder:
    """The process that floods (`scripts.benches.flood`)."""

    def __init__(self, port: int, box: str) -> None:
        self.sent = 0
        command = [sys.executable, "-m", "scripts.benches.flood", str(port), box]
        self._process: subprocess.Popen[str] = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Flooder:
        return self

    def __exit__(self, *_: Any) -> None:
        self._process.kill()
        self._process.wait()

    def __call__(self, on: bool) -> None:
        """Begin, or end; `sent` is then how many there were."""
        assert self._process.stdin is not None and self._process.stdout is not None
        print("on" if on else "off", file=self._process.stdin, flush=True)
        self.sent = int(self._process.stdout.readline())
