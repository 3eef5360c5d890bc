"""The reporter: a thread that measures once a minute, so that no alarm waits for what is measured here.

What it found waits until the pipeline's thread numbers it.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from agent import kernel_clock
from agent.beats import SLOW_S, Beat
from agent.health.monitor import Monitor
from agent.health.timing import Timing
from agent.records import Record

_log = logging.getLogger("cargobox")

Telling = Callable[[int, Mapping[str, Any]], Record]


class Reporter:
    """`raw_bytes`: what was measured so far, which pays for it."""

    def __init__(
        self, monitor: Monitor, *, every_s: float, budget: float, raw_bytes: Callable[[], float]
    ) -> None:
        self._monitor = monitor
        self._every_s = every_s
        self._raw_bytes = raw_bytes
        self._timing = Timing(budget, time.monotonic())
        self._found: queue.SimpleQueue[tuple[int, Mapping[str, Any]]] = queue.SimpleQueue()

    def run(self, stop: threading.Event, beat: Beat) -> None:
        """Measure until `stop` is set."""
        due_s = time.monotonic() + self._every_s
        while True:
            beat()
            left_s = due_s - time.monotonic()
            if stop.wait(max(0.0, min(left_s, beat.rest_s))):
                break
            if time.monotonic() >= due_s:
                beat(SLOW_S)
                self.measure()
                due_s = max(due_s + self._every_s, time.monotonic())
        beat.end()

    def measure(self) -> None:
        """Measure now; what cannot be measured stops nothing."""
        try:
            body, news = self._monitor.look(time.monotonic())
        except Exception:  # of whatever kind: a thread that ends is a reason to restart, and a figure is not
            _log.exception("health: cannot be measured")
            return
        if self._timing.due(time.monotonic(), self._raw_bytes(), news=news):
            self._found.put((kernel_clock.box_ns(), body))

    def records(self, tell: Telling) -> list[Record]:
        """Return the records of what was found since the last time; `tell` numbers them."""
        records: list[Record] = []
        while not self._found.empty():
            records.append(tell(*self._found.get()))
            self._timing.told(time.monotonic(), self._raw_bytes(), records[-1].published_bytes)
        return records
