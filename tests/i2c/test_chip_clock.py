"""A chip's oscillator between two walls: a late thread makes it vaguer, never wrong."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agent.sources.chip_clock import ChipClock

GOLDEN = 0.6180339887498949


def looks(
    clock: ChipClock,
    *,
    rate_hz: float,
    error_ppm: float,
    interval_s: float,
    jitter_s: float,
    transfer_s: float,
    seconds: float,
    seed: int = 1,
) -> tuple[np.ndarray, np.ndarray]:
    """Look at an oscillator as the agent does; return when, and the error of each newest sample in µs."""
    dice = random.Random(seed)
    period_ns = 1e9 / (rate_hz * (1 + error_ppm * 1e-6))
    phase_ns = dice.random() * period_ns
    now_ns, dither = 0.0, 0.0
    at_s: list[float] = []
    errors_us: list[float] = []
    while now_ns < seconds * 1e9:
        dither = (dither + GOLDEN) % 1.0
        now_ns += interval_s * 1e9 + dither * period_ns / 2 + dice.expovariate(1 / (jitter_s * 1e9))
        took_ns = transfer_s * 1e9 * (0.6 + 0.4 * dice.expovariate(1.0))
        made = int((now_ns + dice.random() * took_ns - phase_ns) // period_ns) + 1
        if made > 0:
            clock.look(made, round(now_ns), round(now_ns + took_ns))
            errors_us.append((clock.time_ns(made - 1) - phase_ns - (made - 1) * period_ns) / 1e3)
            at_s.append(now_ns / 1e9)
        now_ns += took_ns
    return np.array(at_s), np.array(errors_us)


def test_the_jitter_of_the_thread_does_not_reach_the_times() -> None:
    quiet = ChipClock(5e6, 0.05)
    _, calm_us = looks(
        quiet, rate_hz=200, error_ppm=12_000, interval_s=0.005, jitter_s=20e-6, transfer_s=150e-6, seconds=40
    )
    shaken = ChipClock(5e6, 0.05)
    at_s, late_us = looks(
        shaken, rate_hz=200, error_ppm=12_000, interval_s=0.005, jitter_s=8e-3, transfer_s=150e-6, seconds=40
    )
    settled_us = late_us[at_s > 15]
    # a thread that is late by 8 ms on average, and the times scatter by hundredths of that
    assert settled_us.std() < 80, f"σ {settled_us.std():.1f} µs, calm {calm_us[-500:].std():.1f} µs"
    assert abs(settled_us).max() < 250, f"worst {abs(settled_us).max():.0f} µs"


@given(
    error_ppm=st.floats(-40_000, 40_000),
    interval_s=st.sampled_from([0.004, 0.01, 0.03]),
    seed=st.integers(0, 1_000),
)
def test_the_doubt_is_an_upper_bound_of_the_error(error_ppm: float, interval_s: float, seed: int) -> None:
    clock = ChipClock(5e6, 0.05)
    dice = random.Random(seed)
    period_ns = 5e6 / (1 + error_ppm * 1e-6)
    phase_ns = dice.random() * period_ns
    now_ns = 0.0
    for _ in range(120):
        now_ns += interval_s * 1e9 * (0.5 + dice.random())
        made = max(0, int((now_ns + 50_000 - phase_ns) // period_ns) + 1)
        clock.look(made, round(now_ns), round(now_ns + 100_000))
        newest = made - 1
        error_ns = clock.time_ns(newest) - (phase_ns + newest * period_ns)
        assert abs(error_ns) <= clock.doubt_ns + period_ns * 0.02, f"{error_ns:.0f} ns, {clock.doubt_ns:.0f}"


def test_samples_that_nobody_counted_are_missed_exactly() -> None:
    clock = ChipClock(12.5e6, 0.1)
    looks(clock, rate_hz=80, error_ppm=-20_000, interval_s=0.005, jitter_s=1e-4, transfer_s=2e-4, seconds=5)
    period_ns = clock.period_ns
    made = clock.made_by(round(5.2e9))
    for lost in range(4):
        now_ns = clock.time_ns(made + lost - 1) + round(period_ns / 2)
        assert clock.missed(made, now_ns) == lost
    # right after a sample was due, none of them is sure to be missing
    assert clock.missed(made, clock.time_ns(made) + 1000) == 0


def test_a_new_run_keeps_the_period_and_finds_the_phase() -> None:
    clock = ChipClock(5e6, 0.05)
    looks(clock, rate_hz=200, error_ppm=15_000, interval_s=0.005, jitter_s=1e-4, transfer_s=1e-4, seconds=20)
    assert clock.measured
    known_ns = clock.period_ns
    clock.begin()
    assert abs(clock.known_period_ns / known_ns - 1) < 20e-6
    for i in range(8):
        lo_ns = 10**9 + round(i * 0.37 * known_ns)
        clock.look(int((lo_ns - 10**9) // known_ns), lo_ns, lo_ns + 100_000)
    assert clock.settled
    assert clock.doubt_ns < 0.15 * known_ns


def test_shifting_the_index_changes_no_time() -> None:
    clock = ChipClock(5e6, 0.05)
    looks(clock, rate_hz=200, error_ppm=0, interval_s=0.005, jitter_s=1e-4, transfer_s=1e-4, seconds=3)
    before = clock.time_ns(500)
    clock.shift(1_000)
    assert clock.time_ns(1_500) == before
    clock.look(clock.made_by(round(3.1e9)), round(3.1e9), round(3.1e9) + 100_000)
    assert abs(clock.time_ns(1_500) - before) < 50_000
