"""The framing of an MCAP file that may be damaged: its records, and the next chunk after a bad spot.

A record is an opcode, a length and its content; none of the three has a checksum. What is redundant in
a record is therefore checked before its length is believed, and where it contradicts itself the search
goes on, byte by byte, for the head of a chunk. Only the checksum *inside* a chunk decides what is data.
Format: mcap.dev/spec.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mcap.opcode import Opcode

MAGIC = b"\x89MCAP0\r\n"
LARGEST_CHUNK_BYTES = 64 << 20  # ours are far smaller; a damaged size must not fill the memory

MESSAGE_HEAD = struct.Struct("<HIQQ")
"""Of a message: channel, sequence, log time, publish time."""
_LEAST_BYTES = {Opcode.SCHEMA: 14, Opcode.CHANNEL: 16, Opcode.MESSAGE: MESSAGE_HEAD.size}
"""What may stand in a chunk, and what it is at the least."""
_HEAD = struct.Struct("<BQ")
_CHUNK = struct.Struct("<QQQII")  # times, size, checksum, length of the name of the compression
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")


class Bytes(Protocol):
    """What a file holds: ``bytes``, or `agent.sources.file_bytes.FileBytes`."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> bytes: ...

    def find(self, mark: bytes, begin: int, /) -> int:
        """Return where it next stands, or -1."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A record that does not contradict itself; ``at`` is where it begins in the file."""

    opcode: int
    at: int
    content: bytes

    @property
    def end(self) -> int:
        """Where the next one begins."""
        return self.at + _HEAD.size + len(self.content)


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes that are no record; ``at_end``: nothing readable follows."""

    at: int
    size: int
    at_end: bool


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A chunk whose checksum is right, and the records in it."""

    frame: Frame
    records: bytes

    @property
    def at(self) -> int:
        """Where it begins in the file."""
        return self.frame.at


@dataclass(frozen=True, slots=True)
class Broken:
    """A chunk that is not what its checksum says; ``why`` in words."""

    at: int
    why: str


class ChunkError(Exception):
    """The content of a chunk is not what its checksum says."""


def walk(data: Bytes, *, checksum: bool = True) -> Iterator[Frame | Damage | Unpacked | Broken]:
    """Yield what a file holds, up to the end of the data section, its chunks unpacked.

    `checksum`: see `open_chunk`.
    """
    after: int | None = None
    while True:
        for frame in frames(data, after=after):
            if not isinstance(frame, Frame) or frame.opcode != Opcode.CHUNK:
                yield frame
                continue
            try:
                unpacked = Unpacked(frame, open_chunk(frame.content, checksum=checksum))
            except ChunkError as error:
                yield Broken(frame.at, str(error))
                after = frame.at  # its length is not to be trusted either: begin anew behind its head
                break
            yield unpacked
        else:
            return


def records_in(chunk: bytes) -> Iterator[tuple[int, memoryview]]:
    """Yield opcode and content of each record in a chunk. Raises struct.error where none is one.

    Of 64 MiB of zeros, which are 2 KB of zstd, every nine would be a record of their own otherwise.
    """
    view, at = memoryview(chunk), 0
    while at < len(chunk):
        opcode, length = _HEAD.unpack_from(chunk, at)
        at += _HEAD.size
        if at + length > len(chunk):
            raise struct.error(f"a record of {length:,} bytes where {len(chunk) - at:,} follow")
        if length < _LEAST_BYTES.get(opcode, length + 1):
            raise struct.error(f"a record of kind {opcode} and {length:,} bytes, which no chunk holds")
        yield opcode, view[at : at + length]
        at += length


