"""Window: the records that are sent and not yet acknowledged, and how many more may be.

A broker that says Receive Maximum closes the connection of who exceeds it (MQTT 5.0, 4.9). A part of the
window is kept free for alarms.
"""

from __future__ import annotations

from dataclasses import dataclass

RESERVED_SHARE = 4
"""One place in so many is kept for alarms, as long as one is left for the rest."""
RESERVED_MAX = 8


@dataclass(frozen=True, slots=True)
class Room:
    """How many records may be sent now: any, and alarms."""

    plain: int
    urgent: int


class Window:
    """Not safe across threads by itself: its owner holds a lock."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.starved = False
        """Whether its owner waits for room for plain records."""
        self._plain_size = size - min(RESERVED_MAX, size // RESERVED_SHARE)
        self._sizes: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._sizes)

    def room(self) -> Room:
        """Return how many more records may be sent."""
        used = len(self._sizes)
        return Room(max(0, self._plain_size - used), self.size - used)

    def relieved(self) -> bool:
        """Return whether a starved owner should go on: not for every single place that becomes free."""
        if self.starved and len(self._sizes) <= self._plain_size - max(1, self._plain_size // 4):
            self.starved = False
            return True
        return False

    def add(self, doc_id: int, size_bytes: int) -> None:
        """Note a record as sent."""
        self._sizes[doc_id] = size_bytes

    def remove(self, doc_id: int) -> bool:
        """Note a record as answered; return whether it was in the window."""
        return self._sizes.pop(doc_id, None) is not None

    def largest(self) -> int | None:
        """Return the largest record."""
        return max(self._sizes, key=self._sizes.__getitem__, default=None)

    def __contains__(self, doc_id: object) -> bool:
        return doc_id in self._sizes

    def only(self) -> int | None:
        """Return the record that is alone in the window."""
        return next(iter(self._sizes)) if len(self._sizes) == 1 else None

    def clear(self) -> None:
        """Empty the window."""
        self._sizes.clear()
