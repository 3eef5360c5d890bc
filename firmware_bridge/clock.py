"""MCU ticks to the host's monotonic time.

A ping gives four times, as in NTP (RFC 5905, section 8): sent and answered on the host, came and left on
the board. Its midpoints match to within half of what the round trip took beyond the board's own share; a
delay on one way only moves them by half of itself and shows in the round trip. So each ping brings its
own hard bound, and a curve through the pings is weighted by it; where it is now and how it runs now is
the clock.

Two things bound what the past may say: a ping ages, for the drift changes with the temperature; and where
the curve leaves the bounds of the last pings, the past is made to age faster until it does not.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from dataclasses import dataclass

NS_PER_US = 1000
NS_PER_S = 1_000_000_000

KEPT = 90  # pings; by then they have aged to nothing
APART_NS = 500_000_000  # of pings closer than this to each other the best is kept
UNKNOWN_DRIFT = 200e-6  # what a slope that was never measured may be wrong by
MAX_DRIFT = 500e-6  # a quartz has 200 ppm at worst; ceramic resonators are not used on these boards
MATCH_FLOOR_NS = 10_000  # the best ping is no better than this: ticks of 1 µs, a turn of the interpreter
SIGMAS = 3.0  # of the fit, that a doubt stands for

TURN_NS_S2 = 100.0  # by which the drift changes: 20 ppm in some minutes, as in a box put into the sun
# What the past is in doubt by besides, as a change of the drift. The least that explains the last pings.
DRIFT_CHANGES_NS_S2 = (50.0, 200.0, 400.0, 800.0, 1600.0, 3200.0)
LOOK_BACK_S = 60.0  # these pings' bounds the curve must not leave,
LOOK_BACK_SLACK_NS = 30_000  # by more than the best round trip may itself be above the least one

GATE_NS = 50_000  # added to what the ping and the prediction are in doubt by
STRANGERS_AGREE = 4  # so many pings that contradict the clock but not each other: the world has changed
STRANGERS_MAX = 8  # so many in a row, whatever they say: better a doubtful clock than a dead one
FORGET_NS = 120 * NS_PER_S  # after a silence of this length the pings before it say nothing


@dataclass(frozen=True, slots=True)
class _Match:
    """Ticks and the host time that belongs to them, known to within ± `doubt_ns`."""

    ticks_us: int
    host_ns: int
    doubt_ns: int


_Point = tuple[float, float, float]  # s and ns from the newest ping, ns in doubt beyond the best ping


class TickClock:
    """The clock of one board from its boot on.

    `unwrap` makes the counter that wraps into one that does not; `host_ns` turns that into host time.
    """

    def __init__(self, tick_bits: int = 32) -> None:
        self._wrap = 1 << tick_bits
        self._half = self._wrap // 2
        self._matches: deque[_Match] = deque(maxlen=KEPT)
        self._strangers: list[_Match] = []
        self._place_start_ns = 0
        self._latest_ticks = 0
        self._latest_ns = 0
        self._base_ticks = 0
        self._base_ns = 0
        self._slope_ns_per_us = float(NS_PER_US)
        self._prior_drift = 0.0  # of before the pings that are kept,
        self._prior_doubt = UNKNOWN_DRIFT
        self._least_ns = 0
        self._offset_sigma_ns = 0.0
        self._slope_sigma = UNKNOWN_DRIFT
        self._drift_change_ns_s2 = DRIFT_CHANGES_NS_S2[0]
        self.rejected = 0
        """Pings set aside: they contradicted the clock beyond all doubt."""
        self.relocks = 0
        """How often pings that agreed with each other made it begin anew."""

    @property
    def ready(self) -> bool:
        """Whether there has been a ping."""
        return bool(self._matches)

    @property
    def drift_ppm(self) -> float:
        """How much slower than the host's clock the board's runs."""
        return (self._slope_ns_per_us / NS_PER_US - 1) * 1e6

    @property
    def ns_per_us(self) -> float:
        """Host nanoseconds in a microsecond of the board's: 1000, but for the drift."""
        return self._slope_ns_per_us

    @property
    def doubt_ns(self) -> int:
        """How far a time near the newest ping may be wrong."""
        return self.doubt_at_ns(self._base_ns)

    def doubt_at_ns(self, at_ns: int) -> int:
        """Return how far a time at `at_ns` (host) may be wrong; it grows with each second without a ping.

        Half of the best round trip, for one way may always take longer than the other, and the fit.
        """
        if not self._matches:
            return 0
        return round(self._doubt_ns(max(0, at_ns - self._base_ns) / NS_PER_S))

    def unwrap(self, ticks: int, at_ns: int) -> int:
        """Return `ticks`, read off a frame that came at `at_ns`, as a count that never wraps."""
        # the host's clock says in which round of the counter we are, even after an hour without a word
        guess = self._latest_ticks + (at_ns - self._latest_ns) // NS_PER_US
        return guess + (ticks - guess + self._half) % self._wrap - self._half

    def host_ns(self, ticks_us: float) -> int:
        """Return the host's monotonic time at `ticks_us` (unwrapped)."""
        return self._base_ns + round((ticks_us - self._base_ticks) * self._slope_ns_per_us)

    def add_ping(self, sent_ns: int, came_ticks: int, left_ticks: int, answered_ns: int) -> None:
        """Take one ping; the ticks as they stand on the wire."""
        if not self._matches:
            self._latest_ticks, self._latest_ns = left_ticks, answered_ns
        came = self.unwrap(came_ticks, answered_ns)
        left = self.unwrap(left_ticks, answered_ns)
        doubt_ns = max(0, answered_ns - sent_ns - (left - came) * NS_PER_US) // 2 + NS_PER_US
        match = _Match((came + left) // 2, (sent_ns + answered_ns) // 2, doubt_ns)
        if self._matches and self._contradicts(match):
            self.rejected += 1
            self._strangers.append(match)
            if not self._world_changed():
                return
            self._forget(self._strangers)
            self.relocks += 1
        elif self._matches and match.host_ns - self._matches[-1].host_ns > FORGET_NS:
            self._forget([match])
        else:
            self._keep(match)
        self._strangers = []
        self._latest_ticks, self._latest_ns = left, answered_ns
        self._fit()

    def _keep(self, match: _Match) -> None:
        if not self._matches or match.host_ns - self._place_start_ns >= APART_NS:
            self._place_start_ns = match.host_ns
            self._matches.append(match)
        elif match.doubt_ns < self._matches[-1].doubt_ns:
            self._matches[-1] = match

    def _contradicts(self, match: _Match) -> bool:
        age_s = abs(match.host_ns - self._base_ns) / NS_PER_S
        doubt_ns = match.doubt_ns + self._doubt_ns(age_s) + GATE_NS
        return abs(match.host_ns - self.host_ns(match.ticks_us)) > doubt_ns

    def _doubt_ns(self, age_s: float) -> float:
        """What the line may be wrong by `age_s` after the newest ping."""
        turned = min(SIGMAS * self._slope_sigma * NS_PER_S + self._drift_change_ns_s2 * age_s / 2, 1e6)
        # (1e6 ns/s: from one bound of the drift to the other)
        return self._least_ns + SIGMAS * self._offset_sigma_ns + turned * age_s

    def _world_changed(self) -> bool:
        last = self._strangers[-STRANGERS_AGREE:]
        if len(last) < STRANGERS_AGREE:
            return False
        return len(self._strangers) >= STRANGERS_MAX or all(
            self._agree(one, other) for one, other in itertools.pairwise(last)
        )

    def _agree(self, one: _Match, other: _Match) -> bool:
        span_us = other.ticks_us - one.ticks_us
        off_ns = abs(other.host_ns - one.host_ns - span_us * self._slope_ns_per_us)
        return off_ns <= one.doubt_ns + other.doubt_ns + abs(span_us) * NS_PER_US * UNKNOWN_DRIFT

    def _forget(self, matches: list[_Match]) -> None:
        """Begin anew with these; of what was before them, the drift is still the best guess."""
        unheard_s = (matches[-1].host_ns - self._matches[-1].host_ns) / NS_PER_S
        change = SIGMAS * self._slope_sigma + unheard_s * TURN_NS_S2 / NS_PER_S
        self._prior_drift = self._slope_ns_per_us / NS_PER_US - 1
        self._prior_doubt = min(UNKNOWN_DRIFT, change)
        self._matches.clear()
        for match in matches[-STRANGERS_AGREE:]:
            self._keep(match)

    def _fit(self) -> None:
        newest = self._matches[-1]
        self._least_ns = min(match.doubt_ns for match in self._matches)
        points: list[_Point] = [
            (
                (m.ticks_us - newest.ticks_us) * 1e-6,
                float(m.host_ns - newest.host_ns - (m.ticks_us - newest.ticks_us) * NS_PER_US),
                float(m.doubt_ns - self._least_ns),
            )
            for m in self._matches
        ]
        offset_ns = drift_ns_s = 0.0
        for change_ns_s2 in DRIFT_CHANGES_NS_S2:
            offset_ns, drift_ns_s, half_turn = self._curve(points, change_ns_s2)
            if all(
                abs(offset_ns + drift_ns_s * x + half_turn * x * x - y) <= excess + LOOK_BACK_SLACK_NS
                for x, y, excess in points
                if x > -LOOK_BACK_S
            ):
                break
        self._base_ticks = newest.ticks_us
        self._base_ns = newest.host_ns + round(offset_ns)
        self._slope_ns_per_us = NS_PER_US + drift_ns_s / 1e6

    def _curve(self, points: list[_Point], change_ns_s2: float) -> tuple[float, float, float]:
        """Return the parabola through `points`: offset (ns) and drift (ns/s) now, half the turn (ns/s²)."""
        weight = sum_x = sum_xx = sum_xxx = sum_xxxx = sum_y = sum_xy = sum_xxy = 0.0
        for x, y, excess_ns in points:
            xx = x * x
            sigma_ns, aged_ns = MATCH_FLOOR_NS + excess_ns, change_ns_s2 / 2 * xx
            w = 1.0 / (sigma_ns * sigma_ns + aged_ns * aged_ns)
            weight += w
            sum_x += w * x
            sum_xx += w * xx
            sum_xxx += w * xx * x
            sum_xxxx += w * xx * xx
            sum_y += w * y
            sum_xy += w * x * y
            sum_xxy += w * xx * y
        prior = 1.0 / (self._prior_doubt * NS_PER_S) ** 2
        sum_xy += prior * self._prior_drift * NS_PER_S
        d, f = sum_xx + prior, sum_xxxx + 1.0 / (TURN_NS_S2 / 2) ** 2
        # the normal equations, solved by cofactors; the diagonal of the inverse is the fit's own doubt
        c00, c11 = d * f - sum_xxx * sum_xxx, weight * f - sum_xx * sum_xx
        c22 = weight * d - sum_x * sum_x
        c01 = sum_xx * sum_xxx - sum_x * f
        c02 = sum_x * sum_xxx - sum_xx * d
        c12 = sum_x * sum_xx - weight * sum_xxx
        det = weight * c00 + sum_x * c01 + sum_xx * c02
        self._offset_sigma_ns = math.sqrt(max(0.0, c00 / det))
        self._slope_sigma = math.sqrt(max(0.0, c11 / det)) / NS_PER_S
        self._drift_change_ns_s2 = max(change_ns_s2, TURN_NS_S2)
        offset_ns = (c00 * sum_y + c01 * sum_xy + c02 * sum_xxy) / det
        drift_ns_s = (c01 * sum_y + c11 * sum_xy + c12 * sum_xxy) / det
        half_turn = (c02 * sum_y + c12 * sum_xy + c22 * sum_xxy) / det
        bound_ns_s = MAX_DRIFT * NS_PER_S
        return offset_ns, min(bound_ns_s, max(-bound_ns_s, drift_ns_s)), half_turn
