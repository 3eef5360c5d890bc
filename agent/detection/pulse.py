"""One pulse of acceleration, measured sample by sample: peak, velocity change, duration.

What harms cargo is a peak *and* a change of velocity, both beyond what it stands: the damage boundary of
ASTM D3332 (Newton, *Fragility Assessment Theory and Practice*, 1968). The velocity change is the largest
magnitude of ∫(f − f₀)dt from the pulse's start on, f₀ the specific force right before it; the duration is
that above a tenth of the peak (ISO 2041, MIL-STD-810H 516.8).

One sample alone proves nothing: it may be a spike on a wire. So the largest sample counts in the velocity
change as three times the second largest at most. Nor does a sample at the end of the range, or one that says
the very same as the one before on a strong axis: it may be stuck. What it was shows when it moves again.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from agent.blocks import NS_PER_S, SiBlock
from agent.mounting import Vector

TENTH = 0.1
TRUSTED = 3.0
GAP_NS = 5_000_000
"""A pulse that is interrupted for no longer goes on; ringing passes through zero."""
AXES = "xyz"


def squared_size(block: SiBlock) -> npt.NDArray[np.float32]:
    """Return the squared magnitude of each sample, (n,); reckoned once for all who ask of the same block."""
    known = block.shared.get(squared_size)
    if isinstance(known, np.ndarray):
        return known
    v = block.values
    squared = v[:, 0] * v[:, 0] + v[:, 1] * v[:, 1] + v[:, 2] * v[:, 2]
    block.shared[squared_size] = squared
    return np.asarray(squared)


class Pulse:
    """A pulse that began at `start_ns` against the specific force `rest` before it."""

    __slots__ = (
        "_before",
        "_period_s",
        "_second_mps2",
        "_sizes",
        "_top",
        "_velocity",
        "clipped",
        "delta_v_mps",
        "flat",
        "flat_now",
        "largest_at",
        "last_ns",
        "onset_mps2",
        "peak_mps2",
        "rest",
        "samples",
        "start_ns",
        "strong",
    )

    def __init__(self, start_ns: int, period_ns: int, rest: Vector, onset_mps2: float) -> None:
        self.start_ns = self.last_ns = start_ns
        """``last_ns``: its last sample that was strong."""
        self.peak_mps2 = self.delta_v_mps = 0.0
        self.clipped = self.flat = 0
        """Samples at the end of the sensor's range; those, and such as repeat the one before."""
        self.flat_now = False
        self.strong = 0
        self.largest_at = 0
        self.samples: list[Vector] = []
        """All its samples, less `rest`."""
        self.rest: Vector = rest
        self.onset_mps2 = onset_mps2 / math.sqrt(3)
        """On one axis at least, what is beyond the onset is beyond this."""
        self._period_s = period_ns / NS_PER_S
        self._second_mps2 = 0.0
        self._top = self._velocity = self._before = (0.0, 0.0, 0.0)
        self._sizes: list[float] = []

    def take(self, time_ns: int, force: Vector, *, strong: bool, clipped: bool) -> None:
        """Take the next sample: specific force in m/s², and whether it is beyond the onset, or clipped."""
        x, y, z = force[0] - self.rest[0], force[1] - self.rest[1], force[2] - self.rest[2]
        repeats = any(abs(f) >= self.onset_mps2 and f == b for f, b in zip(force, self._before, strict=True))
        self._before = force
        size = math.sqrt(x * x + y * y + z * z)
        self.samples.append((x, y, z))
        self._sizes.append(size)
        if strong:
            self.last_ns = time_ns
        self.flat_now = clipped or repeats
        self.clipped += clipped
        self.flat += self.flat_now
        self.strong += strong
        vx, vy, vz = self._velocity
        dt = self._period_s
        self._velocity = vx, vy, vz = vx + x * dt, vy + y * dt, vz + z * dt
        if size > self.peak_mps2:
            self._second_mps2, self.peak_mps2, self._top = self.peak_mps2, size, (x, y, z)
            self.largest_at = len(self._sizes) - 1
        elif size > self._second_mps2:
            self._second_mps2 = size
        beyond = max(0.0, 1.0 - TRUSTED * self._second_mps2 / self.peak_mps2) * dt if self.peak_mps2 else 0.0
        tx, ty, tz = self._top
        delta_v_mps = math.sqrt((vx - tx * beyond) ** 2 + (vy - ty * beyond) ** 2 + (vz - tz * beyond) ** 2)
        if size >= TENTH * self.peak_mps2:
            self.delta_v_mps = max(self.delta_v_mps, delta_v_mps)

    def over(self, time_ns: int, period_ns: int) -> bool:
        """Whether, at this sample, it has been weak for so long that it is over."""
        return time_ns - self.last_ns > max(GAP_NS, period_ns * 3 // 2)

    @property
    def strong_s(self) -> float:
        """How long it has been beyond the onset at least: from its first strong sample to its last."""
        return (self.strong - 1) * self._period_s

    @property
    def duration_s(self) -> float:
        """How long it stayed above a tenth of its peak, about the peak."""
        limit = TENTH * self.peak_mps2
        sizes, first, last = self._sizes, self.largest_at, self.largest_at
        while first > 0 and sizes[first - 1] >= limit:
            first -= 1
        while last + 1 < len(sizes) and sizes[last + 1] >= limit:
            last += 1
        return (last - first + 1) * self._period_s

    @property
    def axis(self) -> str:
        """The sensor's axis along which the peak was largest."""
        return AXES[max(range(3), key=lambda i: abs(self._top[i]))]

    @property
    def rectangular(self) -> bool:
        """Whether it jumped to a value and back, with hardly a sample on the way."""
        weak = sum(1 for s in self._sizes if s < TENTH * self.peak_mps2)
        return self.flat > 0 and len(self._sizes) - self.flat - weak <= 1
