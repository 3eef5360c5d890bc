"""Board ticks to host time, in simulation: a truth, a jitter, and what the clock makes of it."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.clock import TickClock

SEED = 7
NS_PER_S = 1_000_000_000
PING_S = 1.0


class Simulation:
    """A board whose counter began at `ticks` and runs fast by `drift_ppm`."""

    def __init__(
        self,
        *,
        drift_ppm: float,
        ticks: int = 0,
        jitter_ns: int = 200_000,
        seed: int = SEED,
        tick_bits: int = 32,
    ) -> None:
        self.clock = TickClock(tick_bits)
        self._wrap = 1 << tick_bits
        self._rate = 1 + drift_ppm * 1e-6
        self._ticks = ticks
        self._jitter_ns = jitter_ns
        self._chance = random.Random(seed)
        self.now_ns = 5 * NS_PER_S

    def ticks(self, at_ns: int) -> int:
        """The counter as it stands on the wire."""
        return (self._ticks + int((at_ns - 5 * NS_PER_S) * self._rate) // 1000) % self._wrap

    def jump_ticks(self, by_us: int) -> None:
        self._ticks += by_us

    def ping(self, outlier_ns: int = 0) -> None:
        there_ns = self._chance.randrange(20_000, self._jitter_ns)
        back_ns = self._chance.randrange(20_000, self._jitter_ns) + outlier_ns
        came_ns = self.now_ns + there_ns
        left_ns = came_ns + 30_000
        self.clock.add_ping(self.now_ns, self.ticks(came_ns), self.ticks(left_ns), left_ns + back_ns)

    def run(self, seconds: int, outliers: float = 0.0) -> list[int]:
        """Ping each second; return the clock's error half-way to the next ping, ns."""
        errors = []
        for _ in range(seconds):
            self.ping(50_000_000 if self._chance.random() < outliers else 0)
            self.now_ns += NS_PER_S
            asked_ns = self.now_ns - NS_PER_S // 2
            whole = self.clock.unwrap(self.ticks(asked_ns), self.now_ns)
            errors.append(self.clock.host_ns(whole) - asked_ns)
        return errors


@pytest.mark.parametrize("drift_ppm", [0.0, 200.0, -200.0])
def test_it_stays_within_the_jitter(drift_ppm: float) -> None:
    errors = Simulation(drift_ppm=drift_ppm).run(300, outliers=0.05)
    worst_ns = max(abs(e) for e in errors)
    settled_ns = max(abs(e) for e in errors[40:])
    assert worst_ns <= 400_000, f"worst {worst_ns} ns"
    assert settled_ns <= 120_000, f"worst once settled {settled_ns} ns"


def test_it_finds_the_drift() -> None:
    simulation = Simulation(drift_ppm=150.0)
    simulation.run(120)
    assert abs(simulation.clock.drift_ppm + 150) < 5, simulation.clock.drift_ppm


def test_it_crosses_the_wrap_of_the_counter_without_a_step() -> None:
    simulation = Simulation(drift_ppm=50.0, ticks=2**32 - 30_000_000, jitter_ns=21_000)
    errors = simulation.run(60)
    assert max(abs(e) for e in errors) < 120_000, errors


def test_it_knows_the_round_after_an_hour_without_a_word() -> None:
    simulation = Simulation(drift_ppm=20.0)
    simulation.run(30)
    simulation.now_ns += 2 * 3600 * NS_PER_S  # nearly two rounds of the counter
    errors = simulation.run(30)
    assert max(abs(e) for e in errors[1:]) < 400_000, errors


def test_an_absurd_drift_is_not_believed() -> None:
    simulation = Simulation(drift_ppm=20_000.0)
    simulation.run(60)
    assert abs(simulation.clock.drift_ppm) <= 500.1


def test_ten_minutes_at_the_promised_jitter() -> None:
    for drift_ppm in (200.0, -200.0):
        errors_ns = np.array(Simulation(drift_ppm=drift_ppm).run(600, outliers=0.01)[60:])
        assert errors_ns.std() < 20_000, f"σ {errors_ns.std() / 1000:.1f} µs"
        assert abs(errors_ns.mean()) < 10_000, f"bias {errors_ns.mean() / 1000:.1f} µs"


