"""Which way is up and which is forward, from a drive with some stops in it."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.errors import CalibrationRefused
from calibration.gravity import STANDARD_GRAVITY_MPS2
from calibration.mounting import Mounting, find_mounting, mounting_from
from tests.calibration.accel_bench import F64

RATE_HZ = 50.0


def turned(rng: np.random.Generator) -> F64:
    """Return a right-handed frame: sensor = frame · box."""
    frame: F64 = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    frame *= np.sign(np.linalg.det(frame))
    return frame


def drive(rng: np.random.Generator, frame: F64, *, stops: int = 5, bends: float = 2.0) -> F64:
    """Return what a sensor reads: stand, pull away, bends, brake, stand on another slope."""
    parts = []
    for _ in range(stops):
        slope = rng.normal(size=2) * 0.2
        stand = np.tile([*slope, STANDARD_GRAVITY_MPS2], (round(5 * RATE_HZ), 1))
        away = np.tile([1.5, 0.0, STANDARD_GRAVITY_MPS2], (round(5 * RATE_HZ), 1))
        t = np.arange(round(20 * RATE_HZ)) / RATE_HZ
        there = np.column_stack(
            (0 * t, bends * np.sin(2 * np.pi * t / 7 + rng.uniform(0, 6)), 0 * t + STANDARD_GRAVITY_MPS2)
        )
        brake = np.tile([-2.0, 0.0, STANDARD_GRAVITY_MPS2], (round(3.75 * RATE_HZ), 1))
        road = np.vstack((away, there, brake))
        road += rng.normal(size=road.shape) * 0.5
        parts += [stand + rng.normal(size=stand.shape) * 0.01, road]
    parts.append(parts[0])
    values: F64 = np.vstack(parts) @ frame.T
    return values


def forward_error_deg(mounting: Mounting, frame: F64) -> float:
    seen = mounting.rotation @ frame
    return float(np.degrees(np.arctan2(seen[1, 0], seen[0, 0])))


@pytest.mark.parametrize("seed", range(8))
def test_any_mounting_is_found_in_a_drive(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frame = turned(rng)
    mounting = find_mounting(drive(rng, frame), RATE_HZ)
    seen = mounting.rotation @ frame
    error_deg = forward_error_deg(mounting, frame)
    assert np.degrees(np.arccos(seen[2, 2])) < 2, "up"
    assert abs(error_deg) < 5, f"forward is off by {error_deg:.1f}°"
    assert abs(error_deg) < mounting.forward_95_deg * 1.5
    assert np.linalg.det(mounting.rotation) == pytest.approx(1)
    assert mounting.impulses >= 8


def test_one_braking_is_enough_where_it_is_known_to_be_one() -> None:
    rng = np.random.default_rng(9)
    frame = turned(rng)
    rest = frame @ np.array([0, 0, 9.8])
    rotation = mounting_from(rest, frame @ np.array([-3.0, 0, 9.8]))
    assert np.abs(rotation @ frame - np.eye(3)).max() < 1e-9
    with pytest.raises(CalibrationRefused, match="m/s² of braking"):
        mounting_from(rest, rest * 1.1)


def test_what_contradicts_itself_is_refused() -> None:
    rng = np.random.default_rng(10)
    frame = turned(rng)
    values = drive(rng, frame)
    with pytest.raises(CalibrationRefused, match=r"at least 3"):
        find_mounting(values[:400], RATE_HZ)
    flipped = np.vstack((values, drive(rng, frame @ np.diag([-1.0, -1.0, 1.0]))))
    with pytest.raises(CalibrationRefused, match="leave forward open"):
        find_mounting(flipped, RATE_HZ)
    tumbled = np.vstack((values, drive(rng, frame @ np.array([[0, 0, 1.0], [1, 0, 0], [0, 1, 0]]))))
    with pytest.raises(CalibrationRefused, match="apart"):
        find_mounting(tumbled, RATE_HZ)
    with pytest.raises(CalibrationRefused, match="no rest"):
        find_mounting(np.where(np.arange(len(values))[:, None] % 50 == 0, np.nan, values), RATE_HZ)
