"""Frames on the cable: ONE source, run by CPython on the host and by MicroPython on the board.

A frame is the length of what follows, the body COBS-encoded, its CRC-16 and the length again in four
bytes, and one 0x00. No byte but the last is zero, so after any garbage the next zero ends a mess and
begins a clean frame.
``docs/protocol.md`` is the specification, with test vectors.

The CRC is over the *encoded* body: were it inside the encoding, one damaged code byte would change many
bytes of what was decoded, and pass once in 65,536 times. Over what is on the wire it notices every single
damaged byte and every burst of up to 16 bits, as a serial line sends them. Damage that makes a zero leaves
two pieces, damage that unmakes one joins two frames: the length in front is another than that of the
first piece, the length behind another than that of the second or of the whole.

COBS: Cheshire & Baker, "Consistent Overhead Byte Stuffing", 1999. CRC: that of HDLC, ISO/IEC 13239
(CRC-16/IBM-SDLC: polynomial 0x1021, least significant bit first as the line sends it, initial value and
final exclusive-or 0xFFFF; "123456789" gives 0x906E).
"""

import hashlib
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
REFILL = 7  # what has left the board so far, so that the host knows what to ask for again

# Verbs of a COMMAND, echoed in its RESPONSE.
DO_DESCRIBE = 1
DO_START = 2
DO_STOP = 3
DO_PING = 4
DO_REFILL = 5
DO_OUTPUT = 6
DO_KEEP = 7
DO_PROMPT = 8

# Results in a RESPONSE.
OK = 0
UNKNOWN_VERB = 1
BAD_ARGUMENTS = 2
NOT_AUTHORISED = 3
FAILED = 4

# Levels of a LOG.
INFO = 1
WARNING = 2
ERROR = 3
FAULT = 4  # JSON: a sensor that fails, or works again

MAX_BODY_BYTES = 2048
FRAME_EXTRA_BYTES = 6  # length, four of the check, delimiter
MAX_FRAME_BYTES = MAX_BODY_BYTES + 1 + MAX_BODY_BYTES // 254 + FRAME_EXTRA_BYTES

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
# kind, ticks up to which everything sampled has left; then the next frame sequence of each stream, "<H"
REFILL_HEADER = "<BI"
REFILL_HEADER_BYTES = 5
# stream, first sequence, frames
REFILL_ARGUMENTS = "<BHH"
REFILL_ARGUMENTS_BYTES = 5
# oldest sequence still held, next sequence, end of what was dealt with, end of what never left
REFILLED = "<HHHH"
REFILLED_BYTES = 8
# kind, ticks, session, then counts: other frames lost, frames from the host that made no sense, bytes
# from the host lost, writes that the cable did not take whole; then for each stream "<II": samples that
# ran over in the sensor, samples that ran over in the ring before they left
STATUS_HEADER = "<BIIIIII"
STATUS_HEADER_BYTES = 25
STATUS_STREAM = "<II"
STATUS_STREAM_BYTES = 8
# output, value, counter; then the first eight bytes of HMAC-SHA256(key, "<IBHI" of session and these)
OUTPUT_ARGUMENTS = "<BHI"
OUTPUT_ARGUMENTS_BYTES = 7
OUTPUT_SIGNED = "<IBHI"
OUTPUT_TAG_BYTES = 8

IS_MICROPYTHON = sys.implementation.name == "micropython"

if not IS_MICROPYTHON:
    from binascii import crc_hqx
    from collections.abc import MutableSequence
    from typing import TypeVar

    _Function = TypeVar("_Function")
    ptr8 = bytearray
    ptr16 = MutableSequence[int]
    ptr32 = MutableSequence[int]

    class micropython:
        """Stands in for the decorators that MicroPython's compiler knows by name."""

        @staticmethod
        def viper(function: _Function) -> _Function:
            """Return the function as it is: CPython has no native code for it."""
            return function

    _MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class Damaged(ValueError):
    """Bytes between two delimiters that are no whole frame: `got` against `expected`."""

    def __init__(self, got: str, expected: str) -> None:
        super().__init__(got + ", expected " + expected)
        self.got = got
        self.expected = expected


def _crc_table() -> "array[int]":
    table = array("H", bytes(512))
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0x8408 if crc & 1 else crc >> 1
        table[byte] = crc
    return table


CRC_TABLE = _crc_table()


@micropython.viper
def crc_by_table(data: ptr8, length: int, table: ptr16) -> int:
    """Return the CRC-16 of the first `length` bytes."""
    crc: int = 0xFFFF
    i: int = 0
    while i < length:
        crc = (crc >> 8) ^ int(table[(crc ^ int(data[i])) & 0xFF])
        i += 1
    return crc ^ 0xFFFF


@micropython.viper
def seal_by_table(body: ptr8, length: int, out: ptr8, at: int, table: ptr16) -> int:
    """Write the frame of `body` into `out` from `at` on; return where it ends. Allocates nothing.

    viper knows no default arguments, hence the table as the last.
    """
    length_at: int = at
    code_at: int = at + 1
    code: int = 1
    at += 2
    i: int = 0
    while i < length:
        byte: int = int(body[i])
        i += 1
        if byte:
            out[at] = byte
            at += 1
            code += 1
        # a full group of 254 carries no zero of its own; at the very end none is opened behind it
        if byte == 0 or (code == 255 and i < length):
            out[code_at] = code
            code_at = at
            code = 1
            at += 1
    out[code_at] = code
    crc: int = 0xFFFF
    i = length_at + 1
    while i < at:
        crc = (crc >> 8) ^ int(table[(crc ^ int(out[i])) & 0xFF])
        i += 1
    low: int = at - length_at - 1
    check: int = (crc ^ 0xFFFF) | (low << 16)
    while low >= 255:
        low -= 255
    out[length_at] = low + 1
    out[at] = 0x80 | (check & 0x7F)
    out[at + 1] = 0x80 | ((check >> 7) & 0x7F)
    out[at + 2] = 0x80 | ((check >> 14) & 0x7F)
    out[at + 3] = 0x80 | (check >> 21)
    out[at + 4] = 0
    return at + 5


