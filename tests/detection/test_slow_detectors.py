"""Tilt, load shift, pressure swing, temperature and humidity: what is said, when, and what is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.blocks import Quality, SiBlock
from agent.detection.band import BandDetector
from agent.detection.finding import EventType, Finding
from agent.detection.humidity import HumiditySettings
from agent.detection.load_shift import LoadShiftDetector, LoadShiftSettings
from agent.detection.pressure import PressureDetector, PressureSettings
from agent.detection.temperature import TemperatureSettings
from agent.detection.tilt import TiltDetector, TiltSettings
from agent.records import Phase, Severity
from tests.detection.signals import F64, GRAVITY_MPS2, found, rest, si_block, tilted

RATE_HZ = 200.0
UP = (0.0, 0.0, 1.0)


def tilt_of(*parts: F64, up: tuple[float, float, float] | None = UP) -> list[tuple[Phase, float, float]]:
    """Return (phase, decided, start) in seconds of what the tilt detector says."""
    detector = TiltDetector(TiltSettings(), up)
    findings = found(detector, [si_block("accel", np.concatenate(parts), RATE_HZ)])
    return [(f.phase, f.decided_ns / 1e9, f.start_ns / 1e9) for f in findings]


def test_a_lasting_tilt_is_one_event_that_ends() -> None:
    said = tilt_of(rest(5, RATE_HZ), tilted(8, RATE_HZ, 33), rest(5, RATE_HZ))
    assert [phase for phase, _, _ in said] == [Phase.START, Phase.END], said
    (_, decided_s, start_s), (_, ended_s, _) = said
    # the low-pass needs its time to pass 30° on its way to 33°
    assert 5.0 <= start_s <= 6.5 and decided_s - start_s == pytest.approx(5.0, abs=0.06), said
    assert 13.0 <= ended_s <= 15.0, said


@given(angle_deg=st.floats(31.5, 179), axis=st.sampled_from([0, 1]), sign=st.sampled_from([-1, 1]))
def test_any_direction_counts(angle_deg: float, axis: int, sign: int) -> None:
    part = tilted(9, RATE_HZ, angle_deg)
    turned = part.copy()
    turned[:, axis], turned[:, 1 - axis] = sign * part[:, 0], part[:, 1]
    said = tilt_of(rest(2, RATE_HZ), turned)
    assert said[0][0] is Phase.START and {phase for phase, _, _ in said[1:-1]} <= {Phase.UPDATE}, (
        angle_deg,
        said,
    )


@pytest.mark.parametrize(
    ("what", "parts"),
    [
        ("4.5 s", [rest(2, RATE_HZ), tilted(4.5, RATE_HZ, 45), rest(5, RATE_HZ)]),
        ("a parking slope of 12°", [rest(2, RATE_HZ), tilted(60, RATE_HZ, 12)]),
        ("a brake of 0.45 g for 4 s", [rest(2, RATE_HZ), rest(4, RATE_HZ, (0.45, 0, 1)), rest(5, RATE_HZ)]),
        ("28°", [rest(2, RATE_HZ), tilted(30, RATE_HZ, 28)]),
    ],
)
def test_what_is_no_tilt(what: str, parts: list[F64]) -> None:
    assert not tilt_of(*parts), what


def test_up_is_learned_from_rest_where_the_sensor_stands_square() -> None:
    lying = rest(3, RATE_HZ, (0, -1, 0))
    said = tilt_of(lying, tilted(8, RATE_HZ, 0), up=None)
    assert [phase for phase, _, _ in said] == [Phase.START, Phase.END], said


def test_a_sensor_that_gives_zeros_teaches_no_up() -> None:
    assert not tilt_of(rest(3, RATE_HZ) * 0, rest(5, RATE_HZ), up=None)
    assert tilt_of(rest(3, RATE_HZ) * 0, rest(5, RATE_HZ), tilted(8, RATE_HZ, 33), up=None)


def test_an_odd_rest_teaches_nothing_and_is_said() -> None:
    detector = TiltDetector(TiltSettings(), None)
    signal = np.concatenate([rest(3, RATE_HZ, (0.6, 0, 0.8)), rest(20, RATE_HZ, (0, 1, 0))])
    assert not found(detector, [si_block("accel", signal, RATE_HZ)])
    assert "37° off every axis" in detector.notes()[0], detector.notes()


def cells(right: float, front: float, kg: float, seconds: float, rate_hz: float = 80.0) -> F64:
    """Return (n, 4) forces of a load whose centre is at (right, front), in fractions of half the sides."""
    quarter = kg / 4
    one = [
        quarter * (1 - right) * (1 + front),
        quarter * (1 + right) * (1 + front),
        quarter * (1 - right) * (1 - front),
        quarter * (1 + right) * (1 - front),
    ]
    return np.tile(one, (round(seconds * rate_hz), 1))


def shifts_of(load: F64, accel: F64 | None = None) -> list[Phase]:
    """Return the phases that the load-shift detector says."""
    detector = LoadShiftDetector(LoadShiftSettings(), motion_stream=None if accel is None else "accel")
    parts = [si_block("load", load, 80.0)]
    if accel is not None:
        parts.insert(0, si_block("accel", accel, RATE_HZ))
    findings: list[Finding] = []
    for part in parts:
        findings += detector.feed(part)
    findings += detector.advance(1 << 62)
    return [f.phase for f in findings]


def test_a_load_that_moves_and_stays_is_one_shift() -> None:
    load = np.concatenate([cells(0, 0, 60, 10), cells(0.2, 0.05, 60, 20)])
    assert shifts_of(load) == [Phase.START, Phase.END]


@pytest.mark.parametrize(
    ("what", "load"),
    [
        ("it comes back", np.concatenate([cells(0, 0, 60, 10), cells(0.3, 0, 60, 1), cells(0, 0, 60, 10)])),
        ("loading", np.concatenate([cells(0, 0, 60, 10), cells(0.4, 0, 80, 20)])),
        ("nothing on the scale", np.random.default_rng(3).normal(0, 0.05, (3000, 4))),
        ("a small move", np.concatenate([cells(0, 0, 60, 10), cells(0.06, 0, 60, 20)])),
    ],
)
def test_what_is_no_shift(what: str, load: F64) -> None:
    assert not shifts_of(load), what


def test_braking_moves_the_centre_and_is_no_shift() -> None:
    load = np.concatenate([cells(0, 0, 60, 10), cells(0, 0.15, 60, 4), cells(0, 0, 60, 6)])
    accel = np.concatenate([rest(10, RATE_HZ), rest(4, RATE_HZ, (-0.3, 0, 1)), rest(6, RATE_HZ)])
    assert not shifts_of(load, accel)
    # the same cells without the braking are a shift: it is the accelerometer that tells them apart
    assert shifts_of(load, rest(20, RATE_HZ))


def test_an_accelerometer_that_begins_after_the_cells() -> None:
    detector = LoadShiftDetector(LoadShiftSettings())
    load = np.concatenate([cells(0, 0, 60, 10), cells(0.2, 0.05, 60, 20)])
    blocks = [
        si_block("load", load[:200], 80),
        si_block("accel", rest(28, RATE_HZ), RATE_HZ, start_s=2),
        si_block("load", load[200:], 80, start_s=2.5),
    ]
    assert [f.phase for f in found(detector, blocks)] == [Phase.START, Phase.END]


def test_pressure_swing() -> None:
    t = np.arange(0, 30, 0.02)
    swing = np.where((t > 10) & (t < 13), 1500 * np.sin(2 * np.pi * 1.3 * t), 0.0)
    findings = found(PressureDetector(PressureSettings()), [si_block("pressure", 5000 + swing, 50)])
    assert [f.phase for f in findings] == [Phase.START, Phase.END]
    assert findings[1].values["swing_pa"] == pytest.approx(3000, rel=0.01)
    assert 10 < findings[0].decided_ns / 1e9 < 11


def saturating(pressure: F64, full_scale_pa: float) -> SiBlock:
    block = si_block("pressure", np.minimum(pressure, full_scale_pa), 50)
    quality = np.where(pressure >= full_scale_pa, np.uint8(Quality.SATURATED), np.uint8(0))
    return replace(block, quality=quality)


def test_a_gauge_at_its_end_is_no_swing_and_hides_none() -> None:
    t = np.arange(0, 30, 0.02)
    stuck = np.where((t > 10) & (t < 14), 30_000.0, 5000.0)
    assert not found(PressureDetector(PressureSettings()), [saturating(stuck, 20_000)])
    burst = 5000 + 25_000 * (1 - np.exp(-np.clip(t - 10, 0, None) / 0.2))
    assert found(PressureDetector(PressureSettings()), [saturating(burst, 20_000)])


def test_a_climb_is_no_swing() -> None:
    climb = 101_325 - 12.0 * 5.0 * np.arange(0, 600, 0.02)  # 5 m/s up a mountain, 12 Pa a metre
    assert not found(PressureDetector(PressureSettings()), [si_block("pressure", climb, 50)])


def test_a_band_is_left_once_however_it_flickers() -> None:
    values = [5.0] * 10 + [8.2, 7.9, 8.2, 7.9] * 3 + [9.0] * 20 + [7.8] * 3 + [9.5] * 10 + [6.0] * 10
    settings = TemperatureSettings(low_degc=2.0, high_degc=8.0).band()
    detector = BandDetector(settings, EventType.TEMPERATURE, "temperature")
    findings = found(detector, [si_block("temperature", values, 1)])
    assert [f.phase for f in findings] == [Phase.START, Phase.END], findings
    assert findings[1].values["farthest_degc"] == 9.5
    assert findings[1].severity is Severity.MAJOR


def test_a_hair_outside_counts_from_when_it_began() -> None:
    band = TemperatureSettings(low_degc=2.0, high_degc=8.0).band()
    detector = BandDetector(band, EventType.TEMPERATURE, "temperature")
    (start,) = found(detector, [si_block("temperature", [5.0] * 5 + [8.1] * 10, 1)])
    assert (start.start_ns / 1e9, start.decided_ns / 1e9) == (5.0, 7.0)


@given(st.lists(st.floats(2.0, 8.0, width=32), min_size=1, max_size=50))
def test_inside_the_band_nothing_is_said(values: list[float]) -> None:
    detector = BandDetector(
        TemperatureSettings(low_degc=2.0, high_degc=8.0).band(), EventType.TEMPERATURE, "temperature"
    )
    assert not found(detector, [si_block("temperature", values, 1)])


def test_frost_is_an_excursion_too() -> None:
    detector = BandDetector(TemperatureSettings(low_degc=2.0).band(), EventType.TEMPERATURE, "temperature")
    findings = found(detector, [si_block("temperature", [5.0] * 5 + [-1.0] * 10, 1)])
    assert [f.severity for f in findings] == [Severity.CRITICAL]
    assert "no band" in BandDetector(HumiditySettings().band(), EventType.HUMIDITY, "humidity").notes()[0]


def test_gravity_here_is_the_detectors_gravity() -> None:
    assert rest(1, 10)[0, 2] == GRAVITY_MPS2
