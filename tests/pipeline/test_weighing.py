"""Weighing while driving: the mass, the centre and what is said of their uncertainty, against the truth."""

from __future__ import annotations

import functools
import itertools
import json
from typing import Any

import msgspec
import numpy as np
import pytest

from agent.blocks import NS_PER_S, Block, Quality, RegularClock, SiBlock
from agent.features.lowpass import LIKENESS, POINTS, POINTS_S, lowpassed
from agent.features.weighing import Weigher, Weighing, make_weigher
from agent.pipeline import Pipeline
from agent.records import Head
from agent.streams import TABLE, Unit
from calibration.certificate import Certificate
from firmware_bridge.virtual.streams import GRAVITY_MPS2
from scripts.benches.weighing import NONE, UP, Certified, Errors, drawn, judge, without_bias
from scripts.benches.weighing_road import Ride, blocks

SECONDS = 20


def si(block: Block) -> SiBlock:
    return SiBlock(block.stream, 0, block.times_ns(), block.period_ns, block.values, block.quality)


def weighed(load: Block, accel: Block, up: Any = UP) -> dict[int, Weighing]:
    weigher = Weigher(up)
    weigher.feed(si(load))
    weigher.feed(si(accel))
    return dict(weigher.advance(int(load.last_ns) + NS_PER_S))


def changed(block: Block, values: Any, quality: Any = None) -> Block:
    return Block(block.stream, 0, block.clock, np.asarray(values, np.float32), quality)


def at_rest(ride: Ride, force: tuple[float, float, float] = (0.0, 0.0, GRAVITY_MPS2)) -> tuple[Block, Block]:
    """Cells and accelerometer of a box that stands still."""
    load, accel = blocks(ride)
    rng = np.random.default_rng(ride.seed)
    kg = ride.mass_kg * force[2] / GRAVITY_MPS2 / 4
    cells = kg + ride.load_noise_kg * rng.standard_normal(load.values.shape)
    return changed(load, cells), changed(
        accel, np.array(force) + ride.motion_noise_mps2 * rng.standard_normal(accel.values.shape)
    )


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
    both = functools.reduce(Weighing.merged, [found[k] for k in (6, 7, 8, 9, 11, 12, 13, 14)])
    assert both.expanded_uncertainty_kg > 15, f"{both.mass_kg:.1f} ± {both.expanded_uncertainty_kg:.2f} kg"


def test_merging_is_the_same_in_any_grouping() -> None:
    parts = list(weighed(*blocks(Ride(seed=12, seconds=SECONDS))).values())[:8]
    left = functools.reduce(Weighing.merged, parts)
    halves = [functools.reduce(Weighing.merged, half) for half in (parts[:3], parts[3:])]
    right = halves[0].merged(halves[1])
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


def run(
    ride: Ride, *, step: int, certificates: tuple[Certificate, ...] = ()
) -> dict[str, list[float | None]]:
    """Return the columns of the load, block by block of so many samples."""
    p = Pipeline(
        [msgspec.structs.replace(TABLE[n], rate_hz=r) for n, r in (("accel", 1000.0), ("load", 80.0))],
        head=Head(box="b", boot="0" * 16, software="t"),
        fleet="f",
        mount_up=UP,
        certificates=certificates,
    )
    pieces = [b.cut(i, min(i + step, len(b))) for b in blocks(ride) for i in range(0, len(b), step)]
    records = p.push(*sorted(pieces, key=lambda b: b.start_ns)) + p.finish()
    columns: dict[str, list[float | None]] = {}
    for record in records:
        for name, column in json.loads(record.payload).get("columns", {}).items():
            if name.startswith("load_"):
                columns.setdefault(name, []).extend(column)
    return columns


def test_the_records_tell_it_however_the_samples_were_cut() -> None:
    ride = Ride(seed=17, seconds=21)
    whole = run(ride, step=100_000)
    masses = [m for m in whole["load_mass_kg"] if m is not None]
    assert len(masses) >= 19 and whole["load_mass_kg"][-1] is None, f"{whole['load_mass_kg']}"
    worst = max(abs(m - 60) for m in masses)
    assert worst < 0.1, f"{worst} kg off; plain {whole['load_total_kg']}"
    assert run(ride, step=7) == run(ride, step=333) == whole


