"""Who answers on an I2C bus, and is it what is configured: asked of models of the chips."""

from __future__ import annotations

import errno
import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.config import Config, SourceSettings
from agent.doctor import State, cable, configuration, i2c, ports
from agent.doctor.finding import Finding, Patient
from agent.doctor.i2c import judge
from agent.doctor.i2c_chips import HandsOff, MayNotAsk, Seen, recognise
from agent.doctor.i2c_chips import Where as At
from agent.doctor.i2c_scan import FIRST, LAST, READ_ONLY, scan
from agent.doctor.strangers import ALIKE, STRANGERS
from agent.sources.drivers import CHIPS, AnyChip
from agent.sources.drivers.base import ChipSettings
from agent.sources.i2c_port import I2cPort
from agent.sources.i2c_settings import I2cSettings, check_buses
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
from tests.doctor.looking import about, only
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


# --- buses ---


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


# --- chips ---


@pytest.mark.parametrize("chip", CHIPS, ids=lambda chip: chip.name)
def test_each_chip_is_named_at_each_of_its_addresses(pi: Looked, chip: Any) -> None:
    for address in chip.driver.addresses:
        pi.chips = []
        pi.add(chip.name, address)
        found = about(pi.findings(config=False), f"i2c-1 0x{address:02X}")
        assert found.state is State.OK
        assert found.found.startswith(chip.name), found
        assert ALIKE.get(chip.name, "") in found.found
        assert found.figures["chip"] == chip.name


@pytest.mark.parametrize("chip", CHIPS, ids=lambda chip: chip.name)
def test_the_line_to_paste_can_be_pasted(pi: Looked, chip: Any) -> None:
    for address in chip.driver.addresses:
        pi.chips = []
        pi.add(chip.name, address)
        found = about(pi.findings(config=False), f"i2c-1 0x{address:02X}")
        line = found.remedy[found.remedy.index("{") :]
        settings = settings_of(line)
        check_buses([I2cSettings(bus="/dev/i2c-1", chips=(settings,))], "testing")
        assert (type(settings), settings.address) == (chip.settings, address), line


def test_what_is_configured_and_there(pi: Looked) -> None:
    pi.add("ADXL345", 0x53)
    pi.add("BME280", 0x76)
    found = pi.findings('{chip = "ADXL345"}', '{chip = "BME280"}')
    assert [f.state for f in found] == [State.OK] * 3
    assert about(found, "i2c-1 0x76").found == "BME280, as configured"
    assert about(found, "i2c-1 0x53").found.startswith("ADXL345, as configured (ADXL343")


def test_a_wrong_chip_is_named(pi: Looked) -> None:
    pi.add("ADXL355", 0x53)
    found = about(pi.findings('{chip = "ADXL345"}'), "i2c-1 0x53")
    assert found.state is State.WRONG
    assert found.found.startswith("an ADXL355 (ADXL357 would say the same) answers, ADXL345 is configured")
    assert '{chip = "ADXL355", address = 0x53}' in found.remedy
    assert (found.figures["chip"], found.figures["configured"]) == ("ADXL355", "ADXL345")


def test_a_missing_chip_and_where_one_like_it_is(pi: Looked) -> None:
    pi.add("ADXL345", 0x1D)
    found = pi.findings('{chip = "ADXL345"}')
    missing = about(found, "i2c-1 0x53")
    assert missing.state is State.WRONG
    assert missing.found == "nobody answers, ADXL345 is configured"
    assert missing.remedy.startswith("An ADXL345 answers at 0x1D: is it that one? Else look at its SDA")
    there = about(found, "i2c-1 0x1D")
    assert there.found.endswith("which is not configured"), "the second, where the first is missing?"
    assert there.remedy.startswith("Is it the one of 0x53? Then correct that line: `address = 0x1D`.")


def test_one_that_is_not_configured_and_is_like_another(pi: Looked) -> None:
    pi.add("ADXL345", 0x53)
    pi.add("ADXL345", 0x1D)
    pi.add("BME280", 0x76)
    found = pi.findings('{chip = "ADXL345"}')
    second = about(found, "i2c-1 0x1D")
    assert second.state is State.WARNING
    assert "which is not configured; it is the second ADXL345 here" in second.found
    assert '{chip = "ADXL345", address = 0x1D, stream = "accel2"}' in second.remedy
    assert 'put into chips of i2c-1: {chip = "BME280", address = 0x76}' in about(found, "i2c-1 0x76").remedy


