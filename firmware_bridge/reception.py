"""What a board's data frames become: samples of each stream in order, with their index and host time.

Per stream: `FrameOrder` puts frames in their order and knows what to ask for again, `Continuity` turns
the board's index into the host's, and the clocks turn ticks into host time.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from firmware_bridge import wire
from firmware_bridge.clock import TickClock
from firmware_bridge.continuity import Continuity
from firmware_bridge.describe import BoardStream
from firmware_bridge.refill import PATIENCE_NS, AnswerTime, FrameOrder, Ready
from firmware_bridge.sensor_clock import SensorClock
from firmware_bridge.status import Counters

NS_PER_US = 1000
REQUESTS_AT_ONCE = 4  # for one stream; with fewer, holes come faster than they are asked for at 60 % loss

_DATA_HEADER = struct.Struct(wire.DATA_HEADER)
_REFILL_HEADER = struct.Struct(wire.REFILL_HEADER)
_REFILLED = struct.Struct(wire.REFILLED)


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Consecutive samples of one stream, as one frame brought them.

    `first`: index since the link was opened, missing samples counted; `time_ns`: host monotonic time of
    the first sample; `values`: (n, axes) counts, int16 or int32; `missing_reason`: why samples right
    before are missing.
    """

    stream: BoardStream
    first: int
    time_ns: int
    values: npt.NDArray[Any]
    missing_reason: str
    period_ns: float = 0.0
    """Spacing of the sensor's samples as measured; 0: not known yet."""


@dataclass(frozen=True, slots=True)
class _Frame:
    """A data frame that waits for its turn; ticks do not wrap."""

    index: int
    ticks_us: int
    count: int
    body: bytearray


class _Lane:
    """One stream."""

    def __init__(self, stream: BoardStream, answer_time: AnswerTime) -> None:
        self.stream = stream
        self.order: FrameOrder[_Frame] = FrameOrder(answer_time)
        self.continuity = Continuity(stream)
        self.sensor = SensorClock(stream.period_ns / NS_PER_US)
        self.vouched_ns = 0


