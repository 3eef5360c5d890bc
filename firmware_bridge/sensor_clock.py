"""A sensor's own oscillator, estimated from its sample count.

A sensor with a FIFO, or an HX711, takes its samples by an oscillator of its own, some per cent off what its
datasheet says. The board can only say when it looked: each frame brings the ticks of its first sample, late
by up to a query's delay, at times by much more, never early. So the frames of a bin of 100 ms are stood
against the line, the earliest of them is the bin's point, and the line goes through the points of the last
bins. Between two bins a frame costs one comparison: this is done for each frame of each stream.

A bin that is off the line by more than the gate is set aside; several in a row that agree with each other
mean that the sensor paused, and the line is moved onto them.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import median

BIN_US = 100_000
BINS = 48  # about 5 s: the oscillator changes little in it, and 50 points are enough
SETTLE_BIN_US = 24_000
SETTLE_BINS = 8
SETTLE_AGREE = 5  # of these so many must lie on one line

TOLERANCE = 0.12  # an HX711's internal oscillator may be off by 10 % [its datasheet gives no limit]
KNOWN_TOLERANCE = 0.01  # of the same oscillator at another time: all of its temperature's range
MOVED_TOLERANCE = 200e-6  # and of a moment ago

PRIOR_SCATTER_US = 60.0  # a query's delay of 200 µs scatters by this

GATE_US = 500.0  # more than twice a query's delay
GATE_SCATTERS = 8.0  # a board that is slower to look has a wider gate
GATE_AGEING = 200e-6  # what the line is wrong by after a hole
STRANGERS_AGREE = 4  # so many bins in a row off the line, but on one with each other: the sensor paused
STRANGERS_MAX = 8  # so many, wherever they are: the line is wrong
# A board that looks every 3 ms sees a slow sensor late by anything up to that, in a beat of the two rates
# that looks like another period until it falls back. The gate is then made wide enough for several beats.
BEAT_US = 20_000.0
BEAT_GATES = 3.0
FORGET_BINS = 24  # a hole of this length: the line is begun anew

_NEVER_US = float("inf")


@dataclass(frozen=True, slots=True)
class _Point:
    """Sample `index` was there when the board's counter stood at `ticks_us`."""

    index: int
    ticks_us: int


