"""Restamping: what was made before the clock was set and still waits when it is leaves with the right times.

A Pi has no battery clock: it boots in 1970, or with the time at which it was switched off. Box time does
not care, so once the wall clock is known, it is known for all of this run, and for earlier starts of the
agent in the same boot of the kernel (`agent.clock_book`): times move by as much as the offset did. What was
sent before cannot be moved; `Stamps.steps` tells receivers by how much they may.

It stands between outbox and uplink. On the card records stay as they were made.
"""

from __future__ import annotations

import logging
import sys
import threading
from bisect import bisect_right
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from agent.clock_book import ClockBook, Run
from agent.errors import PayloadError
from agent.outbox import Outbox, Waiting
from agent.records import Record, decode, encode, is_compact
from agent.timebase import NS_PER_US, TimeMark, TimeQuality, rfc3339, wall_ns_of

LEAST_NS = 1_000_000_000  # a clock that ran freely is off by less, and is called `holdover` with reason
ALIKE_NS = 1_000_000  # two readings of one offset differ by some µs; what differs by less is one run
BOOK_NS = 100_000_000  # an offset that a time server moves by less is not written down anew
MOST_RUNS = 256  # of one offset each; a clock that is set by hand every minute is not to fill the memory
TIMES = ("t", "start", "end")

_log = logging.getLogger("cargobox")


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """By how much the clock was off, in seconds, while these records of this boot were made."""

    first: int
    last: int
    step_s: float


@dataclass(frozen=True, slots=True)
class _Run:
    """Records from `first` to `last` were made with one offset; None: a synchronised one."""

    first: int
    last: int
    offset_ns: int | None


class Stamps:
    """Knows with which offset each record of one boot was made, and which is right. Safe across threads."""

    def __init__(self, boot: str, book: ClockBook | None = None) -> None:
        self.boot = boot
        self._lock = threading.Lock()
        self._runs: list[_Run] = []
        self._book = book
        self._right_ns = None if book is None else book.right_ns
        self._written_ns = self._right_ns
        self._earlier = {} if book is None else {of: _closed(runs) for of, runs in book.starts.items()}

    def mark(self, mark: TimeMark) -> None:
        """Take a mark of the wall clock."""
        if mark.quality is not TimeQuality.SYNCED:
            return
        with self._lock:
            before = self._steps()
            self._right_ns = mark.offset_ns
            if self._written_ns is None or abs(mark.offset_ns - self._written_ns) >= BOOK_NS:
                self._write()
            for step in self._steps():
                if not any(old.first == step.first and abs(old.step_s - step.step_s) < 1 for old in before):
                    _log.warning(
                        "the clock was %.3f s off until now: records %d to %d that still wait leave with "
                        "the right times, tq restamped",
                        step.step_s,
                        step.first,
                        step.last,
                    )

    def made(self, records: Iterable[Record]) -> None:
        """Take the records of this boot, in their order."""
        with self._lock:
            begun = False
            for record in records:
                latest = self._runs[-1] if self._runs else None
                if latest is not None and _alike(latest.offset_ns, record.unsure_ns):
                    self._runs[-1] = replace(latest, last=record.seq)
                else:
                    self._runs.append(_Run(record.seq, record.seq, record.unsure_ns))
                    del self._runs[:-MOST_RUNS]
                    begun = True
            if begun:
                self._write()

    def step_ns(self, seq: int, boot: str = "") -> int:
        """Return by how much the times of a record are to be moved; 0: they stand. No `boot`: this one."""
        with self._lock:
            runs = self._runs if boot in ("", self.boot) else self._earlier.get(boot, [])
            i = bisect_right(runs, seq, key=lambda run: run.first) - 1
            return self._step_ns(runs[i]) if i >= 0 and seq <= runs[i].last else 0

    def steps(self) -> list[Step]:
        """Return which records of this boot were made with a clock that was off, and by how much."""
        with self._lock:
            return self._steps()

    def _steps(self) -> list[Step]:
        return [
            Step(first=run.first, last=run.last, step_s=round(step_ns / 1e9, 6))
            for run in self._runs
            if (step_ns := self._step_ns(run))
        ]

    def _write(self) -> None:
        """Before the records are on the card: whoever finds them there finds how they were stamped."""
        if self._book is not None:
            runs = [Run(run.first, run.offset_ns) for run in self._runs]
            self._book.keep(self.boot, runs, self._right_ns)
            self._written_ns = self._right_ns

    def _step_ns(self, run: _Run) -> int:
        if run.offset_ns is None or self._right_ns is None:
            return 0
        step_ns = self._right_ns - run.offset_ns
        return step_ns if abs(step_ns) >= LEAST_NS else 0


