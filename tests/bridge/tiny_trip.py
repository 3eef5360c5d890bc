"""A trip whose every sample tells which one it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from firmware_bridge.virtual.streams import STREAMS, VirtualStream


@dataclass(frozen=True)
class TinyTrip:
    """Counts up: sample i of axis a is i * (a + 1), wrapped into the sensor's width."""

    streams: tuple[VirtualStream, ...] = STREAMS

    def second(self, k: int) -> dict[str, npt.NDArray[np.int32]]:
        """Return all samples in [k, k + 1) s."""
        return {s.name: expected_counts(s, k * s.rate_hz, s.rate_hz) for s in self.streams}


def expected_counts(stream: VirtualStream, first: int, count: int) -> npt.NDArray[np.int32]:
    """Return what samples `first` to `first + count` of `stream` must be."""
    index = np.arange(first, first + count, dtype=np.int64)[:, None]
    top = 1 << (stream.sample_bits - 1)
    counts = index * np.arange(1, len(stream.axes) + 1, dtype=np.int64) * 37
    return ((counts + top) % (2 * top) - top).astype(np.int32)
