"""Samples one period apart, for what needs them so: spectra.

What is assumed, judged window by window, so that no cutting into blocks changes it:

* Samples that come as a clock drives them are taken as they are, whatever their clock's times jitter by.
  Missing ones are bridged by a straight line where the hole is short (`BRIDGE_S`, or two samples); a longer
  hole ends the run, and nothing is found across it. So does a rate that is another by more than `SAME_RATE`.
* Samples that come when they come, as a phone's do (in a window, more than `STRAY` of the distances are no
  whole number of periods), are read off at even times, by the cubic through the two neighbours on each side
  (Lagrange); at the edge of a hole by a straight line. That loses 1 dB at a fifth of the rate, more above.
* What is no number is missing. A saturated sample counts as it reads: the truth is at least that.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from agent.blocks import NS_PER_S, TimesNs
from agent.features.table import F64
from agent.features.windows import Windowed

EVEN = 0.25  # of a period: a sample that is off by less is in its place
STRAY = 0.1
BRIDGE_S = 0.05
BRIDGE_PERIODS = 3.0
SAME_RATE = 0.02


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Samples a period apart. ``fresh``: they do not go on from the piece before.

    ``values``: (axes, n); ``known_ns``: (n,) time of the sample that each became known by, or itself.
    """

    fresh: bool
    values: F64
    known_ns: TimesNs


class Evenly:
    """Turns the windows of one stream into pieces of evenly spaced samples."""

    def __init__(self) -> None:
        self.period_ns = 0
        """Of the pieces given last."""
        self._even = True
        self._run = _Run()

    @property
    def rate_hz(self) -> float:
        """Of the pieces given last."""
        return NS_PER_S / self.period_ns

    def feed(self, window: Windowed) -> list[Piece]:
        """Take complete windows, in order; return what they make, in order."""
        values = np.stack(window.wide)
        first_ns, last_ns = int(window.period_ns.min()), int(window.period_ns.max())
        near = max(last_ns - self.period_ns, self.period_ns - first_ns) <= SAME_RATE * self.period_ns
        if near and self._even and self._run.last is not None:
            piece = self._all_even(window.times_ns, values)
            if piece is not None:
                return [piece]
        pieces: list[Piece] = []
        for i, (begin, end) in enumerate(itertools.pairwise(window.starts.tolist())):
            part = slice(begin, end)
            pieces += self._one(window.times_ns[part], values[:, part], int(window.period_ns[i]))
        return pieces

    def _all_even(self, times_ns: TimesNs, values: F64) -> Piece | None:
        """Return the windows as one piece if each sample follows the one before; None if one does not."""
        steps = times_ns[1:] - times_ns[:-1]
        since = int(times_ns[0]) - self._run.last_ns
        low, high = (1 - EVEN) * self.period_ns, (1 + EVEN) * self.period_ns
        if not low <= since <= high:
            return None
        if len(steps) and not (low <= int(steps.min()) and int(steps.max()) <= high):
            return None
        if not np.isfinite(np.add.reduce(values, axis=1)).all():
            return None
        self._run.last_ns, self._run.last = int(times_ns[-1]), values[:, -1]
        return Piece(False, values, times_ns)

    def _one(self, times_ns: TimesNs, values: F64, period_ns: int) -> list[Piece]:
        """Take one window, whatever it is."""
        good = np.isfinite(values).all(axis=0)
        if not good.all():
            times_ns, values = times_ns[good], values[:, good]
        if not len(times_ns):
            return []
        run = self._run
        if abs(period_ns - self.period_ns) > SAME_RATE * self.period_ns:
            self.period_ns = period_ns
            run = _Run()
        before_ns = times_ns[0] if run.last is None else run.last_ns
        steps = np.diff(times_ns, prepend=before_ns)
        if run.last is None:
            steps[0] = self.period_ns
        periods = steps / self.period_ns
        off = np.abs(periods - np.maximum(1.0, np.rint(periods)))
        even = float(np.count_nonzero(off > EVEN)) <= STRAY * len(steps)
        if even is not self._even:
            self._even = even
            run = _Run()
        self._run = run
        longest = max(BRIDGE_S * NS_PER_S, BRIDGE_PERIODS * self.period_ns)
        cuts = np.flatnonzero(steps > longest).tolist()
        pieces = []
        for begin, end in itertools.pairwise([0, *cuts, len(steps)]):
            if begin in cuts:
                self._run = _Run()
            if begin == end:
                continue
            fresh = self._run.last is None
            take = self._run.in_place if even else self._run.read_off
            values_, known_ns = take(times_ns[begin:end], values[:, begin:end], self.period_ns)
            if fresh or len(known_ns):
                pieces.append(Piece(fresh, values_, known_ns))
        return pieces


