"""SHT4x: what it is told, what it answers, and what its driver makes of it."""

from __future__ import annotations

import numpy as np
import pytest

from agent.blocks import FaultKind
from agent.errors import ConfigError
from agent.sources.drivers.base import ChipError, NotReady
from agent.sources.drivers.sht4x import Sht4x, Sht4xSettings, crc8
from scripts.virtual_pi.chips.sht4x import Sht4x as Sht4xModel
from tests.i2c.counting_place import CountingPlace
from tests.i2c.simulated_bus import SimClock


class Damaged(Sht4xModel):
    """One of which a byte of each answer is wrong."""

    damaged_byte: int | None = None

    def give(self, count: int) -> bytes | None:
        answer = bytearray(super().give(count) or b"")
        if answer and self.damaged_byte is not None:
            answer[self.damaged_byte] ^= 0x10
        return bytes(answer) or None


def awake(rate_error_ppm: float = 0.0) -> tuple[Damaged, CountingPlace]:
    clock = SimClock()
    chip = Damaged(now_ns=clock.now_ns, rate_error_ppm=rate_error_ppm)
    clock.advance(2_000_000)
    return chip, CountingPlace(chip, clock)


def dew(rate_error_ppm: float = 0.0) -> tuple[Sht4x, Damaged, CountingPlace]:
    chip, place = awake(rate_error_ppm)
    driver = Sht4xSettings().make()
    place.finish(driver.set_up(place))
    place.spent()
    return driver, chip, place


def measure(driver: Sht4x, place: CountingPlace) -> list[float]:
    driver.start(place, 0)
    place.wait(driver.conversion_s(0))
    arrays = driver.collect(place, 0)
    assert all(values.shape == (1, 1) and values.dtype == np.float32 for values in arrays)
    return [float(values[0, 0]) for values in arrays]


def test_the_checksum_of_the_data_sheet() -> None:
    assert crc8(b"\xbe\xef") == 0x92  # section 4.4


def test_it_is_identified_by_its_number() -> None:
    _, place = awake()
    Sht4x.identify(place)
    driver, chip, _ = dew()
    assert driver.serial == chip.serial


@pytest.mark.parametrize("what", ["all ones", "the first checksum", "the second word", "mute", "0", "58"])
def test_what_tells_no_number_is_another_chip(what: str) -> None:
    chip, place = awake()
    if what == "all ones":
        chip.all_ones = True
    elif what == "the first checksum":
        chip.damaged_byte = 2
    elif what == "the second word":
        chip.damaged_byte = 4
    elif what == "mute":
        chip.give = lambda count: None  # type: ignore[method-assign]
    elif what == "0":
        chip.serial = 0
    else:
        chip.identity = 0x58
    with pytest.raises(ChipError) as error:
        Sht4x.identify(place)
    assert error.value.kind is FaultKind.WRONG_CHIP, what
    assert "SHT4x" in error.value.expected


def test_nobody_is_not_another_chip() -> None:
    chip, place = awake()
    chip.absent = True
    with pytest.raises(ChipError) as error:
        Sht4x.identify(place)
    assert error.value.kind is FaultKind.NACK
    assert place.spent().transfers == 1, "it was asked again though it did not take the command"


@pytest.mark.parametrize(
    ("words", "degc", "percent"),
    [
        ((0x0000, 0x0000), -45.0, 0.0),
        ((0xFFFF, 0xFFFF), 130.0, 100.0),
        ((26214, 32768), 25.0, 56.5),
        ((0x6666, 3145), 25.0, 0.0),
        ((0x6666, 55574), 25.0, 100.0),
    ],
)
def test_the_conversion_and_where_it_is_cropped(words: tuple[int, int], degc: float, percent: float) -> None:
    driver, chip, place = dew()
    chip.raw = words
    temperature, humidity = measure(driver, place)
    assert temperature == pytest.approx(degc, abs=0.002)
    assert humidity == pytest.approx(percent, abs=0.002)
    assert 0 <= humidity <= 100


@pytest.mark.parametrize("byte", range(6))
def test_a_wrong_checksum_is_no_measurement(byte: int) -> None:
    driver, chip, place = dew()
    chip.damaged_byte = byte
    with pytest.raises(ChipError) as error:
        measure(driver, place)
    assert error.value.kind is FaultKind.BAD_DATA
    chip.damaged_byte = None
    measure(driver, place)


def test_a_round_costs_two_transactions() -> None:
    driver, _, place = dew()
    measure(driver, place)
    assert place.spent() == driver.round_cost
    driver.check(place)
    assert place.spent() == driver.check_cost


def test_busy_is_not_absent_and_absent_is_not_busy_for_ever() -> None:
    driver, chip, place = dew(rate_error_ppm=-200_000)
    driver.start(place, 0)
    place.wait(driver.conversion_s(0))
    with pytest.raises(NotReady):
        driver.collect(place, 0)
    place.wait(0.002)
    driver.collect(place, 0)
    driver.start(place, 0)
    chip.absent = True
    place.wait(driver.conversion_s(0))
    for _ in range(3):
        with pytest.raises(NotReady):
            driver.collect(place, 0)
    with pytest.raises(ChipError) as error:
        driver.collect(place, 0)
    assert error.value.kind is FaultKind.NACK
    with pytest.raises(ChipError):
        driver.start(place, 0)


def test_power_lost_while_it_measures_gives_no_sample() -> None:
    driver, chip, place = dew()
    driver.start(place, 0)
    chip.power_cycle()
    place.wait(driver.conversion_s(0))
    with pytest.raises(NotReady):
        driver.collect(place, 0)


def test_two_streams_need_two_names() -> None:
    with pytest.raises(ConfigError, match="two names"):
        Sht4xSettings(humidity="temperature").make()
