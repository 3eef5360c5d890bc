"""A manoeuvre as far as it was seen: how hard, how long, which way, and so of what kind.

What harsh.py decides with. Squared forces are in g², in steps of one hop of 100 ms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from agent.detection.finding import EventType
from agent.detection.forward import ForwardLearner, Frame, conventional
from agent.detection.level_force import HOP_S
from agent.mounting import Vector
from calibration.gravity import STANDARD_GRAVITY_MPS2

STIR = 0.0225  # g²: 0.15 g, where a manoeuvre begins
PAUSE_HOPS = 5  # so long may it be less in between: a gear is changed
TURNING_RADPS = 0.12  # at 30 km/h it is 0.1 g across; a straight road gives 0.03
ROTATED_COS = math.cos(math.radians(30.0))


@dataclass(slots=True)
class Account:
    """A manoeuvre as one measure shows it: since when, how hard, how much speed in all."""

    since: int | None = None
    last: int = 0
    calm_hops: int = 0
    peak: float = 0.0
    delta_v_mps: float = 0.0

    def step(self, hop: int, level: float, *, keep: bool, last_from: float) -> None:
        """Take the squared level force of a hop; forget all after a pause, unless it is to be kept."""
        if level < STIR:
            self.calm_hops += 1
            if self.calm_hops > PAUSE_HOPS and self.since is not None and not keep:
                self.since, self.peak, self.delta_v_mps = None, 0.0, 0.0
            return
        if self.since is None:
            self.since = hop
        self.calm_hops = 0
        if not keep or level >= last_from:
            self.last = hop
        self.peak = max(self.peak, level)
        self.delta_v_mps += math.sqrt(level) * HOP_S * STANDARD_GRAVITY_MPS2


class Way:
    """Which way a manoeuvre pushes. ``known``: by more than convention; ``said``: unknown where it is not."""

    def __init__(self) -> None:
        self.known = False
        self._way = "unknown"
        self._sum: Vector = (0.0, 0.0, 0.0)
        self._first: Vector | None = None
        self._turned = False

    @property
    def said(self) -> str:
        """The direction, for a record: a guess is not printed as if it had been seen."""
        return self._way if self.known else "unknown"

    def look(self, x: float, y: float, z: float) -> None:
        """Take the level force of a hop, in the sensor's axes."""
        a, b, c = self._sum
        self._sum = (a + x, b + y, c + z)
        size = math.sqrt(x * x + y * y + z * z)
        way = (x / size, y / size, z / size)
        if self._first is None:
            self._first = way
        elif sum(a * b for a, b in zip(way, self._first, strict=True)) < ROTATED_COS:
            self._turned = True

    def kind(
        self,
        up: Vector,
        learner: ForwardLearner,
        frame: Frame,
        turning: tuple[float, float] | None,
        *,
        gyro: bool,
        axes_stay: bool,
        brief: bool,
    ) -> EventType:
        """Say what it is, and note which way it went.

        ``turning``: what the gyroscope saw, if there is one and it saw it: rate about up, and the most of
        it, in rad/s. ``axes_stay``: they are the box's own; ``brief``: more than a long push.
        """
        self._way, self.known = "unknown", False
        if turning is not None and turning[1] >= TURNING_RADPS:
            self._way, self.known = ("left" if turning[0] > 0 else "right"), True
            return EventType.HARSH_TURN
        straight = turning is not None
        if axes_stay and not frame.levelled:
            forward = learner.likely(up)
            if forward is not None:
                self.known = learner.sure
                return self._along(up, forward, straight=False)
            if frame.fixed or not (self._turned or straight):
                return self._along(up, conventional(up), straight=straight)
        if self._turned and not gyro:
            return EventType.HARSH_TURN
        return EventType.HARSH_BRAKE if brief else EventType.HARSH_ACCELERATION

    def _along(self, up: Vector, forward: Vector, *, straight: bool) -> EventType:
        """Say what a push is to a vehicle that points `forward`; ``straight``: it does not turn."""
        along = sum(v * f for v, f in zip(self._sum, forward, strict=True))
        left = (
            up[1] * forward[2] - up[2] * forward[1],
            up[2] * forward[0] - up[0] * forward[2],
            up[0] * forward[1] - up[1] * forward[0],
        )
        aside = sum(v * a for v, a in zip(self._sum, left, strict=True))
        if abs(aside) > abs(along) and not straight:
            self._way = "left" if aside > 0 else "right"
            return EventType.HARSH_TURN
        self._way = "forward" if along > 0 else "backward"
        return EventType.HARSH_ACCELERATION if along > 0 else EventType.HARSH_BRAKE
