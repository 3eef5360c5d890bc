"""docs/protocol.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from firmware_bridge import wire
from firmware_bridge.describe import BoardStream
from firmware_bridge.link import unpack_samples

DOCUMENT = (Path(wire.__file__).parent.parent / "docs" / "protocol.md").read_text()
HEX = r"`([0-9a-f ]+)`"
VECTORS = re.findall(rf"^\| ([^|]+) \| {HEX} \| `([0-9A-F]{{4}})` \| {HEX} \|$", DOCUMENT, re.MULTILINE)
NO_FRAMES = re.findall(rf"^\| no frame: ([^|]+) \| \| \| {HEX} \|$", DOCUMENT, re.MULTILINE)


def test_the_document_has_its_vectors() -> None:
    assert (len(VECTORS), len(NO_FRAMES)) == (9, 2)


@pytest.mark.parametrize(("what", "body", "crc", "frame"), VECTORS, ids=[v[0] for v in VECTORS])
def test_a_vector(what: str, body: str, crc: str, frame: str) -> None:
    raw = bytes.fromhex(body)
    assert f"{wire.crc16(bytearray(raw), len(raw)):04X}" == crc, what
    assert wire.seal(raw).hex(" ") == frame, what
    assert bytes(wire.unseal(bytes.fromhex(frame)[:-1])[: -wire.CRC_BYTES]) == raw, what


@pytest.mark.parametrize(("what", "raw"), NO_FRAMES, ids=[v[0] for v in NO_FRAMES])
def test_what_is_no_frame(what: str, raw: str) -> None:
    with pytest.raises(wire.Damaged):
        wire.unseal(bytes.fromhex(raw)[:-1])


@pytest.mark.parametrize("n", [252, 253])
def test_the_vectors_made_by_rule(n: int) -> None:
    body = b"\x01" * n
    crc = wire.crc16(bytearray(body), n).to_bytes(2, "little")
    tail = crc if n == 252 else crc[:1] + b"\x02" + crc[1:]
    assert wire.seal(body) == b"\xff" + body + tail + b"\0"


def test_the_samples_of_the_data_vectors() -> None:
    bodies = {what: bytearray.fromhex(body) for what, body, _, _ in VECTORS if what.startswith("data")}
    for what, body in bodies.items():
        told = [int(n.replace("−", "-")) for n in re.findall(r"−?\d+", what[what.index("sample") :])]
        axes, bits = (3, 16) if "16 bits" in what else (4, 24)
        stream = BoardStream("s", tuple("abcd")[:axes], "kg", 1.0, 1.0, bits, None)
        values = unpack_samples(body, wire.DATA_HEADER_BYTES, body[12], stream)
        assert values.flatten().tolist() == told


def test_the_numbers_in_the_tables() -> None:
    kinds = re.findall(r"^\| (\d) \| (describe|data|status|log|command|response|refill) \|", DOCUMENT, re.M)
    by_name = {name: int(number) for number, name in kinds[:7]}
    assert by_name == {
        name: getattr(wire, name.upper())
        for name in ("describe", "data", "status", "log", "command", "response", "refill")
    }
    verbs = re.findall(r"^\| (\d) \| (describe|start|stop|ping|refill) \|", DOCUMENT, re.M)
    in_commands = {name: int(number) for number, name in verbs[2:]}
    assert in_commands == {
        name: getattr(wire, f"DO_{name.upper()}") for name in ("describe", "start", "stop", "ping", "refill")
    }
    assert f"({wire.MAX_FRAME_BYTES} bytes)" in DOCUMENT
    assert f"Version **{wire.PROTOCOL_VERSION}**" in DOCUMENT
