"""Which way is forward in the sensor's own axes, learned while driving; and if they are the box's at all.

That a stop ends in rest tells braking from pulling away without any other sensor: the level force before
a rest points backward, right after it forward. Corners cancel, since nobody stands at their end. The
certificate of a mounting is made in the same way from a whole drive; here it is done stop by stop, and the
older ones are forgotten, so that a box that was turned learns anew.

`Frame` asks whether the axes are fixed to the box. Those of a telephone's "earth" acceleration are not: its
gravity follows a long push within seconds, and when the push ends, a push the other way is shown that the
size of the force denies.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

from agent.detection.level_force import HOP_S, STILL_HOPS
from agent.mounting import Vector

WINDOW_HOPS = 40  # a stop from 30 km/h at a comfortable 2 m/s² takes four seconds
LEAST_HOPS = 10
LEAST_MPS = 0.7  # half of walking pace: a door that slams is no departure
LEAST_IMPULSES = 3.0
COHERENCE = 0.93  # |sum| of the impulses to the sum of their sizes: ±20° about forward on average
FORGET = 0.9

SEEN_FROM = 0.04  # g²: a level force of 0.2 g is worth asking whether direction and size agree
DENIED = 0.35
SEEN_LEAST = 8.0
SEEN_FORGET = 0.995  # a hop; 20 s of manoeuvres


class ForwardLearner:
    """Learns forward from stops and starts. ``told``: it was configured, and is not learned."""

    def __init__(self, told: Vector | None = None) -> None:
        self._told = told
        self._recent: deque[tuple[float, float, float]] = deque(maxlen=WINDOW_HOPS + STILL_HOPS)
        self._rest: list[float] | None = None
        self._leaving: list[float] | None = None
        self._leaving_hops = 0
        self._sum = [0.0, 0.0, 0.0]
        self._sizes = self._count = 0.0

    def step(self, mean_mps2: Sequence[float], still_hops: int) -> None:
        """Take the mean force of a hop, and for how many hops nothing has moved."""
        if self._told is not None:
            return
        x, y, z = mean_mps2
        if still_hops >= STILL_HOPS:
            if self._leaving is not None:  # it stopped again before it was away
                self._take(self._leaving, self._leaving_hops)
                self._leaving = None
            if self._rest is None:
                self._arrive()
            rest = self._rest or [x, y, z]
            self._rest = [r + 0.05 * (m - r) for r, m in zip(rest, (x, y, z), strict=True)]
        elif self._rest is not None and still_hops == 0:
            if self._leaving is None:
                self._leaving, self._leaving_hops = [0.0, 0.0, 0.0], 0
            rx, ry, rz = self._rest
            lx, ly, lz = self._leaving
            self._leaving = [lx + HOP_S * (x - rx), ly + HOP_S * (y - ry), lz + HOP_S * (z - rz)]
            self._leaving_hops += 1
            if self._leaving_hops >= WINDOW_HOPS:
                self._take(self._leaving, self._leaving_hops)
                self._leaving = self._rest = None
                self._recent.clear()
        self._recent.append((x, y, z))

    def cut(self) -> None:
        """What came before is cut off: no stop is known to have led here."""
        self._recent.clear()
        self._rest = self._leaving = None

    def _arrive(self) -> None:
        """A rest has lasted for long enough: what led to it pointed backward."""
        rows = list(self._recent)
        before, during = rows[: -(STILL_HOPS - 1)], rows[-(STILL_HOPS - 1) :]
        if not during:
            return
        mean = [sum(axis) / len(during) for axis in zip(*during, strict=True)]
        self._rest = mean
        if before:
            sums = [sum(axis) for axis in zip(*before, strict=True)]
            self._take([HOP_S * (len(before) * m - s) for m, s in zip(mean, sums, strict=True)], len(before))

    def _take(self, impulse: Sequence[float], hops: int) -> None:
        size = math.sqrt(sum(i * i for i in impulse))
        if hops < LEAST_HOPS or size < LEAST_MPS:
            return
        self._sum = [FORGET * s + i for s, i in zip(self._sum, impulse, strict=True)]
        self._sizes = FORGET * self._sizes + size
        self._count = FORGET * self._count + 1.0

    def forward(self, up: Sequence[float]) -> Vector | None:
        """Return forward, level and of length 1, in the sensor's axes; None while it is not known."""
        if self._told is not None:
            return _level(self._told, up)
        # three impulses, the oldest two forgotten a little: 1 + 0.9 + 0.81
        if self._count < (1.0 - FORGET**LEAST_IMPULSES) / (1.0 - FORGET) - 1e-9:
            return None
        if math.sqrt(sum(s * s for s in self._sum)) < COHERENCE * self._sizes:
            return None
        return _level(self._sum, up)


class Frame:
    """Whether the sensor's axes are fixed to the box. ``fixed``, ``levelled``: neither, until it is known.

    A slope or a box put down askew is shown by direction alone, a hollow in the road by size alone; axes that
    follow give both, one after the other, and more of it than of what agrees.
    """

    def __init__(self) -> None:
        self._agreed = self._denied = self._missed = 0.0

    def step(self, by_direction: float, by_size: float) -> None:
        """Take the squared level force by direction and by size, in g², while driving."""
        if by_direction < SEEN_FROM and by_size < SEEN_FROM:
            return
        self._agreed *= SEEN_FORGET
        self._denied *= SEEN_FORGET
        self._missed *= SEEN_FORGET
        if by_size < DENIED * by_direction:
            self._denied += 1.0
        elif by_direction < DENIED * by_size:
            self._missed += 1.0
        else:
            self._agreed += 1.0

    @property
    def fixed(self) -> bool:
        """Whether direction and size agree."""
        return self._agreed >= SEEN_LEAST and self._agreed > 2.0 * (self._denied + self._missed)

    @property
    def levelled(self) -> bool:
        """Whether forces are shown by direction that the size denies, and hidden that the size shows."""
        return min(self._denied, self._missed) >= SEEN_LEAST and self._denied + self._missed > self._agreed


def _level(vector: Sequence[float], up: Sequence[float]) -> Vector | None:
    along = sum(v * u for v, u in zip(vector, up, strict=True))
    x, y, z = (v - along * u for v, u in zip(vector, up, strict=True))
    size = math.sqrt(x * x + y * y + z * z)
    return (x / size, y / size, z / size) if size > 0.0 else None
