"""The card's health, as its refusals tell it: whether to try it now, and what to say of it."""

from __future__ import annotations

import errno
import time
from pathlib import Path

from agent.errors import OutboxError

RETRY_MIN_S = 1.0
RETRY_MAX_S = 30.0
"""After a failed write the card is left alone for so long: a broken one can take seconds to say no."""
CARD_ERRORS = frozenset({errno.EROFS, errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.ETIMEDOUT})
"""Errors that speak of the card, not of the configuration: the agent starts all the same."""

IN_MEMORY_ONLY = "Records stay in memory and are sent from there, but a power cut would lose them."
FILES_STAY = "Files that are done with stay on the card."


class Card:
    """Not safe across threads by itself: its owner holds a lock."""

    def __init__(self, directory: Path) -> None:
        self.trouble: OutboxError | None = None
        """In four parts, from a refusal until the card has taken everything again."""
        self._directory = directory
        self._retry_at_s = 0.0  # monotonic
        self._wait_s = 0.0

    @property
    def may_be_tried(self) -> bool:
        """Whether it is well, or has been left alone for long enough."""
        return self.trouble is None or time.monotonic() >= self._retry_at_s

    @property
    def retry_in_s(self) -> float | None:
        """Seconds until it may be tried again; None while it is well."""
        return None if self.trouble is None else max(0.0, self._retry_at_s - time.monotonic())

    def refused(self, doing: str, error: OSError, consequence: str = IN_MEMORY_ONLY) -> None:
        """Note a refusal and what follows from it."""
        self._wait_s = min(RETRY_MAX_S, max(RETRY_MIN_S, self._wait_s * 2))
        self._retry_at_s = time.monotonic() + self._wait_s
        self.trouble = OutboxError(
            f"{doing} the outbox {self._directory}",
            got=error.strerror or str(error),
            expected="a card that takes what is written",
            remedy=f"{consequence} Free space on the card, or replace it if it has become read-only.",
        )

    def is_well(self, *, proven: bool) -> None:
        """Nothing is outstanding any more; `proven` if the card has just taken something."""
        self.trouble = None
        if proven:
            self._wait_s = 0.0

    def try_now(self) -> None:
        """Do not wait any longer."""
        self._retry_at_s = 0.0


def cannot_open(directory: Path, error: OSError) -> OutboxError:
    """Return what it means that an outbox cannot be opened at all."""
    return OutboxError(
        f"opening the outbox {directory}",
        got=error.strerror or str(error),
        expected="a directory that can be read and written",
        remedy="Check that the path is right, that the agent's user owns it, and that the card is mounted.",
    )
