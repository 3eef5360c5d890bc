"""The models of ADXL355, LIS3DH and MPU-6050 against their data sheets."""

from __future__ import annotations

import pytest

from scripts.virtual_pi.chips.adxl355 import Adxl355
from scripts.virtual_pi.chips.base import Chip, RegisterChip, signed
from scripts.virtual_pi.chips.lis3dh import Lis3dh
from scripts.virtual_pi.chips.mpu6050 import Mpu6050, accel_trim, gyro_trim
from tests.i2c.simulated_bus import SimClock

MS = 1_000_000


def register(chip: Chip, at: int, count: int = 1) -> bytes:
    chip.write(bytes((at,)))
    answer = chip.read(count)
    assert answer is not None
    return answer


def non_zero(chip: RegisterChip, end: int) -> dict[int, int]:
    return {at: value for at in range(end) if (value := register(chip, at)[0])}


def balance(chip: Chip) -> None:
    parts = (chip.given, chip.lost, chip.discarded, chip.waiting)
    assert chip.made == sum(parts), f"{chip.made} made, given + lost + discarded + waiting {parts}"


# ADXL355


def adxl355(rate: int = 4) -> tuple[SimClock, Adxl355]:
    clock = SimClock(99)
    chip = Adxl355(now_ns=clock.now_ns)
    chip.write(bytes((0x28, rate)))
    chip.write(b"\x2d\x00")
    return clock, chip


def sets(data: bytes) -> list[tuple[int, ...]]:
    """Return the sets of three; all markers must be right."""
    found = []
    for at in range(0, len(data), 9):
        words = [int.from_bytes(data[at + i : at + i + 3]) for i in (0, 3, 6)]
        assert [word & 0x0F for word in words] == [1, 0, 0], f"markers at {at}: {data[at : at + 9].hex()}"
        found.append(tuple(signed(word >> 4, 20) for word in words))
    return found


def data_words(chip: Adxl355) -> list[int]:
    data = register(chip, 0x08, 9)
    return [int.from_bytes(data[at : at + 3]) for at in (0, 3, 6)]


def test_adxl355_reset_values() -> None:
    clock = SimClock()
    chip = Adxl355(now_ns=clock.now_ns)
    expected = {0x00: 0xAD, 0x01: 0x1D, 0x02: 0xED, 0x03: 0x01, 0x06: 0x07, 0x07: 0x5D}
    expected |= {0x29: 0x60, 0x2C: 0x81, 0x2D: 0x01}
    assert non_zero(chip, 0x30) == expected
    clock.advance(10**9)
    assert chip.made == 0


def test_adxl355_gives_many_sets_a_read() -> None:
    clock, chip = adxl355()
    clock.advance(40 * MS)
    assert register(chip, 0x05)[0] == 30
    assert register(chip, 0x04)[0] & 0x05 == 0x01
    assert register(chip, 0x04)[0] & 0x05 == 0x00, "DATA_RDY was read"
    assert chip.number_of([signed(word >> 4, 20) for word in data_words(chip)]) == 9, "the newest"
    assert [chip.number_of(values) for values in sets(register(chip, 0x11, 90))] == list(range(10))
    assert register(chip, 0x05)[0] == 0
    assert register(chip, 0x11, 3)[2] & 0x02, "the empty indicator"
    balance(chip)


def test_adxl355_counts_words_and_gives_the_rest_of_a_set() -> None:
    clock, chip = adxl355()
    chip.signal = lambda k: (k, -k, 100 + k)
    clock.advance(8 * MS)
    assert register(chip, 0x11, 3) == b"\x00\x00\x01"
    assert register(chip, 0x05)[0] == 5
    data = register(chip, 0x11, 15)
    assert [data[at + 2] & 1 for at in (0, 3, 6, 9, 12)] == [0, 0, 1, 0, 0]
    assert data[9:12] == b"\xff\xff\xf0", "-1 in 20 bits"


def test_adxl355_overflow() -> None:
    clock, chip = adxl355()
    clock.advance(4 * MS * 32)
    assert (register(chip, 0x05)[0], register(chip, 0x04)[0] & 6, chip.lost) == (96, 2, 0)
    clock.advance(4 * MS * 5)
    assert (register(chip, 0x05)[0], chip.lost) == (96, 5)
    assert register(chip, 0x04)[0] & 4
    assert register(chip, 0x04)[0] & 4 == 0, "reading it clears it"
    assert [chip.number_of(values) for values in sets(register(chip, 0x11, 288))] == list(range(5, 37))
    balance(chip)


