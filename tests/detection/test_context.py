"""What is going on around the box, from plain motions; the same whatever the blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.blocks import NS_PER_S, SiBlock
from agent.detection.context import Context, ContextWatch
from agent.streams import TABLE
from firmware_bridge.virtual.road import RoadNoise
from tests.detection.signals import F64, GRAVITY_MPS2, rest, si_block, tilted

RATE_HZ = 200.0
NOISE_MPS2 = 0.03


def noisy(force: F64, rms_mps2: float = NOISE_MPS2, seed: int = 1) -> F64:
    return force + rms_mps2 * np.random.default_rng(seed).standard_normal(force.shape)


def seen(*blocks: SiBlock, cut: int = 10_000) -> tuple[ContextWatch, dict[float, Context]]:
    """Return the watch, and what it says at each half second."""
    watch = ContextWatch([TABLE[name] for name in dict.fromkeys(b.stream for b in blocks)])
    for block in blocks:
        for begin in range(0, len(block), cut):
            part = slice(begin, begin + cut)
            times, values = block.times_ns[part], block.values[part]
            watch.feed(SiBlock(block.stream, block.first + begin, times, block.period_ns, values))
            if len(blocks) == 1:
                watch.advance(int(times[-1]) + 1)
    end_ns = max(int(block.times_ns[-1]) for block in blocks)
    watch.advance(end_ns + 1)
    return watch, {t / 2: watch.at(t * NS_PER_S // 2) for t in range(2 * end_ns // NS_PER_S + 1)}


def driven(seconds: int, rms_mps2: float = 0.6) -> F64:
    return noisy(rest(seconds, RATE_HZ), rms_mps2, seed=3)


def test_rest_is_parked_and_shaking_is_driving_and_a_stop_is_parked_again() -> None:
    motion = np.concatenate([noisy(rest(12, RATE_HZ)), driven(20), noisy(rest(15, RATE_HZ))])
    _, said = seen(si_block("accel", motion, RATE_HZ))
    assert said[3.0] is Context.UNKNOWN
    assert said[11.0] is Context.PARKED
    assert said[17.0] is said[31.0] is Context.DRIVING
    assert said[33.0] is Context.DRIVING, "a stop at a light is no parking"
    assert said[46.0] is Context.PARKED


@pytest.mark.parametrize("level", ["I", "III"])
def test_a_truck_on_the_worst_road_drives_and_is_not_carried(level: str) -> None:
    road = RoadNoise(5, level=level)
    force = np.concatenate([road.box_mps2(k) for k in range(40)])
    motion = force + np.array([0.0, 0.0, GRAVITY_MPS2])
    _, said = seen(si_block("accel", motion, 1000.0))
    assert {said[t / 2] for t in range(10, 80)} == {Context.DRIVING}, said


def test_a_van_that_heaves_on_its_springs_while_it_shakes_is_not_carried() -> None:
    t = np.arange(20 * RATE_HZ) / RATE_HZ
    heaving = noisy(rest(20, RATE_HZ), 1.2, seed=4)
    heaving[:, 2] += 1.6 * np.sin(2 * np.pi * 0.7 * t)
    _, said = seen(si_block("accel", heaving, RATE_HZ))
    assert {said[t / 2] for t in range(8, 40)} == {Context.DRIVING}, said


def test_a_box_put_on_its_side_is_parked_again_after_a_while() -> None:
    motion = np.concatenate([noisy(rest(12, RATE_HZ)), noisy(tilted(40, RATE_HZ, 90))])
    _, said = seen(si_block("accel", motion, RATE_HZ))
    assert said[14.0] is Context.HANDLING and said[51.5] is Context.PARKED, said


def test_braking_and_a_slope_are_no_handling() -> None:
    t = np.arange(4 * RATE_HZ) / RATE_HZ
    braking = driven(4)
    braking[:, 0] -= 5.0 * np.sin(np.pi * t / 4) ** 2
    motion = np.concatenate([driven(20), braking, driven(10), noisy(tilted(15, RATE_HZ, 12.0))])
    _, said = seen(si_block("accel", motion, RATE_HZ))
    assert Context.HANDLING not in said.values(), said


def test_a_box_lifted_by_hand_is_handled_for_a_while() -> None:
    t = np.arange(6 * RATE_HZ) / RATE_HZ
    lifted = noisy(rest(6, RATE_HZ))
    lifted[:, 2] += 2.0 * np.sin(2 * np.pi * 0.8 * t)
    motion = np.concatenate([noisy(rest(10, RATE_HZ)), lifted, noisy(rest(12, RATE_HZ))])
    _, said = seen(si_block("accel", motion, RATE_HZ))
    assert said[10.0] is Context.PARKED
    assert said[14.0] is said[16.0] is Context.HANDLING
    assert said[27.5] is Context.PARKED


def test_a_box_that_falls_or_is_turned_over_is_handled() -> None:
    falling = np.concatenate([noisy(rest(10, RATE_HZ)), noisy(0 * rest(1, RATE_HZ)), noisy(rest(2, RATE_HZ))])
    assert seen(si_block("accel", falling, RATE_HZ))[1][11.5] is Context.HANDLING
    turned = np.concatenate([noisy(rest(10, RATE_HZ)), noisy(tilted(3, RATE_HZ, 80))])
    assert seen(si_block("accel", turned, RATE_HZ))[1][12.0] is Context.HANDLING


def test_a_turn_by_hand_shows_on_the_gyro() -> None:
    still = si_block("accel", noisy(rest(16, RATE_HZ)), RATE_HZ)
    rate = np.zeros((1600, 3))
    rate[1000:1200, 2] = 1.2
    said = seen(still, si_block("gyro", rate, 100.0))[1]
    assert said[9.5] is Context.PARKED and said[12.0] is Context.HANDLING and said[15.5] is Context.HANDLING


def test_a_mass_put_on_while_parked_is_loading_and_the_road_is_not() -> None:
    load = np.full((1600, 4), 15.0)
    load[1200:, 0] += 5.0
    parked = si_block("accel", noisy(rest(20, RATE_HZ)), RATE_HZ)
    assert seen(parked, si_block("load", load, 80.0))[1][16.5] is Context.LOADING
    moving = si_block("accel", driven(20), RATE_HZ)
    assert seen(moving, si_block("load", load, 80.0))[1][16.5] is Context.DRIVING


def test_an_open_lid_comes_before_all_else() -> None:
    lid = np.ones(200)
    lid[120:160] = 0
    said = seen(si_block("accel", noisy(rest(20, RATE_HZ)), RATE_HZ), si_block("lid", lid, 10.0))[1]
    assert said[11.5] is Context.PARKED and said[14.0] is Context.DOOR_OPEN and said[18.0] is Context.PARKED


def test_two_samples_a_second_tell_nothing() -> None:
    said = seen(si_block("accel", rest(60, 2.0), 2.0))[1]
    assert set(said.values()) == {Context.UNKNOWN}


def test_what_is_no_number_is_passed_over() -> None:
    motion = noisy(rest(20, RATE_HZ))
    motion[500, 1], motion[900, 2] = np.nan, np.inf
    assert seen(si_block("accel", motion, RATE_HZ))[1][19.5] is Context.PARKED


@settings(max_examples=15, deadline=None)
@given(cut=st.integers(1, 900))
def test_blocks_change_nothing(cut: int) -> None:
    motion = np.concatenate([noisy(rest(10, RATE_HZ)), driven(8), noisy(tilted(4, RATE_HZ, 50))])
    block = si_block("accel", motion, RATE_HZ)
    assert seen(block, cut=cut)[1] == seen(block)[1]


def test_what_nobody_asks_for_is_forgotten_and_nothing_else() -> None:
    motion = np.concatenate([noisy(rest(12, RATE_HZ)), driven(10), noisy(rest(15, RATE_HZ))])
    watch, said = seen(si_block("accel", motion, RATE_HZ))
    watch.forget_before(25 * NS_PER_S)
    assert {t: watch.at(int(t * NS_PER_S)) for t in said if t >= 25} == {
        t: c for t, c in said.items() if t >= 25
    }
    assert watch.at(0) is Context.UNKNOWN


def test_a_tram_that_glides_still_drives_and_stands_at_its_stop() -> None:
    t = np.arange(20 * RATE_HZ) / RATE_HZ
    pulled = noisy(rest(20, RATE_HZ))
    pulled[:, 0] += 0.9 * np.sin(2 * np.pi * t / 10)
    motion = np.concatenate([noisy(rest(15, RATE_HZ)), pulled, noisy(rest(15, RATE_HZ))])
    _, said = seen(si_block("accel", motion, RATE_HZ))
    assert said[14.0] is Context.PARKED and said[49.5] is Context.PARKED, said
    assert {said[t / 2] for t in range(54, 70)} == {Context.DRIVING}, said


def test_a_box_that_a_forklift_tips_slowly_does_not_drive() -> None:
    angles = np.concatenate(
        [np.linspace(0, 33, 5 * 200), np.full(4 * 200, 33.0), np.linspace(33, 0, 5 * 200)]
    )
    tipped = np.concatenate([tilted(1 / RATE_HZ, RATE_HZ, angle) for angle in angles])
    motion = np.concatenate([noisy(rest(15, RATE_HZ)), noisy(tipped), noisy(rest(15, RATE_HZ))])
    _, said = seen(si_block("accel", motion, RATE_HZ))
    assert Context.DRIVING not in said.values(), said
    assert Context.HANDLING in said.values() and said[43.5] is Context.PARKED, said


def test_what_fell_silent_is_not_believed_for_ever() -> None:
    parked = si_block("accel", noisy(rest(60, RATE_HZ)), RATE_HZ)
    opened = si_block("lid", np.zeros(200), 10.0)
    said = seen(parked, opened)[1]
    assert said[19.0] is Context.DOOR_OPEN and said[40.0] is Context.PARKED, said
    moving = si_block("accel", driven(20), RATE_HZ)
    said = seen(moving, si_block("load", np.full((80 * 60, 4), 15.0), 80.0))[1]
    assert said[19.0] is Context.DRIVING and said[40.0] is Context.UNKNOWN, said
