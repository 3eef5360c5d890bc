"""A sensor's oscillator from its sample count: what it settles to, what it sets aside, what it believes."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.sensor_clock import TOLERANCE, SensorClock

FRAME_US = 3_000.0


class Sensor:
    """A sensor whose sample `i` is taken at `offset + i * period` of the board's ticks."""

    def __init__(
        self,
        rate_hz: float,
        *,
        off: float = 0.0,
        jitter_us: float = 200.0,
        outliers: float = 0.01,
        seed: int = 1,
    ) -> None:
        self.clock = SensorClock(1e6 / rate_hz)
        self.period_us = 1e6 / rate_hz * (1 + off)
        self.offset_us = 1_000_000.0
        self.index = 0
        self.chance = random.Random(seed)
        self.jitter_us = jitter_us
        self.outliers = outliers
        self.extra_us = 0.0

    def true_us(self, index: int) -> float:
        return self.offset_us + index * self.period_us

    def frames(self, seconds: float) -> Iterator[float]:
        """Feed frames; yield the error of each newest estimate."""
        end_us = self.true_us(self.index) + seconds * 1e6
        while self.true_us(self.index) < end_us:
            count = max(1, round(FRAME_US / self.period_us))
            late_us = self.chance.uniform(0, self.jitter_us) + self.extra_us
            if self.chance.random() < self.outliers:
                late_us += 50_000
            self.clock.add(self.index, count, int(self.true_us(self.index) + late_us))
            yield self.clock.ticks_us(self.index) - self.true_us(self.index)
            self.index += count

    def feed(self, seconds: float) -> list[float]:
        return list(self.frames(seconds))


@pytest.mark.parametrize(
    ("rate_hz", "off"),
    [(3200.0, 0.0), (3200.0, 0.023), (3200.0, -0.05), (320.0, 0.07), (320.0, -0.1), (80.0, 0.1), (10.0, 0.1)],
)
def test_it_finds_the_period_and_the_time(rate_hz: float, off: float) -> None:
    sensor = Sensor(rate_hz, off=off)
    early = sensor.feed(10.0)
    late = sensor.feed(20.0)
    worst_early_us, worst_us = max(map(abs, early)), max(map(abs, late))
    assert worst_early_us < 52_000, f"{worst_early_us:.0f} µs in the first seconds"
    assert worst_us < (40 if rate_hz > 100 else 220), f"{worst_us:.1f} µs"
    period_ppm = (sensor.clock.period_us / sensor.period_us - 1) * 1e6
    assert abs(period_ppm) < (15 if rate_hz > 100 else 60), f"{period_ppm:.1f} ppm"
    assert sensor.clock.settled and sensor.clock.relocks == 0
    assert sensor.clock.doubt_us < 500, sensor.clock.doubt_us


def test_it_is_settled_within_a_second() -> None:
    sensor = Sensor(3200.0, off=0.07)
    sensor.feed(0.4)
    assert sensor.clock.settled
    worst_us = max(map(abs, sensor.feed(1.0)))
    assert worst_us < 200, f"{worst_us:.0f} µs"


def test_the_first_frame_may_be_an_outlier() -> None:
    sensor = Sensor(3200.0, off=0.07)
    sensor.extra_us = 50_000
    next(sensor.frames(1.0))
    sensor.extra_us = 0
    errors = sensor.feed(1.0)
    assert abs(errors[0]) < 52_000 and max(map(abs, errors[60:])) < 400, errors[60:]


def test_a_pause_is_believed_once_it_is_consistent() -> None:
    sensor = Sensor(3200.0, off=0.023)
    sensor.feed(5.0)
    sensor.offset_us += 1_000_000
    errors = sensor.feed(5.0)
    until_s = next(i for i, e in enumerate(errors) if abs(e) < 500) * FRAME_US / 1e6
    assert until_s < 0.3, f"believed after {until_s:.2f} s"
    assert max(map(abs, errors[200:])) < 60, "the period was kept"
    assert sensor.clock.relocks == 1


def test_an_overflow_is_a_jump_of_the_index_alone() -> None:
    sensor = Sensor(3200.0, off=0.023)
    sensor.feed(5.0)
    sensor.index += 1600  # half a second that was lost in the sensor; it went on counting
    assert max(map(abs, sensor.feed(1.0))) < 40
    assert sensor.clock.relocks == 0


