"""Weighing while driving: the mass, the centre and what is said of their uncertainty, against the truth."""

from __future__ import annotations

import json

import msgspec
import numpy as np
import pytest

from agent.blocks import NS_PER_S, Block, Quality, RegularClock, SiBlock
from agent.features.weighing import Weigher, make_weigher
from agent.pipeline import Pipeline
from agent.records import Head
from agent.streams import TABLE, Unit
from firmware_bridge.virtual.streams import GRAVITY_MPS2
from scripts.benches.weighing import NONE, UP, Certified, Errors, drawn, judge, together, without_bias
from scripts.benches.weighing_road import Ride, blocks
from tests.pipeline.weighing_ride import SECONDS, at_rest, changed, weighed


def test_a_rough_road_is_weighed_on_and_the_uncertainty_holds() -> None:
    """ASTM D4169 truck spectrum, up to ±6°: every mass, rate, noise, delay and resonance drawn anew."""
    short, long = judge(without_bias(seed) for seed in range(1000, 1025))
    said = (
        f"1 s {short.rms_percent:.3f} %, plain {short.plain_rms_percent:.2f} %, {short.coverage_percent:.1f}"
    )
    assert short.rms_percent <= 0.3, said
    assert short.plain_rms_percent > 1.0, f"the road is too smooth to show anything: {said}"
    assert 90 <= short.coverage_percent <= 98, said
    said = f"10 s {long.rms_percent:.3f} %, plain {long.plain_rms_percent:.2f} %, {long.coverage_percent:.1f}"
    assert long.rms_percent <= 0.2, said
    assert 90 <= long.coverage_percent <= 98, said


def test_what_the_certificates_leave_in_doubt_is_in_the_uncertainty() -> None:
    """An error that is the same in all windows of a ride: held on 95 of 100, and no mean makes it less."""
    with_it, without = Errors(), Errors()
    for seed in range(2000, 2080):
        ride, certified = drawn(seed)
        small = Ride(
            seed=seed,
            seconds=12,
            mass_kg=ride.mass_kg,
            accel_bias_mps2=tuple(10 * b for b in ride.accel_bias_mps2),  # type: ignore[arg-type]
            cell_bias_kg=ride.cell_bias_kg,
        )
        known = Certified(10 * (certified.accel_mps2 or 0.0), certified.load_kg)
        for errors, say in ((with_it, known), (without, NONE)):
            _, long = judge([(small, say)])
            errors.held += long.held
    assert 90 <= with_it.coverage_percent <= 99, f"{with_it.coverage_percent:.1f} of 100"
    assert without.coverage_percent < 30, f"nothing to be seen: {without.coverage_percent:.1f} of 100"


@pytest.mark.parametrize(
    ("what", "ride"),
    [
        ("a slow converter", Ride(seed=1, seconds=SECONDS, load_delay_s=0.06)),
        ("a soft platform", Ride(seed=2, seconds=SECONDS, resonance_hz=10.0)),
        ("a stiff platform that rings", Ride(seed=3, seconds=SECONDS, resonance_hz=50.0, damping=0.03)),
        ("a parcel", Ride(seed=4, seconds=SECONDS, mass_kg=3.0)),
        ("a slow accelerometer", Ride(seed=5, seconds=SECONDS, motion_rate_hz=200)),
        ("both at once and slow", Ride(seed=6, seconds=SECONDS, motion_rate_hz=100, load_rate_hz=100)),
        ("a rougher road", Ride(seed=7, seconds=SECONDS, level="I")),
        ("slalom", Ride(seed=8, seconds=SECONDS, tilt_period_s=3.0)),
    ],
)
def test_hard_cases(what: str, ride: Ride) -> None:
    short, long = judge([(ride, NONE)])
    assert short.rms_percent <= 0.3 and long.rms_percent <= 0.2, (
        f"{what}: {short.rms_percent:.3f} % in 1 s, {long.rms_percent:.3f} % in 10 s"
    )
    assert short.rms_percent < short.plain_rms_percent / 5, f"{what}: {short.plain_rms_percent:.3f} % plain"


@pytest.mark.parametrize("tilt_deg", [0.0, 6.0])
def test_the_centre_stays_where_it_is(tilt_deg: float) -> None:
    ride = Ride(seed=9, seconds=SECONDS, tilt_deg=tilt_deg)
    found = weighed(*blocks(ride)).values()
    centres = np.array([w.centres() for w in found])
    off = np.abs(centres - (ride.centre_right, ride.centre_front)).max()
    assert off < 0.002, f"{off:.4f} off at {tilt_deg}°"


