"""The model of the ADXL345 against its data sheet, revision G."""

from __future__ import annotations

import pytest

from scripts.virtual_pi.chips.adxl345 import Adxl345
from scripts.virtual_pi.chips.base import signed
from tests.i2c.simulated_bus import SimClock

MS = 1_000_000


def register(chip: Adxl345, at: int, count: int = 1) -> bytes:
    chip.write(bytes((at,)))
    answer = chip.read(count)
    assert answer is not None
    return answer


def sample(chip: Adxl345) -> tuple[int, ...]:
    data = register(chip, 0x32, 6)
    return tuple(signed(int.from_bytes(data[i : i + 2], "little"), 16) for i in (0, 2, 4))


def measuring(mode: int = 0x80, rate: int = 0x0B, form: int = 0x0B) -> tuple[SimClock, Adxl345]:
    clock = SimClock(5_000)
    chip = Adxl345(now_ns=clock.now_ns)
    for at, value in ((0x31, form), (0x2C, rate), (0x38, mode), (0x2D, 0x08)):
        assert chip.write(bytes((at, value)))
    return clock, chip


def test_reset_values() -> None:
    clock = SimClock()
    chip = Adxl345(now_ns=clock.now_ns)
    found = {at: register(chip, at)[0] for at in range(0x3A) if register(chip, at)[0]}
    assert found == {0x00: 0xE5, 0x2C: 0x0A, 0x30: 0x02}
    chip.write(b"\x00\x12")
    assert register(chip, 0x00) == b"\xe5", "DEVID is read-only"
    clock.advance(10**9)
    assert chip.made == 0, "it sleeps until it is told to measure"


def test_stream_mode_gives_one_sample_a_read_in_order() -> None:
    clock, chip = measuring()
    clock.advance(50 * MS)
    assert register(chip, 0x39)[0] == 10
    assert register(chip, 0x30)[0] & 0x81 == 0x80
    assert [chip.number_of(sample(chip)) for _ in range(10)] == list(range(10))
    assert register(chip, 0x39)[0] == 0
    assert register(chip, 0x30)[0] & 0x80 == 0
    assert chip.number_of(sample(chip)) == 9, "an empty FIFO gives what it gave last"
    assert (chip.made, chip.given, chip.lost) == (10, 10, 0)


def test_samples_come_when_the_oscillator_says() -> None:
    clock = SimClock(777)
    chip = Adxl345(now_ns=clock.now_ns, rate_error_ppm=12_345)
    chip.write(b"\x2c\x0b")
    chip.write(b"\x2d\x08")
    period_ns = 1e9 / (200 * 1.012345)
    assert abs(chip.time_ns(99) - 777 - 100 * period_ns) <= 1
    for k in (0, 1, 99, 12_345, 98_765):
        clock.wait_until(chip.time_ns(k) - 1)
        assert chip.made == k
        clock.advance(1)
        assert chip.made == k + 1


def test_a_full_fifo_says_overrun_before_it_loses_the_oldest() -> None:
    clock, chip = measuring()
    clock.advance(32 * 5 * MS)
    assert (register(chip, 0x39)[0], register(chip, 0x30)[0] & 1, chip.lost) == (32, 1, 0)
    clock.advance(8 * 5 * MS)
    assert (register(chip, 0x39)[0], register(chip, 0x30)[0] & 1, chip.lost) == (32, 1, 8)
    assert chip.number_of(sample(chip)) == 8
    assert register(chip, 0x30)[0] & 1 == 0, "reading the data clears it"
    assert [chip.number_of(sample(chip)) for _ in range(31)] == list(range(9, 40))


def test_fifo_mode_loses_the_newest() -> None:
    clock, chip = measuring(mode=0x40)
    clock.advance(40 * 5 * MS)
    assert [chip.number_of(sample(chip)) for _ in range(32)] == list(range(32))
    clock.advance(5 * MS)
    assert chip.number_of(sample(chip)) == 40
    assert chip.lost == 8


def test_a_read_of_one_byte_costs_the_sample() -> None:
    clock, chip = measuring()
    clock.advance(15 * MS)
    register(chip, 0x32, 1)
    assert chip.number_of(sample(chip)) == 1


