"""Who answers on an I2C bus, and is it what is configured: asked of models of the chips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.config import Config, SourceSettings
from agent.doctor import State, cable, configuration, ports
from agent.doctor.finding import Patient
from agent.doctor.i2c_chips import HandsOff, MayNotAsk, recognise
from agent.doctor.i2c_chips import Where as At
from agent.doctor.strangers import ALIKE, STRANGERS
from agent.sources.drivers import CHIPS
from agent.sources.i2c_port import I2cPort
from agent.sources.i2c_settings import I2cSettings, check_buses
from scripts.virtual_pi.chips.nau7802 import Nau7802
from tests.doctor.looking import about
from tests.doctor.one_bus import Looked, Registers, busy_pi, pi, settings_of
from tests.i2c.simulated_bus import SimulatedBus

__all__ = ["busy_pi", "pi"]  # fixtures


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
