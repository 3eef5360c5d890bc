"""The messages of a ROS 1 bag, from its beginning to where it ends: no index is needed, no length believed.

Each record says its lengths; a record that contradicts itself ends its chunk, or the file. What follows a
chunk tells how many messages it held: too few is told. Format: wiki.ros.org/Bags/Format/2.0.
"""

from __future__ import annotations

import bz2
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

MAGIC = b"#ROSBAG V2.0\n"
LARGEST_CHUNK_BYTES = 256 << 20  # rosbag's own default is 768 KiB
LARGEST_HEADER_BYTES = 1 << 20
_MESSAGE, _BAG_HEADER, _INDEX, _CHUNK, _CHUNK_INFO, _CONNECTION = 2, 3, 4, 5, 6, 7
_U32 = struct.Struct("<I")
_TIME = struct.Struct("<II")


class BagError(Exception):
    """A record contradicts itself."""


@dataclass(frozen=True, slots=True)
class Connection:
    """What a connection record says: topic, type ("sensor_msgs/Imu") and its checksum."""

    topic: str
    type: str
    md5sum: str


@dataclass(slots=True)
class BagScan:
    """Reads one file; `messages` once. ``lost``: what could not be read, in words."""

    file: BinaryIO
    size: int
    connections: dict[int, Connection] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    at: int = 0

    def messages(self) -> Iterator[tuple[Connection, int, bytes]]:
        """Yield connection, time of receipt in ns, and bytes of each message, in the order of the file."""
        self.file.seek(len(MAGIC))
        ended = False
        counted: dict[int, int] = {}
        told: dict[int, int] = {}
        try:
            while (at := self.file.tell()) < self.size:
                self.at = at
                fields, data = self._record()
                kind = _number(fields, b"op", 1)
                if kind == _BAG_HEADER:
                    ended = _number(fields, b"index_pos", 8) > 0
                elif kind == _CONNECTION:
                    self._connect(fields, data)
                elif kind == _CHUNK:
                    self._compare(counted, told)
                    counted, told = {}, {}
                    for number, time_ns, content in self._chunk(fields, data):
                        counted[number] = counted.get(number, 0) + 1
                        if number in self.connections:
                            yield self.connections[number], time_ns, content
                elif kind == _INDEX:
                    told[_number(fields, b"conn", 4)] = _number(fields, b"count", 4)
                elif kind == _MESSAGE:  # outside of a chunk: allowed by the format, written by nobody
                    number, time_ns = _number(fields, b"conn", 4), _time(fields)
                    if number in self.connections:
                        yield self.connections[number], time_ns, data
                elif kind != _CHUNK_INFO:
                    raise BagError(f"a record of kind {kind}")
            self._compare(counted, told)
        except BagError as error:
            self.lost.append(f"{self.size - self.at:,} bytes from byte {self.at:,} on ({error})")
        if not ended:
            self.lost.append("the index: the file was not ended properly")

    def _compare(self, counted: dict[int, int], told: dict[int, int]) -> None:
        fewer = sum(max(0, n - counted.get(number, 0)) for number, n in told.items())
        if fewer:
            self.lost.append(f"{fewer:,} messages before byte {self.at:,}")

    def _record(self) -> tuple[dict[bytes, bytes], bytes]:
        head = self._take(LARGEST_HEADER_BYTES)
        fields = _fields(head)
        return fields, self._take(LARGEST_CHUNK_BYTES)

    def _take(self, most: int) -> bytes:
        word = self.file.read(_U32.size)
        if len(word) < _U32.size:
            raise BagError("it is cut off")
        (length,) = _U32.unpack(word)
        if length > self.size - self.file.tell():
            raise BagError("it is cut off, or a length is damaged")
        if length > most:
            raise BagError(f"a length of {length:,} bytes")
        return self.file.read(length)

    def _connect(self, fields: dict[bytes, bytes], data: bytes) -> None:
        said = _fields(data)
        try:
            topic, kind = fields[b"topic"].decode(), said[b"type"].decode()
            md5sum = said[b"md5sum"].decode()
        except (KeyError, UnicodeDecodeError) as error:
            raise BagError("a connection without topic, type or checksum") from error
        self.connections[_number(fields, b"conn", 4)] = Connection(topic, kind, md5sum)

    def _chunk(self, fields: dict[bytes, bytes], packed: bytes) -> Iterator[tuple[int, int, bytes]]:
        size = _number(fields, b"size", 4)
        if size > LARGEST_CHUNK_BYTES:
            raise BagError(f"a chunk of {size:,} bytes")
        try:
            data = _unpacked(fields.get(b"compression", b""), packed, size)
        except (BagError, OSError, RuntimeError, ValueError, EOFError) as error:
            self.lost.append(f"the chunk at byte {self.at:,} ({error})")
            return
        at = 0
        try:
            while at < len(data):
                inner, at = _fields_at(data, at)
                content, at = _sized(data, at)
                kind = _number(inner, b"op", 1)
                if kind == _CONNECTION:
                    self._connect(inner, content)
                elif kind == _MESSAGE:
                    yield _number(inner, b"conn", 4), _time(inner), content
                else:
                    raise BagError(f"a record of kind {kind}")
        except BagError as error:
            self.lost.append(f"{len(data) - at:,} bytes of the chunk at byte {self.at:,} ({error})")


def _unpacked(how: bytes, packed: bytes, size: int) -> bytes:
    """Unpack at most `size` bytes: what a chunk claims bounds what it may take."""
    if how == b"none":
        data = packed
    elif how == b"bz2":
        data = bz2.BZ2Decompressor().decompress(packed, size + 1)
    elif how == b"lz4":
        from lz4.frame import LZ4FrameDecompressor

        data = LZ4FrameDecompressor().decompress(packed, size + 1)
    else:
        raise BagError(f"compressed by {how!r}")
    if len(data) != size:
        raise BagError(f"{len(data):,} bytes, {size:,} were told")
    return data


def _sized(data: bytes, at: int) -> tuple[bytes, int]:
    if at + _U32.size > len(data):
        raise BagError("a record is cut off")
    (length,) = _U32.unpack_from(data, at)
    at += _U32.size
    if length > len(data) - at:
        raise BagError("a length is damaged")
    return data[at : at + length], at + length


def _fields_at(data: bytes, at: int) -> tuple[dict[bytes, bytes], int]:
    head, at = _sized(data, at)
    return _fields(head), at


def _fields(head: bytes) -> dict[bytes, bytes]:
    out: dict[bytes, bytes] = {}
    at = 0
    while at < len(head):
        one, at = _sized(head, at)
        name, equals, value = one.partition(b"=")
        if not equals:
            raise BagError("a field without a value")
        out[name] = value
    return out


def _number(fields: dict[bytes, bytes], name: bytes, width: int) -> int:
    value = fields.get(name, b"")
    if len(value) != width:
        raise BagError(f"no {name.decode()}")
    return int.from_bytes(value, "little")


def _time(fields: dict[bytes, bytes]) -> int:
    value = fields.get(b"time", b"")
    if len(value) != _TIME.size:
        raise BagError("a message without its time")
    seconds, nanos = _TIME.unpack(value)
    return int(seconds) * 1_000_000_000 + int(nanos)
