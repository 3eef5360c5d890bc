"""Restamping: what was made before the clock was set and still waits when it is leaves with the right times.

A Pi has no battery clock: it boots in 1970, or with the time at which it was switched off. Box time does
not care, so once the wall clock is known, it is known for all of this run: times move by as much as the
offset did. What was sent before cannot be moved; `Restamping.steps` tells receivers by how much they may.

It stands between outbox and uplink. On the card records stay as they were made.
"""

from __future__ import annotations

import logging
import threading
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from agent.errors import PayloadError
from agent.outbox import Outbox, Waiting
from agent.records import Record, decode, encode, is_compact
from agent.timebase import NS_PER_US, TimeMark, TimeQuality, rfc3339, wall_ns_of

LEAST_NS = 1_000_000_000  # a clock that ran freely is off by less, and is called `holdover` with reason
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

    def __init__(self, boot: str) -> None:
        self.boot = boot
        self._lock = threading.Lock()
        self._runs: list[_Run] = []
        self._right_ns: int | None = None

    def mark(self, mark: TimeMark) -> None:
        """Take a mark of the wall clock."""
        if mark.quality is not TimeQuality.SYNCED:
            return
        with self._lock:
            before = self._steps()
            self._right_ns = mark.offset_ns
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
            for record in records:
                latest = self._runs[-1] if self._runs else None
                if latest is not None and latest.offset_ns == record.unsure_ns:
                    self._runs[-1] = replace(latest, last=record.seq)
                else:
                    self._runs.append(_Run(record.seq, record.seq, record.unsure_ns))
                    del self._runs[:-MOST_RUNS]

    def step_ns(self, seq: int) -> int:
        """Return by how much the times of a record of this boot are to be moved; 0: they stand."""
        with self._lock:
            i = bisect_right(self._runs, seq, key=lambda run: run.first) - 1
            return self._step_ns(self._runs[i]) if i >= 0 and seq <= self._runs[i].last else 0

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

    def _step_ns(self, run: _Run) -> int:
        if run.offset_ns is None or self._right_ns is None:
            return 0
        step_ns = self._right_ns - run.offset_ns
        return step_ns if abs(step_ns) >= LEAST_NS else 0


class RestampingQueue:
    """The outbox as the uplink sees it: `agent.uplink.queue.Queue`."""

    def __init__(self, outbox: Outbox, stamps: Stamps) -> None:
        self._stamps = stamps
        self.wake = outbox.wake
        self.acknowledge = outbox.acknowledge
        self.release = outbox.release
        self.release_all = outbox.release_all
        self.set_aside = outbox.set_aside
        self.waiting = outbox.waiting
        self.flush = outbox.flush
        self._take = outbox.take

    def take(
        self, limit: int, *, urgent_only: bool = False, timeout_s: float | None = None
    ) -> Sequence[Waiting]:
        """Lease records; their times are right as far as the clock is known by now."""
        taken = self._take(limit, urgent_only=urgent_only, timeout_s=timeout_s)
        return [self._righted(parcel) for parcel in taken]

    def _righted(self, parcel: Waiting) -> Waiting:
        if parcel.boot != self._stamps.boot or not (step_ns := self._stamps.step_ns(parcel.seq)):
            return parcel
        return replace(parcel, payload=moved(parcel.payload, step_ns))


def moved(payload: bytes, step_ns: int) -> bytes:
    """Return the payload with its times moved, and `tq` saying so; as it is where it cannot be read."""
    try:
        document: dict[str, Any] = decode(payload)
        for key in TIMES:
            if isinstance(time := document.get(key), str):
                document[key] = rfc3339(wall_ns_of(time) + step_ns // NS_PER_US * NS_PER_US)
        document["tq"] = TimeQuality.RESTAMPED.value
    except (PayloadError, ValueError, OverflowError):
        return payload
    return encode(document, "msgpack" if is_compact(payload) else "json")
