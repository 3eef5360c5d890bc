"""The model of the NAU7802 against its data sheet, revision 1.7."""

from __future__ import annotations

import pytest

from scripts.virtual_pi.chips.base import signed
from scripts.virtual_pi.chips.nau7802 import SETTLING, Nau7802
from tests.i2c.simulated_bus import SimClock

MS = 1_000_000
CR, PUR = 0x20, 0x08


def register(chip: Nau7802, at: int, count: int = 1) -> bytes:
    chip.write(bytes((at,)))
    answer = chip.read(count)
    assert answer is not None
    return answer


def sample(chip: Nau7802) -> int:
    return signed(int.from_bytes(register(chip, 0x12, 3)), 24)


def powered() -> tuple[SimClock, Nau7802]:
    clock = SimClock(1_000)
    chip = Nau7802(now_ns=clock.now_ns)
    chip.write(b"\x00\x01")
    chip.write(b"\x00\x86")
    clock.advance(200_000)
    return clock, chip


def converting(rate: int = 3) -> tuple[SimClock, Nau7802]:
    clock, chip = powered()
    chip.write(bytes((0x02, rate << 4)))
    chip.write(b"\x00\x96")
    return clock, chip


def test_reset_values() -> None:
    chip = Nau7802(now_ns=SimClock().now_ns)
    found = {at: register(chip, at)[0] for at in range(0x20) if register(chip, at)[0]}
    assert found == {0x07: 0x80, 0x0E: 0x80, 0x1F: 0x0F}


def test_it_is_ready_200_us_after_the_digital_part_is_powered() -> None:
    clock = SimClock()
    chip = Nau7802(now_ns=clock.now_ns)
    chip.write(b"\x00\x06")
    clock.advance(199_999)
    assert register(chip, 0x00)[0] == 0x06
    clock.advance(1)
    assert register(chip, 0x00)[0] == 0x06 | PUR


def test_while_in_reset_it_takes_nothing() -> None:
    _, chip = powered()
    chip.write(b"\x01\x27")
    chip.write(b"\x00\x01")
    chip.write(b"\x01\x27")
    assert register(chip, 0x01) == b"\x00"
    assert register(chip, 0x00) == b"\x01"


def test_nothing_is_converted_before_cycle_start() -> None:
    clock, chip = powered()
    clock.advance(10**9)
    assert (register(chip, 0x00)[0] & CR, chip.made) == (0, 0)


@pytest.mark.parametrize(("rate", "rate_hz"), [(0, 10), (1, 20), (2, 40), (3, 80), (7, 320)])
def test_rates(rate: int, rate_hz: int) -> None:
    clock, chip = converting(rate)
    clock.advance(10 * 10**9)
    assert chip.made == 10 * rate_hz


def test_a_conversion_is_read_once() -> None:
    clock, chip = converting()
    clock.advance(12_500_000)
    assert register(chip, 0x00)[0] & CR
    first = sample(chip)
    assert register(chip, 0x00)[0] & CR == 0
    assert sample(chip) == first
    assert (chip.given, chip.lost) == (1, 0)
    clock.advance(25 * MS)
    assert chip.lost == 1, "the one before was overwritten"


def test_the_first_conversions_only_come_near() -> None:
    clock, chip = converting()
    chip.signal = lambda k: (1_000_000,)
    values = []
    for _ in range(SETTLING + 2):
        clock.advance(12_500_000)
        values.append(sample(chip))
    assert values == [200_000, 400_000, 600_000, 800_000, 1_000_000, 1_000_000]
    chip.write(b"\x01\x27")
    clock.advance(12_500_000)
    assert sample(chip) == 200_000, "gain and LDO were changed"
    chip.write(b"\x01\x27")
    clock.advance(4 * 12_500_000)
    assert sample(chip) == 1_000_000, "writing the same again changes nothing"


def test_counts_are_recoverable_once_settled() -> None:
    clock, chip = converting()
    clock.advance(SETTLING * 12_500_000)
    seen = []
    for _ in range(50):
        clock.advance(12_500_000)
        seen.append(chip.number_of((sample(chip),)))
    assert seen == list(range(SETTLING, SETTLING + 50))


@pytest.mark.parametrize("value", [0, 1, -1, 0x7FFFFF, -0x800000])
def test_edges_of_two_s_complement(value: int) -> None:
    clock, chip = converting()
    chip.signal = lambda k: (value,)
    clock.advance(10**9)
    assert register(chip, 0x12, 3) == (value & 0xFFFFFF).to_bytes(3)


def test_calibration_takes_time_and_says_how_it_ended() -> None:
    clock, chip = converting()
    chip.write(b"\x02\x34")
    clock.advance(49 * MS)
    assert register(chip, 0x02)[0] == 0x34
    assert chip.made == 0, "no conversions meanwhile"
    chip.write(b"\x02\x34")  # asked for twice, done once
    clock.advance(1 * MS)
    assert register(chip, 0x02)[0] == 0x30
    assert register(chip, 0x03, 3) != b"\0\0\0"
    clock.advance(12_500_000)
    assert chip.made == 1, "it goes on by itself"
    chip.self_test_fails = True
    chip.write(b"\x02\x34")
    clock.advance(50 * MS)
    assert register(chip, 0x02)[0] == 0x38, "CAL_ERR"
    chip.self_test_fails = False
    chip.write(b"\x02\x34")
    clock.advance(50 * MS)
    assert register(chip, 0x02)[0] == 0x30


def test_ways_to_fail() -> None:
    clock, chip = converting()
    clock.advance(10**9)
    chip.saturated = True
    clock.advance(12_500_000)
    assert sample(chip) == 0x7FFFFF
    chip.saturated = False
    chip.frozen = True
    clock.advance(12_500_000)
    still = sample(chip)
    clock.advance(12_500_000)
    assert (sample(chip), register(chip, 0x00)[0] & CR) == (still, 0)
    chip.frozen = False
    chip.stopped = True
    made = chip.made
    clock.advance(10**9)
    assert (chip.made, register(chip, 0x00)[0] & CR) == (made, 0)
    chip.stopped = False
    chip.identity = 0x0E
    assert register(chip, 0x1F) == b"\x0e"
    chip.power_cycle()
    assert register(chip, 0x00, 3) == b"\0\0\0"
    clock.advance(10**9)
    assert chip.made == made
