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
from agent.mounting import Vector, levelled

WINDOW_HOPS = 40  # a stop from 30 km/h at a comfortable 2 m/s² takes four seconds
LEAST_HOPS = 10
LEAST_MPS = 0.7  # half of walking pace: a door that slams is no departure
DEPARTURE_HOPS = 120  # who has not pulled away by then does so too gently to tell
SMOOTH_HOPS = 10
PUSH_MPS2 = 0.45  # a mean of 1 s; a road gives 0.2
DEPARTED_MPS = 1.5
STOPPED_PART = (
    0.4  # of the speed that the last start gave: more, and it has not stopped but rolls on smoothly
)
ROLLING_HOPS = 400  # after which the sum of the force says nothing of the speed any more
LEAST_IMPULSES = 3.0
COHERENCE = 0.93  # |sum| of the impulses to the sum of their sizes: ±20° about forward on average
LIKELY_COHERENCE = 0.7
FORGET = 0.9

LEVEL_BELOW = 0.75  # cosine to up: of two axes square to each other one is always below

SEEN_FROM = 0.04  # g²: a level force of 0.2 g is worth asking whether direction and size agree
DENIED = 0.35
SEEN_LEAST = 8.0
SEEN_FORGET = 0.995  # a hop; 20 s of manoeuvres


class ForwardLearner:
    """Learns forward from stops and starts. ``told``: it was configured, and is not learned.

    A stop's impulse is that of the last seconds before the rest; a start's that of the first push after it.
    """

    def __init__(self, told: Vector | None = None) -> None:
        self._told = told
        self._recent: deque[tuple[float, float, float]] = deque(maxlen=WINDOW_HOPS + STILL_HOPS)
        self._rest: list[float] | None = None
        self._leaving_hops = 0
        self._push = [0.0, 0.0, 0.0]
        self._push_hops = 0
        self._from: list[float] | None = None
        self._ahead: Vector | None = None
        self._speed_mps = self._top_mps = 0.0
        self._rolling_hops = 0
        self._sum = [0.0, 0.0, 0.0]
        self._sizes = self._count = 0.0

    def step(self, mean_mps2: Sequence[float], still_hops: int) -> None:
        """Take the mean force of a hop, and for how many hops nothing has moved."""
        if self._told is not None:
            return
        x, y, z = mean_mps2
        self._recent.append((x, y, z))
        if self._ahead is not None:
            self._roll(x, y, z)
        if still_hops >= STILL_HOPS:
            if self._ahead is None and (self._rest is None or self._leaving_hops):
                self._arrive()
        elif self._rest is not None:
            self._leave(self._rest)

    def cut(self) -> None:
        """What came before is cut off: no stop is known to have led here."""
        self._recent.clear()
        self._rest = self._ahead = None
        self._leaving_hops = self._push_hops = 0

    def _roll(self, x: float, y: float, z: float) -> None:
        """Sum up the speed that a start gave, until it is gone again."""
        assert self._ahead is not None and self._from is not None
        (ax, ay, az), (rx, ry, rz) = self._ahead, self._from
        self._speed_mps += HOP_S * ((x - rx) * ax + (y - ry) * ay + (z - rz) * az)
        self._top_mps = max(self._top_mps, self._speed_mps)
        self._rolling_hops += 1
        if self._speed_mps < STOPPED_PART * self._top_mps or self._rolling_hops > ROLLING_HOPS:
            self._ahead = None

    def _arrive(self) -> None:
        """A rest has lasted for long enough: what led to it pointed backward."""
        rows = list(self._recent)
        before, during = rows[:-STILL_HOPS], rows[-STILL_HOPS:]
        self._rest = mean = [sum(axis) / len(during) for axis in zip(*during, strict=True)]
        self._leaving_hops = self._push_hops = 0
        if len(before) >= LEAST_HOPS:
            sums = [sum(axis) for axis in zip(*before, strict=True)]
            self._take([HOP_S * (len(before) * m - s) for m, s in zip(mean, sums, strict=True)], LEAST_MPS)

    def _leave(self, rest: Sequence[float]) -> None:
        """The first push after a rest points forward."""
        self._leaving_hops += 1
        if self._leaving_hops < SMOOTH_HOPS:
            return
        rows = list(self._recent)[-SMOOTH_HOPS:]
        level = [sum(axis) / SMOOTH_HOPS - r for axis, r in zip(zip(*rows, strict=True), rest, strict=True)]
        pushed = sum(a * a for a in level) >= PUSH_MPS2 * PUSH_MPS2
        if pushed:
            if not self._push_hops:
                self._push = [0.0, 0.0, 0.0]
            self._push_hops += 1
            self._push = [p + HOP_S * a for p, a in zip(self._push, level, strict=True)]
        over = self._push_hops >= WINDOW_HOPS or (self._push_hops and not pushed)
        if over:
            self._push_hops = 0
            if self._take(self._push, DEPARTED_MPS):
                size = math.sqrt(sum(p * p for p in self._push))
                px, py, pz = self._push
                self._ahead, self._from = (px / size, py / size, pz / size), list(rest)
                self._speed_mps = self._top_mps = size
                self._rolling_hops = 0
                self._rest = None
        if self._leaving_hops >= DEPARTURE_HOPS:
            self._rest = None
        if self._rest is None:
            self._leaving_hops = self._push_hops = 0

    def _take(self, impulse: Sequence[float], least_mps: float) -> bool:
        size = math.sqrt(sum(i * i for i in impulse))
        if size < least_mps:
            return False
        self._sum = [FORGET * s + i for s, i in zip(self._sum, impulse, strict=True)]
        self._sizes = FORGET * self._sizes + size
        self._count = FORGET * self._count + 1.0
        return True

    @property
    def sure(self) -> bool:
        """Whether what `likely` says is known: told, or seen in three stops and starts that agree."""
        if self._told is not None:
            return True
        # three impulses, the oldest two forgotten a little: 1 + 0.9 + 0.81
        enough = self._count >= (1.0 - FORGET**LEAST_IMPULSES) / (1.0 - FORGET) - 1e-9
        return enough and math.sqrt(sum(s * s for s in self._sum)) >= COHERENCE * self._sizes

    def likely(self, up: Vector) -> Vector | None:
        """Return forward, level and of length 1, in the sensor's axes; None where nothing speaks for any."""
        if self._told is not None:
            return levelled(self._told, up)
        if not self._count or math.sqrt(sum(s * s for s in self._sum)) < LIKELY_COHERENCE * self._sizes:
            return None
        return levelled(self._sum, up)


def conventional(up: Vector) -> Vector:
    """Return the first of the sensor's axes that lies level, made level: x, unless that is up (ISO 8855)."""
    axes: tuple[Vector, ...] = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
    axis = next(a for a in axes if abs(sum(u * v for u, v in zip(up, a, strict=True))) < LEVEL_BELOW)
    forward = levelled(axis, up)
    assert forward is not None
    return forward


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
