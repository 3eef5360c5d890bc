"""A rough ride at 250 Hz: shaken for long, over bumps, struck twice; then a sensor that gives noise."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from agent.blocks import Block, Quality, RegularClock

RATE_HZ = 250
G_MPS2 = 9.80665
FULL_SCALE_G = 16


def rough_items() -> Iterator[Block]:
    """Return the blocks of an accelerometer."""
    t = np.arange(110 * RATE_HZ) / RATE_HZ
    rng = np.random.default_rng(6)
    accel = rng.normal(0, 0.4, (len(t), 3))
    accel[:, 2] += G_MPS2
    for at_s in (10.0, 12.0):
        hop = (t >= at_s) & (t < at_s + 0.1)
        accel[hop, 2] += 2 * G_MPS2 * np.sin(2 * np.pi * 6 * (t[hop] - at_s))
    for at_s in (25.0, 25.5):
        struck = (t >= at_s) & (t < at_s + 0.03)
        accel[struck, 0] += 30 * G_MPS2 * np.sin(np.pi * (t[struck] - at_s) / 0.03)
    shaken = (t > 30) & (t < 85)
    accel[shaken] += rng.normal(0, 0.6 * G_MPS2, (int(shaken.sum()), 3))
    lost = (t > 95) & (t < 99)
    accel[lost] = rng.normal(0, 0.05, (int(lost.sum()), 3))
    limit = FULL_SCALE_G * G_MPS2
    beyond = (np.abs(accel) >= limit).any(axis=1)
    quality = np.where(beyond, np.uint8(Quality.SATURATED), np.uint8(0))
    values = np.clip(accel, -limit, limit).astype(np.float32)
    yield Block("accel", 0, RegularClock.of_rate(RATE_HZ), values, quality)
