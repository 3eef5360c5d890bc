"""SegmentReader: records back from the card, checked. Keeps a few files open."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.outbox.files import Disk, segment_name
from agent.outbox.frames import (
    FRAME_HEAD_BYTES,
    Flag,
    Frame,
    Op,
    finished_by,
    frame_at,
    frame_bytes,
    record_start,
    scan,
)

OPEN_FILES = 8
_RECORDS = frozenset({Op.PUT, Op.MERGED})
FIRST_READ_BYTES = 2048  # holds nearly every record, so that one read does


@dataclass(frozen=True, slots=True)
class Stored:
    """One record as it lies on the card."""

    doc_id: int
    flags: Flag
    body: bytes
    offset: int = 0

    @property
    def urgent(self) -> bool:
        """Whether it is an alarm."""
        return bool(self.flags & Flag.URGENT)

    @property
    def sliced(self) -> bool:
        """Whether its body was made by `documents.encode_record`."""
        return bool(self.flags & Flag.RECORD)

    @classmethod
    def of_frame(cls, data: bytes) -> Stored:
        """Take it out of a whole frame that this process made itself."""
        frame = frame_at(data, 0)
        assert frame is not None
        return _stored(data, frame, 0)


def _stored(data: bytes, frame: Frame, offset: int) -> Stored:
    return Stored(frame.doc_id, Flag(frame.flags), data[record_start(data, frame) : frame.end], offset)


class SegmentReader:
    """Reads records by segment and offset; safe across threads."""

    def __init__(self, directory: Path, disk: Disk) -> None:
        self._directory = directory
        self._disk = disk
        self._fds: OrderedDict[int, int] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, segment: int, offset: int) -> Stored | None:
        """Return the record that begins at `offset`, or None if it is damaged. Raises OSError."""
        with self._lock:
            fd = self._open(segment)
            data = self._disk.read_at(fd, offset, FIRST_READ_BYTES)
            length = frame_bytes(data[:FRAME_HEAD_BYTES])
            if length is not None and length > len(data):
                data = self._disk.read_at(fd, offset, length)
        frame = frame_at(data, 0)
        if frame is None or frame.op not in _RECORDS:
            return None
        return _stored(data, frame, offset)

    def read_run(self, segment: int, offsets: Sequence[int]) -> list[Stored | None]:
        """Return the records at rising offsets, by one read; None: `read` has to look. Raises OSError."""
        first = offsets[0]
        with self._lock:
            data = self._disk.read_at(self._open(segment), first, offsets[-1] - first + FIRST_READ_BYTES)
        frames = [(offset, frame_at(data, offset - first)) for offset in offsets]
        return [
            None if frame is None or frame.op not in _RECORDS else _stored(data, frame, offset)
            for offset, frame in frames
        ]

    def scan(self, segment: int) -> Iterator[Stored]:
        """Return every undamaged record of a segment, those that are done too."""
        try:
            data = self._disk.read_file(self._directory / segment_name(segment))
        except OSError:
            return
        for item in scan(data):
            if isinstance(item, Frame) and item.op in _RECORDS:
                yield _stored(data, item, item.offset)

    def finished(self, segment: int) -> set[int]:
        """Return the ids of which a segment says that they wait no longer. Raises OSError."""
        data = self._disk.read_file(self._directory / segment_name(segment))
        return {i for item in scan(data) if isinstance(item, Frame) for i in finished_by(data, item)}

    def forget(self, segment: int) -> None:
        """Close a segment that is to be removed."""
        with self._lock:
            fd = self._fds.pop(segment, None)
            if fd is not None:
                self._disk.close(fd)

    def close(self) -> None:
        """Close all files."""
        with self._lock:
            while self._fds:
                self._disk.close(self._fds.popitem()[1])

    def _open(self, segment: int) -> int:
        fd = self._fds.get(segment)
        if fd is None:
            while len(self._fds) >= OPEN_FILES:
                self._disk.close(self._fds.popitem(last=False)[1])
            fd = self._fds[segment] = self._disk.open_read(self._directory / segment_name(segment))
        else:
            self._fds.move_to_end(segment)
        return fd
