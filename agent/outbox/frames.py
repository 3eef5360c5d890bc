"""Frames: how one operation of the outbox lies on the card.

A segment file is a header and then frames, one after the other, little-endian::

    segment header   magic 8s | number u32 | first id u64 | CRC-32 of these u32
    frame            sync 2s | CRC-32 u32 | op u8 | flags u8 | body length u32 | id u64 | body

The CRC (IEEE 802.3, as zlib has it) covers everything after itself. The two sync bytes cannot occur in
UTF-8 text, which is what bodies are made of, so that after a damaged stretch the next frame is found
again without trusting a length that may itself be damaged.
"""

from __future__ import annotations

import enum
import struct
import zlib
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

SYNC = b"\xf5\xfe"  # 0xF5 and 0xFE never occur in UTF-8 (RFC 3629, section 3)
SEGMENT_MAGIC = b"CARGOBX1"
MAX_BODY_BYTES = 16 << 20  # a longer length is damage, not a record

_FRAME = struct.Struct("<2sIBBIQ")
_SEALED = struct.Struct("<BBIQ")  # the part of the frame's head that the CRC covers
_HEADER = struct.Struct("<8sIQI")
_RUN = struct.Struct("<QI")
_RUNS_BYTES = struct.Struct("<I")
_CRC_END = 6  # bytes of sync and CRC
_FLAGS_AT = 7

FRAME_HEAD_BYTES = _FRAME.size
SEGMENT_HEADER_BYTES = _HEADER.size


class Op(enum.IntEnum):
    """What a frame does to the record with its id."""

    PUT = 1
    """The body is the record; it replaces an earlier one of the same id."""
    DONE = 2
    """The records of the runs in the body wait no longer; the flags say why (`Why`)."""
    MERGED = 3
    """A PUT that replaces others as well: their runs stand before it. One frame: both or none."""


class Flag(enum.IntFlag):
    """Flags of a PUT frame."""

    NONE = 0
    URGENT = 1
    """An alarm: ahead of the rest. A flag, so that opening need not parse a million bodies."""
    RECORD = 2
    """The body was made by ``documents.encode_record``: its payload can be sliced out."""


class Why(enum.IntEnum):
    """Flags of a DONE frame: why the records wait no longer."""

    ACKNOWLEDGED = 0
    DROPPED = 1
    SET_ASIDE = 2
    REMOVED = 3


