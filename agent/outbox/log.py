"""SegmentLog: the engine of the outbox. Appends, reads back, commits, and removes what is done with.

Two locks. `lock` guards the index and the place where the next byte goes, and is held for
microseconds; `_sync_lock` lets one commit at a time wait for the medium, while others go on appending.

**When the card refuses** (full, read-only, broken) nothing is raised into the pipeline: the records
stay in memory up to a bound, are handed out from there, and are written as soon as the card takes them
again. Durability is lost then, delivery is not; `card.trouble` says so in four parts.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

from agent.errors import OutboxError
from agent.outbox.card import CARD_ERRORS, Card, cannot_open
from agent.outbox.files import DirectoryLock, Disk
from agent.outbox.frames import Flag, Op, Why, encode, encode_merged, encode_runs, flags_of
from agent.outbox.index import IN_MEMORY, Index, State
from agent.outbox.overflow import Overflow
from agent.outbox.reader import SegmentReader, Stored
from agent.outbox.recovery import Recovery, load
from agent.outbox.sweep import Sweeper
from agent.outbox.writer import Dirt, SegmentWriter, check_segment_bytes

OVERFLOW_MAX_BYTES = 4 << 20
_PUT, _URGENT = int(Op.PUT), int(Flag.URGENT)
_PENDING, _URGENT_PENDING = int(State.PENDING), int(State.URGENT_PENDING)


class SegmentLog:
    """An append-only log of records in a directory, held by one process."""

    def __init__(
        self,
        directory: Path,
        *,
        segment_bytes: int = 1 << 20,
        memory_max_bytes: int = OVERFLOW_MAX_BYTES,
        disk: Disk | None = None,
    ) -> None:
        check_segment_bytes(directory, segment_bytes)
        self.directory = directory
        self.lock = threading.RLock()
        self.index = Index()
        self.card = Card(directory)
        self.appended = self.damaged = 0
        self.lost: list[Stored] = []  # dropped for want of memory; the owner takes them from here
        self._disk = disk or Disk()
        self._sync_lock = threading.Lock()
        self._unsynced: dict[int, bytes] = {}  # frames that may still be lost, by id
        self._unsynced_bytes = 0
        self._overflow = Overflow(memory_max_bytes)
        self._must_sync = False  # something that is no record has to be durable with the next commit
        self._owed_done: list[int] = []  # acknowledgements that the card did not take
        self._directory_lock: DirectoryLock | None = None
        self.recovery = self._recover()
        self.reader = SegmentReader(directory, self._disk)
        self.next_id = self.recovery.next_id
        self._writer = SegmentWriter(directory, segment_bytes, dict(self.recovery.sizes), self._disk)
        self._sweeper = Sweeper(directory, self.index, self._writer, self.reader, self._disk, self.lock)
        try:
            self._writer.reopen_last()
        except OSError as error:
            self.card.refused("opening", error)

    def append(self, items: Sequence[tuple[bytes, int]], *, soon: bool = False) -> list[int]:
        """Append records (body, flags) and return their ids. Durable only after `commit`; `soon`: at once."""
        with self.lock:
            first = self.next_id
            self.next_id += len(items)
            numbered = enumerate(items, first)
            self._write_records([(i, encode(_PUT, flags, i, body)) for i, (body, flags) in numbered], soon)
            self.appended += len(items)
            return list(range(first, self.next_id))

    def put(self, records: Sequence[tuple[int, tuple[bytes, int]]]) -> list[int]:
        """Append records with ids of the caller's choice; one that is known is replaced."""
        with self.lock:
            frames = [(i, encode(_PUT, flags, i, body)) for i, (body, flags) in records]
            self.next_id = max([self.next_id, *(i + 1 for i, _ in frames)])
            self._write_records(frames)
            self.appended += len(frames)
            return [i for i, _ in frames]

    def reserve_id(self) -> int:
        """Return an id that no record has had."""
        with self.lock:
            self.next_id += 1
            return self.next_id - 1

    def done(self, ids: Iterable[int], why: Why) -> int:
        """Note that records wait no longer, and return how many did. Needs no commit.

        A cut that loses the note costs a duplicate, never a record.
        """
        with self.lock:
            gone = [i for i in ids if self.index.remove(i)]
            if not gone:
                return 0
            for i in gone:
                self._overflow.pop(i)
            self._sweeper.moved.difference_update(gone)
            self._owed_done += gone
            self._write_owed(why)
            return len(gone)

    def move(self, records: Sequence[Stored]) -> None:
        """Append records anew, so that the segments in which they lie can go; durable after `commit`."""
        with self.lock:
            for stored in records:
                frame = encode(Op.PUT, stored.flags, stored.doc_id, stored.body)
                if (place := self._place(frame)) is None:
                    return  # it stays where it is
                self.index.put(stored.doc_id, *place, self.index.state(stored.doc_id))
                self._note_unsynced(stored.doc_id, frame)
                self._sweeper.moved.add(stored.doc_id)

    def merge(self, doc_ids: Sequence[int], body: bytes, flags: Flag) -> bool:
        """Put one record, with the last id, in the place of several; False if one of them is in use.

        Handed out again after `commit`; until then the old ones stay on the medium.
        """
        with self.lock:
            if any(self.index.state(i) is not State.READY for i in doc_ids) or not self.card.may_be_tried:
                return False
            *others, last = doc_ids
            frame = encode_merged(flags, last, others, body)
            if (place := self._place(frame)) is None:
                return False
            for i in others:
                self.index.remove(i)
                self._sweeper.moved.discard(i)
            self.index.put(last, *place, State.PENDING)
            self._note_unsynced(last, frame)
            self._sweeper.moved.add(last)
            return True

    def seal(self) -> None:
        """Write to a new segment from now on, so that the current one can be worked on."""
        with self.lock:
            self._writer.abandon()

    def carry(self, segment: int) -> None:
        """Say again what a segment says of others, so that it can go before older ones do."""
        with self.lock:
            try:
                self._must_sync |= self._sweeper.carry(segment, self.next_id)
            except OSError as error:
                self.card.refused("writing to", error)

    def carry_bytes(self, segment: int) -> int:
        """Return how many bytes `carry` would write."""
        with self.lock:
            return self._sweeper.carry_bytes(segment)

    def retry(self) -> float | None:
        """Offer the card again what it refused; return in how many seconds to ask next, or None."""
        with self.lock:
            if (
                self._sweeper.card.trouble is not None
                and self._sweeper.card.may_be_tried
                and not self._sweeper.spent(self._unsynced)
            ):
                self._sweeper.card.is_well(proven=True)
            if self.card.trouble is not None and self.card.may_be_tried:
                self._write_records([])
                self._write_owed()
                self._probe()
                if self.card.may_be_tried:
                    if not self._unsynced:
                        self.card.is_well(proven=False)  # nothing is left that could fail: the next will tell
                    return self._sweeper.card.retry_in_s
            waits = [s for s in (self.card.retry_in_s, self._sweeper.card.retry_in_s) if s is not None]
            return min(waits, default=None)

    def try_now(self) -> None:
        """Do not leave the card alone any longer."""
        with self.lock:
            self.card.try_now()
            self._sweeper.card.try_now()

    @property
    def trouble(self) -> OutboxError | None:
        """What the card refuses, in four parts."""
        return self.card.trouble or self._sweeper.card.trouble

    @property
    def work(self) -> tuple[int, int]:
        """Pages of the medium that were written to, and syncs."""
        return self._writer.pages, self._writer.syncs

    @property
    def needs_commit(self) -> bool:
        """Whether records wait to become durable, or files to be removed."""
        return bool(self._unsynced or self._must_sync or self._sweeper.spent(self._unsynced))

    @property
    def unsynced_bytes(self) -> int:
        """Bytes of the records that a power cut now would lose."""
        return self._unsynced_bytes

    def commit(self, *, sweep: bool = True) -> None:
        """Return when all that was appended before is on the medium; `sweep`: remove what is done with."""
        with self._sync_lock:
            with self.lock:
                spent = self._sweeper.spent(self._unsynced) if sweep else []
                batch, self._unsynced, self._unsynced_bytes = self._unsynced, {}, 0
                # Acknowledgements alone are not worth a sync.
                dirt = self._writer.take_dirt() if batch or self._must_sync else Dirt([], names=False)
                self._must_sync = False
            try:
                for fd in dirt.fds:
                    self._disk.sync(fd)
                if dirt.names:
                    self._disk.sync_directory(self.directory)
                self._writer.syncs += len(dirt.fds) + dirt.names
            except OSError as error:
                with self.lock:
                    self._commit_failed(batch, error)
                return
            with self.lock:
                for doc_id in batch:
                    if doc_id not in self._unsynced:  # else it was written anew while we waited
                        self.index.settle(doc_id)
                        self._sweeper.moved.discard(doc_id)
                if batch and not self._overflow:
                    self.card.is_well(proven=True)
                self._writer.close_synced()
            if spent:
                self._sweeper.remove(spent)

    def close(self) -> None:
        """Commit and let go of the directory."""
        self.try_now()
        self.retry()
        self.commit()
        with self.lock:
            self._writer.close()
            self.reader.close()
            if self._directory_lock is not None:
                self._directory_lock.release()

    def read(self, doc_id: int) -> Stored | None:
        """Return a waiting record, or None if there is none (any more) or the card lost it."""
        while True:
            with self.lock:
                place = self.index.place(doc_id)
                if place is None:
                    return None
                if place[0] == IN_MEMORY:
                    return Stored.of_frame(self._overflow[doc_id])
            try:
                stored = self.reader.read(*place)  # without the lock: a card can be slow
            except OSError:
                with self.lock:
                    if self.index.place(doc_id) == place:
                        return None  # it stays in the index: what cannot be read now may be, later
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
        return self._writer.size_bytes

    @property
    def spent_bytes(self) -> int:
        """Bytes of the segments that go with the next commit."""
        with self.lock:
            return sum(self._writer.sizes[number] for number in self._sweeper.spent(self._unsynced))

    @property
    def segments(self) -> int:
        """Number of segment files."""
        return len(self._writer.sizes)

    @property
    def in_memory(self) -> int:
        """Number of records that the card did not take."""
        return len(self._overflow)

    def sealed(self) -> dict[int, int]:
        """Return the bytes of each segment that is no longer written to and does not go yet, oldest first."""
        with self.lock:
            return self._sweeper.sealed(self._unsynced)

    def records_in(self, segment: int) -> list[Stored]:
        """Return the waiting records that lie in a segment."""
        with self.lock:
            place = self.index.place
            return [s for s in self.reader.scan(segment) if place(s.doc_id) == (segment, s.offset)]

    def _place(self, frame: bytes) -> tuple[int, int] | None:
        try:
            return self._writer.write(frame, self.next_id)
        except OSError as error:
            self.card.refused("writing to", error)
            return None

    def _recover(self) -> Recovery:
        try:
            self._disk.make_directory(self.directory)
            self._directory_lock = DirectoryLock(self.directory)
            return load(self.directory, self.index, self._disk, repair=True)
        except OSError as error:
            if error.errno not in CARD_ERRORS:
                raise cannot_open(self.directory, error) from error
            self.card.refused("opening", error)
            return Recovery(findings=[f"the outbox cannot be read ({error.strerror}): memory only"])

    def _write_records(self, frames: list[tuple[int, bytes]], soon: bool = False) -> None:
        """Write frames, the ones that the card refused before first; what it refuses stays in memory."""
        queue = [*self._overflow.items(), *frames] if self._overflow else frames
        written = 0
        if self.card.may_be_tried:
            try:
                while written < len(queue):
                    written += self._write_some(queue[written:] if written else queue, soon)
            except OSError as error:
                self.card.refused("writing to", error)
        if written < len(queue):
            for doc_id, frame in queue[max(written, len(queue) - len(frames)) :]:
                self._keep_in_memory(doc_id, frame, is_urgent=bool(flags_of(frame) & _URGENT))
        if self._overflow:
            self._bound_memory()

    def _write_some(self, frames: list[tuple[int, bytes]], soon: bool) -> int:
        """Write as many of `frames` as go into one segment, in one write; return how many."""
        bare = [frame for _, frame in frames]
        segment, offset, count = self._writer.write_many(bare, self.next_id, soon=soon)
        for doc_id, frame in frames[:count]:
            if not self._overflow or self._overflow.pop(doc_id) is None:
                state = _URGENT_PENDING if flags_of(frame) & _URGENT else _PENDING
            else:
                state = self.index.state(doc_id)  # keeps a lease
            self.index.put(doc_id, segment, offset, state)
            self._note_unsynced(doc_id, frame)
            offset += len(frame)
        return count

    def _write_owed(self, why: Why = Why.ACKNOWLEDGED) -> None:
        if self._owed_done and self.card.may_be_tried:
            try:
                frame = encode(Op.DONE, why, self._owed_done[0], encode_runs(self._owed_done))
                self._writer.write(frame, self.next_id)
                self._owed_done.clear()
            except OSError as error:
                self.card.refused("writing to", error)

    def _probe(self) -> None:
        """With nothing to write, see at least whether there is a file to write to."""
        try:
            self._writer.room(self.next_id)
        except OSError as error:
            self.card.refused("writing to", error)

    def _note_unsynced(self, doc_id: int, frame: bytes) -> None:
        self._unsynced[doc_id] = frame
        self._unsynced_bytes += len(frame)

    def _commit_failed(self, batch: dict[int, bytes], error: OSError) -> None:
        """After a failed sync the kernel forgets what it could not write: keep it and write it anew."""
        self.card.refused("syncing", error)
        self._writer.abandon()
        self._sweeper.carried.clear()  # what was carried may be lost
        for doc_id, frame in {**batch, **self._unsynced}.items():
            if doc_id in self.index:
                is_urgent = self.index.state(doc_id) >= State.URGENT_READY
                self._keep_in_memory(doc_id, frame, is_urgent=is_urgent)
        self._unsynced.clear()
        self._unsynced_bytes = 0
        self._bound_memory()

    def _keep_in_memory(self, doc_id: int, frame: bytes, *, is_urgent: bool) -> None:
        state = self.index.state(doc_id)
        if state not in (State.LEASED, State.URGENT_LEASED):
            state = State.URGENT_READY if is_urgent else State.READY
        self.index.put(doc_id, IN_MEMORY, 0, state)
        self._overflow.add(doc_id, frame)

    def _bound_memory(self) -> None:
        for doc_id, frame in self._overflow.shed(lambda i: self.index.state(i) >= State.URGENT_READY):
            self.index.remove(doc_id)
            self.lost.append(Stored.of_frame(frame))
