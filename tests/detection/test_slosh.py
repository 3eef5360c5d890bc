"""Slosh against the linear theory that it stands on, and what stays in the tank."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.signal import lsim

from agent.detection.finding import Finding
from agent.detection.slosh import (
    MODES,
    SHARES,
    SloshDetector,
    SloshSettings,
    Waves,
    along_and_across,
    highest_crest_m,
)
from agent.records import Phase
from agent.tank import slosh_frequencies_hz
from tests.detection.cutting import heard, same_however_cut, worst
from tests.detection.signals import F64, GRAVITY_MPS2, rest, tilted

RATE_HZ = 200.0
TANK = SloshSettings(length_m=0.4, width_m=0.3, fill_m=0.2, freeboard_m=0.12, damping=0.02)
UP = (0.0, 0.0, 1.0)
FIRST_HZ = slosh_frequencies_hz(0.4, 0.2)[0]


def told(force: F64, settings: SloshSettings = TANK) -> list[Finding]:
    return heard(SloshDetector(settings, UP), {"accel": (force, RATE_HZ)})


def swerving(size_g: float, hertz: float, seconds: float, axis: int = 0) -> F64:
    t = np.arange(0, seconds + 14, 1 / RATE_HZ)
    force = rest(len(t) / RATE_HZ, RATE_HZ)
    inside = (t > 4) & (t < 4 + seconds)
    force[inside, axis] += size_g * GRAVITY_MPS2 * np.sin(2 * np.pi * hertz * (t[inside] - 4))
    return force


def highest(force: F64) -> float:
    """Return the highest rise that the hops of 50 ms give along the tank."""
    waves = Waves(0.4, 0.2, 0.02)
    slopes = force[:, 0].reshape(-1, 10).mean(axis=1) / GRAVITY_MPS2
    return max(abs(waves.step(slope, 1)) for slope in slopes.tolist())


@pytest.mark.parametrize("hertz", [0.4, 1.0, FIRST_HZ, 1.6, 2.4])
def test_the_rise_is_that_of_linear_theory(hertz: float) -> None:
    """Against scipy's solution of the same oscillators at 1 ms."""
    force = swerving(0.03, hertz, 8.0)  # no wave so high that it breaks
    t = np.arange(len(force)) / RATE_HZ
    push = force[:, 0] / GRAVITY_MPS2
    rise = push * (1 - sum(SHARES))
    for share, natural_hz in zip(SHARES, slosh_frequencies_hz(0.4, 0.2, MODES), strict=True):
        omega = 2 * math.pi * natural_hz
        rise = rise + share * lsim(([omega**2], [1, 0.04 * omega, omega**2]), push, t)[1]
    expected_m = 0.2 * np.abs(rise).max()
    assert highest(force) == pytest.approx(expected_m, rel=0.04, abs=0.0006), (hertz, expected_m)


def test_a_wave_is_stepped_exactly() -> None:
    """A push that is constant within hops, heavily damped: no error but that of the sums."""
    slopes = np.random.default_rng(7).normal(0, 0.1, 200)
    waves = Waves(0.4, 0.2, 0.2)
    got = [waves.step(slope, 1) for slope in slopes.tolist()]
    t = np.arange(200 * 50 + 1) / 1000
    held = np.append(np.repeat(slopes, 50), slopes[-1])
    rise = np.append(0.0, slopes) * (1 - sum(SHARES))
    for share, natural_hz in zip(SHARES, slosh_frequencies_hz(0.4, 0.2, MODES), strict=True):
        omega = 2 * math.pi * natural_hz
        rise = rise + share * lsim(([omega**2], [1, 0.4 * omega, omega**2]), held, t, interp=False)[1][::50]
    assert got == pytest.approx(0.2 * rise[1:], abs=1e-9)


def test_a_liquid_that_leans_spills_where_the_figures_say() -> None:
    """Slowly, tan θ = 2·freeboard/L is the limit: 31.0° here."""
    for angle_deg, spills in ((29.0, False), (33.0, True)):
        angles = np.radians(angle_deg * np.clip(np.arange(0, 60, 1 / RATE_HZ) / 30 - 0.2, 0, 1))
        force = GRAVITY_MPS2 * np.stack([np.sin(angles), 0 * angles, np.cos(angles)], axis=1)
        said = told(force)
        assert (worst(said) >= 3) is spills, (angle_deg, [f.values for f in said])
        assert said[-1].values["by"] == "lean"


def test_what_keeps_time_with_the_wave_spills_and_what_does_not_stays() -> None:
    said = told(swerving(0.12, FIRST_HZ, 8))
    assert worst(said) >= 3 and said[-1].phase is not Phase.START, said
    assert said[-1].values["by"] == "resonance"
    for hertz in (0.3, 0.7, 2.2, 4.0):
        assert worst(told(swerving(0.12, hertz, 8))) == 0, hertz


