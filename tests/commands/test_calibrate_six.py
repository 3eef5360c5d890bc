"""A recording of six positions: a certificate for who accepts it, and again from the kept session."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agent.calibrating import accel_run
from agent.calibrating.feed import Recorded
from agent.streams import TABLE
from calibration.errors import CalibrationRefused
from calibration.gravity import Gravity
from calibration.journal import Journal
from calibration.session import SessionHead, read_session
from tests.calibration.accel_bench import F64, MG_MPS2, HeldSensor, hidden

FACES = np.vstack((np.eye(3), -np.eye(3)))
HEAD = SessionHead(
    what="accel",
    stream="accel",
    unit="mps2",
    axes=("x", "y", "z"),
    rate_hz=100.0,
    begun_at="2026-01-01T00:00:00Z",
)


def recorded(sensor: HeldSensor, ups: F64) -> Recorded:
    values = sensor.session(ups)
    saturated = np.zeros(len(values), np.bool_)
    return Recorded(TABLE["accel"], np.arange(len(values)) / 100.0, values, values, saturated)


def test_six_positions_are_certified_with_what_they_are_worth(tmp_path: Path) -> None:
    sensor = HeldSensor(hidden(np.random.default_rng(1)))
    with Journal.create(tmp_path / "six.jsonl", HEAD) as journal:
        outcome = accel_run.judge_recording([recorded(sensor, FACES)], Gravity(), 2.0, journal, [])
    assert not outcome.good
    assert "six positions" in outcome.headline
    assert any("edge" in line or "corner" in line for line in outcome.todo), outcome.todo
    assert outcome.certificate is not None
    off = np.abs(np.array(outcome.certificate.bias) - sensor.parameters[6:9]) / MG_MPS2
    assert off.max() < 1.0, f"bias off by {off} mg"
    again = accel_run.judge_session(read_session(tmp_path / "six.jsonl"))
    assert again.certificate is not None
    assert np.allclose(again.certificate.gain, outcome.certificate.gain, atol=1e-9)


def test_five_are_refused(tmp_path: Path) -> None:
    sensor = HeldSensor(hidden(np.random.default_rng(2)))
    with (
        Journal.create(tmp_path / "five.jsonl", HEAD) as journal,
        pytest.raises(CalibrationRefused, match="at least 9 poses"),
    ):
        accel_run.judge_recording([recorded(sensor, FACES[1:5])], Gravity(), 2.0, journal, [])
