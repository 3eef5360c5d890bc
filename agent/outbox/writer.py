"""SegmentWriter: the files at whose end is written, and which of them are not on the medium yet."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from agent.errors import OutboxError
from agent.outbox.files import PAGE_BYTES, Disk, segment_name
from agent.outbox.frames import SEGMENT_HEADER_BYTES, encode_header

MAX_SEGMENT_BYTES = 1 << 30  # offsets are 32 bits
AHEAD_BYTES = 64 << 10
"""Zeros are written so far ahead of the frames: a sync that makes no file longer waits for no journal, and is
less work for the card. Reserved blocks (fallocate) would not do: their first write is journalled, too."""


def check_segment_bytes(directory: Path, segment_bytes: int) -> None:
    """Raise OutboxError for segments of a size that cannot be."""
    if not 0 < segment_bytes <= MAX_SEGMENT_BYTES:
        raise OutboxError(
            f"opening the outbox {directory}",
            got=f"segments of {segment_bytes} bytes",
            expected=f"1 to {MAX_SEGMENT_BYTES}",
            remedy="Leave segment_bytes at its default of 1 MiB.",
        )


class Dirt(NamedTuple):
    """What has to be synced before all that was written so far is on the medium."""

    fds: list[int]
    names: bool
    """Whether a file was created: then the directory, too."""


class SegmentWriter:
    """Not safe across threads by itself: its owner holds a lock. Every method may raise OSError."""

    def __init__(self, directory: Path, segment_bytes: int, sizes: dict[int, int], disk: Disk) -> None:
        self.sizes = sizes
        """Good bytes of each segment, oldest first."""
        self.size_bytes = sum(sizes.values())
        """Of all of them: each append asks."""
        self.active: int | None = None
        """The segment that is written to."""
        self.pages = 0
        """Pages of the medium that were written to, each once a sync."""
        self.syncs = 0
        self._page = -1  # the last one that was counted
        self._written_to: dict[int, int] = {}  # the zeros ahead included
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._disk = disk
        self._fds: dict[int, int] = {}
        self._dirty: set[int] = set()
        self._names_dirty = False
        self._next = max(sizes, default=0) + 1

    def reopen_last(self) -> None:
        """Go on with the last segment, if it has a whole header."""
        last = max(self.sizes, default=None)
        if last is not None and self.sizes[last] >= SEGMENT_HEADER_BYTES:
            self._fds[last] = self._disk.open_write(self._directory / segment_name(last))
            self._make_ahead(last)
            self.active = last

    def room(self, next_id: int) -> int:
        """Return how many bytes the segment still takes; begins the next one when it is full.

        A segment takes one more frame than fits, so that the size of a frame is not bounded by it.
        """
        if self.active is None or self.sizes[self.active] >= self._segment_bytes:
            self._begin(next_id)
        assert self.active is not None
        return self._segment_bytes - self.sizes[self.active]

    def write(self, data: bytes, next_id: int, *, soon: bool = False) -> tuple[int, int]:
        """Append whole frames; return the segment and the offset at which they begin.

        `soon`: a sync follows at once.
        """
        write = self._disk.write_soon if soon else self._disk.write_at
        try:
            self.room(next_id)
            assert self.active is not None
            segment, offset = self.active, self.sizes[self.active]
            end = offset + len(data)
            if end > self._written_to.get(segment, end):
                ahead = min(-(-end // AHEAD_BYTES) * AHEAD_BYTES, max(end, self._segment_bytes))
                write(self._fds[segment], offset, data + bytes(ahead - end))
                self._written_to[segment] = ahead
                self.pages += (ahead - end) // PAGE_BYTES
            else:
                write(self._fds[segment], offset, data)
        except OSError as error:
            if error.errno == errno.ETIMEDOUT:
                self.abandon()  # it may still be written, whenever the card answers: nothing else goes there
            raise
        self.sizes[segment] = end
        self.size_bytes += len(data)
        self._dirty.add(segment)
        first, last = offset // PAGE_BYTES, (end - 1) // PAGE_BYTES
        self.pages += last - first + (first != self._page)
        self._page = last
        return segment, offset

    def write_many(
        self, frames: Sequence[bytes], next_id: int, *, soon: bool = False
    ) -> tuple[int, int, int]:
        """Append as many frames as one segment takes, in one write; return as `write` does, and how many."""
        if len(frames) == 1:
            return *self.write(frames[0], next_id, soon=soon), 1
        room = self.room(next_id)
        count = 0
        for frame in frames:
            count += 1
            room -= len(frame)
            if room <= 0:
                break
        return *self.write(b"".join(frames[:count]), next_id, soon=soon), count

    def abandon(self) -> None:
        """Write no more to the current segment: the medium has refused it."""
        self.active = None
        self._names_dirty = True

    def take_dirt(self) -> Dirt:
        """Return what is to be synced, and take it as done."""
        dirt = Dirt([self._fds[n] for n in sorted(self._dirty) if n in self._fds], self._names_dirty)
        self._dirty.clear()
        self._page = -1
        self._names_dirty = False
        return dirt

    def close_synced(self) -> None:
        """Close the segments that are full and on the medium."""
        if len(self._fds) > 1 or self.active is None:
            for number in [n for n in self._fds if n != self.active and n not in self._dirty]:
                self._disk.close(self._fds.pop(number))

    def forget(self, numbers: Iterable[int]) -> None:
        """Forget segments that are removed."""
        for number in numbers:
            self.size_bytes -= self.sizes.pop(number, 0)
            self._written_to.pop(number, None)
            self._dirty.discard(number)
            fd = self._fds.pop(number, None)
            if fd is not None:
                self._disk.close(fd)

    def close(self) -> None:
        """Close all; without the zeros ahead."""
        for number, fd in self._fds.items():
            if self._written_to.get(number, 0) > self.sizes.get(number, 0):
                with contextlib.suppress(OSError):
                    self._disk.truncate(fd, self.sizes[number])
            self._disk.close(fd)
        self._fds.clear()

    def _make_ahead(self, number: int) -> None:
        if self._segment_bytes > AHEAD_BYTES:
            self._written_to[number] = self.sizes[number]

    def _begin(self, next_id: int) -> None:
        number = self._next
        self._next += 1
        path = self._directory / segment_name(number)
        fd = self._disk.create(path)
        try:
            self._disk.write_at(fd, 0, encode_header(number, next_id))
        except OSError:
            self._disk.close(fd)
            self._disk.remove(path)
            raise
        self._fds[number] = fd
        self.sizes[number] = SEGMENT_HEADER_BYTES
        self.size_bytes += SEGMENT_HEADER_BYTES
        self._make_ahead(number)
        self._names_dirty = True
        self.active = number
