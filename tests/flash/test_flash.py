"""Flashing the real MicroPython, with its littlefs, behind a port."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import serial

from firmware_bridge import wire
from firmware_bridge.firmware_files import LAUNCHER
from firmware_bridge.flashing import trial
from firmware_bridge.flashing.errors import FlashError, RefusedError, TrialError
from firmware_bridge.flashing.greeting import greet
from firmware_bridge.flashing.repl import Repl
from firmware_bridge.flashing.slots import Slots
from firmware_bridge.virtual.repl_board import BLOCK_BYTES, ReplBoard
from tests.flash.releases import NEW, OLD, Releases, described, flash, power_cycle, prompt, streams

pytestmark = pytest.mark.board


def test_first_flash(board: ReplBoard, releases: Releases) -> None:
    releases.ship(NEW)
    parts: list[float] = []
    report = flash(board, progress=parts.append)
    assert (report.did, report.firmware, report.before, report.slot) == ("flashed", NEW, "", "a"), report
    assert report.compiled, "the real MicroPython takes what mpy-cross compiles"
    assert parts == sorted(parts), parts
    assert parts[-1] == 1.0, parts
    assert streams(board)
    power_cycle(board)
    about = described(board)
    assert (about.firmware, about.trial, about.slot) == (NEW, False, "a"), about


def test_an_upgrade_goes_beside_what_runs(with_old: ReplBoard) -> None:
    report = flash(with_old)
    assert (report.did, report.before, report.firmware, report.slot) == ("flashed", OLD, NEW, "b"), report
    power_cycle(with_old)
    assert described(with_old).firmware == NEW
    with prompt(with_old) as repl:
        assert repl.read_file("/a/version") == OLD.encode(), "the old one stays, for the one after"


def test_the_same_version_is_left_alone(with_old: ReplBoard) -> None:
    flash(with_old)
    boots, writes = with_old.boots, with_old.writes
    report = flash(with_old)
    assert report.did == "nothing", report
    assert (with_old.boots, with_old.writes) == (boots, writes), "it was not even interrupted"
    assert flash(with_old, force=True).slot == "a"


def test_a_program_that_only_waits_at_the_prompt_is_not_written_again(with_old: ReplBoard) -> None:
    flash(with_old)
    with prompt(with_old):
        pass
    with_old.plug_at_prompt()
    report = flash(with_old)
    assert (report.did, report.firmware) == ("nothing", NEW), report
    assert streams(with_old)


def test_an_older_one_is_refused_unless_forced(with_old: ReplBoard, releases: Releases) -> None:
    flash(with_old)
    releases.ship(OLD)
    boots = with_old.boots
    with pytest.raises(RefusedError, match=f"firmware {NEW}, which is newer") as refused:
        flash(with_old)
    assert "--force" in refused.value.remedy
    assert with_old.boots == boots, "nothing was touched"
    with_old.plug_at_prompt()
    with pytest.raises(RefusedError, match="which is newer"):
        flash(with_old)
    assert described(with_old).firmware == NEW, "it was left running"
    report = flash(with_old, force=True)
    assert (report.before, report.firmware) == (NEW, OLD), report


def test_a_full_flash_leaves_the_old_program_alone(with_old: ReplBoard) -> None:
    with prompt(with_old) as repl:
        free = repl.value("__import__('os').statvfs('/')[3]")
        repl.run(
            f"f=open('/music.bin','wb')\nfor _ in range({free - 4}):f.write(bytes({BLOCK_BYTES}))\nf.close()"
        )
        free = repl.value("__import__('os').statvfs('/')[3]")
    with pytest.raises(FlashError, match="its flash is full") as full:
        flash(with_old)
    assert "music.bin" in full.value.remedy, full.value.remedy
    assert f"Firmware {OLD} is untouched" in full.value.remedy
    assert described(with_old).firmware == OLD
    assert streams(with_old)
    with prompt(with_old) as repl:
        after = repl.value("__import__('os').statvfs('/')[3]")
        assert after == free, f"{free - after} blocks of the flash were not given back"
    with pytest.raises(RefusedError, match="a file of the firmware itself"):
        flash(with_old, remove=("main.py",))
    assert described(with_old).firmware == OLD
    assert flash(with_old, remove=("music.bin",)).firmware == NEW


def test_what_somebody_else_left_in_folders_can_be_removed(with_old: ReplBoard) -> None:
    with prompt(with_old) as repl:
        repl.run(
            "import os\nos.mkdir('lib')\nopen('lib/song.py','w').close()\nopen('main.before.py','w').close()"
        )
        assert set(Slots(repl).strangers().split(", ")) == {
            "lib/song.py (0 bytes)",
            "main.before.py (0 bytes)",
        }
        assert Slots(repl).remove("lib/song.py")
        assert not Slots(repl).remove("lib/song.py"), "the same command again goes on"
        assert Slots(repl).strangers() == "main.before.py (0 bytes)"


def test_firmware_of_another_protocol_is_no_stranger(
    with_old: ReplBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(words: str) -> None:
        raise InterruptedError(words)

    monkeypatch.setattr(wire, "PROTOCOL_VERSION", wire.PROTOCOL_VERSION + 1)
    with pytest.raises(InterruptedError, match="a cargo box whose firmware speaks another protocol"):
        flash(with_old, say=stop)


@pytest.mark.parametrize(
    ("first_line", "words"),
    [
        ("raise ValueError('spoiled')", "ValueError: spoiled"),
        ("import nowhere", "no module named 'nowhere'"),
        ("raise SystemExit", "it hung, or lost its power"),
    ],
)
def test_a_program_that_raises_is_taken_back(
    with_old: ReplBoard, releases: Releases, first_line: str, words: str
) -> None:
    releases.ship(NEW, first_line=first_line)
    with pytest.raises(TrialError) as failed:
        flash(with_old)
    assert words in failed.value.got, failed.value
    assert f"Firmware {OLD} is back" in failed.value.remedy
    if "SystemExit" not in first_line:
        assert "program.py" in failed.value.traceback, failed.value.traceback
    assert described(with_old).firmware == OLD
    releases.ship(NEW)
    assert flash(with_old).firmware == NEW


def test_a_program_that_hangs_is_bitten_by_the_watchdog(with_old: ReplBoard, releases: Releases) -> None:
    releases.ship(NEW, first_line="while True: pass")
    with pytest.raises(TrialError, match="it hung, or lost its power") as failed:
        flash(with_old)
    assert with_old.watchdog_bites == 1
    assert f"Firmware {OLD} is back" in failed.value.remedy
    assert described(with_old).reset_cause in ("reset", "power-on"), "the next boot, after asking why"


def test_a_broken_first_program_leaves_the_prompt(board: ReplBoard, releases: Releases) -> None:
    releases.ship(OLD, first_line="raise OSError(5)")
    with pytest.raises(TrialError, match=r"OSError: 5|EIO") as failed:
        flash(board)
    assert "can be flashed again" in failed.value.remedy
    assert greet(board.port).at_prompt
    releases.ship(NEW)
    assert flash(board).firmware == NEW


def test_what_was_not_confirmed_is_gone_after_a_power_cut(
    with_old: ReplBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def host_dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(trial, "keep", host_dies)
        flash(with_old)
    about = described(with_old)
    assert (about.firmware, about.trial) == (NEW, True), about
    power_cycle(with_old)
    about = described(with_old)
    assert (about.firmware, about.trial) == (OLD, False), about
    # and when the host comes back before the power goes, it is only confirmed
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(trial, "keep", host_dies)
        flash(with_old)
    assert flash(with_old).did == "kept"
    power_cycle(with_old)
    assert described(with_old).firmware == NEW


def test_whatever_the_prompt_was_left_in(board: ReplBoard) -> None:
    states = {
        "prompt": b"",
        "raw": b"\x01",
        "raw paste": b"\x01\x05A\x01import ",
        "half of asking for raw paste": b"\x01\x05",
        "half a line": b"print('half",
        "paste": b"\x05import x\r\n",
        "a block": b"def f():\r\n",
        "a program typed in": b"while 1: pass\r\n\r\n",
    }
    assert board.wait_for(b">>> ")
    for name, left_by in states.items():
        with serial.Serial(board.port) as line:
            line.write(left_by)
        with Repl(board.port) as repl:
            assert repl.value("6*7") == 42, name


@pytest.mark.parametrize(
    "program",
    [
        "while True:\n print('tick', end='')",
        "raise ValueError",
    ],
    ids=["talks", "raises"],
)
def test_somebody_elses_program_is_interrupted_and_kept_aside(
    board: ReplBoard, releases: Releases, program: str
) -> None:
    releases.ship(NEW)
    with Repl(board.port) as repl:
        repl.write_file("/main.py", program.encode())
    assert flash(board).firmware == NEW
    with prompt(board) as repl:
        assert repl.read_file("/main.before.py") == program.encode()


def test_a_configuration_comes_and_goes_with_its_program(with_old: ReplBoard, releases: Releases) -> None:
    flash(with_old, config=b'{"box": 1}')
    assert flash(with_old, config=b'{"box": 1}').did == "nothing"
    releases.ship("3.2.0", first_line="raise ValueError('spoiled')")
    with pytest.raises(TrialError):
        flash(with_old, config=b'{"box": 2}')
    with prompt(with_old) as repl:
        assert repl.read_file("/config.json") == b'{"box": 1}'
    releases.ship("3.2.0")
    assert flash(with_old, config=b'{"box": 2}').firmware == "3.2.0"
    with prompt(with_old) as repl:
        assert repl.read_file("/config.json") == b'{"box": 2}'
        names = repl.value("__import__('os').listdir('/')")
    assert not [name for name in names if name.startswith("config.") and name != "config.json"], names


def test_what_the_board_finds_wrong_in_its_configuration_is_told(
    with_old: ReplBoard, releases: Releases
) -> None:
    releases.ship(
        NEW,
        first_line="import board\nfaults=[('config','config.json outputs[0].pin','99','a pin')]\n"
        "board.Board.next_fault=lambda _:faults.pop() if faults else None",
    )
    said: list[str] = []
    flash(with_old, config=b"{}", say=said.append)
    assert said[-1] == "the board says of config: config.json outputs[0].pin: 99, expected a pin", said


def test_the_launcher_is_replaced_only_when_it_differs(with_old: ReplBoard) -> None:
    with prompt(with_old) as repl:
        assert repl.read_file("/main.py") != LAUNCHER.read_bytes(), "an older one, to begin with"
    flash(with_old)
    with prompt(with_old) as repl:
        assert repl.read_file("/main.py") == LAUNCHER.read_bytes()
        assert "main.before.py" not in repl.value("__import__('os').listdir('/')"), "it was one of ours"


def test_a_second_try_writes_only_what_is_missing(
    with_old: ReplBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    class StopHereError(Exception):
        pass

    def stop(part: float) -> None:
        if part > 0.8:
            raise StopHereError

    write_file = Repl.write_file
    written: list[str] = []

    def note(self: Repl, path: str, data: bytes, progress: Callable[[int], object] = lambda _: None) -> None:
        written.append(path)
        write_file(self, path, data, progress)

    monkeypatch.setattr(Repl, "write_file", note)
    with pytest.raises(StopHereError):
        flash(with_old, progress=stop)
    first = set(written)
    power_cycle(with_old)
    written.clear()
    assert flash(with_old).firmware == NEW
    twice = first & set(written)
    assert len(first) > 2, first
    assert len(twice) <= 1, f"{twice} written once more"


def test_a_file_damaged_on_the_way_is_written_again(
    with_old: ReplBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_file = Repl.write_file
    spoiled: list[str] = []

    def damage(self: Repl, path: str, data: bytes, _: object = None) -> None:
        if path.endswith("wire.mpy.new") and len(spoiled) < tries:
            spoiled.append(path)
            data = data[:100] + b"\x00" + data[101:]
        write_file(self, path, data)

    monkeypatch.setattr(Repl, "write_file", damage)
    tries = 2
    with pytest.raises(FlashError, match=r"writing b/wire\.mpy"):
        flash(with_old)
    assert described(with_old).firmware == OLD
    spoiled.clear()
    tries = 1
    assert flash(with_old).firmware == NEW
    assert len(spoiled) == 1


def test_ctrl_c_leaves_a_board_that_answers(with_old: ReplBoard) -> None:
    def interrupt(part: float) -> None:
        if part > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        flash(with_old, progress=interrupt)
    assert described(with_old).firmware == OLD


def test_ctrl_c_on_the_way_to_the_prompt_leaves_a_board_that_answers(
    with_old: ReplBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    reach = Repl._reach_prompt

    def interrupted(repl: Repl, transport: Any, first: bytes) -> None:
        reach(repl, transport, first)
        raise KeyboardInterrupt

    monkeypatch.setattr(Repl, "_reach_prompt", interrupted)
    with pytest.raises(KeyboardInterrupt):
        flash(with_old)
    assert described(with_old).firmware == OLD
