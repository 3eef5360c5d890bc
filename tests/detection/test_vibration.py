"""Vibration: beyond what packaging is tested for, and how much of it; nothing at the test's own level."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.detection.finding import Finding
from agent.detection.vibration import VibrationDetector, VibrationSettings, _Window
from agent.records import Phase, Severity
from firmware_bridge.virtual.road import RoadNoise
from tests.detection.signals import F64, GRAVITY_MPS2, found, rest, si_block


def shaken(seconds: int, rms_g: float, rate_hz: float = 400) -> F64:
    """Return rest with white noise, `rms_g` over all three axes."""
    rng = np.random.default_rng(3)
    n = round(seconds * rate_hz)
    return rest(seconds, rate_hz) + rng.normal(0, rms_g * GRAVITY_MPS2 / np.sqrt(3), (n, 3))


def said(signal: F64, rate_hz: float = 400, window_s: float = 30.0) -> list[Finding]:
    return found(
        VibrationDetector(VibrationSettings(window_s=window_s)), [si_block("accel", signal, rate_hz)]
    )


def truck(level: float, seconds: int) -> F64:
    noise = RoadNoise(1)
    return rest(seconds, 1000) + level * np.concatenate([noise.platform_mps2(k) for k in range(seconds)])


def test_the_packaging_test_itself_is_harmless_and_twice_as_much_is_not() -> None:
    assert not said(truck(1.0, 70), 1000)
    start, *_ = said(truck(2.0, 70), 1000)
    assert start.severity is Severity.GENERAL
    # level II is 0.52 g rms vertically, and 1.15 times as much with what goes sideways
    assert start.values["rms_mps2"] == pytest.approx(2 * 0.52 * 1.15 * GRAVITY_MPS2, rel=0.06), start


def test_it_says_how_much_since_when_and_until_when() -> None:
    calm = shaken(40, 0.05)
    findings = said(np.concatenate([calm, shaken(50, 1.0), calm]))
    assert [f.phase for f in findings] == [Phase.START, Phase.END], findings
    start, end = findings
    # 0.73² of a mean square of 1² g² over 30 s: half of the window
    assert start.decided_ns / 1e9 == pytest.approx(40 + 30 * 0.73**2, abs=1.0), start
    assert start.start_ns / 1e9 == 40.0, start
    assert end.values["worst_mps2"] == pytest.approx(GRAVITY_MPS2, rel=0.02), end
    assert end.values["dose_s"] == pytest.approx(50 * GRAVITY_MPS2**2 / 7.16**2, rel=0.05), end


def test_far_beyond_and_long_is_major_and_then_the_news_come_once_a_minute() -> None:
    findings = said(shaken(200, 1.8, 100), 100)
    assert [int(f.severity) for f in findings[:2]] == [2, 3], findings
    assert findings[1].phase is Phase.UPDATE
    assert findings[1].decided_ns / 1e9 == pytest.approx(60 * 0.8, abs=1.0), findings[1]
    later = np.diff([f.decided_ns / 1e9 for f in findings[1:-1]])
    assert (later >= 60.0).all(), later
    short = said(np.concatenate([shaken(60, 0.05, 100), shaken(35, 1.8, 100), shaken(60, 0.05, 100)]), 100)
    assert {int(f.severity) for f in short} == {2}, short


def turned() -> F64:
    """Turned over and back by hand, twice a second for a minute."""
    angle = 1.2 * np.sin(2 * np.pi * 0.5 * np.arange(60 * 400) / 400)
    return np.stack([np.sin(angle), 0 * angle, np.cos(angle)], axis=1) * GRAVITY_MPS2


def struck() -> F64:
    signal = shaken(60, 0.05)
    signal[10_000:10_006, 2] += 150 * GRAVITY_MPS2
    signal[14_000:14_006, 0] += 150 * GRAVITY_MPS2
    return signal


@pytest.mark.parametrize(
    ("what", "signal"),
    [("rest", rest(60, 400)), ("a tram", shaken(60, 0.1)), ("turned", turned()), ("struck", struck())],
)
def test_what_is_no_vibration(what: str, signal: F64) -> None:
    findings = said(signal)
    assert not findings, (what, findings)


def test_no_chatter_about_the_limit() -> None:
    signal = np.concatenate([shaken(10, 0.73 * (1 + 0.25 * (-1) ** k)) for k in range(40)])
    findings = said(signal, window_s=10.0)
    assert sum(f.phase is Phase.START for f in findings) <= 400 / (60 + 10) + 1, findings


def test_too_few_samples_are_said() -> None:
    detector = VibrationDetector(VibrationSettings())
    assert not found(detector, [si_block("accel", shaken(60, 2.0, 20), 20)])
    assert "too slowly" in detector.notes()[0]


LONG = np.concatenate([shaken(20, 0.1, 100), shaken(70, 1.7, 100), shaken(60, 0.1, 100)])


@settings(max_examples=30)
@given(cuts=st.lists(st.integers(1, len(LONG) - 1), max_size=15))
def test_where_blocks_are_cut_changes_nothing(cuts: list[int]) -> None:
    whole = said(LONG, 100)
    edges = sorted({0, *cuts, len(LONG)})
    parts = [si_block("accel", LONG[a:b], 100, start_s=a / 100) for a, b in itertools.pairwise(edges)]
    assert found(VibrationDetector(VibrationSettings()), parts) == whole
    assert [f.phase for f in whole][-1] is Phase.END and len(whole) >= 3, whole


def test_the_root_of_a_mean_may_be_beyond_what_no_hop_is() -> None:
    window = _Window(2.0)
    for hop in range(4):
        window.take(hop, 1_000_000)
    assert window.first_above(1.0) == 0
