"""SegmentLog: the engine of the outbox. Appends, reads back, commits, and removes what is done with.

Two locks. `lock` guards the index and the place where the next byte goes, and is held for
microseconds; `_sync_lock` lets one commit at a time wait for the medium, while others go on appending.

**When the card refuses** (full, read-only, broken) nothing is raised into the pipeline: the records
stay in memory up to a bound, are handed out from there, and are written as soon as the card takes them
again. Durability is lost then, delivery is not; `trouble` says so in four parts.
"""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from agent.errors import OutboxError
from agent.outbox.files import DirectoryLock, Disk, segment_name
from agent.outbox.frames import (
    SEGMENT_HEADER_BYTES,
    Flag,
    Op,
    Why,
    encode,
    encode_header,
    encode_runs,
)
from agent.outbox.index import IN_MEMORY, URGENT_STEP, Index, State
from agent.outbox.reader import SegmentReader, Stored
from agent.outbox.recovery import Recovery, load

MAX_SEGMENT_BYTES = 1 << 30  # offsets are 32 bits
MEMORY_MAX_BYTES = 4 << 20
RETRY_MIN_S = 1.0
RETRY_MAX_S = 30.0
"""After a failed write the card is left alone for so long: a broken one can take seconds to say no."""
CARD_ERRORS = frozenset({errno.EROFS, errno.ENOSPC, errno.EIO, errno.EDQUOT})
"""Errors that speak of the card, not of the configuration: the agent starts all the same."""


