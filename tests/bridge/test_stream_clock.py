"""The clock of a live stream's blocks: few lines, continuous, never backwards, and recorded as they are."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.blocks import Block
from agent.log_info import LogInfo
from agent.recorder.mcap_writer import McapRecorder
from agent.sources.stream_clock import StreamClock
from agent.streams import TABLE
from tests.bridge.clock_simulation import World, constant, run
from tests.logs.reading import read

MS = 1_000_000
NS_PER_S = 1_000_000_000
STEP_BACK_NS = 500_000


class Follower:
    """A stream of 1 kHz in frames of 3, and the blocks that come of it."""

    def __init__(self, period_ns: float = 1e6, count: int = 3) -> None:
        self.clock = StreamClock(round(period_ns * 1000))
        self.period_ns = period_ns
        self.count = count
        self.index = 0
        self.blocks: list[Block] = []

    def frame(self, time_ns: int, *, missing: int = 0) -> Block:
        self.index += missing
        last_ns = self.blocks[-1].last_ns if self.blocks else None
        clock = self.clock.follow(self.index, time_ns, self.period_ns, jumped=missing > 0, last_ns=last_ns)
        block = Block("accel", self.index, clock, np.zeros((self.count, 3), np.int16))
        self.index += self.count
        self.blocks.append(block)
        return block

    def feed(self, seconds: float, error_ns: int = 0, wander_ns: int = 0) -> None:
        chance = random.Random(1)
        for _ in range(round(seconds * 1e9 / self.period_ns / self.count)):
            self.frame(round(self.index * self.period_ns) + error_ns + chance.randint(-wander_ns, wander_ns))

    @property
    def clocks(self) -> int:
        return len({id(block.clock) for block in self.blocks})

    def check(self) -> None:
        for before, after in itertools.pairwise(self.blocks):
            assert after.start_ns > before.last_ns, "times rise"
            expected_ns = before.last_ns + before.period_ns
            assert after.start_ns >= expected_ns - min(STEP_BACK_NS, before.period_ns // 2)


def test_one_clock_as_long_as_the_word_stays_near() -> None:
    follower = Follower()
    follower.feed(60.0, wander_ns=9_000)
    assert follower.clocks == 1


def test_an_error_is_closed_without_a_step() -> None:
    for error_ns in (60_000, -60_000, 3 * MS, -3 * MS):
        follower = Follower()
        follower.feed(1.0)
        follower.feed(12.0, error_ns)
        left_ns = follower.blocks[-1].last_ns - (follower.index - 1) * MS - error_ns
        assert abs(left_ns) <= 20_000, f"{left_ns} ns are left of {error_ns}"
        for before, after in itertools.pairwise(follower.blocks):
            off_ns = after.start_ns - before.last_ns - before.period_ns
            assert abs(off_ns) <= 1, f"a step of {off_ns} ns"
        assert follower.clocks == 3, follower.clocks


def test_small_errors_bend_it_once_a_second_at_most() -> None:
    follower = Follower()
    follower.feed(60.0, wander_ns=200_000)
    assert follower.clocks <= 60, follower.clocks
    follower.check()


def test_a_sensor_that_stood_still_is_followed_at_once() -> None:
    follower = Follower()
    follower.feed(1.0)
    follower.feed(1.0, NS_PER_S)
    assert follower.clock.breaks == 1 and follower.clocks == 2
    assert follower.blocks[-1].last_ns == (follower.index - 1) * MS + NS_PER_S


def test_gross_errors_backwards_are_walked_off() -> None:
    follower = Follower()
    follower.feed(1.0, NS_PER_S // 10)
    follower.feed(6.0)
    follower.check()
    assert follower.clock.breaks == 0
    assert abs(follower.blocks[-1].last_ns - (follower.index - 1) * MS) < MS // 2


def test_a_hole_may_be_a_step() -> None:
    follower = Follower()
    follower.feed(1.0)
    before = follower.blocks[-1]
    after = follower.frame(before.last_ns + 7 * MS, missing=3)
    assert after.start_ns == before.last_ns + 7 * MS and follower.clock.breaks == 1
    early = follower.frame(before.last_ns, missing=20)
    assert early.start_ns > after.last_ns
    follower.check()


def test_a_small_hole_is_no_reason_for_another_clock() -> None:
    follower = Follower()
    follower.feed(1.0)
    follower.frame((follower.index + 5) * MS + 10_000, missing=5)
    assert follower.clocks == 1


def test_a_slow_sensor_is_given_time_until_it_is_known() -> None:
    follower = Follower(1e9, count=1)
    follower.frame(0)
    assert follower.clock.due_in_ns == 1_100 * MS
    follower.feed(4.0)
    assert follower.clock.due_in_ns == 1_000 * MS


@given(
    st.lists(
        st.tuples(
            st.integers(1, 40),  # samples in the frame
            st.integers(0, 3),  # missing before it
            st.integers(-5 * MS, 5 * MS),  # what the link's word moves by
            st.floats(0.5, 2.0),  # and what it makes of the period
        ),
        min_size=1,
        max_size=100,
    ),
    st.sampled_from([1e6, 312_500.0, 1e9]),
    st.sampled_from([1, 50]),
)
def test_times_rise_whatever_the_link_says(
    script: list[tuple[int, int, int, float]], period_ns: float, gross: int
) -> None:
    follower = Follower(period_ns)
    offset_ns = 0
    for count, missing, moved_ns, stretched in script:
        follower.count = count
        offset_ns += moved_ns * gross
        follower.period_ns = period_ns * stretched
        follower.frame(round((follower.index + missing) * period_ns) + offset_ns, missing=missing)
    follower.check()


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    rate_hz=st.sampled_from([3200.0, 320.0, 80.0, 10.0]),
    off_ppm=st.floats(-100_000, 100_000),
    drift_ppm=st.floats(-300, 300),
    jitter_us=st.sampled_from([0.0, 200.0, 5_000.0]),
    outliers=st.sampled_from([0.0, 0.01, 0.3, 1.0]),
    outlier_us=st.sampled_from([5_000.0, 50_000.0, 900_000.0]),
    reboots_s=st.lists(st.floats(2.0, 14.0), max_size=3).map(lambda times: tuple(sorted(times))),
    pauses_s=st.lists(st.floats(0.5, 14.0), max_size=3).map(lambda times: tuple(sorted(times))),
    first_ticks=st.sampled_from([0, 2**30 - 5_000_000]),
)
def test_no_step_backwards_in_any_world(
    seed: int,
    rate_hz: float,
    off_ppm: float,
    drift_ppm: float,
    jitter_us: float,
    outliers: float,
    outlier_us: float,
    reboots_s: tuple[float, ...],
    pauses_s: tuple[float, ...],
    first_ticks: int,
) -> None:
    spaced = tuple(b for i, b in enumerate(reboots_s) if i == 0 or b - reboots_s[i - 1] > 2.0)
    result = run(
        World(
            rate_hz=rate_hz,
            duration_s=16.0,
            board=constant(drift_ppm),
            sensor=constant(off_ppm),
            jitter_us=jitter_us,
            outliers=outliers,
            outlier_us=outlier_us,
            reboots_s=spaced,
            pauses_s=pauses_s,
            tick_bits=30,
            first_ticks=first_ticks,
            seed=seed,
        )
    )
    assert result.least_step_ns > 0, f"a step of {result.least_step_ns} ns"


def wandering() -> Iterator[Block]:
    """Ten minutes' worth of bends and breaks in ten seconds."""
    follower = Follower(312_500.0, count=10)
    chance = random.Random(3)
    error_ns = 0
    for n in range(3200):
        error_ns += chance.randint(-30_000, 30_000) + (NS_PER_S if n % 1000 == 999 else 0)
        missing = 40 if n % 700 == 699 else 0
        yield follower.frame(round((follower.index + missing) * 312_500.0) + error_ns, missing=missing)
    assert follower.clocks > 10, follower.clocks


def test_a_recording_gives_the_same_times(tmp_path: Path) -> None:
    path = tmp_path / "wandering.mcap"
    blocks = list(wandering())
    with McapRecorder(path, LogInfo(box="b", boot="0", software="1", streams=(TABLE["accel"],))) as recorder:
        for block in blocks:
            recorder.write(block)
    got = [block for block in read(path).items if isinstance(block, Block)]
    live_ns = np.concatenate([block.times_ns() for block in blocks])
    np.testing.assert_array_equal(np.concatenate([block.times_ns() for block in got]), live_ns)
    assert len(got) < len(blocks) / 10, f"{len(got)} messages of {len(blocks)} blocks"
