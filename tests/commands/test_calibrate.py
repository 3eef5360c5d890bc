"""`cargobox calibrate` as a process: from sessions and from logs, in a pipe and on a real terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import termios
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.blocks import Block, RegularClock
from agent.calibrating.keep import Signature, signed
from agent.certificates import at_hand
from agent.cli import main
from agent.config import load_config
from agent.recorder.mcap_writer import McapRecorder
from agent.streams import TABLE
from agent.timebase import TimeMark, TimeQuality
from calibration.certificate import Certificate, read_certificate
from calibration.journal import Journal
from calibration.session import SUFFIX, read_session
from firmware_bridge.virtual.calibration_bench import Rehearsal
from tests.commands.calibrating import (
    Stage,
    accel_guide,
    accel_head,
    journal_at,
    load_guide,
    load_head,
    play_until,
)
from tests.commands.refusal import refused
from tests.live.processes import PATIENCE_S, Running, cargobox, command, environment

UPS = [
    (0.0, 0.0, 1.0), (1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (-1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, -1.0),
    (0.7, 0.7, 0.0), (-0.7, 0.0, 0.7), (0.0, -0.7, -0.7), (0.6, -0.6, 0.6), (-0.6, 0.6, -0.6),
    (-0.6, -0.6, 0.6),
]  # fmt: skip


def accel_session(folder: Path, poses: int) -> Path:
    stage = Stage("accel", seed=3)
    with journal_at(folder, accel_head(stage)) as journal:
        play_until(accel_guide(stage, journal), stage, poses, journal)
        return journal.path


def load_session(folder: Path, steps: int) -> Path:
    stage = Stage("load", seed=3)
    with journal_at(folder, load_head(stage), "load") as journal:
        play_until(load_guide(stage, journal), stage, steps, journal)
        return journal.path


class Done:
    """What a command line came to, within this process: no live box, no signals."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *arguments: object) -> None:
        self.status = main(["calibrate", *map(str, arguments), "--json"])
        captured = capsys.readouterr()
        self.err = captured.err
        assert len(captured.out.splitlines()) == 1, f"one document on stdout, and there is: {captured.out!r}"
        self.document: dict[str, Any] = json.loads(captured.out)


# --- a raw session again ---


def test_a_session_is_fitted_again_and_the_agent_takes_what_comes_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sessions = tmp_path / "sessions"
    accel, load = accel_session(sessions, 12), load_session(sessions, 10)
    config = tmp_path / "cargobox.toml"
    config.write_text('[box]\nid = "box-7"\n')
    for what, session in (("accel", accel), ("load", load)):
        done = Done(capsys, what, "--session", session, "--config", config, "--by", "M. Muster")
        assert done.status == 0, done.err
        document = done.document
        assert document["verdict"] == "good", document
        assert document["residuals"]["points"] > 0
        assert document["uncertainty"], "the budget"
        assert "GOOD" in done.err
        path = Path(document["certificate"])
        assert path.parent == tmp_path / "certificates"
        certificate = read_certificate(path)
        assert certificate.hash == document["hash"]
        assert (certificate.made_by, certificate.sensor) == ("M. Muster", "virtual 01")
        assert (certificate.low_degc, certificate.high_degc) == (20.0, 22.0)
        assert certificate.data is not None
        assert (path.parent / certificate.data.file).read_bytes() == session.read_bytes()
        if what == "accel":
            config.write_text(f'[box]\nid = "box-7"\n{document["configuration"]}\n')
        else:
            assert document["configuration"] == "", "written once, it takes the next by itself"
    told = at_hand(load_config(config)).kept
    assert {c.stream for c in told} == {"accel", "load"}


def test_too_little_is_refused_with_reasons_and_with_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = accel_session(tmp_path, 4)
    done = Done(capsys, "accel", "--session", session, "--out", tmp_path / "out")
    assert done.status == 1, done.err
    document = done.document
    assert document["verdict"] == "refused"
    assert document["certificate"] is None
    assert len(document["todo"]) >= 2, document
    assert "NOT GOOD ENOUGH" in done.err
    assert not (tmp_path / "out").exists()
    done = Done(capsys, "load", "--session", load_session(tmp_path, 3), "--out", tmp_path / "out")
    assert done.status == 1, done.err
    assert any("over" in todo for todo in done.document["todo"]), done.document
    told = Done(capsys, "load", "--session", session).document["error"]
    assert "calibrate accel --session" in told["remedy"]


def test_what_is_not_good_enough_can_be_accepted_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = accel_session(tmp_path, 9)
    done = Done(capsys, "accel", "--session", session, "--out", tmp_path / "out", "--accept")
    assert done.status == 1, done.err
    certificate = read_certificate(Path(done.document["certificate"]))
    assert any("accepted all the same" in finding for finding in certificate.findings), certificate.findings


def test_sessions_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    session = accel_session(tmp_path, 1)
    other = tmp_path / "other"
    other.write_bytes(session.read_bytes().replace(b'"unit":"mps2"', b'"unit":"furlong"'))
    session.write_bytes(session.read_bytes().replace(b'"number":1', b'"number":"one"'))
    for path, got in ((session, "line 2"), (other, "furlong"), (tmp_path / "none", "No such file")):
        done = Done(capsys, "accel", "--session", path)
        assert done.status == 1
        assert got in done.document["error"]["got"], done.document