def test_after_a_long_hole_the_line_begins_anew() -> None:
    sensor = Sensor(3200.0, off=0.023)
    sensor.feed(5.0)
    sensor.index += 320_000
    sensor.offset_us += 30_000  # the oscillator was somewhere else meanwhile
    errors = sensor.feed(2.0)
    assert max(map(abs, errors[10:])) < 600 and max(map(abs, errors[150:])) < 60, max(map(abs, errors[10:]))


def test_bursts_of_late_frames_move_nothing() -> None:
    sensor = Sensor(3200.0, off=0.023)
    sensor.feed(5.0)
    for _ in range(5):
        sensor.extra_us = 20_000  # three bins are not four
        assert max(map(abs, sensor.feed(0.05))) < 40
        sensor.extra_us = 0
        assert max(map(abs, sensor.feed(1.0))) < 40
    assert sensor.clock.relocks == 0


def test_frames_that_claim_to_be_early_move_nothing() -> None:
    """None is, but a damaged one that passes its checksum may say so."""
    sensor = Sensor(3200.0, off=0.023)
    sensor.feed(5.0)
    for _ in range(100):
        sensor.extra_us = -50_000
        next(sensor.frames(1.0))
        sensor.extra_us = 0
        worst_us = max(map(abs, sensor.feed(0.1)))
        assert worst_us < 40, f"{worst_us:.0f} µs"
    assert sensor.clock.relocks == 0
    period_ppm = (sensor.clock.period_us / sensor.period_us - 1) * 1e6
    assert abs(period_ppm) < 15, period_ppm


def test_a_board_that_is_slow_to_look() -> None:
    sensor = Sensor(80.0, off=0.05, jitter_us=4_000.0)
    sensor.feed(20.0)
    errors = sensor.feed(20.0)
    assert max(map(abs, errors)) < 4_000, max(map(abs, errors))


def test_a_new_session_keeps_the_period() -> None:
    sensor = Sensor(3200.0, off=0.07)
    sensor.feed(10.0)
    sensor.clock.restart()
    sensor.index, sensor.offset_us = 0, 5e8
    errors = sensor.feed(0.3)
    assert max(map(abs, errors[5:])) < 2_000, f"nominal would be 7 % off: {max(map(abs, errors[5:]))}"


def test_a_changed_rate_is_learned() -> None:
    sensor = Sensor(3200.0)
    sensor.feed(5.0)
    at_us = sensor.true_us(sensor.index)
    sensor.period_us *= 1.03
    sensor.offset_us = at_us - sensor.index * sensor.period_us
    sensor.feed(4.0)
    worst_us = max(map(abs, sensor.feed(2.0)))
    assert worst_us < 60, f"{worst_us:.0f} µs"


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.integers(1, 5000),  # samples, sent or not
            st.integers(-(10**7), 10**7),  # what the frame's ticks are off by
        ),
        min_size=1,
        max_size=400,
    )
)
def test_whatever_comes_the_period_stays_possible(script: list[tuple[int, int]]) -> None:
    clock = SensorClock(312.5)
    index = 0
    for count, off_us in script:
        clock.add(index, min(count, 10), int(index * 312.5) + off_us)
        assert abs(clock.period_us / 312.5 - 1) <= TOLERANCE + 1e-9
        assert abs(clock.ticks_us(index) - index * 312.5) < 10**9
        index += count
    # and it comes back to the truth
    for _ in range(2000):
        clock.add(index, 10, int(index * 312.5))
        index += 10
    error_us = clock.ticks_us(index) - index * 312.5
    assert abs(error_us) < 100, f"{error_us:.0f} µs"


def main() -> None:
    """Print what one frame costs."""
    for rate_hz in (3200.0, 320.0, 80.0):
        sensor = Sensor(rate_hz, off=0.03)
        clock, calls = sensor.clock, []
        for index in range(0, 2_000_000, max(1, round(FRAME_US / sensor.period_us))):
            calls.append((index, int(sensor.true_us(index) + sensor.chance.uniform(0, 200))))
            if len(calls) == 100_000:
                break
        begun_s = time.perf_counter()
        for index, ticks in calls:
            clock.add(index, 10, ticks)
        took_us = (time.perf_counter() - begun_s) * 1e6 / len(calls)
        print(f"{rate_hz:.0f} Hz: {took_us:.2f} µs a frame")


if __name__ == "__main__":
    main()
