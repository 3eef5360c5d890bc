"""The direction of gravity carried along by a gyroscope: what the box itself did, whatever pushed it.

A complementary filter: turned with the box at each hop, led back slowly to what the accelerometer says,
and hardly at all while the vehicle goes round a bend, where the force leans for as long as the bend lasts.
The gyroscope's own offset is learned at rest; until then nothing is known.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

from agent.blocks import NS_PER_S
from agent.detection.upright import HOP_NS
from agent.mounting import Vector, angle_between_deg

HOP_S = HOP_NS / NS_PER_S
REST_HOPS = round(2.0 / HOP_S)
STILL_MPS2 = 0.15
STILL_RADPS = 0.02
MOST_OFFSET_RADPS = math.radians(20.0)  # consumer MEMS: ±20°/s (MPU-6050 product specification, 6.1)
DRIFT_RADPS = math.radians(1.0)
BEND_RADPS = math.radians(2.0)  # 0.3 g at 300 km/h: every bend that leans the force is faster
BEND_LOWPASS_S = 1.0
HELD_S = 60.0  # how slowly it is led back in a bend
NEAR_GRAVITY_MPS2 = (8.3, 11.3)  # ±15 %: outside it is pushed, and the force no witness


class GravityCarrier:
    """Carries gravity through hops of 50 ms. ``known``: the offset was learned, so its word counts."""

    def __init__(self, lead_s: float) -> None:
        self.known = False
        self.in_a_bend = False
        self._lead_s = lead_s
        self._gravity: list[float] | None = None
        self._offset = [0.0, 0.0, 0.0]
        self._yaw_radps = 0.0
        self._last_hop = 0
        self._still: deque[list[float]] = deque(maxlen=REST_HOPS)

    def step(
        self, hop: int, mean: Sequence[float], force: Sequence[float], rate_radps: Sequence[float] | None
    ) -> None:
        """Take a hop: its mean specific force, the low-passed one, and the rate of turn if it came."""
        gap = hop - self._last_hop
        self._last_hop = hop
        if self._gravity is None or rate_radps is None or gap > REST_HOPS:
            self._gravity = list(force)
            self._still.clear()
            self.in_a_bend = False
            return
        self._learn(mean, force, rate_radps)
        if not self.known:
            self._gravity = list(force)
            return
        gx, gy, gz = self._gravity
        wx, wy, wz = (r - o for r, o in zip(rate_radps, self._offset, strict=True))
        step_s = gap * HOP_S
        size = math.sqrt(gx * gx + gy * gy + gz * gz) or 1.0
        yaw_radps = (wx * gx + wy * gy + wz * gz) / size
        self._yaw_radps += (1.0 - math.exp(-step_s / BEND_LOWPASS_S)) * (yaw_radps - self._yaw_radps)
        self.in_a_bend = abs(self._yaw_radps) > BEND_RADPS
        # dg/dt = g × ω for a vector that stands still while the box turns; two half steps keep its length
        for _ in range(2):
            half_s = step_s / 2
            gx, gy, gz = (
                gx + half_s * (gy * wz - gz * wy),
                gy + half_s * (gz * wx - gx * wz),
                gz + half_s * (gx * wy - gy * wx),
            )
        low, high = NEAR_GRAVITY_MPS2
        plain = not self.in_a_bend and low * low <= sum(f * f for f in force) <= high * high
        gain = 1.0 - math.exp(-step_s / (self._lead_s if plain else HELD_S))
        self._gravity = [g + gain * (f - g) for g, f in zip((gx, gy, gz), force, strict=True)]

    def _learn(self, mean: Sequence[float], force: Sequence[float], rate_radps: Sequence[float]) -> None:
        if max(abs(m - f) for m, f in zip(mean, force, strict=True)) > STILL_MPS2:
            self._still.clear()
            return
        if (
            self._still
            and max(abs(r - s) for r, s in zip(rate_radps, self._still[0], strict=True)) > STILL_RADPS
        ):
            self._still.clear()
        self._still.append(list(rate_radps))
        if len(self._still) < REST_HOPS:
            return
        offset = [sum(axis) / REST_HOPS for axis in zip(*self._still, strict=True)]
        self._still.clear()
        # a long, even bend is as still as a rest: what is known may drift, and no more
        limit = DRIFT_RADPS if self.known else MOST_OFFSET_RADPS
        if max(abs(o - k) for o, k in zip(offset, self._offset, strict=True)) <= limit:
            self._offset, self.known = offset, True

    def angle_deg(self, up: Vector) -> float:
        """Return how far the box itself leans; call it only when something was taken."""
        return angle_between_deg(self._gravity or up, up)
