"""Records what a source gives to an MCAP log that is readable after a power cut, and by the stock tools.

Short live blocks are joined first (how samples are cut changes no result), so a message carries up to a
quarter of a second. Every chunk stands for itself: it begins with the time mark in force. Lost by a cut
is what came since the last sync, `sync_s` at most.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from agent.block_joiner import BlockJoiner
from agent.blocks import NS_PER_S, Block, SensorFault, Silence
from agent.errors import FourPartError, LogFileError, UsageError
from agent.log_info import LogInfo
from agent.mcap_codec import (
    MESSAGE_ENCODING,
    METADATA_NAME,
    SCHEMA_ENCODING,
    SCHEMAS,
    Channels,
    encode_block,
    encode_fault,
    encode_mark,
    encode_silence,
    metadata_of,
    storable,
)
from agent.outbox.files import Disk
from agent.recorder.mcap_file import Compression, McapFile
from agent.timebase import TimeMark

DEFAULT_CHUNK_BYTES = 32_768  # of 16 KiB to 64 KiB: what one cut loses against what compression gains
DEFAULT_SYNC_S = 5.0
JOIN_SAMPLES = 256
JOIN_SPAN_NS = NS_PER_S // 4
SILENCE_STEP_NS = NS_PER_S
"""Silence is worth a message when a stream has said nothing for so long."""


class McapRecorder:
    """One recording. Call `write` for each item of a source, `close` at the end; or use it in a ``with``."""

    def __init__(
        self,
        path: str | Path,
        info: LogInfo,
        *,
        chunk_bytes: int = DEFAULT_CHUNK_BYTES,
        compression: Compression = "zstd",
        sync_s: float = DEFAULT_SYNC_S,
        overwrite: bool = False,
        disk: Disk | None = None,
        sync_chunks: bool = False,
    ) -> None:
        """Begin the file. Raises UsageError if there is one already, LogFileError if it cannot be made.

        `sync_chunks`: see each chunk onto the card, not only every `sync_s`.
        """
        self.path = Path(path)
        self.stored: dict[str, tuple[int, int]] = {}
        """Stream → the index behind the last sample that is on the card, and the time of that sample."""
        self._written: dict[str, tuple[int, int]] = {}  # not yet synced
        self._in_chunk: dict[str, tuple[int, int]] = {}
        self._sync_chunks = sync_chunks
        disk = disk or Disk()
        self._info = info
        self._channels = Channels(self._info.streams)
        self._chunk_bytes = chunk_bytes
        self._sync_s = sync_s
        self._joiner = BlockJoiner(max_samples=JOIN_SAMPLES, max_span_ns=JOIN_SPAN_NS)
        self._heard_ns = {spec.name: -(1 << 62) for spec in info.streams}  # until when each stream is told of
        self._untold: dict[str, Silence] = {}  # younger than that, by less than is worth a message
        self._mark: TimeMark | None = None
        self._chunk_begun_s = self._synced_s = time.monotonic()
        try:
            self._file = McapFile(
                self.path,
                library=f"cargobox {info.software}",
                compression=compression,
                overwrite=overwrite,
                disk=disk,
            )
            try:
                self._file.add_metadata(METADATA_NAME, metadata_of(self._info))
                self._file.end_chunk(sync=True)
                disk.sync_directory(self.path.parent)
            except OSError:
                with contextlib.suppress(OSError):
                    self._file.leave()
                raise
        except FileExistsError as error:
            raise UsageError(
                self._doing,
                got="a file of this name",
                expected="a name that is free",
                remedy="Choose another name, or move that recording away: it may be the only one of a trip.",
            ) from error
        except OSError as error:
            raise self._failed(error) from error

    def __enter__(self) -> McapRecorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _doing(self) -> str:
        return f"recording to {self.path}"

    def write(self, item: Block | Silence | SensorFault | TimeMark) -> None:
        """Take one item. Raises LogFileError when the card fails or is full, or `item` cannot be stored."""
        try:
            if isinstance(item, Block):
                self._check(item)
                for block in self._joiner.add(item):
                    self._put_block(block)
            elif isinstance(item, Silence):
                self._put_silence(item)
            elif isinstance(item, SensorFault):
                self._put_fault(item)
            else:
                # samples that came before a mark stay before it: records may have gone out without it
                for block in self._joiner.flush():
                    self._put_block(block)
                self._mark = item
                self._put(self._channels.mark, item.box_ns, encode_mark(item))
            now_s = time.monotonic()
            if now_s - self._chunk_begun_s > self._sync_s:
                self._flush(now_s)
        except OSError as error:
            raise self._failed(error) from error

    def flush(self) -> None:
        """See all that was written onto the card. Raises LogFileError."""
        try:
            self._flush(time.monotonic())
        except OSError as error:
            raise self._failed(error) from error

    @property
    def size_bytes(self) -> int:
        """Bytes in the file so far."""
        return self._file.size_bytes

    def note(self, name: str, words: Mapping[str, str]) -> None:
        """Write a metadata record of another name than ours. Raises LogFileError."""
        try:
            self._file.add_metadata(name, words)
        except OSError as error:
            raise self._failed(error) from error

    def leave(self) -> None:
        """Give the recording up: it ends behind the last chunk that the card took, without an index."""
        if not self._closed:
            self._closed = True
            with contextlib.suppress(OSError):
                self._file.sync()
                self._take_as_stored()
            with contextlib.suppress(OSError):
                self._file.leave()

    def close(self) -> None:
        """End the recording; a second call does nothing. Raises LogFileError."""
        if self._closed:
            return
        self._closed = True
        try:
            for block in self._joiner.flush():
                self._put_block(block)
            for name in list(self._untold):
                self._put_untold(name)  # how far the live run had come, to the minute of a silence
            self._file.end_chunk(sync=False)
            # once more at the end, in case the one at the beginning is what gets damaged
            self._file.add_metadata(METADATA_NAME, metadata_of(self._info))
            self._file.close()
            self._written |= self._in_chunk
            self._take_as_stored()
        except OSError as error:
            raise self._failed(error) from error

    _closed = False

    def _check(self, block: Block) -> None:
        if block.stream not in self._heard_ns or not storable(block):
            kind = f"{block.values.dtype} in {block.values.ndim} dimensions"
            wanted = "int16, int32, float32 or float64, (n, axes), of a stream"
            raise self._unknown(f"a block of {block.stream!r} with values of {kind}", wanted)

    def _unknown(self, got: str, wanted: str) -> LogFileError:
        return LogFileError(
            self._doing,
            got=got,
            expected=f"{wanted} that it was told of: {', '.join(self._heard_ns)}",
            remedy="Name every stream when the recording begins.",
        )

    def _put_block(self, block: Block) -> None:
        self._heard_ns[block.stream] = max(self._heard_ns[block.stream], block.last_ns)
        self._in_chunk[block.stream] = block.end, block.last_ns
        self._put(self._channels.of_block(block), block.start_ns, encode_block(block))

    def _put_silence(self, silence: Silence) -> None:
        """Write a silence if it says something new, and never ahead of the samples that it speaks of."""
        if silence.stream not in self._heard_ns:
            return
        self._untold[silence.stream] = silence
        if silence.until_ns - self._heard_ns[silence.stream] < SILENCE_STEP_NS:
            return
        for block in self._joiner.flush(silence.stream):
            self._put_block(block)
        if silence.until_ns - self._heard_ns[silence.stream] >= SILENCE_STEP_NS:
            self._put_untold(silence.stream)

    def _put_untold(self, name: str) -> None:
        """Write the last silence of a stream, if its samples do not say as much."""
        silence = self._untold.pop(name, None)
        if silence is not None and silence.until_ns > self._heard_ns[name]:
            self._heard_ns[name] = silence.until_ns
            self._put(self._channels.silence, silence.until_ns, encode_silence(silence))

    def _put_fault(self, fault: SensorFault) -> None:
        """Write a fault behind the samples and the silence of its stream that came before it."""
        if fault.stream not in self._heard_ns:
            raise self._unknown(f"a fault of {fault.stream!r}", "one of a stream")
        for block in self._joiner.flush(fault.stream):
            self._put_block(block)
        self._put_untold(fault.stream)
        self._put(self._channels.fault, fault.at_ns, encode_fault(fault))

    def _put(self, channel: int, log_time_ns: int, data: bytes) -> None:
        if not self._file.chunk_size and self._mark is not None and channel != self._channels.mark:
            self._add(self._channels.mark, self._mark.box_ns, encode_mark(self._mark))
        self._add(channel, log_time_ns, data)
        if self._file.chunk_size >= self._chunk_bytes:
            self._end_chunk(time.monotonic())

    def _add(self, channel: int, log_time_ns: int, data: bytes) -> None:
        place, topic = self._channels.describe(channel)
        name, text = SCHEMAS[place]
        self._file.add_schema(place + 1, name, SCHEMA_ENCODING, text)
        self._file.add_channel(channel, topic, MESSAGE_ENCODING, place + 1)
        self._file.add_message(channel, log_time_ns, data)

    def _flush(self, now_s: float) -> None:
        for block in self._joiner.flush():
            self._put_block(block)
        self._synced_s = now_s - self._sync_s  # so that this one is
        self._end_chunk(now_s)

    def _end_chunk(self, now_s: float) -> None:
        sync = self._sync_chunks or now_s - self._synced_s >= self._sync_s
        self._file.end_chunk(sync=False)
        self._written |= self._in_chunk
        self._in_chunk.clear()
        self._chunk_begun_s = now_s
        if sync:
            self._file.sync()
            self._synced_s = now_s
            self._take_as_stored()

    def _take_as_stored(self) -> None:
        self.stored |= self._written
        self._written.clear()

    def _failed(self, error: OSError) -> FourPartError:
        return LogFileError(
            self._doing,
            got=error.strerror or str(error),
            expected="a card that takes what is written",
            remedy="Check free space (`df -h`) and whether the card has become read-only (`dmesg`).",
        )
