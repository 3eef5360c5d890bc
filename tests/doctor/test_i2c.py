"""Who answers on an I2C bus: no bus, quiet, chips, chips that the kernel has, a line held down."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from agent.doctor import State, i2c
from agent.doctor.finding import Patient
from agent.doctor.i2c import FIRST, LAST, READ_ONLY, judge, scan
from tests.doctor.looking import only


class FakeBus:
    """A bus with an answer, or an error number, at some addresses."""

    def __init__(self, answers: Mapping[int, int] = {}, otherwise: int = errno.EREMOTEIO) -> None:
        self._answers = answers
        self._otherwise = otherwise
        self.written: list[int] = []
        self.read: list[int] = []

    def write_quick(self, i2c_addr: int) -> None:
        self.written.append(i2c_addr)
        self._answer(i2c_addr)

    def read_byte(self, i2c_addr: int) -> int:
        self.read.append(i2c_addr)
        self._answer(i2c_addr)
        return 0

    def _answer(self, address: int) -> None:
        number = self._answers.get(address, self._otherwise)
        if number:
            raise OSError(number, os.strerror(number))


def test_a_computer_without_buses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(i2c, "DEV", tmp_path)
    found = only(i2c.check(Patient()))
    assert found.state is State.SKIPPED and "raspi-config" in found.remedy


def test_chips_are_found_and_named() -> None:
    bus = FakeBus({0x53: 0, 0x76: 0, 0x0B: 0, 0x68: errno.EBUSY})
    found = judge("i2c-1", scan(bus))
    assert found.state is State.OK
    assert found.found == (
        "0x0B (unknown); 0x53 (usually ADXL345, ADXL355); 0x76 (usually BME280, BMP280); "
        "0x68 (usually DS3231 clock, MPU-6050), which a driver of the kernel uses"
    )
    assert found.figures == {"found": ["0x0B", "0x53", "0x76"], "taken": ["0x68"]}


def test_where_a_write_could_change_something_it_reads() -> None:
    bus = FakeBus()
    scan(bus)
    assert tuple(bus.read) == READ_ONLY
    assert sorted(bus.read + bus.written) == list(range(FIRST, LAST + 1))
    assert not set(bus.written) & set(range(0x50, 0x60)), "an EEPROM was written to"


def test_nobody_answers() -> None:
    found = judge("i2c-1", scan(FakeBus()))
    assert found.state is State.OK and found.found == "nobody answers" and "SDA" in found.remedy


def test_a_line_that_is_held_down() -> None:
    bus = FakeBus(otherwise=errno.ETIMEDOUT)
    found = judge("i2c-1", scan(bus))
    assert found.state is State.WRONG and "held down" in found.found
    assert len(bus.written) <= 3, f"{len(bus.written)} addresses were waited for"


def test_one_slow_chip_is_no_stuck_bus() -> None:
    assert not scan(FakeBus({0x20: errno.ETIMEDOUT, 0x40: errno.ETIMEDOUT})).stuck


def test_a_bus_that_cannot_do_it() -> None:
    found = judge("i2c-1", scan(FakeBus(otherwise=errno.EOPNOTSUPP)))
    assert found.state is State.WRONG and "not supported" in found.found


def test_a_device_that_is_no_bus_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(i2c, "DEV", tmp_path)
    (tmp_path / "i2c-1").write_text("")
    found = only(i2c.check(Patient()))
    assert found.state is State.WRONG and "ioctl" in found.found


def test_graphics_and_mainboard_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(i2c, "DEV", tmp_path / "dev")
    monkeypatch.setattr(i2c, "NAMES", tmp_path / "names")
    for number, name in enumerate(("bcm2835 (i2c@7e804000)", "fef04500.i2c HDMI", "SMBus I801 adapter")):
        (tmp_path / "dev").mkdir(exist_ok=True)
        (tmp_path / "dev" / f"i2c-{number}").write_text("")
        (tmp_path / "names" / f"i2c-{number}").mkdir(parents=True)
        (tmp_path / "names" / f"i2c-{number}" / "name").write_text(f"{name}\n")
    found = list(i2c.check(Patient()))
    assert [f.state for f in found] == [State.WRONG, State.SKIPPED, State.SKIPPED]
    assert "bcm2835" in found[0].subject
