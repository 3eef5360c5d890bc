"""A computer with one I2C bus and models of chips on it, for the doctor to look at."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.config import Config, SourceSettings
from agent.doctor import i2c
from agent.doctor.finding import Finding, Patient
from agent.sources.drivers import AnyChip
from agent.sources.drivers.base import ChipSettings
from agent.sources.i2c_settings import I2cSettings
from firmware_bridge.port_users import PortUser
from scripts.virtual_pi.chips.ads1115 import Ads1115
from scripts.virtual_pi.chips.adxl345 import Adxl345
from scripts.virtual_pi.chips.adxl355 import Adxl355
from scripts.virtual_pi.chips.base import Chip
from scripts.virtual_pi.chips.bme280 import Bme280
from scripts.virtual_pi.chips.lis3dh import Lis3dh
from scripts.virtual_pi.chips.mpu6050 import Mpu6050
from scripts.virtual_pi.chips.nau7802 import Nau7802
from scripts.virtual_pi.chips.sht4x import Sht4x
from scripts.virtual_pi.chips.tca9548a import Tca9548a
from tests.i2c.simulated_bus import SimClock, SimulatedBus

MODELS: dict[str, Callable[..., Chip]] = {
    "ADXL345": Adxl345,
    "ADXL355": Adxl355,
    "LIS3DH": Lis3dh,
    "MPU-6050": Mpu6050,
    "NAU7802": Nau7802,
    "ADS1115": Ads1115,
    "BME280": Bme280,
    "SHT4x": Sht4x,
}
AGENT = PortUser(812, "cargobox run --config /etc/cargobox/cargobox.toml")


class Registers:
    """A stranger: registers of one byte each, or of several; the number that is written stays."""

    def __init__(self, address: int, contents: Mapping[int, bytes]) -> None:
        self.address = address
        self._contents = contents
        self._register = 0

    def behind(self) -> list[Chip]:
        return []

    def write(self, data: bytes) -> bool:
        if data:
            self._register = data[0]
        return True

    def read(self, count: int) -> bytes:
        return self._contents.get(self._register, b"\x00" * count)[:count].ljust(count, b"\x00")

    def stop(self) -> None:
        pass


class Looked:
    """A computer with one bus, ``i2c-1``, and the chips on it."""

    def __init__(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, users: tuple[PortUser, ...] = ()
    ) -> None:
        self.clock = SimClock()
        self.chips: list[Any] = []
        self.bus: SimulatedBus | None = None
        self.device = tmp_path / "i2c-1"
        self.device.write_text("")
        monkeypatch.setattr(i2c, "DEV", tmp_path)
        monkeypatch.setattr(i2c, "open_kernel_bus", lambda *_: self.made())
        monkeypatch.setattr(i2c, "users_of", lambda _: users)

    def made(self) -> SimulatedBus:
        self.bus = SimulatedBus(self.clock, self.chips)
        return self.bus

    def add(self, name: str, address: int, **more: Any) -> Chip:
        chip = MODELS[name](now_ns=self.clock.now_ns, address=address, **more)
        self.chips.append(chip)
        return chip

    def add_mux(self, address: int, channels: Mapping[int, Sequence[Chip]]) -> Tca9548a:
        mux = Tca9548a(now_ns=self.clock.now_ns, address=address, channels=channels)
        self.chips.append(mux)
        return mux

    def findings(self, *lines: str, config: bool = True) -> list[Finding]:
        """Look with these chips configured, or without a configuration."""
        settings = I2cSettings(bus=str(self.device), chips=tuple(settings_of(line) for line in lines))
        known = Config(source=SourceSettings(i2c=(settings,) if lines else ()))
        return list(i2c.check(Patient(config=known if config else None)))


def settings_of(line: str) -> ChipSettings:
    """Return what a line of the configuration says."""
    chip: ChipSettings = msgspec.convert(tomllib.loads(f"x = {line}")["x"], AnyChip)
    return chip


@pytest.fixture
def pi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Looked:
    return Looked(tmp_path, monkeypatch)


@pytest.fixture
def busy_pi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Looked:
    return Looked(tmp_path, monkeypatch, (AGENT,))
