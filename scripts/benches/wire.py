"""The cable: how fast the host takes in what a board sends, and how fast the board makes it.

The stream is 3 axes of 16 bits at 3200 Hz and four cells of 24 bits at 320 Hz, as the firmware sends it: a
frame a stream every 3 ms, REFILL frames every 25 ms, a status and the answer to a ping a second. It is
made by the firmware's own program on the real MicroPython, over a board that only counts.
"""

from __future__ import annotations

import argparse
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

from firmware_bridge import wire
from firmware_bridge.clock import TickClock
from firmware_bridge.describe import parse_description
from firmware_bridge.firmware_files import program_files
from firmware_bridge.reception import Reception
from firmware_bridge.status import Counters
from firmware_bridge.virtual import Interpreter
from scripts.benches.figures import Figure, median_s

STREAM_S = 20
TURN_US = 3000
FRAMES_A_SECOND = 2 * 1e6 / TURN_US
PEER = "3 axes at 3200 Hz and four cells at 320 Hz"

BOARD = """
STREAMS = (
    '[{"name":"accel","axes":["x","y","z"],"unit":"mps2","scale":0.01,"rate_hz":3200,"bits":16,"full_scale":null},'
    '{"name":"load","axes":["a","b","c","d"],"unit":"kg","scale":0.001,"rate_hz":320,"bits":24,"full_scale":null}]'
)
RATES_HZ = (3200, 320)
SAMPLE_BYTES = (6, 12)


class Board:
    name = "bench"
    unique_id = "0"
    reset_cause = "power-on"
    boots = 1
    mount_up = None
    tick_bits = 30
    ring_bytes = 65536
    outputs_text = "[]"
    output_key = b""
    input_lost = 0
    streams_text = STREAMS

    def __init__(self):
        self.now_us = 0
        self.skipped = 0
        self.sample_ticks = 0
        self.inbox = b""
        self.cable = None
        self.taken = [0, 0]
        self.began_us = 0
        # counts that look like a sensor's: small, of both signs, with noise in the low bits
        self.noise = bytes((i * 73 ^ i >> 3) & 255 if i % 2 else (0, 255, 1)[i // 2 % 3] for i in range(600))

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
        if self.cable:
            self.cable.write(memoryview(buffer)[begin:end])
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
        due = min(room, (self.now_us - self.began_us) * RATES_HZ[stream] // 1_000_000 - taken)
        size = SAMPLE_BYTES[stream] * due
        begin = taken % 16
        body[at : at + size] = memoryview(self.noise)[begin : begin + size]
        self.taken[stream] = taken + due
        self.sample_ticks = (self.began_us + taken * 1_000_000 // RATES_HZ[stream]) & 0x3FFFFFFF
        return due
"""

PROGRAM = """
import sys
import time

sys.path.insert(0, sys.argv[1])
import board
import program
import wire


class Launcher:
    slot = "a"
    trial = False


hardware = board.Board()
firmware = program.Firmware(hardware, Launcher())
now_us = getattr(time, "ticks_us", None) or (lambda: time.perf_counter_ns() // 1000)
turns = int(sys.argv[2]) * 1_000_000 // 3000


def stream():
    for turn in range(turns):
        if turn % 333 == 0:
            hardware.inbox = wire.command(turn & 255, wire.DO_PING)
        firmware.turn()


with open(sys.argv[1] + "/stream", "wb") as hardware.cable:
    firmware.send_describe()
    hardware.inbox = wire.command(1, wire.DO_START)
    firmware.turn()
    stream()
hardware.cable = None
fastest_us = 1 << 60
for _ in range(3):
    began_us = now_us()
    stream()
    fastest_us = min(fastest_us, now_us() - began_us)
print(turns * 1_000_000 // fastest_us)
"""


def record(folder: Path) -> tuple[bytes, float]:
    """Return what the board sends in `STREAM_S`, and the turns that it does in a second."""
    (folder / "board.py").write_text(BOARD)
    (folder / "run.py").write_text(PROGRAM)
    for name in ("wire.py", "description.py", "ring.py", "program.py"):
        shutil.copy(program_files("linux")[name], folder)
    interpreter = ["-m", "micropython_unix"] if Interpreter.MICROPYTHON.available else []
    command = [sys.executable, *interpreter, str(folder / "run.py"), str(folder), str(STREAM_S)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return (folder / "stream").read_bytes(), float(done.stdout)


def decode(stream: bytes) -> Counters:
    """Do what the link does with a board's bytes, from the delimiter to samples with index and time."""
    counters = Counters()
    reception = Reception(counters)
    begun_ns = 1_000_000_000
    for raw in stream.split(b"\0"):
        if not raw:
            continue
        body = wire.unseal(raw)
        kind = body[0]
        if kind == wire.DATA:
            came_ns = begun_ns + 1000 * int.from_bytes(body[8:12], "little")
            for _ in reception.take_data(body, came_ns):
                pass
        elif kind == wire.REFILL:
            came_ns = begun_ns + 1000 * int.from_bytes(body[1:5], "little")
            reception.take_refill(body, came_ns)
        elif kind == wire.STATUS:
            counters.take_status(body)
        elif kind == wire.RESPONSE and body[2] == wire.DO_PING:
            came, left, _ = struct.unpack_from(wire.PONG, body, wire.RESPONSE_HEADER_BYTES)
            sent_ns = begun_ns + 1000 * came
            reception.clock.add_ping(sent_ns - 100_000, came, left, sent_ns + 100_000)
        elif kind == wire.DESCRIBE:
            description = parse_description(body, "the bench")
            reception.expect(description.streams)
            reception.clock = TickClock(description.tick_bits)
            reception.clock.add_ping(begun_ns - 100_000, 0, 0, begun_ns + 100_000)
            reception.begin_session(reason="", counts_from_zero=True)
    return counters


def bench(args: argparse.Namespace) -> list[Figure]:
    """Measure."""
    with tempfile.TemporaryDirectory() as folder:
        stream, turns_a_second = record(Path(folder))
    counters = decode(stream)
    expected = STREAM_S * (3200 + 320)
    if not 0.99 * expected < counters.samples <= expected or counters.rejected_frames:
        raise RuntimeError(f"{counters.samples} of {expected} samples: {counters}")
    pieces = [raw for raw in stream.split(b"\0") if raw]

    def unseal() -> None:
        for raw in pieces:
            wire.unseal(raw)

    board = "MicroPython on this machine" if Interpreter.MICROPYTHON.available else "CPython, no MicroPython"
    return [
        Figure(
            "wire, the host takes in one board", STREAM_S / median_s(lambda: decode(stream)), "×", PEER, 20
        ),
        Figure("wire, frames unsealed alone", STREAM_S / median_s(unseal), "×", PEER),
        Figure("wire, frames the board makes", turns_a_second * TURN_US / 1e6, "×", f"{PEER}; {board}"),
        Figure(
            "wire, frames the board makes", 2 * turns_a_second, "a second", f"{FRAMES_A_SECOND:.0f} needed"
        ),
    ]
