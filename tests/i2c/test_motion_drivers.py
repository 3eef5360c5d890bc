"""ADXL345, ADXL355, LIS3DH, MPU-6050: what they are told, what they answer, what their drivers make of it."""

from __future__ import annotations

import numpy as np
import pytest

from agent.blocks import FaultKind
from agent.sources.drivers import mpu6050
from agent.sources.drivers.base import BusCost, ChipError, Waiting
from tests.i2c.motion_bench import DRIVERS, Bench, every_chip


@every_chip
def test_the_right_chip_is_identified(name: str) -> None:
    bench = Bench(name)
    DRIVERS[name][0].identify(bench.place)


@every_chip
@pytest.mark.parametrize("found", [0x00, 0x48, 0xFF])
def test_another_chip_is_refused_by_its_number(name: str, found: int) -> None:
    bench = Bench(name)
    bench.chip.identity = found
    with pytest.raises(ChipError) as error:
        DRIVERS[name][0].identify(bench.place)
    assert error.value.kind is FaultKind.WRONG_CHIP
    assert f"{found:02X}" in error.value.got


def test_a_successor_is_named() -> None:
    bench = Bench("MPU-6050")
    bench.chip.identity = 0x70
    with pytest.raises(ChipError, match="MPU-6500"):
        mpu6050.Mpu6050.identify(bench.place)


@every_chip
def test_a_line_that_nobody_drives_is_no_chip(name: str) -> None:
    bench = Bench(name).set_up()
    bench.chip.all_ones = True
    for ask in (bench.driver.identify, bench.driver.check, bench.driver.look):
        with pytest.raises(ChipError):
            ask(bench.place)
    with pytest.raises(ChipError):
        bench.place.finish(bench.driver.set_up(bench.place))


@every_chip
def test_the_first_sample_after_setting_up_is_a_new_one(name: str) -> None:
    bench = Bench(name).set_up()
    bench.wait_for(40)
    bench.driver.look(bench.place)
    bench.place.finish(bench.driver.set_up(bench.place))
    assert bench.driver.look(bench.place).count <= 1
    bench.wait_for(3)
    waiting = bench.driver.look(bench.place)
    assert not waiting.overflowed
    made = bench.chip.made
    numbers = bench.numbers(waiting.count)
    assert numbers == list(range(made - waiting.count, made)), f"{numbers} of {made}"


@every_chip
@pytest.mark.parametrize("mess", [0x55, 0xAA, 0xFF])
def test_setting_up_works_after_any_mess(name: str, mess: int) -> None:
    bench = Bench(name)
    first, last = {"ADXL345": (0x1D, 0x38), "MPU-6050": (0x19, 0x6A)}.get(name, (0x1E, 0x2E))
    for register in range(first, last + 1):
        bench.chip.write(bytes((register, mess)))
    bench.set_up()
    bench.driver.check(bench.place)
    bench.wait_for(5)
    assert 4 <= bench.driver.look(bench.place).count <= 6


WANTED: dict[str, dict[int, int]] = {
    "ADXL345": {0x1E: 0, 0x2C: 0x0B, 0x2D: 0x08, 0x2E: 0, 0x31: 0x0B, 0x38: 0x80},
    "ADXL355": {0x1E: 0, 0x28: 4, 0x29: 0x60, 0x2B: 0, 0x2C: 0x83, 0x2D: 0, 0x2E: 0},
    "LIS3DH": {0x1F: 0, 0x20: 0x67, 0x21: 0, 0x23: 0xB0, 0x24: 0x40, 0x2E: 0x80, 0x3E: 0},
    "MPU-6050": {0x19: 4, 0x1A: 2, 0x1B: 0x10, 0x1C: 0x18, 0x23: 0x78, 0x6A: 0x40, 0x6B: 1, 0x6C: 0},
}


@every_chip
def test_the_registers_are_as_the_data_sheet_wants_them(name: str) -> None:
    bench = Bench(name).set_up()
    found = {register: bench.chip.registers[register] for register in WANTED[name]}
    assert found == WANTED[name]


@pytest.mark.parametrize(("name", "register"), [(n, r) for n, wanted in WANTED.items() for r in wanted])
def test_a_setting_that_was_lost_is_seen(name: str, register: int) -> None:
    bench = Bench(name).set_up()
    bench.driver.check(bench.place)
    bench.chip.registers[register] ^= 0x01
    with pytest.raises(ChipError) as error:
        bench.driver.check(bench.place)
    assert error.value.kind is FaultKind.REGISTERS
    assert f"0x{register:02X}" in error.value.doing


@every_chip
def test_a_chip_that_lost_its_power_is_seen_and_set_up_again(name: str) -> None:
    bench = Bench(name).set_up()
    bench.chip.power_cycle()
    with pytest.raises(ChipError) as error:
        bench.driver.check(bench.place)
    assert error.value.kind is FaultKind.REGISTERS
    bench.set_up()
    bench.driver.check(bench.place)


