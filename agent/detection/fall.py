"""A fall as far as it was seen: how long it was light, what it hit, how often it rebounded."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from agent.blocks import NS_PER_S, SiBlock
from agent.detection.pulse import Pulse
from calibration.gravity import STANDARD_GRAVITY_MPS2

IMPACT_MPS2 = 2 * STANDARD_GRAVITY_MPS2
WEIGHTLESS = (0.0, 0.0, 0.0)


@dataclass(slots=True)
class Lightness:
    """A time of lightness that may be, or is, a fall."""

    start_ns: int
    last_ns: int
    period_ns: int
    samples: int = 0
    deep: int = 0
    changes: int = 0
    newest: npt.NDArray[np.float32] | None = None

    @property
    def fall_ns(self) -> int:
        """How long it has lasted."""
        # n samples below, one period apart, were below for n periods on average
        return self.last_ns - self.start_ns + self.period_ns


@dataclass(slots=True)
class Fall:
    """A drop: its falls, and the impacts that ended them."""

    start_ns: int
    falls_ns: list[int] = field(default_factory=list)
    end_ns: int = 0
    peak_squared: float = 0.0
    saturated: bool = False
    pulse: Pulse | None = None
    impact: Pulse | None = None
    """The one with the largest change of velocity."""

    def feel(self, block: SiBlock, squared: npt.NDArray[np.float32], watched: slice) -> None:
        """Measure the impacts in a part of a block."""
        strong = squared[watched] > IMPACT_MPS2**2
        if self.pulse is None and not strong.any():
            return
        times, forces = block.times_ns[watched].tolist(), block.values[watched].tolist()
        for time_ns, (x, y, z), hit in zip(times, forces, strong.tolist(), strict=True):
            if self.pulse is not None and self.pulse.over(time_ns, block.period_ns):
                self.close()
            if self.pulse is None and hit:
                self.pulse = Pulse(time_ns, block.period_ns, WEIGHTLESS, IMPACT_MPS2)
            if self.pulse is not None:
                self.pulse.take(time_ns, (x, y, z), strong=hit, clipped=False)

    def close(self) -> None:
        """What was felt last is over."""
        if self.pulse is not None and (
            self.impact is None or self.pulse.delta_v_mps > self.impact.delta_v_mps
        ):
            self.impact = self.pulse
        self.pulse = None


def implied_height_m(fall_ns: int) -> float:
    """Height of a fall from rest of this duration."""
    return 0.5 * STANDARD_GRAVITY_MPS2 * (fall_ns / NS_PER_S) ** 2


def changed_from(
    values: npt.NDArray[np.float32], before: npt.NDArray[np.float32] | None
) -> npt.NDArray[np.bool_]:
    """Return whether each sample (n, 3) differs from the one before it."""
    changed = np.ones(len(values), bool)
    changed[1:] = (values[1:] != values[:-1]).any(axis=1)
    if before is not None:
        changed[0] = bool((values[0] != before).any())
    return changed
