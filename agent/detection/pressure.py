"""Pressure swing: the largest less the smallest pressure within a window, beyond a limit.

In a tank it is the liquid that slams; in a sealed pack, a climb or a leak. A slow change of the
weather or of altitude stays far below the limit within one window. A gauge at the end of its range says
nothing: a true swing that goes so far has passed the limit on its way. A leap of many times the limit from
one sample to the next may be a spike on the line, and counts when a second sample has reached it. Where the
air itself is measured, next to no pressure is a dead gauge.

A swing is complete with a sample, and is said with it. The window moves by hops of 100 ms on a grid of box
time, of which the last is the one that the sample is in; so whether it is over is asked once a hop, with the
first sample of the next.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from agent.blocks import NS_PER_S, Quality, SiBlock
from agent.detection.finding import EventType, Finding, Value
from agent.detection.sample_detector import SampleDetector
from agent.ranges import Part, Positive
from agent.records import Severity

HOP_NS = 100_000_000
AIR_PA = 60_000.0  # what begins above measures air: 60 kPa is 4,200 m, and a tank's own head is far less
NO_AIR_PA = 30_000.0  # 9,200 m (ISO 2533)
LEAP = 5.0  # times the limit
FEW = 8  # samples: less than an array is worth


class PressureSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``swing_pa`` peak to peak within ``window_s`` is an event."""

    enabled: bool = True
    swing_pa: Positive = 2000.0
    window_s: Positive = 5.0
    end_below: Part = 0.7
    """It ends when the swing is below this part of the limit."""
    critical_factor: Positive = 2.0


