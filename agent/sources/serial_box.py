"""The serial box as a source: what the link brings becomes blocks, silences, sensor faults and time marks.

Times are the host's monotonic clock. A stream's samples share one clock for as long as the link's
estimate stays near it (``stream_clock.py``); so most blocks are cut from one straight line.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from agent.blocks import PS_PER_NS, Block, FaultKind, Quality, SensorFault, Silence
from agent.sources.board_faults import BoardFaults
from agent.sources.stream_clock import StreamClock
from agent.sources.wall_marks import WallMarks
from agent.streams import TABLE, StreamClass, StreamSpec, Unit
from agent.timebase import TimeMark
from firmware_bridge.describe import BoardStream
from firmware_bridge.errors import ProtocolError
from firmware_bridge.link import Link
from firmware_bridge.reception import Samples
from firmware_bridge.refill import OVERFLOW

READ_S = 0.05  # the longest that a set stop event waits for us while the cable is quiet

# a board says every 25 ms up to when its samples are complete; a sensor's own delay comes off that
IN_FLIGHT_NS = 10_000_000
# longer than frames are asked for again; a board that never says so is not waited for
LAGS_NS = 3_000_000_000

BREAK_NS = 500_000_000  # after which all streams have to be heard of anew
QUIET_NS = 2_000_000_000  # all streams: longer than a board takes to boot, and than a link's hiccup
QUIET_MARGIN_NS = 1_000_000_000  # what comes in the end may have been on its way for this long
QUIET_AGAIN_NS = 1_000_000_000

GUESS_NS = 1_000_000_000  # so much the pipeline stays behind when it tells what a silent stream owes

LATE = "late"

_KIND_OF_UNIT = {
    Unit.MPS2: StreamClass.MOTION,
    Unit.RADPS: StreamClass.MOTION,
    Unit.KG: StreamClass.LOAD,
    Unit.PA: StreamClass.PRESSURE,
    Unit.DEGC: StreamClass.CLIMATE,
    Unit.PERCENT: StreamClass.CLIMATE,
    Unit.STATE: StreamClass.CONTACT,
    Unit.V: StreamClass.VOLTAGE,
}


@dataclass(slots=True)
class _StreamState:
    """Where one stream has come to."""

    name: str
    clock: StreamClock
    period_ps: int
    index_shift: int = 0
    """Samples that were missing and that the board did not count."""
    next_index: int = 0
    last_ns: int | None = None
    heard_ns: int = 0
    silent_until_ns: int | None = None
    withheld_reason: str = ""

    @property
    def earliest_ns(self) -> int:
        """Nothing that is said of it from now on may be of an earlier time."""
        return max(-1 if self.last_ns is None else self.last_ns + 1, self.silent_until_ns or 0)


class SerialBox:
    """A source: the box on a serial port."""

    def __init__(self, port: str) -> None:
        self.link = Link(port)
        self.mount_up: tuple[float, float, float] | None = None
        self.firmware = ""
        self._states: dict[str, _StreamState] = {}
        self._faults = BoardFaults()
        self._begun_ns: int | None = None
        self._flowing_since_ns = 0

    def open(self) -> tuple[StreamSpec, ...]:
        """Connect and return what the board measures; it begins with `items`. Raises `LinkError`."""
        description = self.link.open()
        self.mount_up = description.mount_up
        self.firmware = description.firmware
        board = f"{description.board} {description.unique_id}"
        specs = tuple(_spec(s, self.link.port_name, board) for s in description.streams)
        periods_ps = {s.name: round(1e12 / s.rate_hz) for s in specs}
        self._states = {name: _StreamState(name, StreamClock(ps), ps) for name, ps in periods_ps.items()}
        self._faults = BoardFaults(self._states)
        return specs

    def items(self, stop: threading.Event) -> Iterator[Block | Silence | SensorFault | TimeMark]:
        """Start the board and give what it measures until `stop` is set, through any trouble."""
        marks = WallMarks(time.monotonic_ns)
        mark = marks.first()
        yield mark
        heard_ns = self._flowing_since_ns = mark.box_ns
        while not stop.is_set():
            # of before the read: whatever waited then has been read, however long this thread is held up
            asked_ns = time.monotonic_ns()
            batch = self.link.read(READ_S, stop.wait)
            if batch and asked_ns - heard_ns > BREAK_NS:
                self._flowing_since_ns = asked_ns
            self._faults.look(self.link.counters.faults, time.monotonic_ns())
            for samples in batch:
                self._states[samples.stream.name].heard_ns = asked_ns
                yield from self._given(samples)
            if batch:
                heard_ns = asked_ns
                yield from self._silences(asked_ns)
            elif self.link.quiet and not self.link.waiting and asked_ns - heard_ns > QUIET_NS:
                yield from self._all_silent(asked_ns - QUIET_MARGIN_NS)
            yield from self._due_faults()
            newer = marks.due(time.monotonic_ns())
            if newer is not None:
                yield newer

    def counts(self) -> dict[str, dict[str, Any]]:
        """Return what went wrong on the cable and on the board, since `open`. From any thread."""
        counters = self.link.counters
        return {
            "cable": {
                "frames": counters.frames,
                "lost": counters.lost_frames,
                "refilled": counters.refilled_frames,
                "duplicates": counters.duplicate_frames,
                "damaged": counters.damaged_frames,
                "disconnects": counters.disconnects,
                "reboots": counters.reboots,
                "overflows": sum(counters.sensor_lost) + sum(counters.ring_lost),
            }
        }

    def close(self) -> None:
        """Stop the board and let go of the port."""
        self.link.close()

    def _given(self, samples: Samples) -> Iterator[Block | SensorFault]:
        state = self._states[samples.stream.name]
        earliest_ns = state.earliest_ns
        block = self._block(samples)
        if block is None:
            return
        if self._faults.ended_by(state.name, block.start_ns):
            yield from self._faults.end(state.name, self.link.counters.faults, block.start_ns, earliest_ns)
        yield block

    def _due_faults(self) -> Iterator[SensorFault]:
        for name in self._faults.failing:
            state = self._states[name]
            known_ns = max(self.link.vouched_ns(state.name) - IN_FLIGHT_NS, state.silent_until_ns or 0)
            yield from self._faults.due(state.name, known_ns, state.earliest_ns)

    def _block(self, samples: Samples) -> Block | None:
        state = self._states[samples.stream.name]
        first = self._first(state, samples)
        clock = state.clock.follow(
            first,
            samples.time_ns,
            samples.period_ns or samples.stream.period_ns,
            jumped=samples.missing_reason != "",
            last_ns=state.last_ns,
        )
        reason = samples.missing_reason
        block = Block(state.name, first, clock, samples.values)
        unplaced = reason in ("", OVERFLOW) or state.last_ns is None
        if unplaced and self._faults.ended_by(state.name, block.start_ns):
            reason = FaultKind.BOARD.value
        if state.withheld_reason:
            reason = state.withheld_reason
        if self._begun_ns is None:
            self._begun_ns = block.start_ns
        if state.silent_until_ns is not None:
            late = block.count_before(state.silent_until_ns)
            if late:
                # the pipeline was told that nothing older would come, and went on
                state.withheld_reason = reason = LATE
                if late == len(block):
                    return None
                block = block.cut(late, len(block))
        if block.first != state.next_index:
            quality = np.zeros(len(block), np.uint8)
            quality[0] = Quality.MISSING_BEFORE
            block = Block(block.stream, block.first, block.clock, block.values, quality, reason)
        state.withheld_reason = ""
        state.next_index = block.end
        state.last_ns = block.last_ns
        return block

    def _first(self, state: _StreamState, samples: Samples) -> int:
        """Return the index of the first sample: past all that the pipeline has been told to be missing."""
        line, told_ns = state.clock.clock, self._faults.told_ns(state.name)
        least = 0
        if line is None and told_ns is not None:
            # it counts from there on; the board may have counted from later
            least = (samples.time_ns - told_ns) * PS_PER_NS // state.period_ps
        elif line is not None and samples.missing_reason:
            # it counts by the sensor's own rate; the board does so by the nominal one
            least = state.next_index + line.count_before(state.next_index, samples.time_ns - GUESS_NS)
        state.index_shift += max(0, least - samples.first - state.index_shift)
        return samples.first + state.index_shift

    def _silences(self, now_ns: int) -> Iterator[Silence]:
        if self._begun_ns is None:
            return
        youngest_ns = max((s.last_ns for s in self._states.values() if s.last_ns is not None), default=None)
        if youngest_ns is None:
            return  # all that came was late
        for state in self._states.values():
            last_ns = self._begun_ns if state.last_ns is None else state.last_ns
            until_ns = self.link.vouched_ns(state.name) - IN_FLIGHT_NS
            missed_ns = now_ns - max(state.heard_ns, self._flowing_since_ns)
            if min(missed_ns, youngest_ns - last_ns) - state.clock.due_in_ns > LAGS_NS:
                until_ns = max(until_ns, youngest_ns - IN_FLIGHT_NS)
            if until_ns - last_ns <= state.clock.due_in_ns:
                continue  # its next sample is not due yet
            if state.silent_until_ns is None or until_ns > state.silent_until_ns:
                state.silent_until_ns = until_ns
                yield Silence(state.name, until_ns)

    def _all_silent(self, until_ns: int) -> Iterator[Silence]:
        """Nothing comes of any stream, nor waits to be read: say so, lest a dead cable be told nowhere."""
        for state in self._states.values():
            known_ns = state.silent_until_ns
            if known_ns is None or until_ns - known_ns >= QUIET_AGAIN_NS:
                state.silent_until_ns = until_ns
                yield Silence(state.name, until_ns)


def _spec(stream: BoardStream, port: str, board: str) -> StreamSpec:
    try:
        unit = Unit(stream.unit)
    except ValueError:
        raise ProtocolError(
            f"board on {port}, stream {stream.name}",
            got=f"unit {stream.unit!r}",
            expected=f"one of {', '.join(Unit)}",
            remedy="`cargobox flash` puts the firmware that belongs to this program on the board.",
        ) from None
    known = TABLE.get(stream.name)
    return StreamSpec(
        name=stream.name,
        axes=stream.axes,
        unit=unit,
        rate_hz=stream.rate_hz,
        sample_bits=stream.sample_bits,
        kind=_KIND_OF_UNIT[unit] if known is None else known.kind,
        scale=stream.scale,
        full_scale=stream.full_scale,
        sensor=board,
    )
