"""enDAQ recordings: which channel becomes which stream, and what a file tells of its own soundness."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest

from agent.errors import LogFileError
from agent.sources.ide_blocks import Kind, chain_of, judge
from agent.timebase import TimeQuality
from calibration.gravity import STANDARD_GRAVITY_MPS2
from tests.logs.reading import Reading, marks_of, read, recording

CRC, OTHER, TEXT, ELEMENTS = 0xBF, Kind.OTHER, Kind.TEXT, Kind.ELEMENTS
KNOWN = {
    0x1A45DFA3: OTHER,
    0xA1: ELEMENTS,
    0xB0: OTHER,
    0xB2: OTHER,
    0x5271: ELEMENTS,
    0x5279: TEXT,
    CRC: OTHER,
}
HEADER = bytes.fromhex("1a45dfa3") + b"\x82ab"
BLOCK = b"\xa1\x87" + b"\xb0\x81\x08" + b"\xb2\x82\x01\x02"
CHANNEL = b"\x52\x71\x85" + b"\x52\x79\x82Xg"


def checked(content: bytes) -> bytes:
    """A channel with a checksum, as EBML has it: first, of what follows, little endian."""
    crc = zlib.crc32(content).to_bytes(4, "little")
    return b"\x52\x71" + bytes([0x80 + 6 + len(content)]) + b"\xbf\x84" + crc + content


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
        (HEADER + CHANNEL + BLOCK, len(HEADER + CHANNEL + BLOCK), ""),
        (HEADER + CHANNEL.replace(b"\x52\x79\x82", b"\x52\x79\x83"), len(HEADER), "length"),
        (HEADER + b"\x10\x20\x00\x00\x82ab" + BLOCK, len(HEADER + BLOCK) + 7, ""),
        (HEADER + checked(b"\x52\x79\x82Xg"), len(HEADER) + 14, ""),
        (HEADER + checked(b"\x52\x79\x82Xg").replace(b"Xg", b"Yg"), len(HEADER), "checksum"),
    ],
)
def test_the_chain_of_elements_shows_where_a_file_breaks(data: bytes, whole: int, wrong: str) -> None:
    chain = chain_of(data, KNOWN)
    assert chain.whole == whole
    assert wrong in chain.wrong and bool(chain.wrong) == bool(wrong)


def test_names_that_are_no_text_and_the_channels_of_blocks_are_counted() -> None:
    chain = chain_of(HEADER + CHANNEL + CHANNEL.replace(b"Xg", b"X\xe7") + BLOCK * 3, KNOWN)
    assert (chain.garbled, chain.wrong, dict(chain.blocks)) == (1, "", {8: 3})


class Block:
    """As idelib has it: counts, what the recorder said of them, and when."""

    _minMeanMaxEl = object()

    def __init__(self, counts: list[int], begin: int, error: int = 0, period: float = 10.0) -> None:
        self.payload = np.array([counts], np.int32).T
        self.min, self.max = self.payload.min(axis=0), self.payload.max(axis=0) + error
        self.mean = self.payload.mean(axis=0).astype(int)
        self.minMeanMax = object()
        self.indexRange = (begin, begin + len(counts))
        self.startTime = 10.0 * begin
        self.endTime = self.startTime + period * len(counts)

    def telling(self, least: int, mean: int, most: int) -> Block:
        self.min, self.mean, self.max = (np.array([told]) for told in (least, mean, most))
        return self


def test_a_block_that_contradicts_its_statistics_is_left_out() -> None:
    good = [Block([1, 2, 3], 0), Block([4, 5, 9], 3)]
    found = judge(good, 6)
    assert not found.contradicted.any() and not found.odd.any() and not found.none_agrees
    found = judge([*good, Block([7, 7, 7], 6, error=1)], 9)
    assert found.contradicted.tolist() == [False] * 6 + [True] * 3
    most_are_bad = [Block([1, 2, 3], 0), *(Block([7, 7, 7], 3 + 3 * k, error=1) for k in range(5))]
    assert judge(most_are_bad, 18).contradicted.tolist() == [False] * 3 + [True] * 15
    found = judge(most_are_bad[1:], 18)
    assert found.none_agrees and not found.contradicted.any(), "told, and which of them nobody knows"


def test_a_mean_that_others_have_to_the_very_number_shows_a_small_change() -> None:
    """Two counts of one sample in a hundred; a recorder that rounds otherwise is let alone."""
    rows = [[*range(-50, 49), -3 * k] for k in range(5)]
    blocks = [Block(row, 100 * k) for k, row in enumerate(rows)]
    assert not judge(blocks, 500).contradicted.any()
    told = blocks[2].mean
    blocks[2] = Block([*rows[2][:40], rows[2][40] + 60, *rows[2][41:-1], rows[2][-1]], 200)
    blocks[2].mean = told
    assert np.flatnonzero(judge(blocks, 500).contradicted).tolist() == list(range(200, 300))
    for block in blocks:
        block.mean = block.payload.mean(axis=0).astype(int) - 1
    assert not judge(blocks, 500).contradicted.any()


def test_nothing_follows_from_statistics_that_cannot_be_true() -> None:
    """Of the digital accelerometers: a mean that is always 0, a minimum above the maximum."""
    for least, mean, most in ((-30_000, 0, -20_000), (196_736, 0, 196_208), (-9, 0, 8)):
        blocks = [Block([1, 2, 3], 3 * k).telling(least, mean, most) for k in range(4)]
        found = judge(blocks, 12)
        assert not found.contradicted.any() and not found.none_agrees, (least, mean, most)


def test_a_sample_with_other_bits_where_all_others_have_the_same_is_left_out() -> None:
    """Twelve bits in a word of sixteen, the lowest of them a mark."""
    rng = np.random.default_rng(2)
    counts = (rng.integers(-2000, 2000, 400) * 16 + 1).tolist()
    assert not judge([Block(counts, 0)], 400).odd.any()
    for place, bit in ((7, 1), (200, 8)):
        damaged = list(counts)
        damaged[place] ^= bit
        assert np.flatnonzero(judge([Block(damaged, 0)], 400).odd).tolist() == [place]
    clipped = [*counts[:-1], 32_767]
    assert not judge([Block(clipped, 0)], 400).odd.any(), "the end of the scale may fill the word"
    still = [16] * 390 + rng.integers(0, 99, 10).tolist()
    assert not judge([Block(still, 0)], 400).odd.any(), "a sensor at rest has no bits that are not measured"


def test_a_block_at_another_rate_is_left_out_and_one_that_turns_back_is_told_of() -> None:
    blocks = [Block(list(range(100)), 100 * k, period=10.0) for k in range(5)]
    found = judge(blocks, 500)
    assert not found.contradicted.any() and found.turned_back == 0
    blocks[2] = Block(list(range(100)), 200, period=12.0)
    found = judge(blocks, 500)
    assert np.flatnonzero(found.contradicted).tolist() == list(range(200, 300))
    assert found.turned_back == 1


def test_a_reference_to_a_calibration_that_is_not_there_is_told_of(tmp_path: Path) -> None:
    """One digit in the reference of one axis: its values would be those of no calibration."""
    whole = recording("endaq-ide/endaq-python_SSX70065.IDE").read_bytes()
    reference = bytes.fromhex("52a38122")  # the second axis of channel 32 is calibrated by polynomial 34
    assert whole.count(reference) == 1
    path = tmp_path / "log.IDE"
    path.write_bytes(whole.replace(reference, bytes.fromhex("52a38163")))
    got = read(path)
    assert got.source.damaged and "accel refers to a calibration that is not there" in got.notes


def test_what_the_makers_program_added_is_no_damage() -> None:
    got = ide("idelib_with_userdata.IDE")
    assert not got.source.damaged, got.notes
    assert sum(len(lane.times_ns) for lane in got.lanes.values()) == 22_022


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
