"""The bytes of a file that somebody may yet cut, or a worn card not give back; a little of it in memory.

Memory that is mapped to such a file kills whoever touches it, by a signal, and the agent reads its own
recordings. Here a file that became shorter gives less, and a bad sector raises OSError.
"""

from __future__ import annotations

import os
from typing import BinaryIO

WINDOW_BYTES = 256 << 10


class FileBytes:
    """What of ``bytes`` a reader needs, of an open file: its length, slices in any order, and ``find``."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file.fileno()
        self._size = os.fstat(self._file).st_size
        self._begin = 0
        self._window = b""

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice) -> bytes:
        begin, end, step = part.indices(self._size)
        if step != 1:
            raise ValueError("bytes of a file one after the other")
        if end - begin > WINDOW_BYTES:
            return self._read(begin, end - begin)
        if not self._holds(begin, end):
            self._look_at(begin)
        return self._window[begin - self._begin : max(end, begin) - self._begin]

    def find(self, mark: bytes, begin: int) -> int:
        """Return where this one byte next stands from `begin` on, or -1."""
        while begin < self._size:
            if not self._holds(begin, begin + 1):
                self._look_at(begin)
            if (found := self._window.find(mark, begin - self._begin)) >= 0:
                return self._begin + found
            if not self._window:  # it has become shorter
                break
            begin = self._begin + len(self._window)
        return -1

    def _holds(self, begin: int, end: int) -> bool:
        return self._begin <= begin and end <= self._begin + len(self._window)

    def _look_at(self, begin: int) -> None:
        self._begin, self._window = begin, self._read(begin, WINDOW_BYTES)

    def _read(self, begin: int, size: int) -> bytes:
        parts = []
        while size > 0 and (part := os.pread(self._file, size, begin)):
            parts.append(part)
            begin, size = begin + len(part), size - len(part)
        return b"".join(parts)
