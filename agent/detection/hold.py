"""A condition that must last before it counts, with another to end it: no chatter at the edge."""

from __future__ import annotations

import enum


class Turn(enum.Enum):
    """What a step of `Hold` brought."""

    NONE = 0
    STARTED = 1
    ENDED = 2


class Hold:
    """Begins after `on` has held for `hold_ns`, ends after `off` has held for `release_ns`.

    ``since_ns`` is when the lasting condition first became true; ``until_ns`` when it first ended.
    """

    def __init__(self, hold_ns: int, release_ns: int) -> None:
        self._hold_ns = hold_ns
        self._release_ns = release_ns
        self.active = False
        self.since_ns: int | None = None
        self.until_ns: int | None = None

    def step(self, time_ns: int, *, on: bool, off: bool) -> Turn:
        """Say what is true now. `on` and `off` may both be false: between the levels."""
        if not self.active:
            if not on:
                self.since_ns = None
                return Turn.NONE
            if self.since_ns is None:
                self.since_ns = time_ns
            if time_ns - self.since_ns < self._hold_ns:
                return Turn.NONE
            self.active, self.until_ns = True, None
            return Turn.STARTED
        if not off:
            self.until_ns = None
            return Turn.NONE
        if self.until_ns is None:
            self.until_ns = time_ns
        if time_ns - self.until_ns < self._release_ns:
            return Turn.NONE
        self.active = False
        return Turn.ENDED

    def rearm(self) -> None:
        """Forget when the condition began; call it after an event has ended."""
        self.since_ns = None
