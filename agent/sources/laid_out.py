"""Logs that are read whole: streams as arrays, laid out in time, and cut into blocks as they are wanted."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from agent.blocks import NS_PER_S, PS_PER_NS, Block, ListedClock, Quality, RegularClock, Silence
from agent.errors import LogFileError
from agent.sources.log_source import LogCounters, LogIdentity, LogItem, LogOptions
from agent.sources.log_times import Ints, Timeline, find_late, find_runaways, lay_out, spread_ties
from agent.streams import StreamSpec, table_order
from agent.timebase import TimeMark, TimeQuality

MISSING_REASON = "log"
WINDOW_SAMPLES = 4096
NEVER_SET_BEFORE_NS = 978_307_200 * NS_PER_S  # 2001: a recorder's clock that was never set counts from 2000
_FARTHEST_NS = 1 << 62  # the year 2116


@dataclass(frozen=True, slots=True)
class Strand:
    """One stream, ready to be cut: all arrays are (n, …).

    ``reasons``: why samples before a position are missing, where the log says so. ``period_ps``: of each
    start of the timeline, where the log says it more exactly.
    """

    spec: StreamSpec
    clock: RegularClock | None
    times_ns: Ints
    timeline: Timeline
    values: npt.NDArray[Any]
    quality: npt.NDArray[np.uint8]
    reasons: Mapping[int, str] | None = None
    period_ps: tuple[int, ...] = ()


def deliver(
    strands: Sequence[Strand],
    row_times_ns: Ints,
    options: LogOptions,
    stop: threading.Event | None,
    on_progress: Callable[[float], None],
) -> Iterator[LogItem]:
    """Deliver window by window: each stream's samples, then the word that there were no more.

    `row_times_ns`: sorted; a window holds at most so many of them.
    """
    begin = [0] * len(strands)
    for until_ns, done in _windows(strands, row_times_ns, options.window_s):
        if stop is not None and stop.is_set():
            return
        for i, strand in enumerate(strands):
            end = int(np.searchsorted(strand.times_ns, until_ns, side="left"))
            yield from _blocks(strand, begin[i], end, options.block_samples or WINDOW_SAMPLES)
            begin[i] = end
        for strand in strands:
            yield Silence(strand.spec.name, until_ns)
        on_progress(done)


def _windows(strands: Sequence[Strand], times_ns: Ints, window_s: float) -> Iterator[tuple[int, float]]:
    """Yield the ends of windows with at most so many rows and seconds, and the share that is done."""
    n = len(times_ns)
    span_ns = round(window_s * NS_PER_S)
    at = 0
    while at < n:
        by_time = int(np.searchsorted(times_ns, times_ns[at] + span_ns, side="left"))
        at = max(at + 1, min(at + WINDOW_SAMPLES, by_time))
        if at < n:
            yield int(times_ns[at]), at / n
    if strands:
        # past the last of any stream: ties may have been spread beyond the last row
        yield max(int(strand.times_ns[-1]) for strand in strands) + 1, 1.0


def _blocks(strand: Strand, begin: int, end: int, size: int) -> Iterator[Block]:
    """Cut samples `begin` to `end` where a clock begins, and to the size that was asked for."""
    timeline = strand.timeline
    while begin < end:
        part = int(np.searchsorted(timeline.starts, begin, side="right")) - 1
        first = int(timeline.starts[part])
        last = int(timeline.starts[part + 1]) if part + 1 < len(timeline.starts) else len(strand.times_ns)
        stop = min(end, last, begin + size)
        period_ps = strand.period_ps[part] if strand.period_ps else int(timeline.period_ns[part]) * PS_PER_NS
        clock = strand.clock or ListedClock(
            int(timeline.index[first]), strand.times_ns[first:last], period_ps
        )
        quality = strand.quality[begin:stop]
        reason = ""
        if timeline.missing_before[begin]:
            reason = MISSING_REASON if strand.reasons is None else strand.reasons.get(begin, "")
        yield Block(
            strand.spec.name,
            int(timeline.index[begin]),
            clock,
            strand.values[begin:stop],
            quality if quality.any() else None,
            reason,
        )
        begin = stop


class LaidOutLog(ABC):
    """What the logs that are read whole have in common; a format says in `_read` what is in its file."""

    format_name = ""

    def __init__(self, path: Path, options: LogOptions) -> None:
        self._path = path
        self._options = options
        self._strands: tuple[Strand, ...] = ()
        self._marks: list[TimeMark] = []
        self._identity: LogIdentity | None = None
        self.counters = LogCounters()
        self.notes: list[str] = []
        self.damaged = False
        self.progress = 0.0

    @property
    def _doing(self) -> str:
        return f"reading the log {self._path}"

    @property
    def identity(self) -> LogIdentity:
        """Whose log it is; known once it is open."""
        assert self._identity is not None, "open() first"
        return self._identity

    def open(self) -> tuple[StreamSpec, ...]:
        """Read the file whole. Raises LogFileError."""
        by_name = {strand.spec.name: strand for strand in self._read()}
        specs = table_order(strand.spec for strand in by_name.values())
        self._strands = tuple(by_name[spec.name] for spec in specs)
        self.counters.samples = sum(len(strand.times_ns) for strand in self._strands)
        self.counters.missing_samples = sum(
            int(strand.timeline.missing_before.sum()) for strand in self._strands
        )
        for count, words in (
            (self.counters.late_rows, "samples came late and were put back in their place."),
            (self.counters.missing_samples, "samples are missing."),
        ):
            if count:
                self.notes.append(f"{count:,} {words}")
        return specs

    def close(self) -> None:  # noqa: B027 - a format that holds something open may say so
        """Nothing is held open between calls."""

    def items(self, stop: threading.Event | None = None) -> Iterator[LogItem]:
        """Deliver the marks, then the streams window by window."""
        yield from self._marks
        times = [strand.times_ns for strand in self._strands]
        rows = np.unique(np.concatenate(times)) if times else np.zeros(0, np.int64)

        def on_progress(done: float) -> None:
            self.progress = done

        yield from deliver(self._strands, rows, self._options, stop, on_progress)
        self.progress = 1.0

    @abstractmethod
    def _read(self) -> list[Strand]:
        """Return the streams of the file; set the identity and the marks."""

    def _chosen(self, stream: str, candidates: Mapping[str, Sequence[str]]) -> int | None:
        """Return the place of the candidate that the options name for `stream`; None where they name none.

        `candidates`: how each is shown → by what it may be named. Raises LogFileError.
        """
        which = self._options.take.get(stream)
        if which is None:
            return None
        for place, names in enumerate(candidates.values()):
            if which.casefold() in (name.casefold() for name in names):
                return place
        raise self._no_log(
            f"the choice {stream}={which}, and no such {'one' if candidates else 'measurement'} in it",
            f"one of {', '.join(candidates)}" if candidates else f"a log that measures {stream}",
            "Correct --take, or leave it away: docs/formats.md has the rule that is applied then.",
        )

    def _damage(self, what: str) -> None:
        self.damaged = True
        self.notes.append(what)

    def _no_log(self, got: str, expected: str, remedy: str) -> LogFileError:
        return LogFileError(self._doing, got=got, expected=expected, remedy=remedy)

    def _date(self, first_ns: int) -> None:
        """Set the mark: box time is the log's own; is that a date?"""
        dated = first_ns >= NEVER_SET_BEFORE_NS
        quality = TimeQuality.HOLDOVER if dated else TimeQuality.UNSET
        self._marks = [TimeMark(first_ns if dated else 0, 0, quality)]

    def _strand(self, spec: StreamSpec, times_ns: Ints, values: npt.NDArray[Any]) -> Strand | None:
        """Lay one stream out; None where nothing of it can be used. Says what it finds wrong."""
        times_ns, values = self._believable(spec.name, times_ns, values)
        if not len(times_ns):
            self.notes.append(f"{spec.name} has no sample.")
            return None
        late = find_late(times_ns)
        if late.any():
            self.counters.late_rows += int(late.sum())
            order = np.argsort(times_ns, kind="stable")
            times_ns, values, late = times_ns[order], values[order], late[order]
        times_ns = spread_ties(times_ns)
        nothing = np.zeros(len(times_ns), np.int64)
        timeline = lay_out(times_ns, nothing, np.zeros(max(0, len(times_ns) - 1), np.bool_))
        if timeline.uneven:
            self.notes.append(f"The times of {spec.name} are too uneven to tell a hole from them.")
        quality = np.where(late, Quality.LATE, 0).astype(np.uint8)
        quality[timeline.missing_before > 0] |= np.uint8(Quality.MISSING_BEFORE)
        if spec.full_scale is not None:
            beyond = (np.abs(values) >= spec.full_scale).any(axis=1)
            quality[beyond] |= np.uint8(Quality.SATURATED)
        rated = msgspec.structs.replace(spec, rate_hz=NS_PER_S / timeline.usual_period_ns)
        return Strand(rated, None, times_ns, timeline, values, quality)

    def _believable(
        self, name: str, times_ns: Ints, values: npt.NDArray[Any]
    ) -> tuple[Ints, npt.NDArray[Any]]:
        """Leave out samples that no sensor gives, or whose time stands far from both neighbours; say so."""
        bad = (times_ns <= -_FARTHEST_NS) | (times_ns >= _FARTHEST_NS)
        bad[~bad] = find_runaways(times_ns[~bad])
        with np.errstate(invalid="ignore"):
            bad |= (np.abs(values) > MOST_BELIEVED).any(axis=1) | np.isinf(values).any(axis=1)
        if bad.any():
            self._damage(
                f"{int(bad.sum()):,} samples of {name} have a time or a value beyond belief: left out."
            )
            self.counters.unreadable_rows += int(bad.sum())
            return times_ns[~bad], values[~bad]
        return times_ns, values


MOST_BELIEVED = 1e9
"""No sensor of any unit here gives more: 10,000 bar, 100 million g."""