def test_adxl355_standby_resets_the_fifo_and_guards_the_filter() -> None:
    clock, chip = adxl355()
    chip.write(b"\x28\x00")
    assert register(chip, 0x28) == b"\x04"
    clock.advance(40 * MS)
    chip.write(b"\x2d\x01")
    assert (register(chip, 0x05), chip.discarded) == (b"\0", 10)
    chip.write(b"\x28\x00")
    assert register(chip, 0x28) == b"\x00"


@pytest.mark.parametrize("value", [0, 1, -1, 0x7FFFF, -0x80000])
def test_adxl355_sign_of_20_bits(value: int) -> None:
    clock, chip = adxl355()
    chip.signal = lambda k: (value,) * 3
    clock.advance(4 * MS)
    raw = ((value & 0xFFFFF) << 4).to_bytes(3)
    assert register(chip, 0x08, 9) == raw * 3
    assert sets(register(chip, 0x11, 9)) == [(value,) * 3]


def test_adxl355_self_test_damage_and_reset() -> None:
    clock, chip = adxl355()
    chip.signal = lambda k: (0, 0, 1000)
    clock.advance(4 * MS)
    chip.write(b"\x2e\x03")
    clock.advance(4 * MS)
    before, after = sets(register(chip, 0x11, 18))
    moved_g = [(b - a) / 256_000 for a, b in zip(before, after, strict=True)]
    assert before == (0, 0, 1000)
    assert moved_g == pytest.approx([0.3, 0.3, 1.5], abs=1e-5)
    chip.damage = True
    clock.advance(4 * MS)
    assert [byte & 1 for byte in register(chip, 0x11, 9)[2::3]] == [0, 1, 0]
    chip.identity = 0xEC
    assert register(chip, 0x02) == b"\xec"
    shadow = register(chip, 0x50, 5)
    assert any(shadow)
    chip.write(b"\x2f\x52")
    assert (register(chip, 0x2D), register(chip, 0x50, 5)) == (b"\x01", shadow)


# LIS3DH


def lis3dh(control4: int = 0x08, control1: int = 0x67, mode: int = 0x80) -> tuple[SimClock, Lis3dh]:
    clock = SimClock(99)
    chip = Lis3dh(now_ns=clock.now_ns)
    for at, value in ((0x23, control4), (0x24, 0x40), (0x2E, mode), (0x20, control1)):
        chip.write(bytes((at, value)))
    return clock, chip


def lis3dh_samples(chip: Lis3dh, count: int) -> list[tuple[int, ...]]:
    data = register(chip, 0xA8, 6 * count)
    drop = 16 - chip.bits
    values = [signed(int.from_bytes(data[i : i + 2], "little"), 16) for i in range(0, len(data), 2)]
    assert not any(value & ((1 << drop) - 1) for value in values), "left-justified"
    return [tuple(value >> drop for value in values[i : i + 3]) for i in range(0, len(values), 3)]


def test_lis3dh_reset_values() -> None:
    chip = Lis3dh(now_ns=SimClock().now_ns)
    assert non_zero(chip, 0x40) == {0x0F: 0x33, 0x1E: 0x10, 0x20: 0x07, 0x2F: 0x20}


@pytest.mark.parametrize(("control1", "control4", "bits"), [(0x6F, 0, 8), (0x67, 0, 10), (0x67, 8, 12)])
def test_lis3dh_one_read_gives_many(control1: int, control4: int, bits: int) -> None:
    clock, chip = lis3dh(control4, control1)
    clock.advance(50 * MS)
    assert chip.bits == bits
    assert register(chip, 0x2F)[0] & 0x7F == 10
    assert [chip.number_of(values) for values in lis3dh_samples(chip, 10)] == list(range(10))
    assert register(chip, 0x2F)[0] == 0x20
    balance(chip)


def test_lis3dh_counts_on_only_with_bit_7() -> None:
    clock, chip = lis3dh()
    clock.advance(5 * MS)
    assert register(chip, 0x0F, 3) == b"\x33" * 3
    assert register(chip, 0x9E, 3) == b"\x10\x00\x67"
    chip.write(b"\xb2\x05\x06")
    assert register(chip, 0xB2, 2) == b"\x05\x06"
    chip.write(b"\x32\x07\x08")
    assert register(chip, 0xB2, 2) == b"\x08\x06"


