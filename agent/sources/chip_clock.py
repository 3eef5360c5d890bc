"""A chip's oscillator, estimated from how many samples it had made at moments that the host knows.

Each look at a chip says: between `lo_ns` and `hi_ns` by the host's clock it had made so many samples. So the
last of them was taken before `hi_ns` and the next one is taken after `lo_ns`: two walls, both true whatever
held up the thread that looked. The line from index to time runs between all walls of the last seconds, as
far from them as it can: the centre of what is possible (bounded-error estimation: Milanese and Vicino 1991;
for clocks, with one wall a message each way: Zhang, Liu, Honghui Xia 2002). A late thread moves its walls
apart and thereby says less; it never says anything wrong.

Looks at evenly spread phases of the sample's period make the walls narrow; `ChipReader` sees to that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

NS_PER_MS = 1_000_000

BIN_NS = 100 * NS_PER_MS
BINS = 96  # about 10 s: an oscillator changes little in it
FIRST_BIN_NS = NS_PER_MS  # at first each look is kept: while the period is not known, none is the narrowest
SETTLE_LOOKS = 6
SETTLED_PART = 0.15  # of a period: within this the phase is known, and samples can be counted
SLACK_PART = 0.1  # of a period: what the oscillator may have drifted since the walls were set
KNOWN_TOLERANCE = 0.002  # of an oscillator that was measured before: all of its temperature's range
SEARCH_STEPS = 40
GOLDEN = 0.6180339887498949
GOOD_PART = 1e-4  # within this a newer measurement replaces an older one: an oscillator drifts
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
        self._origin_ns: int | None = None
        self._bins: deque[_Bin] = deque()
        self._bin_ns = 0
        self._bin_end_ns = 0
        self._looks = 0
        self._first_at = 0.0
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
    def known_period_ns(self) -> float:
        """The period as it was known best, also while it is being found anew."""
        return self._period_ns if self._slope_doubt_ns < self._prior_doubt_ns else self._prior_ns

    @property
    def doubt_ns(self) -> float:
        """How far the time of the newest sample may be wrong at most; infinite before the first look."""
        return self._half_width_ns + (self._last_at + 1 - self._base_at) * self._slope_doubt_ns

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
        return int(np.floor(at + 0.5))

    def shift(self, index: int) -> None:
        """Count all indices of this segment from `index` higher."""
        self._base_at += index
        self._first_at += index
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
        slack_ns = self.doubt_ns + SLACK_PART * self._period_ns
        return max(0, self.made_by(round(lo_ns - slack_ns)) - made)

    def look(self, made: int, lo_ns: int, hi_ns: int) -> None:
        """Take a look: `made` samples existed at a moment between `lo_ns` and `hi_ns`."""
        if self._origin_ns is None:
            self._origin_ns = (lo_ns + hi_ns) // 2
            self._first_at = made
            self._base_at = float(made)
        # Sample `made - 1` was before hi and sample `made` is after lo. Half a period after the one and half
        # a period before the other lies the same point of the line, and the period drops out of the width.
        upper_ns, lower_ns = float(hi_ns - self._origin_ns), float(lo_ns - self._origin_ns)
        self._looks += 1
        self._last_at = made
        if not self._bins or hi_ns >= self._bin_end_ns:
            self._bin_end_ns = hi_ns + self._bin_ns
            self._bins.append(_Bin(float(made), upper_ns, float(made), lower_ns))
            if len(self._bins) > BINS:
                self._make_room()
            self._fit()
            return
        one = self._bins[-1]
        # by the present slope, which of two walls stands nearer to the line
        narrower = False
        if upper_ns - made * self._period_ns < one.upper_ns - one.upper_at * self._period_ns:
            one.upper_at, one.upper_ns, narrower = float(made), upper_ns, True
        if lower_ns - made * self._period_ns > one.lower_ns - one.lower_at * self._period_ns:
            one.lower_at, one.lower_ns, narrower = float(made), lower_ns, True
        if narrower and (self._looks < 8 * SETTLE_LOOKS or not self._measured):
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
        """Lay the line in the middle of the widest corridor between the walls."""
        bins = self._bins
        upper_at = np.array([b.upper_at for b in bins])
        upper_ns = np.array([b.upper_ns for b in bins])
        lower_at = np.array([b.lower_at for b in bins])
        lower_ns = np.array([b.lower_ns for b in bins])
        middle = float(upper_at.mean())
        upper_at -= middle
        lower_at -= middle
        tolerance = KNOWN_TOLERANCE if self._measured else self._tolerance
        low_ns, high_ns = self._prior_ns * (1 - tolerance), self._prior_ns * (1 + tolerance)

        def corridor(period_ns: float) -> tuple[float, float]:
            top = float((upper_ns - upper_at * period_ns).min())
            bottom = float((lower_ns - lower_at * period_ns).max())
            return top - bottom + period_ns, (top + bottom) / 2

        def room(period_ns: float) -> float:
            return corridor(period_ns)[0]

        widest_ns = _widest(room, low_ns, high_ns)
        first_ns, last_ns = _zero(room, widest_ns, low_ns), _zero(room, widest_ns, high_ns)
        self._period_ns = (first_ns + last_ns) / 2
        self._slope_doubt_ns = (last_ns - first_ns) / 2
        width_ns, self._base_ns = corridor(self._period_ns)
        self._base_at = middle
        self._half_width_ns = max(0.0, width_ns) / 2
        if not self._measured and self._slope_doubt_ns < MEASURED_PART * self._period_ns:
            self._measured = True
        if self._slope_doubt_ns < max(self._prior_doubt_ns, GOOD_PART * self._period_ns):
            self._prior_ns, self._prior_doubt_ns = self._period_ns, self._slope_doubt_ns


def _widest(width: Callable[[float], float], low: float, high: float) -> float:
    """Return where the concave function `width` is greatest (golden section search)."""
    a, b = low, high
    c, d = b - GOLDEN * (b - a), a + GOLDEN * (b - a)
    at_c, at_d = width(c), width(d)
    for _ in range(SEARCH_STEPS):
        if at_c >= at_d:
            b, d, at_d = d, c, at_c
            c = b - GOLDEN * (b - a)
            at_c = width(c)
        else:
            a, c, at_c = c, d, at_d
            d = a + GOLDEN * (b - a)
            at_d = width(d)
    return (a + b) / 2


def _zero(room: Callable[[float], float], inside: float, outside: float) -> float:
    """Return the slope nearest to `outside` at which there is still room between the walls (bisection)."""
    if room(outside) >= 0 or room(inside) < 0:
        return outside if room(outside) >= 0 else inside
    for _ in range(SEARCH_STEPS):
        middle = (inside + outside) / 2
        if room(middle) >= 0:
            inside = middle
        else:
            outside = middle
    return inside
