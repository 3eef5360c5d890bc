"""Board ticks to host time, in simulation: a truth, a jitter, and what the clock makes of it."""

from __future__ import annotations

import random

import pytest

from firmware_bridge.clock import TickClock

SEED = 7
NS_PER_S = 1_000_000_000
PING_S = 1.0


class Simulation:
    """A board whose counter began at `ticks` and runs fast by `drift_ppm`."""

    def __init__(
        self, *, drift_ppm: float, ticks: int = 0, jitter_ns: int = 200_000, seed: int = SEED
    ) -> None:
        self.clock = TickClock()
        self._rate = 1 + drift_ppm * 1e-6
        self._ticks = ticks
        self._jitter_ns = jitter_ns
        self._chance = random.Random(seed)
        self.now_ns = 5 * NS_PER_S

    def ticks(self, at_ns: int) -> int:
        """The counter as it stands on the wire."""
        return (self._ticks + int((at_ns - 5 * NS_PER_S) * self._rate) // 1000) % 2**32

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
