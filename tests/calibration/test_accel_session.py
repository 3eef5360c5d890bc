"""A session as an installer has it: stillness is found, poses are judged, and the verdict is plain."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from calibration.accel_model import rms
from calibration.accel_session import (
    AccelSession,
    Moved,
    PoseTaken,
    TooNear,
    Withdrawn,
    find_poses,
    fit_poses,
    fit_recording,
)
from calibration.accelerometer import sphere
from calibration.certificate import parse_certificate
from calibration.errors import CalibrationRefused
from calibration.gravity import STANDARD_GRAVITY_MPS2
from calibration.poses import distinct, missing_poses, nearest
from calibration.stillness import rest_variance
from tests.calibration.accel_bench import F64, MG_MPS2, HeldSensor, hidden, reading_of

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
UPS = np.array([pose.up for pose in missing_poses(())])


def sensor(seed: int = 1, **settings: float) -> HeldSensor:
    return HeldSensor(hidden(np.random.default_rng(seed)), seed=seed, **settings)


def feed(session: AccelSession, values: F64, t_s: float = 0.0, *, chunk: int = 10_000) -> list[object]:
    out: list[object] = []
    for i in range(0, len(values), chunk):
        out += session.feed(values[i : i + chunk], t_s + i / 100.0)
    return out


@pytest.mark.parametrize(
    ("rate_hz", "noise_mg", "step_mg"),
    [(100, 4, 0), (100, 0.02, 0), (100, 3.9, 3.9), (400, 0.2, 0.06), (25, 1, 1), (3200, 10, 3.9)],
)
def test_ten_poses_end_it_whatever_the_chip(rate_hz: float, noise_mg: float, step_mg: float) -> None:
    held = sensor(rate_hz=rate_hz, noise_mg=noise_mg, resolution_mps2=step_mg * MG_MPS2)
    values = held.session(UPS)
    session = AccelSession(rate_hz)
    happened = session.feed(values, 0.0)
    assert len(session.poses) == 10, happened
    fit = session.fit()
    left = fit.correct(reading_of(held.parameters, sphere(200) * STANDARD_GRAVITY_MPS2))
    error = rms(np.linalg.norm(left, axis=1) - STANDARD_GRAVITY_MPS2)
    assert error < 3 * fit.fit_standard_mps2, (error, fit.fit_standard_mps2)
    assert error < 0.6 * MG_MPS2, f"{error / MG_MPS2:.3f} mg"
    assert session.good_enough == (session.missing() == [])


def test_the_way_samples_come_changes_nothing() -> None:
    values = sensor().session(UPS)
    sessions = []
    for chunk in (7, 100, 10_000):
        session = AccelSession(100.0)
        happened = feed(session, values, chunk=chunk)
        sessions.append((session.fit().parameters.tolist(), [type(h).__name__ for h in happened]))
    assert sessions[0] == sessions[1] == sessions[2]


def test_a_pose_too_near_is_refused_and_a_move_is_told() -> None:
    held, session = sensor(), AccelSession(100.0)
    happened = feed(session, np.vstack((held.still(3), held.turn((0, 1, 0)), held.still(3))))
    happened += feed(session, np.vstack((held.turn((0, 0.1, 1)), held.still(3))), 7.0)
    assert [type(h) for h in happened] == [PoseTaken, Moved, PoseTaken, Moved, TooNear]
    assert happened[-1] == TooNear(1)
    assert len(session.poses) == 2


def test_the_meter_counts_the_hold_and_a_pose_grows_while_it_lies() -> None:
    held, session = sensor(), AccelSession(100.0)
    assert feed(session, held.still(1.6)) == []
    meter = session.meter
    assert meter.still_s == 1.5
    assert meter.hold_s == 2.0
    assert meter.deviation_mps2 < meter.limit_mps2
    assert len(feed(session, held.still(0.6), 1.6)) == 1
    first = session.poses[0]
    feed(session, held.still(8.0), 2.2)
    assert session.poses[0].end - session.poses[0].begin >= 900
    assert session.poses[0].standard_error.max() < first.standard_error.max()
    feed(session, held.turn((1, 0, 0)), 10.2)
    assert session.meter.still_s == 0


def test_undo_takes_the_last_pose_back_and_waits_for_a_move() -> None:
    held, session = sensor(), AccelSession(100.0)
    feed(session, np.vstack((held.still(3), held.turn((0, 1, 0)), held.still(3))))
    before = session.poses
    assert session.undo() == before[1]
    assert feed(session, held.still(5), 7.0) == []
    assert len(session.poses) == 1
    again = feed(session, np.vstack((held.turn((1, 0, 0)), held.turn((0, 1, 0)), held.still(3))), 12.0)
    assert [type(h) for h in again] == [Moved, PoseTaken]
    session.undo()
    session.undo()
    assert session.undo() is None


def test_shaking_before_the_first_rest_is_taken_back() -> None:
    held, session = sensor(noise_mg=0.5), AccelSession(100.0)
    shaking = held.still(3) + 0.15 * np.sin(np.arange(300) / 3)[:, None]
    happened = feed(session, np.vstack((shaking, held.still(6))))
    assert [type(h) for h in happened] == [PoseTaken, Moved, Withdrawn, PoseTaken], happened
    assert session.poses[0].begin >= 275


def test_a_hole_in_time_ends_a_rest() -> None:
    held, session = sensor(), AccelSession(100.0)
    assert feed(session, held.still(1.9)) == []
    assert feed(session, held.still(1.9), 60.0) == []
    assert not session.poses
    broken = held.still(1.0)
    broken[50] = np.nan
    assert feed(session, broken, 61.9) != []
    assert len(session.poses) == 1


def test_a_stuck_sensor_is_not_still() -> None:
    held, session = sensor(noise_mg=4), AccelSession(100.0)
    feed(session, np.vstack((held.still(3), held.turn((0, 1, 0)))))
    stuck = np.tile(held.still(0.01), (400, 1))
    assert feed(session, stuck, 4.0) == []


@pytest.mark.parametrize("reads", [0.0, 19.6])
@pytest.mark.parametrize("step_mg", [0.0, 3.9])
def test_a_line_that_was_unplugged_for_a_while_takes_no_pose_and_none_back(
    reads: float, step_mg: float
) -> None:
    values = sensor(noise_mg=2, resolution_mps2=step_mg * MG_MPS2).session(UPS)
    dead = np.full((1500, 3), reads)
    session = AccelSession(100.0)
    happened = feed(session, np.vstack((dead, values[:2500], dead, values[2500:])))
    assert len(session.poses) >= 9, happened
    assert not any(isinstance(one, Withdrawn) for one in happened), happened
    lengths = [float(np.linalg.norm(pose.mean)) for pose in session.poses]
    assert min(lengths) > 9, lengths


def test_a_dead_sensor_is_refused_in_words_live_recorded_and_from_a_journal() -> None:
    dead = np.zeros((6000, 3))
    with pytest.raises(CalibrationRefused, match="0 poses"):
        fit_recording(dead, 100.0)
    session = AccelSession(100.0)
    feed(session, dead)
    assert not session.poses
    with pytest.raises(CalibrationRefused, match="show no gravity"):
        session.restore(dead[:200])


def test_what_is_missing_is_said_in_words_and_gets_less() -> None:
    held, session = sensor(), AccelSession(100.0)
    assert len(session.missing()) == 10
    assert session.missing()[0].words == "flat, +z straight up"
    t_s = 0.0
    while wanted := session.missing():
        before = len(session.poses)
        values = np.vstack((held.turn(wanted[0].up), held.still(2.6)))
        feed(session, values, t_s)
        t_s += len(values) / 100
        assert len(session.poses) == before + 1, wanted[0]
    assert len(session.poses) == 10
    assert session.good_enough
    assert any("corner" in pose.words or "edge" in pose.words for pose in missing_poses(()))


def test_too_little_is_refused_in_words() -> None:
    session = AccelSession(100.0)
    feed(session, sensor().session(UPS[:4]))
    with pytest.raises(CalibrationRefused, match="at least 9 poses"):
        session.fit()
    assert not session.good_enough


def test_faces_alone_are_never_good_enough() -> None:
    session = AccelSession(100.0)
    faces = np.vstack((np.eye(3), -np.eye(3)))
    lean = np.vstack((faces, faces + 0.36 * np.roll(faces, 1, axis=1)))
    feed(session, sensor().session(lean))
    assert len(session.poses) == 12
    assert session.fit().undetermined == ()
    plane = np.column_stack((np.cos(np.arange(12) / 2), np.sin(np.arange(12) / 2), np.zeros(12)))
    session = AccelSession(100.0)
    feed(session, sensor().session(plane))
    assert len(session.poses) >= 10
    with pytest.raises(CalibrationRefused, match="no pose shows"):
        session.fit()
    assert session.missing()[0].up[2] != 0


def test_the_certificate_says_all_of_it() -> None:
    held, session = sensor(), AccelSession(100.0, gravity_mps2=9.81, gravity_standard_mps2=5e-4)
    feed(session, held.session(UPS))
    fit = session.fit()
    certificate = session.certificate(made_at="2026-01-01T00:00:00Z", low_degc=19.0, high_degc=21.0)
    assert parse_certificate(certificate.to_json()) == certificate
    assert np.array_equal(np.array(certificate.gain), fit.gain)
    assert certificate.residuals is not None
    assert certificate.residuals.held_out_rms == fit.held_out_rms_mps2
    assert certificate.residuals.points == 10
    assert certificate.gravity_mps2 == 9.81
    assert [term.kind for term in certificate.uncertainty] == ["A", "B"]
    assert certificate.standard_uncertainty == fit.standard_uncertainty_mps2
    assert any("tilt is known to 0.1°" in line for line in certificate.findings), certificate.findings


def test_a_recording_is_fitted_by_ten_and_tried_on_the_others() -> None:
    held = sensor(noise_mg=1.0)
    rng = np.random.default_rng(0)
    more = rng.normal(size=(20, 3))
    values = held.session(np.vstack((more, UPS)))
    values[700] = np.nan
    result = fit_recording(values, 100.0)
    assert len(result.used) == 10
    assert len(result.others) >= 15
    assert result.unseen_rms_mps2 is not None
    assert result.unseen_rms_mps2 < 0.2 * MG_MPS2, f"{result.unseen_rms_mps2 / MG_MPS2:.3f} mg"
    assert nearest(result.used[0].mean, result.used[1:]) is None


def test_a_chip_that_reads_in_coarse_steps_says_so() -> None:
    step, inside = 3.9 * MG_MPS2, []
    for seed in range(8):
        held = sensor(seed, noise_mg=0.3, resolution_mps2=step)
        fit = fit_poses(distinct(find_poses(held.session(UPS), 100.0)))
        inside.append(np.abs(fit.parameters - held.parameters) <= 1.96 * np.sqrt(np.diag(fit.covariance)))
        assert fit.fit_standard_mps2 > step / np.sqrt(12), f"{fit.fit_standard_mps2 / MG_MPS2:.2f} mg"
    noisy = sensor(1, noise_mg=3.9, resolution_mps2=step)
    spread = fit_poses(distinct(find_poses(noisy.session(UPS), 100.0)))
    assert spread.fit_standard_mps2 < step / np.sqrt(12), "noise of a step spreads over the steps"
    # 72 parameters of 95 %, if they were independent: 2.6 % of scatter
    assert np.mean(inside) > 0.88, np.mean(inside, axis=0)


def test_the_rest_is_found_at_any_level() -> None:
    for noise_mg in (0.1, 1.0, 10.0):
        found = np.sqrt(rest_variance(sensor(noise_mg=noise_mg).session(UPS), 100.0) / 3) / MG_MPS2
        assert found == pytest.approx(noise_mg, rel=0.15)


@pytest.mark.skipif(not DATA.is_dir(), reason="the folder of recordings, ../shared/data, is not here")
def test_a_hand_held_recording_gives_its_ten_poses() -> None:
    path = DATA / "imu-multiposition" / "example_data_calibration.csv"
    values = np.genfromtxt(path, delimiter=",", skip_header=5)[:, :3] * STANDARD_GRAVITY_MPS2 / 16384
    theirs = np.loadtxt(path.parent / "static_intervals.csv", delimiter=",")
    poses = distinct(find_poses(values, 100.0))
    assert len(poses) == theirs.shape[1] == 10
    for pose, (begin, end) in zip(poses, theirs.T, strict=True):
        assert pose.begin < end, (pose, begin)
        assert begin < pose.end, (pose, end)
    fit = fit_poses(poses)
    assert fit.undetermined == ("x and y",)
    authors = -np.loadtxt(path.parent / "params_acc.csv")[6:9] * STANDARD_GRAVITY_MPS2 / 16384
    apart = np.abs(fit.bias - authors) / MG_MPS2
    assert apart.max() < 2, f"bias {apart} mg from the authors'"
    assert fit.residual_rms_mps2 < 0.2 * MG_MPS2, f"{fit.residual_rms_mps2 / MG_MPS2:.3f} mg"