def test_the_certificates_say_how_well_it_is_known() -> None:
    def made(stream: str, axes: int, standard: float) -> Certificate:
        gain = tuple(tuple(float(i == j) for j in range(axes)) for i in range(axes))
        return Certificate(
            stream=stream, gain=gain, bias=(0.0,) * axes, method="test", made_at="2026-01-01T00:00:00Z",
            standard_uncertainty=standard,
        )  # fmt: skip

    ride = Ride(seed=18, seconds=11)
    certificates = (made("accel", 3, 0.0980665), made("load", 4, 0.4))
    said = run(ride, step=500, certificates=certificates)["load_mass_u95_kg"]
    expected = 2 * np.hypot(0.01 * 60, 0.4)  # 1 % of 60 kg, and the cells'
    assert [u for u in said if u is not None] == pytest.approx([expected] * 11, rel=0.03), said


@pytest.mark.parametrize("gravity_mps2", [9.7803, 9.8322])
def test_gravity_of_the_place_drops_out_where_both_were_calibrated(gravity_mps2: float) -> None:
    """Cells show the mass there, as they were taught; the accelerometer shows that gravity."""
    load, accel = at_rest(Ride(seed=22, seconds=6), (0.0, 0.0, gravity_mps2))
    load = changed(load, load.values - 60 / 4 * (gravity_mps2 / GRAVITY_MPS2 - 1))
    identity = tuple(tuple(float(i == j) for j in range(3)) for i in range(3))
    told = Certificate(
        stream="accel", gain=identity, bias=(0.0,) * 3, method="test", made_at="2026-01-01T00:00:00Z",
        standard_uncertainty=1e-3, gravity_mps2=gravity_mps2,
    )  # fmt: skip
    for certificates, off in (((told,), 0.0), ((), 60 * (GRAVITY_MPS2 / gravity_mps2 - 1))):
        p = Pipeline(
            [msgspec.structs.replace(TABLE[b.stream], rate_hz=1e9 / b.period_ns) for b in (load, accel)],
            head=Head(box="b", boot="0" * 16, software="t"),
            fleet="f",
            mount_up=UP,
            certificates=certificates,
        )
        records = p.push(load, accel) + p.finish()
        (found,) = [json.loads(r.payload)["columns"]["load_mass_kg"] for r in records if r.kind == "features"]
        masses = [m for m in found if m is not None]
        assert masses and np.mean(masses) == pytest.approx(60 + off, abs=0.02), f"{masses}"


@pytest.mark.parametrize("mass_kg", [0.0, 60.0])
@pytest.mark.parametrize("tilt_deg", [0.0, 6.0, 14.0])
def test_the_bare_plate_weighs_less_on_a_slope_and_the_load_does_not(tilt_deg: float, mass_kg: float) -> None:
    """Zero was taken upright, with a plate of 20 kg; the specific force falls by cos θ for it, too."""
    cos, sin = np.cos(np.radians(tilt_deg)), np.sin(np.radians(tilt_deg))
    load, accel = at_rest(Ride(seed=23, seconds=6), (0.0, GRAVITY_MPS2 * sin, GRAVITY_MPS2 * cos))
    load = changed(load, load.values + ((mass_kg + 20.0) * cos - 60.0 * cos - 20.0) / 4)
    identity = {n: tuple(tuple(float(i == j) for j in range(n)) for i in range(n)) for n in (3, 4)}
    cells = Certificate(
        stream="load", gain=identity[4], bias=(0.0,) * 4, method="test", made_at="2026-01-01T00:00:00Z",
        standard_uncertainty=1e-3, dead_load=20.0,
    )  # fmt: skip
    motion = msgspec.structs.replace(
        cells, stream="accel", gain=identity[3], bias=(0.0,) * 3, dead_load=None, standard_uncertainty=0.01
    )
    untold = msgspec.structs.replace(cells, dead_load=None)
    missing_kg = 20.0 * (1 - cos) / cos  # what the fit makes of it
    for certificates, off_kg, felt_kg in (
        ((cells, motion), 0.0, mass_kg + 20.0),
        ((untold, motion), -missing_kg, mass_kg),
        ((cells,), -missing_kg, 0.0),
    ):
        p = Pipeline(
            [msgspec.structs.replace(TABLE[b.stream], rate_hz=1e9 / b.period_ns) for b in (load, accel)],
            head=Head(box="b", boot="0" * 16, software="t"),
            fleet="f",
            mount_up=UP,
            certificates=certificates,
        )
        records = p.push(load, accel) + p.finish()
        (found,) = [json.loads(r.payload)["columns"] for r in records if r.kind == "features"]
        masses, said = ([v for v in found[f"load_mass_{k}kg"] if v is not None] for k in ("", "u95_"))
        assert np.mean(masses) == pytest.approx(mass_kg + off_kg, abs=0.01), f"{masses}"
        # what is wrong with the accelerometer is wrong with the plate, too
        least = 2 * 0.01 / GRAVITY_MPS2 * felt_kg
        assert min(said) > 0.95 * least, f"± {min(said):.4f} kg, at least {least:.4f}"


