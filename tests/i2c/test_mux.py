"""TCA9548A: identified by how it behaves, and believed only when it says what it was told."""

from __future__ import annotations

import pytest

from agent.blocks import FaultKind
from agent.sources.drivers.base import ChipError
from agent.sources.drivers.tca9548a import Tca9548a
from scripts.virtual_pi.chips.tca9548a import Tca9548a as Tca9548aModel
from tests.i2c.counting_place import CountingPlace
from tests.i2c.simulated_bus import SimClock


class Switch:
    """A switch of fewer channels: of its one register only `kept_bits` exist."""

    def __init__(self, kept_bits: int = 0xFF) -> None:
        self.address = 0x70
        self.kept_bits = kept_bits
        self.register = 0

    def write(self, data: bytes) -> bool:
        if data:
            self.register = data[-1] & self.kept_bits
        return True

    def read(self, count: int) -> bytes:
        return bytes([self.register]) * count

    def stop(self) -> None:
        pass


class WithRegisters(Switch):
    """A chip with registers at the same address: what is written is the number of one."""

    def __init__(self, contents: bytes) -> None:
        super().__init__()
        self.contents = contents

    def read(self, count: int) -> bytes:
        return bytes([self.contents[self.register]]) * count


def real() -> tuple[Tca9548aModel, CountingPlace]:
    clock = SimClock()
    chip = Tca9548aModel(now_ns=clock.now_ns)
    return chip, CountingPlace(chip, clock)


def place_of(chip: Switch) -> CountingPlace:
    return CountingPlace(chip, SimClock())


@pytest.mark.parametrize("selected", [0x00, 0x01, 0x40, 0x81])
def test_it_is_identified_and_left_as_it_was(selected: int) -> None:
    chip, place = real()
    place.write(selected)
    Tca9548a.identify(place)
    assert chip.control == selected


@pytest.mark.parametrize(
    "chip",
    [
        WithRegisters(bytes(256)),
        WithRegisters(b"\xff" * 256),
        WithRegisters(bytes([0x60]) * 256),
        Switch(0x0F),
        Switch(0x00),
    ],
    ids=["zeros", "ones", "a BME280", "four channels", "deaf"],
)
def test_another_chip_is_refused(chip: Switch) -> None:
    with pytest.raises(ChipError) as error:
        Tca9548a.identify(place_of(chip))
    assert error.value.kind is FaultKind.WRONG_CHIP


@pytest.mark.parametrize("channel", range(8))
def test_a_channel_is_selected_alone(channel: int) -> None:
    chip, place = real()
    place.write(0xFF)
    place.spent()
    Tca9548a.select(place, channel)
    assert chip.control == 1 << channel
    assert place.spent() == Tca9548a.select_cost
    Tca9548a.deselect(place)
    assert chip.control == 0
    assert place.spent() == Tca9548a.select_cost


def test_a_channel_that_does_not_take_is_a_fault() -> None:
    with pytest.raises(ChipError) as error:
        Tca9548a.select(place_of(Switch(0x0F)), 5)
    assert error.value.kind is FaultKind.REGISTERS
    assert "0x70" in error.value.doing and error.value.got == "0x00"


def test_its_addresses() -> None:
    assert Tca9548a.addresses == (0x70, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x77)
