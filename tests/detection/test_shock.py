"""Shock: whatever passes peak and velocity change, in any direction, at the sample that completes it."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.blocks import Quality, SiBlock
from agent.detection import DetectorSettings, make_detectors
from agent.detection.finding import Finding
from agent.detection.pulse import Pulse
from agent.detection.shock import ShockDetector, ShockSettings
from agent.records import Phase, Severity
from agent.streams import TABLE
from firmware_bridge.virtual.road import RoadNoise
from tests.detection.signals import F64, GRAVITY_MPS2, found, rest, si_block

UP = np.array([0.0, 0.0, 1.0])


def pulse(shape: str, peak_g: float, lasts_s: float, rate_hz: float, along: F64, *, late: float = 0.4) -> F64:
    """Return 1 s of rest with noise, a pulse from 1 s + `late` samples on, and 2 s of rest."""
    signal = rest(3, rate_hz) + np.random.default_rng(1).normal(0, 0.05, (round(3 * rate_hz), 3))
    share = ((np.arange(len(signal)) - late) / rate_hz - 1.0) / lasts_s
    forms = {
        "half-sine": np.sin(np.pi * share),
        "saw-tooth": share,
        "trapezoid": np.clip(np.minimum(share, 1 - share) * 10, 0, 1),
    }
    push = np.where((share >= 0) & (share < 1), forms[shape], 0.0) * peak_g * GRAVITY_MPS2
    return np.asarray(signal + push[:, None] * along)


def clipped(signal: F64, rate_hz: float, full_scale_g: float) -> SiBlock:
    """Return the block that a sensor of this range gives of a signal."""
    limit = full_scale_g * GRAVITY_MPS2
    block = si_block("accel", np.clip(signal, -limit, limit), rate_hz)
    flags = np.where((np.abs(signal) >= limit).any(axis=1), np.uint8(Quality.SATURATED), np.uint8(0))
    return replace(block, quality=flags)


def shocks(signal: F64, rate_hz: float) -> list[Finding]:
    return found(ShockDetector(ShockSettings()), [si_block("accel", signal, rate_hz)])


directions = st.tuples(st.floats(-1, 1), st.floats(-1, 1), st.floats(-1, 1)).filter(
    lambda v: np.linalg.norm(v) > 0.3
)
AREA = {"half-sine": 2 / np.pi, "saw-tooth": 0.5, "trapezoid": 0.9}


@settings(max_examples=40)
@given(
    shape=st.sampled_from(sorted(AREA)),
    rate_hz=st.sampled_from([1000.0, 3200.0]),
    peak_g=st.floats(30, 150),
    lasts_s=st.floats(0.008, 0.03),
    along=directions,
    late=st.floats(0.01, 0.99),
)
def test_any_shape_in_any_direction_is_one_alarm_with_its_figures(
    shape: str, rate_hz: float, peak_g: float, lasts_s: float, along: tuple[float, float, float], late: float
) -> None:
    unit = np.array(along) / np.linalg.norm(along)
    findings = shocks(pulse(shape, peak_g, lasts_s, rate_hz, unit, late=late), rate_hz)
    assert findings[0].phase is Phase.START and findings[-1].phase is Phase.END, findings
    assert findings[0].severity >= Severity.MAJOR, findings[0]
    assert {f.number for f in findings} == {1}, findings
    said = findings[-1].values
    delta_v_mps = AREA[shape] * peak_g * GRAVITY_MPS2 * lasts_s
    # half a sample at each end of a flank that is not there
    assert said["delta_v_mps"] == pytest.approx(delta_v_mps, rel=0.03 + 1.2 / (rate_hz * lasts_s)), said
    assert said["peak_mps2"] == pytest.approx(peak_g * GRAVITY_MPS2, rel=0.02 + 1.2 / (rate_hz * lasts_s))
    largest = {
        axis for axis, part in zip("xyz", np.abs(unit), strict=True) if part > np.abs(unit).max() - 0.02
    }
    assert said["axis"] in largest, (said, unit)


def test_it_is_decided_by_the_sample_that_passes_both_limits() -> None:
    signal = pulse("half-sine", 50, 0.011, 1000, UP)
    beyond = np.cumsum(signal[:, 2] - GRAVITY_MPS2)[1000:] / 1000
    completes = 1000 + int(np.argmax((beyond > 0.9) & (signal[1000:, 2] > 147.1)))
    start = shocks(signal, 1000)[0]
    assert abs(start.decided_ns / 1e6 - completes) <= 1, (start.decided_ns, completes)
    assert start.severity is Severity.MAJOR


def test_it_grows_to_critical_and_says_so() -> None:
    start, update, end = shocks(pulse("half-sine", 50, 0.011, 1000, UP), 1000)
    assert [f.phase for f in (start, update, end)] == [Phase.START, Phase.UPDATE, Phase.END]
    assert [int(f.severity) for f in (start, update, end)] == [3, 4, 4]
    assert start.decided_ns < update.decided_ns <= 1_012_000_000, update.decided_ns
    # figures.md: the response of a 50 g 11 ms half-sine at 10, 20 and 40 Hz
    said = dict(zip(end.values["srs_hz"], end.values["srs_mps2"], strict=True))  # type: ignore[arg-type]
    for hertz, peak_g in ((10.0, 20.259), (20.0, 39.156), (40.0, 68.077)):
        assert said[hertz] == pytest.approx(peak_g * GRAVITY_MPS2, rel=0.02), said


@pytest.mark.parametrize(
    ("peak_g", "lasts_s", "severity"), [(12, 0.011, 2), (15.7, 0.011, 3), (40, 0.0022, 2), (200, 0.0004, 0)]
)
def test_both_peak_and_velocity_count(peak_g: float, lasts_s: float, severity: int) -> None:
    findings = shocks(pulse("half-sine", peak_g, lasts_s, 3200, np.array([0.6, 0, 0.8])), 3200)
    worst = max((int(f.severity) for f in findings), default=0)
    assert worst == severity, findings


def test_two_pulses_are_one_event_and_three_seconds_later_is_another() -> None:
    one = pulse("half-sine", 30, 0.011, 1000, UP)
    two = one + np.roll(one, 200, axis=0) - rest(3, 1000)
    findings = shocks(np.concatenate([two, one]), 1000)
    assert [(f.phase, f.number) for f in findings] == [
        (Phase.START, 1), (Phase.END, 1), (Phase.START, 2), (Phase.END, 2)
    ], findings  # fmt: skip
    assert findings[1].values["pulses"] == 2 and "pulses" not in findings[3].values
    assert findings[1].end_ns == pytest.approx(1_210_000_000, abs=3_000_000)


def road(level: float) -> F64:
    noise = RoadNoise(3)
    return rest(20, 1000) + level * np.concatenate([noise.platform_mps2(k) for k in range(20)])


def stuck(value: float, samples: int) -> F64:
    signal = rest(3, 1000) + np.random.default_rng(1).normal(0, 0.05, (3000, 3))
    signal[1000 : 1000 + samples, 0] = value
    return signal


def knock() -> F64:
    """80 g for 0.3 ms beside the sensor, a mean over its sample, and ringing at 300 Hz."""
    signal = rest(3, 1000) + np.random.default_rng(1).normal(0, 0.05, (3000, 3))
    t = np.arange(80) / 1000
    signal[1000, 1] += 80 * GRAVITY_MPS2 * 0.3 * 2 / np.pi
    signal[1001:1081, 1] += 80 * np.exp(-t / 0.01) * np.sin(2 * np.pi * 300 * t)
    return signal


@pytest.mark.parametrize(
    ("what", "signal"),
    [
        ("rest", rest(5, 1000)),
        ("truck, level II", road(1.0)),
        ("truck, level I", road(1.41)),
        ("spike", stuck(1500.0, 1)),
        ("stuck", stuck(157.0, 900)),
        ("stuck for long", stuck(400.0, 1900)),
        ("speed hump", pulse("half-sine", 2.5, 0.12, 1000, UP)),
        ("turned over and spun", rest(5, 1000) * 9),
        ("knock", knock()),
    ],
)
def test_what_is_no_shock(what: str, signal: F64) -> None:
    findings = shocks(signal, 1000)
    assert not findings, (what, findings)


@pytest.mark.parametrize(("peak_g", "lasts_s"), [(40, 0.011), (50, 0.011), (80, 0.008)])
def test_a_clipped_pulse_is_judged_when_it_comes_back_as_a_lower_bound(peak_g: float, lasts_s: float) -> None:
    block = clipped(pulse("half-sine", peak_g, lasts_s, 1000, UP), 1000, 16)
    start, *_, end = found(ShockDetector(ShockSettings()), [block])
    assert start.severity is Severity.MAJOR, start
    back_s = 1.0004 + lasts_s * (1 - np.arcsin(16 / peak_g) / np.pi)
    assert 0 <= start.decided_ns / 1e9 - back_s < 0.0021, (start, back_s)
    assert end.values["peak_saturated"] is True
    assert end.values["delta_v_mps"] < peak_g * GRAVITY_MPS2 * lasts_s * 2 / np.pi  # type: ignore[operator]


def test_a_sensor_at_the_end_of_its_range_is_no_shock_and_a_small_range_is_said() -> None:
    held = stuck(16.5 * GRAVITY_MPS2, 700)
    assert not found(ShockDetector(ShockSettings()), [clipped(held, 1000, 16)])
    detector = ShockDetector(ShockSettings())
    assert not found(detector, [clipped(pulse("half-sine", 50, 0.011, 1000, UP), 1000, 2)])
    assert any("end of its range" in note for note in detector.notes()), detector.notes()


@pytest.mark.parametrize(("rate_hz", "said"), [(100.0, True), (1000.0, False)])
def test_a_slow_sensor_says_what_it_misses(rate_hz: float, said: bool) -> None:
    detector = ShockDetector(ShockSettings())
    found(detector, [si_block("accel", rest(5, rate_hz), rate_hz)])
    assert any("1000 Hz" in note for note in detector.notes()) is said, detector.notes()


@pytest.mark.parametrize(("fall_s", "types"), [(0.35, {"drop"}), (0.1, {"shock"})])
def test_the_impact_of_a_fall_belongs_to_its_drop(fall_s: float, types: set[str]) -> None:
    signal = pulse("half-sine", 80, 0.011, 1000, UP)
    rng = np.random.default_rng(2)
    n = round(fall_s * 1000)
    signal[1000 - n : 1000] = rng.normal(0, 0.1, (n, 3))
    detectors = make_detectors(DetectorSettings(), [TABLE["accel"]], (0.0, 0.0, 1.0))
    block = si_block("accel", signal, 1000)
    fed = [f for d in detectors for f in d.feed(block)]
    alarms = [f for f in fed if f.severity >= Severity.MAJOR and f.phase is Phase.START]
    assert {f.type.value for f in alarms} == types and len(alarms) == 1, alarms
    ended = [f for f in fed if f.phase is Phase.END]
    assert ended[0].values["delta_v_mps"] == pytest.approx(80 * GRAVITY_MPS2 * 0.011 * 2 / np.pi, rel=0.1)


LONG = np.concatenate(
    [pulse("half-sine", 60, 0.011, 1000, np.array([0.6, 0.0, -0.8])), knock(), road(1.0)[:2000]]
)
LONG[3990:4200] += pulse("saw-tooth", 25, 0.02, 1000, UP)[990:1200]


@given(
    cuts=st.lists(st.integers(1, len(LONG) - 1), max_size=15),
    near=st.lists(st.integers(990, 1100), max_size=6),
)
def test_where_blocks_are_cut_changes_nothing(cuts: list[int], near: list[int]) -> None:
    whole = shocks(LONG, 1000)
    edges = sorted({0, *cuts, *near, len(LONG)})
    parts = [si_block("accel", LONG[a:b], 1000, start_s=a / 1000) for a, b in itertools.pairwise(edges)]
    assert found(ShockDetector(ShockSettings()), parts) == whole
    assert sum(f.phase is Phase.END for f in whole) == 2, whole


def test_a_pulse_that_the_cable_cut_in_two_is_not_made_up() -> None:
    signal = pulse("half-sine", 16, 0.011, 1000, UP)
    blocks = [si_block("accel", signal[:1003], 1000), si_block("accel", signal[1030:], 1000, start_s=1.03)]
    assert not found(ShockDetector(ShockSettings()), blocks)


def test_nobody_looks_at_all_of_a_pulse_with_each_of_its_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[Pulse] = []

    def look(self: Pulse) -> bool:
        looks.append(self)
        return False

    monkeypatch.setattr(Pulse, "rectangular", property(look))
    signal = pulse("half-sine", 40, 0.018, 3200, np.array([0, 0, 1.0]))
    assert shocks(signal, 3200) and not looks, len(looks)
