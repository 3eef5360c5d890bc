"""enDAQ recordings: which channel becomes which stream, and what a file tells of its own soundness."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agent.errors import LogFileError
from agent.sources.ide_blocks import contradicted, whole_bytes
from agent.timebase import TimeQuality
from calibration.gravity import STANDARD_GRAVITY_MPS2
from tests.logs.reading import Reading, marks_of, read, recording

KNOWN = {0x1A45DFA3, 0xA1, 0xB0, 0xB2}
HEADER = bytes.fromhex("1a45dfa3") + b"\x82ab"
BLOCK = b"\xa1\x87" + b"\xb0\x81\x08" + b"\xb2\x82\x01\x02"


def ide(name: str) -> Reading:
    return read(recording(f"endaq-ide/{name}"))


def test_the_accelerometer_that_feels_gravity_is_watched_and_the_other_kept() -> None:
    got = ide("endaq-python_Cloud_Test_000000.IDE")
    specs = {spec.name: spec for spec in got.specs}
    assert specs["accel"].watch and specs["accel"].sensor == "S3-E100D40 9695 channel 80"
    assert not specs["accel_8"].watch and not specs["accel_8"].summarise
    assert "100g PE Acceleration (as accel_8)" in got.notes
    lengths = np.linalg.norm(got.lanes["accel"].array, axis=1)
    assert abs(np.median(lengths) / STANDARD_GRAVITY_MPS2 - 1) < 0.1, float(np.median(lengths))
    assert len(got.lanes["accel_8"].times_ns) == 193_200


def test_values_are_what_the_files_own_calibration_makes_of_the_counts() -> None:
    import idelib

    got = ide("endaq-python_SSX70065.IDE")
    with idelib.importFile(str(recording("endaq-ide/endaq-python_SSX70065.IDE")), quiet=True) as dataset:
        rows = dataset.channels[32].getSession().arraySlice()
    wanted = (rows[1:].T * STANDARD_GRAVITY_MPS2).astype(np.float32)
    assert got.lanes["accel"].array.tobytes() == wanted.tobytes()


def test_times_tell_the_date_where_the_recorders_clock_was_set() -> None:
    (mark,) = marks_of(ide("endaq-python_SSX70065.IDE").items)
    assert mark.quality is TimeQuality.HOLDOVER
    assert mark.box_ns // 10**9 == 1_462_303_665
    never = ide("idelib_XS5E25D40.IDE")
    assert [mark.quality for mark in marks_of(never.items)] == [TimeQuality.UNSET]
    assert "never set" in never.notes


def test_what_a_box_does_not_measure_is_named() -> None:
    got = ide("endaq-python_nmea.IDE")
    assert got.specs == ()
    assert "GNSS NMEA Output" in got.notes and "Nothing in it" in got.notes


@pytest.mark.parametrize(
    ("data", "whole", "wrong"),
    [
        (HEADER + BLOCK, len(HEADER + BLOCK), ""),
        ((HEADER + BLOCK)[:-1], len(HEADER), "cut off"),
        (HEADER + BLOCK + b"\xa1", len(HEADER + BLOCK), "cut off"),
        (HEADER + b"\xa2\x80", len(HEADER), "0xa2"),
        (HEADER + BLOCK.replace(b"\xb2\x82", b"\xb2\x8f"), len(HEADER), "length"),
        (HEADER + b"\x00" * 8, len(HEADER), "no element"),
    ],
)
def test_the_chain_of_elements_shows_where_a_file_breaks(data: bytes, whole: int, wrong: str) -> None:
    got, why = whole_bytes(data, KNOWN)
    assert got == whole
    assert wrong in why and bool(why) == bool(wrong)


class Block:
    """As idelib has it: counts, and what the recorder said of them."""

    _minMeanMaxEl = object()

    def __init__(self, counts: list[int], begin: int, error: int = 0) -> None:
        self.payload = np.array([counts]).T
        self.min, self.max = self.payload.min(axis=0), self.payload.max(axis=0) + error
        self.mean = self.payload.mean(axis=0).astype(int)
        self.minMeanMax = object()
        self.indexRange = (begin, begin + len(counts))


def test_a_block_that_contradicts_its_statistics_is_left_out_and_a_channel_that_always_does_is_not() -> None:
    good = [Block([1, 2, 3], 0), Block([4, 5, 9], 3)]
    assert not contradicted(good, 9).any()
    bad = [*good, Block([7, 7, 7], 6, error=1)]
    assert contradicted(bad, 9).tolist() == [False] * 6 + [True] * 3
    assert not contradicted([Block([1, 2], 0, error=1), Block([1, 2], 2, error=1)], 4).any()


def test_a_cut_file_gives_what_stands_before_and_says_so(tmp_path: Path) -> None:
    whole = recording("endaq-ide/endaq-python_SSX70065.IDE")
    path = tmp_path / "cut.IDE"
    path.write_bytes(whole.read_bytes()[:150_000])
    got, wanted = read(path).lanes["accel"], read(whole).lanes["accel"]
    n = len(got.times_ns)
    assert 10_000 < n < len(wanted.times_ns)
    assert got.array.tobytes() == wanted.array[:n].tobytes()
    cut = read(path)
    assert cut.source.damaged and "could not be read" in cut.notes


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.IDE"
    for data in (b"", b"time,x\n1,2\n", bytes.fromhex("1a45dfa3")):
        path.write_bytes(data)
        with pytest.raises(LogFileError):
            read(path)
