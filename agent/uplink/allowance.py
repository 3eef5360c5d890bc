"""Allowance: how many bytes of the backlog may be sent, where the line is paid for or shared.

A bucket that holds one second's worth; what is taken beyond it is owed (token bucket, RFC 2697 has its kin).
Not safe across threads by itself: its owner holds a lock.
"""

from __future__ import annotations


class Allowance:
    """`bytes_per_s` 0: as fast as the line is."""

    def __init__(self, bytes_per_s: float) -> None:
        self._bytes_per_s = bytes_per_s
        self._left_bytes = bytes_per_s
        self._at_s: float | None = None

    @property
    def is_limited(self) -> bool:
        """Whether there is a limit."""
        return self._bytes_per_s > 0

    def may(self, now_s: float) -> bool:
        """Return whether more may be sent now (monotonic)."""
        if not self.is_limited:
            return True
        if self._at_s is not None:
            grown = self._left_bytes + (now_s - self._at_s) * self._bytes_per_s
            self._left_bytes = min(self._bytes_per_s, grown)
        self._at_s = now_s
        return self._left_bytes > 0

    def spend(self, size_bytes: int) -> None:
        """Note what was sent."""
        if self.is_limited:
            self._left_bytes -= size_bytes

    def due_s(self, now_s: float) -> float:
        """Return when more may be sent, if not now."""
        if not self.is_limited or self._at_s is None or self._left_bytes > 0:
            return now_s
        return self._at_s + (1.0 - self._left_bytes) / self._bytes_per_s
