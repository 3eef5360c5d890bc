"""What all models promise, whatever is done to them in whatever order."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.virtual_pi.chips.ads1115 import Ads1115
from scripts.virtual_pi.chips.adxl345 import Adxl345
from scripts.virtual_pi.chips.adxl355 import Adxl355
from scripts.virtual_pi.chips.base import Chip, number_of, numbered
from scripts.virtual_pi.chips.bme280 import Bme280
from scripts.virtual_pi.chips.lis3dh import Lis3dh
from scripts.virtual_pi.chips.mpu6050 import Mpu6050
from scripts.virtual_pi.chips.nau7802 import Nau7802
from scripts.virtual_pi.chips.sht4x import Sht4x
from tests.i2c.simulated_bus import SimClock

# What sets each chip up to run, and the reads that take samples.
SETS_UP = {
    Adxl345: ((b"\x31\x0b", b"\x2c\x0b", b"\x38\x80", b"\x2d\x08"), (b"\x32", 6)),
    Adxl355: ((b"\x28\x04", b"\x2d\x00"), (b"\x11", 9)),
    Lis3dh: ((b"\x24\x40", b"\x2e\x80", b"\x20\x67"), (b"\xa8", 6)),
    Mpu6050: ((b"\x6b\x01", b"\x1a\x01", b"\x19\x04", b"\x23\x78", b"\x6a\x40"), (b"\x74", 12)),
    Nau7802: ((b"\x00\x86", b"\x02\x70", b"\x00\x96"), (b"\x12", 3)),
    Ads1115: ((b"\x01\x42\xe3",), (b"\x00", 2)),
    Bme280: ((b"\xf2\x01\xf4\x27",), (b"\xf7", 8)),
    Sht4x: ((b"\xfd",), (b"", 6)),
}
ABANDONED: tuple[str, ...] = ("frozen", "saturated", "stopped", "absent", "all_ones")

Step = tuple[str, int]
steps = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.integers(1, 3 * 10**9)),
        st.tuples(st.just("read"), st.integers(1, 60)),
        st.tuples(st.just("set up"), st.just(0)),
        st.tuples(st.just("power"), st.just(0)),
        st.tuples(st.sampled_from(ABANDONED), st.integers(0, 1)),
    ),
    max_size=30,
)


def does(clock: SimClock, chip: Chip, step: Step) -> None:
    what, value = step
    setting_up, (pointer, count) = SETS_UP[type(chip)]
    if what == "wait":
        clock.advance(value)
    elif what == "read":
        for _ in range(value):
            chip.write(pointer)
            chip.read(count)
    elif what == "set up":
        for message in setting_up:
            chip.write(message)
    elif what == "power":
        chip.power_cycle()
    else:
        setattr(chip, what, bool(value))


@pytest.mark.parametrize("kind", SETS_UP)
@given(steps=steps)
def test_every_sample_is_given_lost_thrown_away_or_waits(
    kind: Callable[..., Chip], steps: list[Step]
) -> None:
    clock = SimClock()
    chip = kind(now_ns=clock.now_ns, rate_error_ppm=-7_000)
    does(clock, chip, ("set up", 0))
    made = 0
    for step in steps:
        does(clock, chip, step)
        assert chip.made == chip.given + chip.lost + chip.discarded + chip.waiting, step
        assert chip.made >= made
        made = chip.made
    times = [chip.time_ns(k) for k in range(max(0, made - 200), made)]
    assert times == sorted(set(times))
    assert all(0 <= time_ns <= clock.now_ns() for time_ns in times), times[-3:]


@pytest.mark.parametrize("kind", SETS_UP)
@given(waits=st.lists(st.integers(1, 10**9), max_size=20))
def test_it_does_not_matter_how_often_one_looks(kind: Callable[..., Chip], waits: list[int]) -> None:
    clock = SimClock()
    watched, alone = (kind(now_ns=clock.now_ns, rate_error_ppm=3_333) for _ in range(2))
    for chip in (watched, alone):
        does(clock, chip, ("set up", 0))
    for wait_ns in waits:
        clock.advance(wait_ns)
        assert watched.made >= 0
    assert watched.made == alone.made
    assert (watched.lost, watched.waiting) == (alone.lost, alone.waiting)
    pointer, count = SETS_UP[type(watched)][1]
    for _ in range(3):
        assert watched.write(pointer) == alone.write(pointer)
        assert watched.read(count) == alone.read(count)


@pytest.mark.parametrize(("axes", "bits"), [(1, 24), (2, 16), (3, 8), (3, 10), (3, 20), (6, 16)])
def test_the_default_signal_has_its_number_in_it_and_moves(axes: int, bits: int) -> None:
    signal = numbered(axes, bits)
    capacity = 1 << (bits - 1 + (axes - 1) * (bits - 2))
    before: tuple[int, ...] = (0,) * axes
    for k in (*range(600), *range(99_990, 100_010), capacity - 1):
        values = signal(k)
        assert number_of(values, bits) == k
        assert all(-(1 << (bits - 2)) <= value < 1 << (bits - 2) for value in values), values
        assert (
            k == 0 or all(a != b for a, b in zip(values, before, strict=True)) or k in (99_990, capacity - 1)
        )
        before = values