def test_lis3dh_source_says_full_at_32_and_loses_the_oldest() -> None:
    clock, chip = lis3dh()
    clock.advance(31 * 5 * MS)
    assert register(chip, 0x2F)[0] & 0x5F == 31
    clock.advance(5 * MS)
    assert (register(chip, 0x2F)[0] & 0x5F, chip.lost) == (0x40 | 31, 0)
    clock.advance(3 * 5 * MS)
    assert chip.lost == 3
    assert chip.number_of(lis3dh_samples(chip, 1)[0]) == 3
    assert register(chip, 0x2F)[0] & 0x5F == 31, "one was read, the overrun bit is gone"
    balance(chip)


def test_lis3dh_without_fifo_goes_on_behind_the_data() -> None:
    clock, chip = lis3dh(mode=0x00)
    clock.advance(12 * MS)
    assert register(chip, 0x27)[0] == 0xFF, "new data, and some overwritten"
    assert register(chip, 0xA8, 8)[6:] == b"\x00\x20"
    assert (register(chip, 0x27)[0], chip.lost, chip.given) == (0x00, 1, 1)


def test_lis3dh_bypass_empties_the_fifo() -> None:
    clock, chip = lis3dh()
    clock.advance(500 * MS)
    chip.write(b"\x2e\x00")
    chip.write(b"\x2e\x80")
    assert register(chip, 0x2F)[0] == 0x20
    clock.advance(5 * MS)
    assert register(chip, 0x2F)[0] & 0x5F == 1
    balance(chip)


@pytest.mark.parametrize(("control4", "moved"), [(0x02, 100), (0x04, -100), (0x0A, 400), (0x12, 50)])
def test_lis3dh_self_test(control4: int, moved: int) -> None:
    clock, chip = lis3dh(control4=control4 & ~0x06)
    chip.signal = lambda k: (1, 2, 3)
    clock.advance(5 * MS)
    chip.write(bytes((0x23, control4)))
    clock.advance(5 * MS)
    assert lis3dh_samples(chip, 2) == [(1, 2, 3), (1 + moved, 2 + moved, 3 + moved)]
    chip.self_test_fails = True
    chip.saturated = False
    clock.advance(5 * MS)
    assert lis3dh_samples(chip, 1) == [(1, 2, 3)]
    chip.saturated = True
    clock.advance(5 * MS)
    assert lis3dh_samples(chip, 1) == [((1 << (chip.bits - 1)) - 1,) * 3]


# MPU-6050


def mpu6050(layout: int = 0x78) -> tuple[SimClock, Mpu6050]:
    clock = SimClock(99)
    chip = Mpu6050(now_ns=clock.now_ns, address=0x69)
    for at, value in ((0x6B, 0x01), (0x1A, 0x01), (0x19, 0x04), (0x23, layout), (0x6A, 0x04), (0x6A, 0x40)):
        chip.write(bytes((at, value)))
    return clock, chip


def fifo_count(chip: Mpu6050) -> int:
    return int.from_bytes(register(chip, 0x72, 2))


def frames(chip: Mpu6050, count: int, words: int = 6) -> list[tuple[int, ...]]:
    data = register(chip, 0x74, 2 * words * count)
    values = [signed(int.from_bytes(data[i : i + 2]), 16) for i in range(0, len(data), 2)]
    return [tuple(values[i : i + words]) for i in range(0, len(values), words)]


def test_mpu6050_wakes_up_asleep_and_is_0x68_anywhere() -> None:
    clock = SimClock()
    chip = Mpu6050(now_ns=clock.now_ns, address=0x69)
    assert (register(chip, 0x75), register(chip, 0x6B)) == (b"\x68", b"\x40")
    clock.advance(10**9)
    assert chip.made == 0
    chip.write(b"\x6b\x00")
    clock.advance(10 * MS)
    assert chip.made == 80, "8 kHz without the filter"
    chip.write(b"\x1a\x01")
    clock.advance(10 * MS)
    assert chip.made == 90


def test_mpu6050_data_registers() -> None:
    clock, chip = mpu6050()
    chip.write(b"\x6a\x00")
    clock.advance(20 * MS)
    data = register(chip, 0x3B, 14)
    values = [signed(int.from_bytes(data[i : i + 2]), 16) for i in range(0, 14, 2)]
    temperature = values.pop(3)
    assert chip.number_of(values) == 3
    assert temperature / 340 + 36.53 == pytest.approx(25, abs=0.05)
    assert (chip.given, chip.lost) == (1, 3)
    balance(chip)


