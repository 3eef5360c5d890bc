"""Frames on the cable: ONE source, run by CPython on the host and by MicroPython on the board.

A frame is a body, its CRC-16 (two bytes, little endian), the whole COBS-encoded and followed by one
0x00. So no byte inside a frame is zero, and after any garbage the next zero begins a clean frame.
``docs/protocol.md`` is the specification, with test vectors.

COBS: Cheshire & Baker, "Consistent Overhead Byte Stuffing", 1999. CRC: polynomial 0x1021, initial
value 0xFFFF, not reflected (CRC-16/IBM-3740, "123456789" gives 0x29B1).
"""

import struct
import sys
from array import array

PROTOCOL_VERSION = 1

# Frame kinds: the first byte of every body.
DESCRIBE = 1
DATA = 2
STATUS = 3
LOG = 4
COMMAND = 5
RESPONSE = 6
REFILL = 7  # reserved: frames sent again from the board's ring

# Verbs of a COMMAND, echoed in its RESPONSE.
DO_DESCRIBE = 1
DO_START = 2
DO_STOP = 3
DO_PING = 4
DO_REFILL = 5  # reserved

# Results in a RESPONSE.
OK = 0
UNKNOWN_VERB = 1
BAD_ARGUMENTS = 2

# Levels of a LOG.
INFO = 1
WARNING = 2
ERROR = 3

CRC_BYTES = 2
MAX_BODY_BYTES = 2048
MAX_FRAME_BYTES = MAX_BODY_BYTES + CRC_BYTES + (MAX_BODY_BYTES + CRC_BYTES) // 254 + 2

# kind, stream, frame sequence, index of the first sample, MCU ticks of it, samples
DATA_HEADER = "<BBHIIB"
DATA_HEADER_BYTES = 13
MAX_SAMPLES_PER_FRAME = 255
# kind, id, verb; arguments follow
COMMAND_HEADER = "<BBB"
COMMAND_HEADER_BYTES = 3
# kind, id, verb, result; what was asked for follows
RESPONSE_HEADER = "<BBBB"
RESPONSE_HEADER_BYTES = 4
# ticks when the ping came, ticks when the answer left, session (0: not sampling)
PONG = "<III"
PONG_BYTES = 12
# session
STARTED = "<I"
STARTED_BYTES = 4

IS_MICROPYTHON = sys.implementation.name == "micropython"

if not IS_MICROPYTHON:
    from binascii import crc_hqx
    from collections.abc import Sequence
    from typing import TypeVar

    _Function = TypeVar("_Function")
    ptr8 = bytearray
    ptr16 = Sequence[int]

    class micropython:
        """Stands in for the decorators that MicroPython's compiler knows by name."""

        @staticmethod
        def viper(function: _Function) -> _Function:
            """Return the function as it is: CPython has no native code for it."""
            return function


class Damaged(ValueError):
    """Bytes between two delimiters that are no whole frame: `got` against `expected`."""

    def __init__(self, got: str, expected: str) -> None:
        super().__init__(got + ", expected " + expected)
        self.got = got
        self.expected = expected


def _crc_table() -> "array[int]":
    table = array("H", bytes(512))
    for byte in range(256):
        crc = byte << 8
        for _ in range(8):
            crc = (crc << 1) ^ 0x1021 if crc & 0x8000 else crc << 1
        table[byte] = crc & 0xFFFF
    return table


CRC_TABLE = _crc_table()


@micropython.viper
def crc_by_table(data: ptr8, length: int, table: ptr16) -> int:
    """Return the CRC-16 of the first `length` bytes."""
    crc: int = 0xFFFF
    i: int = 0
    while i < length:
        crc = ((crc << 8) & 0xFFFF) ^ int(table[(crc >> 8) ^ int(data[i])])
        i += 1
    return crc


