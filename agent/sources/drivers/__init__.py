"""THE table of chips: one line each. To add one, write its file and put its line here (docs/sensors.md)."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Union

from agent.sources.drivers.base import ChipSettings, Driver

# the file, and in it the driver's class; its settings are the class of that name with "Settings" behind it
_TABLE = (
    "adxl345.Adxl345",
    "adxl355.Adxl355",
    "lis3dh.Lis3dh",
    "mpu6050.Mpu6050",
    "nau7802.Nau7802",
    "ads1115.Ads1115",
    "bme280.Bme280",
    "sht4x.Sht4x",
)


@dataclass(frozen=True, slots=True)
class Chip:
    """A chip that the agent can read: its name in the configuration, its driver, its settings."""

    name: str
    driver: type[Driver]
    settings: type[ChipSettings]


def _chip(line: str) -> Chip:
    file, name = line.split(".")
    module: Any = importlib.import_module(f"{__name__}.{file}")
    driver: type[Driver] = getattr(module, name)
    return Chip(driver.chip, driver, getattr(module, f"{name}Settings"))


CHIPS: tuple[Chip, ...] = tuple(_chip(line) for line in _TABLE)

if TYPE_CHECKING:
    AnyChip = ChipSettings
else:
    AnyChip = Union[tuple(chip.settings for chip in CHIPS)]  # noqa: UP007
    """The settings of any of them, told apart by their key ``chip``."""


def chip_of(settings: ChipSettings) -> Chip:
    """Return the line of the table that these settings belong to."""
    return next(chip for chip in CHIPS if chip.settings is type(settings))
