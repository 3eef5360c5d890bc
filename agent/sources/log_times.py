"""The times of a log that tells them row by row: what is a gap, what only a change of rate.

Pure arithmetic on sorted times. Judged by the spacing *around* a sample, never of the whole file: a
node may log at 2 Hz while it rests and at 100 Hz when it is thrown, and neither is a hole in the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

NEIGHBOURS = 7
"""So many spacings are looked at together; four alike make a rate."""
GAP_FACTOR = 2.5
"""A spacing beyond so many times those around it is a gap, however uneven they are."""
RATE_FACTOR = 1.6
"""A typical spacing that changes by this factor is a change of rate: less than doubling, more than drift."""
JITTER_SHARE = 0.4
"""Spacings within so much of the typical one are even."""
MOST_REGIMES = 4
"""So many changes of rate are believed in any log; in a longer one, one in 16 samples."""
COARSE_SHARE = 0.2
"""Where more than so many samples share their time with a different one, the times are just coarse."""
MINUTE_NS = 60_000_000_000
MONTH_NS = 30 * 24 * 60 * MINUTE_NS
_HALF = NEIGHBOURS // 2
_SLICE = 1 << 18  # bounds the memory of the sliding window


@dataclass(frozen=True, slots=True)
class Timeline:
    """Where the samples of one stream stand.

    ``index``: (n,) of each sample, the missing ones counted. ``missing_before``: (n,) how many are
    missing right before it. ``starts``: positions at which a clock begins, the first is 0;
    ``period_ns``: (starts,) the typical spacing from there on. ``uneven``: the times are such that no
    hole can be told from them.
    """

    index: Ints
    missing_before: Ints
    starts: Ints
    period_ns: Ints
    uneven: bool = False

    @property
    def usual_period_ns(self) -> int:
        """The typical spacing of most samples."""
        counts = np.diff(np.append(self.starts, len(self.index)))
        periods = np.unique(self.period_ns)
        weights = [int(counts[self.period_ns == period].sum()) for period in periods]
        return int(periods[int(np.argmax(weights))])


def typical_ns(spacings_ns: Ints) -> int:
    """Return the median spacing, at least 1."""
    return max(1, int(np.median(spacings_ns))) if len(spacings_ns) else 1_000_000_000


def find_late(times_ns: Ints) -> Bools:
    """Return which samples, in the order of arrival, are older than one that came before: (n,) bool."""
    return times_ns < np.maximum.accumulate(times_ns)


def find_runaways(times_ns: Ints) -> Bools:
    """Return which single times, in the order of arrival, stand far from both neighbours beyond belief.

    One time a thousand spacings (and a minute) ahead of the rows on both sides is a damaged digit, and
    would make all that follows look late. A row may come late by more, but hardly by a month.
    """
    runaway = np.zeros(len(times_ns), np.bool_)
    if len(times_ns) < 3:
        return runaway
    steps = np.diff(times_ns)
    usual_ns = typical_ns(np.abs(steps))
    ahead_ns = max(MINUTE_NS, 1000 * usual_ns)
    behind_ns = max(MONTH_NS, 1000 * usual_ns)
    runaway[1:-1] = (steps[:-1] > ahead_ns) & (steps[1:] < -ahead_ns)
    runaway[1:-1] |= (steps[:-1] < -behind_ns) & (steps[1:] > behind_ns)
    return runaway


def keep_order(times_ns: Ints) -> tuple[Ints, Ints, Ints]:
    """Let the rows rule: where time runs back, go on one typical spacing after the row before.

    Return the new times, the positions of those places, and by how much each moved what follows it.
    """
    steps = np.diff(times_ns)
    back = np.flatnonzero(steps < 0)
    if not len(back):
        return times_ns, back, back
    moves = typical_ns(steps[steps > 0]) - steps[back]
    shift = np.zeros(len(times_ns), np.int64)
    shift[back + 1] = moves
    return times_ns + np.cumsum(shift), back + 1, np.cumsum(moves)


def spread_ties(times_ns: Ints) -> Ints:
    """Spread samples of equal time evenly over the free time beside them, so that all strictly increase.

    `times_ns` is sorted. Coarse times (51 rows in one second) come out evenly spaced up to the next.
    Rows that a scale kept while it could not tell them, and then all stamped alike, go back into the
    hole that they left. Nothing is lost and nothing passes its neighbour.
    """
    firsts = np.flatnonzero(np.append(True, times_ns[1:] != times_ns[:-1]))
    if len(firsts) == len(times_ns):
        return times_ns
    counts = np.diff(np.append(firsts, len(times_ns)))
    unique = times_ns[firsts]
    steps = np.diff(unique)
    usual = typical_ns(steps)
    ahead, behind = np.append(steps, usual), np.insert(steps, 0, 0)
    spacing = usual / np.median(counts)  # of samples, not of times
    backwards = (behind > ahead) & (counts * spacing > 1.5 * ahead)
    # apart by what the room allows, but not farther than samples usually are
    apart = np.minimum(np.where(backwards, behind, ahead) / counts, spacing)
    begins = unique - np.where(backwards, apart * (counts - 1), 0).astype(np.int64)
    within = np.arange(len(times_ns)) - np.repeat(firsts, counts)
    spread = np.repeat(begins, counts) + (within * np.repeat(apart, counts)).astype(np.int64)
    # strictly increasing even where the room is less than a nanosecond each
    ramp = np.arange(len(spread))
    return np.maximum.accumulate(spread - ramp) + ramp


def lay_out(times_ns: Ints, unread_before: Ints, paused: Bools) -> Timeline:
    """Find gaps and changes of rate in strictly increasing `times_ns`: (n,) int64.

    `unread_before`: (n,) how many samples right before this one were there and could not be read.
    `paused`: (n - 1,) spacings in which the log says that the stream was not sampled: no gap.
    """
    n = len(times_ns)
    steps = np.diff(times_ns)
    missing = unread_before.astype(np.int64, copy=True)
    if n < 2:
        first = np.zeros(1, np.int64)
        return Timeline(np.cumsum(missing), missing, first, np.array([typical_ns(steps)]))
    around, centre = _neighbourhood(steps)
    wide = (steps > GAP_FACTOR * around) & ~paused
    regimes = _regimes(centre)
    spans = list(zip(regimes.tolist(), np.append(regimes[1:], n - 1).tolist(), strict=True))
    usual = np.array([_usual(steps[begin:end], (wide | paused)[begin:end]) for begin, end in spans])
    steady = np.repeat(
        [_steady(steps[b:e], period) for (b, e), period in zip(spans, usual, strict=True)],
        [e - b for b, e in spans],
    )
    gap = wide | (_lacking_one(steps, around) & steady & ~paused)
    uneven = len(regimes) > max(MOST_REGIMES, n // 16) or _in_bursts(steps[gap], usual, n)
    if uneven:
        gap = np.zeros(n - 1, np.bool_)
        regimes, usual = regimes[:1], np.array([max(1, int(np.mean(steps)))])
    begins = _begins(regimes, usual)
    regime_of = np.searchsorted(begins, np.arange(n), side="right") - 1
    holes = np.flatnonzero(gap)
    slower = np.maximum(usual[regime_of[holes]], usual[regime_of[holes + 1]])
    lost = np.maximum(1, np.rint(steps[holes] / slower).astype(np.int64) - 1)
    missing[holes + 1] = np.maximum(missing[holes + 1], lost)
    breaks = np.flatnonzero((missing[1:] > 0) | paused) + 1
    starts = np.unique(np.concatenate((begins, breaks)))
    index = np.arange(n) + np.cumsum(missing)
    return Timeline(index, missing, starts, usual[regime_of[starts]], uneven)


def numbered(index: Ints, times_ns: Ints) -> Timeline:
    """Lay out samples that a log numbers: (n,) each, both strictly increasing. Only rates are looked for."""
    n, steps = len(index), np.diff(index)
    missing = np.concatenate(([0], steps - 1))
    spacings = np.diff(times_ns) // steps
    regimes = _regimes(_neighbourhood(spacings)[1]) if n > 1 else np.zeros(1, np.int64)
    if len(regimes) > max(MOST_REGIMES, n // 16):
        regimes = regimes[:1]
    ends = np.append(regimes[1:], len(spacings)).tolist()
    usual = np.array([typical_ns(spacings[b:e]) for b, e in zip(regimes.tolist(), ends, strict=True)])
    begins = _begins(regimes, usual)
    starts = np.unique(np.concatenate((begins, np.flatnonzero(steps > 1) + 1)))
    return Timeline(index, missing, starts, usual[np.searchsorted(begins, starts, side="right") - 1])


def _begins(regimes: Ints, usual_ns: Ints) -> Ints:
    """Return the samples at which rates begin, of the spacings at which they do: (regimes,) each."""
    # A sample at a change of rate belongs to the faster side, so that no clock promises too much.
    begins = regimes.copy()
    begins[1:] += usual_ns[1:] > usual_ns[:-1]
    return begins


def _in_bursts(holes_ns: Ints, usual_ns: Ints, n: int) -> bool:
    """Whether what look like holes are many and hold nearly everything: stamps of packets, not of samples."""
    return len(holes_ns) > max(3, 0.01 * n) and int(holes_ns.sum()) > 10 * n * int(usual_ns.max())


def _steady(steps: Ints, usual_ns: int) -> bool:
    """Whether spacings are so even that a single sample is missed."""
    return bool(np.mean(np.abs(steps - usual_ns) > JITTER_SHARE * usual_ns) < 0.05)


def _lacking_one(steps: Ints, around: npt.NDArray[np.float64]) -> Bools:
    """Return which spacings are wide and not made good beside them: (n,) bool.

    A sample that was only stamped late leaves a short spacing after the long one; a missing one does not.
    """
    beside = np.minimum(np.concatenate((around[:1], steps, around[-1:])), np.pad(around, 1, mode="edge"))
    lacking: Bools = (steps > RATE_FACTOR * around) & (beside[:-2] + steps + beside[2:] > 3.5 * around)
    return lacking


def _usual(steps: Ints, odd: Bools) -> int:
    return typical_ns(steps if odd.all() else steps[~odd])


def _neighbourhood(steps: Ints) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return for each spacing the largest median of the windows that hold it, and that of the middle one.

    The largest, since a spacing is usual if it is so to either side: the last at 2 Hz before 100 Hz.
    """
    m = len(steps)
    if m < NEIGHBOURS:
        median = np.full(m, float(np.median(steps)))
        return median, median
    medians = np.empty(m - NEIGHBOURS + 1)
    windows = np.lib.stride_tricks.sliding_window_view(steps, NEIGHBOURS)
    for at in range(0, len(medians), _SLICE):
        medians[at : at + _SLICE] = np.sort(windows[at : at + _SLICE], axis=1)[:, _HALF]
    padded = np.full(len(medians) + 2 * (NEIGHBOURS - 1), -np.inf)
    padded[NEIGHBOURS - 1 : NEIGHBOURS - 1 + len(medians)] = medians
    largest = padded[:m].copy()
    for shift in range(1, NEIGHBOURS):
        np.maximum(largest, padded[shift : shift + m], out=largest)
    return largest, np.pad(medians, _HALF, mode="edge")


def _regimes(centre: npt.NDArray[np.float64]) -> Ints:
    """Return the positions at which the typical spacing lastingly changes; the first is 0."""
    starts = [0]
    at, look = 0, NEIGHBOURS
    while at < len(centre):
        reference = centre[starts[-1]]
        part = centre[at : at + look]
        out = (part > reference * RATE_FACTOR) | (part < reference / RATE_FACTOR)
        step = int(out.argmax())
        if out[step]:
            at += step
            starts.append(at)
            look = NEIGHBOURS  # many changes must not each cost a long look
        else:
            at += len(part)
            look = min(2 * look, _SLICE)
    return np.array(starts, dtype=np.int64)
