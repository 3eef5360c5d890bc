"""The times that samples get, in simulation: `clock_simulation` says what of."""

from __future__ import annotations

import pytest

from tests.bridge.clock_simulation import BOARDS, SENSORS, STEP_S, STEPS, Result, World, constant, run

SIGMA_US = {3200.0: 20.0, 320.0: 80.0}
PERIOD_US = {rate_hz: 1e6 / rate_hz for rate_hz in SENSORS}


def check_rising(result: Result) -> None:
    assert result.least_step_ns > 0, f"a step of {result.least_step_ns} ns"


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize(("rate_hz", "seed"), [(3200.0, 11), (320.0, 12)])
def test_the_times_are_as_good_as_promised(board: str, rate_hz: float, seed: int) -> None:
    """Boards of ±200 ppm that change by 20 ppm; sensors 2.3 % fast or 7 % slow, and warming."""
    result = run(
        World(rate_hz=rate_hz, board=BOARDS[board], sensor=SENSORS[rate_hz], seed=seed, duration_s=420.0)
    )
    assert result.sigma_us <= SIGMA_US[rate_hz], str(result)
    assert abs(result.bias_us) < PERIOD_US[rate_hz] / 4, str(result)
    assert result.worst_us < 160.0, str(result)
    assert result.settling_s() < 20.0, str(result)
    assert result.least_step_ns > 0.9 * 1000 * PERIOD_US[rate_hz], str(result)
    assert result.clocks < 420, f"less than one a second: {result}"
    assert result.own_ticks_us.std() > 100 * result.sigma_us, "what it is all for"


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_a_drift_that_steps(seed: int) -> None:
    """20 ppm from one second to the next, which no crystal does: some seconds are lost on noticing."""
    result = run(World(board=STEPS["200 → 220 ppm in 1 s"], seed=seed, duration_s=300.0))
    transient_us = result.worst_between_us(STEP_S, STEP_S + 30)
    assert transient_us < 300.0, f"worst {transient_us:.0f} µs"
    after_us = result.errors_us[result.true_s >= STEP_S + 30]
    assert after_us.std() <= 30.0, f"σ {after_us.std():.1f} µs half a minute later"
    check_rising(result)


@pytest.mark.parametrize("off_ppm", [23_000.0, 0.0, -23_000.0])
@pytest.mark.parametrize("rate_hz", [3200.0, 320.0])
def test_a_fifo_of_which_only_the_count_is_known(rate_hz: float, off_ppm: float) -> None:
    world = World(rate_hz=rate_hz, sensor=constant(off_ppm), fifo=True, duration_s=200.0, seed=18)
    result = run(world)
    assert result.sigma_us <= SIGMA_US[rate_hz], str(result)
    assert abs(result.bias_us) < PERIOD_US[rate_hz] / 2, str(result)
    check_rising(result)


@pytest.mark.parametrize("rate_hz", [80.0, 10.0])
def test_a_slow_sensor_that_beats_with_the_boards_turns(rate_hz: float) -> None:
    """It is late by up to a turn of 3 ms, and by more from sample to sample."""
    for off_ppm in range(-90_000, 90_001, 7_500):
        result = run(World(rate_hz=rate_hz, sensor=constant(off_ppm), fifo=True, duration_s=90.0, seed=19))
        assert result.worst_us < 4_000.0, f"{off_ppm} ppm: {result}"
        if rate_hz > 50:  # else a beat takes longer than a scatter is remembered
            assert result.host.sensor.relocks <= 3, f"{off_ppm} ppm: {result.host.sensor.relocks} re-locks"
        check_rising(result)


def test_a_sensor_like_an_hx711_at_80_hz() -> None:
    result = run(World(rate_hz=80.0, sensor=SENSORS[80.0], duration_s=300.0, seed=13))
    assert result.sigma_us <= 80.0 and result.worst_us < 250.0, str(result)
    assert abs(result.bias_us) < 200.0, str(result)
    check_rising(result)


@pytest.mark.parametrize("rate_hz", [3200.0, 320.0])
def test_the_counter_wraps(rate_hz: float) -> None:
    """A counter of 30 bits, as MicroPython's: it wraps after 70 s, and nothing shows of it."""
    wrapping = World(rate_hz=rate_hz, tick_bits=30, first_ticks=2**30 - 70_000_000, duration_s=100.0, seed=14)
    result = run(wrapping)
    plain = run(World(rate_hz=rate_hz, tick_bits=30, first_ticks=0, duration_s=100.0, seed=14))
    assert result.worst_us == plain.worst_us, f"{result}; without a wrap: {plain}"
    assert result.sigma_us <= SIGMA_US[rate_hz], str(result)
    check_rising(result)


@pytest.mark.parametrize("rate_hz", [3200.0, 320.0, 10.0])
def test_a_reboot_is_crossed_without_a_step_backwards(rate_hz: float) -> None:
    result = run(World(rate_hz=rate_hz, reboots_s=(70.0, 90.0, 92.5), duration_s=140.0, seed=15))
    check_rising(result)
    after_us = result.worst_between_us(100.0, 140.0)
    assert result.true_s[-1] > 139.0 and after_us < 400.0, f"worst {after_us:.0f} µs"


@pytest.mark.parametrize("rate_hz", [3200.0, 320.0, 80.0])
def test_a_sensor_that_pauses_for_a_second(rate_hz: float) -> None:
    """It is believed within half a second; until then its samples have times of the pause."""
    result = run(World(rate_hz=rate_hz, pauses_s=(80.0, 100.0), duration_s=120.0, seed=16))
    assert result.host.sensor.relocks == 2, f"{result.host.sensor.relocks} re-locks"
    assert result.host.clock.breaks == 2, f"{result.host.clock.breaks} breaks"
    check_rising(result)
    for begin_s in (80.0, 100.0):
        worst_us = result.worst_between_us(begin_s + 1.5, begin_s + 19.9)
        assert worst_us < 700.0, f"{worst_us:.0f} µs off half a second after the pause"


def test_three_minutes_without_a_ping() -> None:
    result = run(World(unheard_s=(100.0, 280.0), duration_s=320.0, seed=17))
    assert result.worst_us < 2_000.0, str(result)
    check_rising(result)


def test_the_first_seconds_are_sane() -> None:
    for seed in range(20, 30):
        for rate_hz in (3200.0, 320.0, 80.0):
            sensor = SENSORS[rate_hz]
            result = run(World(rate_hz=rate_hz, sensor=sensor, duration_s=4.0, seed=seed))
            early_us = result.worst_between_us(0.0, 4.0)
            assert early_us < 60_000.0, f"worst {early_us:.0f} µs, {rate_hz} Hz, seed {seed}"
            check_rising(result)


def test_all_at_once() -> None:
    """Wrap, reboots, pauses, unanswered pings, ten times the outliers."""
    for seed in range(4):
        world = World(
            tick_bits=30,
            first_ticks=2**30 - 75_000_000,
            reboots_s=(60.0, 110.0),
            pauses_s=(72.0, 90.0, 130.0),
            unheard_s=(80.0, 100.0),
            outliers=0.1,
            duration_s=160.0,
            seed=seed,
        )
        result = run(world)
        check_rising(result)
        end_us = result.worst_between_us(150.0, 160.0)
        assert end_us < 400.0, f"seed {seed}: {end_us:.0f} µs"
