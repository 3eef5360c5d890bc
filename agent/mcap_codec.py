"""What an MCAP log of ours holds: schemas, the bytes of each message, and the record that tells whose it is.

Messages are CDR (OMG DDS-XTypes 1.3, section 7.4, plain CDR version 1, little endian) under ``ros2msg``
schemas, so that Foxglove and the stock tools read them without us. The order of the fields is chosen so
that the values of a block are aligned without padding and both ends are a ``memcpy``.

Times are box time. A file of ours is known by its metadata record `METADATA_NAME`; since MCAP has no
checksum on metadata, it brings its own.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from agent.blocks import (
    Block,
    Clock,
    FaultKind,
    FaultPhase,
    ListedClock,
    RegularClock,
    SensorFault,
    Silence,
)
from agent.log_info import LAYOUT_VERSION, LogInfo
from agent.streams import StreamSpec
from agent.timebase import TimeMark, TimeQuality

METADATA_NAME = "cargobox"
MESSAGE_ENCODING = "cdr"
SCHEMA_ENCODING = "ros2msg"

# The place of a dtype here is part of the layout: it makes the number of a channel.
DTYPES: tuple[np.dtype[Any], ...] = tuple(np.dtype(word) for word in ("<i2", "<i4", "<f4", "<f8"))
_TYPE_WORDS = ("int16", "int32", "float32", "float64")
_DTYPE_CODES: Mapping[np.dtype[Any], int] = {dtype: code for code, dtype in enumerate(DTYPES)}

MOST_NS = 1 << 62
MOST_INDEX = 1 << 53
LEAST_PERIOD_PS, MOST_PERIOD_PS = 1000, 1 << 60  # a nanosecond to two weeks
_CDR_HEAD = b"\x00\x01\x00\x00"
_BLOCK_HEAD = struct.Struct("<4xqqqqqII")
_U32 = struct.Struct("<I")
_SILENCE = struct.Struct("<4xqI")
_MARK = struct.Struct("<4xqqI")
_FAULT = struct.Struct("<4xq")
_ORIGIN = len(_CDR_HEAD)  # alignment counts from here

_SAMPLES_TEXT = """\
# Consecutive samples of one stream of a smart cargo box. Times are nanoseconds of box time.
int64 first            # index of the first sample; missing samples are counted, so a jump is a gap
int64 start_ns         # time of the first sample
int64 anchor_index     # sample i of a regular clock is at anchor_ns + (i - anchor_index) * period_ps / 1000
int64 anchor_ns
int64 period_ps        # the typical spacing where listed_ns is not empty
uint32 axes
{word}[] values  # axes values a sample, as the sensor gives them
uint8[] quality        # a sample: 1 saturated, 2 missing before, 4 late; empty: all good
string missing_reason  # why samples before the first are missing
int64[] listed_ns      # time of each sample; empty: a regular clock
"""
_SILENCE_TEXT = """\
# The source's word that a stream has no sample before until_ns beyond those already given.
int64 until_ns
string stream
"""
_MARK_TEXT = """\
# From box time box_ns on, wall time is box time + offset_ns, trusted as quality says.
int64 box_ns
int64 offset_ns
string quality
"""
_FAULT_TEXT = """\
# The source's word that a sensor fails, or works again; it stands among the samples of its stream.
int64 at_ns
string stream
string phase    # start, update, end
string kind     # in what way it fails
string sensor   # which, in words
string got
string expected
string[] streams
"""
SCHEMAS: tuple[tuple[str, str], ...] = (
    *((f"cargobox/msg/{w.capitalize()}Samples", _SAMPLES_TEXT.format(word=w)) for w in _TYPE_WORDS),
    ("cargobox/msg/Silence", _SILENCE_TEXT),
    ("cargobox/msg/TimeMark", _MARK_TEXT),
    ("cargobox/msg/SensorFault", _FAULT_TEXT),
)
SILENCE_SCHEMA = len(DTYPES)
MARK_SCHEMA = SILENCE_SCHEMA + 1
FAULT_SCHEMA = MARK_SCHEMA + 1


def metadata_of(info: LogInfo) -> dict[str, str]:
    """Return the map of strings that an MCAP metadata record holds."""
    text = msgspec.json.encode(info).decode()
    return {"info": text, "crc32": f"{zlib.crc32(text.encode()):08x}"}


def info_of(metadata: Mapping[str, str]) -> LogInfo:
    """Read it back. Raises ValueError if it is damaged or of a layout not known here."""
    text = metadata.get("info", "")
    if metadata.get("crc32") != f"{zlib.crc32(text.encode()):08x}":
        raise ValueError("its checksum does not match")
    info = msgspec.json.decode(text, type=LogInfo)
    if info.layout != LAYOUT_VERSION:
        raise ValueError(f"layout {info.layout}, this version reads {LAYOUT_VERSION}")
    info.check()
    return info


class Channels:
    """The numbers of the channels: they follow from the streams alone.

    So a chunk can be read even if the one that held its channel's record is lost.
    """

    def __init__(self, streams: tuple[StreamSpec, ...]) -> None:
        self._streams = streams
        self._place = {spec.name: i for i, spec in enumerate(streams)}
        self.silence = 1 + len(DTYPES) * len(streams)
        self.mark = self.silence + 1
        self.fault = self.mark + 1

    def of_block(self, block: Block) -> int:
        """Return the channel of a block. Raises KeyError for a stream or a dtype that has none."""
        return 1 + len(DTYPES) * self._place[block.stream] + _DTYPE_CODES[block.values.dtype]

    def stream_of(self, channel: int) -> tuple[StreamSpec, np.dtype[Any]]:
        """Return what a channel of samples holds. Raises LookupError."""
        if channel < 1:
            raise LookupError(channel)
        place, code = divmod(channel - 1, len(DTYPES))
        return self._streams[place], DTYPES[code]

    def describe(self, channel: int) -> tuple[int, str]:
        """Return the place of a channel's schema in `SCHEMAS`, and its topic."""
        if channel == self.silence:
            return SILENCE_SCHEMA, "/cargobox/silence"
        if channel == self.mark:
            return MARK_SCHEMA, "/cargobox/time"
        if channel == self.fault:
            return FAULT_SCHEMA, "/cargobox/fault"
        spec, dtype = self.stream_of(channel)
        return _DTYPE_CODES[dtype], f"/cargobox/{spec.name}"


