"""One stream of several axes out of chips that each give one of them by an oscillator of their own.

Four NAU7802 give the four corners of one platform, at 80.3, 79.6 … samples a second. Here they come
together on a regular grid: each value is interpolated between the two conversions of its cell around the
grid's time, so that no corner is shifted in time against another. Where one has no two neighbouring
conversions, the whole stream has a gap.

Pure: no clock, no thread. What it gives does not depend on how the parts are cut, nor on which came first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from agent.blocks import Block, FaultPhase, Quality, QualityFlags, RegularClock, SensorFault, Silence

Item = Block | Silence | SensorFault

NEIGHBOUR_PERIODS = 2  # a part that is silent for longer than this has a hole there
LATE = "late"
_PASSED_ON = int(Quality.SATURATED | Quality.LATE)
_MISSING = 0x80  # in the flags of a part: there is no value here
_NEVER_NS = -(1 << 62)


@dataclass(slots=True)
class _Hole:
    """Points `first` to `end` of the grid of which a part has nothing; `reason` None: not known yet."""

    first: int
    end: int
    reason: str | None


@dataclass(slots=True)
class _Last:
    """The last sample of a part."""

    index: int
    time_ns: int
    value: int
    flags: int


@dataclass(slots=True)
class _Fault:
    """A fault that is to be told before point `point` of the grid."""

    point: int
    rank: int
    number: int
    fault: SensorFault

    @property
    def order(self) -> tuple[int, int, int]:
        """Sort key: by time, then as the cells stand, then as they came."""
        return self.fault.at_ns, self.rank, self.number


@dataclass(slots=True)
class _Part:
    """One axis on the grid: what is known of the points `base` to `decided`."""

    grid: RegularClock
    base: int = 0
    decided: int = 0
    known_ns: int = _NEVER_NS
    """Nothing that comes is older than this."""
    last: _Last | None = None
    # lists: blocks of a single sample are the rule, and arrays would cost ten times as much
    values: list[int] = field(default_factory=list)
    flags: list[int] = field(default_factory=list)
    holes: deque[_Hole] = field(default_factory=deque)

    def take(self, block: Block) -> None:
        """Take the next samples."""
        last = self.last
        late = bool(self.holes) and self.holes[-1].reason is None
        joins = last is not None and last.index + 1 == block.first and not late
        if not joins:
            reason = block.missing_reason if block.first > (0 if last is None else last.index + 1) else ""
            if late and last is not None:
                reason = reason or LATE
            self._miss(self.grid.count_before(0, block.start_ns), reason)
        newest = _last_of(block)
        before = last if joins and last is not None else None
        if len(block) == 1:
            self._interpolate_one(newest if before is None else before, newest)
        else:
            self._interpolate(before, block)
        self.last = newest
        self.known_ns = max(self.known_ns, newest.time_ns)

    def silent(self, until_ns: int) -> None:
        """Take the word that nothing comes from before `until_ns`."""
        self.known_ns = max(self.known_ns, until_ns)
        limit_ns = NEIGHBOUR_PERIODS * self.grid.period_ps // 1000
        if self.last is None or until_ns - self.last.time_ns > limit_ns:
            self._miss(self.grid.count_before(0, until_ns), None)

    def drop(self, until: int) -> None:
        """Forget the points before `until`."""
        del self.values[: until - self.base]
        del self.flags[: until - self.base]
        self.base = until

    def _miss(self, end: int, reason: str | None) -> None:
        """There is nothing up to point `end`; holes of which the reason was not known have it now."""
        if reason is not None:
            for hole in reversed(self.holes):
                if hole.reason is not None:
                    break
                hole.reason = reason
        if end > self.decided:
            if self.holes and reason is None and self.holes[-1].reason is None:
                self.holes[-1].end = end
            else:
                self.holes.append(_Hole(self.decided, end, reason))
            count = end - self.decided
            self._extend([0] * count, [_MISSING] * count)

    def _interpolate_one(self, before: _Last, after: _Last) -> None:
        """Fill the points up to one new sample."""
        end = self.grid.count_before(0, after.time_ns + 1)
        for point in range(self.decided, end):
            step_ns = self.grid.time_ns(point) - before.time_ns
            span_ns = max(after.time_ns - before.time_ns, 1)
            # whole numbers throughout, rounded to the nearest: the same wherever a block begins
            value = before.value + (2 * (after.value - before.value) * step_ns + span_ns) // (2 * span_ns)
            flags = after.flags if step_ns == span_ns else before.flags | (after.flags if step_ns else 0)
            self._extend([value], [flags])

    def _interpolate(self, last: _Last | None, block: Block) -> None:
        """Fill the points up to the last of several samples, from the one before them if that is known."""
        times_ns = block.times_ns()
        values = block.values[:, 0].astype(np.int64)
        flags = np.zeros(len(block), np.uint8) if block.quality is None else block.quality & _PASSED_ON
        if last is not None:
            times_ns = np.concatenate(([last.time_ns], times_ns))
            values = np.concatenate(([last.value], values))
            flags = np.concatenate((np.array([last.flags], np.uint8), flags))
        first = max(self.decided, self.grid.count_before(0, int(times_ns[0])))
        count = self.grid.count_before(0, int(times_ns[-1]) + 1) - first
        if count <= 0:
            return
        points_ns = self.grid.times_ns(first, count)
        before = np.searchsorted(times_ns, points_ns, side="right") - 1
        after = np.minimum(before + 1, len(times_ns) - 1)
        step_ns = points_ns - times_ns[before]
        span_ns = np.maximum(times_ns[after] - times_ns[before], 1)
        rise = (values[after] - values[before]) * step_ns
        at = values[before] + (2 * rise + span_ns) // (2 * span_ns)
        both = np.where(step_ns == 0, flags[before], flags[before] | flags[after])
        self._extend(at.tolist(), both.tolist())

    def _extend(self, values: list[int], flags: list[int]) -> None:
        self.values += values
        self.flags += flags
        self.decided += len(values)


def _last_of(block: Block) -> _Last:
    flags = 0 if block.quality is None else int(block.quality[-1]) & _PASSED_ON
    return _Last(block.end - 1, block.last_ns, int(block.values[-1, 0]), flags)


class Gathered:
    """Makes blocks of `stream`, one axis a cell, out of the streams ``stream.cell``.

    The grid has `rate_hz` points a second from `start_ns` on. Its first sample has index 0, unless the
    parts say that some were missing before: then the index counts from `start_ns`.
    """

    def __init__(self, stream: str, cells: Sequence[str], rate_hz: float, *, start_ns: int) -> None:
        self.stream = stream
        self._grid = RegularClock.of_rate(rate_hz, anchor_ns=start_ns)
        self._clock = self._grid
        self._names = [f"{stream}.{cell}" for cell in cells]
        self._parts = {name: _Part(self._grid) for name in self._names}
        self._faults: list[_Fault] = []
        self._number = 0
        self._next = 0  # the first point that is not decided yet
        self._given: int | None = None  # the point after the last sample that was given
        self._told_ns = _NEVER_NS  # until when the stream is told of

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the streams that are taken."""
        return tuple(self._names)

    def push(self, item: Item) -> list[Item]:
        """Take what a part says; return what is complete by it."""
        part = self._parts[item.stream]
        if isinstance(item, Block):
            if len(item):
                part.take(item)
        elif isinstance(item, Silence):
            part.silent(item.until_ns)
        else:
            self._take_fault(part, item)
        out = self._give()
        silence = self._silence()
        return [*out, silence] if silence is not None else out

    def finish(self) -> list[Item]:
        """Nothing more comes: return the faults that were still waiting for samples before them."""
        out: list[Item] = []
        for waiting in sorted(self._faults, key=lambda f: f.order):
            out += [*self._samples(min(waiting.point, self._limit())), waiting.fault]
        self._faults = []
        return out + self._samples(self._limit())

    def _take_fault(self, part: _Part, fault: SensorFault) -> None:
        part.known_ns = max(part.known_ns, fault.at_ns)
        # it begins after a sample of its own instant, and ends before it
        after_ns = fault.at_ns if fault.phase is FaultPhase.END else fault.at_ns + 1
        point = self._grid.count_before(0, after_ns)
        own = replace(fault, stream=self.stream, streams=(self.stream,))
        self._faults.append(_Fault(point, self._names.index(fault.stream), self._number, own))
        self._number += 1

    def _limit(self) -> int:
        """Return the first point of the grid that some part may still give a value for."""
        return min(part.decided for part in self._parts.values())

    def _give(self) -> list[Item]:
        out: list[Item] = []
        self._faults.sort(key=lambda f: f.order)
        while self._faults:
            first = self._faults[0]
            others = [p.known_ns for rank, p in enumerate(self._parts.values()) if rank != first.rank]
            if first.point > self._limit() or any(known_ns <= first.fault.at_ns for known_ns in others):
                break  # an older one may come yet, or samples from before it
            out += self._samples(first.point)
            out.append(first.fault)
            del self._faults[0]
        return out + self._samples(min([self._limit(), *(f.point for f in self._faults)]))

    def _samples(self, end: int) -> list[Item]:
        """Return the samples up to point `end`: a block for each run that has all its axes."""
        count = end - self._next
        if count <= 0:
            return []
        parts = self._parts.values()
        values = np.array([part.values[:count] for part in parts], np.int32).T
        flags = np.bitwise_or.reduce(np.array([part.flags[:count] for part in parts], np.uint8))
        missing = flags >= _MISSING
        edges = [0, count] if not missing.any() else _edges(missing)
        out: list[Item] = [
            self._block(self._next + a, values[a:b], flags[a:b])
            for a, b in zip(edges[::2], edges[1::2], strict=True)
        ]
        for part in parts:
            part.drop(end)
        self._next = end
        return out

    def _block(self, first: int, values: npt.NDArray[np.int32], flags: QualityFlags) -> Block:
        reason = ""
        missing = first != self._given
        if missing:
            reason = self._reason(self._given or 0, first)
            if self._given is None and not reason:
                # nothing is known to be missing: this is where the stream begins
                self._clock = replace(self._grid, anchor_index=self._grid.anchor_index - first)
                missing = False
        index = first - self._grid.anchor_index + self._clock.anchor_index
        quality = flags if flags.any() else None
        if missing:
            quality = flags.copy()
            quality[0] |= Quality.MISSING_BEFORE
        self._given = first + len(values)
        for part in self._parts.values():
            while part.holes and part.holes[0].end <= self._given:
                part.holes.popleft()
        block = Block(self.stream, index, self._clock, values, quality, reason)
        self._told_ns = max(self._told_ns, block.last_ns)
        return block

    def _reason(self, first: int, end: int) -> str:
        """Return why the points `first` to `end` are missing: by what was missing earliest."""
        holes = [
            (max(hole.first, first), rank, hole.reason)
            for rank, part in enumerate(self._parts.values())
            for hole in part.holes
            if hole.reason and hole.first < end and hole.end > first
        ]
        return min(holes)[2] if holes else ""

    def _silence(self) -> Silence | None:
        """Return the word that nothing older comes, where the last sample does not promise as much."""
        known_ns = min(self._grid.time_ns(self._next), *(part.known_ns for part in self._parts.values()))
        if self._faults:
            known_ns = min(known_ns, self._faults[0].fault.at_ns)
        if known_ns - self._told_ns < self._grid.period_ps // 1000:
            return None
        self._told_ns = known_ns
        return Silence(self.stream, known_ns)


def _edges(missing: npt.NDArray[np.bool_]) -> list[int]:
    """Return where each run begins and ends in which nothing is missing."""
    framed = np.concatenate(([True], missing, [True]))
    edges: list[int] = np.flatnonzero(framed[1:] != framed[:-1]).tolist()
    return edges
