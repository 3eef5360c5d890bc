"""What a plain detector finds on the trip is what its truth says: each harm once, and nothing else."""

from __future__ import annotations

import json

import numpy as np
import pytest

from firmware_bridge.virtual.script import LEG_S
from firmware_bridge.virtual.trip import Trip
from tests.trip.watch import centre_m, events, falls, played, swings_pa

LEGS = 3
SEEDS = (1, 2, 7, 20, 12345)
# A detector's own filter comes on top of what is due: low-pass, window, quarter-second hops.
# It may be early where the truth waits until a slide is over, or where a wave and a bump add up.
LATE_S = {"tilt": 2.5, "drop": 0.01, "load_shift": 0.6, "pressure": 0.5, "temperature": 1.0, "humidity": 1.0}
EARLY_S = {"load_shift": 0.5, "pressure": 0.8}


@pytest.mark.parametrize("seed", SEEDS)
def test_every_harm_is_found_once_and_nothing_else(seed: int) -> None:
    found = events(played(seed, "demo", LEGS * LEG_S))
    expected: dict[str, list[float]] = {kind: [] for kind in LATE_S}
    for happening in Trip(seed).truth(LEGS * LEG_S):
        if happening.expected_event is not None:
            expected[happening.expected_event].append(happening.due_s)
    for kind, late_s in LATE_S.items():
        assert len(found[kind]) == len(expected[kind]), (
            f"seed {seed}, {kind}: found at {found[kind]} s, due at {expected[kind]} s"
        )
        for found_s, due_s in zip(found[kind], expected[kind], strict=True):
            assert -EARLY_S.get(kind, 0.01) <= found_s - due_s <= late_s, (
                f"seed {seed}, {kind}: found {found_s}, due {due_s} s"
            )


@pytest.mark.parametrize("script", ["road", "none"])
def test_harmless_trips_raise_nothing(script: str) -> None:
    for seed in SEEDS:
        trip = Trip(seed, script="road" if script == "road" else "none")
        found = events(played(seed, trip.script, 2 * LEG_S))
        assert not any(found.values()), f"{script}, seed {seed}: {found}"
        harms = [h for h in trip.truth(2 * LEG_S) if h.expected_event is not None]
        assert not harms, f"{script}: the truth expects {harms}"


@pytest.mark.parametrize("seed", range(40))
def test_the_story_of_any_seed(seed: int) -> None:
    """Every leg: the counts, what falls in the first 30 s, and room between harms of a kind."""
    truth = Trip(seed).truth(5 * LEG_S)
    for leg in range(5):
        harms = {
            h.kind: h
            for h in truth
            if h.expected_event is not None and leg * LEG_S <= h.start_s < (leg + 1) * LEG_S
        }
        first = leg * LEG_S
        assert sorted(harms) == sorted(
            ("tilt", "drop", "surge", "temperature", "load_shift", "humidity", "slosh")
        ), f"seed {seed}, leg {leg}: {sorted(harms)}"
        for kind in ("tilt", "drop", "surge", "temperature"):
            assert harms[kind].due_s < first + 25, f"seed {seed}, leg {leg}: {harms[kind]}"
        assert harms["tilt"].end_s - harms["tilt"].start_s > 7.0, f"{harms['tilt']}"
        assert 33.5 <= harms["tilt"].values["angle_deg"] <= 35.5, f"{harms['tilt']}"
        assert 0.55 <= harms["drop"].values["height_m"] <= 0.65, f"{harms['drop']}"
        assert harms["temperature"].end_s - harms["temperature"].start_s >= 15, f"{harms['temperature']}"
        assert harms["temperature"].end_s < first + 50, f"{harms['temperature']}"
        assert harms["humidity"].values["max_percent"] > 80, f"{harms['humidity']}"
        assert harms["slosh"].values["swing_pa"] > 2500, f"{harms['slosh']}"
        assert harms["slosh"].due_s - harms["surge"].end_s > 15, f"{harms['surge']} {harms['slosh']}"


def test_legs_differ() -> None:
    drops = [h for h in Trip(1).truth(5 * LEG_S) if h.kind == "drop"]
    heights = {h.values["height_m"] for h in drops}
    starts = {h.start_s % LEG_S for h in drops}
    assert len(heights) == len(starts) == 5, f"heights {heights}, starts {starts}"


def test_a_fall_lasts_as_long_as_its_height_says() -> None:
    for seed in SEEDS:
        heights_m = [h.values["height_m"] for h in Trip(seed).truth(LEGS * LEG_S) if h.kind == "drop"]
        felt = falls(played(seed, "demo", LEGS * LEG_S)["accel"])
        for height_m, (_, lasts_s) in zip(heights_m, felt, strict=True):
            implied_m = 0.5 * 9.80665 * lasts_s**2
            assert abs(implied_m - height_m) < 0.02, f"fell {lasts_s} s: {implied_m:.3f} m of {height_m} m"


def test_nothing_harmless_looks_like_a_harm_by_far() -> None:
    """The margins that a detector has: hops under half a g, angles while driving, swings of pressure."""
    for seed in SEEDS:
        values = played(seed, "road", 2 * LEG_S)
        light = np.linalg.norm(values["accel"], axis=1) < 0.5 * 9.80665
        ends = np.flatnonzero(np.diff(np.concatenate([[0], light, [0]])))
        longest_ms = int(np.max(ends[1::2] - ends[::2], initial=0))
        assert longest_ms < 120, f"seed {seed}: {longest_ms} ms under half a g on a plain road"
        swing_pa = swings_pa(values["pressure"][:, 0])
        assert swing_pa.max() < 1500, f"seed {seed}: {swing_pa.max():.0f} Pa on a plain road"
        # before the bump of 29 to 31 s and away from turns: nothing but vibration
        quiet_pa = swing_pa[215:285].max()
        assert quiet_pa < 500, f"seed {seed}: {quiet_pa:.0f} Pa while driving straight on"
        moved_m = np.abs(centre_m(values["load"]).reshape(-1, 80).mean(axis=1) - 0.05).max()
        assert moved_m < 0.02, f"seed {seed}: the load's centre seems to move by {moved_m:.3f} m"


def test_each_leg_begins_and_ends_at_rest_and_level() -> None:
    accel_g = played(1, "demo", LEGS * LEG_S)["accel"] / 9.80665
    for second in (0, 1, 58, 59, 60, 61, 118, 119, 120, 121):
        here = accel_g[second * 1000 : (second + 1) * 1000]
        assert np.abs(here.mean(axis=0) - (0, 0, 1)).max() < 0.003, f"second {second}: {here.mean(axis=0)}"
        assert here.std(axis=0).max() < 0.012, f"second {second}: {here.std(axis=0)}"


def test_the_load_moves_to_one_side_and_back_on_the_next_leg() -> None:
    centre = centre_m(played(1, "demo", LEGS * LEG_S)["load"])
    where_m = [float(centre[second * 80 : (second + 1) * 80].mean()) for second in (1, 59, 61, 119, 121, 179)]
    assert where_m == pytest.approx([0.05, -0.05, -0.05, 0.05, 0.05, -0.05], abs=0.001), where_m


def test_truth_as_json() -> None:
    document = json.loads(Trip(3).truth_json(30))
    assert document["seed"] == 3
    kinds = [h["kind"] for h in document["happenings"] if h["expected_event"]]
    assert sorted(kinds) == ["drop", "surge", "temperature", "tilt"], kinds
    assert len(document["happenings"]) == len(Trip(3).truth(30))
