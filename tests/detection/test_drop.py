"""Drop: every fall once, with its height; nothing else."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.blocks import SiBlock
from agent.detection.drop import DropDetector, DropSettings
from agent.records import Phase, Severity
from tests.detection.signals import F64, GRAVITY_MPS2, found, rest, si_block


def fall(height_m: float, rate_hz: float, up: F64, *, bias_mps2: float = 0.0, ring_mps2: float = 0.0) -> F64:
    """Return rest, a fall from `height_m`, an impact of 8 ms or a sample, and rest again."""
    seconds = np.sqrt(2 * height_m / GRAVITY_MPS2)
    n = round(seconds * rate_hz)
    flight = np.full((n, 3), bias_mps2 / np.sqrt(3))
    flight[:, 0] += ring_mps2 * np.sin(np.arange(n) * 1.7)
    flight[:, 2] += 0.01 * np.cos(np.arange(n) * 2.9)  # a sensor's noise: one that repeats itself is dead
    impact = np.tile(up * 120.0, (max(1, round(0.008 * rate_hz)), 1))
    return np.concatenate([rest(1, rate_hz, up.tolist()), flight, impact, rest(2, rate_hz, up.tolist())])


unit_vectors = st.tuples(st.floats(-1, 1), st.floats(-1, 1), st.floats(-1, 1)).filter(
    lambda v: np.linalg.norm(v) > 0.3
)


@given(
    height_m=st.floats(0.18, 2.5),
    rate_hz=st.sampled_from([50.0, 100.0, 400.0, 1000.0, 3200.0]),
    up=unit_vectors,
    bias_mps2=st.floats(0, 1.2),
    ring_mps2=st.floats(0, 1.0),
)
def test_any_fall_is_one_drop_with_its_height(
    height_m: float, rate_hz: float, up: tuple[float, float, float], bias_mps2: float, ring_mps2: float
) -> None:
    direction = np.asarray(up) / np.linalg.norm(up)
    signal = fall(height_m, rate_hz, direction, bias_mps2=bias_mps2, ring_mps2=ring_mps2)
    findings = found(DropDetector(DropSettings()), [si_block("accel", signal, rate_hz)])
    assert [f.phase for f in findings] == [Phase.START, Phase.END], findings
    said_m = findings[1].values["height_m"]
    assert isinstance(said_m, float)
    # one sample's worth of fall, and the centimetre that the record is rounded to
    tolerance_m = np.sqrt(2 * height_m * GRAVITY_MPS2) / rate_hz + 0.011
    assert abs(said_m - height_m) <= tolerance_m, (said_m, height_m, tolerance_m)
    start_s = findings[0].start_ns / 1e9
    assert abs(start_s - 1.0) <= 1.5 / rate_hz, start_s


def test_the_alarm_is_decided_in_the_fall_and_not_after_it() -> None:
    signal = fall(1.0, 1000, np.array([0, 0, 1.0]))
    start, end = found(DropDetector(DropSettings()), [si_block("accel", signal, 1000)])
    assert (start.decided_ns - start.start_ns) / 1e9 == pytest.approx(0.179, abs=0.002)
    assert end.severity is Severity.CRITICAL
    assert end.values["peak_mps2"] == pytest.approx(120, abs=0.5)
    # eight samples of 120 m/s2
    assert end.values["delta_v_mps"] == pytest.approx(0.96, abs=0.05), end.values
    assert end.values["duration_s"] == pytest.approx(0.008, abs=0.001), end.values


@given(cuts=st.lists(st.integers(1, 6800), max_size=20))
def test_where_blocks_are_cut_changes_nothing(cuts: list[int]) -> None:
    signal = fall(0.5, 1000, np.array([0, 0.6, 0.8]))
    signal[1100:1102] = 11.0  # an interruption without an impact
    signal = np.concatenate([thrown_up(1.8, 8.0), signal])
    whole = found(DropDetector(DropSettings()), [si_block("accel", signal, 1000)])
    edges = sorted({0, *(c for c in cuts if c < len(signal)), len(signal)})
    parts = [si_block("accel", signal[a:b], 1000, start_s=a / 1000) for a, b in itertools.pairwise(edges)]
    assert found(DropDetector(DropSettings()), parts) == whole
    assert len(whole) == 4, whole


def test_a_rebound_belongs_to_its_drop() -> None:
    up = np.array([0, 0, 1.0])
    first, bounce = fall(0.8, 1000, up), fall(0.06, 1000, up)[1000:]
    signal = np.concatenate([first[: -2000 + 30], bounce])
    findings = found(DropDetector(DropSettings()), [si_block("accel", signal, 1000)])
    assert [f.phase for f in findings] == [Phase.START, Phase.END], findings
    assert findings[1].values["rebounds"] == 1
    assert findings[1].values["height_m"] == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize(
    ("what", "signal"),
    [
        ("10 cm", fall(0.10, 1000, np.array([0, 0, 1.0]))),
        ("rest", rest(20, 1000)),
        ("shaken", rest(10, 1000) * (1 + 0.65 * np.sin(np.arange(10_000) * 2 * np.pi * 2.0 / 1000))[:, None]),
        ("rough road", rest(20, 1000) + np.random.default_rng(2).normal(0, 5.0, (20_000, 3))),
    ],
)
def test_what_is_no_drop(what: str, signal: F64) -> None:
    findings = found(DropDetector(DropSettings()), [si_block("accel", signal, 1000)])
    assert not findings, (what, findings)


@pytest.mark.parametrize("value", [0.0, 1.3])
def test_a_sensor_that_repeats_one_sample_tells_of_no_fall(value: float) -> None:
    stuck = np.concatenate([rest(1, 100), np.full((70, 3), value), rest(2, 100)])
    findings = found(DropDetector(DropSettings()), [si_block("accel", stuck, 100)])
    assert not findings, findings


def thrown_up(press_g: float, impact_g: float) -> F64:
    """A floor that comes up under a box, lets it down for 0.22 s, and takes it again."""
    rng = np.random.default_rng(4)
    parts = [(1.0, 1.0), (0.2, press_g), (0.22, 0.2), (0.02, impact_g), (2.0, 1.0)]
    up = np.concatenate([np.full(round(s * 1000), g * GRAVITY_MPS2) for s, g in parts])
    return np.stack([0 * up, 0 * up, up], axis=1) + rng.normal(0, 0.3, (len(up), 3))


@pytest.mark.parametrize(("press_g", "impact_g", "drops"), [(1.0, 1.5, 1), (1.8, 1.5, 0), (1.8, 8.0, 1)])
def test_what_springs_throw_up_has_dropped_only_if_it_lands_hard(
    press_g: float, impact_g: float, drops: int
) -> None:
    signal = thrown_up(press_g, impact_g)
    findings = found(DropDetector(DropSettings()), [si_block("accel", signal, 1000)])
    assert sum(f.phase is Phase.START for f in findings) == drops, findings
    if drops and press_g > 1:
        assert findings[0].decided_ns >= 1_420_000_000, findings[0]


def test_a_box_that_spins_as_it_falls_has_dropped_when_it_lands() -> None:
    signal = fall(0.35, 1000, np.array([0, 0, 1.0]), ring_mps2=0.5)
    signal[1000:1267, 1] += 0.4 * GRAVITY_MPS2  # ω² r
    start, end = found(DropDetector(DropSettings()), [si_block("accel", signal, 1000)])
    assert start.decided_ns == pytest.approx(1_267_000_000, abs=2_000_000), start
    assert end.values["height_m"] == pytest.approx(0.35, abs=0.02), end


def test_a_fall_without_noise_is_proven_by_its_impact() -> None:
    signal = fall(0.5, 1000, np.array([0.6, 0, 0.8]))
    signal[1000:1319] = 0.0
    start, end = found(DropDetector(DropSettings()), [si_block("accel", signal, 1000)])
    assert start.decided_ns == 1_319_000_000, start
    assert end.values["height_m"] == pytest.approx(0.5, abs=0.01), end


def test_a_sensor_that_gives_nothing_but_noise_ends_as_implausible() -> None:
    noise = np.random.default_rng(1).normal(0, 0.05, (1000, 3))
    signal = np.concatenate([rest(1, 100), noise, rest(2, 100)])
    findings = found(DropDetector(DropSettings()), [si_block("accel", signal, 100)])
    assert [f.phase for f in findings] == [Phase.START, Phase.END]
    assert findings[1].values["implausible"] is True
    assert findings[1].severity is Severity.MAJOR  # never less than its alarm said


def test_two_hertz_cannot_show_a_fall_and_says_so() -> None:
    signal = rest(60, 2)
    signal[50] = 0.5
    detector = DropDetector(DropSettings())
    assert not found(detector, [si_block("accel", signal, 2)])
    assert "too slowly" in detector.notes()[0]


@pytest.mark.parametrize(("missing", "drops"), [(3, 1), (400, 0)])
def test_missing_samples_in_a_fall(missing: int, drops: int) -> None:
    """A few are bridged; where most of the fall is missing, nothing is invented."""
    signal = fall(0.8, 1000, np.array([0, 0, 1.0]))
    before = si_block("accel", signal[:1080], 1000)
    rest_s = (1080 + missing) / 1000
    after: SiBlock = si_block("accel", signal[1080 + missing :], 1000, start_s=rest_s)
    findings = found(DropDetector(DropSettings()), [before, after])
    assert len([f for f in findings if f.phase is Phase.START]) == drops, findings


def test_a_pause_interrupts_a_fall_wherever_blocks_are_cut() -> None:
    """Times of a log may pause without a sample missing: too short for a gap, too long for a fall."""
    signal = rest(4, 100.0)
    signal[110:131] *= 0.02  # 0.12 s and 0.10 s of lightness, and 60 ms between them
    times_ns = np.arange(len(signal)) * 10_000_000
    times_ns[120:] += 60_000_000
    whole = SiBlock("accel", 0, times_ns, 10_000_000, signal.astype(np.float32))
    parts = [
        SiBlock("accel", a, times_ns[a:b], 10_000_000, whole.values[a:b])
        for a, b in itertools.pairwise((0, 115, 120, 125, len(signal)))
    ]
    assert found(DropDetector(DropSettings()), [whole]) == found(DropDetector(DropSettings()), parts) == []


def test_the_end_of_an_interrupted_fall_keeps_what_was_seen_of_it() -> None:
    signal = fall(1.0, 1000.0, np.array([0.0, 0.0, 1.0]))
    lost = slice(1300, 1500)  # of a fall from 1.0 s to 1.45 s, the cable took the rest
    blocks = [
        si_block("accel", signal[: lost.start], 1000.0),
        si_block("accel", signal[lost.stop :], 1000.0, start_s=lost.stop / 1000),
    ]
    start, end = found(DropDetector(DropSettings()), blocks)
    assert end.values["fall_s"] == 0.3 and end.end_ns == 1_300_000_000, end
    assert end.severity is Severity.MAJOR, (start, end)


def test_a_sensor_that_never_felt_gravity_tells_of_no_fall() -> None:
    """One made for vibration: what it gives at rest looks like falling all the time."""
    noise = np.random.default_rng(5).normal(0, 1.0, (20_000, 3))
    noise[700::1500] *= 12.0
    assert not found(DropDetector(DropSettings()), [si_block("accel", noise, 1000)])


def test_the_end_never_says_less_than_the_alarm_did() -> None:
    signal = fall(0.2, 1000, np.array([0, 0, 1.0]))
    findings = found(DropDetector(DropSettings()), [si_block("accel", signal, 1000)])
    assert [f.severity for f in findings] == [Severity.MAJOR, Severity.MAJOR], findings


@pytest.mark.parametrize("size", [1, 50, 5000])
def test_a_fall_becomes_major_with_the_sample_that_makes_it_as_high(size: int) -> None:
    signal = fall(1.0, 1000, np.array([0, 0, 1.0]))
    blocks = [si_block("accel", signal[i : i + size], 1000, start_s=i / 1000) for i in range(0, 3000, size)]
    findings = found(DropDetector(DropSettings(major_height_m=0.5)), blocks)
    assert [(f.phase, f.severity) for f in findings] == [
        (Phase.START, Severity.GENERAL),
        (Phase.UPDATE, Severity.MAJOR),
        (Phase.END, Severity.CRITICAL),
    ], findings
    fell_s = (findings[1].decided_ns - findings[1].start_ns) / 1e9
    assert fell_s == pytest.approx(np.sqrt(2 * 0.5 / GRAVITY_MPS2), abs=0.002), fell_s
