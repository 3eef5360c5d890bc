"""The messages of a ROS 2 bag's MCAP file that was cut off or damaged: chunk by chunk, those that are whole.

The stock reader wants the index at the end. Here each chunk stands for itself and its checksum decides;
messages of channels whose record stood in a lost chunk are lost with it. Format: mcap.dev/spec.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mcap.opcode import Opcode

from agent.sources.file_bytes import FileBytes
from agent.sources.mcap_frames import MESSAGE_HEAD, Broken, Damage, Unpacked, records_in, walk

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
        with self.path.open("rb") as file:
            for found in walk(FileBytes(file), checksum=False):
                if isinstance(found, Damage):
                    self.lost.append(f"{found.size:,} bytes at byte {found.at:,}")
                elif isinstance(found, Broken):
                    self.lost.append(f"the chunk at byte {found.at:,} ({found.why})")
                elif isinstance(found, Unpacked):
                    try:
                        yield from _messages(found.records, kinds, channels)
                    except struct.error as error:
                        self.lost.append(f"a part of the chunk at byte {found.at:,} ({error})")


def _messages(
    chunk: bytes, kinds: dict[int, str], channels: dict[int, tuple[str, str]]
) -> Iterator[tuple[str, str, int, bytes]]:
    for opcode, content in records_in(chunk):
        record = bytes(content)
        if opcode == Opcode.SCHEMA:
            kinds[int.from_bytes(record[:2], "little")] = _text(record, 2)
        elif opcode == Opcode.CHANNEL:
            number, schema = struct.unpack_from("<HH", record)
            channels[number] = (_text(record, 4), kinds.get(schema, ""))
        elif opcode == Opcode.MESSAGE:
            number, _, log_time_ns, _ = MESSAGE_HEAD.unpack_from(record)
            if number in channels:
                topic, kind = channels[number]
                yield topic, kind, log_time_ns, record[MESSAGE_HEAD.size :]


def _text(record: bytes, at: int) -> str:
    (length,) = _TEXT_AT.unpack_from(record, at)
    return record[at + _TEXT_AT.size : at + _TEXT_AT.size + length].decode("utf-8", errors="replace")