class SensorClock:
    """The line from a stream's sample index to the board's ticks."""

    def __init__(self, nominal_period_us: float) -> None:
        self.nominal_period_us = nominal_period_us
        self.relocks = 0
        """How often the line had to be moved or begun anew."""
        self._bin_samples = max(1, round(BIN_US / nominal_period_us))
        self._settle_samples = max(1, round(SETTLE_BIN_US / nominal_period_us))
        self._period_us = nominal_period_us
        self._settled = False
        self._least_us = _NEVER_US
        self._early: _Point | None = None
        self._begin(TOLERANCE)

    @property
    def settled(self) -> bool:
        """Whether the period has been measured since the last restart."""
        return self._settled

    @property
    def period_us(self) -> float:
        """The sensor's period in ticks of the board: the best that is known."""
        return self._period_us

    @property
    def doubt_us(self) -> float:
        """How far `ticks_us` of the newest sample may be wrong, but for what each query is late by."""
        last = self._points[-1] if self._points else None
        age_us = (self._newest - last.index) * self._period_us if last is not None else 0.0
        return 3.0 * self._scatter_us + age_us * (GATE_AGEING if self._settled else self._tolerance)

    def restart(self) -> None:
        """Begin anew: the board counts samples and ticks from the start. The period is still a good guess."""
        self._begin(KNOWN_TOLERANCE if self._settled else self._tolerance)

    def ticks_us(self, index: int) -> float:
        """Return the board's ticks when sample `index` was taken."""
        return self._base_ticks + (index - self._base_index) * self._period_us

    def add(self, first_index: int, count: int, ticks_us: int) -> None:
        """Take a frame of `count` samples, whose first the board saw at `ticks_us` (unwrapped)."""
        if first_index >= self._bin_end:
            self._close_bin(first_index)
        self._newest = first_index + count
        off_us = ticks_us - self._base_ticks - (first_index - self._base_index) * self._period_us
        if off_us < self._least_us:
            if off_us < -self._gate_us:
                self._early = _Point(first_index, ticks_us)
            else:
                self._least_us = off_us
                self._best_index = first_index
                self._best_ticks = ticks_us
        if not self._settled:
            self._draft()

    # --- the line ---

    def _begin(self, tolerance: float) -> None:
        """Forget all but the period, and know that to within `tolerance`."""
        self._settled = False
        self._tolerance = tolerance
        self._prior_us = self._period_us
        self._prior_weight = 0.0
        self._points: deque[_Point] = deque()
        self._strangers: list[tuple[_Point, float]] = []
        self._base_index = 0
        self._base_ticks = 0.0
        self._scatter_us = GATE_US / GATE_SCATTERS
        self._gate_us = _NEVER_US
        self._bin_end = 0
        self._newest = 0
        self._least_us = _NEVER_US
        self._best_index = 0
        self._best_ticks = 0
        self._early = None
        self._clear_sums()

    def _close_bin(self, next_index: int) -> None:
        """Take the point of the bin that is over; begin the one that starts at `next_index`."""
        if self._least_us < _NEVER_US:
            point: _Point | None = _Point(self._best_index, self._best_ticks)
        else:
            point = self._early  # all of them
        self._least_us, self._early = _NEVER_US, None
        if point is not None:
            if self._settled:
                self._take(point)
            else:
                self._points.append(point)
                self._settle()
        if self._settled and self._points:
            hole = next_index - self._points[-1].index
            if hole > FORGET_BINS * self._bin_samples and not self._strangers:
                self.relocks += 1
                self._begin(KNOWN_TOLERANCE)
            else:
                scatter_us = max(GATE_US, GATE_SCATTERS * self._scatter_us)
                self._gate_us = scatter_us + GATE_AGEING * hole * self._period_us
        steady = self._settled and not self._strangers
        samples = self._bin_samples if steady else self._settle_samples
        self._bin_end = next_index + samples

    def _take(self, point: _Point) -> None:
        off_us = point.ticks_us - self.ticks_us(point.index)
        if abs(off_us) > self._gate_us:
            self._strangers.append((point, off_us))
            self._consider_strangers()
            return
        self._strangers.clear()
        self._scatter_us += (abs(off_us) - self._scatter_us) / 16.0
        self._add_point(point)
        if len(self._points) > BINS:
            self._drop_oldest()
        self._fit()

    def _consider_strangers(self) -> None:
        last = self._strangers[-STRANGERS_AGREE:]
        offs_us = [off_us for _, off_us in last]
        if len(last) == STRANGERS_AGREE and max(offs_us) - min(offs_us) <= self._gate_us:
            self._prior_us = self._period_us
            self._tolerance = MOVED_TOLERANCE if len(self._points) > BINS // 2 else KNOWN_TOLERANCE
            shift_us = abs(median(offs_us))
            if shift_us <= BEAT_US:
                self._scatter_us = max(self._scatter_us, BEAT_GATES * shift_us / GATE_SCATTERS)
            self._restart_line([point for point, _ in last])
            self.relocks += 1
        elif len(self._strangers) >= STRANGERS_MAX:
            self._period_us = self.nominal_period_us
            self._begin(TOLERANCE)
            self.relocks += 1

    def _restart_line(self, points: list[_Point]) -> None:
        self._strangers.clear()
        self._clear_sums()
        self._points.clear()
        # what was known of the period before weighs as a point of this scatter at that distance would
        self._prior_weight = (PRIOR_SCATTER_US / (self._tolerance * self._prior_us)) ** 2
        for point in points:
            self._add_point(point)
        self._fit()

    # --- the first bins ---

    def _draft(self) -> None:
        """A line through what few points there are, a few of them wrong (Theil 1950, Sen 1968)."""
        points = [*self._points, _Point(self._best_index, self._best_ticks)]
        low, high = self._prior_us * (1 - self._tolerance), self._prior_us * (1 + self._tolerance)
        slopes = [
            (b.ticks_us - a.ticks_us) / (b.index - a.index)
            for i, a in enumerate(points)
            for b in points[i + 1 :]
            if b.index > a.index
        ]
        self._period_us = min(high, max(low, median(slopes))) if slopes else self._prior_us
        last = points[-1]
        offs_us = sorted(
            p.ticks_us - last.ticks_us - (p.index - last.index) * self._period_us for p in points
        )
        self._base_index = last.index
        self._base_ticks = last.ticks_us + offs_us[(len(offs_us) - 1) // 2]
        self._least_us = last.ticks_us - self._base_ticks

    def _settle(self) -> None:
        """Leave the draft for the line once enough of its points agree."""
        if len(self._points) < SETTLE_BINS:
            return
        offs_us = [abs(p.ticks_us - self.ticks_us(p.index)) for p in self._points]
        gate_us = max(GATE_US, GATE_SCATTERS * median(offs_us))
        agreeing = [p for p, off_us in zip(self._points, offs_us, strict=True) if off_us <= gate_us]
        if len(agreeing) < SETTLE_AGREE:
            self._points.popleft()
            return
        self._settled = True
        self._scatter_us = median(offs_us)
        self._restart_line(agreeing)

    # --- sums over the points: whole numbers, so that adding and taking away is exact for years ---

    def _clear_sums(self) -> None:
        self._origin: _Point | None = None
        self._sum_x = self._sum_y = self._sum_xx = self._sum_xy = 0

    def _add_point(self, point: _Point) -> None:
        self._points.append(point)
        if self._origin is None:
            self._origin = point
        self._sum(point, self._origin, 1)

    def _drop_oldest(self) -> None:
        assert self._origin is not None
        self._sum(self._points.popleft(), self._origin, -1)

    def _sum(self, point: _Point, origin: _Point, sign: int) -> None:
        x, y = point.index - origin.index, point.ticks_us - origin.ticks_us
        self._sum_x += sign * x
        self._sum_y += sign * y
        self._sum_xx += sign * x * x
        self._sum_xy += sign * x * y

    def _fit(self) -> None:
        origin = self._origin
        assert origin is not None
        n = len(self._points)
        below = (n * self._sum_xx - self._sum_x * self._sum_x) / n
        above = (n * self._sum_xy - self._sum_x * self._sum_y) / n
        weight = self._prior_weight
        period_us = (above + weight * self._prior_us) / (below + weight)
        nominal_us = self.nominal_period_us
        self._period_us = min(nominal_us * (1 + TOLERANCE), max(nominal_us * (1 - TOLERANCE), period_us))
        # the line passes through the points' mean; the newest is the base, so that little is extrapolated
        newest = self._points[-1].index
        self._base_index = newest
        mean_ticks = origin.ticks_us + self._sum_y / n
        self._base_ticks = mean_ticks + (newest - origin.index - self._sum_x / n) * self._period_us