def test_lines_for_several_can_be_pasted_together(pi: Looked) -> None:
    cells = [Nau7802(now_ns=pi.clock.now_ns) for _ in range(4)]
    pi.add_mux(0x70, {n: [cell] for n, cell in enumerate(cells)})
    for name, address in (("BME280", 0x76), ("BME280", 0x77), ("SHT4x", 0x44), ("MPU-6050", 0x68)):
        pi.add(name, address)
    found = pi.findings(config=False)
    lines = [f.remedy[f.remedy.index("{") :] for f in found if "{" in f.remedy]
    chips = tuple(settings_of(line) for line in lines)
    assert len(chips) == 8, lines
    check_buses([I2cSettings(bus="/dev/i2c-1", chips=chips)], "testing")


def test_one_that_is_none_of_those_that_may_be_there(pi: Looked) -> None:
    pi.add("ADXL345", 0x53).all_ones = True
    found = about(pi.findings('{chip = "ADXL345"}'), "i2c-1 0x53")
    assert found.state is State.WRONG
    assert found.found.startswith("somebody (usually ADXL345, ADXL355) answers, ADXL345 is configured")
    assert "0xFF" in found.found
    assert found.remedy.startswith("Is it an ADXL345, by the print on it?")


# --- behind multiplexers ---


def test_chips_behind_a_multiplexer(pi: Looked) -> None:
    cells = [Nau7802(now_ns=pi.clock.now_ns) for _ in range(3)]
    mux = pi.add_mux(0x70, {0: [cells[0]], 1: [cells[1]], 5: [cells[2]]})
    pi.add("BME280", 0x76)
    mux.write(b"\x21")
    mux.stop()
    found = pi.findings(
        '{chip = "NAU7802", mux = 0x70, channel = 0, cell = "fl"}',
        '{chip = "NAU7802", mux = 0x70, channel = 2, cell = "fr"}',
    )
    assert about(found, "i2c-1 0x70/0 0x2A").found == "NAU7802, as configured"
    missing = about(found, "i2c-1 0x70/2 0x2A")
    assert missing.state is State.WRONG and "A NAU7802 answers at 0x70/1 0x2A" in missing.remedy
    other = about(found, "i2c-1 0x70/1 0x2A").remedy
    assert "the one of 0x70/2 0x2A?" in other and "`mux = 0x70, channel = 1`" in other, other
    third = about(found, "i2c-1 0x70/5 0x2A").remedy
    assert 'channel = 5, cell = "' in third and "the one of" not in third, third
    assert about([f for f in found if f.subject == "i2c-1 0x70"], "i2c-1 0x70").found.startswith(
        "TCA9548A, as"
    )
    assert not [f for f in found if f.subject == "i2c-1 0x2A"], "one behind it was taken for one beside it"
    assert mux.control == 0x21, f"0x{mux.control:02X}: it was left switched otherwise than it was found"


def test_a_multiplexer_that_does_not_answer(pi: Looked) -> None:
    pi.add_mux(0x71, {})
    found = pi.findings('{chip = "NAU7802", mux = 0x70, channel = 0, cell = "fl"}')
    mux = about([f for f in found if f.subject == "i2c-1 0x70"], "i2c-1 0x70")
    assert mux.state is State.WRONG and mux.found == "nobody answers, a TCA9548A is configured"
    assert "A TCA9548A answers at 0x71" in mux.remedy
    assert about(found, "i2c-1 0x70/0 0x2A").state is State.SKIPPED


# --- strangers ---


@pytest.mark.parametrize("stranger", STRANGERS, ids=lambda s: f"{s.name}-{s.value.hex()}")
def test_a_stranger_is_named(pi: Looked, stranger: Any) -> None:
    for address in stranger.addresses:
        contents = stranger.value
        if not any(contents):
            contents = (
                bytes((0x59, 0x59, 0x23, 7, 0x31, 0x12, 0x99)) + bytes(7) + bytes((0x1C, 0, 0, 25, 0x40))
            )
        pi.chips = [Registers(address, {stranger.register: contents})]
        found = about(pi.findings(config=False), f"i2c-1 0x{address:02X}")
        assert found.found == stranger.name, f"0x{address:02X}: {found.found}"


