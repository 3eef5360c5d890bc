"""A motion sensor's driver, the model of its chip, and its place; for the tests of those drivers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from agent.sources.drivers import adxl345, adxl355, lis3dh, mpu6050
from agent.sources.drivers.base import ChipSettings, FreeRunning
from scripts.virtual_pi.chips.adxl345 import Adxl345 as Adxl345Model
from scripts.virtual_pi.chips.adxl355 import Adxl355 as Adxl355Model
from scripts.virtual_pi.chips.base import RegisterChip
from scripts.virtual_pi.chips.lis3dh import Lis3dh as Lis3dhModel
from scripts.virtual_pi.chips.mpu6050 import Mpu6050 as Mpu6050Model
from tests.i2c.counting_place import CountingPlace
from tests.i2c.simulated_bus import SimClock

DRIVERS: dict[str, tuple[type[FreeRunning], type[ChipSettings]]] = {
    "ADXL345": (adxl345.Adxl345, adxl345.Adxl345Settings),
    "ADXL355": (adxl355.Adxl355, adxl355.Adxl355Settings),
    "LIS3DH": (lis3dh.Lis3dh, lis3dh.Lis3dhSettings),
    "MPU-6050": (mpu6050.Mpu6050, mpu6050.Mpu6050Settings),
}
MODELS: dict[str, type[RegisterChip]] = {
    "ADXL345": Adxl345Model,
    "ADXL355": Adxl355Model,
    "LIS3DH": Lis3dhModel,
    "MPU-6050": Mpu6050Model,
}
every_chip = pytest.mark.parametrize("name", list(DRIVERS))


class Bench:
    """One driver with its settings, not set up; ``chip`` is the truth."""

    def __init__(self, name: str, **settings: Any) -> None:
        self.clock = SimClock()
        self.chip: Any = MODELS[name](now_ns=self.clock.now_ns)
        self.place = CountingPlace(self.chip, self.clock)
        self.driver: Any = DRIVERS[name][1](**settings).make()

    def set_up(self) -> Bench:
        self.place.finish(self.driver.set_up(self.place))
        self.place.spent()
        return self

    def wait_for(self, samples: float) -> None:
        self.place.wait(samples / self.driver.rate_hz)

    def numbers(self, count: int) -> list[int]:
        """Take samples, and return which ones they are."""
        rows = np.hstack(self.driver.take(self.place, count)).tolist()
        return [self.chip.number_of(row) for row in rows]
