"""NAU7802: what it is told, what it answers, and what its driver makes of it."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from agent.blocks import FaultKind
from agent.errors import ConfigError
from agent.sources.drivers import nau7802
from agent.sources.drivers.base import ChipError, Waiting
from agent.sources.drivers.nau7802 import Nau7802, Nau7802Settings
from scripts.virtual_pi.chips.nau7802 import Nau7802 as Nau7802Model
from tests.i2c.counting_place import CountingPlace
from tests.i2c.simulated_bus import SimClock


def load(settings: Nau7802Settings | None = None) -> tuple[Nau7802, Nau7802Model, CountingPlace]:
    """Return a driver that was set up, the chip, its place."""
    clock = SimClock()
    chip = Nau7802Model(now_ns=clock.now_ns)
    place = CountingPlace(chip, clock)
    driver = (settings or Nau7802Settings()).make()
    place.finish(driver.set_up(place))
    place.spent()
    return driver, chip, place


def wait_for_result(driver: Nau7802, place: CountingPlace) -> None:
    for _ in range(10):
        if driver.look(place).count:
            return
        place.wait(0.5 / driver.rate_hz)
    pytest.fail("no result within five periods")


def test_a_load_cell_is_identified() -> None:
    clock = SimClock()
    chip = Nau7802Model(now_ns=clock.now_ns)
    Nau7802.identify(CountingPlace(chip, clock))


@pytest.mark.parametrize("found", [0x00, 0x60, 0xE5, 0xFF])
def test_another_than_a_load_cell_is_refused(found: int) -> None:
    clock = SimClock()
    chip = Nau7802Model(now_ns=clock.now_ns)
    chip.identity = found
    with pytest.raises(ChipError) as error:
        Nau7802.identify(CountingPlace(chip, clock))
    assert error.value.kind is FaultKind.WRONG_CHIP
    assert f"0x{found:02X}" in error.value.got


@pytest.mark.parametrize("rate_hz", [10, 20, 40, 80, 320])
@pytest.mark.parametrize("error_ppm", [-50_000, 0, 50_000])
def test_a_load_cell_gives_settled_samples_only(rate_hz: int, error_ppm: int) -> None:
    clock = SimClock()
    chip = Nau7802Model(
        now_ns=clock.now_ns, rate_error_ppm=error_ppm, signal=lambda k: (1_000_000 + 1000 * k,)
    )
    place = CountingPlace(chip, clock)
    driver = msgspec.convert({"chip": "NAU7802", "rate_hz": rate_hz}, Nau7802Settings).make()
    waited_s = place.finish(driver.set_up(place))
    assert waited_s < 2, f"{waited_s} s to set it up"
    assert driver.look(place) == Waiting(0), "a result of before the end of set_up"
    seen: list[int] = []
    while len(seen) < 5:
        wait_for_result(driver, place)
        (values,) = driver.take(place, 1)
        seen.append(int(values[0, 0]))
    first = (seen[0] - 1_000_000) // 1000
    assert seen == [1_000_000 + 1000 * (first + i) for i in range(5)], f"{seen}: not settled, or lost"
    assert chip.lost <= first, f"{chip.lost} lost after the first"


@pytest.mark.parametrize(
    ("raw", "count"), [(0x7FFFFF, 8388607), (0x800000, -8388608), (0xFFFFFF, -1), (0, 0), (1, 1)]
)
def test_a_load_is_24_bits_of_twos_complement(raw: int, count: int) -> None:
    driver, chip, place = load()
    signed_raw = raw - (1 << 24) if raw >= 1 << 23 else raw
    chip.signal = lambda k: (signed_raw,)
    driver.restart(place)
    wait_for_result(driver, place)
    (values,) = driver.take(place, 1)
    assert values.shape == (1, 1) and values.dtype == np.int32
    assert int(values[0, 0]) == count, f"0x{raw:06X} read as {int(values[0, 0])}"
    low, high = driver.streams[0].rails or (0, 0)
    assert (count in (low, high)) == (raw in (0x7FFFFF, 0x800000))


def test_a_look_and_a_take_are_two_small_transactions() -> None:
    driver, _, place = load()
    wait_for_result(driver, place)
    place.spent()
    assert driver.look(place) == Waiting(1)
    assert place.spent() == driver.look_cost
    driver.take(place, 1)
    assert place.spent() == driver.take_cost(1)
    assert driver.look(place) == Waiting(0), "the result waits though it was taken"
    place.spent()
    driver.check(place)
    assert place.spent() == driver.check_cost


def test_a_load_cell_that_lost_its_power_is_seen_at_the_next_look() -> None:
    driver, chip, place = load()
    chip.power_cycle()
    with pytest.raises(ChipError) as error:
        driver.look(place)
    assert error.value.kind is FaultKind.REGISTERS
    with pytest.raises(ChipError):
        driver.check(place)
    place.finish(driver.set_up(place))
    driver.check(place)
    wait_for_result(driver, place)


@pytest.mark.parametrize(
    ("register", "value"),
    [
        (nau7802.CTRL1, 0x2E),
        (nau7802.CTRL2, 0x20),
        (nau7802.CTRL2, 0xB0),
        (nau7802.ADC, 0x00),
        (nau7802.PGA, 0x10),
        (nau7802.POWER, 0x00),
        (nau7802.PU_CTRL, 0x86),
    ],
)
def test_any_setting_of_a_load_cell_that_changes_is_seen(register: int, value: int) -> None:
    driver, _, place = load()
    driver.check(place)
    place.write_register(register, value)
    with pytest.raises(ChipError) as error:
        driver.check(place)
    assert error.value.kind is FaultKind.REGISTERS
    assert f"0x{register:02X}" in error.value.doing


def test_the_regulator_has_its_voltage_before_it_is_switched_on() -> None:
    clock = SimClock()
    chip = Nau7802Model(now_ns=clock.now_ns)
    writes: list[bytes] = []
    take = chip.take

    def recorded(data: bytes) -> bool:
        if len(data) > 1:
            writes.append(data)
        return take(data)

    chip.take = recorded  # type: ignore[method-assign]
    place = CountingPlace(chip, clock)
    place.finish(Nau7802Settings(ldo_v=2.7).make().set_up(place))
    on = next(at for at, data in enumerate(writes) if data[0] == nau7802.PU_CTRL and data[1] & nau7802.AVDDS)
    volts = [at for at, data in enumerate(writes) if data[0] == nau7802.CTRL1 and data[1] >> 3 & 7 == 6]
    assert volts and volts[0] < on, f"{[data.hex(' ') for data in writes]}"


def test_a_calibration_that_fails_is_a_failed_self_test() -> None:
    clock = SimClock()
    chip = Nau7802Model(now_ns=clock.now_ns)
    chip.self_test_fails = True
    place = CountingPlace(chip, clock)
    with pytest.raises(ChipError) as error:
        place.finish(Nau7802Settings().make().set_up(place))
    assert error.value.kind is FaultKind.SELF_TEST


def test_a_converter_that_stands_still_does_not_calibrate_for_ever() -> None:
    clock = SimClock()
    chip = Nau7802Model(now_ns=clock.now_ns)
    chip.stopped = True
    place = CountingPlace(chip, clock)
    with pytest.raises(ChipError) as error:
        place.finish(Nau7802Settings(rate_hz=10).make().set_up(place))
    assert error.value.kind is FaultKind.SELF_TEST
    assert clock.now_ns() < 10e9, f"{clock.now_ns() / 1e9} s"


def test_the_nominal_scale_of_a_load_cell() -> None:
    settings = Nau7802Settings(gain=128, capacity_kg=200.0, sensitivity_mv_per_v=2.0, cell="fl")
    spec = settings.make().streams[0].spec
    # 2 mV/V at 3 V are 6 mV; the range at gain 128 is ±0.5 · 3 V / 128 = ±11.71875 mV, 2²³ counts
    at_capacity = 6.0 / 11.71875 * (1 << 23)
    assert spec.scale * at_capacity == pytest.approx(200.0, rel=1e-12)
    assert (spec.name, spec.axes, spec.unit.value, spec.sample_bits) == ("load", ("fl",), "kg", 24)


def test_only_a_gain_with_noise_lets_a_load_be_called_still() -> None:
    assert Nau7802Settings(gain=32).make().streams[0].still_s is not None
    assert Nau7802Settings(gain=16).make().streams[0].still_s is None


@pytest.mark.parametrize(
    ("settings", "words"),
    [(Nau7802Settings(ldo_v=5.0), "ldo_v = 5"), (Nau7802Settings(sensitivity_mv_per_v=5.0), "at most 64")],
)
def test_what_a_load_cell_cannot_be_is_refused(settings: Nau7802Settings, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        settings.make()
