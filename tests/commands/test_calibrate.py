"""`cargobox calibrate` from raw sessions: fitted again, refused with reasons, or not to be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.certificates import at_hand
from agent.cli import main
from agent.config import load_config
from calibration.certificate import read_certificate
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
