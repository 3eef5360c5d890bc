"""A short ride with a harsh brake, a harsh acceleration and a harsh turn; forward is the x axis."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from agent.blocks import Block, RegularClock

RATE_HZ = 100
G_MPS2 = 9.80665


def harsh_items() -> Iterator[Block]:
    """Return the blocks of an accelerometer and a gyroscope."""
    t = np.arange(40 * RATE_HZ) / RATE_HZ
    rng = np.random.default_rng(4)
    accel = rng.normal(0, 0.4, (len(t), 3))
    accel[:, 2] += G_MPS2
    accel[(t > 10) & (t < 12), 0] -= 0.5 * G_MPS2
    accel[(t > 18) & (t < 20), 0] += 0.5 * G_MPS2
    turning = (t > 26) & (t < 28)
    accel[turning, 1] += 0.5 * G_MPS2
    gyro = rng.normal(0, 0.01, (len(t), 3))
    gyro[turning, 2] += 0.4
    clock = RegularClock.of_rate(RATE_HZ)
    yield Block("accel", 0, clock, accel.astype(np.float32))
    yield Block("gyro", 0, clock, gyro.astype(np.float32))
