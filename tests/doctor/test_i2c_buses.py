"""The I2C buses of a computer: which there are, whether they can be used, and how they are searched."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from agent.config import Config, SourceSettings
from agent.doctor import State, i2c
from agent.doctor.finding import Patient
from agent.doctor.i2c import judge
from agent.doctor.i2c_chips import Seen
from agent.doctor.i2c_scan import FIRST, LAST, READ_ONLY, scan
from agent.sources.i2c_settings import I2cSettings
from tests.doctor.looking import about, only
from tests.doctor.one_bus import Looked, busy_pi, pi
from tests.i2c.simulated_bus import SimulatedBus

__all__ = ["busy_pi", "pi"]  # fixtures


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


def test_a_configured_bus_that_is_not_there(pi: Looked) -> None:
    config = Config(source=SourceSettings(i2c=(I2cSettings(bus="/dev/i2c-77", chips=()),)))
    found = about(i2c.check(Patient(config=config)), "/dev/i2c-77")
    assert found.state is State.WRONG and "there is no such bus" in found.found
    assert str(pi.device) in found.found and "raspi-config" in found.remedy


def test_where_a_write_could_change_something_it_reads() -> None:
    bus = FakeBus()
    scan(bus)
    assert tuple(bus.read) == READ_ONLY
    assert sorted(bus.read + bus.written) == list(range(FIRST, LAST + 1))
    assert not set(bus.written) & set(range(0x50, 0x60)), "an EEPROM was written to"


def test_who_the_kernel_has(pi: Looked) -> None:
    found = judge("i2c-1", Seen(scan(FakeBus({0x53: 0, 0x68: errno.EBUSY}))))
    assert found.state is State.OK
    assert found.found == (
        "1 address answered; 0x68 (usually DS3231 clock, MPU-6050), which a driver of the kernel uses"
    )
    assert (found.figures["found"], found.figures["taken"]) == (["0x53"], ["0x68"])


def test_nobody_answers(pi: Looked) -> None:
    found = only(pi.findings())
    assert found.state is State.OK and found.found == "nobody answers" and "SDA" in found.remedy


def test_a_line_that_is_held_down() -> None:
    bus = FakeBus(otherwise=errno.ETIMEDOUT)
    found = judge("i2c-1", Seen(scan(bus)))
    assert found.state is State.WRONG and "held down" in found.found
    assert len(bus.written) <= 3, f"{len(bus.written)} addresses were waited for"


def test_one_slow_chip_is_no_stuck_bus() -> None:
    assert not scan(FakeBus({0x20: errno.ETIMEDOUT, 0x40: errno.ETIMEDOUT})).stuck


def test_a_bus_that_cannot_do_it() -> None:
    found = judge("i2c-1", Seen(scan(FakeBus(otherwise=errno.EOPNOTSUPP))))
    assert found.state is State.WRONG and "not supported" in found.found


def test_nobody_of_all_that_is_configured_answers(pi: Looked) -> None:
    found = about(pi.findings('{chip = "ADXL345"}', '{chip = "BME280"}'), str(pi.device))
    assert found.state is State.WRONG and "what all of them share" in found.remedy


def test_a_bus_without_the_quick_write_is_read() -> None:
    class Reading(FakeBus):
        def write_quick(self, i2c_addr: int) -> None:
            self.written.append(i2c_addr)
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    bus = Reading({0x18: 0, 0x53: 0})
    seen = scan(bus)
    assert (seen.found, seen.error) == ([0x18, 0x53], "")
    assert (bus.written, bus.read) == ([FIRST], list(range(FIRST, LAST + 1)))


def test_an_answer_at_every_address_is_a_line_that_is_held_down(pi: Looked) -> None:
    class Held(SimulatedBus):
        def i2c_rdwr(self, *messages: Any) -> None:
            pass  # acknowledged, whatever it is, and zeros are read

    pi.made = lambda: Held(pi.clock, [])  # type: ignore[method-assign]
    (found,) = pi.findings('{chip = "ADXL345"}')
    assert found.state is State.WRONG and "SDA is held down" in found.found, found
    (found,) = pi.findings(config=False)
    assert found.state is State.WARNING, found


def test_a_chip_that_a_scan_overlooks_is_asked_itself(pi: Looked) -> None:
    class Shy(SimulatedBus):
        def read_byte(self, i2c_addr: int, force: bool | None = None) -> int:
            raise OSError(errno.EREMOTEIO, os.strerror(errno.EREMOTEIO))

    pi.made = lambda: Shy(pi.clock, pi.chips)  # type: ignore[method-assign]
    pi.add("ADXL345", 0x53)
    found = pi.findings('{chip = "ADXL345"}')
    assert about(found, "i2c-1 0x53").state is State.OK
    assert about(found, str(pi.device)).found == "1 address answered"


def test_a_device_that_is_no_bus_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(i2c, "DEV", tmp_path)
    (tmp_path / "i2c-1").write_text("")
    found = only(i2c.check(Patient()))
    assert (
        found.state is State.WRONG and found.found == "it is no I2C bus" and "ls /dev/i2c-*" in found.remedy
    )


def test_graphics_and_mainboard_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(i2c, "DEV", tmp_path / "dev")
    monkeypatch.setattr(i2c, "NAMES", tmp_path / "names")
    names = "bcm2835 (i2c@7e804000)", "fef04500.i2c", "107d508280.i2c", "SMBus I801 adapter"
    for number, name in enumerate(names):
        (tmp_path / "dev").mkdir(exist_ok=True)
        (tmp_path / "dev" / f"i2c-{number}").write_text("")
        (tmp_path / "names" / f"i2c-{number}").mkdir(parents=True)
        (tmp_path / "names" / f"i2c-{number}" / "name").write_text(f"{name}\n")
    found = list(i2c.check(Patient()))
    assert [f.state for f in found] == [State.WRONG, *[State.SKIPPED] * 3]
    assert "bcm2835" in found[0].subject
