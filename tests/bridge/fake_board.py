"""A board of a few lines under the firmware's own source: its clock and its cable obey the test."""

from __future__ import annotations

import struct
import types
from collections.abc import Callable
from typing import Any

import pytest

from firmware_bridge import wire
from tests.bridge.firmware_source import load

TURN_US = 3000
KEY = b"the key of this box"


class PowerOff(BaseException):
    """Ends the firmware's endless loop."""


class FakeBoard:
    """One stream of 1 kHz, one axis; a turn takes 3 ms; the cable takes what `takes` says.

    `on_turn`: what happens before which turn, counted from 0.
    """

    name = "fake"
    unique_id = "0"
    reset_cause = "power-on"
    boots = 1
    mount_up = (0, 0, 1)
    tick_bits = 32
    ring_bytes = 8192
    outputs_text = '[{"name": "heater", "kind": "relay"}]'
    output_key = KEY
    input_lost = 0
    streams_text = (
        '[{"name": "accel", "axes": ["x"], "unit": "mps2", "scale": 1, "rate_hz": 1000, "bits": 16, '
        '"full_scale": null}]'
    )

    def __init__(self, turns: int, ticks_us: int = 0) -> None:
        self.turns = turns
        self.turn = -1
        self.now_us = ticks_us
        self.skipped = 0
        self.sample_ticks = 0
        self.sampled = self.fetched = 0
        self.safe = self.fed = self.resets = 0
        self.moved: list[tuple[int, int]] = []
        self.tells: list[tuple[str, str, str, str]] = []
        self.sent = bytearray()
        self.inbox = bytearray()
        self.takes = 1 << 30
        self.on_turn: dict[int, Callable[[], object]] = {}

    def random_u32(self) -> int:
        return 0xFFFFFFFE

    def ticks_us(self) -> int:
        return self.now_us & 0xFFFFFFFF

    def wait(self, _timeout_ms: int) -> None:
        self.turn += 1
        if self.turn == self.turns:
            raise PowerOff
        self.now_us += TURN_US
        self.sampled += 3
        self.on_turn.get(self.turn, lambda: None)()

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
        self.resets += 1
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

    # --- for the test ---

    def hear(self, turn: int, frame: bytes) -> None:
        """The host sends something before a turn."""
        before = self.on_turn.get(turn, lambda: None)

        def both() -> None:
            before()
            self.inbox += frame

        self.on_turn[turn] = both

    def pieces(self) -> list[bytes]:
        """What was sent, as it travelled, without delimiters."""
        return [raw for raw in bytes(self.sent).split(b"\0")[:-1] if raw]

    def frames(self, kind: int) -> list[bytearray]:
        """Return the bodies of that kind that left whole."""
        bodies = []
        for raw in self.pieces():
            try:
                bodies.append(wire.unseal(raw))
            except wire.Damaged:
                continue
        return [b for b in bodies if b[0] == kind]

    def answers(self, verb: int) -> list[tuple[int, int, bytes]]:
        """Return (id, result, payload) of each answer to `verb`."""
        return [(b[1], b[3], bytes(b[4:])) for b in self.frames(wire.RESPONSE) if b[2] == verb]


class FakeLauncher:
    """Remembers what was asked of it."""

    slot = "a"
    trial = False

    def __init__(self) -> None:
        self.kept = self.prompts = 0
        self.full = False

    def keep(self) -> None:
        if self.full:
            raise OSError(28, "no space")
        self.kept += 1

    def prompt_at_next_boot(self) -> None:
        if self.full:
            raise OSError(28, "no space")
        self.prompts += 1


def make(board: FakeBoard, launcher: FakeLauncher | None = None) -> Any:
    """Return the firmware on that board; it has not run yet."""
    module = types.ModuleType("board")
    program = load("program", description=load("description"), ring=load("ring"), board=module)
    return program.Firmware(board, launcher or FakeLauncher())


def run(board: FakeBoard, launcher: FakeLauncher | None = None) -> Any:
    """Run the firmware until the board's power goes; return it."""
    firmware = make(board, launcher)
    with pytest.raises(PowerOff):
        firmware.run()
    return firmware
