"""Six positions and three turns: found in a recording, fitted, and as sure as is said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from calibration.certificate import parse_certificate
from calibration.errors import CalibrationRefused
from calibration.ferraris import FACES, TURNS, FerrarisFit, face_of, find_sections, fit_ferraris, fit_six
from calibration.ferraris_certificate import accel_certificate, gyro_certificate, six_of
from calibration.gravity import STANDARD_GRAVITY_MPS2, Gravity
from calibration.poses import find_poses
from tests.calibration.accel_bench import F64, MG_MPS2, units

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
UPS = np.vstack([sign * np.eye(3)[axis] for axis in range(3) for sign in (1.0, -1.0)])
RATE_HZ = 100.0


def matrix(rng: np.random.Generator, scale: float, angle: float) -> F64:
    out: F64 = np.diag(rng.uniform(1 - scale, 1 + scale, 3)) @ (
        np.eye(3) + rng.uniform(-angle, angle, (3, 3))
    )
    return out


def session(seed: int, *, turn: float = 2 * np.pi) -> tuple[F64, F64, dict[str, F64]]:
    """Return acceleration, rates, and the hidden truth of a whole session."""
    rng = np.random.default_rng(seed)
    truth = {
        "gain": matrix(rng, 0.03, 0.03),
        "bias": rng.uniform(-80, 80, 3) * MG_MPS2,
        "gyro": matrix(rng, 0.03, 0.02),
        "gyro_bias": rng.uniform(-0.02, 0.02, 3),
    }
    force: list[F64] = []
    rates: list[F64] = []

    def rest(up: F64) -> None:
        force.append(np.tile(up * STANDARD_GRAVITY_MPS2, (400, 1)))
        rates.append(np.zeros((400, 3)))

    def move(path: F64, rate: F64) -> None:
        force.append(path * STANDARD_GRAVITY_MPS2 + rng.normal(size=path.shape) * 0.5)
        rates.append(rate)

    for i, up in enumerate(UPS):
        rest(up)
        part = np.linspace(0, 1, 150)[:, None]
        after = UPS[(i + 1) % 6]
        move(units((1 - part) * up + part * after + 0.01), np.tile(np.cross(up, after) * 1.05, (150, 1)))
    for axis in range(3):
        up = UPS[2 * axis]
        rest(up)
        pulse = np.sin(np.linspace(0, np.pi, 300)) ** 2
        move(np.tile(up, (300, 1)), pulse[:, None] / pulse.sum() * RATE_HZ * turn * np.eye(3)[axis])
        rest(up)
        move(np.tile(up, (50, 1)), np.zeros((50, 3)))
    a = np.vstack(force)
    w = np.vstack(rates)
    accel = np.linalg.solve(truth["gain"], a.T).T + truth["bias"] + rng.normal(size=a.shape) * MG_MPS2
    gyro = np.linalg.solve(truth["gyro"], w.T).T + truth["gyro_bias"] + rng.normal(size=a.shape) * 1e-3
    return accel, gyro, truth


@pytest.mark.parametrize("turn", [2 * np.pi, -2 * np.pi], ids=["left", "right"])
def test_both_sensors_are_found_in_a_recording(turn: float) -> None:
    accel, gyro, truth = session(1, turn=turn)
    fit = fit_ferraris(accel, gyro, RATE_HZ)
    assert set(fit.sections) == {*FACES, *TURNS}
    assert np.abs(fit.accel.gain - truth["gain"]).max() < 1e-3, fit.accel.gain - truth["gain"]
    assert np.abs(fit.accel.bias - truth["bias"]).max() < 0.3 * MG_MPS2
    assert fit.gyro is not None
    assert np.abs(fit.gyro.gain - truth["gyro"]).max() < 2e-3, fit.gyro.gain - truth["gyro"]
    assert np.abs(fit.gyro.bias - truth["gyro_bias"]).max() < 4 * fit.gyro.bias_standard_radps.max()
    assert fit.unseen_rms_mps2 is not None
    assert fit.unseen_rms_mps2 < 0.3 * MG_MPS2, f"{fit.unseen_rms_mps2 / MG_MPS2:.2f} mg"
    level = fit.gyro.correct(gyro[:400], fit.accel.correct(accel[:400])).mean(axis=0)
    assert np.abs(level).max() < 2e-4


@pytest.mark.parametrize("hand_deg", [0.2, 1.0, 3.0])
def test_what_is_hidden_lies_within_what_is_stated_however_the_hand_leans(hand_deg: float) -> None:
    rng = np.random.default_rng(2)
    inside = []
    for _ in range(150):
        gain, bias = matrix(rng, 0.03, 0.03), rng.uniform(-80, 80, 3) * MG_MPS2
        leaned = units(UPS + rng.normal(size=(6, 3)) * np.radians(hand_deg) * (UPS == 0))
        gravity = STANDARD_GRAVITY_MPS2 + rng.normal() * 5e-4
        means = np.linalg.solve(gain, leaned.T * gravity).T + bias + rng.normal(size=(6, 3)) * 1e-3
        fit = fit_six(means, 1e-3, Gravity(standard_mps2=5e-4))
        error = np.concatenate(((fit.gain - gain).ravel(), fit.bias - bias))
        inside.append(np.abs(error) <= 1.96 * np.sqrt(np.diag(fit.covariance)))
    coverage = np.mean(inside, axis=0)
    # 150 trials of 95 % scatter by 1.8 %
    assert coverage.min() > 0.89, coverage
    assert coverage.mean() > 0.93, coverage


def test_what_a_leaning_hand_does_is_known() -> None:
    rng = np.random.default_rng(3)
    hands = []
    for _ in range(50):
        leaned = units(UPS + rng.normal(size=(6, 3)) * np.radians(3.0) * (UPS == 0))
        fit = fit_six(leaned * STANDARD_GRAVITY_MPS2 + 0.3, 1e-3)
        assert fit.residual_rms_mps2 < 0.1 * MG_MPS2, f"{fit.residual_rms_mps2 / MG_MPS2} mg"
        hands.append(fit.hand_rad**2)
    assert np.degrees(np.sqrt(np.mean(hands))) == pytest.approx(3.0, rel=0.25)


def test_a_missing_face_or_turn_is_named() -> None:
    accel, gyro, _ = session(4)
    with pytest.raises(CalibrationRefused, match="none for x_p"):
        fit_ferraris(accel[700:3300], None, RATE_HZ)
    with pytest.raises(CalibrationRefused, match="none for x_rot, y_rot, z_rot"):
        fit_ferraris(accel, 0 * gyro, RATE_HZ)
    with pytest.raises(CalibrationRefused, match="within 20°"):
        fit_six(np.tile(UPS[0] * 9.8, (6, 1)), 1e-3)
    assert face_of(np.array([7.0, 7.0, 0.1])) is None
    assert fit_ferraris(accel, None, RATE_HZ).gyro is None


def test_certificates_of_both() -> None:
    accel, gyro, truth = session(5)
    fit = fit_ferraris(accel, gyro, RATE_HZ)
    of_accel = accel_certificate(
        fit.accel, made_at="2026-01-01T00:00:00Z", unseen_rms_mps2=fit.unseen_rms_mps2
    )
    of_gyro = gyro_certificate(fit, made_at="2026-01-01T00:00:00Z")
    assert of_gyro is not None
    for certificate, gain in ((of_accel, truth["gain"]), (of_gyro, truth["gyro"])):
        assert parse_certificate(certificate.to_json()) == certificate
        assert certificate.standard_uncertainty is not None
        off = np.abs(np.array(certificate.gain) - gain).max()
        assert off < 2e-3, off
    assert of_accel.standard_uncertainty is not None
    up = units(np.random.default_rng(6).normal(size=(300, 3))) * STANDARD_GRAVITY_MPS2
    read = np.linalg.solve(truth["gain"], up.T).T + truth["bias"]
    worst = np.abs(fit.accel.correct(read) - up).max()
    assert worst < 3 * of_accel.standard_uncertainty, (worst, of_accel.standard_uncertainty)
    assert of_accel.standard_uncertainty < 0.03
    assert gyro_certificate(fit_ferraris(accel, None, RATE_HZ), made_at="") is None


def test_six_faces_among_other_poses() -> None:
    accel, _, truth = session(7)
    poses = find_poses(accel, RATE_HZ)
    fit = six_of(poses)
    assert fit is not None
    assert np.abs(fit.bias - truth["bias"]).max() < 0.5 * MG_MPS2
    assert six_of(poses[1:5]) is None


def recorded() -> tuple[FerrarisFit, F64, F64]:
    folder = DATA / "imu-ferraris"
    if not folder.is_dir():
        pytest.skip("the folder of recordings, ../shared/data, is not here")
    values = np.genfromtxt(folder / "example_ferraris_session.csv", delimiter=",", skip_header=1)
    accel, gyro = values[:, 4:7], np.radians(values[:, 1:4])
    return fit_ferraris(accel, gyro, 102.4), accel, gyro


def test_the_authors_sections_are_found_without_them() -> None:
    fit, accel, gyro = recorded()
    authors = json.loads((DATA / "imu-ferraris" / "example_ferraris_session_list.json").read_text())
    assert find_sections(accel, gyro, 102.4) == fit.sections
    for name, part in authors.items():
        begin, end = fit.sections[name]
        assert begin <= part["start"] < part["end"] <= end, (name, begin, end, part)
    theirs = fit_ferraris(accel, gyro, 102.4, {n: (p["start"], p["end"]) for n, p in authors.items()})
    assert np.abs(theirs.accel.gain - fit.accel.gain).max() < 5e-4
    assert np.abs(theirs.accel.bias - fit.accel.bias).max() < 0.5 * MG_MPS2
    assert theirs.gyro is not None
    assert fit.gyro is not None
    assert np.abs(theirs.gyro.gain - fit.gyro.gain).max() < 2e-3
    assert fit.unseen_rms_mps2 is not None
    assert fit.unseen_rms_mps2 < 0.6 * MG_MPS2, f"{fit.unseen_rms_mps2 / MG_MPS2:.2f} mg"
