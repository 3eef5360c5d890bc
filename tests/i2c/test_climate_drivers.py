"""BME280: what it is told, what it answers, and the formulas between."""

from __future__ import annotations

import struct

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.blocks import FaultKind
from agent.errors import ConfigError
from agent.sources.drivers import bme280
from agent.sources.drivers.base import ChipError, NotReady
from agent.sources.drivers.bme280 import Bme280, Bme280Settings, Trim
from scripts.virtual_pi.chips.bme280 import HUMIDITY_TRIM
from scripts.virtual_pi.chips.bme280 import Bme280 as Bme280Model
from tests.i2c.counting_place import CountingPlace
from tests.i2c.simulated_bus import SimClock

# BST-BMP280-DS001, section 3.12; the humidity words are of a chip that was bought
T_WORDS = (27504, 26435, -1000)
P_WORDS = (36477, -10685, 3024, 2855, 140, -7, 15500, -14600, 6000)
H_WORDS = (75, 370, 0, 313, 50, 30)
EXAMPLE = Trim(T_WORDS, P_WORDS, H_WORDS)
ADC_T, ADC_P, ADC_H = 519888, 415148, 31000


def trim_bytes(trim: Trim) -> tuple[bytes, bytes]:
    """Return the words as table 16 lays them out: 26 bytes from 0x88, 7 bytes from 0xE1."""
    h1, h2, h3, h4, h5, h6 = trim.h
    shared = (h4 & 0x0F) | (h5 & 0x0F) << 4
    first = struct.pack("<HhhHhhhhhhhh", *trim.t, *trim.p) + bytes((0, h1))
    return first, struct.pack("<hBbBbb", h2, h3, h4 >> 4, shared, h5 >> 4, h6)


# The formulas in integers of the data sheet, 4.2.3, written anew for this test.


def fine_in_integers(trim: Trim, adc_t: int) -> int:
    t1, t2, t3 = trim.t
    first = (((adc_t >> 3) - (t1 << 1)) * t2) >> 11
    second = (((((adc_t >> 4) - t1) * ((adc_t >> 4) - t1)) >> 12) * t3) >> 14
    return first + second


def pressure_in_integers(trim: Trim, adc_p: int, fine: int) -> int:
    """Return 1/256 Pa."""
    p1, p2, p3, p4, p5, p6, p7, p8, p9 = trim.p
    var1 = fine - 128000
    var2 = var1 * var1 * p6 + ((var1 * p5) << 17) + (p4 << 35)
    var1 = ((var1 * var1 * p3) >> 8) + ((var1 * p2) << 12)
    var1 = (((1 << 47) + var1) * p1) >> 33
    if var1 == 0:
        return 0
    p = 1048576 - adc_p
    dividend = ((p << 31) - var2) * 3125
    p = abs(dividend) // abs(var1) * (1 if (dividend < 0) == (var1 < 0) else -1)  # as C divides
    return ((p + ((p9 * (p >> 13) * (p >> 13)) >> 25) + ((p8 * p) >> 19)) >> 8) + (p7 << 4)


def humidity_in_integers(trim: Trim, adc_h: int, fine: int) -> int:
    """Return 1/1024 percent."""
    h1, h2, h3, h4, h5, h6 = trim.h
    v = fine - 76800
    wet = ((adc_h << 14) - (h4 << 20) - h5 * v + 16384) >> 15
    slope = (((((v * h6) >> 10) * (((v * h3) >> 11) + 32768)) >> 10) + 2097152) * h2 + 8192 >> 14
    v = wet * slope
    v -= ((((v >> 15) * (v >> 15)) >> 7) * h1) >> 4
    return min(max(v, 0), 419430400) >> 12


def test_the_worked_example_of_the_data_sheet() -> None:
    fine = EXAMPLE.temperature_fine(ADC_T)
    temperature, _, pressure = EXAMPLE.compensate(ADC_T, ADC_P, ADC_H)
    assert int(fine) == 128422
    assert round(temperature, 2) == 25.08, f"{temperature} degC"
    assert round(pressure, 2) == 100653.27, f"{pressure} Pa"
    assert round(float(np.float32(pressure)), 2) == 100653.27


def near(word: int, part: float = 0.15) -> st.SearchStrategy[int]:
    spread = max(2, int(abs(word) * part))
    return st.integers(word - spread, word + spread)


WORDS = st.builds(
    Trim,
    st.tuples(*map(near, T_WORDS)),
    st.tuples(*map(near, P_WORDS)),
    st.tuples(st.integers(60, 90), near(370), st.integers(0, 3), near(313), near(50), near(30)),
)


