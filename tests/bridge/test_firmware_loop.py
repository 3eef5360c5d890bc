"""The firmware's own source over a board of a few lines: what takes too long, or luck, on the real one."""

from __future__ import annotations

import itertools
import runpy
import struct
import sys
import types
from pathlib import Path
from typing import Any

import pytest

import firmware_bridge
from firmware_bridge import wire
from firmware_bridge.status import Counters

PROGRAM = Path(firmware_bridge.__file__).parent / "firmware" / "program.py"
TURN_US = 3000
DATA_FRAME_BYTES = wire.sealed_bytes_at_most(wire.DATA_HEADER_BYTES + 3 * 2)


def ring_module() -> types.ModuleType:
    """ring.py as the board has it: beside wire.py, in no package."""
    module = types.ModuleType("ring")
    module.__dict__.update(runpy.run_path(str(PROGRAM.with_name("ring.py"))))
    return module


class PowerOff(BaseException):
    """Ends the firmware's endless loop."""


class FakeBoard:
    """One stream of 1 kHz, one axis; a turn takes 3 ms; the cable takes what `takes` says."""

    name = "fake"
    unique_id = "0"
    reset_cause = "power-on"
    boots = 1
    mount_up = (0, 0, 1)
    tick_bits = 32
    ring_bytes = 8192
    outputs_text = '[{"name": "heater", "kind": "relay"}]'
    output_key = b"secret"
    input_lost = 0
    streams_text = (
        '[{"name": "accel", "axes": ["x"], "unit": "mps2", "scale": 1, "rate_hz": 1000, "bits": 16, '
        '"full_scale": null}]'
    )

    def __init__(self, turns: int, ticks_us: int = 0) -> None:
        self.turns = turns
        self.now_us = ticks_us
        self.skipped = 0
        self.sample_ticks = 0
        self.sampled = self.fetched = 0
        self.safe = self.fed = 0
        self.moved: list[tuple[int, int]] = []
        self.tells: list[tuple[str, str, str, str]] = []
        self.sent = bytearray()
        self.inbox = bytearray()
        self.takes = 1 << 30
        self.on_turn: dict[int, Any] = {}

    def random_u32(self) -> int:
        return 0xFFFFFFFE

    def ticks_us(self) -> int:
        return self.now_us & 0xFFFFFFFF

    def wait(self, _timeout_ms: int) -> None:
        if not self.turns:
            raise PowerOff
        self.turns -= 1
        self.now_us += TURN_US
        self.sampled += 3
        self.on_turn.pop(self.turns, lambda: None)()

    def read_host(self, buffer: bytearray) -> int:
        count = min(len(buffer), len(self.inbox))
        buffer[:count] = self.inbox[:count]
        del self.inbox[:count]
        return count

    def write_host(self, buffer: bytearray, begin: int, end: int) -> int:
        count = min(end - begin, self.takes)
        self.takes -= count
        self.sent += buffer[begin : begin + count]
        return count

    def make_safe(self) -> None:
        self.safe += 1

    def set_output(self, number: int, value: int) -> bool:
        self.moved.append((number, value))
        return number == 0

    def next_fault(self) -> tuple[str, str, str, str] | None:
        return self.tells.pop(0) if self.tells else None

    def feed(self) -> None:
        self.fed += 1

    def reset(self) -> None:
        raise PowerOff

    def start(self) -> None:
        self.sampled = self.fetched = 0

    def stop(self) -> None:
        pass

    def take(self, _stream: int, body: bytearray, at: int, room: int) -> int:
        count = min(room, self.sampled - self.fetched)
        struct.pack_into(f"<{count}h", body, at, *((self.fetched + i) & 0x7FFF for i in range(count)))
        self.sample_ticks = (self.now_us - 1000 * (self.sampled - self.fetched)) & 0xFFFFFFFF
        self.fetched += count
        return count

    def frames(self, kind: int) -> list[bytearray]:
        bodies = [wire.unseal(raw) for raw in bytes(self.sent).split(b"\0")[:-1] if raw]
        return [b for b in bodies if b[0] == kind]


