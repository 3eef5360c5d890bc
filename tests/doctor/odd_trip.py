"""A box at rest, and what can be wrong with its sensors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from firmware_bridge.virtual.streams import STREAMS, VirtualStream

LEVELS = {
    "accel": (0.0, 0.1, 9.8),
    "load": (15.0, 15.2, 14.9, 15.1),
    "pressure": (1200.0,),
    "temperature": (21.5,),
    "humidity": (48.0,),
}


@dataclass(frozen=True)
class OddTrip:
    """Noise of a few counts around plausible values, but for what is asked for.

    `stuck`: streams of which every value is the same; `railed`: (stream, axis) at the end of its range;
    `levels`: (stream, value) for all axes of it.
    """

    stuck: tuple[str, ...] = ()
    railed: tuple[tuple[str, int], ...] = ()
    levels: tuple[tuple[str, float], ...] = ()
    streams: tuple[VirtualStream, ...] = STREAMS

    def second(self, k: int) -> dict[str, npt.NDArray[np.int32]]:
        """Return all samples in [k, k + 1) s."""
        return {s.name: self._counts(s, k) for s in self.streams}

    def _counts(self, stream: VirtualStream, second: int) -> npt.NDArray[np.int32]:
        chance = np.random.default_rng([second, self.streams.index(stream)])
        shape = (stream.rate_hz, len(stream.axes))
        level = dict(self.levels).get(stream.name, LEVELS[stream.name])
        counts = np.round(np.broadcast_to(np.asarray(level) / stream.scale, shape)).astype(np.int32)
        if stream.name not in self.stuck:
            counts = counts + chance.integers(-20, 21, shape, dtype=np.int32)
        for name, axis in self.railed:
            if name == stream.name:
                counts[:, axis] = 2 ** (stream.sample_bits - 1) - 1
        return counts
