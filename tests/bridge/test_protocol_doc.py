"""docs/protocol.md says what the code does, and is enough to read the cable without the code."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import re
import struct

import pytest

from firmware_bridge import link, refill, wire
from firmware_bridge.describe import BoardStream
from firmware_bridge.reception import unpack_samples
from tests.bridge.fake_board import FakeBoard, make, run
from tests.bridge.protocol_document import DOCUMENT, NO_FRAMES, VECTORS, section, table

BODIES = {what: bytes.fromhex(body) for what, body, _, _ in VECTORS}
KINDS = ("describe", "data", "status", "log", "command", "response", "refill")
VERBS = ("describe", "start", "stop", "ping", "refill", "output", "keep", "prompt")


def read_frame(raw: bytes) -> tuple[bytes, int] | None:
    """Return (body, CRC), or None: written from the document, and sharing nothing with the code."""
    if len(raw) < 7 or any(byte < 0x80 for byte in raw[-4:]):
        return None
    encoded, check = raw[1:-4], 0
    for shift, byte in enumerate(raw[-4:]):
        check += (byte - 0x80) << (7 * shift)
    crc = 0xFFFF
    for byte in encoded:
        for bit in range(8):
            low = (crc ^ (byte >> bit)) & 1
            crc >>= 1
            if low:
                crc ^= 0x8408
    crc ^= 0xFFFF
    n = len(encoded)
    if check != crc + 65536 * n or raw[0] != n % 255 + 1:
        return None
    body = b""
    while encoded:
        code = encoded[0]
        if code == 0 or len(encoded) < code:
            return None
        body += encoded[1:code]
        encoded = encoded[code:]
        if code < 255 and encoded:
            body += b"\0"
    return body, crc


def test_every_kind_and_every_verb_has_its_vectors() -> None:
    assert {body[0] for body in BODIES.values()} >= set(range(1, 8))
    assert {b[2] for b in BODIES.values() if b[0] == wire.COMMAND} == set(range(1, 9))
    assert {b[2] for b in BODIES.values() if b[0] == wire.RESPONSE} >= set(range(1, 9))
    assert len(NO_FRAMES) == 7


@pytest.mark.parametrize(("what", "body", "crc", "frame"), VECTORS, ids=[v[0] for v in VECTORS])
def test_a_vector(what: str, body: str, crc: str, frame: str) -> None:
    raw = bytes.fromhex(frame)
    assert wire.seal(bytes.fromhex(body)).hex(" ") == frame, what
    assert f"{wire.crc16(raw[1:-5]):04X}" == crc, what
    assert wire.unseal(raw[:-1]).hex(" ") == body, what


@pytest.mark.parametrize(("what", "body", "crc", "frame"), VECTORS, ids=[v[0] for v in VECTORS])
def test_a_reader_made_from_the_document_reads_it(what: str, body: str, crc: str, frame: str) -> None:
    raw = bytes.fromhex(frame)
    assert raw[-1] == 0 and 0 not in raw[:-1]
    assert read_frame(raw[:-1]) == (bytes.fromhex(body), int(crc, 16)), what


@pytest.mark.parametrize(("what", "raw"), NO_FRAMES, ids=[v[0] for v in NO_FRAMES])
def test_what_is_no_frame(what: str, raw: str) -> None:
    piece = bytes.fromhex(raw)[:-1]
    assert read_frame(piece) is None, what
    with pytest.raises(wire.Damaged):
        wire.unseal(piece)


def test_the_vectors_made_by_rule() -> None:
    rows = table("Test vectors", 5)
    assert [int(row[0]) for row in rows] == [253, 254, 255, 600]
    for count, length, groups, crc, check in rows:
        body = b"\x01" * int(count)
        frame = wire.seal(body)
        encoded = b"".join(
            bytes.fromhex(code) + int(ones) * b"\x01"
            for code, ones in re.findall(r"`(..)` (\d+) × `01`", groups)
        )
        assert frame == bytes.fromhex(length[1:-1]) + encoded + bytes.fromhex(check[1:-1]) + b"\0"
        assert read_frame(frame[:-1]) == (body, int(crc[1:-1], 16))


def test_a_code_behind_a_full_group_is_taken() -> None:
    body = b"\x01" * 254
    encoded = b"\xff" + body + b"\x01"
    check = wire.crc16(encoded) | len(encoded) << 16
    raw = bytes([len(encoded) % 255 + 1]) + encoded + bytes(0x80 | check >> 7 * n & 0x7F for n in range(4))
    assert wire.unseal(raw) == body
    assert read_frame(raw) == (body, wire.crc16(encoded))


def test_the_check_value_of_the_crc() -> None:
    assert '`"123456789"` gives 0x906E' in DOCUMENT and wire.crc16(b"123456789") == 0x906E


def test_the_samples_of_the_data_vectors() -> None:
    for what, body in BODIES.items():
        if body[0] != wire.DATA:
            continue
        told = [int(n.replace("−", "-")) for n in re.findall(r"−?\d+", what[what.index("sample") :])]
        axes, bits = (3, 16) if "16 bits" in what else (4, 24)
        stream = BoardStream("s", tuple("abcd")[:axes], "kg", 1.0, 1.0, bits, None)
        values = unpack_samples(bytearray(body), wire.DATA_HEADER_BYTES, body[12], stream)
        assert values.flatten().tolist() == told


def test_the_output_vector_is_signed_as_the_document_says() -> None:
    ((what, body),) = [(w, b) for w, b in BODIES.items() if w.startswith("command: output")]
    number, value, counter = struct.unpack_from("<BHI", body, 3)
    key = re.findall(r'key "([^"]+)"', what)[0].encode()
    tag = hmac.new(key, struct.pack("<IBHI", 0x01234567, number, value, counter), hashlib.sha256).digest()
    assert body[10:] == tag[:8]


def test_the_numbers_in_the_tables() -> None:
    assert [(int(n), name) for n, name, *_ in table("Frames", 4)] == [
        (getattr(wire, name.upper()), name) for name in KINDS
    ]
    assert [(int(n), name) for n, name, *_ in table("Commands", 4)] == [
        (getattr(wire, f"DO_{name.upper()}"), name) for name in VERBS
    ]
    results = (wire.OK, wire.UNKNOWN_VERB, wire.BAD_ARGUMENTS, wire.NOT_AUTHORISED, wire.FAILED)
    assert [int(n) for n, _ in table("Commands", 2)] == list(results)
    assert [int(n) for n, _ in table("Log", 2)] == [wire.INFO, wire.WARNING, wire.ERROR, wire.FAULT]
    assert f"({wire.MAX_FRAME_BYTES} bytes)" in DOCUMENT
    assert f"Version **{wire.PROTOCOL_VERSION}**" in DOCUMENT
    program = make(FakeBoard(0))
    assert f"body to {len(program.body)} bytes" in section("Data")
    assert f"at least {refill.WAIT_MIN_NS // 1_000_000} ms" in DOCUMENT
    assert f"gives up after {refill.PATIENCE_NS // 1_000_000_000} s" in DOCUMENT
    assert f"After {link.SILENCE_NS // 1_000_000_000} s without a frame" in DOCUMENT


@pytest.mark.parametrize(
    ("heading", "nth", "layout", "header_bytes"),
    [
        ("Data", 0, wire.DATA_HEADER, wire.DATA_HEADER_BYTES),
        ("Status", 0, wire.STATUS_HEADER, wire.STATUS_HEADER_BYTES),
        ("No silent loss", 0, wire.REFILL_ARGUMENTS, wire.REFILL_ARGUMENTS_BYTES),
        ("No silent loss", 1, wire.REFILLED, wire.REFILLED_BYTES),
        ("Outputs", 0, wire.OUTPUT_ARGUMENTS, wire.OUTPUT_ARGUMENTS_BYTES),
    ],
)
def test_the_layouts(heading: str, nth: int, layout: str, header_bytes: int) -> None:
    rows = [(int(offset), int(size or 0)) for offset, size, _ in table(heading, 3, nth)]
    sizes = [struct.calcsize("<" + letter) for letter in layout[1:]]
    told = [size for _, size in rows][: len(sizes)]
    assert told == sizes, layout
    for (offset, size), (after, _) in itertools.pairwise(rows):
        assert offset + size == after
    assert struct.calcsize(layout) == header_bytes
    if len(rows) > len(sizes):
        assert rows[len(sizes)][0] == header_bytes


def test_the_keys_of_a_description() -> None:
    board = FakeBoard(5)
    run(board)
    about = json.loads(bytes(board.frames(wire.DESCRIBE)[0][2:]))
    assert [key.strip("`") for key, _ in table("Describe", 2)] == list(about)
    for key in about["streams"][0].keys() | about["outputs"][0].keys():
        assert f"`{key}`" in section("Describe")


def test_the_status_vector_says_its_words() -> None:
    ((what, body),) = [(w, b) for w, b in BODIES.items() if b[0] == wire.STATUS]
    assert "ticks 66051, session 0x01234567, 1 other frame lost, 2 bad, 3 bytes lost, 4 writes cut" in what
    numbers = struct.unpack(wire.STATUS_HEADER + "IIII", body)[1:]
    assert numbers == (66_051, 0x01234567, 1, 2, 3, 4, 5, 6, 0, 0)