def test_an_accelerometer_that_sees_another_gravity_is_not_believed() -> None:
    """Without a certificate, 4 % off along up: the mass is wrong by as much, and the uncertainty says so."""
    load, accel = blocks(Ride(seed=21, seconds=SECONDS))
    for part, least, most in ((1.04, 2.0, 8.0), (1.0, 0.0, 0.1)):
        found = list(weighed(load, changed(accel, accel.values * part)).values())[6:]
        said = [100 * w.expanded_uncertainty_kg / w.mass_kg for w in found]
        assert all(least < u < most for u in said), (
            f"gravity × {part}: ± {min(said):.3f} to {max(said):.3f} %"
        )
        assert all(abs(w.mass_kg - 60) < 2 * w.expanded_uncertainty_kg for w in found), f"gravity × {part}"


def test_derivatives_are_those_of_the_low_passed_signal() -> None:
    times_s = np.arange(0, 1, 0.001)
    omega = 2 * np.pi * 1.5
    smooth, *derivatives = lowpassed(times_s, np.ones(1000), np.sin(omega * times_s)[None, :], orders=3)
    passed = smooth[0, 0] / np.sin(omega * POINTS_S[0])
    assert 0.5 < passed < 1, f"{passed:.3f} of 1.5 Hz pass"
    phase = omega * POINTS_S
    waves = (np.cos(phase), -np.sin(phase), -np.cos(phase))
    for n, (got, wave) in enumerate(zip(derivatives, waves, strict=True), 1):
        expected = passed * omega**n * wave
        assert np.abs(got[0] - expected).max() < 0.01 * omega**n, f"derivative {n}"


def test_white_noise_is_as_alike_at_two_points_as_it_is_said_to_be() -> None:
    rng = np.random.default_rng(5)
    times_s = np.arange(0.00625, 1, 0.0125)
    (smooth,) = lowpassed(times_s, np.ones(80), rng.standard_normal((4000, 80)))
    seen = np.corrcoef(smooth.T)
    off = np.abs(seen - LIKENESS).max()
    assert off < 0.06, f"{off:.3f} apart"
    assert POINTS == len(POINTS_S) == 11
    assert all(b < a for a, b in itertools.pairwise(LIKENESS[0, :8].tolist()))


def test_a_regular_clock_of_any_phase_does() -> None:
    """Cells at 80 Hz whose samples fall anywhere between those of the accelerometer."""
    load, accel = at_rest(Ride(seed=19, seconds=6))
    for phase_ns in (0, 3_333_333, 11_000_000):
        moved = Block("load", 0, RegularClock.of_rate(80.0, anchor_ns=phase_ns), load.values)
        assert [round(float(w.mass_kg)) for w in weighed(moved, accel).values()] == [60] * 6, f"{phase_ns} ns"
