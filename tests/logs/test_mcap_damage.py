"""Recordings that were cut off, damaged, or are none of ours: what can be read is, and the rest is told."""

from __future__ import annotations

import io
import os
import random
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import zstandard
from mcap.reader import make_reader
from mcap.records import Chunk, Message
from mcap.stream_reader import StreamReader, breakup_chunk
from mcap.writer import Writer

from agent.blocks import Block, FaultKind, FaultPhase, SensorFault
from agent.cli import main
from agent.errors import LogFileError
from agent.log_info import LogInfo
from agent.mcap_codec import METADATA_NAME, encode_block
from agent.recorder import mcap_writer
from agent.recorder.mcap_file import Compression
from agent.recorder.mcap_writer import McapRecorder
from agent.sources import Item
from agent.sources.log_file import open_log
from agent.sources.mcap_frames import ChunkError, open_chunk
from tests.logs.reading import Lane, Reading, lanes_of, marks_of, read
from tests.logs.trips import Trip, drive

HEAD_OF_VALUES = 44  # where a message of samples tells the number of axes and of values
FIRST_OF_NO_SAMPLES = 1 + 4 * 3  # channels: four a stream, then silence and marks


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording, and where its chunks are, by the stock reader."""

    data: bytes
    lanes: dict[str, Lane]
    chunks: tuple[tuple[int, int, int], ...]
    """Begin and end of each chunk in the file, and the samples in it."""

    @property
    def samples(self) -> int:
        return sum(count for _, _, count in self.chunks)


def record(path: Path, trip: Trip, compression: Compression = "zstd") -> bytes:
    with McapRecorder(
        path,
        LogInfo(box="b", boot="f" * 16, software="0", streams=trip.specs),
        chunk_bytes=4000,
        compression=compression,
    ) as recorder:
        for item in trip.items:
            recorder.write(item)
    return path.read_bytes()


@pytest.fixture(scope="module", params=["zstd", "none"])
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    trip = drive(6.0)
    data = record(tmp_path_factory.mktemp("whole") / "whole.mcap", trip, request.param)
    summary = make_reader(io.BytesIO(data)).get_summary()
    assert summary is not None
    records = StreamReader(io.BytesIO(data), emit_chunks=True).records
    chunks = [chunk for chunk in records if isinstance(chunk, Chunk)]
    places = [(c.chunk_start_offset, c.chunk_start_offset + c.chunk_length) for c in summary.chunk_indexes]
    counted = ((*place, samples_in(chunk)) for place, chunk in zip(sorted(places), chunks, strict=True))
    got = Recording(data, lanes_of(trip.items), tuple(counted))
    assert len(got.chunks) > 5, "the test needs several chunks"
    return got


def samples_in(chunk: Chunk) -> int:
    count = 0
    for message in breakup_chunk(chunk, validate_crc=True):
        if isinstance(message, Message) and message.channel_id < FIRST_OF_NO_SAMPLES:
            axes, size = np.frombuffer(message.data, "<u4", 2, HEAD_OF_VALUES)
            count += int(size // axes)
    return count


def read_bytes(folder: Path, data: bytes | bytearray) -> Reading:
    path = folder / "damaged.mcap"
    path.write_bytes(data)
    return read(path)


def count_true(got: Reading, whole: Recording) -> int:
    """Return how many samples were read; each must be one that was written, with its time."""
    count = 0
    for name, lane in got.lanes.items():
        origin = whole.lanes[name]
        at = np.asarray(lane.index) - origin.index[0]
        assert lane.times_ns == [origin.times_ns[i] for i in at], f"a wrong time of {name}"
        assert lane.array.tobytes() == origin.array[at].tobytes(), f"a wrong value of {name}"
        assert all(reason == "log" for _, _, reason in lane.gaps)
        count += len(lane.index)
    return count


def test_a_cut_anywhere_loses_the_last_chunk_at_most(whole: Recording, tmp_path: Path) -> None:
    size, first, last = len(whole.data), whole.chunks[0], whole.chunks[-1]
    places = random.Random(1).sample(range(size), 50)
    for end in [0, 1, 7, 8, 9, 100, *places, first[1], last[0], last[1], size - 8, size - 1]:
        try:
            got = read_bytes(tmp_path, whole.data[:end])
        except LogFileError:
            assert end < first[0], f"cut at {end} of {size}"
            continue
        readable = sum(count for _, chunk_end, count in whole.chunks if chunk_end <= end)
        assert count_true(got, whole) == readable, f"cut at {end} of {size}"
        assert got.source.identity.boot == "f" * 16
        if end < last[1]:
            assert "It was not ended properly (power cut?): read up to" in got.notes, f"cut at {end}"
        assert got.notes, f"cut at {end}: nothing was said"


def test_flipped_bits_anywhere_never_give_a_wrong_sample(whole: Recording, tmp_path: Path) -> None:
    """A flip in a chunk costs that chunk and is told; one elsewhere costs nothing."""
    rng = random.Random(2)
    begin, end = whole.chunks[0][0], whole.chunks[-1][1]
    for _ in range(120):
        data = bytearray(whole.data)
        at = rng.randrange(len(data))
        data[at] ^= 1 << rng.randrange(8)
        try:
            got = read_bytes(tmp_path, data)
        except LogFileError:
            assert at < 8, f"flip at {at}: all could have been read, its metadata stands at the end too"
            continue
        count = count_true(got, whole)
        hit = [samples for chunk_begin, chunk_end, samples in whole.chunks if chunk_begin <= at < chunk_end]
        lost = whole.samples - count
        assert lost in (0, *hit), f"flip at {at}: {lost} of {whole.samples} samples lost, hit {hit}"
        if lost:
            assert got.notes, f"flip at {at}: {lost} samples lost without a word"
        elif begin <= at < end and hit:
            # times in a chunk's head are for those who seek, and some bits of zstd mean nothing
            chunk_begin, chunk_end = next((b, e) for b, e, _ in whole.chunks if b <= at < e)
            unpacked = [open_chunk(bytes(d[chunk_begin + 9 : chunk_end])) for d in (data, whole.data)]
            assert unpacked[0] == unpacked[1], f"flip at {at}: it was read, and holds something else"


def test_a_flipped_digit_in_what_tells_of_the_streams_is_noticed(whole: Recording, tmp_path: Path) -> None:
    """A scale or a box that is wrong by a digit would make every record wrong: the copy at the end counts."""
    wanted = read_bytes(tmp_path, whole.data)
    begin, end = whole.data.index(b'{"layout"'), whole.chunks[0][0]
    for at in range(begin, end, 11):
        data = bytearray(whole.data)
        data[at] ^= 1
        got = read_bytes(tmp_path, data)
        assert got.specs == wanted.specs, f"flip at {at}"
        assert got.source.identity == wanted.source.identity, f"flip at {at}"


def test_a_chunk_that_claims_to_be_huge_is_not_unpacked() -> None:
    """A terabyte, says the frame of 20 bytes; it would be allocated before anything is checked."""
    claim = b"\x28\xb5\x2f\xfd\xe0" + (1 << 40).to_bytes(8, "little") + bytes(7)  # RFC 8878, 3.1.1
    for size in (1 << 40, 1000):
        head = struct.pack("<QQQI", 0, 0, size, 0) + struct.pack("<I", 4) + b"zstd"
        with pytest.raises(ChunkError):
            open_chunk(head + struct.pack("<Q", len(claim)) + claim)


def with_chunk(whole: Recording, records: bytes) -> bytes:
    """Return the recording with one more chunk, of a right checksum, before its fourth."""
    packed = zstandard.compress(records)
    head = struct.pack("<QQQII", 0, 0, len(records), zlib.crc32(records), 4) + b"zstd"
    content = head + struct.pack("<Q", len(packed)) + packed
    at = whole.chunks[3][0]
    return whole.data[:at] + struct.pack("<BQ", 6, len(content)) + content + whole.data[at:]


@pytest.mark.parametrize(
    "records",
    [
        bytes(64 << 20),
        bytes(4),
        struct.pack("<BQ", 5, 1 << 62) + bytes(100),
        struct.pack("<BQ", 5, 3) + bytes(3),
        struct.pack("<BQ", 4, 16) + b"\xff" * 16,
        (struct.pack("<BQ", 5, 22) + b"\xff" * 22) * 1_000_000,
    ],
    ids=["zeros", "cut head", "overrun", "short message", "odd channel", "strange messages"],
)
def test_a_chunk_whose_checksum_is_right_and_whose_records_are_none_costs_itself_only(
    whole: Recording, tmp_path: Path, records: bytes
) -> None:
    got = read_bytes(tmp_path, with_chunk(whole, records))
    assert count_true(got, whole) == whole.samples
    assert got.source.damaged and got.source.counters.lost_chunks <= 2001 and "a message after" in got.notes


def test_a_damaged_length_between_chunks_costs_no_chunk(whole: Recording, tmp_path: Path) -> None:
    """The index of each chunk follows it; a length in there must not lead past the next chunk."""
    for (_, here, _), (_, beyond, _) in zip(whole.chunks, whole.chunks[1:], strict=False):
        for length in (beyond - here - 9, 0, 1, 1 << 62):
            data = bytearray(whole.data)
            data[here + 1 : here + 9] = length.to_bytes(8, "little")
            got = read_bytes(tmp_path, data)
            assert count_true(got, whole) == whole.samples, f"length {length} at {here}"


def test_several_bad_spots_are_each_passed_over_and_told(whole: Recording, tmp_path: Path) -> None:
    data = bytearray(whole.data)
    for place in (3, 5):
        begin, end, _ = whole.chunks[place]
        data[begin + 100 : end - 20] = bytes(end - 20 - begin - 100)
    got = read_bytes(tmp_path, data)
    lost = whole.chunks[3][2] + whole.chunks[5][2]
    assert count_true(got, whole) == whole.samples - lost
    assert got.source.counters.lost_chunks == 2
    assert got.source.counters.missing_samples == lost
    assert f"({lost:,} samples missing)" in got.notes
    assert [len(lane.gaps) for lane in got.lanes.values()][:2] == [2, 2]


def test_a_time_mark_survives_the_loss_of_its_chunk(tmp_path: Path) -> None:
    """Half-way the box learns the time; every later chunk begins with it."""
    trip = drive(4.0)
    data = bytearray(record(tmp_path / "whole.mcap", trip))
    wanted = marks_of(trip.items)
    path = tmp_path / "damaged.mcap"
    summary = make_reader(io.BytesIO(bytes(data))).get_summary()
    assert summary is not None
    for chunk in summary.chunk_indexes[:-1]:
        damaged = bytearray(data)
        damaged[chunk.chunk_start_offset + 60] ^= 0xFF
        path.write_bytes(damaged)
        assert marks_of(read(path).items) == wanted


def test_zeroed_beginning_and_random_rubbish_end_in_words(whole: Recording, tmp_path: Path) -> None:
    rng = random.Random(3)
    for _ in range(50):
        data = bytearray(whole.data)
        begin = rng.randrange(8, len(data))
        end = min(len(data), begin + rng.randrange(1, 5000))
        data[begin:end] = rng.randbytes(end - begin)
        try:
            got = read_bytes(tmp_path, data)
        except LogFileError as error:
            assert error.remedy
            continue
        if count_true(got, whole) < whole.samples:
            assert got.notes


@pytest.mark.parametrize(
    ("data", "got"),
    [
        (b"", "an empty file"),
        (b"not an mcap at all", "begins with 6e 6f 74"),
        (b"\x89MCAP0\r\n", "an MCAP file without it"),
        (b"\x89MCAP0\r\n" + bytes(500), "damage at byte 8"),
    ],
)
def test_what_is_no_recording_is_refused(tmp_path: Path, data: bytes, got: str) -> None:
    with pytest.raises(LogFileError) as caught:
        read_bytes(tmp_path, data)
    assert got in caught.value.got
    assert "damaged.mcap" in caught.value.doing


def test_an_mcap_of_somebody_else_is_refused(tmp_path: Path) -> None:
    out = io.BytesIO()
    writer = Writer(out)
    writer.start()
    writer.add_metadata("theirs", {"a": "b"})
    channel = writer.register_channel("/imu", "json", 0)
    writer.add_message(channel, 5, b"{}", 5)
    writer.finish()  # type: ignore[no-untyped-call]
    with pytest.raises(LogFileError, match=f"of .'theirs'.*{METADATA_NAME}"):
        read_bytes(tmp_path, out.getvalue())


# -- whose checksums are right, and which cannot be true ---------------------------------------------------


def _put(data: bytearray, form: str, at: int, number: int) -> None:
    struct.pack_into(form, data, at, number)


def _back(block: Item, data: bytearray) -> None:
    assert isinstance(block, Block)
    _put(data, "<q", 12, 5)
    _put(data, "<q", 20, block.first)
    _put(data, "<q", 28, 5)


STRANGE: dict[str, Callable[[Item, bytearray], None]] = {
    "axes": lambda _, data: _put(data, "<I", 44, 0),
    "more axes": lambda _, data: _put(data, "<I", 44, 0xFFFF),
    "values": lambda _, data: _put(data, "<I", 48, 0xFFFF_FFFF),
    "no values": lambda _, data: _put(data, "<I", 48, 0),
    "first": lambda _, data: _put(data, "<q", 4, 1 << 62),
    "start": lambda _, data: _put(data, "<q", 12, -(1 << 63)),
    "anchor": lambda _, data: _put(data, "<q", 28, (1 << 63) - 1),
    "no period": lambda _, data: _put(data, "<q", 36, 0),
    "a short period": lambda _, data: _put(data, "<q", 36, 1),
    "a long period": lambda _, data: _put(data, "<q", 36, (1 << 63) - 1),
    "back in time": _back,
    "cut": lambda _, data: data.__delitem__(slice(40, None)),
    "text": lambda _, data: data.__setitem__(slice(-12, None), b"\xff" * 12),
}


@pytest.mark.parametrize("what", STRANGE)
def test_a_message_that_cannot_be_true_is_passed_over_and_told(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A right checksum says that nothing was changed since; not that the program that wrote it was right."""
    trip = drive(6.0)
    blocks = [0]

    def written(block: Block) -> bytes:
        data = bytearray(encode_block(block))
        blocks[0] += 1
        if blocks[0] % 9 == 5:
            STRANGE[what](block, data)
        return bytes(data)

    monkeypatch.setattr(mcap_writer, "encode_block", written)
    record(tmp_path / "log.mcap", trip)
    monkeypatch.undo()
    whole = record(tmp_path / "whole.mcap", trip)
    assert whole
    found, good = read(tmp_path / "log.mcap"), read(tmp_path / "whole.mcap")
    assert "a message after" in found.notes and found.source.counters.lost_chunks >= blocks[0] // 9
    for name, lane in lanes_of(found.items).items():
        sound = lanes_of(good.items)[name]
        at = np.searchsorted(sound.index, lane.index)
        assert len(lane.index) and np.array_equal(sound.array[at], lane.array), name
        assert np.array_equal(np.array(sound.times_ns)[at], lane.times_ns), name
    if what == "text":
        for words in (["replay", "--out", str(tmp_path / "out")], ["convert", str(tmp_path / "out.csv")]):
            assert main([words[0], str(tmp_path / "log.mcap"), *words[1:]]) == 1
            assert "error: " in capsys.readouterr().err


