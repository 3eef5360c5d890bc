"""Bump: what the road does once, not what it does all the time, nor what hands do."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.detection.bump import BumpDetector, BumpSettings
from agent.detection.claims import Claims
from agent.detection.finding import Finding
from agent.records import Phase, Severity
from firmware_bridge.virtual.road import Isolator, RoadNoise, bump_mps2
from tests.detection.signals import F64, GRAVITY_MPS2, found, rest, si_block


def ride(seconds: int, rate_hz: float, *, noise_mps2: float = 0.4, up: F64 | None = None) -> F64:
    rng = np.random.default_rng(2)
    direction = [0.0, 0.0, 1.0] if up is None else up.tolist()
    return rest(seconds, rate_hz, direction) + rng.normal(0, noise_mps2, (round(seconds * rate_hz), 3))


def jolt(signal: F64, rate_hz: float, at_s: float, peak_g: float, hertz: float, up: F64) -> F64:
    """Add an axle's hop: half a cycle up, half a cycle back at half the size."""
    t = np.arange(len(signal)) / rate_hz - at_s
    size = np.where(t < 0.5 / hertz, 1.0, 0.5) * np.where((t >= 0) & (t < 1 / hertz), 1.0, 0.0)
    push = peak_g * GRAVITY_MPS2 * size * np.sin(2 * np.pi * hertz * t)
    return np.asarray(signal + push[:, None] * up)


def bumps(signal: F64, rate_hz: float, others: tuple[Claims, ...] = ()) -> list[Finding]:
    return found(BumpDetector(BumpSettings(), others), [si_block("accel", signal, rate_hz)])


directions = st.tuples(st.floats(-1, 1), st.floats(-1, 1), st.floats(-1, 1)).filter(
    lambda v: np.linalg.norm(v) > 0.3
)


@settings(max_examples=60)
@given(
    peak_g=st.floats(1.4, 3.0),
    hertz=st.floats(5, 12),
    up=directions,
    rate_hz=st.sampled_from([100.0, 476.0, 1000.0]),
    at_s=st.floats(12.0, 13.0),
)
def test_a_hard_one_is_one_event_in_any_mounting(
    peak_g: float, hertz: float, up: tuple[float, float, float], rate_hz: float, at_s: float
) -> None:
    unit = np.array(up) / np.linalg.norm(up)
    signal = jolt(ride(24, rate_hz, up=unit), rate_hz, at_s, peak_g, hertz, unit)
    findings = bumps(signal, rate_hz)
    assert [f.phase for f in findings] in (
        [Phase.START, Phase.END], [Phase.START, Phase.UPDATE, Phase.END]
    ), findings  # fmt: skip
    assert findings[-1].severity is Severity.GENERAL, findings
    assert at_s - 0.02 <= findings[0].start_ns / 1e9 <= at_s + 1 / hertz + 0.02, findings[0]
    assert 0 < findings[0].decided_ns / 1e9 - at_s <= 1.4, findings[0]
    assert findings[-1].values["peak_mps2"] == pytest.approx(peak_g * GRAVITY_MPS2, rel=0.35)


def test_the_peak_and_the_speed_are_those_of_the_swing() -> None:
    up = np.array([0.0, 0.0, 1.0])
    end = bumps(jolt(ride(20, 1000, noise_mps2=0.05), 1000, 12.1, 2.0, 5.0, up), 1000)[-1]
    assert end.values["peak_mps2"] == pytest.approx(2 * GRAVITY_MPS2, rel=0.03), end
    # half a cycle of 5 Hz from 0.3 of its peak on: cos(arcsin(0.3)) of 2 A / ω
    speed_mps = 2 * 2 * GRAVITY_MPS2 / (2 * np.pi * 5) * np.cos(np.arcsin(0.3))
    assert end.values["delta_v_mps"] == pytest.approx(speed_mps, rel=0.08), end


def test_small_ones_are_minor_and_smaller_ones_nothing() -> None:
    up = np.array([0.0, 0.0, 1.0])
    minor = bumps(jolt(ride(20, 1000), 1000, 12.0, 0.8, 6.0, up), 1000)
    assert {int(f.severity) for f in minor} == {1}, minor
    assert not bumps(jolt(ride(20, 1000), 1000, 12.0, 0.45, 6.0, up), 1000)