def test_a_leaning_box_keeps_its_centre_once_the_road_has_shown_the_height() -> None:
    """Force across acts at the load's height; standing on a slope alone, that could not be told apart."""
    ride = Ride(seed=10, seconds=SECONDS, tilt_deg=0.0)
    load, accel = blocks(ride)
    leaning = np.radians(20.0)
    across_mps2, up_mps2 = GRAVITY_MPS2 * np.sin(leaning), GRAVITY_MPS2 * np.cos(leaning)
    late, motion_late = load.times_ns() > 12 * NS_PER_S, accel.times_ns() > 12 * NS_PER_S
    right = up_mps2 * ride.centre_right + across_mps2 * ride.lever
    front = up_mps2 * ride.centre_front
    share = ride.mass_kg / 4 / GRAVITY_MPS2
    signs = ((1, 1), (1, -1), (-1, 1), (-1, -1))
    cells = [share * (up_mps2 + f * front - s * right) for f, s in signs]
    load = changed(load, np.where(late[:, None], cells, load.values))
    accel = changed(accel, np.where(motion_late[:, None], [0.0, across_mps2, up_mps2], accel.values))
    found = weighed(load, accel)
    for k in range(14, SECONDS - 1):
        got = found[k].centres()
        assert got == pytest.approx((ride.centre_right, ride.centre_front), abs=0.003), f"second {k}: {got}"
        assert found[k].mass_kg == pytest.approx(ride.mass_kg, rel=0.001)
    plain = right / up_mps2
    assert abs(plain - ride.centre_right) > 0.04, "the slope is too gentle to show anything"


def test_rest_then_road_is_never_taken_for_known_too_well() -> None:
    held = []
    for seed in range(30, 50):
        ride = Ride(seed=seed, seconds=14)
        still, moving = at_rest(ride), blocks(ride)
        load, accel = (
            changed(b, np.where((b.times_ns() > 8 * NS_PER_S)[:, None], b.values, a.values))
            for a, b in zip(still, moving, strict=True)
        )
        found = weighed(load, accel)
        held += [abs(found[k].mass_kg - 60) <= found[k].expanded_uncertainty_kg for k in (9, 10, 11)]
    assert np.mean(held) >= 0.9, f"{100 * np.mean(held):.0f} of 100 of the first seconds on the road"


def test_loading_within_a_second_or_among_several_shows_in_the_uncertainty() -> None:
    one, other = Ride(seed=11, seconds=SECONDS), Ride(seed=11, seconds=SECONDS, mass_kg=90.0)
    light, accel = blocks(one)
    heavy, _ = blocks(other)
    loaded = np.where((light.times_ns() > 10.5 * NS_PER_S)[:, None], heavy.values, light.values)
    found = weighed(changed(light, loaded), accel)
    amid = found[10]
    assert amid.expanded_uncertainty_kg > 5, f"{amid.mass_kg:.1f} ± {amid.expanded_uncertainty_kg:.2f} kg"
    for k in range(11, SECONDS - 1):
        after = found[k]
        assert after.mass_kg == pytest.approx(90.0, rel=0.002), f"second {k}"
        assert after.expanded_uncertainty_kg < 0.4, f"second {k}: ± {after.expanded_uncertainty_kg:.2f} kg"
    both = together([found[k] for k in (6, 7, 8, 9, 11, 12, 13, 14)])
    assert both.expanded_uncertainty_kg > 15, f"{both.mass_kg:.1f} ± {both.expanded_uncertainty_kg:.2f} kg"


def test_merging_is_the_same_in_any_grouping() -> None:
    parts = list(weighed(*blocks(Ride(seed=12, seconds=SECONDS))).values())[:8]
    left = together(parts)
    right = together([together(half) for half in (parts[:3], parts[3:])])
    assert left.windows == right.windows == 8
    for what in ("mass_kg", "expanded_uncertainty_kg"):
        assert getattr(left, what) == pytest.approx(getattr(right, what), rel=1e-9)
    assert left.expanded_uncertainty_kg < min(p.expanded_uncertainty_kg for p in parts)


def test_without_noise_it_is_exact_and_an_empty_platform_weighs_nothing() -> None:
    quiet = Ride(seed=13, seconds=6, load_noise_kg=0.0, motion_noise_mps2=0.0)
    for force in ((0.0, 0.0, GRAVITY_MPS2), (1.0, 0.5, 9.7)):
        (found, *_) = weighed(*at_rest(quiet, force)).values()
        assert found.mass_kg == pytest.approx(60.0, rel=1e-6)
    load, accel = at_rest(Ride(seed=13, seconds=6))
    (empty, *_) = weighed(
        changed(load, 0.004 * np.random.default_rng(1).normal(size=load.values.shape)), accel
    ).values()
    assert abs(empty.mass_kg) < 0.01, f"{empty.mass_kg} kg"


