"""Whether a reading of a slow sensor is a measurement at all.

Failed sensors say so by their values: NaN, the ends of their range, −127 °C (a bus with nobody on it) and
exactly 85 °C (a DS18B20 that was reset and has not measured yet; its datasheet, "power-on reset value").
And what has mass does not jump: a value that lies far from the last good one is doubted, until values like
it have come for a while and move a little as real ones do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from agent.blocks import NS_PER_S

RESET_DEGC = 85.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What a sensor can give, and how far it may jump from one sample to the next.

    ``jump_per_s``: so much more for each second between them. ``alike``: what confirms a jump stays so close
    together for ``confirm_s``. ``resets``: 85 may be no reading.
    """

    least: float
    most: float
    jump: float
    jump_per_s: float
    alike: float
    confirm_s: float = 60.0
    resets: bool = False


DEGC = Limits(-80.0, 150.0, 30.0, 0.5, 5.0, resets=True)
# outside: from the top of any road to the bottom of any mine; a lift or a slammed door are some 100 Pa
PASCAL = Limits(30_000.0, 120_000.0, 5_000.0, 200.0, 1_000.0)
PERCENT = Limits(-5.0, 105.0, 40.0, 1.0, 10.0)


class Plausible:
    """Judges one value after the other. ``refused`` counts those that were no measurement."""

    def __init__(self, limits: Limits) -> None:
        self.refused = 0
        self.limits = limits
        self._good: float | None = None
        self._last_ns = 0
        self._doubted: tuple[int, float, float] | None = None  # since when, lowest, highest

    def step(self, time_ns: int, value: float) -> bool:
        """Return whether `value` is a measurement."""
        good = self._judge(time_ns, value)
        self._last_ns = time_ns
        if good:
            self._good, self._doubted = value, None
        else:
            self.refused += 1
        return good

    def _judge(self, time_ns: int, value: float) -> bool:
        limits = self.limits
        if not math.isfinite(value) or not limits.least <= value <= limits.most:
            return False
        near = self._good is not None and abs(value - self._good) <= limits.jump / 3
        if limits.resets and value == RESET_DEGC and not near:
            return False
        if self._good is None:
            return True
        since_s = (time_ns - self._last_ns) / NS_PER_S
        if abs(value - self._good) <= limits.jump + limits.jump_per_s * since_s:
            return True
        if self._doubted is None:
            self._doubted = time_ns, value, value
            return False
        began_ns, low, high = self._doubted
        low, high = min(low, value), max(high, value)
        if high - low > limits.alike:
            self._doubted = time_ns, value, value
            return False
        self._doubted = began_ns, low, high
        return high > low and time_ns - began_ns >= limits.confirm_s * NS_PER_S