def test_status_read_behind_the_data_has_the_pop_in_it() -> None:
    clock, chip = measuring()
    clock.advance(15 * MS)
    assert register(chip, 0x32, 8)[7] == 2


def test_bypass_keeps_one_and_clears_the_fifo() -> None:
    clock, chip = measuring()
    clock.advance(15 * MS)
    chip.write(b"\x38\x00")
    assert chip.discarded == 3
    clock.advance(15 * MS)
    assert (register(chip, 0x39)[0], register(chip, 0x30)[0] & 0x81) == (0, 0x81)
    assert chip.number_of(sample(chip)) == 5
    assert chip.lost == 2
    assert chip.made == chip.given + chip.lost + chip.discarded + chip.waiting


def test_a_day_without_a_look_costs_no_more_than_a_moment() -> None:
    clock, chip = measuring(rate=0x0F)
    clock.advance(86_400 * 10**9)
    assert register(chip, 0x39)[0] == 32
    assert chip.made == 86_400 * 3200
    assert chip.lost == chip.made - 32


@pytest.mark.parametrize(("form", "bits"), [(0x00, 10), (0x03, 10), (0x08, 10), (0x0B, 13)])
def test_saturation_is_the_end_of_the_range(form: int, bits: int) -> None:
    clock, chip = measuring(form=form)
    chip.saturated = True
    clock.advance(5 * MS)
    assert sample(chip) == ((1 << (bits - 1)) - 1,) * 3
    chip.saturated = False
    chip.signal = lambda k: (-99_999, 0, 99_999)
    clock.advance(5 * MS)
    assert sample(chip) == (-(1 << (bits - 1)), 0, (1 << (bits - 1)) - 1)


def test_left_justified() -> None:
    clock, chip = measuring(form=0x0F)
    chip.signal = lambda k: (1, -1, 2)
    clock.advance(5 * MS)
    assert sample(chip) == (8, -8, 16)


def test_self_test_moves_each_axis_within_table_15_from_when_it_is_set() -> None:
    clock, chip = measuring()
    chip.signal = lambda k: (10, 20, 30)
    clock.advance(5 * MS)
    chip.write(b"\x31\x8b")
    clock.advance(5 * MS)
    before, after = sample(chip), sample(chip)
    moved = [b - a for a, b in zip(before, after, strict=True)]
    assert before == (10, 20, 30), "made before it was set"
    assert 50 <= moved[0] <= 540, moved
    assert -540 <= moved[1] <= -50, moved
    assert 75 <= moved[2] <= 875, moved
    chip.self_test_fails = True
    clock.advance(5 * MS)
    assert sample(chip) == (10, 20, 30)


def test_ways_to_fail() -> None:
    clock, chip = measuring()
    clock.advance(5 * MS)
    chip.frozen = True
    clock.advance(20 * MS)
    assert len({sample(chip) for _ in range(5)}) == 1
    assert chip.given == 5, "a frozen chip goes on making samples"
    chip.frozen = False
    chip.stopped = True
    clock.advance(50 * MS)
    assert chip.made == 5
    chip.stopped = False
    clock.advance(5 * MS)
    assert chip.made == 6
    chip.identity = 0x48
    assert register(chip, 0x00) == b"\x48"
    chip.all_ones = True
    assert register(chip, 0x32, 6) == b"\xff" * 6
    chip.all_ones = False
    assert chip.number_of(sample(chip)) == 5
    chip.absent = True
    assert (chip.write(b"\0"), chip.read(1)) == (False, None)


def test_a_power_cycle_forgets_all_but_the_count() -> None:
    clock, chip = measuring()
    clock.advance(50 * MS)
    chip.power_cycle()
    clock.advance(50 * MS)
    assert (register(chip, 0x2C), register(chip, 0x2D), register(chip, 0x39)) == (b"\x0a", b"\0", b"\0")
    assert (chip.made, chip.discarded) == (10, 10)
    chip.write(b"\x2d\x08")
    clock.advance(10 * MS)
    assert chip.number_of(sample(chip)) == 10
    assert chip.time_ns(9) == 5_000 + 50 * MS
    assert chip.time_ns(10) == 5_000 + 110 * MS