def frames(data: Bytes, *, after: int | None = None) -> Iterator[Frame | Damage]:
    """Yield records up to the end of the data section, and what lies between as `Damage`.

    `after`: begin by looking for the next chunk beyond this place, that of a chunk found to be bad.
    """
    size = len(data)
    at = len(MAGIC)
    if after is not None:
        found = _next_chunk(data, after + 1)
        yield Damage(after, (size if found is None else found) - after, found is None)
        if found is None:
            return
        at = found
    while at < size:
        believed = _believable(data, at)
        if believed is None:
            found = _next_chunk(data, at + 1)
            yield Damage(at, (size if found is None else found) - at, found is None)
            if found is None:
                return
            at = found
            continue
        opcode, length = believed
        yield Frame(opcode, at, data[at + _HEAD.size : at + _HEAD.size + length])
        if opcode == Opcode.DATA_END:
            return
        at += _HEAD.size + length


def _believable(data: Bytes, at: int) -> tuple[int, int] | None:
    """Return opcode and length of the content of the record at `at`, or None if it contradicts itself."""
    try:
        opcode, length = _HEAD.unpack(data[at : at + _HEAD.size])
        begin, end = at + _HEAD.size, at + _HEAD.size + length
        if end > len(data):
            return None
        if opcode == Opcode.CHUNK:
            ours = _chunk_end(data, begin, end) == end
        elif opcode == Opcode.MESSAGE_INDEX:
            ours = length >= 6 and 6 + _number(data, begin + 2) == length
        elif opcode in (Opcode.HEADER, Opcode.METADATA):
            first = _number(data, begin)
            ours = 4 + first + 4 + _number(data, begin + 4 + first) == length
        else:
            ours = opcode == Opcode.DATA_END and length == 4
    except struct.error:  # the file ends before
        return None
    return (opcode, length) if ours else None


def _number(data: Bytes, at: int) -> int:
    return int(_U32.unpack(data[at : at + _U32.size])[0])


def _chunk_end(data: Bytes, begin: int, end: int) -> int | None:
    if end - begin < _CHUNK.size + _U64.size:
        return None
    name_length = _CHUNK.unpack(data[begin : begin + _CHUNK.size])[4]
    if name_length > len("zstd"):
        return None
    at = begin + _CHUNK.size + name_length
    return int(at + _U64.size + _U64.unpack(data[at : at + _U64.size])[0])


def _next_chunk(data: Bytes, at: int) -> int | None:
    """Return where the next thing that looks like a chunk begins."""
    mark = bytes([Opcode.CHUNK])
    while (at := data.find(mark, at)) >= 0:
        if _believable(data, at) is not None:
            return at
        at += 1
    return None


def profile_of(path: Path) -> str:
    """Return what the header says of the file's conventions ("ros2"); empty for ours, and for no MCAP."""
    with path.open("rb") as file:
        head = file.read(len(MAGIC) + _HEAD.size + _U32.size)
        if head[: len(MAGIC)] != MAGIC or len(head) < len(MAGIC) + _HEAD.size + _U32.size:
            return ""
        (length,) = _U32.unpack_from(head, len(head) - _U32.size)
        return file.read(min(length, 64)).decode("utf-8", errors="replace")


def open_chunk(content: bytes, *, checksum: bool = True) -> bytes:
    """Return the records in a chunk. Raises ChunkError unless its checksum is right.

    Without `checksum`, one that other writers left away (0, as the format has it) is let pass.
    """
    _, _, size, crc, name_length = _CHUNK.unpack_from(content)
    name = content[_CHUNK.size : _CHUNK.size + name_length]
    packed = content[_CHUNK.size + name_length + _U64.size :]
    if size > LARGEST_CHUNK_BYTES:
        raise ChunkError(f"a chunk of {size} bytes")
    data = _decompress(name, packed, size)
    if len(data) != size or (zlib.crc32(data) != crc and (checksum or crc != 0)):
        raise ChunkError("its checksum does not match")
    return data


def _decompress(name: bytes, packed: bytes, size: int) -> bytes:
    if name == b"zstd":
        import zstandard

        try:
            if zstandard.frame_content_size(packed) != size:  # it would be allocated before it is checked
                raise ChunkError("two sizes that differ")
            return zstandard.ZstdDecompressor().decompress(packed)
        except zstandard.ZstdError as error:
            raise ChunkError(str(error)) from error
    if name == b"":
        return packed
    raise ChunkError(f"compressed by {name!r}")
