"""A contact, open or closed: the lid. Debounced at each turn, sampled at a low rate."""

import time

from sensors.base import Paced

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from sensors.base import Ticks, Told


class Switch(Paced):
    """1 while the contact is closed, else 0."""

    def __init__(
        self,
        place: str,
        streams: "list[dict[str, Any]]",
        faults: "list[Told]",
        read: "Callable[[], int]",
        closed_level: int,
        debounce_ms: int,
    ) -> None:
        super().__init__(place, streams, faults)
        self._read = read
        self._closed_level = closed_level
        self._debounce_us = debounce_ms * 1000
        self._level = self._candidate = read()
        self._since = time.ticks_us()

    def begin(self) -> None:
        """Look anew: nobody followed the contact while there was no session."""
        super().begin()
        self._level = self._candidate = self._read()

    def fetch(self, part: int, body: bytearray, at: int, room: int) -> int:
        """Follow the contact; hand over its state when it is due."""
        now: "Ticks" = time.ticks_us()
        level = self._read()
        if level != self._candidate:
            self._candidate = level
            self._since = now
        elif level != self._level and time.ticks_diff(now, self._since) >= self._debounce_us:
            self._level = level
        missed = self.due(now)
        if missed < 0:
            return 0
        self.skipped = missed
        self.sample_ticks = now
        body[at] = 1 if self._level == self._closed_level else 0
        return 1
