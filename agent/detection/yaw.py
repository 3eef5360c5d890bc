"""How fast the vehicle turned about the vertical: the gyroscope's part along up, in a manoeuvre."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from agent.blocks import NS_PER_S, SiBlock, TimesNs

KEEP_NS = 10 * NS_PER_S
STEP_NS = 200_000_000


class YawHistory:
    """Keeps the last seconds of a gyroscope; asked only when something happens, so it costs nothing else."""

    def __init__(self) -> None:
        self._parts: deque[tuple[TimesNs, npt.NDArray[np.float32]]] = deque()

    def feed(self, block: SiBlock) -> None:
        """Take samples."""
        self._parts.append((block.times_ns, block.values))

    def forget_before(self, time_ns: int) -> None:
        """Nobody asks for what was more than some seconds before `time_ns`."""
        while self._parts and int(self._parts[0][0][-1]) < time_ns - KEEP_NS:
            self._parts.popleft()

    def between(self, begin_ns: int, end_ns: int, up: Sequence[float]) -> tuple[float, float] | None:
        """Return mean and mean size of the rate about `up`, rad/s, positive to the left; None: no samples.

        The size is that of means over 0.2 s: a lane change turns to one side and back.
        """
        times, values = [], []
        for part_ns, part in self._parts:
            first, last = np.searchsorted(part_ns, (begin_ns, end_ns))
            if last > first:
                times.append(part_ns[first:last])
                values.append(part[first:last])
        if not times:
            return None
        when, rates = np.concatenate(times), np.concatenate(values).astype(np.float64)
        yaw = rates[:, 0] * up[0] + rates[:, 1] * up[1] + rates[:, 2] * up[2]
        step = (when - begin_ns) // STEP_NS
        starts = np.concatenate(([0], np.flatnonzero(step[1:] != step[:-1]) + 1))
        counts = np.diff(np.concatenate((starts, [len(step)])))
        means = (np.add.reduceat(yaw, starts) / counts).tolist()
        return sum(means) / len(means), sum(map(abs, means)) / len(means)
