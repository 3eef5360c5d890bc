"""The messages of a ROS 2 bag's MCAP file that was cut off or damaged: chunk by chunk, those that are whole.

The stock reader wants the index at the end. Here each chunk stands for itself and its checksum decides;
messages of channels whose record stood in a lost chunk are lost with it. Format: mcap.dev/spec.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mcap.opcode import Opcode

from agent.sources.mcap_frames import ChunkError, Damage, frames, open_chunk

_RECORD = struct.Struct("<BQ")
_MESSAGE = struct.Struct("<HIQQ")
_TEXT_AT = struct.Struct("<I")


@dataclass(slots=True)
class McapSalvage:
    """Reads one file; `messages` once. ``lost``: what could not be read, in words."""

    path: Path
    lost: list[str] = field(default_factory=list)

    def messages(self) -> Iterator[tuple[str, str, int, bytes]]:
        """Yield topic, type, time of receipt in ns, and bytes of each message."""
        kinds: dict[int, str] = {}
        channels: dict[int, tuple[str, str]] = {}
        with self.path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            after: int | None = None
            done = False
            while not done:
                done = True
                for frame in frames(data, after=after):
                    if isinstance(frame, Damage):
                        self.lost.append(f"{frame.size:,} bytes at byte {frame.at:,}")
                    elif frame.opcode == Opcode.CHUNK:
                        try:
                            chunk = open_chunk(frame.content, checksum=False)
                        except ChunkError as error:
                            self.lost.append(f"the chunk at byte {frame.at:,} ({error})")
                            after, done = frame.at, False  # its length is not to be trusted either
                            break
                        try:
                            yield from _messages(chunk, kinds, channels)
                        except struct.error as error:
                            self.lost.append(f"a part of the chunk at byte {frame.at:,} ({error})")


def _messages(
    chunk: bytes, kinds: dict[int, str], channels: dict[int, tuple[str, str]]
) -> Iterator[tuple[str, str, int, bytes]]:
    at = 0
    while at < len(chunk):
        opcode, length = _RECORD.unpack_from(chunk, at)
        at += _RECORD.size
        record = chunk[at : at + length]
        at += length
        if opcode == Opcode.SCHEMA:
            kinds[int.from_bytes(record[:2], "little")] = _text(record, 2)
        elif opcode == Opcode.CHANNEL:
            number, schema = struct.unpack_from("<HH", record)
            channels[number] = (_text(record, 4), kinds.get(schema, ""))
        elif opcode == Opcode.MESSAGE:
            number, _, log_time_ns, _ = _MESSAGE.unpack_from(record)
            if number in channels:
                topic, kind = channels[number]
                yield topic, kind, log_time_ns, record[_MESSAGE.size :]


def _text(record: bytes, at: int) -> str:
    (length,) = _TEXT_AT.unpack_from(record, at)
    return record[at + _TEXT_AT.size : at + _TEXT_AT.size + length].decode("utf-8", errors="replace")