class FakeLauncher:
    slot = "a"
    trial = False

    def __init__(self) -> None:
        self.kept = self.prompts = 0

    def keep(self) -> None:
        self.kept += 1

    def prompt_at_next_boot(self) -> None:
        self.prompts += 1


def run(monkeypatch: pytest.MonkeyPatch, board: FakeBoard, launcher: FakeLauncher | None = None) -> None:
    module = types.ModuleType("board")
    module.Board = lambda: board  # type: ignore[attr-defined]  # a module made on the spot
    monkeypatch.setitem(sys.modules, "board", module)
    monkeypatch.setitem(sys.modules, "wire", wire)
    monkeypatch.setitem(sys.modules, "ring", ring_module())
    with pytest.raises(PowerOff):
        runpy.run_path(str(PROGRAM))["run"](launcher or FakeLauncher())


def test_every_sample_leaves_in_the_turn_that_finds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    board = FakeBoard(turns=100)
    board.inbox += wire.command(1, wire.DO_START)
    run(monkeypatch, board)
    frames = board.frames(wire.DATA)
    headers = [struct.unpack_from(wire.DATA_HEADER, f) for f in frames]
    assert [h[2] for h in headers] == list(range(len(headers))), "sequence numbers without a hole"
    assert [h[3] for h in headers] == [3 * i for i in range(len(headers))], "three samples a turn"
    assert headers[-1][3] + headers[-1][5] == board.sampled, "nothing waits for another turn"


def test_what_the_host_does_not_read_in_time_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    board = FakeBoard(turns=2500)
    board.inbox += wire.command(1, wire.DO_START)

    def stall() -> None:
        board.takes = 100  # and not on the border of a frame

    def resume() -> None:
        board.takes = 1 << 30

    board.on_turn = {2300: stall, 600: resume}
    run(monkeypatch, board)
    headers = [struct.unpack_from(wire.DATA_HEADER, f) for f in board.frames(wire.DATA)]
    sequences = [h[2] for h in headers]
    lost = next(b - a - 1 for a, b in itertools.pairwise(sequences) if b != a + 1)
    assert sequences == sorted(sequences) and sequences[-1] + 1 - len(sequences) == lost, "one hole"
    stalled = 1700
    held = board.ring_bytes // (DATA_FRAME_BYTES + 6)
    assert stalled - held - 20 <= lost <= stalled - held + 20, f"{lost} frames lost, {held} fit the ring"
    counters = Counters()
    counters.take_status(board.frames(wire.STATUS)[-1])
    assert counters.ring_lost == [3 * lost] and counters.board_stalls > 1600


@pytest.mark.parametrize("ticks_us", [0, 2**32 - 2_000_000], ids=["early", "across the wrap of the ticks"])
def test_a_host_that_goes_quiet_is_noticed_once(monkeypatch: pytest.MonkeyPatch, ticks_us: int) -> None:
    board = FakeBoard(turns=4000, ticks_us=ticks_us)
    board.inbox += wire.command(1, wire.DO_START)

    def look() -> None:
        assert board.safe == 0, "safe before the host had been quiet for 5 s"

    board.on_turn = {4000 - 1650: look}
    run(monkeypatch, board)
    assert board.safe == 1
    assert any(b"host quiet" in f for f in board.frames(wire.LOG))


def test_pings_keep_the_outputs_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    board = FakeBoard(turns=4000)
    board.inbox += wire.command(1, wire.DO_START)

    def ping() -> None:
        board.inbox += wire.command(2, wire.DO_PING)

    board.on_turn = dict.fromkeys(range(0, 4000, 1000), ping)
    run(monkeypatch, board)
    assert board.safe == 0 and board.frames(wire.LOG) == []
    session = struct.unpack_from(wire.PONG, board.frames(wire.RESPONSE)[-1], 4)[2]
    assert session == 0xFFFFFFFF