@given(trim=WORDS, degc=st.floats(-40, 85), pa=st.integers(300_000, 600_000), adc_h=st.integers(1, 65534))
def test_the_formulas_agree_with_those_in_integers(trim: Trim, degc: float, pa: int, adc_h: int) -> None:
    # the raw value whose temperature is about `degc`: the sensor's range, not the converter's
    adc_t = round((degc * 5120 / trim.t[1] + trim.t[0] / 1024) * 16384)
    temperature, humidity, pressure = trim.compensate(adc_t, pa, adc_h)
    fine = fine_in_integers(trim, adc_t)
    exact = trim.temperature_fine(adc_t)
    assert abs(exact - fine) <= 18, f"{exact} and {fine} / 5120 degC: more than the shifts lose"
    assert abs(temperature - ((fine * 5 + 128) >> 8) / 100) < 0.01
    # from the same t_fine, so that what is compared is one formula at a time
    whole = pressure_in_integers(trim, pa, fine) / 256
    found = trim.pressure_pa(pa, fine)
    assert abs(found - whole) < 0.2, f"{found} and {whole} Pa: the shifts of p lose 0.1 Pa"
    wet = humidity_in_integers(trim, adc_h, fine) / 1024
    found = trim.humidity_percent(adc_h, fine)
    assert abs(found - wet) < 0.05, f"{found} and {wet} percent"
    assert 0 <= humidity <= 100
    assert abs(pressure - whole) < 2, f"{pressure} and {whole} Pa, from t_fine with a fraction"


class Untrimmed(Bme280Model):
    """One whose trimming words are `trim`."""

    trim = trim_bytes(EXAMPLE)

    def reset(self) -> None:
        super().reset()
        self.registers[0x88:0xA2], self.registers[0xE1:0xE8] = self.trim


def bare(
    kind: type[Bme280Model] = Bme280Model, rate_error_ppm: float = 0.0
) -> tuple[Bme280Model, CountingPlace]:
    clock = SimClock()
    chip = kind(now_ns=clock.now_ns, rate_error_ppm=rate_error_ppm)
    return chip, CountingPlace(chip, clock)


def climate(
    settings: Bme280Settings | None = None, rate_error_ppm: float = 0.0
) -> tuple[Bme280, Bme280Model, CountingPlace]:
    chip, place = bare(rate_error_ppm=rate_error_ppm)
    chip.raw = (ADC_T, ADC_P, ADC_H)
    driver = (settings or Bme280Settings()).make()
    place.finish(driver.set_up(place))
    place.spent()
    return driver, chip, place


def measure(driver: Bme280, place: CountingPlace) -> list[float]:
    driver.start(place, 0)
    place.wait(driver.conversion_s(0))
    arrays = driver.collect(place, 0)
    assert all(values.shape == (1, 1) and values.dtype == np.float32 for values in arrays)
    return [float(values[0, 0]) for values in arrays]


def test_the_example_through_the_whole_driver() -> None:
    driver, _, place = climate()
    temperature, humidity, pressure = measure(driver, place)
    assert (round(temperature, 2), round(pressure, 2)) == (25.08, 100653.27)
    wanted = humidity_in_integers(Trim(T_WORDS, P_WORDS, HUMIDITY_TRIM), ADC_H, 128422) / 1024
    assert humidity == pytest.approx(wanted, abs=0.02)
    names = [(s.spec.name, s.spec.unit.value, s.spec.rate_hz, s.spec.sample_bits) for s in driver.streams]
    assert names == [
        ("temperature", "degC", 1.0, 16),
        ("humidity", "percent", 1.0, 16),
        ("air_pressure", "Pa", 1.0, 16),
    ]


@pytest.mark.parametrize(
    ("found", "name"), [(0x58, "BMP280"), (0x61, "BME680"), (0xFF, "0xFF"), (0x00, "0x00")]
)
def test_a_relative_is_named(found: int, name: str) -> None:
    chip, place = bare()
    chip.identity = found
    with pytest.raises(ChipError) as error:
        Bme280.identify(place)
    assert error.value.kind is FaultKind.WRONG_CHIP
    assert name in error.value.got


def test_a_climate_chip_is_identified() -> None:
    _, place = bare()
    Bme280.identify(place)


@given(h4=st.integers(-2048, 2047), h5=st.integers(-2048, 2047), h2=st.integers(-32768, 32767))
def test_words_that_share_a_byte_are_taken_apart(h4: int, h5: int, h2: int) -> None:
    trim = Trim(T_WORDS, P_WORDS, (200, h2, 255, h4, h5, -1))
    assert Trim.parse(*trim_bytes(trim)) == trim


@pytest.mark.parametrize("filling", [0x00, 0xFF])
@pytest.mark.parametrize("part", [0, 1])
def test_trimming_words_that_nobody_measured_are_refused(filling: int, part: int) -> None:
    chip, place = bare(Untrimmed)
    first, second = trim_bytes(EXAMPLE)
    trim = (bytes([filling]) * 26, second) if part == 0 else (first, bytes([filling]) * 7)
    chip.trim = trim  # type: ignore[attr-defined]
    with pytest.raises(ChipError) as error:
        place.finish(Bme280Settings().make().set_up(place))
    assert error.value.kind is FaultKind.BAD_DATA
    assert f"0x{filling:02X}" in error.value.got


