"""A chip's oscillator, estimated from how many samples it had made at moments that the host knows.

Each look at a chip says: between `lo_ns` and `hi_ns` by the host's clock it had made so many samples. So the
last of them was taken before `hi_ns` and the next one is taken after `lo_ns`: two walls, both true whatever
held up the thread that looked. The line from index to time runs between all walls of the last seconds, as
far from them as it can: the centre of what is possible (bounded-error estimation: Milanese and Vicino 1991;
for clocks, with one wall a message each way: Zhang, Liu and Xia 2002). A late thread moves its walls
apart and thereby says less; it never says anything wrong.

Looks at evenly spread phases of the sample's period make the walls narrow; `FreeRunner` sees to that.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

NS_PER_MS = 1_000_000

BIN_NS = 200 * NS_PER_MS
BINS = 48  # about 10 s: an oscillator changes little in it
FIRST_BIN_NS = NS_PER_MS  # at first each look is kept: while the period is not known, none is the narrowest
SETTLE_LOOKS = 6
SETTLED_PART = 0.15  # of a period: within this the phase is known, and samples can be counted
SLACK_PART = 0.1  # of a period: what the oscillator may have drifted since the walls were set
KNOWN_TOLERANCE = 0.002  # of an oscillator that was measured before: all of its temperature's range
GOOD_PART = 1e-4  # within this a newer measurement replaces an older one: an oscillator drifts
CONTRADICTION_PART = 0.1  # of a period: no drift within the window amounts to this,
CONTRADICTION_NS = 100_000  # nor to this
FARTHEST = 2.0  # by this factor an oscillator may be off and still be measured
MEASURED_PART = 1e-3  # within this the period counts as measured


@dataclass(slots=True)
class _Bin:
    """The narrowest walls of one bin, each with its place: samples counted in halves between two."""

    upper_at: float
    upper_ns: float
    lower_at: float
    lower_ns: float


class ChipClock:
    """The line from a chip's sample index to host time, in ns."""

    def __init__(self, nominal_period_ns: float, tolerance: float) -> None:
        self.nominal_period_ns = nominal_period_ns
        self._tolerance = tolerance
        self._prior_ns = nominal_period_ns
        self._prior_doubt_ns = tolerance * nominal_period_ns
        self._measured = False
        self._period_ns = nominal_period_ns
        self.begin()

    def begin(self) -> None:
        """Begin anew: the phase is unknown, and the index begins where the caller likes."""
        self._period_ns = self._prior_ns
        self._base_at = 0.0
        self._base_ns = 0.0
        self._half_width_ns = float("inf")
        self._slope_doubt_ns = 0.0
        self._contradicted = False
        self._origin_ns: int | None = None
        self._bins: deque[_Bin] = deque()
        self._bin_ns = 0
        self._bin_end_ns = 0
        self._looks = 0
        self._fit_at_looks = 0
        self._last_at = 0.0

    @property
    def period_ns(self) -> float:
        """The period: measured, or the best guess."""
        return self._period_ns

    @property
    def measured(self) -> bool:
        """Whether the period was ever measured, to a part in a thousand."""
        return self._measured

    @property
    def off_part(self) -> float:
        """By what part the period certainly is longer or shorter than the nominal one, at least."""
        off_ns = abs(self._period_ns - self.nominal_period_ns) - self._slope_doubt_ns
        return max(0.0, off_ns / self.nominal_period_ns)

    @property
    def known_period_ns(self) -> float:
        """The period as it was known best, also while it is being found anew."""
        return self._period_ns if self._slope_doubt_ns < self._prior_doubt_ns else self._prior_ns

    @property
    def contradicted(self) -> bool:
        """Whether no line fits between the walls: samples were miscounted, or the oscillator stood still."""
        return self._contradicted

    @property
    def doubt_ns(self) -> float:
        """How far the time of the newest sample may be wrong at most; infinite before the first look."""
        # with another slope the walls would leave another middle, by up to as much again
        return self._half_width_ns + 2 * (self._last_at + 1 - self._base_at) * self._slope_doubt_ns

    @property
    def settled(self) -> bool:
        """Whether the phase is known well enough to count samples that nobody saw."""
        return self._looks >= SETTLE_LOOKS and (
            self.doubt_ns < SETTLED_PART * self._period_ns or self._looks > 16 * SETTLE_LOOKS
        )

    def time_ns(self, index: float) -> int:
        """Return when sample `index` was, or will be, taken. Needs at least one look."""
        assert self._origin_ns is not None
        return self._origin_ns + round(self._base_ns + (index + 0.5 - self._base_at) * self._period_ns)

    def made_by(self, time_ns: int) -> int:
        """Return how many samples have been made by `time_ns`, by the line."""
        assert self._origin_ns is not None
        at = self._base_at + (time_ns - self._origin_ns - self._base_ns) / self._period_ns
        return math.floor(at + 0.5)

    def shift(self, index: int) -> None:
        """Count all indices of this segment from `index` higher."""
        self._base_at += index
        self._last_at += index
        for one in self._bins:
            one.upper_at += index
            one.lower_at += index

    def missed(self, made: int, lo_ns: int) -> int:
        """Return how many samples were made by `lo_ns`, by the line, beyond the `made` that were counted.

        Only what is sure: a sample due within the walls' width of the look may still be to come.
        """
        if not self.settled:
            return 0
        return max(0, self.made_by(lo_ns - self._slack_ns) - made)

    def sure_from_ns(self, next_index: int, lo_ns: int, hi_ns: int) -> int | None:
        """Return from when on it is plain which sample is the newest; None if it is so already.

        Only after a look that came so late that a sample beyond `next_index` may have been made.
        """
        most = self.made_by(hi_ns + self._slack_ns)
        if most <= next_index + 1 or most == self.made_by(lo_ns - self._slack_ns):
            return None
        return self.surely_made_ns(most - 1)

    def may_have_made(self, count: int, time_ns: int) -> bool:
        """Whether `count` samples may have been made by `time_ns`, by the line and all doubt of it."""
        return self.made_by(time_ns + self._slack_ns) >= count

    def surely_made_ns(self, index: int) -> int:
        """Return from when on sample `index` has certainly been made."""
        return self.time_ns(index) + self._slack_ns

    @property
    def _slack_ns(self) -> int:
        return round(self.doubt_ns + SLACK_PART * self._period_ns)

    def look(self, made: int, lo_ns: int, hi_ns: int) -> None:
        """Take a look: `made` samples existed at a moment between `lo_ns` and `hi_ns`."""
        if self._origin_ns is None:
            self._origin_ns = (lo_ns + hi_ns) // 2
            self._base_at = float(made)
        upper_ns, lower_ns = float(hi_ns - self._origin_ns), float(lo_ns - self._origin_ns)
        self._looks += 1
        self._last_at = made
        if self._bins and not self._bin_ns and made == self._bins[-1].upper_at:
            # of looks with the same count the first has the narrowest upper wall, the last the lower one;
            # it matters when the next sample is there
            self._bins[-1].lower_ns = max(self._bins[-1].lower_ns, lower_ns)
            self._bins[-1].upper_ns = min(self._bins[-1].upper_ns, upper_ns)
            return
        if not self._bins or hi_ns >= self._bin_end_ns:
            self._bin_end_ns = hi_ns + self._bin_ns
            self._bins.append(_Bin(float(made), upper_ns, float(made), lower_ns))
            if len(self._bins) > BINS:
                self._make_room()
            if self._bin_ns >= BIN_NS:
                self._fit()
            else:
                self._fit_now_and_then()
            return
        one = self._bins[-1]
        # by the present slope, which of two walls stands nearer to the line
        narrower = False
        if upper_ns - made * self._period_ns < one.upper_ns - one.upper_at * self._period_ns:
            one.upper_at, one.upper_ns, narrower = float(made), upper_ns, True
        if lower_ns - made * self._period_ns > one.lower_ns - one.lower_at * self._period_ns:
            one.lower_at, one.lower_ns, narrower = float(made), lower_ns, True
        if narrower and (self._looks < 8 * SETTLE_LOOKS or not self._measured):
            self._fit_now_and_then()

    def _fit_now_and_then(self) -> None:
        """Fit while the line is being found, each time by an eighth more looks: it costs as much as ten."""
        if self._looks >= self._fit_at_looks:
            self._fit_at_looks = self._looks + max(1, self._looks // 8)
            self._fit()

    def _make_room(self) -> None:
        """Forget the oldest bin; or, while bins are short, make one of each two."""
        full_ns = max(BIN_NS, round(2 * self._period_ns))
        if self._bin_ns >= full_ns:
            self._bins.popleft()
            return
        self._bin_ns = min(full_ns, max(2 * self._bin_ns, FIRST_BIN_NS))
        pairs = list(self._bins)
        self._bins = deque(
            self._merged(*pairs[i : i + 2]) if i + 1 < len(pairs) else pairs[i]
            for i in range(0, len(pairs), 2)
        )

    def _merged(self, a: _Bin, b: _Bin) -> _Bin:
        period_ns = self._period_ns
        upper = a if a.upper_ns - a.upper_at * period_ns <= b.upper_ns - b.upper_at * period_ns else b
        lower = a if a.lower_ns - a.lower_at * period_ns >= b.lower_ns - b.lower_at * period_ns else b
        return _Bin(upper.upper_at, upper.upper_ns, lower.lower_at, lower.lower_ns)

    def _fit(self) -> None:
        """Find the slopes at which a line fits between all walls; take the middle one, in their middle.

        Sample `made - 1` was before the upper wall and sample `made` is after the lower one. A line through
        the point half a period behind the one and before the other has a period of room at each look.
        """
        walls = np.array([(b.upper_at, b.upper_ns, b.lower_at, b.lower_ns) for b in self._bins]).T
        middle = float(walls[0].mean())
        upper_at, upper_ns, lower_at, lower_ns = walls
        # upper - lower + slope * (lower_at - upper_at + 1) >= 0, for each pair of walls
        room_ns = upper_ns[:, None] - lower_ns[None, :]
        steps = lower_at[None, :] - upper_at[:, None] + 1.0
        tolerance = KNOWN_TOLERANCE if self._measured else self._tolerance
        low_ns, high_ns = self._prior_ns * (1 - tolerance), self._prior_ns * (1 + tolerance)
        with np.errstate(divide="ignore", invalid="ignore"):
            limits_ns = -room_ns / steps
        at_least, at_most = limits_ns[steps > 0], limits_ns[steps < 0]
        least_ns = float(at_least.max()) if at_least.size else 0.0
        most_ns = float(at_most.min()) if at_most.size else float("inf")
        if least_ns <= most_ns and (least_ns > high_ns or most_ns < low_ns):
            # not the oscillator that it was taken for: another chip, or none of this kind
            low_ns, high_ns = self.nominal_period_ns / FARTHEST, self.nominal_period_ns * FARTHEST
        first_ns, last_ns = max(low_ns, least_ns), min(high_ns, most_ns)
        fits = first_ns <= last_ns
        # an oscillator that drifts leaves no room in the end; the middle is right even then
        period_ns = min(high_ns, max(low_ns, (first_ns + last_ns) / 2))
        top = float((upper_ns - (upper_at - middle) * period_ns).min())
        bottom = float((lower_ns - (lower_at - middle) * period_ns).max())
        self._period_ns = period_ns
        self._slope_doubt_ns = abs(last_ns - first_ns) / 2
        self._base_at, self._base_ns = middle, (top + bottom) / 2
        room_left_ns = top - bottom + period_ns
        self._half_width_ns = abs(room_left_ns) / 2
        self._contradicted = -room_left_ns > max(CONTRADICTION_NS, CONTRADICTION_PART * period_ns)
        by_walls = low_ns < first_ns and last_ns < high_ns
        if self._contradicted or not fits or not (self._measured or by_walls):
            return  # what walls and expectation leave between them is not measured
        if self._slope_doubt_ns < MEASURED_PART * period_ns:
            self._measured = True
        if self._slope_doubt_ns < max(self._prior_doubt_ns, GOOD_PART * period_ns):
            self._prior_ns, self._prior_doubt_ns = period_ns, self._slope_doubt_ns
