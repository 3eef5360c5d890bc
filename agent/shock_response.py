"""Shock response spectrum: what a shock does to anything that it shakes.

Of many masses on springs, each of another natural frequency and all of quality Q, the largest absolute
acceleration, either way, while the shock lasts or after it ("maximax"). Evaluated by the ramp-invariant
filter of D. O. Smallwood, An Improved Recursive Formula for Calculating Shock Response Spectra, Shock and
Vibration Bulletin 51 (1981), which ISO 18431-4:2007 took over: exact where the acceleration goes straight
from sample to sample. As it does not, the samples are first interpolated (band-limited: a sinc under
Kaiser's window) to many points a cycle of the highest frequency.

The filter is one complex pole, v[n] = p·v[n−1] + d[n], summed up in stretches of a fixed number of samples
as pⁿ·(v[0] + Σ p⁻ᵏ·d[k]), short enough that p⁻ᵏ stays small. What the oscillators still ring with goes on
from stretch to stretch, so a shock may come in pieces, and any pieces give the same to the last bit.

Plain arithmetic on arrays, in whatever unit of acceleration: what is returned is in the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from agent.hops import F64

QUALITY = 10.0  # 5 % of critical damping, usual where nothing else is known [ISO 18431-4]
FREQUENCIES_HZ = (5.0, 10.0, 20.0, 40.0, 73.6, 100.0, 120.0)
POINTS_A_CYCLE = 32  # of the highest frequency; the peak between them is found by a parabola
REACH = 16  # samples on each side that an interpolated one is made of
KAISER_BETA = 8.0  # side lobes under −80 dB
GROWTH = 12.0  # ln of the largest p⁻ᵏ: of 16 digits, 11 are left
STRETCH_S = 0.2
RING_CYCLES = 0.6  # of the lowest frequency, after the last sample: what rings peaks in its first half
CUT_PART = 0.1  # of the peak, from which on a pulse is measured [ASTM D3332]

Axes = npt.NDArray[np.floating]
Complex = npt.NDArray[np.complex128]


def response(
    values: Axes,
    rate_hz: float,
    frequencies_hz: Sequence[float] = FREQUENCIES_HZ,
    *,
    quality: float = QUALITY,
) -> F64:
    """Return the largest absolute acceleration of each oscillator: (k,), or (k, axes) for (n, axes).

    ``values``: evenly spaced, what was there beyond rest (take gravity away first). Before the first sample
    and after the last the oscillators are left alone, so a pulse that the record cuts gives too little:
    `ShockResponse.cut` tells. Of frequencies above 0.4 of the rate the samples themselves know too little.
    Raises ValueError where the rate or a frequency is not positive, or `quality` is not above ½.
    """
    single = values.ndim == 1
    columns = values[:, None] if single else values
    shock = ShockResponse(rate_hz, frequencies_hz, axes=columns.shape[1], quality=quality)
    shock.feed(columns)
    peaks = shock.peaks()
    return peaks[:, 0] if single else peaks


class ShockResponse:
    """The same, for an event whose samples come in pieces; its memory does not grow with them."""

    def __init__(
        self,
        rate_hz: float,
        frequencies_hz: Sequence[float] = FREQUENCIES_HZ,
        *,
        axes: int = 3,
        quality: float = QUALITY,
    ) -> None:
        if not (rate_hz > 0 and quality > 0.5 and len(frequencies_hz) and min(frequencies_hz) > 0):
            raise ValueError(
                f"a shock response of {list(frequencies_hz)} Hz, Q {quality:g}, from {rate_hz:g} samples a "
                "second: expected positive numbers, and Q above 0.5"
            )
        self._bank = _Bank(rate_hz, np.array(frequencies_hz, dtype=np.float64), quality)
        self._first: float | None = None
        self._last = self._largest = 0.0
        self._waiting: F64 = np.zeros((axes, 2 * REACH - 1))  # before the first sample it rested
        self._newest: F64 = np.zeros((axes, 1))  # of the interpolated input
        self._ringing: Complex = np.zeros((len(frequencies_hz), axes), complex)
        self._tail: F64 = np.zeros((len(frequencies_hz), axes, 2))  # of the response
        self._peaks: F64 = np.zeros((len(frequencies_hz), axes))

    def feed(self, values: Axes) -> None:
        """Take the next samples: (n, axes). One that is no number counts as rest."""
        more = np.nan_to_num(values.T.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
        if more.size:
            sizes = np.abs(more).max(axis=0)
            self._first = float(sizes[0]) if self._first is None else self._first
            self._last, self._largest = float(sizes[-1]), max(self._largest, float(sizes.max()))
            self._take(more)

    @property
    def cut(self) -> bool:
        """Whether what was fed begins or ends within a pulse: above a tenth of the largest."""
        return max(self._first or 0.0, self._last) > CUT_PART * self._largest

    def _take(self, more: F64) -> None:
        self._waiting = np.concatenate((self._waiting, more), axis=1)
        stretch = self._bank.stretch
        while self._waiting.shape[1] >= stretch + 2 * REACH - 1:
            self._step(self._waiting[:, : stretch + 2 * REACH - 1])
            self._waiting = self._waiting[:, stretch:]

    def peaks(self) -> F64:
        """Return (k, axes), what rings on after the last sample included; feeding may go on."""
        kept = self._waiting, self._newest, self._ringing, self._tail, self._peaks
        self._take(np.zeros((len(self._waiting), self._bank.ring + self._bank.stretch + REACH)))
        found = self._peaks
        self._waiting, self._newest, self._ringing, self._tail, self._peaks = kept
        return found

    def _step(self, values: F64) -> None:
        bank = self._bank
        points = np.concatenate((self._newest, bank.interpolated(values)), axis=1)
        drive = (
            bank.newer[:, None, None] * points[None, :, 1:] + bank.older[:, None, None] * points[None, :, :-1]
        )
        ringing = self._ringing
        for begin in range(0, drive.shape[2], bank.chunk):
            part = drive[:, :, begin : begin + bank.chunk]
            length = part.shape[2]
            part *= bank.shrink[:, None, :length]
            np.cumsum(part, axis=2, out=part)
            part += ringing[:, :, None]
            part *= bank.grow[:, None, :length]
            ringing = part[:, :, -1].copy()
        answer = np.concatenate((self._tail, drive.real), axis=2)
        self._peaks = np.maximum(self._peaks, _highest(answer))
        self._newest, self._ringing, self._tail = points[:, -1:], ringing, answer[:, :, -2:].copy()


class _Bank:
    """The filters of all frequencies at one rate, and the interpolation before them."""

    def __init__(self, rate_hz: float, frequencies_hz: F64, quality: float) -> None:
        highest_hz, lowest_hz = float(frequencies_hz.max()), float(frequencies_hz.min())
        self.factor = math.ceil(POINTS_A_CYCLE * highest_hz / rate_hz)
        self.stretch = max(1, round(STRETCH_S * rate_hz))
        self.ring = math.ceil(RING_CYCLES * rate_hz / lowest_hz) + 1
        step_s = 1.0 / (rate_hz * self.factor)
        natural, damping = 2 * math.pi * frequencies_hz, 1 / (2 * quality)
        damped = natural * math.sqrt(1 - damping * damping)
        pole: Complex = -damping * natural + 1j * damped  # of (2ζωs + ω²)/(s² + 2ζωs + ω²)
        twice_residue = (2 * damping * natural * pole + natural * natural) / (1j * damped)
        grown = np.exp(pole * step_s)
        held = (grown - 1) / pole
        ramp = (grown - 1 - pole * step_s) / (pole * pole * step_s)
        self.newer: Complex = twice_residue * ramp
        self.older: Complex = twice_residue * (held - ramp)
        slowest = damping * float(natural.max()) * step_s
        self.chunk = max(1, min(self.stretch * self.factor, int(GROWTH / slowest)))
        steps = np.arange(1, self.chunk + 1) * step_s
        turns: Complex = pole[:, None] * steps
        self.grow: Complex = np.exp(turns)
        self.shrink: Complex = np.exp(-turns)
        distance = np.arange(1 - REACH, REACH + 1)[:, None] - np.arange(self.factor)[None, :] / self.factor
        window = np.i0(KAISER_BETA * np.sqrt(np.maximum(0, 1 - (distance / REACH) ** 2))) / np.i0(KAISER_BETA)
        weights = np.sinc(distance) * window
        self._weights: F64 = weights / weights.sum(axis=0)  # rest stays rest

    def interpolated(self, values: F64) -> F64:
        """Return (axes, stretch · factor) points from (axes, stretch + 2 · `REACH` − 1) samples."""
        out = np.zeros((len(values), self.stretch, self.factor))
        for i, weights in enumerate(self._weights):
            out += values[:, i : i + self.stretch, None] * weights
        return out.reshape(len(values), -1)


def _highest(answer: F64) -> F64:
    """Return the largest magnitude along the last axis, a parabola through the three highest points."""
    size = np.abs(answer)
    middle = np.clip(size.argmax(axis=2), 1, size.shape[2] - 2)[:, :, None]
    left, top, right = (np.take_along_axis(size, middle + i, axis=2)[:, :, 0] for i in (-1, 0, 1))
    bend = 2 * top - left - right
    peaked = (top >= left) & (top >= right) & (bend > 0)
    above = np.where(peaked, (right - left) ** 2 / (8 * np.where(peaked, bend, 1.0)), 0.0)
    return np.asarray(np.maximum(size.max(axis=2), top + above), dtype=np.float64)
