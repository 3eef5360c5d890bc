"""The verb `cargobox flash`, as it is typed."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

from agent.cli import main
from firmware_bridge import ports
from firmware_bridge.firmware_files import shipped_version
from firmware_bridge.flashing.flasher import Flasher
from firmware_bridge.ports import SerialPort
from firmware_bridge.virtual.repl_board import ReplBoard
from tests.flash.releases import described


def seen(device: str, likely: int) -> SerialPort:
    return SerialPort(
        device,
        "2E8A:0005",
        "e661",
        None,
        None,
        "Board in FS mode",
        "RP2040/Pico with MicroPython",
        "rp2",
        likely,
    )


@pytest.mark.board
def test_flashing_prints_lines_for_people_and_one_document(
    board: ReplBoard, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["flash", "--port", board.port, "--json"]) == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert document["did"] == "flashed"
    assert document["firmware"] == shipped_version() == described(board).firmware
    assert "answers, and stays" in err
    assert "[###" not in err, "no bar in a pipe"
    assert main(["flash", "--port", board.port]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "nothing to do" in err


@pytest.mark.board
def test_a_configuration_that_is_none_is_refused_first(
    board: ReplBoard, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for text in ("{", "[]"):
        (tmp_path / "pins.json").write_text(text)
        assert main(["flash", "--port", board.port, "--board-config", str(tmp_path / "pins.json")]) == 2
        assert "a JSON object" in capsys.readouterr().err
    assert main(["flash", "--port", board.port, "--board-config", str(tmp_path / "none")]) == 2
    assert board.writes == 0


def test_no_such_port(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["flash", "--port", str(tmp_path / "none"), "--json"]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["error"]["got"] == "there is no such port"
    assert "there is no such port" in err


def test_several_boards_are_listed_and_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    boards = (seen("/dev/ttyACM0", 2), seen("/dev/ttyACM1", 2))
    monkeypatch.setattr(ports, "list_ports", lambda: boards)
    assert main(["flash"]) == 1
    err = capsys.readouterr().err
    assert "/dev/ttyACM0" in err
    assert "/dev/ttyACM1" in err
    assert "--port" in err
    assert main(["flash", "--list"]) == 0
    out = capsys.readouterr().out
    assert "* /dev/ttyACM1" in out
    assert "RP2040/Pico with MicroPython (2E8A:0005)" in out
    assert main(["flash", "--list", "--json"]) == 0
    assert [port["device"] for port in json.loads(capsys.readouterr().out)["ports"]] == [
        "/dev/ttyACM0",
        "/dev/ttyACM1",
    ]


def test_no_board_at_all(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "list_ports", lambda: (seen("/dev/ttyS0", 0),))
    assert main(["flash"]) == 1
    err = capsys.readouterr().err
    assert "no port that has a board behind it" in err
    assert "/dev/ttyS0" in err


def test_a_package_that_is_missing_is_asked_for_as_the_documents_say(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib, "import_module", _without_mpremote)
    assert main(["flash", "--list"]) == 2
    assert "-m pip install --require-hashes -r requirements/flash.txt`" in capsys.readouterr().err


def _without_mpremote(name: str) -> None:
    raise ModuleNotFoundError(name="mpremote")


def test_a_port_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["flash", "--port", "/dev/null"]) == 1
    assert "serial port /dev/null: it is none, expected a serial port." in capsys.readouterr().err


def test_who_interrupts_it_is_told_how_it_goes_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: Flasher) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Flasher, "flash", interrupted)
    assert main(["flash", "--port", "/dev/null", "--json"]) == 130
    out, err = capsys.readouterr()
    assert out == "" and "The same command again goes on." in err, err
