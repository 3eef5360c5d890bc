"""ADS1115: what it is told, what it answers, and what its driver makes of it."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from agent.blocks import FaultKind
from agent.errors import ConfigError
from agent.sources.drivers import ads1115
from agent.sources.drivers.ads1115 import Ads1115, Ads1115Input, Ads1115Settings
from agent.sources.drivers.base import ChipError, NotReady
from scripts.virtual_pi.chips.ads1115 import Ads1115 as Ads1115Model
from scripts.virtual_pi.chips.base import Signal
from tests.i2c.counting_place import CountingPlace
from tests.i2c.simulated_bus import SimClock


class Shorter(Ads1115Model):
    """An ADS1015: the last four bits of a threshold cannot be set."""

    def take(self, data: bytes) -> bool:
        if len(data) == 3 and data[0] == ads1115.LO_THRESH:
            data = data[:2] + bytes([data[2] & 0xF0])
        return super().take(data)


class Monotonous(Ads1115Model):
    """Something that gives the same word for every register."""

    word = 0x1234

    def give(self, count: int) -> bytes:
        return self.word.to_bytes(2, "big")


def bare(kind: type[Ads1115Model] = Ads1115Model) -> tuple[Ads1115Model, CountingPlace]:
    clock = SimClock()
    chip = kind(now_ns=clock.now_ns)
    return chip, CountingPlace(chip, clock)


def constant(count: int) -> Signal:
    return lambda k: (count,)


PRESSURE = Ads1115Input(stream="pressure", input="AIN0", unit="Pa", pa_per_v=250_000.0, zero_v=0.5)
ROPE = Ads1115Input(stream="leak", input="AIN2-AIN3", unit="V", gain_v=2.048)


def converter(
    *, rate_error_ppm: float = 0.0, **settings: object
) -> tuple[Ads1115, Ads1115Model, CountingPlace]:
    clock = SimClock()
    chip = Ads1115Model(now_ns=clock.now_ns, rate_error_ppm=rate_error_ppm)
    chip.inputs = {code: constant(100 * code) for code in range(8)}
    place = CountingPlace(chip, clock)
    driver = Ads1115Settings(**({"inputs": (PRESSURE, ROPE)} | settings)).make()  # type: ignore[arg-type]
    place.finish(driver.set_up(place))
    place.spent()
    return driver, chip, place


def measure(driver: Ads1115, place: CountingPlace, conversion: int) -> int:
    driver.start(place, conversion)
    place.wait(driver.conversion_s(conversion))
    (values,) = driver.collect(place, conversion)
    assert values.shape == (1, 1) and values.dtype == np.int32
    return int(values[0, 0])


def test_a_converter_is_identified_and_left_as_it_was() -> None:
    chip, place = bare()
    chip.words[ads1115.LO_THRESH] = 0x1234
    before = list(chip.words)
    Ads1115.identify(place)
    assert chip.words[2:] == before[2:], f"{chip.words} instead of {before}"


def test_a_converter_whose_comparator_is_in_use_is_left_alone() -> None:
    chip, place = bare()
    chip.words[ads1115.CONFIG] &= ~3
    writes: list[bytes] = []
    take = chip.take

    def recorded(data: bytes) -> bool:
        writes.extend([data] if len(data) > 1 else [])
        return take(data)

    chip.take = recorded  # type: ignore[method-assign]
    with pytest.raises(ChipError, match="comparator is on") as error:
        Ads1115.identify(place)
    assert error.value.kind is FaultKind.WRONG_CHIP
    assert not writes, f"wrote {writes}"


@pytest.mark.parametrize("word", [0xFFFF, 0x0000, 0x1233])
def test_what_gives_the_same_everywhere_is_no_converter(word: int) -> None:
    chip, place = bare(Monotonous)
    chip.word = word  # type: ignore[attr-defined]
    with pytest.raises(ChipError) as error:
        Ads1115.identify(place)
    assert error.value.kind is FaultKind.WRONG_CHIP


@pytest.mark.parametrize("config", [0x0000, 0x0042, 0x0058, 0x0033, 0xFFFF])
def test_what_keeps_no_settings_is_no_converter(config: int) -> None:
    chip, place = bare()
    chip.identity = config
    with pytest.raises(ChipError) as error:
        Ads1115.identify(place)
        place.finish(Ads1115Settings(inputs=(ROPE,)).make().set_up(place))
    assert error.value.kind is FaultKind.WRONG_CHIP


def test_a_converter_of_12_bits_is_named() -> None:
    chip, place = bare(Shorter)
    with pytest.raises(ChipError, match="ADS1015") as error:
        Ads1115.identify(place)
    assert error.value.kind is FaultKind.WRONG_CHIP
    assert chip.words[ads1115.LO_THRESH] == 0x8000


def test_one_that_was_cut_off_while_it_was_identified_is_identified_again() -> None:
    chip, place = bare()
    chip.words[ads1115.LO_THRESH] ^= ads1115.FINEST_BITS
    Ads1115.identify(place)
    assert chip.words[ads1115.LO_THRESH] == ads1115.LOWEST ^ ads1115.FINEST_BITS


@pytest.mark.parametrize("looks", ["check", "collect"])
def test_what_a_disturbed_transfer_set_is_undone_at_once(looks: str) -> None:
    driver, chip, place = converter()
    driver.start(place, 0)
    place.wait(driver.conversion_s(0))
    # the comparator on, and both thresholds alike: at the next look a stranger, for good
    chip.words[ads1115.CONFIG] = 0x3C2C
    chip.words[ads1115.LO_THRESH] = chip.words[ads1115.HI_THRESH] = 0x2588
    with pytest.raises(ChipError) as error:
        driver.check(place) if looks == "check" else driver.collect(place, 0)
    assert error.value.kind is FaultKind.REGISTERS
    driver.identify(place)


@pytest.mark.parametrize(("raw", "count"), [(0x7FFF, 32767), (0x8000, -32768), (0xFFFF, -1), (0, 0)])
def test_a_voltage_is_16_bits_of_twos_complement(raw: int, count: int) -> None:
    driver, chip, place = converter()
    chip.inputs[3] = constant(raw - (1 << 16) if raw >> 15 else raw)
    found = measure(driver, place, 1)
    assert found == count, f"0x{raw:04X} read as {found}"
    assert (count in (driver.streams[1].rails or ())) == (raw in (0x7FFF, 0x8000))


def test_each_input_gets_its_own_conversion() -> None:
    driver, _, place = converter()
    assert [measure(driver, place, which) for which in (0, 1, 0)] == [400, 300, 400]
    assert driver.conversions == ((0,), (1,))


def test_a_round_costs_what_it_says() -> None:
    driver, _, place = converter()
    for which in range(2):
        measure(driver, place, which)
    assert place.spent() == driver.round_cost
    driver.check(place)
    assert place.spent() == driver.check_cost


def test_a_conversion_that_is_not_over_is_not_ready() -> None:
    driver, _, place = converter(rate_error_ppm=-200_000)
    driver.start(place, 0)
    place.wait(driver.conversion_s(0))
    with pytest.raises(NotReady):
        driver.collect(place, 0)
    place.wait(driver.conversion_s(0) / 4)
    driver.collect(place, 0)


def test_the_slowest_oscillator_is_in_time() -> None:
    driver, _, place = converter(rate_error_ppm=-90_000)
    measure(driver, place, 0)


def test_a_conversion_of_another_program_is_not_taken() -> None:
    driver, _, place = converter()
    driver.start(place, 0)
    place.wait(driver.conversion_s(0))
    place.write_register(ads1115.CONFIG, 0xD5, 0x83)
    with pytest.raises(ChipError) as error:
        driver.collect(place, 0)
    assert error.value.kind is FaultKind.REGISTERS
    place.write_register(ads1115.CONFIG, 0xD5, 0x83)
    with pytest.raises(ChipError):
        driver.check(place)


def test_power_lost_between_start_and_collect_gives_no_sample() -> None:
    driver, chip, place = converter()
    driver.start(place, 0)
    chip.power_cycle()
    place.wait(driver.conversion_s(0))
    with pytest.raises(ChipError) as error:
        driver.collect(place, 0)
    assert error.value.kind is FaultKind.REGISTERS


@pytest.mark.parametrize("register", [ads1115.LO_THRESH, ads1115.HI_THRESH])
def test_a_threshold_that_changes_is_seen(register: int) -> None:
    driver, _, place = converter()
    place.write_register(register, 0x12, 0x34)
    with pytest.raises(ChipError) as error:
        driver.check(place)
    assert error.value.kind is FaultKind.REGISTERS


def test_a_converter_left_converting_is_stopped() -> None:
    chip, place = bare()
    chip.inputs[3] = constant(300)
    place.write_register(ads1115.CONFIG, 0x44, 0x83)
    place.write_register(ads1115.LO_THRESH, 0x00, 0x00)
    driver = Ads1115Settings(inputs=(ROPE,)).make()
    waited_s = place.finish(driver.set_up(place))
    assert waited_s > 1 / 8, f"the slowest conversion takes 1/8 s; waited {waited_s} s"
    driver.check(place)
    made = chip.made
    place.wait(1.0)
    assert chip.made == made, "it goes on converting"
    assert measure(driver, place, 0) == 300


def test_volts_and_pascals() -> None:
    driver, _, _ = converter()
    pressure, leak = (stream.spec for stream in driver.streams)
    at_zero = 0.5 / 4.096 * 32768
    assert at_zero * pressure.scale + pressure.offset == pytest.approx(0.0, abs=1e-6)
    at_2_5_v = 2.5 / 4.096 * 32768
    assert at_2_5_v * pressure.scale + pressure.offset == pytest.approx(500_000.0)
    assert 32768 * leak.scale + leak.offset == pytest.approx(2.048)
    assert (pressure.axes, leak.axes, pressure.unit.value, leak.unit.value) == (("p",), ("v",), "Pa", "V")


@pytest.mark.parametrize("rate_hz", [1.0, 10.0, 50.0, 150.0])
def test_without_a_data_rate_a_round_leaves_half_of_the_time_free(rate_hz: float) -> None:
    driver, _, _ = converter(rate_hz=rate_hz)
    needed_s = sum(driver.conversion_s(which) for which in range(2))
    assert needed_s <= 0.5 / rate_hz, f"{needed_s * 1000:.2f} ms in a round of {1000 / rate_hz:.2f} ms"


def test_a_conversion_may_take_a_tenth_longer() -> None:
    driver, _, _ = converter(inputs=(msgspec.structs.replace(ROPE, data_rate=250),))
    assert driver.conversion_s(0) >= 1.1 / 250
    assert driver.centre_s(0) == pytest.approx(0.5 / 250, rel=0.05)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"rate_hz": 500.0}, r"rate_hz = 500 .* at most 3\d\d"),
        ({"inputs": (ROPE, ROPE)}, "'leak'"),
        ({"inputs": (msgspec.structs.replace(ROPE, gain_v=3.3),)}, "gain_v = 3.3"),
        ({"inputs": (msgspec.structs.replace(ROPE, zero_v=0.5),)}, "zero_v"),
        ({"inputs": (msgspec.structs.replace(PRESSURE, pa_per_v=None),)}, "without pa_per_v"),
        ({"inputs": (msgspec.structs.replace(PRESSURE, zero_v=3.5),)}, "zero_v = 3.5"),
        ({"inputs": (msgspec.structs.replace(PRESSURE, zero_v=-0.5),)}, "zero_v = -0.5"),
        ({"inputs": (msgspec.structs.replace(PRESSURE, gain_v=0.256),)}, "zero_v = 0.5"),
    ],
)
def test_what_a_converter_cannot_do_is_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Ads1115Settings(**({"inputs": (PRESSURE, ROPE)} | settings)).make()  # type: ignore[arg-type]


def test_a_converter_as_it_stands_in_a_file() -> None:
    table = {
        "chip": "ADS1115",
        "address": 0x49,
        "rate_hz": 50,
        "inputs": [
            {"stream": "pressure", "input": "AIN0", "unit": "Pa", "pa_per_v": 250_000, "zero_v": 0.5},
            {"stream": "leak", "input": "AIN1", "unit": "V"},
        ],
    }
    settings = msgspec.convert(table, Ads1115Settings)
    assert [stream.spec.name for stream in settings.make().streams] == ["pressure", "leak"]
    wrongs: list[dict[str, object]] = [{"address": 0x50}, {"inputs": []}, {"gain": 1}]
    for wrong in wrongs:
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(table | wrong, Ads1115Settings)
