"""Room on the card: what happens when the outbox is full.

Old features are thinned first, a step at a time (`agent.thinning`): each file in which that saves
something, from the oldest on. Only when no file is left in which it does, records are dropped: features, then
the rest, the oldest first; alarms go last. What goes is noted before it goes (`LossBook`). A file that is
worked on goes as a whole: what must stay of it is appended anew, and it is removed with the next commit, when
the copies are durable.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

import msgspec

from agent.errors import PayloadError
from agent.outbox.documents import Waiting, decode_waiting, encode_record
from agent.outbox.frames import FRAME_HEAD_BYTES, Flag, Why, encode_merged
from agent.outbox.index import State
from agent.outbox.log import SegmentLog
from agent.outbox.losses import REFUSED, Loss, LossBook, losses_of
from agent.outbox.reader import Stored
from agent.records import Document, Kind, Record, decode, encode, is_compact
from agent.thinning import can_be_thinned, groups, thinned

Dropped = tuple[str, int, str]
"""(boot, seq, kind) of a record that was not kept."""

WORTH = 8
"""A file is written anew for an eighth of its bytes, not for less."""

_Thinnable = list[tuple[Stored, Waiting, Document]]


class Room:
    """Safe across threads; holds the lock of the log for microseconds, but where a record is exchanged."""

    def __init__(self, log: SegmentLog, max_bytes: int, book: LossBook) -> None:
        self.thinned = 0
        """Records that became others with longer windows."""
        self._log = log
        self._max_bytes = max_bytes
        self._book = book
        self._lock = threading.RLock()
        self._thinned_out: set[int] = set()  # files in which nothing more can be thinned
        self._without: dict[frozenset[Kind], set[int]] = {_FEATURES: set(), _PLAIN: set(), _ALL: set()}

    @property
    def is_short(self) -> bool:
        """Whether the segments, less those that go with the next commit, are too many."""
        return self._log.size_bytes - self._log.spent_bytes > self._max_bytes

    def make(self) -> list[Dropped] | None:
        """Do one step towards enough room; return what was dropped, or None if there is nothing to be done.

        Commit, and ask again.
        """
        with self._lock:
            if not self.is_short or self._log.card.trouble is not None:
                return None
            sealed = self._log.sealed()
            for known in (self._thinned_out, *self._without.values()):
                known.intersection_update(sealed)
            for segment, size_bytes in sealed.items():
                if segment not in self._thinned_out and self._thin(segment, size_bytes):
                    return []
            for kinds in (_FEATURES, _PLAIN, _ALL):
                if kinds is _ALL and self._log.index.ready(1, urgent=False):
                    self._log.seal()  # what goes before alarms lies in the file that is written to
                    return []
                for segment in sealed:
                    if segment not in self._without[kinds] and (dropped := self._drop(segment, kinds)):
                        return dropped
            return None

    def _thin(self, segment: int, size_bytes: int) -> bool:
        """Thin what can be thinned in a file; return whether it was worth it."""
        stored = self._log.records_in(segment)
        ready = [s for s in stored if self._log.index.state(s.doc_id) is State.READY]
        thinnable = [t for s in ready if (t := _thinnable(s)) is not None]
        merged = [_merge(group) for group in _groups(thinnable)]
        going = {i for ids, _ in merged for i in ids}
        staying = [s for s in stored if s.doc_id not in going]
        left_bytes = sum(FRAME_HEAD_BYTES + len(s.body) for s in staying)
        left_bytes += sum(len(encode_merged(0, ids[-1], ids[:-1], body)) for ids, body in merged)
        left_bytes += self._log.carry_bytes(segment)  # else what is said of others is written anew for ever
        if size_bytes - left_bytes < size_bytes // WORTH:
            if len(ready) == len(stored):  # else what is in use now may be thinned later
                self._thinned_out.add(segment)
            return False
        for ids, body in merged:
            if self._log.merge(ids, body, Flag.RECORD):
                self.thinned += len(ids)
        self._empty(segment)
        return True

    def _drop(self, segment: int, kinds: frozenset[Kind]) -> list[Dropped]:
        stored = self._log.records_in(segment)
        going: list[tuple[Stored, Waiting | None]] = []
        in_use = False
        for s in stored:
            if s.urgent and Kind.ALARM not in kinds:
                continue
            waiting = _waiting(s)
            if waiting is not None and waiting.kind not in kinds:
                continue
            if self._log.index.state(s.doc_id) in (State.READY, State.URGENT_READY):
                going.append((s, waiting))
            else:
                in_use = True
        if not going:
            if not in_use:
                self._without[kinds].add(segment)
            return []
        # noted first: a cut between tells of records that still come, and never hides one that does not
        self._book.note(loss for _, w in going if w is not None for loss in losses_of(w))
        with self._log.lock:
            free = [
                (s, w)
                for s, w in going
                if self._log.index.state(s.doc_id) in (State.READY, State.URGENT_READY)
            ]
            self._log.done((s.doc_id for s, _ in free), Why.DROPPED)
        self._empty(segment)
        return [name_of(s) for s, _ in free]

    def _empty(self, segment: int) -> None:
        """Append anew what still waits in a file, and what it says of others."""
        self._log.move(self._log.records_in(segment))
        self._log.carry(segment)


_FEATURES = frozenset({Kind.FEATURES, Kind.SNIPPET})
_PLAIN = frozenset(Kind) - {Kind.ALARM}
_ALL = frozenset(Kind)


def name_of(stored: Stored) -> Dropped:
    """Return (boot, seq, kind) of a record that is not kept."""
    waiting = _waiting(stored)
    if waiting is None:
        return ("", stored.doc_id, "not a record")
    return (waiting.boot, waiting.seq, waiting.kind)


def loss_of(stored: Stored) -> Iterable[Loss]:
    """Return what is lost with a record."""
    waiting = _waiting(stored)
    return [] if waiting is None else losses_of(waiting)


def refusal_of(stored: Stored) -> Iterable[Loss]:
    """Return what the far end lacks with a record that it refused; of gap records nothing: no end to it."""
    waiting = _waiting(stored)
    return [] if waiting is None or waiting.kind == Kind.GAP else losses_of(waiting, REFUSED)


def _waiting(stored: Stored) -> Waiting | None:
    try:
        return decode_waiting(stored.doc_id, stored.body, urgent=stored.urgent, sliced=stored.sliced)
    except (msgspec.DecodeError, ValueError):
        return None


def _thinnable(stored: Stored) -> tuple[Stored, Waiting, Document] | None:
    waiting = _waiting(stored)
    if waiting is None or waiting.kind != Kind.FEATURES or stored.urgent:
        return None
    try:
        document = decode(waiting.payload)
    except PayloadError:
        return None
    return (stored, waiting, document) if can_be_thinned(document) else None


def _groups(found: _Thinnable) -> list[_Thinnable]:
    found = sorted(found, key=lambda t: (t[1].boot, t[1].topic, t[0].doc_id))
    out: list[_Thinnable] = []
    for group in groups([document for _, _, document in found]):
        out.append([found[i] for i in group])
    return out


def _merge(group: _Thinnable) -> tuple[list[int], bytes]:
    document = thinned([document for _, _, document in group])
    _, last, _ = group[-1]
    payload = encode(document, "msgpack" if is_compact(last.payload) else "json")
    record = Record(Kind.FEATURES, last.boot, last.seq, last.topic, payload)
    return [stored.doc_id for stored, _, _ in group], encode_record(record)