def test_a_row_of_them_is_one_event() -> None:
    signal, up = ride(40, 476), np.array([0.0, 0.0, 1.0])
    for at_s in (12.0, 15.0, 18.5, 22.0):
        signal = jolt(signal, 476, at_s, 1.6, 8.0, up)
    findings = bumps(signal, 476)
    assert [f.phase for f in findings].count(Phase.START) == 1, findings
    assert findings[-1].values["bumps"] == 4, findings[-1]
    assert findings[-1].end_ns == pytest.approx(22.03e9, abs=0.1e9)


def truck(level: float, seconds: int = 60) -> F64:
    noise = RoadNoise(4)
    return rest(seconds, 1000) + level * np.concatenate([noise.platform_mps2(k) for k in range(seconds)])


def floor(hertz: float, peak_g: float) -> F64:
    """A door's slam or a knock, high and short."""
    signal = ride(20, 1000, noise_mps2=0.05)
    t = np.arange(500) / 1000
    signal[12_000:12_500, 2] += peak_g * GRAVITY_MPS2 * np.exp(-t / 0.01) * np.sin(2 * np.pi * hertz * t)
    return signal


def stuck(value: float, samples: int) -> F64:
    signal = ride(20, 1000, noise_mps2=0.05)
    signal[12_000 : 12_000 + samples, 2] = value
    return signal


def braked() -> F64:
    signal = ride(20, 1000, noise_mps2=0.3)
    signal[12_000:15_000, 0] -= 0.5 * GRAVITY_MPS2
    return signal


@pytest.mark.parametrize(
    ("what", "signal"),
    [
        ("rest", rest(20, 1000)),
        ("sprung truck", rest(60, 1000) + np.concatenate([RoadNoise(4).box_mps2(k) for k in range(60)])),
        ("truck, level II", truck(1.0)),
        ("slam at 120 Hz", floor(120, 3.0)),
        ("spike", stuck(150.0, 1)),
        ("stuck at the end", stuck(160.0, 3000)),
        ("zeros", stuck(0.0, 3000)),
        ("braked", braked()),
    ],
)
def test_what_is_no_bump(what: str, signal: F64) -> None:
    findings = bumps(signal, 1000)
    assert not findings, (what, findings)


def test_a_hump_that_the_virtual_road_has_is_found_above_its_noise() -> None:
    hump = bump_mps2(Isolator(), crossing_s=0.12)
    signal = ride(20, 1000)
    signal[12_000 : 12_000 + len(hump), 2] += hump * 14.0 / float(np.abs(hump).max())
    findings = bumps(signal, 1000)
    assert findings and findings[0].severity is Severity.GENERAL, findings


def test_what_belongs_to_a_fall_or_a_blow_is_no_bump() -> None:
    signal = jolt(ride(20, 1000), 1000, 12.0, 2.0, 6.0, np.array([0.0, 0.0, 1.0]))
    claims = Claims()
    claims.known(12_150_000_000)
    claims.over(13_000_000_000)
    assert not bumps(signal, 1000, (claims,))
    assert bumps(signal, 1000, (Claims(),))


def test_too_few_samples_are_said() -> None:
    detector = BumpDetector(BumpSettings())
    assert not found(detector, [si_block("accel", rest(60, 2), 2)])
    assert "too slowly" in detector.notes()[0]


UP = np.array([0.0, 0.0, 1.0])
LONG = jolt(jolt(truck(0.2, 24), 1000, 11.97, 1.6, 6.0, UP), 1000, 19.5, 1.8, 9.0, UP)


@settings(max_examples=30)
@given(
    cuts=st.lists(st.integers(1, len(LONG) - 1), max_size=15),
    near=st.lists(st.integers(11_900, 12_600), max_size=6),
)
def test_where_blocks_are_cut_changes_nothing(cuts: list[int], near: list[int]) -> None:
    whole = bumps(LONG, 1000)
    edges = sorted({0, *cuts, *near, len(LONG)})
    parts = [si_block("accel", LONG[a:b], 1000, start_s=a / 1000) for a, b in itertools.pairwise(edges)]
    assert found(BumpDetector(BumpSettings()), parts) == whole
    assert sum(f.phase is Phase.START for f in whole) == 2, whole
