"""Who is at the other end, while nobody has described himself: what came so far, and what to try.

A board that was left at MicroPython's prompt (a flash that was cut short, somebody's terminal) is asked
to show it, and then started again, as its reset button would do.
"""

from __future__ import annotations

import logging

from firmware_bridge.errors import ProtocolError
from firmware_bridge.status import silent, strange

log = logging.getLogger(__name__)

PROMPT_SIGNS = (b">>>", b"REPL", b"MicroPython v", b"MPY:")
SHOW_PROMPT = b"\r\x03\x03\x02"  # leaves what runs, and the raw prompt: MicroPython then shows its plain one
SOFT_RESET = SHOW_PROMPT + b"\x04"  # what we sent before may have been taken for the beginning of a paste
HEARD_MOST_BYTES = 400


class Knock:
    """One try to learn who is behind `port`."""

    def __init__(self, port: str) -> None:
        self._port = port
        self._bytes = 0
        self._begin = bytearray()
        self._asked = False
        self._restarted = False

    def heard(self, data: bytes) -> None:
        """Take what came."""
        self._bytes += len(data)
        if len(self._begin) < HEARD_MOST_BYTES:
            self._begin += data[:HEARD_MOST_BYTES]

    @property
    def at_prompt(self) -> bool:
        """Whether what came looks like MicroPython's prompt."""
        return any(sign in self._begin for sign in PROMPT_SIGNS)

    def show_prompt(self) -> bytes:
        """Return what to send once so that a prompt shows itself; then nothing."""
        first, self._asked = not self._asked, True
        return SHOW_PROMPT if first else b""

    def restart(self) -> bytes:
        """Return what to send once to a board at its prompt; then, and to any other, nothing."""
        if self._restarted or not self.at_prompt:
            return b""
        self._restarted = True
        log.warning("board on %s is at MicroPython's prompt: starting its program", self._port)
        self._begin.clear()  # what comes from now on is judged afresh
        return SOFT_RESET

    def verdict(self, waited_s: float) -> ProtocolError:
        """Return the error once the wait is over."""
        if not self._bytes:
            return silent(self._port, waited_s)
        return strange(self._port, self._bytes, bytes(self._begin), at_prompt=self.at_prompt)