def _alike(one_ns: int | None, other_ns: int | None) -> bool:
    if one_ns is None or other_ns is None:
        return one_ns is other_ns
    return abs(one_ns - other_ns) <= ALIKE_NS


def _closed(runs: Sequence[Run]) -> list[_Run]:
    """Return the runs of an earlier start, each as far as the next; the last one has no end."""
    lasts = [*(run.first - 1 for run in runs[1:]), sys.maxsize]
    return [_Run(run.first, last, run.offset_ns) for run, last in zip(runs, lasts, strict=False)]


class RestampingQueue:
    """The outbox as the uplink sees it: `agent.uplink.queue.Queue`."""

    def __init__(self, outbox: Outbox, stamps: Stamps) -> None:
        self._stamps = stamps
        self._outbox = outbox
        self.listen = outbox.listen
        self.acknowledge = outbox.acknowledge
        self.release = outbox.release
        self.release_all = outbox.release_all
        self.set_aside = outbox.set_aside
        self.waiting = outbox.waiting
        self.flush = outbox.flush

    @property
    def border(self) -> int:
        """As the outbox has it."""
        return self._outbox.border

    def take(
        self,
        limit: int,
        *,
        urgent_only: bool = False,
        timeout_s: float | None = None,
        live_from: int | None = None,
        live_most: int = 0,
        live_only: bool = False,
    ) -> Sequence[Waiting]:
        """Lease records; their times are right as far as the clock is known by now."""
        taken = self._outbox.take(
            limit,
            urgent_only=urgent_only,
            timeout_s=timeout_s,
            live_from=live_from,
            live_most=live_most,
            live_only=live_only,
        )
        return [self._righted(parcel) for parcel in taken]

    def take_newest(self, kinds: Container[str]) -> Sequence[Waiting]:
        """Lease the newest record of each kind, with the right times."""
        return [self._righted(parcel) for parcel in self._outbox.take_newest(kinds)]

    def _righted(self, parcel: Waiting) -> Waiting:
        if not (step_ns := self._stamps.step_ns(parcel.seq, parcel.boot)):
            return parcel
        return replace(parcel, payload=moved(parcel.payload, step_ns))


def moved(payload: bytes, step_ns: int) -> bytes:
    """Return the payload with its times moved, and `tq` saying so; as it is where it cannot be read."""
    try:
        document: dict[str, Any] = decode(payload)
        for key in TIMES:
            if key == "start" and _of_another_start(document):
                continue  # it stands on the clock of that time, of which this step says nothing
            if isinstance(time := document.get(key), str):
                document[key] = rfc3339(wall_ns_of(time) + step_ns // NS_PER_US * NS_PER_US)
        document["tq"] = TimeQuality.RESTAMPED.value
    except (PayloadError, ValueError, OverflowError):
        return payload
    return encode(document, "msgpack" if is_compact(payload) else "json")


def _of_another_start(document: dict[str, Any]) -> bool:
    """Whether it holds samples that an earlier start of the agent measured, for whoever ordered them."""
    return "codec" in document and document.get("of", document.get("boot")) != document.get("boot")
