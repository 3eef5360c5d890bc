"""Outbox: the durable queue between the pipeline and the uplink.

*Two lanes*: `put` returns when an alarm is on the medium; all else is durable within the commit window,
many records with one sync. *Order*: alarms first, then the oldest. *At least once*: a record waits until
it is acknowledged; what was handed out and not acknowledged is handed out again after `release` or a
restart.

Only durable records are handed out, with one exception, said in `OutboxStats.trouble`: while the card
refuses writes, records are kept in memory (4 MiB, alarms dropped last) and handed out from there.
Durability is lost then, delivery is not.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Container, Iterable, Sequence
from pathlib import Path

import msgspec

from agent.beats import SLOW_S, Beat
from agent.outbox.aside import AsideFile
from agent.outbox.batch import read_many
from agent.outbox.documents import Waiting, decode_waiting, encode_record, time_of
from agent.outbox.files import Disk
from agent.outbox.frames import MAX_BODY_BYTES, Flag, Why
from agent.outbox.lanes import Lanes
from agent.outbox.log import OVERFLOW_MAX_BYTES, SegmentLog
from agent.outbox.losses import Loss, LossBook
from agent.outbox.reader import Stored
from agent.outbox.room import Dropped, Room, loss_of, name_of, refusal_of
from agent.outbox.seldom import Seldom
from agent.outbox.stats import OutboxStats, stats_of
from agent.outbox.storage import OutboxDB, SegmentStorage
from agent.outbox.wear import Wear
from agent.records import Record
from agent.timebase import rfc3339

COMMIT_BYTES = 256 << 10
"""So many undurable bytes are committed before the window is over: it bounds what is kept to be retried."""
TELL_S = 600.0
"""Losses that go on are told of once in so long: gap records need room, too."""
HARD_SEGMENTS = 4
"""So many segments beyond the bound, whoever puts waits for room; before, it is made beside."""
ENDURANCE_TBW = 10.0
_PLAIN = int(Flag.RECORD)  # of an enum, each put would make one anew
_URGENT = int(Flag.RECORD | Flag.URGENT)

_log = logging.getLogger(__name__)


class Outbox:
    """Safe across threads. Raises OutboxError only on opening."""

    def __init__(
        self,
        directory: Path,
        *,
        commit_window_s: float = 0.5,
        segment_bytes: int = 1 << 20,
        max_bytes: int = 512 << 20,
        memory_max_bytes: int = OVERFLOW_MAX_BYTES,
        card_endurance_tbw: float = ENDURANCE_TBW,
        on_dropped: Callable[[list[Dropped]], None] | None = None,
        disk: Disk | None = None,
        beat: Beat | None = None,
    ) -> None:
        self._disk = disk = disk or Disk()
        self._beat = beat or Beat()
        self._segments = SegmentLog(
            directory, segment_bytes=segment_bytes, memory_max_bytes=memory_max_bytes, disk=disk
        )
        self._aside = AsideFile(directory, disk)
        self._commit_window_s = commit_window_s
        self._hard_bytes = max_bytes + HARD_SEGMENTS * segment_bytes
        self._book = LossBook(directory, disk)
        self._room = Room(self._segments, max_bytes, self._book)
        self._wear = Wear(directory, disk, card_endurance_tbw)
        self._told_s: float | None = None
        self._drops, self._refusals = Seldom(TELL_S), Seldom(TELL_S)
        self._on_dropped = on_dropped or (lambda _: None)
        self._lock = self._segments.lock
        self._ready = threading.Condition(self._lock)  # something may be handed out
        self._work = threading.Condition(self._lock)  # the committing thread has something to do
        self._lanes = Lanes(self._segments.index)
        self._on_ready: Callable[[], None] | None = None
        self._acknowledged = self._dropped = 0
        self._closed = self._woken = False
        for finding in self._segments.recovery.findings:
            _log.warning("outbox %s: %s", directory, finding)
        self._committer = threading.Thread(target=self._commit_loop, name="outbox-commit", daemon=True)
        self._committer.start()

    @property
    def db(self) -> OutboxDB:
        """The same records through TinyDB's query API. Do not close it: close the outbox."""
        return OutboxDB(self._segments.directory, storage=SegmentStorage, log=self._segments)

    # -- the pipeline's side ---------------------------------------------------------------------

    def put(self, records: Sequence[Record]) -> None:
        """Queue records, in order; returns when the alarms among them are durable. Never raises."""
        with self._disk.hurry():  # also for what others have begun: the next alarm may be behind us
            self._put(records)

    def _put(self, records: Sequence[Record]) -> None:
        items: list[tuple[bytes, int]] = []
        dropped: list[Dropped] = []
        urgent = False
        for record in records:
            body = encode_record(record)
            if self._closed or len(body) > MAX_BODY_BYTES:
                self._book.add([Loss(record.kind.value, record.boot, ((record.seq, record.seq),))])
                dropped.append((record.boot, record.seq, record.kind.value))
                continue
            urgent = urgent or record.urgent
            items.append((body, _URGENT if record.urgent else _PLAIN))
        with self._lock:
            was_idle = not urgent and not self._segments.needs_commit
            if items:
                self._segments.append(items, soon=urgent)
            if self._segments.lost:
                for stored in self._segments.lost:
                    self._book.add(loss_of(stored))
                    dropped.append(name_of(stored))
                self._segments.lost.clear()
            is_full = self._segments.size_bytes > self._hard_bytes
            # an alarm is committed here: no need to wake the other thread, which would be in its way
            if was_idle or self._segments.unsynced_bytes >= COMMIT_BYTES:
                self._work.notify()
            if self._segments.card.trouble is not None:
                self._tell_ready()
        if urgent:
            # files that are done with are removed when nothing is urgent, or else when there is no room
            self._commit(sweep=is_full)
            if self._segments.needs_commit or self._segments.card.trouble is not None:
                with self._lock:
                    self._work.notify()
        elif is_full:
            self._make_room()
        self._report(dropped)

    def flush(self) -> None:
        """Return when all that was put before is durable (or the card has refused it)."""
        self._commit(sweep=True)
        self._make_room()

    def take_dropped(self, *, everything: bool = False) -> list[Loss]:
        """Return what was not kept and is not told of yet: for gap records, which `put_gaps` takes.

        Empty for ten minutes after some were taken, but for `everything`.
        """
        if not len(self._book):
            return []
        now_s = time.monotonic()
        with self._lock:
            if not everything and self._told_s is not None and now_s - self._told_s < TELL_S:
                return []
            self._told_s = now_s
            return self._book.all()

    def put_gaps(self, losses: Sequence[Loss], records: Sequence[Record]) -> None:
        """Queue the gap records that tell of losses; durable on return, and the losses are forgotten."""
        self.put(records)
        with self._disk.hurry():
            self._commit(sweep=False)
            if self._segments.card.trouble is None:
                self._book.told(losses, records)

    def try_card_now(self) -> None:
        """Offer the card at once what it refused: somebody has made room, or mended it."""
        self._segments.try_now()
        with self._lock:
            self._work.notify()

    # -- the uplink's side -----------------------------------------------------------------------

    def take(
        self,
        limit: int,
        *,
        urgent_only: bool = False,
        timeout_s: float | None = None,
        live_from: int | None = None,
        live_most: int = 0,
        live_only: bool = False,
    ) -> list[Waiting]:
        """Return and lease up to `limit` records: alarms, `live_most` from `live_from` on, then the oldest.

        Blocks until there are some, or until `timeout_s` has passed (None: for ever), `wake` or `close`:
        then it returns an empty list.
        """
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        ids: list[int] = []

        def is_over() -> bool:
            if not self._closed:
                ids[:] = self._lanes.lease(limit, urgent_only, live_from, live_most, live_only)
            return bool(ids) or self._closed or self._woken

        while True:
            with self._lock:
                left_s = None if deadline_s is None else max(0.0, deadline_s - time.monotonic())
                self._ready.wait_for(is_over, left_s)
                self._woken = False
            taken = self._read_all(ids)
            if taken or not ids:
                return taken

    def take_newest(self, kinds: Container[str], look_back: int = 256) -> list[Waiting]:
        """Lease the newest record of each of these kinds, as far as one is among the newest `look_back`."""
        with self._lock:
            ids = [] if self._closed else self._segments.index.newest(look_back)
        newest = {w.kind: w.doc_id for w in self._read_all(ids[::-1]) if w.kind in kinds}
        with self._lock:
            return self._read_all(self._lanes.lease_these(newest.values()))

    @property
    def border(self) -> int:
        """The id from which on records get theirs that are put now: `take` has it as `live_from`."""
        return self._segments.next_id

    def listen(self, on_ready: Callable[[], None] | None) -> None:
        """Have `on_ready` called, on any thread, when there may be something to take; it must not wait."""
        self._on_ready = on_ready

    def wake(self) -> None:
        """Make a `take` that blocks, or else the next one, return at once. For the one who takes."""
        with self._lock:
            self._woken = True
            self._ready.notify_all()

    def acknowledge(self, doc_ids: Iterable[int]) -> None:
        """Forget records: they have arrived."""
        with self._disk.hurry(), self._lock:  # on the thread that sends alarms
            ids = list(doc_ids)
            was_idle = not self._segments.needs_commit
            self._lanes.forget(ids)
            self._acknowledged += self._segments.done(ids, Why.ACKNOWLEDGED)
            if was_idle and self._segments.needs_commit:
                self._work.notify()

    def release(self, doc_ids: Iterable[int]) -> None:
        """Put records back that were handed out: they did not arrive."""
        with self._lock:
            if self._lanes.release(doc_ids):
                self._tell_ready()

    def release_all(self) -> None:
        """Put back all that was handed out."""
        with self._lock:
            self.release(list(self._lanes.leased))

    def set_aside(self, doc_id: int, reason: str) -> None:
        """Take a record out of the queue that the broker refuses, and keep it to be looked at."""
        stored = self._segments.read(doc_id)
        if stored is None:
            return
        many = self._refusals.of(1)
        if many > 1:
            _log.warning("outbox: %d more records were set aside, the latest, %d: %s", many, doc_id, reason)
        else:
            level = logging.WARNING if many else logging.DEBUG
            _log.log(level, "outbox: record %d is set aside: %s", doc_id, reason)
        self._book.note(refusal_of(stored))  # first: a cut between must not hide it
        with self._lock:
            try:
                self._aside.add(stored, reason, rfc3339(time.time_ns()))
            except OSError as error:
                _log.error("outbox: the refused record %r cannot be kept: %s", stored.body, error)
            self._lanes.forget([doc_id])
            self._segments.done([doc_id], Why.SET_ASIDE)
            self._work.notify()

    def waiting(self) -> int:
        """Return how many records wait, those handed out among them."""
        return len(self._segments.index)

    # -- both ------------------------------------------------------------------------------------

    def stats(self) -> OutboxStats:
        """Return the state at this moment."""
        with self._lock:
            self._count()
            log = self._segments
            first = log.index.first()
            stats = msgspec.structs.replace(
                stats_of(log, self._wear),
                leased=len(self._lanes.leased),
                acknowledged=self._acknowledged,
                set_aside=self._aside.count,
                dropped=self._dropped,
                thinned=self._room.thinned,
            )
        oldest = None if first is None else self._waiting(first, log.read(first), drop=False)
        return msgspec.structs.replace(stats, oldest_t=None if oldest is None else time_of(oldest.payload))

    def close(self) -> None:
        """Make all durable and let go of the directory. Waiting `take` calls return."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._work.notify_all()
            self._ready.notify_all()
        self._committer.join()
        for seldom, what in ((self._drops, "not kept"), (self._refusals, "set aside")):
            if many := seldom.rest():
                _log.warning("outbox: %d more records were %s", many, what)
        self._segments.commit()
        self._book.write()
        self._count()
        self._wear.save()
        self._segments.close()

    def __enter__(self) -> Outbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- inside ----------------------------------------------------------------------------------

    def _commit(self, *, sweep: bool) -> None:
        self._segments.commit(sweep=sweep)
        with self._lock:
            self._tell_ready()

    def _tell_ready(self) -> None:
        self._ready.notify_all()
        if self._on_ready is not None:
            self._on_ready()

    def _count(self) -> None:
        with self._lock:
            self._wear.stands_at(*self._segments.work)

    def _make_room(self, steps: int | None = None) -> bool:
        """Thin and drop until it fits, or for so many steps; return whether there is more to be done."""
        while steps is None or steps > 0:
            dropped = self._room.make()
            if dropped is None:
                return False
            self._report(dropped)
            self._commit(sweep=True)
            steps = None if steps is None else steps - 1
        return True

    def _report(self, dropped: list[Dropped]) -> None:
        if not dropped:
            return
        with self._lock:
            self._dropped += len(dropped)
        if many := self._drops.of(len(dropped)):
            _log.warning("outbox: %d records were not kept, the oldest first", many)
        self._on_dropped(dropped)

    def _read_all(self, ids: Sequence[int]) -> list[Waiting]:
        stored = read_many(self._segments, ids)
        return [w for doc_id, found in stored if (w := self._waiting(doc_id, found, drop=True)) is not None]

    def _waiting(self, doc_id: int, stored: Stored | None, *, drop: bool) -> Waiting | None:
        if stored is None:
            return None
        try:
            return decode_waiting(doc_id, stored.body, urgent=stored.urgent, sliced=stored.sliced)
        except (msgspec.DecodeError, ValueError) as error:
            if drop:
                self.set_aside(doc_id, f"it is no record: {error}")
            return None

    def _commit_loop(self) -> None:
        """Commit what was put, `commit_window_s` after the first of it; offer again what was refused."""
        is_short = False
        while True:
            self._beat(SLOW_S)
            with self._lock:
                while not self._closed and not is_short:
                    retry_s = self._segments.retry()
                    if self._segments.needs_commit:
                        break
                    rest_s = self._beat.rest_s
                    self._work.wait(rest_s if retry_s is None else min(retry_s, rest_s))
                    self._beat(SLOW_S)
                if self._closed:
                    self._beat.end()
                    return
                if not is_short:
                    self._work.wait_for(
                        lambda: self._closed or self._segments.unsynced_bytes >= COMMIT_BYTES,
                        self._commit_window_s,
                    )
            self._commit(sweep=True)
            self._book.write()
            self._count()
            self._wear.save_if_due()
            is_short = self._make_room(steps=1)