def test_a_word_on_a_stream_that_the_log_has_not_is_passed_over(tmp_path: Path) -> None:
    trip = drive(2.0)
    info = LogInfo(box="b", boot="f" * 16, software="0", streams=trip.specs)
    with McapRecorder(tmp_path / "log.mcap", info) as recorder:
        for item in trip.items:
            recorder.write(item)
        recorder.write(SensorFault("accel", 10**9, FaultPhase.START, FaultKind.NACK, "x", ("elsewhere",)))
    assert main(["replay", str(tmp_path / "log.mcap"), "--out", str(tmp_path / "out")]) == 1
    assert "no stream of the log" in (tmp_path / "out" / "summary.json").read_text()


@pytest.mark.parametrize(
    "change",
    [
        {"box": "a/+/#"},
        {"boot": "../x"},
        {"mount_up": (0.0, 0.0, 0.0)},
        {"rate_hz": 0.0},
        {"rate_hz": -1.0},
        {"sample_bits": 0},
        {"axes": ()},
        {"name": "\x1b[2J"},
    ],
    ids=str,
)
def test_what_a_recording_says_of_itself_must_be_able_to_be_true(
    change: dict[str, Any], tmp_path: Path
) -> None:
    info = LogInfo(box="b", boot="f" * 16, software="0", streams=drive(1.0).specs)
    if (key := next(iter(change))) in info.__struct_fields__:
        info = msgspec.structs.replace(info, **change)
    else:
        first, *others = info.streams
        info = msgspec.structs.replace(info, streams=(msgspec.structs.replace(first, **change), *others))
    assert key
    with McapRecorder(tmp_path / "log.mcap", info):
        pass
    with pytest.raises(LogFileError):
        read(tmp_path / "log.mcap")


def test_a_file_that_is_cut_while_it_is_read_kills_nobody(tmp_path: Path) -> None:
    """Read as memory it would: by a signal, as would a worn card that does not give it back."""
    data = record(tmp_path / "log.mcap", drive(6.0))
    log = open_log(tmp_path / "log.mcap")
    log.open()
    items = log.items()
    next(items)
    os.truncate(tmp_path / "log.mcap", 0)
    assert sum(len(item) for item in items if isinstance(item, Block)) > 0 < len(data)