def test_a_first_ping_that_was_held_up() -> None:
    simulation = Simulation(drift_ppm=100.0)
    simulation.ping(50_000_000)
    assert simulation.clock.doubt_ns > 25_000_000
    errors_ns = simulation.run(20)
    assert max(map(abs, errors_ns)) < 400_000, errors_ns
    assert simulation.clock.rejected == 0, "its doubt covers it"


def test_one_ping_that_contradicts_all_others_is_set_aside() -> None:
    simulation = Simulation(drift_ppm=100.0)
    simulation.run(60)
    before = simulation.clock.host_ns(0)
    simulation.jump_ticks(3_000_000)
    simulation.ping()
    simulation.jump_ticks(-3_000_000)
    assert simulation.clock.rejected == 1
    assert simulation.clock.host_ns(0) == before
    errors_ns = simulation.run(60)
    assert max(map(abs, errors_ns)) < 120_000, errors_ns
    assert simulation.clock.relocks == 0


def test_several_that_agree_with_each_other_are_believed() -> None:
    simulation = Simulation(drift_ppm=150.0)
    simulation.run(60)
    simulation.jump_ticks(3_000_000)
    errors_ns = simulation.run(30)
    assert [abs(e) > 2_000_000_000 for e in errors_ns[:5]] == [True, True, True, False, False]
    assert max(map(abs, errors_ns[4:])) < 200_000, errors_ns[4:]
    assert simulation.clock.relocks == 1
    assert abs(simulation.clock.drift_ppm + 150) < 30, "the drift is still known"


def test_the_doubt_grows_without_pings_and_covers_the_error() -> None:
    for seed in range(10):
        simulation = Simulation(drift_ppm=180.0, seed=seed)
        simulation.run(120, outliers=0.01)
        last_ns = 0
        for minutes in range(11):
            at_ns = simulation.now_ns + minutes * 60 * NS_PER_S
            doubt_ns = simulation.clock.doubt_at_ns(at_ns)
            whole = simulation.clock.unwrap(simulation.ticks(at_ns), at_ns)
            error_ns = abs(simulation.clock.host_ns(whole) - at_ns)
            assert error_ns <= doubt_ns, f"{error_ns} ns off after {minutes} min, said ± {doubt_ns}"
            assert doubt_ns > last_ns, f"{doubt_ns} ns after {minutes} min, {last_ns} before"
            last_ns = doubt_ns
        assert 1_000_000 < last_ns < 100_000_000, last_ns


def test_a_counter_of_30_bits_wraps_every_18_minutes() -> None:
    simulation = Simulation(drift_ppm=-150.0, ticks=2**30 - 90_000_000, tick_bits=30)
    errors_ns = simulation.run(1300, outliers=0.01)
    assert max(map(abs, errors_ns[40:])) < 120_000, max(map(abs, errors_ns[40:]))


@settings(max_examples=80)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 5 * NS_PER_S),  # until the ping
            st.integers(0, 10**9),  # there
            st.integers(0, 10**9),  # and back
            st.integers(0, 2**32 - 1),  # what its ticks are off by
        ),
        max_size=40,
    )
)
def test_whatever_comes_it_finds_back(script: list[tuple[int, int, int, int]]) -> None:
    clock = TickClock(30)
    now_ns = NS_PER_S
    for wait_ns, there_ns, back_ns, off in script:
        now_ns += wait_ns
        ticks = ((now_ns + there_ns) // 1000 + off) % 2**30
        clock.add_ping(now_ns, ticks, ticks, now_ns + there_ns + back_ns)
        assert abs(clock.drift_ppm) <= 500.1
    for _ in range(60):
        now_ns += 2 * NS_PER_S
        ticks = (now_ns + 50_000) // 1000 % 2**30
        clock.add_ping(now_ns, ticks, ticks, now_ns + 100_000)
    error_ns = clock.host_ns(clock.unwrap(now_ns // 1000 % 2**30, now_ns)) - now_ns
    assert abs(error_ns) < 100_000, f"{error_ns} ns"