class Reception:
    """The streams of one board, for as long as the link lives."""

    def __init__(self, counters: Counters) -> None:
        self.clock = TickClock()
        self.answer_time = AnswerTime()
        self._counters = counters
        self._lanes: tuple[_Lane, ...] = ()
        self._by_name: dict[str, _Lane] = {}

    def expect(self, streams: tuple[BoardStream, ...]) -> None:
        """Prepare for the streams that the board described."""
        self._lanes = tuple(_Lane(s, self.answer_time) for s in streams)
        self._by_name = {lane.stream.name: lane for lane in self._lanes}

    @property
    def streams(self) -> tuple[BoardStream, ...]:
        """What is expected; empty before the first description."""
        return tuple(lane.stream for lane in self._lanes)

    @property
    def waiting(self) -> bool:
        """Whether samples are held back until what is missing before them has come."""
        return any(lane.order.waiting for lane in self._lanes)

    @property
    def lost_samples(self) -> dict[str, int]:
        """Samples that never came, by stream."""
        return {lane.stream.name: lane.continuity.lost for lane in self._lanes}

    def vouched_ns(self, name: str) -> int:
        """Return the host time up to which the stream has been given out whole, as the board says."""
        lane = self._by_name.get(name)
        return 0 if lane is None else lane.vouched_ns

    def begin_session(self, *, reason: str, counts_from_zero: bool) -> list[Samples]:
        """The board counts anew; return what was still held back from before."""
        left = self.flush()
        for lane in self._lanes:
            lane.continuity.begin_session(reason=reason, counts_from_zero=counts_from_zero)
            lane.order.begin(0 if counts_from_zero else None)
            lane.sensor.restart()
        return left

    def flush(self) -> list[Samples]:
        """Give up what is missing; return what was held back because of it."""
        left = [s for lane in self._lanes for s in self._placed(lane, lane.order.flush())]
        self.count_refilled()
        return left

    def resume(self) -> list[Samples]:
        """The session goes on after so long a silence that sequences may have wrapped."""
        left = self.flush()
        for lane in self._lanes:
            lane.order.begin(None)
        return left

    def take_data(self, body: bytearray, came_ns: int) -> Iterator[Samples]:
        """Take a DATA frame; yield what has its turn."""
        size = len(body) - wire.DATA_HEADER_BYTES
        if size <= 0:
            self._counters.rejected_frames += 1
            return
        _, number, seq, index, ticks, count = _DATA_HEADER.unpack_from(body)
        if number >= len(self._lanes) or size != count * self._lanes[number].stream.sample_bytes:
            self._counters.rejected_frames += 1
            return
        lane = self._lanes[number]
        frame = _Frame(index, self.clock.unwrap(ticks, came_ns), count, body)
        yield from self._placed(lane, lane.order.take(seq, frame, came_ns))

    def take_refill(self, body: bytearray, came_ns: int) -> None:
        """Take a REFILL frame: how far each stream has come on the board."""
        if len(body) != wire.REFILL_HEADER_BYTES + 2 * len(self._lanes):
            self._counters.rejected_frames += 1
            return
        _, ticks = _REFILL_HEADER.unpack_from(body)
        upto_ns = self.clock.host_ns(self.clock.unwrap(ticks, came_ns))
        upcoming = struct.unpack_from(f"<{len(self._lanes)}H", body, wire.REFILL_HEADER_BYTES)
        for lane, seq in zip(self._lanes, upcoming, strict=True):
            lane.order.heard_of(seq, came_ns)
            if lane.order.complete_to(seq):
                lane.vouched_ns = upto_ns

    def requests(self, now_ns: int) -> Iterator[bytes]:
        """Yield the arguments of each DO_REFILL that is due."""
        for number, lane in enumerate(self._lanes):
            for _ in range(REQUESTS_AT_ONCE):
                if not lane.order.waiting or (asked := lane.order.ask(now_ns)) is None:
                    break
                self._counters.refills_asked += 1
                yield struct.pack(wire.REFILL_ARGUMENTS, number, *asked)

    def due_ns(self) -> int | None:
        """Return when the next request is due, or None."""
        return min((d for lane in self._lanes if (d := lane.order.due_ns()) is not None), default=None)

    def take_answer(self, arguments: bytes, payload: bytearray) -> Iterator[Samples]:
        """Take the answer to a DO_REFILL; yield what has its turn because something is gone for good."""
        if len(payload) < wire.REFILLED_BYTES:
            self._counters.rejected_frames += 1
            return
        self.count_refilled()  # what was sent again came before its answer
        number, first, _ = struct.unpack(wire.REFILL_ARGUMENTS, arguments)
        lane = self._lanes[number]
        yield from self._placed(lane, lane.order.answered(first, *_REFILLED.unpack_from(payload)))

    def expire(self, now_ns: int, patience_ns: int = PATIENCE_NS) -> Iterator[Samples]:
        """Give up what has been missing for `patience_ns`; yield what has its turn then."""
        for lane in self._lanes:
            if lane.order.waiting:
                yield from self._placed(lane, lane.order.expire(now_ns, patience_ns))
        self.count_refilled()

    def count_refilled(self) -> None:
        """Bring the counters up to date."""
        self._counters.refilled_frames = sum(lane.order.refilled for lane in self._lanes)
        self._counters.duplicate_frames = sum(lane.order.duplicates for lane in self._lanes)
        self._counters.lost_frames = sum(lane.order.lost for lane in self._lanes)

    def _placed(self, lane: _Lane, ready: list[Ready[_Frame]]) -> Iterator[Samples]:
        for one in ready:
            frame = one.frame
            time_ns = self.clock.host_ns(frame.ticks_us)
            place = lane.continuity.place(frame.index, frame.count, time_ns, one.missing_reason)
            if place is None:
                self._counters.rejected_frames += 1
                continue
            self._counters.samples += frame.count
            values = unpack_samples(frame.body, wire.DATA_HEADER_BYTES, frame.count, lane.stream)
            lane.sensor.add(place.first, frame.count, frame.ticks_us)
            end_ns = self.clock.host_ns(lane.sensor.ticks_us(place.first + frame.count))
            lane.continuity.settle(end_ns)
            yield Samples(
                lane.stream,
                place.first,
                self.clock.host_ns(lane.sensor.ticks_us(place.first)),
                values,
                place.missing_reason,
                lane.sensor.period_us * self.clock.ns_per_us,
            )


def unpack_samples(body: bytearray, at: int, count: int, stream: BoardStream) -> npt.NDArray[Any]:
    """Return `count` packed samples from `at` on: (count, axes), int16 for 16 bits, else int32."""
    axes = len(stream.axes)
    if stream.sample_bits == 16:
        return np.frombuffer(body, "<i2", count * axes, at).reshape(count, axes)
    if stream.sample_bits == 24:
        wide = np.zeros((count * axes, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(body, np.uint8, count * axes * 3, at).reshape(-1, 3)
        return (wide.view("<i4") >> 8).reshape(count, axes)
    kind = "<i4" if stream.sample_bits == 32 else "i1"
    return np.frombuffer(body, kind, count * axes, at).reshape(count, axes).astype(np.int32)