def test_trimming_words_that_differ_the_second_time_are_refused() -> None:
    chip, place = bare()
    give, reads = chip.give, []

    def flickering(count: int) -> bytes:
        first = chip.pointer
        answer = give(count)
        if first == 0x88:
            reads.append(answer)
            answer = answer[:3] + bytes([answer[3] ^ len(reads)]) + answer[4:]
        return answer

    chip.give = flickering  # type: ignore[method-assign]
    with pytest.raises(ChipError) as error:
        place.finish(Bme280Settings().make().set_up(place))
    assert error.value.kind is FaultKind.BAD_DATA


def test_a_measurement_that_is_not_over_is_not_ready() -> None:
    driver, _, place = climate(rate_error_ppm=-200_000)
    driver.start(place, 0)
    place.wait(driver.conversion_s(0))
    with pytest.raises(NotReady):
        driver.collect(place, 0)
    place.wait(driver.conversion_s(0) / 4)
    driver.collect(place, 0)


def test_a_round_and_a_check_cost_what_they_say() -> None:
    driver, _, place = climate()
    measure(driver, place)
    assert place.spent() == driver.round_cost
    driver.check(place)
    assert place.spent() == driver.check_cost


@pytest.mark.parametrize(
    "raw",
    [
        (0x80000, 0x80000, 0x8000),
        (0, ADC_P, ADC_H),
        (ADC_T, 0, ADC_H),
        (ADC_T, ADC_P, 0),
        (0xFFFF0, ADC_P, ADC_H),
        (ADC_T, 0xFFFFF, ADC_H),
        (ADC_T, ADC_P, 0xFFFF),
    ],
)
def test_what_no_measurement_gives_is_no_value(raw: tuple[int, int, int]) -> None:
    driver, chip, place = climate()
    chip.raw = raw
    with pytest.raises(ChipError) as error:
        measure(driver, place)
    assert error.value.kind is FaultKind.BAD_DATA


def test_a_temperature_that_reads_like_a_skipped_one_is_a_temperature() -> None:
    driver, chip, place = climate()
    chip.raw = (0x80000, ADC_P, ADC_H)
    temperature, _, _ = measure(driver, place)
    assert temperature == pytest.approx(26.46, abs=0.01), f"{temperature} degC"


def test_power_lost_between_start_and_collect_gives_no_sample() -> None:
    driver, chip, place = climate()
    driver.start(place, 0)
    chip.power_cycle()
    place.wait(driver.conversion_s(0))
    with pytest.raises(ChipError) as error:
        driver.collect(place, 0)
    assert error.value.kind is FaultKind.REGISTERS
    with pytest.raises(ChipError) as error:
        driver.check(place)
    assert error.value.kind is FaultKind.REGISTERS


@pytest.mark.parametrize(("register", "value"), [(0xF2, 0x05), (0xF4, 0x27), (0xF4, 0x24), (0xF5, 0x10)])
def test_any_setting_that_changes_is_seen(register: int, value: int) -> None:
    driver, _, place = climate(Bme280Settings(pressure_oversampling=4))
    driver.check(place)
    place.write_register(register, value)
    with pytest.raises(ChipError) as error:
        driver.check(place)
    assert error.value.kind is FaultKind.REGISTERS
    assert f"0x{register:02X}" in error.value.doing


def test_a_check_during_a_measurement_is_allowed() -> None:
    driver, _, place = climate()
    driver.start(place, 0)
    driver.check(place)


def test_a_line_that_nobody_drives_is_no_measurement() -> None:
    driver, chip, place = climate()
    driver.start(place, 0)
    place.wait(driver.conversion_s(0))
    chip.all_ones = True
    with pytest.raises(ChipError):
        driver.collect(place, 0)


def test_the_longest_time_of_a_measurement() -> None:
    # 9.1, longest: 1.25 + 2.3 · 2 + (2.3 · 16 + 0.575) + (2.3 · 1 + 0.575) ms
    settings = Bme280Settings(temperature_oversampling=2, pressure_oversampling=16)
    assert settings.make().conversion_s(0) == pytest.approx(0.0461)
    assert bme280.Bme280Settings().make().conversion_s(0) == pytest.approx(0.0093)


def test_what_a_climate_chip_cannot_do_is_refused() -> None:
    with pytest.raises(ConfigError, match="at most 21"):
        Bme280Settings(temperature_oversampling=2, pressure_oversampling=16, rate_hz=30.0).make()
    with pytest.raises(ConfigError, match="three names"):
        Bme280Settings(humidity="temperature").make()
    for table in ({"address": 0x70}, {"humidity_oversampling": 3}, {"rate_hz": 0}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({"chip": "BME280"} | table, Bme280Settings)
