"""`cargobox calibrate` from logs: poses found in a recording, a temperature term from ordinary days."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from agent.blocks import Block, RegularClock
from agent.calibrating.keep import Signature, signed
from agent.log_info import LogInfo
from agent.recorder.mcap_writer import McapRecorder
from agent.streams import TABLE
from agent.timebase import TimeMark, TimeQuality
from calibration.certificate import Certificate, read_certificate
from calibration.session import read_session
from firmware_bridge.virtual.calibration_bench import Rehearsal
from tests.commands.calibrating import (
    Stage,
)
from tests.commands.refusal import refused
from tests.live.processes import cargobox

UPS = [
    (0.0, 0.0, 1.0), (1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (-1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, -1.0),
    (0.7, 0.7, 0.0), (-0.7, 0.0, 0.7), (0.0, -0.7, -0.7), (0.6, -0.6, 0.6), (-0.6, 0.6, -0.6),
    (-0.6, -0.6, 0.6),
]  # fmt: skip


def record(path: Path, ups: list[tuple[float, float, float]], hold_s: int = 4) -> Path:
    """Record a box that is turned, as `cargobox record` would."""
    stage = Stage("accel", seed=3)
    box = Rehearsal(stage.bench, ("accel",))
    parts = []
    for up in ups:
        box.turn(up)
        parts.append(box.run(hold_s)["accel"])
    clock = RegularClock.of_rate(stage.spec.rate_hz, anchor_ns=10**9)
    counts = np.concatenate(parts)
    with McapRecorder(
        path, LogInfo(box="b", boot="0123456789abcdef", software="0.1", streams=(stage.spec,))
    ) as recorder:
        recorder.write(TimeMark(10**9, 10**18, TimeQuality.SYNCED))
        for first in range(0, len(counts), 250):
            recorder.write(Block("accel", first, clock, counts[first : first + 250].astype(np.int16)))
    return path


def test_poses_are_found_in_a_recording_and_become_a_session(tmp_path: Path) -> None:
    log = record(tmp_path / "turned.mcap", UPS)
    done = cargobox("calibrate", "accel", "--log", log, "--out", tmp_path / "out", "--json")
    assert done.end() == 0, done.err
    document = done.document
    assert document["fit"]["rests_found"] == len(UPS), document["fit"]
    assert document["fit"]["unseen_rms_mg"] < 1.0, "poses that the fit did not see"
    first = read_certificate(Path(document["certificate"]))
    again = cargobox(
        "calibrate", "accel", "--session", document["session"], "--out", tmp_path / "again", "--json"
    )
    assert again.end() == 0, again.err
    second = read_certificate(Path(again.document["certificate"]))
    assert (second.gain, second.bias, second.residuals) == (first.gain, first.bias, first.residuals)


def test_a_recording_with_too_few_poses(tmp_path: Path) -> None:
    done = cargobox(
        "calibrate", "accel", "--log", record(tmp_path / "few.mcap", UPS[:5]), "--json", cwd=tmp_path
    )
    assert done.end() == 1, done.err
    assert done.document["verdict"] == "refused"
    assert done.document["certificate"] is None
    more = [record(tmp_path / f"{i}.mcap", UPS[i : i + 4]) for i in (0, 4)]
    done = cargobox("calibrate", "accel", "--log", *more, "--json", cwd=tmp_path)
    assert done.end() == 1, done.err
    session = read_session(tmp_path / done.document["session"])
    assert len(session.steps) == 8 and session.verdict, "a box would go on with what was recorded"


MAP = """
[time]
column = "t"
format = "unix_s"
[streams.load]
columns = ["l", "r"]
axes = ["l", "r"]
unit = "kg"
[streams.temperature]
columns = ["c"]
unit = "degC"
"""


def days(path: Path, per_degc: float) -> Path:
    """Write a fortnight of half-hourly rows of two cells."""
    rng = np.random.default_rng(4)
    t = np.arange(0, 14 * 86400, 1800)
    degc = 12 + 8 * np.sin(2 * np.pi * t / 86400) + 3 * np.sin(2 * np.pi * t / (5.3 * 86400))
    noise = rng.normal(0, 0.01, (len(t), 2))
    cells = 20 + per_degc * (degc - 12)[:, None] * [1.0, 0.5] + noise
    rows = "".join(
        f"{1_700_000_000 + s},{a:.4f},{b:.4f},{c:.2f}\n" for s, (a, b), c in zip(t, cells, degc, strict=True)
    )
    path.write_text("t,l,r,c\n" + rows)
    (path.parent / "map.toml").write_text(MAP)
    return path


def test_a_temperature_term_from_ordinary_days_replaces_the_certificate_or_is_refused(tmp_path: Path) -> None:
    drifting, steady = days(tmp_path / "drifting.csv", 0.05), days(tmp_path / "steady.csv", 0.0)
    line = [
        "calibrate",
        "thermal",
        "--map",
        tmp_path / "map.toml",
        "--out",
        tmp_path / "out",
        "--soak",
        "--json",
    ]
    done = cargobox(*line, "--log", drifting)
    assert done.end() == 0, done.err
    document = done.document
    assert all(a < 0.5 * b for a, b in zip(document["fit"]["after"], document["fit"]["before"], strict=True))
    first = read_certificate(Path(document["certificate"]))
    assert first.temperature is not None
    np.testing.assert_allclose(first.temperature.bias_per_degc, [0.05, 0.025], rtol=0.1)
    assert any("temperature term accepted" in f for f in first.findings)

    done = cargobox(*line, "--log", steady)
    assert done.end() == 1, done.err
    assert "no temperature term" in done.document["headline"]
    second = read_certificate(Path(done.document["certificate"]))
    assert second.replaces == first.hash, "the refusal is kept, behind what stays"
    assert any("temperature term refused" in f for f in second.findings), second.findings
    assert len(list((tmp_path / "out").glob("load-*.json"))) == 2


@pytest.mark.parametrize(
    ("before", "valid_days", "holds"),
    [("", 365, "new"), ("2027-03-01", 3650, "2027-03-01"), ("2027-03-01", 0, "2027-03-01"), ("", 0, "")],
)
def test_a_temperature_term_does_not_make_an_old_certificate_young(
    before: str, valid_days: int, holds: str
) -> None:
    old = Certificate(
        stream="temperature", gain=((1.0,),), bias=(0.0,), method="test", software="cargobox 1",
        made_at="2026-03-01T00:00:00Z", valid_until=before,
    )  # fmt: skip
    until = signed(old, TABLE["temperature"], Signature(valid_days=valid_days), None).valid_until
    new = (datetime.now(UTC) + timedelta(days=valid_days)).strftime("%Y-%m-%d")
    assert until == (new if holds == "new" else holds), until


def test_what_an_unplugged_thermometer_says_is_left_out(tmp_path: Path) -> None:
    log = days(tmp_path / "drifting.csv", 0.05)
    head, *rows = log.read_text().splitlines()
    rows[100:110] = [row.rpartition(",")[0] + ",-127.00" for row in rows[100:110]]
    log.write_text("\n".join([head, *rows]) + "\n")
    line = ["calibrate", "thermal", "--map", tmp_path / "map.toml", "--out", tmp_path, "--soak", "--log", log]
    done = cargobox(*line, "--json")
    assert done.end() == 0, done.err
    assert done.document["fit"]["term"]["low_degc"] > -10, done.document["fit"]["term"]
    log.write_text("\n".join([head, *(row.rpartition(",")[0] + ",-127" for row in rows)]) + "\n")
    assert "-127 °C all the time" in refused(*line, status=2).got


def test_a_log_without_a_thermometer(tmp_path: Path) -> None:
    log = record(tmp_path / "turned.mcap", UPS[:1])
    told = refused("calibrate", "thermal", "--stream", "accel", "--log", log, status=2)
    assert told.got == "a log without temperature"
    assert "'load'" in refused("calibrate", "thermal", "--log", log, status=2).expected