@every_chip
def test_a_register_that_does_not_hold_fails_the_set_up(name: str) -> None:
    bench = Bench(name)
    write = bench.chip.write
    deaf = {"ADXL345": 0x2C, "ADXL355": 0x2C, "LIS3DH": 0x20, "MPU-6050": 0x1C}[name]

    def write_all_but_one(data: bytes) -> bool:
        answer: bool = write(data)
        bench.chip.registers[deaf] = 0x25
        return answer

    bench.chip.write = write_all_but_one
    with pytest.raises(ChipError) as error:
        bench.set_up()
    assert error.value.kind is FaultKind.REGISTERS


@every_chip
def test_costs_are_what_the_bus_counts(name: str) -> None:
    bench = Bench(name).set_up()
    bench.driver.check(bench.place)
    assert bench.place.spent() == bench.driver.check_cost
    bench.wait_for(30)
    waiting = bench.driver.look(bench.place)
    assert bench.place.spent() == bench.driver.look_cost
    assert waiting.count >= 30
    for count in (1, 28):
        bench.driver.take(bench.place, count)
        assert bench.place.spent() == bench.driver.take_cost(count), f"{count} samples"
    assert bench.driver.take_cost(0) == BusCost(0, 0)
    assert bench.driver.take_cost(1).transfers == 1


@every_chip
def test_no_transaction_is_too_long(name: str) -> None:
    driver = Bench(name).driver
    assert 1 <= driver.burst <= driver.depth
    one = driver.take_cost(driver.burst)
    assert one.transfers == 1 and one.octets <= 255


@every_chip
def test_an_overflow_is_seen_and_mended(name: str) -> None:
    bench = Bench(name).set_up()
    bench.wait_for(bench.driver.depth - 2)
    assert not bench.driver.look(bench.place).overflowed
    bench.wait_for(10)
    assert bench.driver.look(bench.place).overflowed
    bench.driver.restart(bench.place)
    bench.driver.check(bench.place)
    assert bench.driver.look(bench.place).count <= 1
    made = bench.chip.made
    bench.wait_for(2)
    waiting = bench.driver.look(bench.place)
    assert not waiting.overflowed
    first = bench.numbers(waiting.count)[0]
    assert made - 1 <= first, f"sample {first}, restarted after {made}"


@every_chip
def test_a_thousand_samples_come_in_order(name: str) -> None:
    bench = Bench(name).set_up()
    numbers: list[int] = []
    for k in range(100):
        bench.wait_for(1 + k % 19)
        waiting = bench.driver.look(bench.place)
        assert not waiting.overflowed
        numbers += bench.numbers(waiting.count)
    assert len(numbers) > 900
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_an_mpu6050_out_of_step_is_noticed() -> None:
    """A read that ends half-way and is begun anew leaves a part of a sample in front, for ever."""
    bench = Bench("MPU-6050").set_up()
    bench.wait_for(4)
    bench.place.read_registers(mpu6050.FIFO_R_W, 5)
    said = []
    for _ in range(mpu6050.TORN_LOOKS):
        waiting = bench.driver.look(bench.place)
        said.append(waiting.overflowed)
        bench.driver.take(bench.place, waiting.count)
        bench.wait_for(3)
    assert said == [False] * (mpu6050.TORN_LOOKS - 1) + [True]
    bench.driver.restart(bench.place)
    bench.wait_for(3)
    waiting = bench.driver.look(bench.place)
    assert not waiting.overflowed
    numbers = bench.numbers(waiting.count)
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_an_adxl345_that_fills_up_while_it_is_read_says_so() -> None:
    bench = Bench("ADXL345").set_up()
    bench.wait_for(20)
    count = bench.driver.look(bench.place).count
    bench.driver.take(bench.place, count - 5)
    bench.wait_for(40)
    with pytest.raises(ChipError) as error:
        bench.driver.take(bench.place, 5)
    assert error.value.kind is FaultKind.OVERFLOW


def test_an_adxl345_of_another_range_gives_no_sample() -> None:
    bench = Bench("ADXL345").set_up()
    bench.wait_for(5)
    bench.driver.look(bench.place)
    bench.chip.registers[0x31] = 0
    with pytest.raises(ChipError) as error:
        bench.driver.take(bench.place, 1)
    assert error.value.kind is FaultKind.REGISTERS


def test_an_overflow_of_an_mpu6050_is_seen_after_part_of_it_was_read() -> None:
    bench = Bench("MPU-6050").set_up()
    bench.wait_for(90)
    bench.driver.take(bench.place, 50)
    assert bench.driver.look(bench.place).overflowed


class Answers:
    """A place that answers each register with the same bytes."""

    address = 0x10

    def __init__(self, answers: dict[int, bytes]) -> None:
        self.answers = answers

    def read_registers(self, register: int, count: int = 1) -> bytes:
        assert len(self.answers[register]) == count
        return self.answers[register]


