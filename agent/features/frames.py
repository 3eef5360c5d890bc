"""Power in bands of frequency, from overlapping frames of evenly spaced samples; and what thins these out.

Everything comes in steps of a fixed number of samples, and each array has the shape of a step or a frame:
however many steps come at once, each is reckoned alike, to the last bit.

The squares of overlapping windows sum to one (J. P. Princen, A. B. Bradley, IEEE Trans. ASSP 34 (1986)
1153), so every sample counts once wherever it falls; the mean of a frame is taken away before its window.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.fft import rfft  # now: numpy itself would load it amid the first second

from agent.blocks import TimesNs
from agent.features.table import F64

TAPS = 8  # of the low-pass, for each sample that it leaves
KAISER_BETA = 6.9  # −71 dB from 0.78 of the new rate on; flat to 0.22 of it


def hann(steps: int, step: int) -> F64:
    """Return Hann's window over so many steps (three at least)."""
    length = steps * step
    rising = np.sin(math.pi * (np.arange(length) + 0.5) / length) ** 2
    return np.asarray(rising / math.sqrt(0.375 * steps), dtype=np.float64)


def flat(step: int, edge: int) -> F64:
    """Return a window of one step and an edge more, flat between two edges (as Vorbis I has it, 4.3.1)."""
    rise = np.sin(math.pi / 2 * np.sin(math.pi / 2 * (np.arange(edge) + 0.5) / edge) ** 2)
    return np.concatenate((rise, np.ones(step - edge), rise[::-1]))


class Steps:
    """Collects samples until there are whole steps of them."""

    def __init__(self, step: int, axes: int) -> None:
        self._step = step
        self._values: F64 = np.zeros((axes, 0))
        self._known_ns: TimesNs = np.zeros(0, np.int64)

    def feed(self, values: F64, known_ns: TimesNs) -> tuple[F64, TimesNs]:
        """Take (axes, n) and when each was known; return whole steps, and when each step was known."""
        values = np.concatenate((self._values, values), axis=1)
        known_ns = np.concatenate((self._known_ns, known_ns))
        used = len(known_ns) // self._step * self._step
        self._values, self._known_ns = values[:, used:], known_ns[used:]
        return values[:, :used], known_ns[self._step - 1 : used : self._step]


class Frames:
    """Mean square in adjoining bands, a frame a step.

    ``edges_hz``: rising, one more than bands. What a step brings is known from the frame that it ends; the
    first frames wait until they are full.
    """

    def __init__(self, window: F64, step: int, rate_hz: float, axes: int, edges_hz: Sequence[float]) -> None:
        self._step, self._size = step, fast_length(len(window))
        self._window: F64 = window * math.sqrt(2.0 / (self._size * step))
        edges = np.array(edges_hz) * self._size / rate_hz + 0.5  # bin j reaches from j − ½ to j + ½
        bins = np.floor(edges).astype(np.int64)
        self._part: F64 = edges - bins  # of the edge's bin, what lies below the edge
        self._first, self._end = int(bins[0]), int(bins[-1]) + 1
        self._bins = bins - self._first
        self._kept: F64 = np.zeros((axes, 0))
        self._skip = -len(window) % step  # so that a frame ends where a step does

    def feed(self, values: F64) -> F64:
        """Take (axes, whole steps); return (axes, frames, bands): a frame for each of the last steps."""
        frames, means = self.cut(values)
        return self.bands(frames - means[:, :, None])

    def cut(self, values: F64) -> tuple[F64, F64]:
        """Take (axes, whole steps); return the frames, (axes, frames, length), read only, and their means."""
        data = np.concatenate((self._kept, values[:, self._skip :]), axis=1)
        self._skip = 0
        length, step = len(self._window), self._step
        count = max(0, (data.shape[1] - length) // step + 1)
        self._kept = data[:, count * step :]
        if not count:
            return np.zeros((len(data), 0, length)), np.zeros((len(data), 0))
        inner, outer = data.strides[1], data.strides[0]
        every: F64 = np.ndarray((len(data), count, length), np.float64, data, 0, (outer, step * inner, inner))
        return every, np.add.reduce(every, axis=2) / length

    def bands(self, frames: F64) -> F64:
        """Return the mean squares, (k, frames, bands), of frames about their mean, which are used up."""
        if not frames.shape[1]:
            return np.zeros((len(frames), 0, len(self._part) - 1))
        frames *= self._window
        found = rfft(frames, self._size)[:, :, self._first : self._end]
        power = found.real * found.real
        power += found.imag * found.imag
        bands: F64 = np.add.reduceat(power, self._bins[:-1], axis=2)
        bands[:, :, -1] -= power[:, :, -1]  # the last edge's bin
        edge = power[:, :, self._bins]
        edge *= self._part
        inside = self._bins[1:] == self._bins[:-1]
        inside[-1] = False  # of that nothing is left already
        if inside.any():  # a band within one bin has its part of it, and not all
            bands[:, :, inside] -= power[:, :, self._bins[:-1][inside]]
        bands += edge[:, :, 1:]
        bands -= edge[:, :, :-1]
        return bands


class Thinner:
    """Keeps one sample in `factor`, after a low-pass (a sinc under Kaiser's window); late by 4 of those.

    Before the first sample it has always been what it was then.
    """

    def __init__(self, factor: int, axes: int) -> None:
        self._factor = factor
        length = TAPS * factor
        place = np.arange(length) - (length - 1) / 2
        taps = np.sinc(place / factor) * np.kaiser(length, KAISER_BETA)
        self._taps: F64 = (taps / taps.sum()).reshape(TAPS, factor).T.copy()
        self._kept: F64 = np.zeros((axes, 0, TAPS))

    def feed(self, values: F64, step: int) -> F64:
        """Take (axes, whole steps of `step`); return a `factor`-th as many."""
        if self._factor == 1:
            return values
        axes, count = len(values), values.shape[1] // step
        rows = np.ascontiguousarray(values).reshape(axes, count, step // self._factor, self._factor)
        # a product of fixed shape for each step
        parts: F64 = np.matmul(rows, self._taps).reshape(axes, -1, TAPS)
        if not self._kept.shape[1]:
            still = values[:, :1, None] * self._taps.sum(axis=0)
            self._kept = np.repeat(still, TAPS - 1, axis=1)
        parts = np.concatenate((self._kept, parts), axis=1)
        self._kept = parts[:, 1 - TAPS :]
        out = parts[:, : 1 - TAPS, 0].copy()
        for i in range(1, TAPS):
            out += parts[:, i : parts.shape[1] + 1 - TAPS + i, i]
        return out


def fast_length(least: int) -> int:
    """Return the smallest length from `least` on that has no prime factor above 5: quick to transform."""
    length = least
    while True:
        rest = length
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return length
        length += 1