class PressureDetector(SampleDetector):
    """Watches one pressure stream."""

    def __init__(self, settings: PressureSettings, stream: str = "pressure") -> None:
        super().__init__(EventType.PRESSURE, stream)
        self._settings = settings
        self._critical_pa = math.nextafter(settings.critical_factor * settings.swing_pa, 0.0)
        self._window_hops = max(1, round(settings.window_s * NS_PER_S / HOP_NS))
        # of the hops before this one: what nothing later is beyond, so that the first is the extreme
        self._lows: deque[tuple[int, float]] = deque()
        self._highs: deque[tuple[int, float]] = deque()
        self._hop: int | None = None
        self._first, self._of_air = True, False
        self._before_pa = 0.0  # the sample before
        self._low, self._high = math.inf, -math.inf  # of the window, this hop so far included
        self._hop_low, self._hop_high = math.inf, -math.inf
        self._largest_pa = 0.0

    def _cut_off(self, decided_ns: int) -> Sequence[Finding]:
        """End the event; what was is forgotten."""
        end = self._track.end(decided_ns, self._last_ns, self._track.severity, self._values())
        self._largest_pa, self._hop = 0.0, None
        self._lows.clear()
        self._highs.clear()
        return (end,)

    def _take(self, block: SiBlock) -> Sequence[Finding]:
        """Take samples; one that is no number, or at the gauge's end, is left out."""
        times, values = block.times_ns, block.values[:, 0]
        good = np.isfinite(values)
        if block.quality is not None:
            good &= (block.quality & Quality.SATURATED) == 0
        if self._first and good.any():
            self._first, self._before_pa = False, float(values[good][0])
            self._of_air = self._before_pa > AIR_PA
        if self._of_air:
            good &= values > NO_AIR_PA
        if not good.all():
            times, values = times[good], values[good]
        found: list[Finding] = []
        if not len(values):
            return found
        before = np.concatenate((np.array([self._before_pa], values.dtype), values[:-1]))
        self._before_pa = float(values[-1])
        lows = highs = values
        if (leaps := np.abs(values - before) > LEAP * self._settings.swing_pa).any():
            lows = np.where(leaps, np.maximum(before, values), values)
            highs = np.where(leaps, np.minimum(before, values), values)
        for begin, end, hop, low, high in _pieces(times // HOP_NS, lows, highs):
            if hop != self._hop:
                if self._hop is not None:
                    self._close(self._hop, int(times[begin]), found)
                self._open(hop)
            while max(self._high, high) - min(self._low, low) > self._next_pa():
                part = slice(begin, end)
                found.append(self._beyond(times[part].tolist(), lows[part].tolist(), highs[part].tolist()))
            self._low, self._hop_low = min(self._low, low), min(self._hop_low, low)
            self._high, self._hop_high = max(self._high, high), max(self._hop_high, high)
            if self._track.active:
                self._largest_pa = max(self._largest_pa, self._high - self._low)
        return found

    def _next_pa(self) -> float:
        """Return the swing beyond which there is something to say."""
        if not self._track.active:
            return self._settings.swing_pa
        return math.inf if self._track.severity is Severity.CRITICAL else self._critical_pa

    def _beyond(self, times: Sequence[int], lows: Sequence[float], highs: Sequence[float]) -> Finding:
        """Say that the swing is beyond the next limit, with the one of these samples that completes it."""
        limit_pa, low, high = self._next_pa(), self._low, self._high
        at = -1
        while high - low <= limit_pa:
            at += 1
            low, high = min(low, lows[at]), max(high, highs[at])
        time_ns = times[at]
        severity = Severity.CRITICAL if high - low > self._critical_pa else Severity.MAJOR
        self._largest_pa = max(self._largest_pa, high - low)
        if not self._track.active:
            return self._track.start(time_ns, time_ns, severity, self._values())
        update = self._track.update(time_ns, severity, self._values())
        assert update is not None  # it became critical
        return update

    def _close(self, hop: int, time_ns: int, found: list[Finding]) -> None:
        """Ask whether the swing is over; `time_ns` is of the sample that shows that the hop is."""
        while self._lows and self._lows[-1][1] >= self._hop_low:
            self._lows.pop()
        self._lows.append((hop, self._hop_low))
        while self._highs and self._highs[-1][1] <= self._hop_high:
            self._highs.pop()
        self._highs.append((hop, self._hop_high))
        if not self._track.active:
            return
        if self._high - self._low < self._settings.end_below * self._settings.swing_pa:
            # what made the swing is as old as the window
            end_ns = max(self._track.start_ns, (hop + 1 - self._window_hops) * HOP_NS)
            found.append(self._track.end(time_ns, end_ns, self._track.severity, self._values()))
            self._largest_pa = 0.0
        elif update := self._track.update(time_ns, self._track.severity, self._values()):
            found.append(update)

    def _open(self, hop: int) -> None:
        """Begin a hop; what is older than the window is forgotten."""
        oldest = hop - self._window_hops
        while self._lows and self._lows[0][0] <= oldest:
            self._lows.popleft()
        while self._highs and self._highs[0][0] <= oldest:
            self._highs.popleft()
        self._hop, self._hop_low, self._hop_high = hop, math.inf, -math.inf
        self._low = self._lows[0][1] if self._lows else math.inf
        self._high = self._highs[0][1] if self._highs else -math.inf

    def _values(self) -> dict[str, Value]:
        return {"swing_pa": round(self._largest_pa), "limit_pa": self._settings.swing_pa}


def _pieces(
    hops: npt.NDArray[np.int64], lows: npt.NDArray[np.float32], highs: npt.NDArray[np.float32]
) -> Iterator[tuple[int, int, int, float, float]]:
    """Yield begin, end, hop, least and largest of each run of samples of one hop; of a few, one by one."""
    if len(lows) <= FEW:
        each = zip(hops.tolist(), lows.tolist(), highs.tolist(), strict=True)
        for i, (hop, low, high) in enumerate(each):
            yield i, i + 1, hop, low, high
        return
    begins = np.flatnonzero(np.concatenate(([True], hops[1:] != hops[:-1])))
    least, largest = np.minimum.reduceat(lows, begins), np.maximum.reduceat(highs, begins)
    at = begins.tolist()
    yield from zip(
        at, [*at[1:], len(lows)], hops[begins].tolist(), least.tolist(), largest.tolist(), strict=True
    )
