"""Corrected blocks made of plain formulas, for detectors to look at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from agent.blocks import RegularClock, SiBlock
from agent.detection.finding import Detector, Finding

GRAVITY_MPS2 = 9.80665
F64 = npt.NDArray[np.float64]


def si_block(stream: str, values: npt.ArrayLike, rate_hz: float, *, start_s: float = 0.0) -> SiBlock:
    """Return a block of `values` ((n,) or (n, axes)) from `start_s` on."""
    array = np.asarray(values, np.float32)
    if array.ndim == 1:
        array = array[:, None]
    clock = RegularClock.of_rate(rate_hz)
    first = round(start_s * rate_hz)
    return SiBlock(stream, first, clock.times_ns(first, len(array)), round(1e9 / rate_hz), array)


def found(detector: Detector, blocks: Iterable[SiBlock]) -> list[Finding]:
    """Feed blocks one after the other, advancing with each, and return all findings."""
    out: list[Finding] = []
    for block in blocks:
        out += detector.feed(block)
        out += detector.advance(int(block.times_ns[-1]) + 1)
    return out + list(detector.advance(1 << 62))


def rest(seconds: float, rate_hz: float, up: Sequence[float] = (0, 0, 1)) -> F64:
    """Return (n, 3) specific force of a box at rest."""
    return np.tile(np.asarray(up, float) * GRAVITY_MPS2, (round(seconds * rate_hz), 1))


def tilted(seconds: float, rate_hz: float, angle_deg: float) -> F64:
    """Return (n, 3) specific force of a box tilted about its y axis."""
    angle = np.radians(angle_deg)
    return rest(seconds, rate_hz, (np.sin(angle), 0, np.cos(angle)))