def test_what_cannot_be_weighed_is_left_out() -> None:
    load, accel = at_rest(Ride(seed=14, seconds=10))
    keep = np.ones(len(accel), bool)
    keep[3100:3137] = False
    times, t_load = accel.times_ns(), load.times_ns()
    weigher = Weigher(UP)
    weigher.feed(SiBlock("accel", 0, times[keep], accel.period_ns, accel.values[keep]))
    quality = np.where((t_load // NS_PER_S == 5) & (t_load % NS_PER_S < 20_000_000), Quality.SATURATED, 0)
    weigher.feed(SiBlock("load", 0, t_load, load.period_ns, load.values, quality.astype(np.uint8)))
    found = list(weigher.advance(9 * NS_PER_S))
    assert found == [0, 1, 2, 4, 6, 7, 8], (
        "all but a hole of 37 ms in second 3 and a saturated cell in second 5"
    )
    falling = np.where((times // NS_PER_S == 4)[:, None], 0.1, accel.values)
    assert 4 not in weighed(load, changed(accel, falling))


@pytest.mark.parametrize("which", ["load", "accel"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_sample_that_is_no_number_costs_itself_only(which: str, value: float) -> None:
    load, accel = at_rest(Ride(seed=21, seconds=6))
    given = {"load": load, "accel": accel}
    broken = given[which].values.copy()
    broken[len(broken) // 2 + 5, 0] = value  # in second 3
    given[which] = changed(given[which], broken)
    p = Pipeline(
        [msgspec.structs.replace(TABLE[b.stream], rate_hz=1e9 / b.period_ns) for b in given.values()],
        head=Head(box="b", boot="0" * 16, software="t"),
        fleet="f",
        mount_up=UP,
    )
    records = p.push(*given.values()) + p.finish()
    (masses,) = [json.loads(r.payload)["columns"]["load_mass_kg"] for r in records if r.kind == "features"]
    assert None not in masses[:6], f"{masses}"
    assert max(abs(m - 60) for m in masses if m is not None) < 0.1, f"{masses}"


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("sign", [1, -1])
def test_up_is_told_or_learned(axis: int, sign: int) -> None:
    up = [0.0, 0.0, 0.0]
    up[axis] = float(sign)
    load, accel = at_rest(Ride(seed=15, seconds=8))
    turned = np.zeros(accel.values.shape)
    turned[:, axis] = sign * accel.values[:, 2]
    for told in (tuple(up), None):
        found = weighed(load, changed(accel, turned), told)
        assert found, f"nothing weighed with up {told}"
        assert all(w.mass_kg == pytest.approx(60.0, abs=0.05) for w in found.values())


def test_up_is_learned_on_a_road_without_a_rest() -> None:
    ride = Ride(seed=20, seconds=SECONDS)
    found = weighed(*blocks(ride), None)
    assert set(found) == set(range(9, SECONDS)), f"weighed in {sorted(found)}"
    worst = max(abs(w.mass_kg - ride.mass_kg) for w in found.values())
    assert worst < 0.1, f"{worst:.3f} kg off"


def test_nobody_knows_which_way_is_up_on_a_slope() -> None:
    load, accel = at_rest(Ride(seed=16, seconds=14), (6.0, 0.0, 7.7))
    assert not weighed(load, accel, None)


def test_streams_that_cannot_be_weighed_by() -> None:
    load, accel = TABLE["load"], TABLE["accel"]
    assert make_weigher([load, accel], UP, {}) is not None
    assert make_weigher([load], UP, {}) is None
    assert make_weigher([accel], UP, {}) is None
    for odd in (
        msgspec.structs.replace(accel, axes=("x",)),
        msgspec.structs.replace(accel, watch=False),
        msgspec.structs.replace(accel, unit=Unit.V),
    ):
        assert make_weigher([load, odd], UP, {}) is None
    assert make_weigher([msgspec.structs.replace(load, summarise=False), accel], UP, {}) is None


def test_a_regular_clock_of_any_phase_does() -> None:
    """Cells at 80 Hz whose samples fall anywhere between those of the accelerometer."""
    load, accel = at_rest(Ride(seed=19, seconds=6))
    for phase_ns in (0, 3_333_333, 11_000_000):
        moved = Block("load", 0, RegularClock.of_rate(80.0, anchor_ns=phase_ns), load.values)
        assert [round(float(w.mass_kg)) for w in weighed(moved, accel).values()] == [60] * 6, f"{phase_ns} ns"
