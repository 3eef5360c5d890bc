"""The recorder: on the card in time, open to the stock tools, and clear when the card fails."""

from __future__ import annotations

import dataclasses
import errno
import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mcap.reader import make_reader

from agent.blocks import Block, FaultKind, FaultPhase, ListedClock, RegularClock, SensorFault
from agent.errors import LogFileError, UsageError
from agent.log_info import LogInfo
from agent.mcap_codec import info_of, metadata_of
from agent.outbox.files import Disk
from agent.recorder import mcap_file
from agent.recorder.mcap_writer import McapRecorder
from agent.streams import TABLE
from agent.timebase import TimeMark, TimeQuality
from tests.logs.reading import lanes_of, read
from tests.logs.trips import drive

SPECS = (TABLE["accel"], TABLE["load"], TABLE["temperature"])
FAULT = SensorFault(
    "accel",
    11,
    FaultPhase.START,
    FaultKind.NACK,
    "ADXL345 at i2c-1 0x53",
    ("accel", "load"),
    "no answer",
    "0xE5 – its identity",
)


def recorder_at(path: Path, **settings: Any) -> McapRecorder:
    return McapRecorder(path, LogInfo(box="b", boot="0" * 16, software="0.1.0", streams=SPECS), **settings)


def test_the_stock_reader_finds_everything(tmp_path: Path) -> None:
    trip = drive(5.0)
    path = tmp_path / "log.mcap"
    with recorder_at(path) as recorder:
        for item in trip.items:
            recorder.write(item)
    reader = make_reader(io.BytesIO(path.read_bytes()), validate_crcs=True)
    summary = reader.get_summary()
    assert summary is not None and summary.statistics is not None
    topics = {channel.topic: channel for channel in summary.channels.values()}
    assert set(topics) == {"/cargobox/accel", "/cargobox/load", "/cargobox/temperature", "/cargobox/time"}
    for channel in topics.values():
        schema = summary.schemas[channel.schema_id]
        assert (channel.message_encoding, schema.encoding) == ("cdr", "ros2msg")
        assert schema.name.startswith("cargobox/msg/")
    messages = list(reader.iter_messages(topics=["/cargobox/accel"]))
    assert sum(struct.unpack_from("<I", m.data, 48)[0] // 3 for _, _, m in messages) == 5000
    assert [m.log_time for _, _, m in messages] == sorted(m.log_time for _, _, m in messages)
    assert messages[0][2].log_time == lanes_of(trip.items)["accel"].times_ns[0]
    for _, _, message in messages:
        assert struct.unpack_from("<q", message.data, 12) == (message.log_time,), "start_ns"
    assert summary.statistics.message_count == sum(1 for _ in reader.iter_messages())
    assert [m.name for m in reader.iter_metadata()] == ["cargobox", "cargobox"]
    assert summary_crc(path.read_bytes()) == (True, True), "the summary's checksum is wrong"


def summary_crc(data: bytes) -> tuple[bool, bool]:
    """Return whether there is a checksum of the summary, and whether it is right (mcap.dev/spec, Footer)."""
    crc_at = len(data) - len(mcap_file.MAGIC) - 4
    (summary_start,) = struct.unpack_from("<Q", data, crc_at - 16)
    (crc,) = struct.unpack_from("<I", data, crc_at)
    return summary_start > 0, zlib.crc32(data[summary_start:crc_at]) == crc


def test_a_listed_clock_tells_the_start_too(tmp_path: Path) -> None:
    path = tmp_path / "log.mcap"
    times_ns = np.array([1000, 2500, 3000])
    with recorder_at(path) as recorder:
        recorder.write(Block("accel", 5, ListedClock(5, times_ns, 1_000_000), np.zeros((3, 3), np.int16)))
    ((_, _, message),) = make_reader(io.BytesIO(path.read_bytes())).iter_messages()
    assert struct.unpack_from("<qq", message.data, 4) == (5, 1000)
    assert message.log_time == 1000


def test_messages_are_cdr_that_others_decode(tmp_path: Path) -> None:
    """By the decoder of the mcap project, which knows nothing of us but the schema in the file."""
    factory = pytest.importorskip("mcap_ros2.decoder", reason="PyPI mcap-ros2-support is not here")
    path = tmp_path / "log.mcap"
    values = np.array([[1, -2, 3], [4, 5, -32768]], np.int16)
    flags = np.array([0, 5], np.uint8)
    with recorder_at(path) as recorder:
        recorder.write(TimeMark(7, -8, TimeQuality.HOLDOVER))
        recorder.write(Block("accel", 40, RegularClock(2, 3, 4_000_000), values, flags, "cable"))
        recorder.write(FAULT)
    reader = make_reader(io.BytesIO(path.read_bytes()), decoder_factories=[factory.DecoderFactory()])
    decoded = {channel.topic: message for _, channel, _, message in reader.iter_decoded_messages()}
    mark, samples = decoded["/cargobox/time"], decoded["/cargobox/accel"]
    assert (mark.box_ns, mark.offset_ns, mark.quality) == (7, -8, "holdover")
    assert (samples.first, samples.start_ns, samples.period_ps) == (40, 152_003, 4_000_000)
    assert (samples.anchor_index, samples.anchor_ns, samples.axes) == (2, 3, 3)
    assert list(samples.values) == [1, -2, 3, 4, 5, -32768]
    assert list(samples.quality) == [0, 5]
    assert samples.missing_reason == "cable"
    assert len(samples.listed_ns) == 0
    fault = decoded["/cargobox/fault"]
    assert (fault.at_ns, fault.stream, fault.phase, fault.kind) == (11, "accel", "start", "nack")
    assert (fault.sensor, fault.got, fault.expected) == (FAULT.sensor, FAULT.got, FAULT.expected)
    assert list(fault.streams) == ["accel", "load"]


def test_what_was_recorded_is_on_the_card_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A box at rest fills no chunk in hours; a power cut must not take them."""
    now_s = [100.0]
    synced: list[int] = []
    monkeypatch.setattr("agent.recorder.mcap_writer.time.monotonic", lambda: now_s[0])
    monkeypatch.setattr("agent.outbox.files.os.fdatasync", synced.append)
    path = tmp_path / "log.mcap"
    recorder = recorder_at(path, sync_s=5.0)
    clock = RegularClock.of_rate(1.0)
    synced.clear()
    for second in range(30):
        now_s[0] += 1.0
        recorder.write(Block("temperature", second, clock, np.full((1, 1), 20.0, np.float32)))
        cut = tmp_path / "cut.mcap"
        cut.write_bytes(path.read_bytes())
        got = read(cut).lanes.get("temperature")
        kept = len(got.index) if got else 0
        assert kept >= second + 1 - 6, f"after {second + 1} s only {kept} are on the card"
    assert 3 <= len(synced) <= 7, f"{len(synced)} syncs in 30 s: a card wears"
    recorder.close()


def test_a_process_that_is_killed_leaves_what_it_flushed(tmp_path: Path) -> None:
    path = tmp_path / "log.mcap"
    program = (
        "import os, sys; from pathlib import Path; from tests.logs.trips import drive\n"
        "from tests.logs.test_recorder import recorder_at\n"
        "recorder = recorder_at(Path(sys.argv[1]))\n"
        "for item in drive(2.0).items: recorder.write(item)\n"
        "recorder.flush(); recorder.write(drive(2.0).items[-1]); os._exit(9)\n"
    )
    top = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program, str(path)], cwd=top, check=False)
    assert done.returncode == 9
    got = read(path)
    assert len(got.lanes["accel"].index) == 2000
    assert "power cut?" in got.notes


def test_a_full_card_is_told_and_what_was_written_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The card takes half of a chunk, then nothing."""
    path = tmp_path / "log.mcap"
    trip = drive(4.0)
    recorder = recorder_at(path, chunk_bytes=4000)
    half = len(trip.items) // 2
    for item in trip.items[:half]:
        recorder.write(item)
    recorder.flush()
    size = path.stat().st_size

    class Full(Disk):
        def write_at(self, fd: int, offset: int, data: bytes) -> None:
            if offset > size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            super().write_at(fd, offset, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(recorder._file, "_disk", Full())
    with pytest.raises(LogFileError, match="No space left on device") as caught:
        for item in trip.items[half:]:
            recorder.write(item)
    assert "df -h" in caught.value.remedy
    assert path.stat().st_size == size, "half a chunk must not stay behind"
    monkeypatch.undo()
    recorder.close()
    got = read(path)
    assert len(got.lanes["accel"].index) >= 1990
    assert got.lanes["accel"].gaps == [] or got.lanes["accel"].gaps[0][2] == "log"


def test_a_recording_is_never_overwritten_by_accident(tmp_path: Path) -> None:
    path = tmp_path / "log.mcap"
    path.write_bytes(b"the only one")
    with pytest.raises(UsageError, match="a file of this name"):
        recorder_at(path)
    assert path.read_bytes() == b"the only one"
    recorder_at(path, overwrite=True).close()
    with pytest.raises(LogFileError, match="No such file or directory"):
        recorder_at(tmp_path / "nowhere" / "log.mcap")


def test_a_recording_without_faults_is_as_it_always_was(tmp_path: Path) -> None:
    """No channel, no schema of them: an older agent reads it."""
    path = tmp_path / "log.mcap"
    with recorder_at(path) as recorder:
        for item in drive(0.5).items:
            recorder.write(item)
    assert b"SensorFault" not in path.read_bytes()


def test_a_recording_of_an_older_agent_is_read() -> None:
    """It knew of no offset and of no faults."""
    info = LogInfo(box="b", boot="0" * 16, software="0.1.0", streams=SPECS)
    text = metadata_of(info)["info"].replace('"offset":0.0,', "")
    assert "offset" not in text
    assert info_of({"info": text, "crc32": f"{zlib.crc32(text.encode()):08x}"}) == info


def test_a_fault_of_a_stream_that_nobody_named_is_refused(tmp_path: Path) -> None:
    with recorder_at(tmp_path / "log.mcap") as recorder, pytest.raises(LogFileError, match="of 'gyro'"):
        recorder.write(dataclasses.replace(FAULT, stream="gyro"))


@pytest.mark.parametrize(
    "block",
    [
        Block("gyro", 0, RegularClock.of_rate(1), np.zeros((1, 3), np.int16)),
        Block("accel", 0, RegularClock.of_rate(1), np.zeros((1, 3), np.uint16)),
        Block("accel", 0, RegularClock.of_rate(1), np.zeros(3, np.int16)),
    ],
)
def test_what_cannot_be_stored_is_refused_at_once(tmp_path: Path, block: Block) -> None:
    with recorder_at(tmp_path / "log.mcap") as recorder, pytest.raises(LogFileError, match="a block of"):
        recorder.write(block)


def test_an_empty_recording_is_a_recording(tmp_path: Path) -> None:
    recorder_at(tmp_path / "log.mcap").close()
    got = read(tmp_path / "log.mcap")
    assert (got.items, got.source.notes) == ([], [])
    assert got.specs == SPECS
    assert got.source.progress == 1.0


def test_the_door_to_the_formats_does_not_bring_them_along() -> None:
    """The service never opens a log, and its memory is tight."""
    program = "import agent.sources.log_file, sys; print({'mcap', 'zstandard', 'lz4'} & set(sys.modules))"
    top = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=top, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
