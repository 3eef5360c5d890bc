"""MCAP logs of ours: read as far as they go, however they ended, and never a damaged value.

A recording may end anywhere (power cut) and may have bad spots (a worn card). Every chunk carries a
checksum of its contents and counts its messages; one that does not match is passed over, and its loss
is told and becomes a jump of the index.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import msgspec
from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Channel, Metadata

from agent.block_joiner import BlockJoiner, cut
from agent.blocks import NS_PER_S, Block, RegularClock, SensorFault, Silence
from agent.errors import LogFileError
from agent.log_info import LogInfo
from agent.mcap_codec import (
    METADATA_NAME,
    Channels,
    decode_block,
    decode_fault,
    decode_mark,
    decode_silence,
    info_of,
)
from agent.sources.file_bytes import FileBytes
from agent.sources.log_source import LogCounters, LogIdentity, LogItem, LogOptions
from agent.sources.mcap_frames import (
    MAGIC,
    MESSAGE_HEAD,
    Bytes,
    Damage,
    Frame,
    Unpacked,
    frames,
    records_in,
    walk,
)
from agent.streams import StreamSpec, table_order
from agent.timebase import TimeMark

LOST_REASON = "log"
_MOST_LOST = 1000
_MOST_NONSENSE = 1000  # in a chunk; 2 KB unpack to millions of messages of which none is true
_TELL = 5  # so many damaged places are told one by one


class McapLog:
    """A recording of ours as a `LogSource`."""

    def __init__(self, path: Path, options: LogOptions) -> None:
        self._path = path
        self._options = options
        self._info: LogInfo | None = None
        self._channels = Channels(())
        self._clocks: dict[str, RegularClock] = {}
        self._next_index: dict[str, int] = {}
        self._reached_ns: dict[str, int] = {}
        self._lossy: set[str] = set()  # streams whose next jump is of our making
        self._marks: set[TimeMark] = set()
        self._expected_sequence = 0
        self._first_ns: int | None = None
        self._last_ns = 0
        self._lost: list[str] = []
        self.counters = LogCounters()
        self.notes: list[str] = []
        self.damaged = False
        self.progress = 0.0

    @property
    def _doing(self) -> str:
        return f"reading the recording {self._path}"

    @property
    def identity(self) -> LogIdentity:
        """Whose log it is; known once it is open."""
        info = self._known()
        meta = {"format": "mcap", "file": self._path.name, "software": info.software, **info.meta}
        return LogIdentity(info.box, info.boot, info.mount_up, meta)

    def _known(self) -> LogInfo:
        assert self._info is not None, "open() first"
        return self._info

    def open(self) -> tuple[StreamSpec, ...]:
        """Read what the recording says of itself. Raises LogFileError."""
        with self._path.open("rb") as file:
            head = file.read(len(MAGIC))
            if head != MAGIC:
                raise LogFileError(
                    self._doing,
                    got=f"a file that begins with {head.hex(' ')}" if head else "an empty file",
                    expected=f"an MCAP file: {MAGIC.hex(' ')}",
                    remedy="Check that the file was copied whole, and that it is a recording.",
                )
            self._info = self._find_info(FileBytes(file))
        self._channels = Channels(self._info.streams)
        return table_order(self._info.streams)

    def close(self) -> None:
        """Nothing is held open between calls."""

    def _find_info(self, data: Bytes) -> LogInfo:
        """Return the first undamaged copy of our metadata: one stands at the beginning, one at the end."""
        others = set()
        trouble = ""
        for frame in frames(data):
            if isinstance(frame, Damage):
                trouble = trouble or f"damage at byte {frame.at}"
                continue
            if frame.opcode != Opcode.METADATA:
                continue
            try:
                record = Metadata.read(ReadDataStream(BytesIO(frame.content)))
                if record.name == METADATA_NAME:
                    return info_of(record.metadata)
                others.add(record.name)
            except (ValueError, McapError, struct.error, msgspec.MsgspecError) as error:
                trouble = f"metadata {METADATA_NAME!r} at byte {frame.at}: {error}"
        raise LogFileError(
            self._doing,
            got=trouble or f"an MCAP file without it{f', of {sorted(others)}' if others else ''}",
            expected=f"metadata {METADATA_NAME!r}, which tells the box and its streams",
            remedy="Another program made it, or its beginning is lost: `mcap info` shows what is in it.",
        )

    def items(self, stop: threading.Event | None = None) -> Iterator[LogItem]:
        """Deliver what was recorded, in its order; what could not be read stands in `notes` at the end."""
        size = self._options.block_samples
        if size is None:
            yield from self._stored(stop)
            return
        joiner = BlockJoiner(max_samples=size, max_span_ns=round(self._options.window_s * NS_PER_S))
        for item in self._stored(stop):
            if isinstance(item, Block):
                for block in joiner.add(item):
                    yield from cut(block, size)
                continue
            # no word on a stream, and no mark, may overtake samples that came before it
            yield from joiner.flush(item.stream if isinstance(item, Silence | SensorFault) else None)
            yield item
        yield from joiner.flush()

    def _stored(self, stop: threading.Event | None) -> Iterator[LogItem]:
        self._known()
        with self._path.open("rb") as file:
            data = FileBytes(file)
            whole = False
            for found in walk(data):
                if stop is not None and stop.is_set():
                    return
                self.progress = found.at / len(data)
                if isinstance(found, Damage):
                    self._note_damage(found)
                elif isinstance(found, Unpacked):
                    yield from self._messages(found.records)
                elif isinstance(found, Frame) and found.opcode == Opcode.DATA_END:
                    whole = True
            self._tell_end(whole, data[-len(MAGIC) :] == MAGIC)
        self.progress = 1.0

    def _messages(self, chunk: bytes) -> Iterator[LogItem]:
        records = records_in(chunk)
        going_on, nonsense = True, 0
        while going_on and nonsense < _MOST_NONSENSE:
            item = None
            try:
                found = next(records, None)  # after an error, too: where one contradicts itself, none follows
                going_on = found is not None
                if found is not None:
                    item = self._item_of(*found)
            except (ArithmeticError, LookupError, ValueError, McapError, struct.error) as error:
                nonsense += 1
                self._note_nonsense(str(error) or type(error).__name__)
            if item is not None:
                yield item

    def _item_of(self, opcode: int, content: memoryview) -> LogItem | None:
        if opcode == Opcode.CHANNEL:
            self._check_channel(Channel.read(ReadDataStream(BytesIO(content))))
        if opcode != Opcode.MESSAGE:
            return None
        channel, sequence, _, _ = MESSAGE_HEAD.unpack_from(content)
        if sequence != self._expected_sequence:
            self._note_loss(sequence)
        self._expected_sequence = (sequence + 1) & 0xFFFF_FFFF
        return self._decode(channel, content[MESSAGE_HEAD.size :])

    def _decode(self, channel: int, data: memoryview) -> LogItem | None:
        if channel == self._channels.silence:
            return self._known_stream(decode_silence(data))
        if channel == self._channels.fault:
            return self._known_stream(decode_fault(data))
        if channel == self._channels.mark:
            mark = decode_mark(data)
            if mark in self._marks:  # every chunk begins with the one in force
                return None
            self._marks.add(mark)
            return mark
        spec, dtype = self._channels.stream_of(channel)
        block = decode_block(data, spec, dtype)
        if block.start_ns < self._reached_ns.get(spec.name, block.start_ns):
            raise ValueError(f"samples of {spec.name} from before those that came before them")
        self._reached_ns[spec.name] = block.last_ns
        # what was passed over before a stream's first block counts from its very beginning
        lost_before = spec.name in self._lossy
        expected = self._next_index.get(spec.name, 0 if lost_before else block.first)
        self._next_index[spec.name] = block.end
        clock, reason = block.clock, block.missing_reason
        if isinstance(clock, RegularClock):
            known = self._clocks.get(spec.name)
            if known == clock:
                clock = known
            else:
                self._clocks[spec.name] = clock
        if lost_before:
            self._lossy.discard(spec.name)
            if block.first > expected:
                self.counters.missing_samples += block.first - expected
                reason = LOST_REASON
        if clock is not block.clock or reason != block.missing_reason:
            block = Block(block.stream, block.first, clock, block.values, block.quality, reason)
        self.counters.samples += len(block)
        if self._first_ns is None:
            self._first_ns = block.start_ns
        self._last_ns = max(self._last_ns, block.last_ns)
        return block

    def _known_stream(self, item: Silence | SensorFault) -> LogItem:
        names = {spec.name for spec in self._known().streams}
        if unknown := {item.stream, *(item.streams if isinstance(item, SensorFault) else ())} - names:
            raise ValueError(f"a word on {min(unknown)[:80]!r}, which is no stream of the log")
        return item

    def _check_channel(self, channel: Channel) -> None:
        """Refuse a file in which channels have other numbers: a value must never change its stream."""
        try:
            topic = self._channels.describe(channel.id)[1]
        except LookupError:
            topic = "none"
        if topic != channel.topic:
            raise LogFileError(
                self._doing,
                got=f"channel {channel.id} with topic {channel.topic}",
                expected=f"topic {topic}, as this recorder numbers them",
                remedy="The file was rewritten by another tool: use the original.",
            )

    def _since_start_s(self) -> float:
        return 0.0 if self._first_ns is None else (self._last_ns - self._first_ns) / NS_PER_S

    def _note_loss(self, sequence: int) -> None:
        count = (sequence - self._expected_sequence) & 0xFFFF_FFFF
        self._lossy = {spec.name for spec in self._known().streams}
        self.counters.lost_chunks += 1
        if len(self._lost) < _MOST_LOST:
            self._lost.append(f"{count} messages after {self._since_start_s():.3f} s")

    def _note_nonsense(self, why: str) -> None:
        """Pass over a message whose checksum is right and which cannot be true: another program wrote it."""
        self._lossy = {spec.name for spec in self._known().streams}
        self.counters.lost_chunks += 1
        if len(self._lost) < _MOST_LOST:
            self._lost.append(f"a message after {self._since_start_s():.3f} s ({why})")

    def _note_damage(self, damage: Damage) -> None:
        if damage.at_end:
            self.notes.append(
                f"The last {damage.size:,} bytes could not be read: the file is cut off or damaged there."
            )

    def _tell_end(self, whole: bool, has_magic: bool) -> None:
        self.damaged = bool(self._lost) or not whole
        if self._lost:
            more = f" and {len(self._lost) - _TELL} more places" if len(self._lost) > _TELL else ""
            self.notes.append(
                f"Damaged, and passed over: {'; '.join(self._lost[:_TELL])}{more} "
                f"({self.counters.missing_samples:,} samples missing)."
            )
        if not whole and has_magic:
            self.notes.append(
                f"It was ended properly, but its end is damaged: read up to {self._since_start_s():.3f} s."
            )
        elif not whole:
            self.notes.append(
                f"It was not ended properly (power cut?): read up to {self._since_start_s():.3f} s; "
                "what was recorded after that is lost."
            )
        elif not has_magic:
            self.notes.append("The index at its end is damaged; all data could be read.")