class SegmentLog:
    """An append-only log of records in a directory, held by one process."""

    def __init__(
        self,
        directory: Path,
        *,
        segment_bytes: int = 1 << 20,
        memory_max_bytes: int = MEMORY_MAX_BYTES,
        disk: Disk | None = None,
    ) -> None:
        if not 0 < segment_bytes <= MAX_SEGMENT_BYTES:
            raise OutboxError(
                f"opening the outbox {directory}",
                got=f"segments of {segment_bytes} bytes",
                expected=f"1 to {MAX_SEGMENT_BYTES}",
                remedy="Leave segment_bytes at its default of 1 MiB.",
            )
        self.directory = directory
        self.lock = threading.RLock()
        self.index = Index()
        self.trouble: OutboxError | None = None
        self.appended = self.damaged = 0
        self.lost: list[Stored] = []  # dropped for want of memory; the owner takes them from here
        self._disk = disk or Disk()
        self._segment_bytes = segment_bytes
        self._memory_max_bytes = memory_max_bytes
        self._sync_lock = threading.Lock()
        self._unsynced: dict[int, bytes] = {}  # frames that may still be lost, by id
        self._memory: dict[int, bytes] = {}  # frames that the card did not take, by id
        self._memory_bytes = 0
        self._moved: set[int] = set()  # their new place is not durable yet: keep the old one
        self._owed_done: list[int] = []  # acknowledgements that the card did not take
        self._retry_at_s = 0.0
        self._retry_wait_s = 0.0
        self._names_unsynced = False
        self._dirty: set[int] = set()
        self._write_fds: dict[int, int] = {}
        self._active: int | None = None
        self._directory_lock: DirectoryLock | None = None
        self.recovery = self._recover()
        self._reader = SegmentReader(directory, self._disk)
        self._sizes = dict(self.recovery.sizes)
        self._next_id = self.recovery.next_id
        self._next_segment = max(self._sizes, default=0) + 1
        self._reopen_last()

    # -- writing ---------------------------------------------------------------------------------

    def append(self, items: Sequence[tuple[bytes, Flag]]) -> list[int]:
        """Append records (body, flags) and return their ids. Durable only after `commit`."""
        with self.lock:
            first = self._next_id
            self._next_id += len(items)
            return self.put(list(zip(range(first, first + len(items)), items, strict=True)))

    def put(self, records: Sequence[tuple[int, tuple[bytes, Flag]]]) -> list[int]:
        """Append records with ids of the caller's choice; one that is known is replaced."""
        with self.lock:
            frames = [(i, encode(Op.PUT, flags, i, body)) for i, (body, flags) in records]
            self._next_id = max([self._next_id, *(i + 1 for i, _ in frames)])
            self._write_records(frames, urgent={i for i, (_, flags) in records if flags & Flag.URGENT})
            self.appended += len(frames)
            return [i for i, _ in frames]

    def reserve_id(self) -> int:
        """Return an id that no record has had."""
        with self.lock:
            self._next_id += 1
            return self._next_id - 1

    def done(self, ids: Iterable[int], why: Why) -> int:
        """Note that records wait no longer, and return how many did. Needs no commit.

        A cut that loses the note costs a duplicate, never a record.
        """
        with self.lock:
            gone = [i for i in ids if self.index.remove(i)]
            if not gone:
                return 0
            for i in gone:
                frame = self._memory.pop(i, None)
                self._memory_bytes -= len(frame or b"")
            self._moved.difference_update(gone)
            self._owed_done += gone
            self._write_owed(why)
            return len(gone)

    def move(self, records: Sequence[Stored]) -> None:
        """Append records anew, so that the segments in which they lie can go; durable after `commit`."""
        with self.lock:
            for stored in records:
                frame = encode(Op.PUT, stored.flags, stored.doc_id, stored.body)
                try:
                    self._write(frame)
                except OSError as error:
                    self._failed("writing to", error)
                    return  # it stays where it is
                assert self._active is not None
                offset = self._sizes[self._active] - len(frame)
                self.index.put(stored.doc_id, self._active, offset, self.index.state(stored.doc_id))
                self._unsynced[stored.doc_id] = frame
                self._moved.add(stored.doc_id)

    def retry(self) -> float | None:
        """Offer the card again what it refused; return in how many seconds to ask next, or None."""
        with self.lock:
            if self.trouble is not None and self._may_write():
                self._write_records([], set())
                self._write_owed()
                if self._may_write():
                    if not self._unsynced:
                        self.trouble = None  # nothing is left that could fail; the next write will tell
                    return None
            return None if self.trouble is None else max(0.0, self._retry_at_s - time.monotonic())

    @property
    def needs_commit(self) -> bool:
        """Whether records wait to become durable, or files to be removed."""
        return bool(self._unsynced or self._spent())

    def commit(self) -> None:
        """Return when all that was appended before is on the medium; then remove what is done with."""
        with self._sync_lock:
            with self.lock:
                batch, self._unsynced = self._unsynced, {}
                fds = {n: self._write_fds[n] for n in self._dirty if n in self._write_fds}
                names = self._names_unsynced
                if batch:
                    self._dirty.clear()
                    self._names_unsynced = False
                spent = self._spent()
            try:
                if batch:
                    for fd in fds.values():
                        self._disk.sync(fd)
                    if names:
                        self._disk.sync_directory(self.directory)
            except OSError as error:
                with self.lock:
                    self._commit_failed(batch, error)
                return
            with self.lock:
                for doc_id in batch:
                    self._now_ready(doc_id)
                self._moved.difference_update(batch.keys() - self._unsynced.keys())
                if batch and not self._memory:
                    self.trouble = None
                    self._retry_wait_s = 0.0
                for number in [n for n in self._write_fds if n != self._active and n not in self._dirty]:
                    self._disk.close(self._write_fds.pop(number))
            self._remove(spent)

    def close(self) -> None:
        """Commit and let go of the directory."""
        self._retry_at_s = 0.0
        self.retry()
        self.commit()
        with self.lock:
            for fd in self._write_fds.values():
                self._disk.close(fd)
            self._write_fds.clear()
            self._reader.close()
            if self._directory_lock is not None:
                self._directory_lock.release()

    # -- reading ---------------------------------------------------------------------------------

    def read(self, doc_id: int) -> Stored | None:
        """Return a waiting record, or None if there is none (any more) or the card lost it."""
        while True:
            with self.lock:
                place = self.index.place(doc_id)
                if place is None:
                    return None
                if place[0] == IN_MEMORY:
                    return Stored.of_frame(self._memory[doc_id])
            try:
                stored = self._reader.read(*place)  # without the lock: a card can be slow
            except OSError:
                if self.index.place(doc_id) == place:
                    return None  # it stays in the index: what cannot be read now may be after a restart
                continue
            if stored is not None and stored.doc_id == doc_id:
                return stored
            with self.lock:
                if self.index.place(doc_id) == place:  # else it was moved meanwhile: look again
                    self.index.remove(doc_id)
                    self.damaged += 1
                    return None

    @property
    def size_bytes(self) -> int:
        """Bytes of all segments."""
        with self.lock:
            return sum(self._sizes.values())

    @property
    def spent_bytes(self) -> int:
        """Bytes of the segments that go with the next commit."""
        with self.lock:
            return sum(self._sizes[number] for number in self._spent())

    @property
    def segments(self) -> int:
        """Number of segment files."""
        return len(self._sizes)

    @property
    def in_memory(self) -> int:
        """Number of records that the card did not take."""
        return len(self._memory)

    def oldest_segment(self) -> int | None:
        """Return the oldest segment that is no longer written to and holds waiting records."""
        with self.lock:
            return next((n for n in self._sizes if n != self._active and self.index.live_in(n)), None)

    def records_in(self, segment: int) -> list[Stored]:
        """Return the waiting records that lie in a segment."""
        with self.lock:
            return [
                stored
                for stored in self._reader.scan(segment)
                if self.index.place(stored.doc_id) == (segment, stored.offset)
            ]

    # -- inside ----------------------------------------------------------------------------------

    def _recover(self) -> Recovery:
        try:
            self._disk.make_directory(self.directory)
            self._directory_lock = DirectoryLock(self.directory)
            return load(self.directory, self.index, self._disk, repair=True)
        except OSError as error:
            if error.errno in CARD_ERRORS:
                self._failed("opening", error)
                return Recovery(findings=[f"the outbox cannot be read ({error.strerror}): memory only"])
            raise OutboxError(
                f"opening the outbox {self.directory}",
                got=error.strerror or str(error),
                expected="a directory that can be read and written",
                remedy="Check that the path is right, that the user of the agent owns it, and that the "
                "card is mounted.",
            ) from error

    def _write_records(self, frames: list[tuple[int, bytes]], urgent: set[int]) -> None:
        """Write frames, the ones that the card refused before first; what it refuses stays in memory."""
        queue = frames
        if self._memory:
            queue = [*self._memory.items(), *frames]
        written = 0
        if self._may_write():
            try:
                while written < len(queue):
                    written += self._write_some(queue[written:], urgent)
            except OSError as error:
                self._failed("writing to", error)
        for doc_id, frame in queue[max(written, len(queue) - len(frames)) :]:
            self._keep_in_memory(doc_id, frame, is_urgent=doc_id in urgent)
        self._bound_memory()

    def _write_some(self, frames: list[tuple[int, bytes]], urgent: set[int]) -> int:
        """Write as many of `frames` as go into one segment, in one write; return how many."""
        self._roll_if_full()
        assert self._active is not None
        room = self._segment_bytes - self._sizes[self._active]
        chosen = 0
        for _, frame in frames:
            chosen += 1
            room -= len(frame)
            if room <= 0:
                break
        segment, offset = self._active, self._sizes[self._active]
        self._write(b"".join(frame for _, frame in frames[:chosen]))
        for doc_id, frame in frames[:chosen]:
            kept = self._memory.pop(doc_id, None)
            if kept is None:
                step = URGENT_STEP if doc_id in urgent else 0
                self.index.put(doc_id, segment, offset, State.PENDING + step)
            else:
                self._memory_bytes -= len(kept)
                self.index.put(doc_id, segment, offset, self.index.state(doc_id))  # keeps a lease
            self._unsynced[doc_id] = frame
            offset += len(frame)
        return chosen

    def _write(self, data: bytes) -> None:
        self._roll_if_full()
        assert self._active is not None
        self._disk.write_at(self._write_fds[self._active], self._sizes[self._active], data)
        self._sizes[self._active] += len(data)
        self._dirty.add(self._active)

    def _roll_if_full(self) -> None:
        if self._active is None or self._sizes[self._active] >= self._segment_bytes:
            number = self._next_segment
            self._next_segment += 1
            fd = self._disk.create(self.directory / segment_name(number))
            self._write_fds[number] = fd
            self._sizes[number] = 0
            self._names_unsynced = True
            self._disk.write_at(fd, 0, encode_header(number, self._next_id))
            self._sizes[number] = SEGMENT_HEADER_BYTES
            self._active = number

    def _reopen_last(self) -> None:
        """Go on with the last segment, if it can be written and has a whole header."""
        last = max(self._sizes, default=None)
        if last is None or self._sizes[last] < SEGMENT_HEADER_BYTES:
            return
        try:
            self._write_fds[last] = self._disk.open_write(self.directory / segment_name(last))
        except OSError as error:
            self._failed("opening", error)
        else:
            self._active = last

    def _write_owed(self, why: Why = Why.ACKNOWLEDGED) -> None:
        if self._owed_done and self._may_write():
            try:
                self._write(encode(Op.DONE, why, self._owed_done[0], encode_runs(self._owed_done)))
                self._owed_done.clear()
            except OSError as error:
                self._failed("writing to", error)

    def _may_write(self) -> bool:
        return self.trouble is None or time.monotonic() >= self._retry_at_s

    def _failed(self, doing: str, error: OSError) -> None:
        self._retry_wait_s = min(RETRY_MAX_S, max(RETRY_MIN_S, self._retry_wait_s * 2))
        self._retry_at_s = time.monotonic() + self._retry_wait_s
        self.trouble = OutboxError(
            f"{doing} the outbox {self.directory}",
            got=error.strerror or str(error),
            expected="a card that takes what is written",
            remedy="Records stay in memory and are sent from there, but a power cut would lose them. "
            "Free space on the card, or replace it if it has become read-only.",
        )

    def _commit_failed(self, batch: dict[int, bytes], error: OSError) -> None:
        """After a failed sync the kernel forgets what it could not write: keep it and write it anew."""
        self._failed("syncing", error)
        self._active = None
        self._names_unsynced = True
        for doc_id, frame in {**batch, **self._unsynced}.items():
            if doc_id in self.index:
                is_urgent = self.index.state(doc_id) >= State.URGENT_READY
                self._keep_in_memory(doc_id, frame, is_urgent=is_urgent)
        self._unsynced.clear()
        self._bound_memory()

    def _keep_in_memory(self, doc_id: int, frame: bytes, *, is_urgent: bool) -> None:
        state = self.index.state(doc_id)
        if state not in (State.LEASED, State.URGENT_LEASED):
            state = State.URGENT_READY if is_urgent else State.READY
        self.index.put(doc_id, IN_MEMORY, 0, state)
        self._memory_bytes += len(frame) - len(self._memory.get(doc_id, b""))
        self._memory[doc_id] = frame

    def _bound_memory(self) -> None:
        """Drop the oldest from memory when it is full, alarms last."""
        for urgent in (False, True):
            for doc_id in sorted(self._memory) if self._memory_bytes > self._memory_max_bytes else ():
                if self._memory_bytes <= self._memory_max_bytes:
                    return
                if (self.index.state(doc_id) >= State.URGENT_READY) is urgent:
                    frame = self._memory.pop(doc_id)
                    self._memory_bytes -= len(frame)
                    self.index.remove(doc_id)
                    self.lost.append(Stored.of_frame(frame))

    def _now_ready(self, doc_id: int) -> None:
        state = self.index.state(doc_id)
        if state is State.PENDING:
            self.index.set_state(doc_id, State.READY)
        elif state is State.URGENT_PENDING:
            self.index.set_state(doc_id, State.URGENT_READY)

    def _spent(self) -> list[int]:
        """Return the oldest segments in which nothing waits.

        From the oldest on only: an acknowledgement must not vanish before the record that it is for.
        """
        spent: list[int] = []
        if self._moved - self._unsynced.keys() or not self._may_write():
            return spent
        for number in self._sizes:
            if number == self._active or self.index.live_in(number):
                break
            spent.append(number)
        return spent

    def _remove(self, numbers: list[int]) -> None:
        if not numbers:
            return
        try:
            for number in numbers:
                self._reader.forget(number)
                self._disk.remove(self.directory / segment_name(number))
                with self.lock:
                    self._sizes.pop(number, None)
                    fd = self._write_fds.pop(number, None)
                    self._dirty.discard(number)
                    if fd is not None:
                        self._disk.close(fd)
            self._disk.sync_directory(self.directory)
        except OSError as error:
            with self.lock:
                self._failed("removing a file of", error)
