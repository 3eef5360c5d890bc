"""What a board says of itself, in our log; a board that has gone mad does not fill the card."""

from __future__ import annotations

import logging

from firmware_bridge import wire
from firmware_bridge.describe import plain
from firmware_bridge.status import Counters

log = logging.getLogger(__name__)

SECOND_NS = 1_000_000_000
LOGS_A_SECOND = 5

_LEVELS = {
    wire.INFO: logging.INFO,
    wire.WARNING: logging.WARNING,
    wire.ERROR: logging.ERROR,
    wire.FAULT: logging.WARNING,
}


class BoardLog:
    """The LOG frames of the board on `port`."""

    def __init__(self, port: str, counters: Counters) -> None:
        self._port = port
        self._counters = counters
        self._said = 0
        self._since_ns = 0

    def take(self, body: bytearray, came_ns: int) -> None:
        """Take the body of a LOG frame: kind, level, text."""
        level, text = body[1], bytes(body[2:])
        words = (
            self._counters.take_fault(text) if level == wire.FAULT else plain(text.decode(errors="replace"))
        )
        if came_ns - self._since_ns > SECOND_NS:
            if self._said > LOGS_A_SECOND:
                log.warning("board on %s said %d things more", self._port, self._said - LOGS_A_SECOND)
            self._since_ns, self._said = came_ns, 0
        self._said += 1
        if self._said <= LOGS_A_SECOND:
            log.log(_LEVELS.get(level, logging.INFO), "board on %s says: %s", self._port, words)