@pytest.mark.parametrize(
    ("what", "force"),
    [
        (
            "brisk braking",
            np.concatenate([rest(5, RATE_HZ), rest(3, RATE_HZ, (-0.25, 0, 1)), rest(9, RATE_HZ)]),
        ),
        ("a slope of 12°", np.concatenate([rest(5, RATE_HZ), tilted(60, RATE_HZ, 12)])),
        ("a rough road", rest(60, RATE_HZ) + np.random.default_rng(5).normal(0, 1, (12_000, 3))),
        ("a fall", np.concatenate([rest(5, RATE_HZ), rest(0.4, RATE_HZ) * 0.02, rest(9, RATE_HZ)])),
    ],
)
def test_what_stays_in_the_tank(what: str, force: F64) -> None:
    said = told(force)
    assert worst(said) < 3, (what, [f.values for f in said])


def test_a_wave_breaks_and_does_not_grow_for_ever() -> None:
    """Penney and Price 1952: the highest crest is 0.141 of a wave length, of 2·L; less where shallow."""
    assert highest_crest_m(0.8, 10.0) == pytest.approx(0.2256, abs=1e-4)
    assert highest_crest_m(0.8, 0.02) < 0.02, "no wave digs deeper than the bottom"
    low = SloshSettings(length_m=0.8, width_m=0.5, fill_m=0.3, freeboard_m=0.1)
    force = np.concatenate([swerving(0.3, slosh_frequencies_hz(0.8, 0.3)[0], 30), rest(60, RATE_HZ)])
    said = told(force, low)
    assert said[-1].phase is Phase.END, said
    rise_m = float(said[-1].values["rise_m"])  # type: ignore[arg-type]
    assert 0.15 < rise_m < 0.35, f"by linear theory more than 2 m: {rise_m} m"


def test_a_surface_that_lays_the_bottom_dry_is_a_wedge_of_the_same_volume() -> None:
    waves = Waves(0.4, 0.1, 0.02)
    waves.rest(0.5)
    assert waves.lean_m() == pytest.approx(0.1), "just dry"
    waves.rest(-2.0)
    wet_m = (0.1 - waves.lean_m()) / 2.0  # of the bottom
    assert wet_m * (0.1 - waves.lean_m()) / 2 == pytest.approx(0.4 * 0.1)


def test_waves_that_follow_each_other_are_one_event() -> None:
    force = rest(60, RATE_HZ)
    t = np.arange(len(force)) / RATE_HZ
    for start_s in (5, 16, 27, 38):
        force[(t > start_s) & (t < start_s + 1.2), 0] += 0.35 * GRAVITY_MPS2
    said = told(force, SloshSettings(length_m=0.4, width_m=0.3, fill_m=0.2, freeboard_m=0.12, damping=0.06))
    assert sum(f.phase is Phase.START for f in said) == 1, [(f.start_ns, f.values) for f in said]


def test_a_spill_is_told_even_soon_after_another_event() -> None:
    force = np.concatenate([swerving(0.06, FIRST_HZ, 7)[:3600], swerving(0.15, FIRST_HZ, 8)])
    said = told(force, SloshSettings(length_m=0.4, width_m=0.3, fill_m=0.2, freeboard_m=0.12, release_s=1.0))
    starts = [f for f in said if f.phase is Phase.START]
    assert len(starts) == 2 and worst(said) >= 3, [(f.start_ns, f.severity) for f in said]
    gap_s = (starts[1].start_ns - starts[0].start_ns) / 1e9
    assert gap_s < 30, gap_s


def test_a_sensor_that_is_askew_makes_no_waves() -> None:
    bias = np.array([0.7, -0.5, 0.3])
    assert not told(rest(20, RATE_HZ) + bias)


def test_it_says_what_it_cannot_watch() -> None:
    assert 'profile = "liquid-food"' in SloshDetector(SloshSettings(), UP).notes()[0]
    slow = SloshDetector(TANK, UP)
    assert not heard(slow, {"accel": (tilted(60, 2.0, 60), 2.0)})
    assert "too slowly" in slow.notes()[0]


def test_across_is_level_and_square() -> None:
    for up in (UP, (1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.1, 0.2, 0.97)):
        size = math.hypot(*up)
        here = (up[0] / size, up[1] / size, up[2] / size)
        along, wide = (np.array(v) for v in along_and_across(here, "x"))
        table = np.array([along, wide, here])
        assert table @ table.T == pytest.approx(np.eye(3), abs=1e-12), up


def test_where_blocks_are_cut_changes_nothing() -> None:
    force = swerving(0.12, FIRST_HZ, 8) + np.random.default_rng(6).normal(0, 0.5, (4400, 3))
    said = same_however_cut(lambda: SloshDetector(TANK, UP), {"accel": (force, RATE_HZ)})
    assert worst(said) >= 3
