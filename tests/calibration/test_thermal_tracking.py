"""The tracker of the slow bias: what it learns, what it keeps from learning, and what it says of itself."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibration.thermal_tracking import Drift, DriftSettings, DriftTracker, Trust

HOP_S = 1.0
NOISE_KG = 0.02
EMPTY = DriftSettings(noise=NOISE_KG, wander_per_sqrt_s=0.0005, limit=0.5, reference=0.0, doubt_s=30.0)
LOADED = DriftSettings(noise=NOISE_KG, wander_per_sqrt_s=0.0005, limit=0.5, doubt_s=30.0)


def run(
    tracker: DriftTracker, values: list[float], *, begin_s: float = 0.0, at_rest: bool = True
) -> list[Drift]:
    """Feed hops of one axis; return what was said after each."""
    return [tracker.step(begin_s + i * HOP_S, [v], at_rest=at_rest) for i, v in enumerate(values)]


def noise(n: int, seed: int = 1) -> list[float]:
    """Return the noise of n hops."""
    return [float(v) for v in np.random.default_rng(seed).normal(0.0, NOISE_KG, n)]


def test_a_slow_drift_is_followed_and_is_known_as_well_as_is_said() -> None:
    drift = [0.0001 * i for i in range(2000)]
    said = run(DriftTracker(EMPTY), [d + e for d, e in zip(drift, noise(2000), strict=True)])
    errors = [abs(s.bias[0] - d) / s.sigma[0] for s, d in zip(said[200:], drift[200:], strict=True)]
    inside = sum(e < 3.0 for e in errors) / len(errors)
    assert inside > 0.95, f"{inside:.1%} within 3 of its own σ"
    assert abs(said[-1].bias[0] - drift[-1]) < NOISE_KG, said[-1]
    assert {s.state for s in said} == {Trust.TRUSTED}


@settings(max_examples=30, deadline=None)
@given(st.floats(0.15, 50.0), st.sampled_from((-1.0, 1.0)), st.integers(1, 5))
def test_a_load_is_never_taken_for_drift(mass_kg: float, sign: float, seed: int) -> None:
    quiet = noise(900, seed)
    values = quiet[:300] + [v + sign * mass_kg for v in quiet[300:]]
    said = run(DriftTracker(LOADED), values)
    weighed = [v - s.bias[0] for v, s in zip(values, said, strict=True)]
    found = sum(weighed[400:]) / len(weighed[400:]) - sum(weighed[100:300]) / 200
    assert found == pytest.approx(sign * mass_kg, abs=2.0 * NOISE_KG), f"{found:.4f} of {sign * mass_kg} kg"
    assert said[-1].state is Trust.TRUSTED, said[-1]


def test_while_in_doubt_it_is_frozen_and_says_so() -> None:
    tracker = DriftTracker(EMPTY)
    before = run(tracker, noise(200))[-1]
    doubtful = run(tracker, [2.0] * 20, begin_s=200.0)
    assert {s.bias for s in doubtful} == {before.bias}, "it learnt from what it doubted"
    assert all(s.frozen for s in doubtful), doubtful[-1]
    assert {s.state for s in doubtful[1:]} == {Trust.DEGRADED}, doubtful[1]
    assert "does not fit" in doubtful[-1].reason, doubtful[-1].reason


def test_a_known_level_is_never_moved_and_long_doubt_ends_trust() -> None:
    tracker = DriftTracker(EMPTY)
    run(tracker, noise(200))
    said = run(tracker, [2.0] * 60, begin_s=200.0)
    assert said[-1].state is Trust.NOT_TRUSTED, said[-1]
    assert said[-1].level == (0.0,), said[-1]
    back = run(tracker, noise(5, seed=3), begin_s=300.0)
    assert back[-1].state is Trust.TRUSTED, "it did not recover when the value did"


def test_one_odd_hop_changes_nothing() -> None:
    plain, odd = DriftTracker(LOADED), DriftTracker(LOADED)
    values = noise(300)
    run(plain, values)
    said = run(odd, [*values[:150], 9.0, *values[151:]])
    assert said[149].state is Trust.TRUSTED, said[149]
    assert said[150].frozen, said[150]
    assert said[150].bias == said[149].bias, said[150]
    assert said[-1].state is Trust.TRUSTED, said[-1]
    assert abs(said[-1].bias[0]) < NOISE_KG, said[-1]


def test_nothing_is_learnt_while_moving_and_trust_fades() -> None:
    tracker = DriftTracker(EMPTY)
    before = run(tracker, noise(200))[-1]
    moving = [tracker.step(200.0 + 3600.0 * i, [5.0], at_rest=False) for i in range(1, 400)]
    assert {s.bias for s in moving} == {before.bias}
    states = list(dict.fromkeys(s.state for s in moving))
    assert states == [Trust.TRUSTED, Trust.DEGRADED, Trust.NOT_TRUSTED], states
    assert all(b.sigma[0] > a.sigma[0] for a, b in itertools.pairwise(moving))


def test_a_correction_past_its_limit_is_not_trusted() -> None:
    said = run(DriftTracker(EMPTY), [0.0004 * i for i in range(1500)])
    assert said[-1].state is Trust.NOT_TRUSTED, said[-1]
    assert "limit" in said[-1].reason, said[-1].reason


def test_values_that_are_missing_are_told_and_hurt_nothing() -> None:
    tracker = DriftTracker(EMPTY)
    before = run(tracker, noise(100))[-1]
    said = run(tracker, [math.nan] * 60, begin_s=100.0)
    assert said[0].state is Trust.DEGRADED, said[0]
    assert said[-1].state is Trust.NOT_TRUSTED, said[-1]
    assert said[-1].bias == before.bias
    assert run(tracker, [0.0], begin_s=200.0)[-1].state is Trust.TRUSTED


def test_a_hop_out_of_order_teaches_nothing() -> None:
    tracker = DriftTracker(EMPTY)
    before = run(tracker, noise(100))[-1]
    again = tracker.step(50.0, [0.05], at_rest=True)
    assert again.bias == before.bias
    assert again.frozen


def test_what_the_certificates_slope_missed_is_learnt_and_used_while_moving() -> None:
    known = DriftSettings(
        noise=NOISE_KG, wander_per_sqrt_s=1e-5, limit=5.0, slope_per_degc=0.05, reference=0.0, doubt_s=3600.0
    )
    tracker = DriftTracker(known)
    rng = np.random.default_rng(5)
    for i in range(1000):
        degc = 20.0 + 10.0 * i / 1000.0
        tracker.step(
            float(i), [0.03 * (degc - 20.0) + rng.normal(0.0, NOISE_KG)], at_rest=True, temperature_degc=degc
        )
    moved = tracker.step(1500.0, [7.0], at_rest=False, temperature_degc=40.0)
    assert moved.bias[0] == pytest.approx(0.6, abs=0.06), f"{moved.bias[0]:.3f} kg at 20 °C above the start"


def test_each_axis_for_itself() -> None:
    tracker = DriftTracker(EMPTY, axes=2)
    for i, value in enumerate(noise(400)):
        said = tracker.step(float(i), [value + 0.0002 * i, value], at_rest=True)
    assert said.bias[0] > 0.06 > abs(said.bias[1]) + 0.03, said.bias


def test_a_level_that_may_creep_takes_back_what_has_stayed() -> None:
    hive = DriftSettings(noise=0.1, wander_per_sqrt_s=0.001, limit=10.0, relax_s=43200.0)
    tracker = DriftTracker(hive)
    nectar = [0.05 * i for i in range(24 * 20)]  # 1.2 kg a day, for twenty days
    said = [tracker.step(3600.0 * i, [v], at_rest=True) for i, v in enumerate(nectar)]
    left = nectar[-1] - said[-1].bias[0]
    assert left > 0.9 * nectar[-1], f"{left:.1f} of {nectar[-1]:.1f} kg of nectar were left"
