"""What a bus can carry, and the plain refusal of what it cannot."""

from __future__ import annotations

import pytest

from agent.errors import ConfigError
from agent.sources.drivers.adxl345 import Adxl345Settings
from agent.sources.drivers.adxl355 import Adxl355Settings
from agent.sources.drivers.base import BusCost, read_cost
from agent.sources.drivers.nau7802 import Nau7802Settings
from agent.sources.i2c_plan import COMFORTABLE, USABLE, BusSpeed, load_of, plan

MS = 1_000_000


def test_a_transaction_costs_its_bits_and_its_overhead() -> None:
    speed = BusSpeed(400_000, 100_000)
    assert speed.time_ns(read_cost(6)) == 9 * 9 * 2_500 + 100_000
    assert read_cost(6) + BusCost(1, 3) == BusCost(2, 12)


def test_short_reads_where_the_bus_has_room() -> None:
    chips = [Adxl345Settings(rate_hz=200).make(), Nau7802Settings(rate_hz=80).make()]
    made = plan("i2c-1", chips, BusSpeed(400_000), 10 * MS)
    assert made.intervals_ns[0] == 5 * MS
    assert made.load < COMFORTABLE


def test_longer_reads_where_it_has_not() -> None:
    chip = Adxl355Settings(rate_hz=500).make()
    slow = BusSpeed(100_000, 400_000)
    made = plan("i2c-1", [chip], slow, 2 * MS)
    assert load_of(chip, 2 * MS, slow) > COMFORTABLE
    assert load_of(chip, made.intervals_ns[0], slow) <= COMFORTABLE
    assert 2 * MS < made.intervals_ns[0] <= 32 * MS, "at most half of its FIFO of 32"


def test_what_it_cannot_carry_is_refused_in_plain_words() -> None:
    chips = [Adxl345Settings(rate_hz=800).make() for _ in range(3)]
    speed = BusSpeed(100_000)
    with pytest.raises(ConfigError) as refused:
        plan("i2c-1", chips, speed, 10 * MS)
    load = sum(load_of(chip, 20 * MS, speed) for chip in chips)
    assert f"i2c-1 at 100 kHz carries {USABLE / load:.0%} of what is configured" in refused.value.got
    assert "ADXL345" in refused.value.got
    assert "i2c_arm_baudrate=400000" in refused.value.remedy


@pytest.mark.parametrize("speed_hz", [100_000, 400_000])
def test_a_longer_interval_never_costs_more(speed_hz: int) -> None:
    speed = BusSpeed(speed_hz)
    for driver in (Adxl345Settings(rate_hz=200).make(), Adxl355Settings(rate_hz=500).make()):
        loads = [load_of(driver, ms * MS, speed) for ms in (2, 5, 10, 20, 40, 60)]
        assert loads == sorted(loads, reverse=True)
