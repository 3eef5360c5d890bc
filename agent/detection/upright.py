"""Which way is up, for a box that nobody told it: from a rest, or from how it stands while it travels.

A second of rest decides, where the sensor then stands square to gravity (`RestReference`). On the road
there may be no rest; there the mean of 10 s is within a few degrees of gravity, since a vehicle that ends
as fast as it began has not accelerated on average, and two of them that agree decide. A box that rested at
an odd angle was leaning, or its sensor is mounted so: it must then stand square for half an hour before
that is taken for upright.

An axis is only nearly up: a sensor is glued some degrees askew, and 50 mg of bias lean gravity by 3°. So
the first rest, where it is within `NEAR_DEG` of that axis, is what upright is. A vector that was told is
taken at its word.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from agent.hops import TICK_NS
from agent.mounting import RestReference, Vector, angle_between_deg, nearest_axis

HOP_NS = TICK_NS
SPAN_HOPS = 200  # 10 s
SPANS = 2
SPANS_AFTER_ODD = 180  # half an hour
AGREE_DEG = 5.0
NEAR_DEG = 8.0
FIRST_HOPS = 600  # a rest of the first half minute; later ones may be on any hill
LEAST_MPS2, MOST_MPS2 = 8.0, 12.0  # mean of 10 s: gravity, an error of the sensor, and little more


class Upright:
    """Learns "up" from hops of 50 ms; `told` from the start where it is known.

    ``why_not``: what to say while it is not known.
    """

    def __init__(self, told: Vector | None) -> None:
        self.up: Vector | None = told
        self.odd_deg: float | None = None
        self.settled = told is not None and not _is_axis(told)
        """Whether it will not change any more; until then it wants its hops."""
        self._told = told
        self._rest = RestReference()
        self._sums = [0.0, 0.0, 0.0]
        self._hops = 0
        self._first_hop: int | None = None
        self._begin_hop: int | None = None
        self._spans: list[list[float]] = []

    def step(self, hop: int, mean_mps2: Sequence[float]) -> None:
        """Take the mean specific force of hop number `hop`: three axes."""
        if self.settled:
            return
        if self._begin_hop is None:
            self._begin_hop = hop
        if not self._rest.decided:
            self._take_rest(mean_mps2)
        if self.up is None:
            self._travel(hop, mean_mps2)
        elif hop - self._begin_hop >= FIRST_HOPS:
            self.settled = True

    def _take_rest(self, mean_mps2: Sequence[float]) -> None:
        self._rest.step(mean_mps2)
        if not self._rest.decided:
            return
        axis, force = self._told or self._rest.up, self._rest.force_mps2
        self._spans = []
        if self._told is None:
            self.up, self.odd_deg = self._rest.up, self._rest.odd_deg
        if axis is not None and force is not None:
            if angle_between_deg(axis, force) <= NEAR_DEG:
                size = math.hypot(*force)
                self.up = (force[0] / size, force[1] / size, force[2] / size)
            self.settled = True

    def _travel(self, hop: int, mean_mps2: Sequence[float]) -> None:
        if self._first_hop is None:
            self._first_hop = hop
        if hop - self._first_hop >= SPAN_HOPS:
            self._close()
            self._sums, self._hops, self._first_hop = [0.0, 0.0, 0.0], 0, hop
        self._sums = [s + m for s, m in zip(self._sums, mean_mps2, strict=True)]
        self._hops += 1

    def _close(self) -> None:
        """Judge the span that is over, with those before it."""
        mean = [s / self._hops for s in self._sums]
        if not LEAST_MPS2 <= math.hypot(*mean) <= MOST_MPS2:
            self._spans = []
            return
        if self._spans and angle_between_deg(mean, self._spans[0]) > AGREE_DEG:
            self._spans = []
        self._spans.append(mean)
        if len(self._spans) >= (SPANS if self.odd_deg is None else SPANS_AFTER_ODD):
            whole = [sum(axis) / len(self._spans) for axis in zip(*self._spans, strict=True)]
            self.up = nearest_axis(whole)[0]
            self.settled = self.up is not None
            self._spans = []

    def why_not(self) -> str:
        """Say why it is not known; empty where it is."""
        if self.up is not None:
            return ""
        if self.odd_deg is None:
            return "the box never rested nor stood square, and [mounting] up is not set"
        return (
            f"at rest the sensor stood {self.odd_deg:.0f}° off every axis, so "
            "which way is up is not known; set [mounting] up"
        )


def _is_axis(vector: Vector) -> bool:
    return max(map(abs, vector)) > math.cos(math.radians(0.1))
