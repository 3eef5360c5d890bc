"""Boards and MicroPythons of all kinds: which are refused, what each is given, how it is read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from mpremote.transport_serial import SerialTransport

from firmware_bridge.firmware_files import shipped_version
from firmware_bridge.flashing import building, target
from firmware_bridge.flashing.errors import FlashError, RefusedError
from firmware_bridge.flashing.repl import RUN_TRIES, Repl, sha256
from firmware_bridge.flashing.slots import Slots
from firmware_bridge.virtual.repl_board import ReplBoard
from tests.flash.releases import NEW, OLD, Releases, flash, prompt, streams

pytestmark = pytest.mark.board


def test_an_old_micropython_is_refused(board: ReplBoard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "OLDEST", (99, 0, 0))
    with pytest.raises(RefusedError, match=r"expected 99\.0\.0 or newer") as refused:
        flash(board)
    assert "--base-image" in refused.value.remedy


def test_a_chip_that_nobody_has_tried_is_refused_unless_forced() -> None:
    class Answers(Repl):
        platform = machine = ""

        def run(self, source: str) -> bytes:
            return repr(
                ("micropython", (1, 25, 0), self.platform, 0x1306, self.machine, (4096, 9, 9))
            ).encode()

    for platform, machine, is_taken in [
        ("rp2", "Raspberry Pi Pico with RP2040", True),
        ("rp2", "Raspberry Pi Pico 2 with RP2350", False),
        ("esp32", "Generic ESP32 module with ESP32", True),
        ("esp32", "Generic ESP32S3 module with ESP32S3", False),
    ]:
        board = Answers("/dev/ttyACM0")
        board.platform, board.machine = platform, machine
        if not is_taken:
            with pytest.raises(RefusedError, match=r"a .* with ") as refused:
                target.look_at(board)
            assert "--force" in refused.value.remedy
        found = target.look_at(board, force=not is_taken)
        assert (found.architecture, found.mpy_version) == ("armv6m", "6.3"), found


def test_a_board_that_takes_other_bytecode_gets_the_source(
    board: ReplBoard, releases: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    releases.ship(NEW)
    monkeypatch.setattr(building, "_emitted_version", lambda: "7.0")
    assert not flash(board).compiled
    assert streams(board)
    monkeypatch.undo()
    releases.ship(OLD)
    assert flash(board, force=True).compiled
    assert flash(board, force=True).slot == "a"
    with prompt(board) as repl:
        names = repl.value("__import__('os').listdir('/a')")
    assert not [name for name in names if name.endswith(".py")], f"{names}: a .py would win over its .mpy"


def test_a_board_without_sha256_is_read_back(board: ReplBoard) -> None:
    with Repl(board.port) as repl:
        data = os.urandom(5000)
        repl.write_file("/x", data)
        assert repl.hash_file("/x") == sha256(data)
        repl.run("import sys\nsys.modules['hashlib']=sys")
        assert repl.hash_file("/x") == sha256(data)


@pytest.mark.parametrize("lost", [1, RUN_TRIES])
def test_a_line_that_lost_a_letter_on_the_way_is_sent_again(
    board: ReplBoard, monkeypatch: pytest.MonkeyPatch, lost: int
) -> None:
    sent = []
    real = SerialTransport.exec

    def cable(self: SerialTransport, command: str, data_consumer: object = None) -> bytes:
        sent.append(command)
        return bytes(real(self, command.replace("(", "", len(sent) <= lost), data_consumer))

    with Repl(board.port) as repl:
        monkeypatch.setattr(SerialTransport, "exec", cable)
        if lost < RUN_TRIES:
            assert repl.run("print(6*7)").strip() == b"42"
        else:
            with pytest.raises(FlashError, match="SyntaxError"):
                repl.run("print(6*7)")
        assert len(sent) == min(lost + 1, RUN_TRIES)
        assert repl.run("print(6*7)").strip() == b"42"


def test_slots_of_an_empty_board(board: ReplBoard) -> None:
    with Repl(board.port) as repl:
        slots = Slots(repl)
        assert (slots.active, slots.free_slot, slots.active_version) == ("", "a", "")
        assert slots.config() == b""


@pytest.mark.parametrize(("platform", "architecture"), [("rp2", "armv6m"), ("esp32", "xtensawin")])
def test_the_firmware_of_real_boards_compiles(platform: str, architecture: str) -> None:
    emitted = building._emitted_version()
    for taken in (emitted, "6.1"):
        board = target.Target(platform, "", (1, 25, 0), taken, architecture, 1 << 20)
        image = building.build(board)
        assert image.is_compiled == (taken == emitted)
        suffix = ".mpy" if image.is_compiled else ".py"
        assert {Path(name).suffix for name in image.files} == {suffix, ""}, sorted(image.files)
        assert image.files["version"] == shipped_version().encode()
