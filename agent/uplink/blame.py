"""Blame: which record is it, when the broker hangs up instead of refusing one?

Sent again and again, such a record would keep the uplink from ever getting past it. Set aside by
mistake, a good one would not arrive. So a broken line never blames a record, only a broker's word does;
and where the word does not tell which record it means, records are sent one at a time, and one is blamed
when the broker has hung up on it twice while it was the only one in flight.
"""

from __future__ import annotations

from agent.uplink import explain
from agent.uplink.window import Window

STATUS_TOKEN = -1
"""Stands in the window for a message of the uplink's own."""


class Blame:
    """Not safe across threads by itself: its owner holds a lock."""

    def __init__(self) -> None:
        self.careful = False
        """Whether records are to be sent one at a time."""
        self._suspect: int | None = None

    def after(self, code: int, window: Window) -> int | None:
        """Return the record to set aside after the broker ended a connection with `code`."""
        if code not in explain.BLAMES_RECORD:
            return None
        if code == explain.PACKET_TOO_LARGE:
            return _record(window.largest())
        alone = _record(window.only()) if self.careful else None
        self.careful = True
        if alone is None or alone != self._suspect:
            self._suspect = alone
            return None
        self.forget()
        return alone

    def forget(self) -> None:
        """Send as ever: the culprit is found, or the connection holds."""
        self.careful = False
        self._suspect = None


def _record(token: int | None) -> int | None:
    return None if token == STATUS_TOKEN else token