class Frame(NamedTuple):
    """One whole, undamaged frame and where it lies in its segment; its body ends where it ends."""

    offset: int
    op: int
    flags: int
    doc_id: int
    body_start: int
    end: int


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes from `start` to `end` that are no whole frame; `at_end` when no frame follows them."""

    start: int
    end: int
    at_end: bool


class PutRun(NamedTuple):
    """PUT frames of ids `first_id` and on: where each begins, its flags, and where the last one ends."""

    first_id: int
    offsets: array[int]
    flags: bytearray
    end: int


def encode(op: int, flags: int, doc_id: int, body: bytes) -> bytes:
    """Return the bytes of one frame."""
    crc = zlib.crc32(body, zlib.crc32(_SEALED.pack(op, flags, len(body), doc_id)))
    return _FRAME.pack(SYNC, crc, op, flags, len(body), doc_id) + body


def flags_of(frame: bytes) -> int:
    """Return the flags of a whole frame."""
    return frame[_FLAGS_AT]


def encode_header(number: int, first_id: int) -> bytes:
    """Return the header of segment `number`, written when the next free id was `first_id`."""
    head = _HEADER.pack(SEGMENT_MAGIC, number, first_id, 0)[:-4]
    return head + zlib.crc32(head).to_bytes(4, "little")


def decode_header(data: bytes) -> tuple[int, int] | None:
    """Return (number, first id) of a segment, or None if its header is damaged or cut."""
    if len(data) < SEGMENT_HEADER_BYTES:
        return None
    magic, number, first_id, crc = _HEADER.unpack_from(data)
    if magic != SEGMENT_MAGIC or crc != zlib.crc32(data[: SEGMENT_HEADER_BYTES - 4]):
        return None
    return number, first_id


def encode_runs(ids: Iterable[int]) -> bytes:
    """Return ids as runs of consecutive ones: the body of a DONE frame."""
    runs: list[list[int]] = []
    for doc_id in sorted(ids):
        if runs and runs[-1][0] + runs[-1][1] == doc_id:
            runs[-1][1] += 1
        else:
            runs.append([doc_id, 1])
    return b"".join(_RUN.pack(first, count) for first, count in runs)


def decode_runs(body: bytes) -> Iterator[int]:
    """Return the ids in the body of a DONE frame."""
    for first, count in _RUN.iter_unpack(body[: len(body) // _RUN.size * _RUN.size]):
        yield from range(first, first + count)


def encode_merged(flags: int, doc_id: int, others: Iterable[int], body: bytes) -> bytes:
    """Return the frame by which a record takes its own place and that of others."""
    runs = encode_runs(others)
    return encode(Op.MERGED, flags, doc_id, _RUNS_BYTES.pack(len(runs)) + runs + body)


def record_start(data: bytes, frame: Frame) -> int:
    """Return where in `data` the record of a PUT or MERGED frame begins."""
    if frame.op != Op.MERGED:
        return frame.body_start
    return frame.body_start + _RUNS_BYTES.size + int(_RUNS_BYTES.unpack_from(data, frame.body_start)[0])


def finished_by(data: bytes, frame: Frame) -> Iterator[int]:
    """Return the ids of the records that wait no longer after this frame."""
    if frame.op == Op.DONE:
        yield from decode_runs(data[frame.body_start : frame.end])
    elif frame.op == Op.MERGED:
        yield from decode_runs(data[frame.body_start + _RUNS_BYTES.size : record_start(data, frame)])


def frame_at(data: bytes, offset: int) -> Frame | None:
    """Return the frame that begins at `offset` of `data`, or None if no whole undamaged one does."""
    if offset + FRAME_HEAD_BYTES > len(data):
        return None
    sync, crc, op, flags, length, doc_id = _FRAME.unpack_from(data, offset)
    start = offset + FRAME_HEAD_BYTES
    end = start + length
    if sync != SYNC or length > MAX_BODY_BYTES or end > len(data):
        return None
    if zlib.crc32(memoryview(data)[offset + _CRC_END : end]) != crc:
        return None
    return Frame(offset, op, flags, doc_id, start, end)


def frame_bytes(head: bytes) -> int | None:
    """Return the length of the frame whose head `head` begins with, or None if it is no head."""
    if len(head) < FRAME_HEAD_BYTES:
        return None
    sync, _, _, _, length, _ = _FRAME.unpack_from(head)
    return FRAME_HEAD_BYTES + int(length) if sync == SYNC and length <= MAX_BODY_BYTES else None


def scan(data: bytes, start: int = SEGMENT_HEADER_BYTES) -> Iterator[Frame | Damage]:
    """Return every frame of a segment in order, and every stretch that is none."""
    offset = start
    while offset < len(data):
        item = step(data, offset)
        yield item
        offset = item.end


def step(data: bytes, offset: int) -> Frame | Damage:
    """Return the frame that begins at `offset`, or the stretch up to the next whole one."""
    frame = frame_at(data, offset)
    if frame is not None:
        return frame
    resume = _next_frame(data, offset + 1)
    if resume is None:
        return Damage(offset, len(data), at_end=True)
    return Damage(offset, resume, at_end=False)


def run_of_puts(data: bytes, offset: int) -> PutRun:
    """Return the undamaged PUT frames with consecutive ids that follow each other from `offset` on.

    The same as `step` again and again, in a third of the time: opening reads a million of them.
    """
    unpack, crc32, put, view = _FRAME.unpack_from, zlib.crc32, int(Op.PUT), memoryview(data)
    offsets, flags = array("I"), bytearray()
    last_head = len(data) - FRAME_HEAD_BYTES
    first_id = expected = -1
    while offset <= last_head:
        sync, crc, op, flag, length, doc_id = unpack(data, offset)
        end = offset + FRAME_HEAD_BYTES + length
        if (
            op != put
            or (doc_id != expected and offsets)
            or sync != SYNC
            or end > len(data)
            or crc32(view[offset + _CRC_END : end]) != crc
        ):
            break
        if not offsets:
            first_id = expected = doc_id
        offsets.append(offset)
        flags.append(flag)
        expected += 1
        offset = end
    return PutRun(first_id, offsets, flags, offset)


def _next_frame(data: bytes, start: int) -> int | None:
    at = data.find(SYNC, start)
    while at >= 0:
        if frame_at(data, at) is not None:
            return at
        at = data.find(SYNC, at + 1)
    return None