def test_mpu6050_fifo() -> None:
    clock, chip = mpu6050()
    clock.advance(50 * MS)
    assert fifo_count(chip) == 120
    clock.advance(5 * MS)
    assert register(chip, 0x73)[0] == 120, "the low byte alone is not taken anew"
    assert fifo_count(chip) == 132
    assert [chip.number_of(values) for values in frames(chip, 11)] == list(range(11))
    last = register(chip, 0x74)
    assert register(chip, 0x74, 3) == last * 3, "an empty FIFO gives the last byte"
    balance(chip)


def test_mpu6050_frames_hold_what_is_enabled_in_the_order_of_the_registers() -> None:
    clock, chip = mpu6050(layout=0xC8)
    chip.signal = lambda k: (1, 2, 3, 4, 5, 6)
    clock.advance(5 * MS)
    assert frames(chip, 1, words=5) == [(1, 2, 3, -3920, 4)]


def test_mpu6050_overflow_breaks_the_alignment() -> None:
    clock, chip = mpu6050()
    clock.advance(85 * 5 * MS)
    assert (fifo_count(chip), register(chip, 0x3A)[0] & 0x10, chip.lost) == (1020, 0, 0)
    clock.advance(5 * MS)
    assert (fifo_count(chip), register(chip, 0x3A)[0] & 0x10, chip.lost) == (1024, 0x10, 1)
    assert register(chip, 0x3A)[0] & 0x10 == 0, "reading it clears it"
    rest = register(chip, 0x74, 4)
    assert len(rest) == 4, "of the oldest frame 8 bytes are gone"
    assert chip.number_of(frames(chip, 1)[0]) == 1
    balance(chip)


@pytest.mark.parametrize("step_ms", [5, 35, 1005, 10_000])
def test_mpu6050_overflow_is_the_same_however_often_one_looks(step_ms: int) -> None:
    clock, chip = mpu6050()
    for _ in range(20_100 // step_ms):
        clock.advance(step_ms * MS)
        balance(chip)
    made = chip.made
    in_front = (made * 12 - 1024) % 12
    assert fifo_count(chip) == 1024
    register(chip, 0x74, (12 - in_front) % 12)
    whole = 1024 // 12
    assert [chip.number_of(v) for v in frames(chip, whole)] == list(range(made - whole, made))
    assert fifo_count(chip) == 0
    balance(chip)


def test_mpu6050_fifo_is_reset_only_while_it_is_off() -> None:
    clock, chip = mpu6050()
    clock.advance(50 * MS)
    chip.write(b"\x6a\x44")
    assert fifo_count(chip) == 120
    chip.write(b"\x6a\x00")
    clock.advance(50 * MS)
    assert fifo_count(chip) == 120, "off, it keeps what it has"
    chip.write(b"\x6a\x04")
    assert (fifo_count(chip), register(chip, 0x6A)) == (0, b"\0")
    balance(chip)


def test_mpu6050_self_test_is_near_the_factory_trim() -> None:
    clock, chip = mpu6050()
    chip.signal = lambda k: (10, 20, 30, 40, 50, 60)
    x, y, z, low = register(chip, 0x0D, 4)
    codes = [x >> 5 << 2 | low >> 4 & 3, y >> 5 << 2 | low >> 2 & 3, z >> 5 << 2 | low & 3]
    assert (codes, [x & 31, y & 31, z & 31]) == ([14, 16, 18], [12, 20, 24])
    chip.write(b"\x1c\x10")  # +-8 g
    clock.advance(5 * MS)
    chip.write(b"\x1b\xe0\xf0")
    clock.advance(5 * MS)
    before, after = frames(chip, 2)
    trims = accel_trim() + gyro_trim()
    changes = [(b - a) / trim - 1 for a, b, trim in zip(before, after, trims, strict=True)]
    assert changes == pytest.approx([0.03] * 6, abs=0.002)
    assert before == (10, 20, 30, 40, 50, 60)
    chip.self_test_fails = True
    clock.advance(5 * MS)
    assert frames(chip, 1) == [before]


def test_mpu6050_ways_to_fail() -> None:
    clock, chip = mpu6050()
    clock.advance(5 * MS)
    chip.saturated = True
    clock.advance(5 * MS)
    first, second = frames(chip, 2)
    assert chip.number_of(first) == 0
    assert second == (0x7FFF,) * 6
    chip.saturated = False
    chip.frozen = True
    clock.advance(10 * MS)
    assert len(set(frames(chip, 2))) == 1
    chip.power_cycle()
    assert register(chip, 0x6B) == b"\x40"
    balance(chip)
    chip.identity = 0x70
    assert register(chip, 0x75) == b"\x70"