class _Run:
    """Samples without a long hole between them."""

    def __init__(self) -> None:
        self.last_ns = 0
        self.last: F64 | None = None
        self._begin_ns = 0
        self._steps = 0  # of the even times that were read off
        self._times_ns: TimesNs = np.zeros(0, np.int64)
        self._values: F64 = np.zeros((0, 0))

    def in_place(self, times_ns: TimesNs, values: F64, period_ns: int) -> tuple[F64, TimesNs]:
        """Return the samples, with what is missing between them on a straight line."""
        if self.last is None:
            known_ns, known = times_ns, values
            places = np.rint(np.diff(times_ns, prepend=times_ns[0] - period_ns) / period_ns)
        else:
            known_ns = np.concatenate(([self.last_ns], times_ns))
            known = np.concatenate((self.last[:, None], values), axis=1)
            places = np.rint(np.diff(known_ns, prepend=known_ns[0] - period_ns) / period_ns)
        self.last_ns, self.last = int(times_ns[-1]), values[:, -1]
        skip = len(known_ns) - len(times_ns)
        place = np.cumsum(np.maximum(1, places.astype(np.int64))) - 1
        count = int(place[-1]) + 1
        if count == len(known_ns):
            return known[:, skip:], known_ns[skip:]
        full = np.arange(count)
        filled = np.stack([np.interp(full, place, row) for row in known])
        by = known_ns[np.searchsorted(place, full)]
        return filled[:, skip:], by[skip:]

    def read_off(self, times_ns: TimesNs, values: F64, period_ns: int) -> tuple[F64, TimesNs]:
        """Return the values at even times from the run's first sample on, as far as two more are known."""
        if self.last is None:
            self._begin_ns = int(times_ns[0])
            self._times_ns, self._values = times_ns[:0], values[:, :0]
        self.last_ns, self.last = int(times_ns[-1]), values[:, -1]
        times = np.concatenate((self._times_ns, times_ns))
        known = np.concatenate((self._values, values), axis=1)
        end_ns = int(times[-2]) if len(times) > 1 else self._begin_ns
        stop = -(-(end_ns - self._begin_ns) // period_ns)
        at_ns = self._begin_ns + np.arange(self._steps, max(stop, self._steps)) * period_ns
        self._steps = max(stop, self._steps)
        after = np.searchsorted(
            times, at_ns, side="right"
        )  # times[after - 1] ≤ at < times[after] ≤ times[-2]
        out = _between(times, known, at_ns, after, 2.5 * period_ns)
        by = times[np.minimum(after + 1, len(times) - 1)]
        self._times_ns, self._values = times[-3:], known[:, -3:]
        return out, by


def _between(times_ns: TimesNs, values: F64, at_ns: TimesNs, after: TimesNs, far_ns: float) -> F64:
    """Return the cubic through two samples on each side, (axes, n); a straight line where one is far."""
    if not len(at_ns):
        return values[:, :0]
    where = np.clip(after[None, :] + np.array([-2, -1, 0, 1])[:, None], 0, len(times_ns) - 1)
    distance = (times_ns[where] - at_ns).astype(np.float64)
    straight = np.zeros_like(distance)
    width = distance[2] - distance[1]
    straight[1], straight[2] = distance[2] / width, -distance[1] / width
    gaps = np.diff(distance, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = np.stack(
            [
                np.prod([distance[j] / (distance[j] - distance[i]) for j in range(4) if j != i], axis=0)
                for i in range(4)
            ]
        )
    rough = (gaps.min(axis=0) <= 0) | (gaps.max(axis=0) > far_ns)
    weights = np.where(rough, straight, weights)
    out = np.zeros((len(values), len(at_ns)))
    for weight, column in zip(weights, where, strict=True):
        out += weight * values[:, column]
    return out
