"""Index: which records wait, and where on the card each of them lies. Nine bytes a record.

A million waiting records must not cost the Pi its memory, so no object is kept for a record: its
segment, its offset and its state stand in arrays, in chunks of consecutive ids.
"""

from __future__ import annotations

import bisect
import enum
from array import array
from collections.abc import Iterator

CHUNK_IDS = 4096
IN_MEMORY = 0
"""The segment number of a record that could not be written; real segments count from 1."""


class State(enum.IntEnum):
    """Where a record stands. Urgent states are the greater ones."""

    GONE = 0
    READY = 1
    LEASED = 2
    PENDING = 3
    """Written, not yet durable: not to be handed out."""
    URGENT_READY = 4
    URGENT_LEASED = 5
    URGENT_PENDING = 6


_GONE, _READY, _URGENT_READY = int(State.GONE), int(State.READY), int(State.URGENT_READY)
_PENDING, _URGENT_PENDING = int(State.PENDING), int(State.URGENT_PENDING)


class _Chunk:
    __slots__ = ("first_id", "live", "offset", "ready", "segment", "state", "urgent_ready")

    def __init__(self, first_id: int) -> None:
        self.first_id = first_id
        self.segment = array("I", bytes(4 * CHUNK_IDS))
        self.offset = array("I", bytes(4 * CHUNK_IDS))
        self.state = bytearray(CHUNK_IDS)
        self.live = 0
        self.ready = 0
        self.urgent_ready = 0


