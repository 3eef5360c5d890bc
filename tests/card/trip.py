"""A trip on which the box falls again and again: an alarm every few seconds, for as long as it lasts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from firmware_bridge.virtual.streams import STREAMS, VirtualStream
from firmware_bridge.virtual.trip import Trip

FROM_S, SECONDS = 19, 5
"""Of the scripted trip: at rest, the fall at 21 s, at rest."""


@dataclass(frozen=True)
class FallsAgain:
    """Those seconds, over and over."""

    seed: int = 1
    streams: tuple[VirtualStream, ...] = STREAMS

    def second(self, k: int) -> dict[str, npt.NDArray[np.int32]]:
        """Return all samples in [k, k + 1) s."""
        return _second(self.seed, FROM_S + k % SECONDS)


_SECONDS: dict[tuple[int, int], dict[str, npt.NDArray[np.int32]]] = {}


def _second(seed: int, k: int) -> dict[str, npt.NDArray[np.int32]]:
    if not _SECONDS:
        trip = Trip(seed)
        _SECONDS.update({(seed, s): trip.second(s) for s in range(FROM_S, FROM_S + SECONDS)})
    return _SECONDS[seed, k]
