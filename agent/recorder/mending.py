"""Mends a recording that a power cut ended: its last whole chunk stays its end, and an index is written.

Afterwards every stock tool opens it. Nothing that can be read is thrown away; what stood behind the last
whole record goes, and what that means is said in the file's own metadata. A cut while this is at work leaves
a file that is mended again.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import msgspec
from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Channel, Chunk, ChunkIndex, MessageIndex, Metadata, MetadataIndex, Schema

from agent.blocks import Block
from agent.log_info import LogInfo
from agent.mcap_codec import (
    MESSAGE_ENCODING,
    METADATA_NAME,
    SCHEMA_ENCODING,
    SCHEMAS,
    Channels,
    decode_block,
    decode_mark,
    info_of,
    metadata_of,
)
from agent.outbox.files import Disk
from agent.recorder.mcap_file import Content, McapFile
from agent.recorder.shelf import EXTENT_NAME, OFFSET_KEY, QUALITY_KEY, Extent
from agent.sources.mcap_frames import MAGIC, MESSAGE_HEAD, Damage, Frame, Unpacked, records_in, walk
from agent.timebase import TimeQuality, rfc3339


@dataclass(slots=True)
class Mended:
    """What was found in a file that was never ended."""

    extent: Extent | None = None
    """None: not one sample is in it."""
    chunks: int = 0
    torn_bytes: int = 0
    """Behind the last whole record."""
    damaged_places: int = 0
    """Before it, that could not be read."""


@dataclass(slots=True)
class _Scan:
    content: Content
    info: LogInfo | None = None
    first_ns: int | None = None
    last_ns: int = 0
    offset_ns: int | None = None
    quality: TimeQuality = TimeQuality.UNSET
    damaged: int = 0
    waiting: ChunkIndex | None = None
    offsets: dict[int, int] = field(default_factory=dict)


def mend(path: Path, disk: Disk, sync_s: float) -> Mended:
    """End the file at `path` in order. Raises OSError; the file is then as it was, or can be mended again."""
    data = path.read_bytes()
    scan = _scan(data)
    info, content = scan.info, scan.content
    found = Mended(
        chunks=len(content.chunks), torn_bytes=len(data) - content.end, damaged_places=scan.damaged
    )
    if info is None or scan.first_ns is None:
        return found
    offset_ns = int(info.meta.get(OFFSET_KEY, "0")) if scan.offset_ns is None else scan.offset_ns
    quality = scan.quality if scan.offset_ns is not None else TimeQuality(info.meta.get(QUALITY_KEY, "unset"))
    lost = (
        f"not ended (power cut?): whole up to {rfc3339(scan.last_ns + offset_ns)}; lost is what came after "
        f"that, at most one chunk or {sync_s:g} s; {found.torn_bytes:,} bytes of it were written in part"
    )
    if scan.damaged:
        lost += f"; {scan.damaged} damaged places before"
    found.extent = Extent(scan.first_ns, scan.last_ns, offset_ns, quality, lost)
    _name_channels(content, info)
    file = McapFile.going_on(path, disk, content)
    try:
        file.add_metadata(EXTENT_NAME, found.extent.to_metadata())
        file.add_metadata(METADATA_NAME, metadata_of(info))
    except OSError:
        file.leave()
        raise
    file.close()
    return found


def _name_channels(content: Content, info: LogInfo) -> None:
    """Write the channels anew whose own records were in a damaged chunk: they follow from the streams."""
    channels = Channels(info.streams)
    for number in content.counts.keys() - content.channels.keys():
        place, topic = channels.describe(number)
        name, text = SCHEMAS[place]
        schema = Schema(id=place + 1, name=name, encoding=SCHEMA_ENCODING, data=text.encode())
        content.schemas.setdefault(schema.id, schema)
        content.channels[number] = Channel(
            id=number, topic=topic, message_encoding=MESSAGE_ENCODING, metadata={}, schema_id=schema.id
        )


def _scan(data: bytes) -> _Scan:
    """Read all that can be read."""
    scan = _Scan(Content(end=len(MAGIC)))
    if data[: len(MAGIC)] != MAGIC:
        return scan
    for found in walk(data):
        if isinstance(found, Damage):
            scan.damaged += not found.at_end
        elif isinstance(found, Unpacked):
            _take(scan, found.frame, found.records)
        elif isinstance(found, Frame):
            if found.opcode == Opcode.DATA_END:
                break  # an end that was begun, and is written anew
            _take(scan, found, b"")
    return scan


def _take(scan: _Scan, frame: Frame, records: bytes) -> None:
    """Take a record; `records`: those in it, of a chunk."""
    content = scan.content
    end = frame.end
    try:
        if frame.opcode == Opcode.CHUNK:
            chunk = Chunk.read(ReadDataStream(BytesIO(frame.content)))
            _take_messages(scan, records)
            content.chunks.append(
                ChunkIndex(
                    chunk_length=end - frame.at,
                    chunk_start_offset=frame.at,
                    compression=chunk.compression,
                    compressed_size=len(chunk.data),
                    message_end_time=chunk.message_end_time,
                    message_index_length=0,
                    message_index_offsets={},
                    message_start_time=chunk.message_start_time,
                    uncompressed_size=chunk.uncompressed_size,
                )
            )
        elif frame.opcode == Opcode.MESSAGE_INDEX and content.chunks and frame.at == content.end:
            index = MessageIndex.read(ReadDataStream(BytesIO(frame.content)))
            content.chunks[-1].message_index_offsets[index.channel_id] = frame.at
            content.chunks[-1].message_index_length += end - frame.at
        elif frame.opcode == Opcode.METADATA:
            _take_metadata(scan, frame, end)
    except (ValueError, LookupError, McapError, struct.error, msgspec.MsgspecError):
        scan.damaged += 1
        return
    content.end = end


def _take_metadata(scan: _Scan, frame: Frame, end: int) -> None:
    record = Metadata.read(ReadDataStream(BytesIO(frame.content)))
    if record.name == METADATA_NAME and scan.info is None:
        scan.info = info_of(record.metadata)
    scan.content.metadata.append(MetadataIndex(offset=frame.at, length=end - frame.at, name=record.name))


def _take_messages(scan: _Scan, records: bytes) -> None:
    """Count the messages of a chunk; note its channels and how far its samples reach."""
    content = scan.content
    channels = Channels(scan.info.streams) if scan.info is not None else None
    for opcode, part in records_in(records):
        if opcode == Opcode.SCHEMA:
            schema = Schema.read(ReadDataStream(BytesIO(part)))
            content.schemas.setdefault(schema.id, schema)
        elif opcode == Opcode.CHANNEL:
            channel = Channel.read(ReadDataStream(BytesIO(part)))
            content.channels.setdefault(channel.id, channel)
        elif opcode == Opcode.MESSAGE:
            (number,) = struct.unpack_from("<H", part)
            content.counts[number] = content.counts.get(number, 0) + 1
            if channels is not None:
                _take_times(scan, channels, number, part[MESSAGE_HEAD.size :])


def _take_times(scan: _Scan, channels: Channels, number: int, data: memoryview) -> None:
    if number == channels.mark:
        mark = decode_mark(data)
        scan.offset_ns, scan.quality = mark.offset_ns, mark.quality
    elif number < channels.silence:
        spec, dtype = channels.stream_of(number)
        block: Block = decode_block(data, spec, dtype)
        if scan.first_ns is None or block.start_ns < scan.first_ns:
            scan.first_ns = block.start_ns
        scan.last_ns = max(scan.last_ns, block.last_ns)