def sealed_bytes_at_most(length: int) -> int:
    """Return the most bytes that the frame of a body of `length` can take, delimiter included."""
    return length + 1 + length // 254 + FRAME_EXTRA_BYTES


def seal_into(body: bytearray, length: int, out: bytearray, at: int) -> int:
    """Write the frame of the first `length` bytes of `body` into `out` from `at` on; return its end."""
    return seal_by_table(body, length, out, at, CRC_TABLE)


def seal(body: bytes) -> bytes:
    """Return `body` as a frame with its delimiter."""
    length = len(body)
    out = bytearray(sealed_bytes_at_most(length))
    end = seal_into(bytearray(body), length, out, 0)
    return bytes(out[:end])


@micropython.viper
def lay_header(body: ptr8, stream: int, ticks: int, count: int, index: ptr32, sequence: ptr16) -> int:
    """Write the header of a data frame; return its sequence."""
    first: int = int(index[stream])
    seq: int = int(sequence[stream])
    body[0] = 2  # DATA; viper knows no constants of a module
    body[1] = stream
    body[2] = seq & 0xFF
    body[3] = seq >> 8
    body[4] = first & 0xFF
    body[5] = (first >> 8) & 0xFF
    body[6] = (first >> 16) & 0xFF
    body[7] = (first >> 24) & 0xFF
    body[8] = ticks & 0xFF
    body[9] = (ticks >> 8) & 0xFF
    body[10] = (ticks >> 16) & 0xFF
    body[11] = (ticks >> 24) & 0xFF
    body[12] = count
    return seq


@micropython.viper
def lay_refill(body: ptr8, ticks: int, streams: int, sequence: ptr16) -> int:
    """Write what has left; return the length."""
    body[0] = 7  # REFILL
    body[1] = ticks & 0xFF
    body[2] = (ticks >> 8) & 0xFF
    body[3] = (ticks >> 16) & 0xFF
    body[4] = (ticks >> 24) & 0xFF
    at: int = 5
    i: int = 0
    while i < streams:
        seq: int = int(sequence[i])
        body[at] = seq & 0xFF
        body[at + 1] = seq >> 8
        at += 2
        i += 1
    return at


if IS_MICROPYTHON:

    @micropython.viper
    def advance(counters: ptr32, which: int, count: int) -> int:
        """Add to a counter that wraps at 2 ** 32, and may be larger than a small integer."""
        counters[which] = int(counters[which]) + count
        return 0

else:

    def advance(counters: ptr32, which: int, count: int) -> int:
        """Add to a counter that wraps at 2 ** 32."""
        counters[which] = (counters[which] + count) & 0xFFFFFFFF
        return 0


def crc16(data: bytes) -> int:
    """Return the CRC-16 of `data`."""
    if IS_MICROPYTHON:
        return crc_by_table(bytearray(data), len(data), CRC_TABLE)
    # the library's runs the other way through the bits; mirrored bytes and a mirrored result are this one
    crc = crc_hqx(data.translate(_MIRRORED), 0xFFFF) ^ 0xFFFF
    return _MIRRORED[crc & 0xFF] << 8 | _MIRRORED[crc >> 8]


def unstuff(raw: bytes) -> bytearray:
    """Undo COBS; raise `Damaged` where the bytes are no whole encoding."""
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
    """Return the body in the bytes between two delimiters. Raises `Damaged`."""
    size = len(raw) - (FRAME_EXTRA_BYTES - 1)
    if size < 2:
        raise Damaged(f"{len(raw)} bytes", "at least 7")
    c0, c1, c2, c3 = raw[-4:]
    if not c0 & c1 & c2 & c3 & 0x80:
        raise Damaged("a check without its marks", "four bytes of 0x80 and more")
    check = (c0 & 0x7F) | (c1 & 0x7F) << 7 | (c2 & 0x7F) << 14 | (c3 & 0x7F) << 21
    if (told := check >> 16) != size:
        raise Damaged(f"{size} bytes", f"{told}")
    if raw[0] != size % 255 + 1:
        raise Damaged(f"{size} bytes", f"{raw[0] - 1}, or that and a multiple of 255")
    encoded = raw[1:-4]
    if (computed := crc16(encoded)) != check & 0xFFFF:
        raise Damaged(f"CRC 0x{check & 0xFFFF:04X}", f"0x{computed:04X}")
    return unstuff(encoded)


def command(ident: int, verb: int, arguments: bytes = b"") -> bytes:
    """Return the frame of a command."""
    return seal(struct.pack(COMMAND_HEADER, COMMAND, ident, verb) + arguments)


def output_tag(key: bytes, session: int, output: int, value: int, counter: int) -> bytes:
    """Return what authorises a command for an output: the beginning of HMAC-SHA256 (RFC 2104).

    Done by hand, since MicroPython has no hmac.
    """
    if len(key) > 64:
        key = hashlib.sha256(key).digest()
    key = key + bytes(64 - len(key))
    signed = struct.pack(OUTPUT_SIGNED, session, output, value, counter)
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in key) + signed).digest()
    return hashlib.sha256(bytes(b ^ 0x5C for b in key) + inner).digest()[:OUTPUT_TAG_BYTES]
