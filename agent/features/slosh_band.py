"""Slosh bands: how much the horizontal specific force pushes a tank's liquid at its own frequencies.

In a band around the frequency of each of the first waves along either side of the tank (`agent.tank`): the
root mean square of what is square to the mean force, from frames of about twelve seconds, of which each says
for itself which way is up. A band reaches 10 % either way: baffles, fill and the height of the waves shift
the frequency by some per cent. Overlap, holes and the second that a frame is credited to: as of the low
bands in `agent.features.third_octave`.
"""

from __future__ import annotations

import math

import numpy as np

from agent.features.evenly import Evenly
from agent.features.frames import Frames, Steps, Thinner, hann
from agent.features.moments import Columns, told
from agent.features.table import F64, Merge, Names, Part
from agent.features.windows import WINDOW_NS, Windowed
from agent.streams import StreamSpec
from agent.tank import MODES, slosh_frequencies_hz

REACH = 0.10  # of a frequency, either way
STEPS = 12
LEAST_HZ = 15.75  # of the samples that are left
LOWEST_HZ, HIGHEST_SHARE = 0.2, 0.22  # frames know nothing slower, and the low-pass takes what is faster


class SloshBand:
    """Of one accelerometer and one tank; `width_m` None: as wide as it is long."""

    def __init__(
        self, spec: StreamSpec, length_m: float, depth_m: float, width_m: float | None = None
    ) -> None:
        self._spec = spec
        sides = {"length": length_m}
        if width_m is not None and width_m != length_m:
            sides["width"] = width_m
        self.frequencies_hz = {
            f"{side}_{mode}": frequency_hz
            for side, side_m in sides.items()
            for mode, frequency_hz in zip(MODES, slosh_frequencies_hz(side_m, depth_m), strict=True)
            if frequency_hz * (1 - REACH) > LOWEST_HZ
        }
        count = len(self.frequencies_hz)
        self.names: Names = {"slosh_squares": (Merge.SUM, count), "slosh_frames": (Merge.SUM, count)}
        self._evenly = Evenly()
        self._bank: _Bank | None = None

    def accumulate(self, window: Windowed) -> dict[str, F64]:
        """Sum windows up."""
        squares = np.zeros((len(window.index), len(self.frequencies_hz)))
        frames = np.zeros_like(squares)
        for piece in self._evenly.feed(window) if self.frequencies_hz else ():
            if piece.fresh or self._bank is None:
                self._bank = _Bank(self._evenly.rate_hz, list(self.frequencies_hz.values()))
            values, known_ns = self._bank.steps.feed(piece.values, piece.known_ns)
            found = self._bank.feed(values)
            rows = np.searchsorted(window.index, known_ns[len(known_ns) - len(found) :] // WINDOW_NS)
            for row, each in zip(rows.tolist(), found, strict=True):
                squares[row] += np.where(self._bank.known, each, 0.0)
                frames[row] += self._bank.known
        return {"slosh_squares": squares, "slosh_frames": frames}

    def columns(self, part: Part) -> Columns:
        """Return the root mean square in each band, in the stream's unit."""
        with np.errstate(invalid="ignore", divide="ignore"):
            rms = np.sqrt(part["slosh_squares"] / part["slosh_frames"])
        cells = {wave: told(rms[:, i], 3) for i, wave in enumerate(self.frequencies_hz)}
        return {f"{self._spec.name}_slosh_{self._spec.unit.value}": cells}


class _Bank:
    """The frames at one rate, for samples that go on without a hole."""

    def __init__(self, rate_hz: float, frequencies_hz: list[float]) -> None:
        factor = max(1, math.floor(rate_hz / LEAST_HZ))
        low_hz = rate_hz / factor
        low = max(1, math.floor(low_hz))
        self._step = low * factor
        self.steps = Steps(self._step, 3)
        middle = np.array(frequencies_hz)
        edges = np.stack((middle * (1 - REACH), middle * (1 + REACH)))
        highest_hz = (HIGHEST_SHARE if factor > 1 else 0.45) * low_hz
        self.known = edges[1] < highest_hz
        every = np.array(sorted(set(np.minimum(edges, highest_hz).ravel().tolist())))
        # bands may overlap: each is the sum of what lies between two edges
        self._between = (every[:-1] >= edges[0][:, None]) & (every[1:] <= edges[1][:, None])
        self._thinner = Thinner(factor, 3)
        several = every.tolist() if len(every) > 1 else [highest_hz / 2, highest_hz]
        self._frames = Frames(hann(STEPS, low), low, low_hz, 3, several)

    def feed(self, values: F64) -> F64:
        """Take (3, whole steps); return the mean square of the horizontal force: (frames, bands)."""
        frames, means = self._frames.cut(self._thinner.feed(values, self._step))
        size = np.sqrt(means[0] ** 2 + means[1] ** 2 + means[2] ** 2)
        up = np.divide(means, size, out=np.zeros_like(means), where=size > 0)
        about = frames - means[:, :, None]
        along = up[0][:, None] * about[0] + up[1][:, None] * about[1] + up[2][:, None] * about[2]
        power = self._frames.bands(np.concatenate((about, along[None])))
        level = np.maximum(power[0] + power[1] + power[2] - power[3], 0.0)
        if not self.known.any():
            return np.zeros((len(level), len(self.known)))
        return np.asarray(np.add.reduce(level[:, None, :] * self._between, axis=2), dtype=np.float64)
