"""The launcher alone, with the power cut in the middle of every single write to the flash."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_bridge.firmware_files import LAUNCHER
from firmware_bridge.flashing.repl import Repl
from firmware_bridge.virtual.repl_board import ReplBoard
from tests.flash.conftest import plugged

pytestmark = pytest.mark.board

# says which one runs, and with which configuration; keeps itself when it is on trial
PROGRAM = """
import time
def run(launcher):
    with open('config.json') as f:
        print('<%s %s %s>' % (launcher.slot, launcher.trial, f.read()))
    if launcher.trial:
        {then}
    while True:
        time.sleep(1)
"""
KEEP = "launcher.keep();print('<kept>')"
RAISE = "raise ValueError('spoiled')"
OLD_RUNS, NEW_RUNS, TRIAL = b"<a False 1>", b"<b False 2>", b"<b True 2>"


def laid_out(folder: Path, then: str, *, program: str = PROGRAM, **files: str) -> bytes:
    """Return a flash with a program in each slot, `a` being the one that runs."""
    folder.mkdir()
    with plugged(folder) as board, Repl(board.port) as repl:
        repl.run("import os\nos.mkdir('/a')\nos.mkdir('/b')")
        for slot in "ab":
            repl.write_file(f"/{slot}/program.py", program.replace("{then}", then).encode())
        for name, text in {"slot": "a", "config.json": "1", **files}.items():
            repl.write_file(f"/{name}", text.encode())
        repl.write_file("/main.py", LAUNCHER.read_bytes())
        board.unplug()
        return board.image.read_bytes()


def boots(folder: Path, image: bytes, words: bytes) -> Iterator[ReplBoard]:
    """Yield the board cut in its first write, its second, … and booted again; until it says `words` uncut."""
    for cut in range(1000):
        with plugged(folder, image, cut) as board:
            while not board.power_went.wait(0.01):
                if words in board.said:
                    assert cut, "nothing was written"
                    return
            board.plug()
            yield board


def running(board: ReplBoard) -> bytes:
    """Return what the program says that runs."""
    assert board.wait_for(b">"), board.said
    return board.said.strip()


def test_a_trial_is_kept_or_not_but_never_half(tmp_path: Path) -> None:
    image = laid_out(tmp_path / "image", KEEP, trial="b", **{"config.trial": "2"})
    outcomes = set()
    for cut, board in enumerate(boots(tmp_path, image, b"<kept>")):
        said = running(board)
        # cut before it was noticed, the trial is made now
        assert said in (OLD_RUNS, NEW_RUNS) or said.startswith(TRIAL), f"cut at write {cut}: {said!r}"
        outcomes.add(said[: len(OLD_RUNS)])
        if said.startswith(TRIAL):
            assert board.wait_for(b"<kept>")
        board.unplug()
        board.plug()
        assert running(board) == (OLD_RUNS if said == OLD_RUNS else NEW_RUNS), f"cut at write {cut}"
    assert {OLD_RUNS, NEW_RUNS} <= outcomes, outcomes


def test_a_trial_that_fails_gives_way_wherever_the_power_goes(tmp_path: Path) -> None:
    image = laid_out(tmp_path / "image", RAISE, trial="b", **{"config.trial": "2"})
    for cut, board in enumerate(boots(tmp_path, image, OLD_RUNS)):
        assert board.wait_for(OLD_RUNS), f"cut at write {cut}: {board.said!r}"


def test_the_marker_for_the_prompt_is_used_once(tmp_path: Path) -> None:
    image = laid_out(tmp_path / "image", KEEP, prompt="once")
    with plugged(tmp_path, image) as board:
        assert board.wait_for(b">>> "), board.said
        assert OLD_RUNS not in board.said
        board.press_reset()
        assert board.wait_for(OLD_RUNS), board.said
    for cut, board in enumerate(boots(tmp_path, image, b">>> ")):
        assert board.wait_for(OLD_RUNS, 0.1) or board.wait_for(b">>> "), f"cut at write {cut}: {board.said!r}"


def test_no_slot_ends_at_the_prompt(tmp_path: Path) -> None:
    for slot in ("", "c", "a\n"):
        image = laid_out(tmp_path / f"image{len(slot)}{slot.strip()}", KEEP, slot=slot)
        with plugged(tmp_path, image) as board:
            assert board.wait_for(b">>> "), board.said
            assert b"Traceback" not in board.said, board.said


def test_a_program_that_falls_over_starts_again_and_lets_in_who_knocks(tmp_path: Path) -> None:
    image = laid_out(tmp_path / "image", KEEP, program="def run(launcher):\n raise OSError(5)\n")
    with plugged(tmp_path, image) as board:
        assert board.wait_for(b"OSError"), board.said
        first_writes = board.writes
        board.press_reset()
        with Repl(board.port) as repl:
            why = repl.read_file("/why").decode()
        assert why.startswith("a\n"), why
        assert "OSError" in why, why
        assert board.boots >= 3, "reset, then to the prompt"
        assert first_writes > 0
        board.unplug()
        board.plug()
        assert board.wait_for(b"OSError"), board.said
        assert board.writes < first_writes, "the same words are not written twice"


def test_a_kept_program_that_hangs_lets_in_who_knocks(tmp_path: Path) -> None:
    hang = "import machine\ndef run(_):\n machine.WDT(timeout=4000)\n print('<hangs>')\n while True: pass\n"
    image = laid_out(tmp_path / "image", KEEP, program=hang)
    with plugged(tmp_path, image) as board:
        assert board.wait_for(b"<hangs>"), board.said
        with Repl(board.port) as repl:
            assert repl.value("1+1") == 2
        assert board.watchdog_bites == 1
