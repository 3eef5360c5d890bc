"""A simulated bus on a computer that is slow and now and then held up, as an emulated one is."""

from __future__ import annotations

import random

from smbus2 import i2c_msg

from agent.sources.i2c_port import Bus
from tests.i2c.rig import SimulatedRig
from tests.i2c.simulated_bus import SimClock

PYTHON_US = 60.0  # from one look at the clock to the next, on average
TRANSFER_US = 600.0  # beside the bits
HELD_UP_MS = 8.0  # on average, when it is


class SlowComputer(SimulatedRig):
    """`held_up`: how often a step of the program takes milliseconds, as a part of all steps."""

    simulated = False
    latency_ms = 60.0

    def __init__(self, seed: int, held_up: float) -> None:
        super().__init__(seed=seed)
        self._random = random.Random(seed)
        self._held_up = held_up

    def now_ns(self) -> int:
        self.clock.advance(round(self._random.expovariate(1.0) * PYTHON_US * 1e3))
        if self._random.random() < self._held_up:
            self.clock.advance(round(self._random.expovariate(1.0) * HELD_UP_MS * 1e6))
        return self.clock.now_ns()

    def open_bus(self, path: str, timeout_ms: int) -> Bus:
        return _SlowBus(super().open_bus(path, timeout_ms), self.clock, self._random)


class _SlowBus:
    def __init__(self, bus: Bus, clock: SimClock, chance: random.Random) -> None:
        self._bus = bus
        self._clock = clock
        self._chance = chance

    def i2c_rdwr(self, *i2c_msgs: i2c_msg) -> None:
        half_ns = TRANSFER_US * 1e3 / 2
        self._clock.advance(round(half_ns * self._chance.uniform(0.5, 1.5)))
        self._bus.i2c_rdwr(*i2c_msgs)
        self._clock.advance(round(half_ns * self._chance.uniform(0.5, 1.5)))

    def close(self) -> None:
        self._bus.close()
