"""What will not be watched is told before the trip, with what to do about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.config import Config, load_config
from agent.doctor import Finding, Patient, State
from agent.doctor.watching import of_board, of_chips
from firmware_bridge.describe import BoardStream, Description
from tests.doctor.looking import about

AXES = {"accel": 3, "gyro": 3, "load": 4, "pressure": 1, "temperature": 1, "humidity": 1}
WELL = """
[cargo]
profile = "liquid-food"
[mounting]
up = "z"
[detect]
temperature.high_degc = 8.0
humidity.high_percent = 80.0
"""


def description(axes: dict[str, int]) -> Description:
    streams = tuple(
        BoardStream(name, tuple(str(i) for i in range(count)), "mps2", 1.0, 10.0, 16, None)
        for name, count in axes.items()
    )
    return Description(**{**dict.fromkeys(FIELDS, ""), "streams": streams, "mount_up": None})  # type: ignore[arg-type]


FIELDS = getattr(Description, "__struct_fields__", None) or tuple(Description.__dataclass_fields__)


def told(tmp_path: Path, text: str, axes: dict[str, int]) -> list[Finding]:
    path = tmp_path / "cargobox.toml"
    path.write_text(text)
    found = list(of_board(description(axes), Patient(path, load_config(path))))
    assert {f.state for f in found} <= {State.SKIPPED}
    return found


def test_a_box_that_watches_all_says_nothing(tmp_path: Path) -> None:
    assert told(tmp_path, WELL, AXES) == []


@pytest.mark.parametrize(
    ("text", "axes", "subject", "words"),
    [
        ("", AXES, "temperature", "no band set; set [detect.temperature] low_degc or high_degc"),
        ("", AXES, "humidity", "no band set"),
        ("", AXES, "slosh", "the tank is not known; set [detect.slosh] length_m"),
        ("", AXES, "tilt", "until the box has rested"),
        (WELL, {**AXES, "load": 2}, "load_shift", "no stream for it; it needs four load cells"),
        (WELL, {"accel": 3}, "leak", "it needs a rope (stream leak), temperature and humidity, or"),
        (WELL, {"load": 4}, "drop", "it needs an accelerometer of three axes"),
        ("detect.bump.enabled = false", AXES, "bump", "[detect.bump] enabled is false"),
        ("streams.pressure.watch = false", AXES, "pressure", "it needs a tank's gauge"),
    ],
)
def test_why_it_is_not_watched(
    text: str, axes: dict[str, int], subject: str, words: str, tmp_path: Path
) -> None:
    found = about(told(tmp_path, text, axes), f"watch for {subject}")
    assert found.found.startswith("not watched") and words in found.found, found


def test_a_box_of_chips_alone(tmp_path: Path) -> None:
    path = tmp_path / "cargobox.toml"
    path.write_text('[[source.i2c]]\nbus = "/dev/i2c-9"\nchips = [{ chip = "BME280" }]\n')
    patient = Patient(path, load_config(path))
    subjects = {f.subject for f in of_chips(patient)}
    assert {f"watch for {name}" for name in ("drop", "load_shift", "temperature")} <= subjects, subjects
    assert "no band set" in about(of_chips(patient), "watch for temperature").found
    assert not list(of_chips(Patient(None, Config(), port="x")))
