"""MCU ticks to the host's monotonic time.

A ping gives four times, as in NTP (RFC 5905, section 8): sent and answered on the host, came and left on
the board. Its midpoints match to within half of what the round trip took beyond the board's own share.
The best ping of each window is kept; a line through the kept ones, its slope bounded, is the clock.

Not yet: outlier gates by innovation, ageing of the slope, an oscillator for each sensor.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

NS_PER_US = 1000

WINDOW_NS = 2_000_000_000
KEPT_WINDOWS = 30  # one minute: crystals change little in it
MIN_SPAN_NS = 8_000_000_000  # below it the pings' noise outweighs the drift
UNKNOWN_DRIFT = 200e-6  # what a slope that was never measured may be wrong by
FITTED_DRIFT_DOUBT = 10e-6
MAX_DRIFT = 500e-6  # a quartz has 200 ppm at worst; ceramic resonators are not used on these boards


@dataclass(frozen=True, slots=True)
class _Match:
    """Ticks and the host time that belongs to them, known to within ± `doubt_ns`."""

    ticks_us: int
    host_ns: int
    doubt_ns: int


class TickClock:
    """The clock of one board from its boot on.

    `unwrap` makes the counter that wraps into one that does not; `host_ns` turns that into host time.
    """

    def __init__(self, tick_bits: int = 32) -> None:
        self._wrap = 1 << tick_bits
        self._matches: deque[_Match] = deque(maxlen=KEPT_WINDOWS)
        self._window_start_ns = 0
        self._latest_ticks = 0
        self._latest_ns = 0
        self._base_ticks = 0
        self._base_ns = 0
        self._slope_ns_per_us = float(NS_PER_US)

    @property
    def ready(self) -> bool:
        """Whether there has been a ping."""
        return bool(self._matches)

    @property
    def drift_ppm(self) -> float:
        """How much slower than the host's clock the board's runs."""
        return (self._slope_ns_per_us / NS_PER_US - 1) * 1e6

    @property
    def doubt_ns(self) -> int:
        """How far a time may be wrong: half the best round trip of the last minute."""
        return min((m.doubt_ns for m in self._matches), default=0)

    def unwrap(self, ticks: int, at_ns: int) -> int:
        """Return `ticks`, read off a frame that came at `at_ns`, as a count that never wraps."""
        # the host's clock says in which round of the counter we are, even after an hour without a word
        guess = self._latest_ticks + (at_ns - self._latest_ns) // NS_PER_US
        half = self._wrap // 2
        return guess + (ticks - guess + half) % self._wrap - half

    def add_ping(self, sent_ns: int, came_ticks: int, left_ticks: int, answered_ns: int) -> None:
        """Take one ping; the ticks as they stand on the wire."""
        if not self._matches:
            self._latest_ticks, self._latest_ns = left_ticks, answered_ns
        came = self.unwrap(came_ticks, answered_ns)
        left = self.unwrap(left_ticks, answered_ns)
        self._latest_ticks, self._latest_ns = left, answered_ns
        doubt_ns = max(0, answered_ns - sent_ns - (left - came) * NS_PER_US) // 2 + NS_PER_US
        match = _Match((came + left) // 2, (sent_ns + answered_ns) // 2, doubt_ns)
        if not self._matches or answered_ns - self._window_start_ns >= WINDOW_NS:
            self._window_start_ns = answered_ns
            self._matches.append(match)
        elif doubt_ns < self._matches[-1].doubt_ns:
            self._matches[-1] = match
        else:
            return
        self._fit()

    def host_ns(self, ticks_us: int) -> int:
        """Return the host's monotonic time at `ticks_us` (unwrapped)."""
        return self._base_ns + round((ticks_us - self._base_ticks) * self._slope_ns_per_us)

    def _fit(self) -> None:
        newest = self._matches[-1]
        span_ns = newest.host_ns - self._matches[0].host_ns
        slope_doubt = UNKNOWN_DRIFT
        if span_ns >= MIN_SPAN_NS:
            self._slope_ns_per_us = self._fitted_slope(newest)
            slope_doubt = FITTED_DRIFT_DOUBT
        # offset: of all matches, carried to now by the slope, the one that is least in doubt; a match's
        # doubt grows with its age, for the slope is not exact
        best_doubt_ns = None
        for match in reversed(self._matches):
            age_us = newest.ticks_us - match.ticks_us
            doubt_ns = match.doubt_ns + round(age_us * NS_PER_US * slope_doubt)
            if best_doubt_ns is None or doubt_ns < best_doubt_ns:
                best_doubt_ns = doubt_ns
                self._base_ticks = newest.ticks_us
                self._base_ns = match.host_ns + round(age_us * self._slope_ns_per_us)

    def _fitted_slope(self, newest: _Match) -> float:
        weight = ticks = host = 0.0
        for m in self._matches:
            w = 1.0 / (m.doubt_ns * m.doubt_ns)
            weight += w
            ticks += w * (m.ticks_us - newest.ticks_us)
            host += w * (m.host_ns - newest.host_ns)
        mean_ticks, mean_host = ticks / weight, host / weight
        above = below = 0.0
        for m in self._matches:
            w = 1.0 / (m.doubt_ns * m.doubt_ns)
            x = m.ticks_us - newest.ticks_us - mean_ticks
            above += w * x * (m.host_ns - newest.host_ns - mean_host)
            below += w * x * x
        drift = above / below / NS_PER_US - 1 if below > 0 else 0.0
        return NS_PER_US * (1 + min(MAX_DRIFT, max(-MAX_DRIFT, drift)))
