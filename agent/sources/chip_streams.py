"""What is told of one chip: its blocks, its silences, and what is wrong with it, stream by stream in order.

A fault belongs either to the chip with all its streams (nobody answers) or to one stream (its value stands
still). It is told once, goes on until a good sample comes, and the gap that it leaves bears its name.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent.blocks import (
    NS_PER_S,
    Block,
    FaultKind,
    FaultPhase,
    Quality,
    RegularClock,
    SensorFault,
    Silence,
)
from agent.gaps import MARGIN_NS
from agent.sources.drivers.base import ChipError, Counts, Driver
from agent.sources.life_sign import LifeSign
from agent.sources.stream_clock import StreamClock

log = logging.getLogger("cargobox")

Item = Block | Silence | SensorFault

SILENCE_STEP_NS = 10_000_000  # by so much the other streams may be held up by one that fails
FIRST_MARGIN_NS = 50_000_000  # the time of the first sample of all is a guess, and must not be too early
OVERFLOW_HOLD_NS = 2 * NS_PER_S  # an overflow is over when none has followed for so long
# A bad contact fails a hundred times an hour. What fails again so soon is told as one fault that goes on.
FLAP_NS = 10 * NS_PER_S
FIRST_HOLD_NS = 2 * NS_PER_S
LAST_HOLD_NS = 60 * NS_PER_S
FOREVER_NS = 1 << 62
LATE = "late"
BUSY = "busy"
"""Reason of a gap: bus or computer had no time for a measurement."""

# these say what is behind the others, whichever was noticed first
_DEEPER = frozenset({FaultKind.BUS_GONE, FaultKind.STUCK_BUS, FaultKind.WRONG_CHIP})


@dataclass(slots=True)
class _Lane:
    """Where one stream has come to."""

    name: str
    life: LifeSign
    clock: StreamClock
    next_index: int = 0
    last_ns: int | None = None
    silent_ns: int = 0
    reason: str = ""


@dataclass(slots=True)
class _Open:
    """A fault that has begun and not ended."""

    kind: FaultKind
    at_ns: int
    hold_ns: int
    """For how long it must be sound before that is told."""
    hold_until_ns: int
    lanes: list[_Lane]
    told: FaultKind
    """What was said last of what it is."""
    deep_until_ns: int = 0
    """Until then it may still be what is behind the others that comes and goes."""

    def is_news(self, kind: FaultKind, now_ns: int) -> bool:
        """Whether one that comes and goes has become another: no overflow may hide a pulled cable.

        But one that goes on by overflows alone is no pulled cable any more.
        """
        if self.told in _DEEPER:
            return kind not in _DEEPER and now_ns >= self.deep_until_ns
        return kind in _DEEPER


class ChipStreams:
    """The streams of one chip, `begin_ns` being when the source began."""

    def __init__(self, driver: Driver, sensor: str, begin_ns: int) -> None:
        self.sensor = sensor
        self.samples = 0
        self.faults = 0
        self.overflows = 0
        self.needs_set_up = False
        """A value stands still: the chip may only need to be set up anew."""
        self._period_ns = round(NS_PER_S / driver.rate_hz)
        self._lanes = [
            _Lane(s.spec.name, LifeSign(s), StreamClock(round(1e12 / driver.rate_hz)), silent_ns=begin_ns)
            for s in driver.streams
        ]
        self._open: dict[tuple[str, ...], _Open] = {}
        self._ended: dict[tuple[str, ...], tuple[int, int]] = {}  # when, and for how long it was held
        self._all = tuple(lane.name for lane in self._lanes)
        self._quiet_until_ns = FOREVER_NS  # until it is set up
        self._flows = False
        self._out: list[Item] = []

    @property
    def failing(self) -> FaultKind | None:
        """What is wrong with the chip as a whole, if anything is."""
        one = self._open.get(self._all)
        return None if one is None else one.kind

    @property
    def reason(self) -> str:
        """Why samples are missing now, if one knows."""
        return next((lane.reason for lane in self._lanes if lane.reason), "")

    def least_index(self, time_ns: int) -> int:
        """Return the index that a sample of `time_ns` has at least.

        Minutes of silence are told as they pass, by a stream's last clock, up to a margin (``gaps.py``).
        """
        least = 0
        for lane in self._lanes:
            line = lane.clock.clock
            if line is not None:
                told_ns = time_ns - MARGIN_NS
                least = max(least, lane.next_index + line.count_before(lane.next_index, told_ns))
        return least

    def take(self) -> list[Item]:
        """Return what there is to tell."""
        out, self._out = self._out, []
        return out

    def quiet(self, until_ns: int = FOREVER_NS) -> None:
        """No sample comes for now, and none from before `until_ns` (whenever that may be known)."""
        self._flows = False
        self._quiet_until_ns = until_ns

    def quiet_before(self, until_ns: int) -> None:
        """If nothing comes for now: nor will anything from before `until_ns`, but perhaps from then on."""
        self._quiet_until_ns = until_ns

    @property
    def flowing(self) -> bool:
        """Whether all streams give samples, so that nobody waits for them in vain."""
        return self._flows and not self._open

    def silences(self, now_ns: int) -> list[Item]:
        """Return the word that nothing comes, if nothing does: other streams must not wait for it."""
        until_ns = min(now_ns, self._quiet_until_ns)
        if not self.samples and not self._open:
            until_ns -= FIRST_MARGIN_NS
        told: list[Item] = []
        for lane in self._lanes:
            withheld_ns = lane.last_ns if (lane.name,) in self._open else None
            if self._flows and withheld_ns is None:
                continue
            lane_until_ns = until_ns if not self._flows or withheld_ns is None else withheld_ns
            if lane_until_ns - lane.silent_ns >= SILENCE_STEP_NS:
                lane.silent_ns = lane_until_ns
                told.append(Silence(lane.name, lane_until_ns))
        return told

    def fail(self, error: ChipError, now_ns: int, *, hold: bool = False) -> None:
        """Tell that the chip fails, or in which other way. `hold`: it is not over with the next sample."""
        self._begin(self._lanes, error.kind, now_ns, error.got, error.expected)
        if hold:
            one = self._open[self._all]
            one.hold_until_ns = max(one.hold_until_ns, now_ns + OVERFLOW_HOLD_NS)

    def lost_to(self, reason: str) -> None:
        """Say why samples are missing, where no fault says it."""
        for lane in self._lanes:
            lane.reason = lane.reason or reason

    def give(
        self,
        which: Sequence[int],
        first: int,
        arrays: Sequence[Counts],
        *,
        time_ns: int = 0,
        period_ns: float = 0.0,
        clock: RegularClock | None = None,
    ) -> None:
        """Hand on consecutive samples of some streams (by place), (n, axes) each.

        Their times are those of `clock`; or the first was taken at `time_ns`, `period_ns` apart.
        """
        self._flows = True
        for place, values in zip(which, arrays, strict=True):
            lane = self._lanes[place]
            if clock is not None:
                own = clock
            else:
                own = lane.clock.follow(
                    first, time_ns, period_ns, jumped=first != lane.next_index, last_ns=lane.last_ns
                )
            self._give(lane, Block(lane.name, first, own, values))

    def _give(self, lane: _Lane, block: Block) -> None:
        wrong = lane.life.feed(block.values, block.start_ns, block.last_ns)
        if wrong is not None:
            self._withhold(lane, block, wrong)
            return
        reason = lane.reason
        late = block.count_before(lane.silent_ns)
        if late:
            reason = reason or LATE  # the pipeline was told that nothing older would come, and went on
            if late == len(block):
                lane.reason = reason
                return
            block = block.cut(late, len(block))
        quality = lane.life.quality
        if quality is not None and late:
            quality = quality[late:]
        if block.first != lane.next_index:
            quality = np.zeros(len(block), np.uint8) if quality is None else quality
            quality[0] |= np.uint8(Quality.MISSING_BEFORE)
            reason = reason or BUSY
        else:
            reason = ""
        self._end_faults(lane, block.start_ns)
        self._out.append(Block(block.stream, block.first, block.clock, block.values, quality, reason))
        lane.reason = ""
        lane.next_index = block.end
        lane.last_ns = block.last_ns
        self.samples += len(block)

    def _withhold(self, lane: _Lane, block: Block, kind: FaultKind) -> None:
        """What it gives is no measurement: told as a fault, and not handed on."""
        if kind is FaultKind.STUCK_VALUE:
            got = f"the same value for too long ({', '.join(str(v) for v in block.values[-1])})"
            expected = "at least one bit of noise"
            self.needs_set_up = True
        else:
            got = f"{', '.join(str(v) for v in block.values[-1])}, the end of its range, without a break"
            expected = "a value within its range"
        self._begin([lane], kind, block.last_ns, got, expected)
        # a sample that is held back has been taken, and the next one comes later than it
        self._open[(lane.name,)].at_ns = max(self._open[(lane.name,)].at_ns, block.last_ns)
        lane.last_ns = block.last_ns

    # --- faults ---

    def _begin(self, lanes: list[_Lane], kind: FaultKind, now_ns: int, got: str, expected: str) -> None:
        names = tuple(lane.name for lane in lanes)
        for lane in lanes:
            if not lane.reason or kind in _DEEPER:
                lane.reason = kind.value
        known = self._open.get(names)
        if known is not None:
            known.hold_until_ns = max(known.hold_until_ns, now_ns + known.hold_ns if known.hold_ns else 0)
            known_kind, known.kind = known.kind, kind
            news = known.is_news(kind, now_ns) if known.hold_ns else known_kind is not kind
            if kind in _DEEPER:
                known.deep_until_ns = now_ns + known.hold_ns
            if not news:
                return
        log.warning("%s: %s: %s, expected %s", self.sensor, kind.value, got, expected)
        # after the last sample that was handed on, and not before what was said to be silent
        at_ns = max([now_ns, *(self._after_ns(lane) for lane in lanes)])
        if known is None:
            self.faults += 1
            phase = FaultPhase.START
            hold_ns = self._hold_ns(names, now_ns)
            until_ns = now_ns + hold_ns if hold_ns else 0
            self._open[names] = _Open(kind, at_ns, hold_ns, until_ns, lanes, kind, until_ns)
        else:
            phase = FaultPhase.UPDATE
            known.told, known.at_ns = kind, max(known.at_ns, at_ns)
        at_ns = self._open[names].at_ns
        self._out.append(SensorFault(names[0], at_ns, phase, kind, self.sensor, names, got, expected))

    def _hold_ns(self, names: tuple[str, ...], now_ns: int) -> int:
        """Return for how long it must be sound before that is told: longer each time that it fails again."""
        ended_ns, hold_ns = self._ended.get(names, (None, 0))
        if ended_ns is None or now_ns - ended_ns > FLAP_NS + hold_ns:
            return 0
        return min(LAST_HOLD_NS, max(FIRST_HOLD_NS, 2 * hold_ns))

    def _after_ns(self, lane: _Lane) -> int:
        return max(lane.silent_ns, 0 if lane.last_ns is None else lane.last_ns + self._period_ns)

    def _end_faults(self, lane: _Lane, start_ns: int) -> None:
        """A good sample of this stream comes: end the faults that said otherwise."""
        for names in [names for names, one in self._open.items() if lane in one.lanes]:
            one = self._open[names]
            if one.hold_until_ns > start_ns:
                continue
            del self._open[names]
            self._ended[names] = (start_ns, one.hold_ns)
            log.info("%s: works again", self.sensor)
            at_ns = max(start_ns, one.at_ns)
            if one.hold_until_ns and lane.last_ns is not None:
                at_ns = max(at_ns, lane.last_ns + self._period_ns)
            self._out.append(SensorFault(names[0], at_ns, FaultPhase.END, one.told, self.sensor, names))
