"""Beats: how each thread of the agent shows that it makes progress, so that one that hangs can be named.

A thread says when it will be heard of again at the latest. It does so while it works, and while it waits on
purpose, which is why no wait here is longer than `REST_S`. What may take long, a card that syncs or a name
that is looked up, is announced with a longer time: a slow part is no part that hangs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

REST_S = 10.0  # the longest that a thread waits on purpose without being heard of
WORK_S = 40.0  # the longest that a turn of work takes: a bus with its chips stalled, and a busy computer
# An SD card that first writes out all that Linux keeps back for it (100 MB at 1 MB/s); a name that three
# servers in turn do not resolve (resolv.conf(5): 2 x 5 s each, for each search domain).
SLOW_S = 120.0


@dataclass(frozen=True, slots=True)
class Hang:
    """A thread that has not been heard of for longer than it said."""

    name: str
    silent_s: float
    promised_s: float

    def __str__(self) -> str:
        """Say it in words."""
        return (
            f"the {self.name} thread has hung for {self.silent_s:.0f} s: "
            f"it was to be heard of within {self.promised_s:.0f} s"
        )


class Beat:
    """Of one thread; without a board nobody looks at it."""

    def __init__(self, board: Beats | None = None, name: str = "") -> None:
        self.name = name
        self.board = board
        self.rest_s = REST_S if board is None else board.rest_s
        """How long the thread may wait without being heard of."""
        self.said: tuple[float, float] | None = None
        """When it was last heard of and within how long again; None: it has ended, or not begun."""

    def __call__(self, within_s: float = WORK_S) -> None:
        """Say: I go on, and will be heard of again within so many seconds."""
        if self.board is not None:
            self.said = (self.board.now_s(), within_s)

    def end(self) -> None:
        """Say: nothing is to be expected of me any more."""
        self.said = None


class Beats:
    """Those of all threads of one agent. `now_s` must not stand still while the machine runs."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic, rest_s: float = REST_S) -> None:
        self.now_s = now_s
        self.rest_s = rest_s
        self._beats: dict[str, Beat] = {}

    def of(self, name: str) -> Beat:
        """Return the beat of the thread of this name; it counts from its first word on."""
        beat = self._beats.get(name)
        return beat if beat is not None else self._beats.setdefault(name, Beat(self, name))

    def hanging(self) -> tuple[Hang, ...]:
        """Return the threads that are overdue, the one that is most so first."""
        now_s = self.now_s()
        found = []
        for name, beat in tuple(self._beats.items()):
            said = beat.said  # once: its thread may say more meanwhile
            if said is not None and now_s - said[0] > said[1]:
                found.append(Hang(name, now_s - said[0], said[1]))
        return tuple(sorted(found, key=lambda hang: hang.promised_s - hang.silent_s))


class HeardStop(threading.Event):
    """An event to stop by; who asks it, or waits for it, is heard of thereby.

    Whatever reads a source has to ask in every turn anyway, so no source can forget to be heard of.
    """

    def __init__(self, event: threading.Event, beat: Beat) -> None:
        super().__init__()
        self.beat = beat
        self._event = event

    def is_set(self) -> bool:
        """Whether to stop."""
        self.beat()
        return self._event.is_set()

    def set(self) -> None:
        """Stop all who look at the event."""
        self._event.set()

    def clear(self) -> None:
        """Let them go on."""
        self._event.clear()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait to be stopped, heard of in between."""
        until_s = None if timeout is None else time.monotonic() + timeout
        while True:
            self.beat()
            left_s = self.beat.rest_s if until_s is None else until_s - time.monotonic()
            if self._event.wait(max(0.0, min(left_s, self.beat.rest_s))):
                self.beat()
                return True
            if until_s is not None and time.monotonic() >= until_s:
                self.beat()
                return False


def beside(stop: threading.Event, halt: threading.Event, name: str) -> threading.Event:
    """Return `halt` as a thread of its own is to ask it; heard of where who asks `stop` is."""
    if not isinstance(stop, HeardStop) or stop.beat.board is None:
        return halt
    return HeardStop(halt, stop.beat.board.of(name))


def ended(stop: threading.Event) -> None:
    """Say that the thread which asked `stop` has come to its end."""
    if isinstance(stop, HeardStop):
        stop.beat.end()
