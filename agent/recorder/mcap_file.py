"""An MCAP file that is written a chunk at a time, each whole and on the card before the next begins.

The stock writer ends a chunk when it is full, and only then; a box at rest fills one in hours, and a
power cut would take them all. Here the caller ends it. The records themselves are the `mcap` package's.
Format: mcap.dev/spec.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mcap.data_stream import RecordBuilder
from mcap.opcode import Opcode
from mcap.records import (
    Channel,
    Chunk,
    ChunkIndex,
    DataEnd,
    Footer,
    Header,
    McapRecord,
    Message,
    MessageIndex,
    Metadata,
    MetadataIndex,
    Schema,
    Statistics,
    SummaryOffset,
)

from agent.outbox.files import Disk

MAGIC = b"\x89MCAP0\r\n"
Compression = Literal["zstd", "none"]
_FOOTER_BEFORE_CRC = 1 + 8 + 8 + 8


@dataclass(slots=True)
class Content:
    """What a file that was never ended holds, and where its last whole record ends."""

    end: int
    schemas: dict[int, Schema] = field(default_factory=dict)
    channels: dict[int, Channel] = field(default_factory=dict)
    chunks: list[ChunkIndex] = field(default_factory=list)
    metadata: list[MetadataIndex] = field(default_factory=list)
    counts: dict[int, int] = field(default_factory=dict)


class McapFile:
    """Writes one file. Raises OSError; the file then ends after the last whole chunk."""

    def __init__(
        self,
        path: Path,
        *,
        library: str,
        compression: Compression,
        overwrite: bool = False,
        disk: Disk | None = None,
    ) -> None:
        self._begin(disk or Disk(), compression)
        if overwrite:
            self._disk.remove(path)
        self._fd = self._disk.create(path)
        self._write(MAGIC + _bytes_of(Header(profile="", library=library)))

    @classmethod
    def going_on(cls, path: Path, disk: Disk, content: Content) -> McapFile:
        """Open a file that was never ended, to end it: what stands behind its last whole record goes."""
        self = cls.__new__(cls)
        self._begin(disk, "zstd")
        self._fd = disk.open_write(path)
        self._offset = content.end
        self._schemas, self._channels = content.schemas, content.channels
        self._chunks, self._metadata, self._counts = content.chunks, content.metadata, content.counts
        self._messages = sum(content.counts.values())
        self._start_ns = min((chunk.message_start_time for chunk in content.chunks), default=None)
        self._end_ns = max((chunk.message_end_time for chunk in content.chunks), default=0)
        try:
            disk.truncate(self._fd, content.end)
        except OSError:
            disk.close(self._fd)
            raise
        return self

    def _begin(self, disk: Disk, compression: Compression) -> None:
        self._disk = disk
        self._offset = 0
        self._messages = 0
        self._compress = _compressor(compression)
        self._compression = "" if compression == "none" else compression
        self._schemas: dict[int, Schema] = {}
        self._channels: dict[int, Channel] = {}
        self._chunks: list[ChunkIndex] = []
        self._metadata: list[MetadataIndex] = []
        self._counts: dict[int, int] = {}
        self._start_ns: int | None = None
        self._end_ns = 0
        self._chunk = RecordBuilder()
        self._chunk_index: dict[int, list[tuple[int, int]]] = {}

    @property
    def size_bytes(self) -> int:
        """Bytes written so far."""
        return self._offset

    @property
    def chunk_size(self) -> int:
        """Bytes in the chunk that is being filled, before compression."""
        return self._chunk.count

    @property
    def messages(self) -> int:
        """Messages so far."""
        return self._messages

    def add_metadata(self, name: str, metadata: Mapping[str, str]) -> None:
        """Write a metadata record, outside any chunk."""
        data = _bytes_of(Metadata(name=name, metadata=dict(metadata)))
        self._metadata.append(MetadataIndex(offset=self._offset, length=len(data), name=name))
        self._write(data)

    def add_schema(self, schema_id: int, name: str, encoding: str, text: str) -> None:
        """Make a schema known, once."""
        if schema_id not in self._schemas:
            schema = Schema(id=schema_id, name=name, encoding=encoding, data=text.encode())
            self._schemas[schema_id] = schema
            schema.write(self._chunk)

    def add_channel(self, channel_id: int, topic: str, encoding: str, schema_id: int) -> None:
        """Make a channel known, once."""
        if channel_id not in self._channels:
            channel = Channel(
                id=channel_id, topic=topic, message_encoding=encoding, metadata={}, schema_id=schema_id
            )
            self._channels[channel_id] = channel
            channel.write(self._chunk)

    def add_message(self, channel_id: int, log_time_ns: int, data: bytes) -> None:
        """Put a message into the chunk. Its sequence counts all messages: a lost chunk leaves a hole."""
        when_ns = max(0, log_time_ns)  # MCAP knows no time before 0
        self._chunk_index.setdefault(channel_id, []).append((when_ns, self._chunk.count))
        message = Message(
            channel_id=channel_id,
            log_time=when_ns,
            data=data,
            publish_time=when_ns,
            sequence=self._messages & 0xFFFF_FFFF,
        )
        message.write(self._chunk)
        self._messages += 1
        self._counts[channel_id] = self._counts.get(channel_id, 0) + 1

    def end_chunk(self, *, sync: bool) -> None:
        """Write what was put into the chunk, and see it onto the card if `sync`."""
        if self._chunk_index:
            self._write_chunk()
        if sync:
            self.sync()

    def sync(self) -> None:
        """See what was written onto the card."""
        self._disk.sync(self._fd)

    def _write_chunk(self) -> None:
        data = _taken(self._chunk)
        index, self._chunk_index = self._chunk_index, {}
        start_ns = min(when for entries in index.values() for when, _ in entries)
        end_ns = max(when for entries in index.values() for when, _ in entries)
        packed = self._compress(data)
        chunk = _bytes_of(
            Chunk(
                compression=self._compression,
                data=packed,
                message_end_time=end_ns,
                message_start_time=start_ns,
                uncompressed_crc=zlib.crc32(data),
                uncompressed_size=len(data),
            )
        )
        offsets: dict[int, int] = {}
        at = chunk_end = self._offset + len(chunk)
        parts = [chunk]
        for channel_id, entries in index.items():
            offsets[channel_id] = at
            parts.append(_bytes_of(MessageIndex(channel_id=channel_id, records=entries)))
            at += len(parts[-1])
        entry = ChunkIndex(
            chunk_length=len(chunk),
            chunk_start_offset=self._offset,
            compression=self._compression,
            compressed_size=len(packed),
            message_end_time=end_ns,
            message_index_length=at - chunk_end,
            message_index_offsets=offsets,
            message_start_time=start_ns,
            uncompressed_size=len(data),
        )
        self._write(b"".join(parts))
        self._chunks.append(entry)
        self._start_ns = start_ns if self._start_ns is None else min(self._start_ns, start_ns)
        self._end_ns = max(self._end_ns, end_ns)

    def close(self) -> None:
        """Write the last chunk and the summary; the file is then complete."""
        try:
            self.end_chunk(sync=False)
            self._write(_bytes_of(DataEnd(data_section_crc=0)))
            self._write(self._summary() + MAGIC)
            self.sync()
        finally:
            self.leave()

    def leave(self) -> None:
        """Close it as it is, without an end."""
        self._disk.close(self._fd)

    def _summary(self) -> bytes:
        start = self._offset
        summary = RecordBuilder()
        groups: list[tuple[Opcode, list[McapRecord]]] = [
            (Opcode.SCHEMA, list(self._schemas.values())),
            (Opcode.CHANNEL, list(self._channels.values())),
            (Opcode.STATISTICS, [self._statistics()]),
            (Opcode.CHUNK_INDEX, list(self._chunks)),
            (Opcode.METADATA_INDEX, list(self._metadata)),
        ]
        offsets: list[SummaryOffset] = []
        for opcode, records in groups:
            begin = summary.count
            for record in records:
                record.write(summary)
            if records:
                offsets.append(SummaryOffset(opcode, start + begin, summary.count - begin))
        offset_start = start + summary.count
        for offset in offsets:
            offset.write(summary)
        data = _taken(summary)
        footer = Footer(summary_start=start, summary_offset_start=offset_start, summary_crc=0)
        footer.summary_crc = zlib.crc32(_bytes_of(footer)[:_FOOTER_BEFORE_CRC], zlib.crc32(data))
        return data + _bytes_of(footer)

    def _statistics(self) -> Statistics:
        return Statistics(
            attachment_count=0,
            channel_count=len(self._channels),
            channel_message_counts=self._counts,
            chunk_count=len(self._chunks),
            message_count=self.messages,
            metadata_count=len(self._metadata),
            message_start_time=self._start_ns or 0,
            message_end_time=self._end_ns,
            schema_count=len(self._schemas),
        )

    def _write(self, data: bytes) -> None:
        """Write all of `data` or, where the card takes only a part, none of it."""
        try:
            self._disk.write_at(self._fd, self._offset, data)
        except OSError:
            # half a chunk in the middle would hide those behind it from a stock reader
            with contextlib.suppress(OSError):
                self._disk.truncate(self._fd, self._offset)
            raise
        self._offset += len(data)


def _bytes_of(record: McapRecord) -> bytes:
    builder = RecordBuilder()
    record.write(builder)
    return _taken(builder)


def _taken(builder: RecordBuilder) -> bytes:
    data: bytes = builder.end()  # type: ignore[no-untyped-call]
    return data


def _compressor(compression: Compression) -> Callable[[bytes], bytes]:
    if compression == "zstd":
        import zstandard

        return zstandard.ZstdCompressor().compress
    return lambda data: data