def test_the_wrong_chip_that_people_buy(pi: Looked) -> None:
    pi.chips = [Registers(0x76, {0xD0: b"\x58"})]
    found = about(pi.findings('{chip = "BME280"}'), "i2c-1 0x76")
    assert found.found.startswith("a BMP280 answers, BME280 is configured")


def test_an_eeprom_and_a_dead_chip_are_nobody_we_know(pi: Looked) -> None:
    for contents in (b"\x00", b"\xff"):
        for address in (0x53, 0x57, 0x68, 0x76, 0x36):
            pi.chips = [Registers(address, dict.fromkeys(range(256), contents * 32))]
            found = about(pi.findings(config=False), f"i2c-1 0x{address:02X}")
            assert found.found.startswith("somebody ("), f"0x{address:02X}: {found.found}"


# --- beside the agent ---


def test_a_bus_in_use_is_asked_gently(busy_pi: Looked) -> None:
    pi = busy_pi
    cell = Nau7802(now_ns=pi.clock.now_ns)
    mux = pi.add_mux(0x70, {0: [cell]})
    pi.add("ADXL345", 0x53)
    pi.add("SHT4x", 0x44)
    pi.add("ADXL355", 0x1D)
    written: list[tuple[int, bytes]] = []

    def listen_to(chip: Any) -> None:
        write = chip.write

        def heard(data: bytes) -> Any:
            written.append((chip.address, bytes(data)))
            return write(data)

        chip.write = heard

    for chip in pi.chips:
        listen_to(chip)
    found = pi.findings(
        '{chip = "ADXL345"}',
        '{chip = "SHT4x", temperature = "t", humidity = "h"}',
        '{chip = "BME280"}',
        '{chip = "NAU7802", mux = 0x70, channel = 0, cell = "fl"}',
    )
    bus = about(found, str(pi.device))
    assert bus.found.startswith("in use by cargobox run") and bus.figures["used_by_pids"] == [812]
    assert about(found, "i2c-1 0x53").state is State.OK
    assert about(found, "i2c-1 0x76").found == "nobody answers, BME280 is configured"
    assert about(found, "i2c-1 0x44").state is State.SKIPPED
    assert about(found, "i2c-1 0x70/0").state is State.SKIPPED
    assert not [f for f in found if f.subject.endswith("0x1D")], "one that nobody configured was asked"
    assert {address for address, _ in written} == {0x53}, written
    assert all(len(data) == 1 for _, data in written), "more than the number of a register was written"
    assert mux.control == 0


@pytest.mark.parametrize("how", ["stuck", "gone"])
def test_a_bus_in_use_that_fails(busy_pi: Looked, how: str) -> None:
    pi = busy_pi

    def made() -> SimulatedBus:
        bus = SimulatedBus(pi.clock, pi.chips)
        setattr(bus, how, True)
        return bus

    pi.made = made  # type: ignore[method-assign]
    (found,) = pi.findings('{chip = "ADXL345"}', '{chip = "BME280"}')
    words = {"stuck": "held down", "gone": "the bus is gone"}[how]
    assert found.state is State.WRONG and words in found.found, found


def test_a_place_where_a_command_must_not_be_given(pi: Looked) -> None:
    """The identity of every chip is read, or not asked for; no driver writes to a place of this kind."""
    asked = set()
    for chip in CHIPS:
        pi.chips = []
        pi.add(chip.name, chip.driver.addresses[0])
        port = I2cPort("i2c-1", open_bus=lambda *_: pi.made(), now_ns=pi.clock.now_ns)
        port.open()
        try:
            answer = recognise(HandsOff(port.place(chip.driver.addresses[0])), At(chip.driver.addresses[0]))
        except MayNotAsk:
            continue
        asked.add(answer.name)
    assert asked == {chip.name for chip in CHIPS} - {"SHT4x", "ADS1115"}


def test_a_box_of_chips_alone_needs_no_board(pi: Looked) -> None:
    settings = I2cSettings(bus="/dev/i2c-1", chips=(settings_of('{chip = "BME280"}'),))
    patient = Patient(Path("box.toml"), Config(source=SourceSettings(i2c=(settings,))))
    for check in (ports.check, cable.check, configuration.check):
        assert not [f for f in check(patient) if f.state is State.WRONG], check
    assert about(configuration.check(Patient(Path("box.toml"), Config())), "[source]").state is State.WRONG
    with_port = Patient(Path("box.toml"), patient.config, port="/dev/none")
    assert about(ports.check(with_port), "/dev/none").state is State.WRONG