def test_a_sample_that_is_being_written_is_no_overflow() -> None:
    mpu6050 = Bench("MPU-6050").driver
    assert mpu6050.look(Answers({0x72: b"\x00\x1e", 0x3A: b"\x01"})) == Waiting(2)
    assert mpu6050.look(Answers({0x72: b"\x00\x1e", 0x3A: b"\x11"})) == Waiting(2, overflowed=True)
    adxl355 = Bench("ADXL355").driver
    assert [adxl355.look(Answers({0x04: bytes((0, n))})).count for n in (11, 12, 13, 96)] == [3, 4, 4, 32]


@pytest.mark.parametrize(
    ("source", "waiting"),
    [(0x20, Waiting(0)), (0x01, Waiting(1)), (0x9F, Waiting(31)), (0xDF, Waiting(32, overflowed=True))],
)
def test_thirty_one_and_the_overrun_are_a_full_fifo(source: int, waiting: Waiting) -> None:
    assert Bench("LIS3DH").driver.look(Answers({0x2E | 0x80: bytes((0x80, source))})) == waiting


def test_an_overrun_from_before_the_fifo_was_emptied_is_none() -> None:
    driver = Bench("ADXL345").set_up().driver
    sample = Answers({0x30: bytes((0x83, 0x0B, 0x00, 0x10, 0xFF, 0xFF, 0xFF, 0x0F))})
    assert driver.take(sample, 1)[0].tolist() == [[4096, -1, 4095]]
    with pytest.raises(ChipError) as error:
        driver.take(sample, 1)
    assert error.value.kind is FaultKind.OVERFLOW


@pytest.mark.parametrize(
    ("word", "count"),
    [(0x00000, 0), (0x7FFFF, 524287), (0x80000, -524288), (0xFFFFF, -1), (0x00001, 1), (0xFFFFE, -2)],
)
def test_twenty_bits_keep_their_sign(word: int, count: int) -> None:
    octets = b"".join((value << 4 | mark).to_bytes(3) for value, mark in ((word, 1), (3, 0), (word, 0)))
    (values,) = Bench("ADXL355").driver.take(Answers({0x11: octets}), 1)
    assert values.dtype == np.int32
    assert values.tolist() == [[count, 3, count]]


def test_sixteen_bits_keep_their_sign() -> None:
    octets = bytes.fromhex("7FFF 8000 FFFF 0000 0001 FFFE")
    accel, gyro = Bench("MPU-6050").driver.take(Answers({0x74: octets}), 1)
    assert (accel.tolist(), gyro.tolist()) == ([[32767, -32768, -1]], [[0, 1, -2]])
    assert accel.dtype == gyro.dtype == np.int16


def test_ten_bits_keep_their_sign() -> None:
    octets = bytes.fromhex("C07F 0080 C0FF")
    (values,) = Bench("LIS3DH").driver.take(Answers({0x28 | 0x80: octets}), 1)
    assert values.dtype == np.int16
    assert values.tolist() == [[511, -512, -1]]


def test_an_adxl345_gives_the_ends_of_its_range() -> None:
    bench = Bench("ADXL345")
    bench.chip.signal = lambda k: ((4095, -4096, k % 1000), (-1, 0, k % 1000))[k % 2]
    bench.set_up()
    bench.wait_for(6)
    bench.driver.look(bench.place)
    (values,) = bench.driver.take(bench.place, 4)
    assert values.dtype == np.int16
    assert np.diff(values[:, 2]).tolist() == [1, 1, 1]
    for x, y, k in values.tolist():
        assert (x, y) == ((4095, -4096), (-1, 0))[k % 2]


@pytest.mark.parametrize("octet", range(2, 36, 3))
@pytest.mark.parametrize("mark", [1, 2])
def test_a_wrong_mark_is_no_sample(octet: int, mark: int) -> None:
    octets = bytearray(b"\x12\x34\x51\x12\x34\x50\x12\x34\x50" * 4)
    driver = Bench("ADXL355").driver
    assert len(driver.take(Answers({0x11: bytes(octets)}), 4)[0]) == 4
    octets[octet] ^= mark
    with pytest.raises(ChipError) as error:
        driver.take(Answers({0x11: bytes(octets)}), 4)
    assert error.value.kind is FaultKind.BAD_DATA


def test_more_samples_than_there_are_is_no_sample() -> None:
    bench = Bench("ADXL355").set_up()
    bench.wait_for(3)
    with pytest.raises(ChipError) as error:
        bench.driver.take(bench.place, bench.driver.look(bench.place).count + 1)
    assert error.value.kind is FaultKind.BAD_DATA


def test_a_fifo_out_of_step_is_brought_into_step_by_setting_up() -> None:
    bench = Bench("ADXL355").set_up()
    bench.wait_for(6)
    bench.driver.look(bench.place)
    bench.place.read_registers(0x11, 3)  # somebody read one axis
    with pytest.raises(ChipError):
        bench.driver.take(bench.place, 3)
    bench.set_up()
    bench.wait_for(5)
    assert len(bench.driver.take(bench.place, 4)[0]) == 4