@micropython.viper
def seal_by_table(body: ptr8, length: int, out: ptr8, at: int, table: ptr16) -> int:
    """Write the frame of `body` into `out` from `at` on; return where it ends. Allocates nothing.

    `body` needs room for two bytes behind `length`: the CRC goes there. viper knows no default
    arguments and at most a handful of plain ones, hence the table as the last.
    """
    crc: int = 0xFFFF
    i: int = 0
    while i < length:
        crc = ((crc << 8) & 0xFFFF) ^ int(table[(crc >> 8) ^ int(body[i])])
        i += 1
    body[length] = crc & 0xFF
    body[length + 1] = crc >> 8
    total: int = length + 2
    code_at: int = at
    code: int = 1
    at += 1
    i = 0
    while i < total:
        byte: int = int(body[i])
        i += 1
        if byte:
            out[at] = byte
            at += 1
            code += 1
        # a full group of 254 carries no zero of its own; at the very end none is opened behind it
        if byte == 0 or (code == 255 and i < total):
            out[code_at] = code
            code_at = at
            code = 1
            at += 1
    out[code_at] = code
    out[at] = 0
    return at + 1


def sealed_bytes_at_most(length: int) -> int:
    """Return the most bytes that the frame of a body of `length` can take, delimiter included."""
    return length + CRC_BYTES + (length + CRC_BYTES) // 254 + 2


def seal_into(body: bytearray, length: int, out: bytearray, at: int) -> int:
    """Write the frame of the first `length` bytes of `body` into `out` from `at` on; return its end."""
    return seal_by_table(body, length, out, at, CRC_TABLE)


def seal(body: bytes) -> bytes:
    """Return `body` as a frame with its delimiter."""
    length = len(body)
    out = bytearray(sealed_bytes_at_most(length))
    end = seal_into(bytearray(body) + bytes(CRC_BYTES), length, out, 0)
    return bytes(out[:end])


def crc16(data: bytearray, length: int) -> int:
    """Return the CRC-16 of the first `length` bytes of `data`."""
    if IS_MICROPYTHON:
        return crc_by_table(data, length, CRC_TABLE)
    return crc_hqx(memoryview(data)[:length], 0xFFFF)


def unstuff(raw: bytes) -> bytearray:
    """Undo COBS for the bytes between two delimiters; raise `Damaged` where they are no whole frame."""
    size = len(raw)
    out = bytearray(raw)
    full_groups = False
    at = out[0] if size else 0
    if at == 255:
        full_groups = True
    while 0 < at < size and not full_groups:
        code = out[at]
        out[at] = 0
        if code == 255:
            full_groups = True
        elif code == 0:
            raise Damaged("a zero inside", "none")
        at += code
    if full_groups:
        return _unstuff_full_groups(raw)
    if at != size or not size:
        raise Damaged("an end in mid-group", "a whole frame")
    return out[1:]


def _unstuff_full_groups(raw: bytes) -> bytearray:
    out = bytearray()
    size = len(raw)
    at = 0
    while at < size:
        code = raw[at]
        end = at + code
        if code == 0 or end > size:
            raise Damaged("an end in mid-group", "a whole frame")
        out.extend(raw[at + 1 : end])
        if code != 255 and end < size:
            out.append(0)
        at = end
    return out


def unseal(raw: bytes) -> bytearray:
    """Return the body in the bytes between two delimiters, its CRC (two bytes) still behind it.

    Left on because cutting it off would copy the frame once more. Raises `Damaged`.
    """
    body = unstuff(raw)
    length = len(body) - CRC_BYTES
    if length < 1:
        raise Damaged(f"{len(body)} bytes", "a kind and a CRC")
    came = body[length] | body[length + 1] << 8
    if (computed := crc16(body, length)) != came:
        raise Damaged(f"CRC 0x{came:04X}", f"0x{computed:04X}")
    return body


def command(ident: int, verb: int) -> bytes:
    """Return the frame of a command."""
    return seal(struct.pack(COMMAND_HEADER, COMMAND, ident, verb))
