"""Many records at once: those that lie one after the other on the card come by one read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence

from agent.outbox.index import IN_MEMORY
from agent.outbox.log import SegmentLog
from agent.outbox.reader import Stored

RUN_MAX_BYTES = 128 << 10
Place = tuple[int, int]


def read_many(log: SegmentLog, ids: Sequence[int]) -> Iterator[tuple[int, Stored | None]]:
    """Return (id, record) in this order; None as `SegmentLog.read` has it."""
    with log.lock:
        places = [(i, log.index.place(i)) for i in ids]
    for run in _runs(places):
        found: Sequence[Stored | None] = [None] * len(run)
        if len(run) > 1 and (first := run[0][1]) is not None:
            with contextlib.suppress(OSError):  # one at a time, then: that tells which cannot be read
                found = log.reader.read_run(first[0], [place[1] for _, place in run if place is not None])
        for (doc_id, _), stored in zip(run, found, strict=True):
            is_it = stored is not None and stored.doc_id == doc_id
            yield doc_id, stored if is_it else log.read(doc_id)


def _runs(places: Iterable[tuple[int, Place | None]]) -> Iterator[list[tuple[int, Place | None]]]:
    """Cut them where the next one lies elsewhere."""
    run: list[tuple[int, Place | None]] = []
    for item in places:
        if run and not _follows(run[0][1], run[-1][1], item[1]):
            yield run
            run = []
        run.append(item)
    if run:
        yield run


def _follows(first: Place | None, last: Place | None, place: Place | None) -> bool:
    if first is None or last is None or place is None or IN_MEMORY in (first[0], place[0]):
        return False
    return place[0] == first[0] and last[1] < place[1] <= first[1] + RUN_MAX_BYTES
