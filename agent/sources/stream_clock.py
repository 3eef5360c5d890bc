"""The clock of a live stream's blocks: a few straight lines, each beginning where the last one ended.

The link says of each frame when its first sample was taken and how fast the sensor runs; both words get
better and wander by some µs. The pipeline wants times that never step back, and blocks that share their
clock with their neighbours. So a line is kept while it is near enough to the link's word, and is then bent
towards it. It is broken only forwards where the sensor stood still, or where samples are missing anyway.
"""

from __future__ import annotations

from agent.blocks import PS_PER_NS, RegularClock

NS_PER_US = 1000

# the pipeline allows a block to begin this much before its expected time, after a hole
STEP_BACK_NS = 500_000

NEAR_PERIODS = 50  # a line is near enough within the period divided by this,
NEAR_MIN_NS = 8 * NS_PER_US  # but not below what the link's word wanders by,
NEAR_MAX_NS = 40 * NS_PER_US  # nor above half of what a slow stream's times may scatter by

BEND_NS = 1_000_000_000  # at most one bend in this time
BEND_SOON_NS = 50_000_000  # while the sensor's period is being learned
SOON_NS = 1_000_000  # an error that cannot wait for BEND_NS
CLOSE_NS = 3_000_000_000  # a bent line meets the link's word after this time
MAX_BEND = 0.05  # but is not faster or slower than the sensor by more than this
BREAK_NS = 20_000_000  # forwards, in addition to a period: a sensor that stood still
HOLE_BREAK_NS = 1_000_000  # where samples are missing, less is enough

MEASURED_NS = 2_000_000_000  # from then on the link's period is a measured one
PERIOD_TOLERANCE = 0.12  # an HX711's internal oscillator is the worst: 10 %, and the board's own drift


class StreamClock:
    """Turns the link's word on one stream into `RegularClock`s."""

    def __init__(self, nominal_period_ps: int) -> None:
        self.clock: RegularClock | None = None
        self.bends = 0
        """Lines that began where the last one ended."""
        self.breaks = 0
        """Lines that began elsewhere."""
        self._nominal_period_ps = nominal_period_ps
        self._near_ns = min(NEAR_MAX_NS, max(NEAR_MIN_NS, nominal_period_ps // PS_PER_NS // NEAR_PERIODS))
        self._begun_ns = 0
        self._measured = False
        self._closing_ns = 0  # the error that the line was bent to close; 0 when it runs as the sensor does
        self._bent = 0.0  # and how much of it a ns of the line closes

    @property
    def due_in_ns(self) -> int:
        """How long after a sample the next may take to be taken."""
        period_ps = self._nominal_period_ps if self.clock is None else self.clock.period_ps
        if not self._measured:
            period_ps += period_ps // 10
        return period_ps // PS_PER_NS

    def follow(
        self, first: int, time_ns: int, period_ns: float, *, jumped: bool, last_ns: int | None
    ) -> RegularClock:
        """Return the clock for samples from `first` on, whose first the link puts at `time_ns`.

        `period_ns`: the sensor's, as the link knows it; `jumped`: samples before `first` are missing;
        `last_ns`: time of the last sample that was handed on, if there was one.
        """
        clock = self.clock
        if clock is None:
            self._begun_ns = time_ns
            return self._set(RegularClock(first, time_ns, self._period_ps(period_ns)))
        now_ns = clock.time_ns(first)
        error_ns = time_ns - now_ns
        if jumped:
            self._begun_ns, self._measured = time_ns, False
            if abs(error_ns) > HOLE_BREAK_NS:
                return self._break(first, time_ns, period_ns, last_ns)
        elif error_ns > BREAK_NS + clock.period_ps // PS_PER_NS:
            return self._break(first, time_ns, period_ns, last_ns)
        self._measured = self._measured or time_ns - self._begun_ns >= MEASURED_NS
        # of what the line was bent for, this much should be left by now
        age_ns = now_ns - clock.anchor_ns
        off_ns = error_ns - (self._closing_ns - self._bent * age_ns)
        if self._closing_ns and error_ns * self._closing_ns <= 0:
            off_ns = error_ns  # it is there: run on as the sensor does
        elif min(abs(error_ns), abs(off_ns)) < self._near_ns:
            return clock
        if age_ns < (BEND_NS if abs(off_ns) < SOON_NS else BEND_SOON_NS):
            return clock
        return self._bend(first, now_ns, error_ns, period_ns)

    def _bend(self, first: int, now_ns: int, error_ns: int, period_ns: float) -> RegularClock:
        period_ps = self._period_ps(period_ns)
        bend = 0.0
        if abs(error_ns) >= self._near_ns:
            bend = min(MAX_BEND, max(-MAX_BEND, error_ns / CLOSE_NS))
        self.bends += 1
        clock = RegularClock(first, now_ns, period_ps + round(period_ps * bend))
        return self._set(clock, error_ns if bend else 0, bend / (1 + bend))

    def _break(self, first: int, time_ns: int, period_ns: float, last_ns: int | None) -> RegularClock:
        assert self.clock is not None
        period_ps = self._period_ps(period_ns)
        if last_ns is not None:
            shorter_ps, longer_ps = sorted((period_ps, self.clock.period_ps))
            # times must also go on rising in streams faster than 1 kHz
            step_back_ns = min(STEP_BACK_NS, shorter_ps // PS_PER_NS // 2)
            time_ns = max(time_ns, last_ns + longer_ps // PS_PER_NS + 1 - step_back_ns)
        self.breaks += 1
        return self._set(RegularClock(first, time_ns, period_ps))

    def _set(self, clock: RegularClock, closing_ns: int = 0, bent: float = 0.0) -> RegularClock:
        self.clock, self._closing_ns, self._bent = clock, closing_ns, bent
        return clock

    def _period_ps(self, period_ns: float) -> int:
        """The link's word, bounded: a line must never stand still."""
        nominal_ps = self._nominal_period_ps
        least, most = round(nominal_ps * (1 - PERIOD_TOLERANCE)), round(nominal_ps * (1 + PERIOD_TOLERANCE))
        return min(most, max(least, round(period_ns * PS_PER_NS)))
