"""Sweeper: which segments are done with, and their removal.

An acknowledgement must not vanish before the record that it is for. So the oldest segments go as soon as
nothing waits in them; one in the middle, only once what it says of others is written anew (`carried`).
"""

from __future__ import annotations

import threading
from collections.abc import Container
from pathlib import Path

from agent.outbox.card import FILES_STAY, Card
from agent.outbox.files import Disk, segment_name
from agent.outbox.frames import Op, Why, encode, encode_runs
from agent.outbox.index import Index
from agent.outbox.reader import SegmentReader
from agent.outbox.writer import SegmentWriter


class Sweeper:
    """`spent` under the lock of the log, `remove` without it."""

    def __init__(
        self,
        directory: Path,
        index: Index,
        writer: SegmentWriter,
        reader: SegmentReader,
        disk: Disk,
        lock: threading.RLock,
    ) -> None:
        self.card = Card(directory)
        """Removing may be refused where writing is not."""
        self.moved: set[int] = set()
        """Records whose new place is not durable yet: keep the old one."""
        self.carried: set[int] = set()
        """Segments whose acknowledgements stand in a later one, too."""
        self._directory = directory
        self._index = index
        self._writer = writer
        self._reader = reader
        self._disk = disk
        self._lock = lock

    def spent(self, unsynced: Container[int]) -> list[int]:
        """Return the segments that can go when the records in `unsynced` are durable."""
        spent: list[int] = []
        if not self.card.may_be_tried or (self.moved and any(i not in unsynced for i in self.moved)):
            return spent
        is_oldest = True
        for number in self._writer.sizes:
            if number == self._writer.active:
                break
            if self._index.live_in(number):
                if not self.carried:
                    break  # each append asks: it must not look at a thousand files
                is_oldest = False
            elif is_oldest or number in self.carried:
                spent.append(number)
        return spent

    def sealed(self, unsynced: Container[int]) -> dict[int, int]:
        """Return the bytes of each segment that is no longer written to and is not spent, oldest first."""
        left_out = {*self.spent(unsynced), self._writer.active}
        return {n: size for n, size in self._writer.sizes.items() if n not in left_out}

    def carry(self, segment: int, next_id: int) -> bool:
        """Write anew what a segment says of others; return whether there was something. Raises OSError."""
        if segment == next(iter(self._writer.sizes), None) or segment in self.carried:
            return False
        frame = self._said(segment)
        if frame:
            self._writer.write(frame, next_id)
        self.carried.add(segment)
        return bool(frame)

    def carry_bytes(self, segment: int) -> int:
        """Return how many bytes `carry` would write; none where the file cannot be read."""
        if segment == next(iter(self._writer.sizes), None) or segment in self.carried:
            return 0
        try:
            return len(self._said(segment))
        except OSError:
            return 0

    def _said(self, segment: int) -> bytes:
        ids = [i for i in self._reader.finished(segment) if i not in self._index]
        return encode(Op.DONE, Why.ACKNOWLEDGED, ids[0], encode_runs(ids)) if ids else b""

    def remove(self, numbers: list[int]) -> None:
        """Remove segments."""
        if not numbers:
            return
        try:
            for number in numbers:
                self._reader.forget(number)
                self._disk.remove(self._directory / segment_name(number))
                with self._lock:
                    self._writer.forget([number])
                    self.carried.discard(number)
            self._disk.sync_directory(self._directory)
            self.card.is_well(proven=True)
        except OSError as error:
            with self._lock:
                self.card.refused("removing a file of", error, FILES_STAY)
