"""Spectrum of motion: the mean square in third-octave bands, from 1 Hz up to what the rate allows.

Bands: IEC 61260-1:2014, base 10: mid-band frequencies 10^(n/10) Hz, edges 10^(±1/20) of them. Levels are in
dB re 1 µm/s² (ISO 1683), about the mean: gravity is in no band.

Three tiers of frames, one frame of each a step of about a second, so that the low bands are resolved too:

=================  ===========================  ========================================
bands              frame                        of
=================  ===========================  ========================================
16 Hz and up       a step and a quarter, flat   the samples
4 to 12.5 Hz       4 steps, Hann's window       these, thinned out to 63 Hz or more
1 to 3.15 Hz       12 steps, Hann's window      these, thinned out to 15.75 Hz or more
=================  ===========================  ========================================

All bands together give the mean square between their edges (Parseval), over any longer time; see
`agent.features.frames`. What a frame gives is credited to the second in which its last sample came: the
lowest bands tell of the last twelve seconds, and are told from then on. Sums of frames and their count are
kept, which merge exactly. Which samples are evenly spaced, and what a hole does, is said by
`agent.features.evenly`; after a long hole the frames begin anew.
"""

from __future__ import annotations

import math

import numpy as np

from agent.blocks import TimesNs
from agent.features.evenly import Evenly
from agent.features.frames import Frames, Steps, Thinner, flat, hann
from agent.features.moments import Columns
from agent.features.table import F64, Merge, Names, Part
from agent.features.windows import WINDOW_NS, Windowed
from agent.streams import StreamSpec

REFERENCE_MPS2 = 1e-6  # ISO 1683
NYQUIST_SHARE = 0.45  # of the rate: no band reaches above it
NUMBERS_MID, NUMBERS_HIGH = 6, 12  # the first band of a tier, from 1 Hz on: 4 Hz, 16 Hz
STEPS_LOW, STEPS_MID, EDGES = 12, 4, 4
LEAST_MID_HZ, LEAST_LOW_HZ = 63.0, 15.75  # of which the thinning leaves 0.22 alone
MOST_STEPS = 16  # at once: what is worked on stays in the processor's cache


def midband_hz(number: int) -> float:
    """Return the exact mid-band frequency of a band, counted from 1 Hz."""
    return float(10 ** (number / 10))


def edges_hz(first: int, end: int) -> list[float]:
    """Return the edges of the bands `first` ≤ number < `end`: one more than bands."""
    return [10 ** ((number - 0.5) / 10) for number in range(first, end + 1)]


def band_count(rate_hz: float) -> int:
    """Return how many bands, from 1 Hz on, samples of this rate can tell of."""
    if not NYQUIST_SHARE * rate_hz > edges_hz(0, 0)[0]:
        return 0
    return max(0, math.floor(10 * math.log10(NYQUIST_SHARE * rate_hz) + 0.5 + 1e-9))


def level_db(mean_square: F64) -> F64:
    """Return the level of mean squares in (m/s²)², in dB re 1 µm/s²; −∞ for none at all."""
    with np.errstate(divide="ignore"):
        return np.asarray(10 * np.log10(mean_square / REFERENCE_MPS2**2), dtype=np.float64)


class ThirdOctaves:
    """Mean squares of one motion stream, an axis each: sums of frames, and how many there were."""

    def __init__(self, spec: StreamSpec) -> None:
        self._axes = len(spec.axes)
        self.bands = band_count(spec.rate_hz)
        self.names: Names = {
            "band_squares": (Merge.SUM, self._axes * self.bands),
            "band_frames": (Merge.SUM, self.bands),
        }
        self._evenly = Evenly()
        self._bank: _Bank | None = None

    def accumulate(self, window: Windowed) -> dict[str, F64]:
        """Sum windows up."""
        squares = np.zeros((len(window.index), self._axes, self.bands))
        frames = np.zeros((len(window.index), self.bands))
        for piece in self._evenly.feed(window) if self.bands else ():
            if piece.fresh or self._bank is None:
                self._bank = _Bank(self._evenly.rate_hz, self._axes, self.bands)
            for bands, found, known_ns in self._bank.feed(piece.values, piece.known_ns):
                rows = np.searchsorted(window.index, known_ns // WINDOW_NS)
                starts = np.flatnonzero(np.diff(rows, prepend=-1))
                squares[rows[starts], :, bands] += np.add.reduceat(found, starts, axis=1).transpose(1, 0, 2)
                frames[rows[starts], bands] += np.diff(starts, append=len(rows))[:, None]
        return {"band_squares": squares.reshape(len(squares), -1), "band_frames": frames}

    def columns(self, part: Part) -> Columns:
        """Tell nothing of single rows: a spectrum is of the whole record."""
        return {}

    def mean_squares(self, part: Part) -> F64:
        """Return mean squares in the unit's square: (m, axes, bands); NaN where none is known."""
        squares = part["band_squares"].reshape(len(part), self._axes, self.bands)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(squares / part["band_frames"][:, None, :], dtype=np.float64)


class _Bank:
    """All tiers at one rate, for samples that go on without a hole."""

    def __init__(self, rate_hz: float, axes: int, most: int) -> None:
        bands = min(most, band_count(rate_hz))
        to_mid = max(1, math.floor(rate_hz / LEAST_MID_HZ))
        mid_hz = rate_hz / to_mid
        to_low = max(1, math.floor(mid_hz / LEAST_LOW_HZ))
        low_hz = mid_hz / to_low
        low = max(1, math.floor(low_hz))
        mid = low * to_low
        self._step, self._mid_step = mid * to_mid, mid
        self._steps = Steps(self._step, axes)
        self._thinners = Thinner(to_mid, axes), Thinner(to_low, axes)
        self._tiers: list[tuple[slice, Frames] | None] = []
        whole = flat(self._step, max(1, self._step // EDGES))
        for first, end, window, step, hz in (
            (NUMBERS_HIGH, bands, whole, self._step, rate_hz),
            (NUMBERS_MID, min(bands, NUMBERS_HIGH), hann(STEPS_MID, mid), mid, mid_hz),
            (0, min(bands, NUMBERS_MID), hann(STEPS_LOW, low), low, low_hz),
        ):
            frames = Frames(window, step, hz, axes, edges_hz(first, end)) if end > first else None
            self._tiers.append(None if frames is None else (slice(first, end), frames))

    def feed(self, values: F64, known_ns: TimesNs) -> list[tuple[slice, F64, TimesNs]]:
        """Take samples; return of each tier its bands, mean squares (axes, frames, bands), and when known."""
        values, known_ns = self._steps.feed(values, known_ns)
        out = []
        for begin in range(0, len(known_ns), MOST_STEPS):
            ends_ns = known_ns[begin : begin + MOST_STEPS]
            whole = values[:, begin * self._step : (begin + MOST_STEPS) * self._step]
            mid = self._thinners[0].feed(whole, self._step)
            low = self._thinners[1].feed(mid, self._mid_step)
            for tier, given in zip(self._tiers, (whole, mid, low), strict=True):
                if tier is not None:
                    found = tier[1].feed(given)
                    if count := found.shape[1]:
                        out.append((tier[0], found, ends_ns[len(ends_ns) - count :]))
        return out