def storable(block: Block) -> bool:
    """Return whether the values of a block are of a kind that has a schema."""
    return block.values.dtype in _DTYPE_CODES and block.values.ndim == 2


def encode_block(block: Block) -> bytes:
    """Return a block as CDR; the clock, the quality and the reason exactly as they are."""
    clock = block.clock
    if isinstance(clock, RegularClock):
        anchor_index, anchor_ns, listed = clock.anchor_index, clock.anchor_ns, b""
        start_ns = block.start_ns
    else:
        times_ns = np.ascontiguousarray(block.times_ns(), dtype="<i8")
        start_ns = int(times_ns[0])
        anchor_index, anchor_ns, listed = block.first, start_ns, times_ns.tobytes()
    values = block.values.tobytes()
    head = bytearray(
        _BLOCK_HEAD.pack(
            block.first,
            start_ns,
            anchor_index,
            anchor_ns,
            clock.period_ps,
            block.values.shape[1],
            block.values.size,
        )
    )
    head[:_ORIGIN] = _CDR_HEAD
    quality = b"" if block.quality is None else block.quality.tobytes()
    reason = block.missing_reason.encode() + b"\0"
    out = b"".join((head, values))
    out += _pad(out, 4) + _U32.pack(len(quality)) + quality
    out += _pad(out, 4) + _U32.pack(len(reason)) + reason
    out += _pad(out, 4) + _U32.pack(len(listed) // 8)
    return out + _pad(out, 8) + listed if listed else out


def _pad(out: bytes, align: int) -> bytes:
    return b"\0" * (-(len(out) - _ORIGIN) % align)


def decode_block(data: memoryview, spec: StreamSpec, dtype: np.dtype[Any]) -> Block:
    """Return the block in `data`; its arrays are views.

    Raises ValueError, struct.error, also for what no sensor gives: a right checksum says only that nothing
    was changed since somebody wrote it.
    """
    first, start_ns, anchor_index, anchor_ns, period_ps, axes, size = _BLOCK_HEAD.unpack_from(data)
    at = _BLOCK_HEAD.size
    if axes != len(spec.axes) or not size or size % axes:
        raise ValueError(f"{size} values of {axes} axes, of a stream that has {len(spec.axes)}")
    values: npt.NDArray[Any] = np.frombuffer(data, dtype, size, at).reshape(-1, axes)
    rows = len(values)
    at = _aligned(at + size * dtype.itemsize, 4)
    (length,) = _U32.unpack_from(data, at)
    at += 4
    if length not in (0, rows):
        raise ValueError(f"{length} flags of {rows} samples")
    quality = np.frombuffer(data, np.uint8, length, at) if length else None
    at = _aligned(at + length, 4)
    (length,) = _U32.unpack_from(data, at)
    at += 4
    reason = _text(data, at, length)
    at = _aligned(at + length, 4)
    (length,) = _U32.unpack_from(data, at)
    clock: Clock
    if length:
        listed_ns = np.frombuffer(data, "<i8", length, _aligned(at + 4, 8))
        if length != rows or (listed_ns[1:] <= listed_ns[:-1]).any():
            raise ValueError("times that do not rise, or are not one a sample")
        clock = ListedClock(first, listed_ns, period_ps)
    else:
        clock = RegularClock(anchor_index, anchor_ns, period_ps)
    if not LEAST_PERIOD_PS <= period_ps <= MOST_PERIOD_PS or rows * period_ps >> 63:
        raise ValueError(f"a sample every {period_ps} ps")
    last_ns = clock.time_ns(first + rows - 1)
    if max(abs(first), abs(anchor_index)) > MOST_INDEX or max(abs(start_ns), abs(last_ns)) > MOST_NS:
        raise ValueError("times or numbers of samples beyond all counting")
    if clock.time_ns(first) != start_ns:
        raise ValueError("two times of one sample")
    return Block(spec.name, first, clock, values, quality, reason)


def _text(data: memoryview, at: int, length: int) -> str:
    if length > len(data) - at:
        raise ValueError("a text that is longer than its message")
    return str(data[at : at + length - 1], "utf-8") if length > 1 else ""


def _within(time_ns: int) -> int:
    if abs(time_ns) > MOST_NS:
        raise ValueError("a time beyond all counting")
    return time_ns


def _aligned(at: int, align: int) -> int:
    return at + -(at - _ORIGIN) % align


def encode_silence(silence: Silence) -> bytes:
    """Return a silence as CDR."""
    name = silence.stream.encode() + b"\0"
    return _CDR_HEAD + _SILENCE.pack(silence.until_ns, len(name))[_ORIGIN:] + name


def decode_silence(data: memoryview) -> Silence:
    """Return the silence in `data`. Raises ValueError, struct.error."""
    until_ns, length = _SILENCE.unpack_from(data)
    return Silence(_text(data, _SILENCE.size, length), _within(until_ns))


def encode_mark(mark: TimeMark) -> bytes:
    """Return a time mark as CDR."""
    word = mark.quality.value.encode() + b"\0"
    return _CDR_HEAD + _MARK.pack(mark.box_ns, mark.offset_ns, len(word))[_ORIGIN:] + word


def decode_mark(data: memoryview) -> TimeMark:
    """Return the time mark in `data`. Raises ValueError, struct.error."""
    box_ns, offset_ns, length = _MARK.unpack_from(data)
    word = _text(data, _MARK.size, length)
    return TimeMark(_within(box_ns), _within(offset_ns), TimeQuality(word))


def encode_fault(fault: SensorFault) -> bytes:
    """Return a sensor fault as CDR."""
    out = _CDR_HEAD + _FAULT.pack(fault.at_ns)[_ORIGIN:]
    words = (fault.stream, fault.phase.value, fault.kind.value, fault.sensor, fault.got, fault.expected)
    for word in words:
        out += _string(out, word)
    out += _pad(out, 4) + _U32.pack(len(fault.streams))
    for name in fault.streams:
        out += _string(out, name)
    return out


def _string(out: bytes, word: str) -> bytes:
    data = word.encode() + b"\0"
    return _pad(out, 4) + _U32.pack(len(data)) + data


def decode_fault(data: memoryview) -> SensorFault:
    """Return the sensor fault in `data`. Raises ValueError, struct.error."""
    (at_ns,) = _FAULT.unpack_from(data)
    _within(at_ns)
    words, at = [], _FAULT.size
    for _ in range(6):
        word, at = _string_at(data, at)
        words.append(word)
    stream, phase, kind, sensor, got, expected = words
    at = _aligned(at, 4)
    (count,) = _U32.unpack_from(data, at)
    at += 4
    streams = []
    for _ in range(count):
        word, at = _string_at(data, at)
        streams.append(word)
    return SensorFault(
        stream, at_ns, FaultPhase(phase), FaultKind(kind), sensor, tuple(streams), got, expected
    )


def _string_at(data: memoryview, at: int) -> tuple[str, int]:
    at = _aligned(at, 4)
    (length,) = _U32.unpack_from(data, at)
    at += 4
    return _text(data, at, length), at + length