def test_command_lines_that_cannot_be_meant(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log, session = tmp_path / "a.mcap", tmp_path / "a"
    for line, got in (
        (["thermal"], "thermal without --log"),
        (["load", "--log", log], "load with --log"),
        (["accel", "--virtual", "--session", session], "--virtual and --session"),
        (["accel", "--log", log, "--map", "m.toml"], "--map, and no log that has columns to map"),
        (["accel", "--virtual", "--hold-s", "0"], "--hold-s 0"),
        (["load", "--virtual", "--mass-kg", "-3"], "--mass-kg -3"),
        (["load", "--virtual", "--mass-kg", "nan"], "--mass-kg nan"),
        (["accel", "--virtual", "--latitude", "91"], "latitude 91"),
        (["accel", "--virtual", "--valid-days", "3000000"], "--valid-days 3000000"),
        (["load", "--port", "/dev/none", "--yes"], "--yes without --virtual"),
    ):
        assert main(["calibrate", *map(str, line), "--json"]) == 2
        told = json.loads(capsys.readouterr().out)["error"]
        assert got in told["got"], told
    assert main(["calibrate", "acel"]) == 2
    assert "choice" in capsys.readouterr().err
    assert "[source.serial]" in refused("calibrate", "accel", status=2).got


# --- logs ---


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
    with McapRecorder(path, [stage.spec], box="b", boot="0123456789abcdef", software="0.1") as recorder:
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


# --- live ---


@pytest.mark.board
def test_in_a_pipe_it_is_plain_lines_and_goes_on_after_ctrl_c(tmp_path: Path) -> None:
    line = ["calibrate", "accel", "--virtual", "--seed", "4", "--yes", "--json"]
    with Running(command(*line), cwd=tmp_path) as process:
        process.wait_line("Pose 1 is taken")
        assert process.end(signal.SIGINT) == 130, process.err
    assert process.document["verdict"] == "stopped"
    assert "\x1b" not in process.err, "no colours"
    assert "go on with: cargobox calibrate accel --virtual --seed 4 --resume" in process.err
    (session,) = (tmp_path / "certificates").glob(f"*{SUFFIX}")
    assert len(read_session(session).steps) >= 1
    with Running(command(*line), cwd=tmp_path) as process:
        process.wait_line("going on with")
        process.wait_line("nearly pose 1 again|is taken and kept")
        assert process.end(signal.SIGTERM) == 130, process.err
    assert "Traceback" not in process.err
    told = refused(*line, "--resume", session, "--seed", "5", status=2, cwd=tmp_path)
    assert "--new" in told.remedy


class Terminal:
    """A real pty of 100 × 35 with the command in it."""

    def __init__(self, *arguments: object, cwd: Path) -> None:
        self._near, self.far = pty.openpty()
        termios.tcsetwinsize(self.far, (35, 100))
        self.before = termios.tcgetattr(self.far)
        self.process = subprocess.Popen(
            command(*arguments),
            stdin=self.far,
            stdout=subprocess.PIPE,
            stderr=self.far,
            cwd=cwd,
            env=environment(TERM="xterm-256color", LANG="C.UTF-8", PYTHONUTF8="1", COLUMNS="100", LINES="35"),
            start_new_session=True,
        )
        self.said = ""

    def press(self, keys: str) -> None:
        os.write(self._near, keys.encode())

    def wait_for(self, pattern: str) -> None:
        """Wait until the screen has shown it since the last time."""
        end_s = time.monotonic() + PATIENCE_S
        while not (found := re.search(pattern, self.said)):
            readable, _, _ = select.select([self._near], [], [], max(0.0, end_s - time.monotonic()))
            assert readable, f"never showed {pattern!r}: {self.said[-1500:]!r}"
            self.said += os.read(self._near, 65536).decode(errors="replace")
        self.said = self.said[found.end() :]

    def end(self) -> int:
        status = self.process.wait(PATIENCE_S)
        while select.select([self._near], [], [], 0)[0]:
            self.said += os.read(self._near, 65536).decode(errors="replace")
        return status

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        os.close(self._near)
        os.close(self.far)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    shown = Terminal("calibrate", "accel", "--virtual", "--seed", "4", cwd=tmp_path)
    yield shown
    shown.close()


@pytest.mark.board
def test_on_a_terminal_keys_work_and_all_is_put_back(terminal: Terminal, tmp_path: Path) -> None:
    terminal.wait_for(r"\x1b\[\?1049h")
    terminal.wait_for("as it lies now")
    terminal.wait_for("Pose 1 is taken")
    terminal.press("u")
    terminal.wait_for("Pose 1 is taken back")
    terminal.press("q")
    assert terminal.end() == 1, terminal.said
    assert "\x1b[?25h\x1b[?1049l" in terminal.said, "cursor and screen are put back"
    assert termios.tcgetattr(terminal.far) == terminal.before, "and how keys come"
    assert "nothing was taken" in terminal.said
    (session,) = (tmp_path / "certificates").glob(f"*{SUFFIX}")
    with Journal.resume(session) as journal:
        assert not journal.steps, "taken back; the file still has it"
    assert json.loads(session.read_bytes().splitlines()[-1]) == {"line": "undo", "number": 1}
