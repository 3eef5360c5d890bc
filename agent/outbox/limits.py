"""Room on the card: what goes when the outbox is full. The oldest goes first, alarms go last.

Nothing here is silent: the caller counts and reports what `make_room` returns.
"""

from __future__ import annotations

import msgspec

from agent.outbox.documents import decode_waiting
from agent.outbox.frames import Why
from agent.outbox.index import State
from agent.outbox.log import SegmentLog
from agent.outbox.reader import Stored


def make_room(log: SegmentLog, max_bytes: int) -> list[tuple[str, int, str]]:
    """Drop the oldest records until the segments fit; return (boot, seq, kind) of each.

    A segment goes as a whole: what must stay in it (alarms, records in flight) is appended anew first.
    The files go with the next commit, when the copies are durable.
    """
    dropped: list[Stored] = []
    with log.lock:
        if log.size_bytes <= max_bytes:
            return []
        for _ in range(log.segments):
            segment = log.oldest_segment()
            if log.card.trouble is not None or segment is None:
                break
            if log.size_bytes - log.spent_bytes <= max_bytes:
                break
            stored = log.records_in(segment)
            alarms_only = log.index.urgent == len(log.index)
            going = [s for s in stored if _may_go(log, s, alarms_only=alarms_only)]
            staying = {s.doc_id: s for s in stored}
            for s in going:
                del staying[s.doc_id]
            log.done((s.doc_id for s in going), Why.DROPPED)
            log.move(list(staying.values()))
            dropped += going
    return [name_of(s) for s in dropped]


def name_of(stored: Stored) -> tuple[str, int, str]:
    """Return (boot, seq, kind) of a record that is not kept."""
    try:
        waiting = decode_waiting(stored.doc_id, stored.body, urgent=stored.urgent, sliced=stored.sliced)
    except (msgspec.DecodeError, ValueError):
        return ("", stored.doc_id, "not a record")
    return (waiting.boot, waiting.seq, waiting.kind)


def _may_go(log: SegmentLog, stored: Stored, *, alarms_only: bool) -> bool:
    state = log.index.state(stored.doc_id)
    if stored.urgent:
        return alarms_only and state is not State.URGENT_LEASED
    return state is not State.LEASED
