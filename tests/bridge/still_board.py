"""A ``board`` module that allocates nothing and depends on nothing but its own turns, for both interpreters.

The tests lay it beside the firmware's own files in a folder and run it there.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from firmware_bridge.firmware_files import program_files

CPYTHON = [sys.executable]
MICROPYTHON = [sys.executable, "-m", "micropython_unix"]

BOARD = """
STREAMS = (
    '[{"name":"accel","axes":["x","y","z"],"unit":"mps2","scale":1,"rate_hz":3200,"bits":16,"full_scale":null},'
    '{"name":"load","axes":["a","b","c","d"],"unit":"kg","scale":1,"rate_hz":320,"bits":24,"full_scale":null}]'
)
RATES_HZ = (3200, 320)
SAMPLE_BYTES = (6, 12)


class Board:
    name = "still"
    unique_id = "0"
    reset_cause = "power-on"
    boots = 1
    mount_up = None
    tick_bits = 30
    ring_bytes = 16384
    outputs_text = '[{"name":"heater","kind":"relay"}]'
    output_key = b"a key"
    input_lost = 0
    streams_text = STREAMS

    def __init__(self):
        self.now_us = (1 << 30) - 5_000_000
        self.skipped = 0
        self.sample_ticks = 0
        self.inbox = b""
        self.stalled = False
        self.careless = False
        self.counting = False  # samples that differ, else whatever lies there
        self.taken = [0, 0]
        self.began_us = 0
        self.written = 0
        self.cable = None
        self.moved = []
        self.faults = []

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
        if self.cable:
            self.cable.write(memoryview(buffer)[begin:end])
        return end - begin

    def feed(self):
        pass

    def make_safe(self):
        pass

    def reset(self):
        pass

    def set_output(self, number, value):
        self.moved.append((number, value))
        return number == 0

    def next_fault(self):
        return self.faults.pop(0) if self.faults else None

    def start(self):
        self.began_us = self.now_us
        self.taken = [0, 0]

    def stop(self):
        pass

    def take(self, stream, body, at, room):
        taken = self.taken[stream]
        due = (self.now_us - self.began_us) * RATES_HZ[stream] // 1_000_000 - taken
        if due > room:
            due = room
        if self.counting:
            for i in range(due * SAMPLE_BYTES[stream]):
                body[at + i] = (taken + i) & 255
        self.taken[stream] = taken + due
        self.sample_ticks = (self.began_us + taken * 1_000_000 // RATES_HZ[stream]) & 0x3FFFFFFF
        return due
"""


def run_beside(folder: Path, interpreter: list[str], program: str) -> list[str]:
    """Run `program` in `folder` with the firmware and the board beside it; return the lines it prints."""
    (folder / "board.py").write_text(BOARD)
    (folder / "run.py").write_text(program)
    for name in ("wire.py", "description.py", "ring.py", "program.py"):
        shutil.copy(program_files("linux")[name], folder)
    done = subprocess.run(
        [*interpreter, folder / "run.py", folder], check=True, capture_output=True, text=True, timeout=60
    )
    return done.stdout.splitlines()
