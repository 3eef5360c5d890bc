"""Rows of a CSV log in any order, twice, with the same time: the samples come out the same."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.blocks import Block, Quality
from agent.timebase import TimeMark, TimeQuality
from tests.logs.reading import ACCEL_MAP, Csv, Lane, assert_same, lanes_of, marks_of

LATE = int(Quality.LATE)


def rows_of(count: int, seed: int) -> list[str]:
    """Rows at 100 Hz with a little jitter, each with values of its own."""
    rng = random.Random(seed)
    return [f"{i * 10 + rng.randint(-1, 1)},{i},{-i},{rng.randint(-2000, 2000)}" for i in range(1, count + 1)]


def without_lateness(lanes: dict[str, Lane]) -> dict[str, Lane]:
    for lane in lanes.values():
        lane.quality = [flags & ~LATE for flags in lane.quality]
    return lanes


@settings(max_examples=60)
@given(
    count=st.integers(2, 120),
    seed=st.integers(0, 1000),
    reach=st.integers(0, 40),
    copies=st.integers(0, 10),
)
def test_late_and_repeated_rows_change_nothing(count: int, seed: int, reach: int, copies: int) -> None:
    rows = rows_of(count, seed)
    rng = random.Random(seed)
    shuffled = [row for _, row in sorted((i + rng.random() * reach, row) for i, row in enumerate(rows))]
    for _ in range(copies):
        shuffled.insert(rng.randrange(len(shuffled) + 1), rng.choice(rows))
    with tempfile.TemporaryDirectory() as folder:
        csv = Csv(Path(folder))
        wanted = csv.rows(rows).lanes
        got = csv.rows(shuffled)
    assert_same(without_lateness(got.lanes), wanted)
    assert got.source.counters.duplicate_rows == copies
    assert got.source.counters.rows == count + copies


def test_a_late_row_is_flagged_and_counted(csv: Csv) -> None:
    got = csv.rows(["10,1,0,0", "30,3,0,0", "40,4,0,0", "20,2,0,0", "50,5,0,0"])
    lane = got.lanes["accel"]
    assert lane.quality == [0, LATE, 0, 0, 0]
    assert got.source.counters.late_rows == 1
    assert "1 rows came late" in got.notes
    assert not lane.gaps


@settings(max_examples=25)
@given(seed=st.integers(0, 1000), size=st.integers(1, 70), holes=st.sets(st.integers(5, 295), max_size=40))
def test_the_size_of_blocks_changes_nothing(seed: int, size: int, holes: set[int]) -> None:
    rows = [row for i, row in enumerate(rows_of(300, seed)) if i not in holes]
    with tempfile.TemporaryDirectory() as folder:
        csv = Csv(Path(folder))
        wanted = csv.rows(rows)
        got = csv.read(["t,x,y,z", *rows], block_samples=size)
    assert_same(got.lanes, wanted.lanes)
    assert marks_of(got.items) == marks_of(wanted.items)
    assert got.source.identity == wanted.source.identity
    assert max(len(item) for item in got.items if isinstance(item, Block)) <= size


def test_rows_with_one_time_and_other_values_are_all_kept(csv: Csv) -> None:
    rows = [f"{i * 10},{i},0,0" for i in range(20)]
    rows.insert(11, "100,77,0,0")
    got = csv.rows(rows)
    lane = got.lanes["accel"]
    assert lane.times_ns[10:13] == [100_000_000, 105_000_000, 110_000_000]
    assert "1 rows have the time of the row before and differ" in got.notes
    assert got.source.counters.duplicate_rows == 0
    assert not lane.gaps


def test_coarse_times_are_spread_and_a_sensor_at_rest_repeats_itself(csv: Csv) -> None:
    """Whole seconds at 5 Hz; at rest the same row comes again and again, and none of them is a duplicate."""
    rows = [f"{second * 1000},{second % 2},{i // 2},0" for second in range(8) for i in range(5)]
    got = csv.rows(rows)
    lane = got.lanes["accel"]
    assert len(lane.index) == 40
    assert set(np.diff(lane.times_ns).tolist()) == {200_000_000}


def test_coarse_times_do_not_fill_a_hole(csv: Csv) -> None:
    """Whole seconds at 5 Hz, and ten seconds in which nothing came."""
    seconds = [*range(10), *range(20, 30)]
    rows = [f"{second * 1000},{second},{i},0" for second in seconds for i in range(5)]
    lane = csv.rows(rows).lanes["accel"]
    assert lane.gaps == [(50, 50, "log")]
    assert lane.times_ns[50] - lane.times_ns[49] == 10_200_000_000


def test_stamps_that_stood_still_go_back_into_the_hole_that_they_left(csv: Csv) -> None:
    """A node without its clock: ten rows, then nothing, then nine rows with the time of the next one."""
    rows = [f"{i * 100},{i},0,0" for i in range(20)]
    stuck = [f"2900,{i},0,0" for i in range(20, 30)]
    after = [f"{i * 100},{i},0,0" for i in range(30, 45)]
    got = csv.rows([*rows, *stuck, *after])
    lane = got.lanes["accel"]
    assert not lane.gaps, "there is no hole: all rows came"
    assert np.diff(lane.times_ns) == pytest.approx(100e6, rel=0.01)


def test_kept_order_goes_on_where_time_runs_back(csv: Csv) -> None:
    text = ACCEL_MAP.replace('"ms"', '"unix_ms"\norder = "keep"')
    first = [f"{1_700_000_000_000 + i * 10},{i},0,0" for i in range(10)]
    again = [f"{1_600_000_000_000 + i * 10},{i},0,0" for i in range(10)]
    got = csv.rows([*first, *again], text)
    lane = got.lanes["accel"]
    assert set(np.diff(lane.times_ns).tolist()) == {10_000_000}
    start_ns = 1_700_000_000_000_000_000
    turn_ns = start_ns + 100_000_000
    assert marks_of(got.items) == [
        TimeMark(start_ns, 0, TimeQuality.SYNCED),
        TimeMark(turn_ns, 1_600_000_000_000_000_000 - turn_ns, TimeQuality.SYNCED),
    ], "the wall clock was set back, the box's own time goes on"


@pytest.mark.parametrize(
    ("form", "texts", "start_ns", "quality"),
    [
        ("iso8601", ["2019-03-24T12:16:39.430Z", "2019-03-24T12:16:39.440Z"], 1553429799430000000, "synced"),
        ("iso8601", ["2019-03-24T12:16:39Z", "2019-03-24T12:16:39.01Z"], 1553429799000000000, "synced"),
        (
            "iso8601",
            ["2019-03-24T14:16:39.43+02:00", "2019-03-24T14:16:39.44+02:00"],
            1553429799430000000,
            "synced",
        ),
        ("iso8601", ["2019-03-24 12:16:39.43", "2019-03-24 12:16:39.44"], 1553429799430000000, "synced"),
        ("unix_s", ["1553429799.43", "1553429799.44"], 1553429799430000000, "synced"),
        ("unix_s", ["1553429799.4", "1553429799.41"], 1553429799400000000, "synced"),
        ("unix_ms", ["1553429799430", "1553429799440"], 1553429799430000000, "synced"),
        ("unix_ns", ["1553429799430000001", "1553429799440000001"], 1553429799430000001, "synced"),
        ("s", ["0.83", "0.84"], 830_000_000, "unset"),
        ("s", ["0.83 ", " 0.84"], 830_000_000, "unset"),
        ("s", ["0.83 ", "0.84 "], 830_000_000, "unset"),
        ("s", ["8.3e-1", " 0.84"], 830_000_000, "unset"),
        ("s", ["-0.5", "-0.49 "], -500_000_000, "unset"),
        ("ms", ["-1.25", "8.75"], -1_250_000, "unset"),
        ("us", ["5", "10005"], 5_000, "unset"),
        ("ns", ["12893233616460", "12893243616460"], 12893233616460, "unset"),
    ],
)
def test_times_are_read_to_the_nanosecond(
    csv: Csv, form: str, texts: list[str], start_ns: int, quality: str
) -> None:
    got = csv.rows([f"{text},0,0,0" for text in texts], ACCEL_MAP.replace('"ms"', f'"{form}"'))
    (mark,) = marks_of(got.items)
    assert got.items[0] is mark, "the mark comes first: the first record needs it"
    assert (mark.box_ns, mark.offset_ns) == (start_ns if quality == "synced" else 0, 0)
    assert mark.quality == quality
    times_ns = lanes_of(got.items)["accel"].times_ns
    assert times_ns[0] == start_ns
    spacing_ns = 10_000_000
    assert times_ns[1] - times_ns[0] == spacing_ns


@pytest.mark.parametrize(
    "text", ["3019-03-24T12:16:39.500Z", "0019-03-24T12:16:39.500Z", "now", "2019", "NaT", ""]
)
def test_a_date_that_cannot_be_is_not_read(csv: Csv, text: str) -> None:
    rows = [f"2019-03-24T12:16:39.{i:03}Z,{i},0,0" for i in range(100, 900, 100)]
    rows[4] = f"{text},4,0,0"
    got = csv.rows(rows, ACCEL_MAP.replace('"ms"', '"iso8601"'))
    assert got.lanes["accel"].gaps == [(4, 1, "log")]
    assert f"line 6: a time '{text}'" in got.notes