class Index:
    """Not safe across threads by itself: its owner holds a lock."""

    def __init__(self) -> None:
        self._chunks: dict[int, _Chunk] = {}
        self._order: list[int] = []
        self._live_in: dict[int, int] = {}
        self._live = 0
        self._urgent = 0

    def __len__(self) -> int:
        return self._live

    def __iter__(self) -> Iterator[int]:
        """Return the ids of all waiting records, ascending; those of the moment of asking."""
        for number in list(self._order):
            chunk = self._chunks.get(number)
            if chunk is not None:
                for at in range(CHUNK_IDS):
                    if chunk.state[at] != _GONE:
                        yield chunk.first_id + at

    def __contains__(self, doc_id: int) -> bool:
        return self.state(doc_id) is not State.GONE

    @property
    def urgent(self) -> int:
        """How many urgent records wait."""
        return self._urgent

    def live_in(self, segment: int) -> int:
        """Return how many waiting records lie in a segment."""
        return self._live_in.get(segment, 0)

    def state(self, doc_id: int) -> State:
        """Return where a record stands; GONE if there is none."""
        chunk = self._chunks.get(doc_id // CHUNK_IDS)
        return State.GONE if chunk is None else State(chunk.state[doc_id % CHUNK_IDS])

    def place(self, doc_id: int) -> tuple[int, int] | None:
        """Return (segment, offset) of a waiting record."""
        chunk = self._chunks.get(doc_id // CHUNK_IDS)
        at = doc_id % CHUNK_IDS
        if chunk is None or chunk.state[at] == _GONE:
            return None
        return chunk.segment[at], chunk.offset[at]

    def put(self, doc_id: int, segment: int, offset: int, state: int) -> None:
        """Add a record, or say where a known one lies now."""
        number, at = doc_id // CHUNK_IDS, doc_id % CHUNK_IDS
        chunk = self._chunks.get(number)
        if chunk is None:
            chunk = self._chunks[number] = _Chunk(number * CHUNK_IDS)
            bisect.insort(self._order, number)
        if chunk.state[at] != _GONE:
            self._leave(chunk.segment[at])
        chunk.segment[at] = segment
        chunk.offset[at] = offset
        self._live_in[segment] = self._live_in.get(segment, 0) + 1
        self._change(chunk, at, state)

    def put_run(self, first_id: int, segment: int, offsets: array[int], states: bytes | bytearray) -> None:
        """Add records of consecutive ids at once."""
        done = 0
        while done < len(states):
            number, at = divmod(first_id + done, CHUNK_IDS)
            count = min(CHUNK_IDS - at, len(states) - done)
            part = states[done : done + count]
            self.put(first_id + done, segment, offsets[done], part[0])  # makes the chunk
            chunk = self._chunks[number]
            if count > 1 and not any(chunk.state[at + 1 : at + count]):
                rest = part[1:]
                chunk.segment[at + 1 : at + count] = array("I", [segment]) * (count - 1)
                chunk.offset[at + 1 : at + count] = offsets[done + 1 : done + count]
                chunk.state[at + 1 : at + count] = rest
                urgent_ready = rest.count(_URGENT_READY)
                chunk.live += count - 1
                chunk.ready += rest.count(_READY)
                chunk.urgent_ready += urgent_ready
                self._live += count - 1
                self._live_in[segment] += count - 1
                self._urgent += sum(1 for state in rest if state >= _URGENT_READY) if urgent_ready else 0
            else:
                for k in range(1, count):
                    self.put(first_id + done + k, segment, offsets[done + k], part[k])
            done += count

    def set_state(self, doc_id: int, state: int) -> None:
        """Change where a known record stands."""
        chunk = self._chunks.get(doc_id // CHUNK_IDS)
        if chunk is not None and chunk.state[doc_id % CHUNK_IDS] != _GONE:
            self._change(chunk, doc_id % CHUNK_IDS, state)

    def settle(self, doc_id: int) -> None:
        """Note that a record is durable: it may be handed out now."""
        chunk = self._chunks.get(doc_id // CHUNK_IDS)
        at = doc_id % CHUNK_IDS
        if chunk is None:
            return
        if chunk.state[at] == _PENDING:
            chunk.state[at] = _READY
            chunk.ready += 1
        elif chunk.state[at] == _URGENT_PENDING:
            chunk.state[at] = _URGENT_READY
            chunk.urgent_ready += 1

    def remove(self, doc_id: int) -> bool:
        """Forget a record; return whether it was known."""
        number, at = divmod(doc_id, CHUNK_IDS)
        chunk = self._chunks.get(number)
        if chunk is None or chunk.state[at] == _GONE:
            return False
        self._leave(chunk.segment[at])
        self._change(chunk, at, _GONE)
        if chunk.live == 0:
            del self._chunks[number]
            self._order.remove(number)
        return True

    def ready(self, limit: int, *, urgent: bool, first_id: int = 0) -> list[int]:
        """Return up to `limit` ids of durable records that nobody holds, oldest first, from `first_id` on."""
        wanted = _URGENT_READY if urgent else _READY
        found: list[int] = []
        begin = bisect.bisect_left(self._order, first_id // CHUNK_IDS) if first_id else 0
        for number in self._order[begin:] if begin else self._order:
            chunk = self._chunks[number]
            if chunk.urgent_ready if urgent else chunk.ready:
                at = chunk.state.find(wanted, max(0, first_id - chunk.first_id))
                while at >= 0 and len(found) < limit:
                    found.append(chunk.first_id + at)
                    at = chunk.state.find(wanted, at + 1)
            if len(found) == limit:
                break
        return found

    def newest(self, limit: int) -> list[int]:
        """Return up to `limit` ids of durable plain records that nobody holds, newest first."""
        found: list[int] = []
        for number in reversed(self._order):
            chunk = self._chunks[number]
            at = chunk.state.rfind(_READY) if chunk.ready else -1
            while at >= 0 and len(found) < limit:
                found.append(chunk.first_id + at)
                at = chunk.state.rfind(_READY, 0, at)
            if len(found) == limit:
                break
        return found

    def first(self) -> int | None:
        """Return the oldest waiting id."""
        return next(iter(self), None)

    def _leave(self, segment: int) -> None:
        left = self._live_in[segment] - 1
        if left:
            self._live_in[segment] = left
        else:
            del self._live_in[segment]

    def _change(self, chunk: _Chunk, at: int, new: int) -> None:
        old = chunk.state[at]
        if old == new:
            return
        chunk.state[at] = new
        live = (new != _GONE) - (old != _GONE)
        chunk.live += live
        self._live += live
        self._urgent += (new >= _URGENT_READY) - (old >= _URGENT_READY)
        chunk.ready += (new == _READY) - (old == _READY)
        chunk.urgent_ready += (new == _URGENT_READY) - (old == _URGENT_READY)
