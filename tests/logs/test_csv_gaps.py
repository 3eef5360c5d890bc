"""What is a gap, what is only a change of rate, and what a row that cannot be read leaves behind."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest

from agent.blocks import Quality
from agent.sources.log_times import lay_out, numbered
from tests.logs.reading import ACCEL_MAP, Csv

REASON = "log"
RATE_MAP = ACCEL_MAP.replace('column = "t"\nformat = "ms"', "rate_hz = 100.0")


def at(times_ms: Sequence[float]) -> list[str]:
    return [f"{t},{i},0,0" for i, t in enumerate(times_ms)]


def test_an_isolated_hole_is_a_gap_of_the_samples_that_fit(csv: Csv) -> None:
    times = [i * 10 for i in range(100)] + [1490 + i * 10 for i in range(100)]
    got = csv.rows(at(times))
    lane = got.lanes["accel"]
    assert lane.gaps == [(100, 49, REASON)], "500 ms at 100 Hz"
    assert lane.quality[100] == Quality.MISSING_BEFORE
    assert got.source.counters.missing_samples == 49
    assert "49 samples are missing" in got.notes


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_few_lost_rows_are_noticed_where_times_are_even(csv: Csv, lost: int) -> None:
    rng = random.Random(lost)
    times = [i * 10 + rng.randint(-1, 1) for i in range(200) if not 100 <= i < 100 + lost]
    assert csv.rows(at(times)).lanes["accel"].gaps == [(100, lost, REASON)]


def test_a_packet_stamped_late_is_no_gap(csv: Csv) -> None:
    times = [i * 10 + (8 if i % 50 == 25 else 0) for i in range(400)]
    assert csv.rows(at(times)).lanes["accel"].gaps == []


def test_a_phone_that_jitters_has_no_gaps(csv: Csv) -> None:
    """6 to 34 ms about 19.6 ms."""
    rng = random.Random(7)
    times = [round(i * 19.6 + rng.uniform(-6.5, 7.0), 3) for i in range(2000)]
    steps = np.diff(times)
    assert steps.min() < 9 and steps.max() > 30, "the test must jitter"
    assert csv.rows(at(times)).lanes["accel"].gaps == []


def test_a_change_of_rate_is_no_gap(csv: Csv) -> None:
    """2 Hz at rest, 100 Hz in between: each has a clock of its own, and nothing is invented."""
    idle = [i * 500 for i in range(20)]
    busy = [idle[-1] + 477 + i * 10 for i in range(200)]
    again = [busy[-1] + 500 + i * 500 for i in range(20)]
    got = csv.rows(at([*idle, *busy, *again]))
    lane = got.lanes["accel"]
    assert lane.gaps == []
    assert lane.period_ps[0] == 500_000_000_000
    assert lane.period_ps[30] == 10_000_000_000
    assert lane.period_ps[-1] == 500_000_000_000
    assert lane.period_ps[20] == lane.period_ps[219] == 10_000_000_000, "the turn belongs to the faster side"
    assert got.specs[0].rate_hz == pytest.approx(100.0), "the rate of most samples"


def test_a_hole_at_a_change_of_rate_is_counted_by_the_slower_side(csv: Csv) -> None:
    idle = [i * 500 for i in range(20)]
    busy = [idle[-1] + 5000 + i * 10 for i in range(200)]
    assert csv.rows(at([*idle, *busy])).lanes["accel"].gaps == [(20, 9, REASON)]


def test_a_rate_that_only_doubles_is_told_too(csv: Csv) -> None:
    times = [i * 10 for i in range(50)] + [490 + 20 * i for i in range(1, 51)]
    lane = csv.rows(at(times)).lanes["accel"]
    assert lane.gaps == []
    assert (lane.period_ps[0], lane.period_ps[-1]) == (10_000_000_000, 20_000_000_000)


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("500,abc,0,0", "line 52: x is 'abc'"),
        ("500,nan,0,0", "line 52: x is 'nan'"),
        ("500,inf,0,0", "line 52: x is 'inf'"),
        ("500,,0,0", "1 rows fill only some of the columns of accel"),
        ("500,1", "line 52: 2 columns, expected 4"),
        ("500,1,2,3,4", "line 52: 5 columns, expected 4"),
        ("5x0,1,2,3", "line 52: a time '5x0'"),
        (",1,2,3", "line 52: a time ''"),
        ('500,"1,2,3', "line 52: 2 columns, expected 4"),
        ("\x00\x01\ufffd", "line 52: 1 columns, expected 4"),
        ("99999999999999999999,1,2,3", "line 52: a time '99999999999999999999'"),
    ],
)
def test_a_row_that_cannot_be_read_is_missing_and_told(csv: Csv, bad: str, why: str) -> None:
    rows = at([i * 10 for i in range(100)])
    rows[50] = bad
    got = csv.rows(rows)
    lane = got.lanes["accel"]
    assert lane.gaps == [(50, 1, REASON)]
    assert len(lane.index) == 99, "the rest goes on"
    assert lane.array[50][0] == pytest.approx(51 * 0.00980665)
    assert got.source.counters.unreadable_rows == 1
    assert why in got.notes


def test_a_row_that_came_again_and_readable_is_not_missing(csv: Csv) -> None:
    rows = at([i * 10 for i in range(100)])
    rows.insert(50, "500,abc,0,0")
    got = csv.rows(rows)
    assert got.lanes["accel"].gaps == []


def test_a_damaged_digit_in_a_time_does_not_make_the_rest_late(csv: Csv) -> None:
    rows = at([i * 10 for i in range(100)])
    rows[50] = "90000500,50,0,0"
    got = csv.rows(rows)
    lane = got.lanes["accel"]
    assert not any(flags & Quality.LATE for flags in lane.quality)
    assert lane.gaps == [(50, 1, REASON)]
    assert "1 rows tell a time far from the rows on both sides" in got.notes


def test_blank_cells_mean_that_the_row_has_no_sample(csv: Csv) -> None:
    """A temperature in idle rows alone: no samples are missing while the node is busy."""
    text = ACCEL_MAP + '[streams.temperature]\ncolumns = ["c"]\nunit = "degC"\n'
    idle = [f"{i * 500},0,0,0,{20 + i}" for i in range(10)]
    busy = [f"{4600 + i * 10},0,0,0," for i in range(2000)]
    again = [f"{25000 + i * 500},0,0,0,30" for i in range(10)]
    got = csv.read(["t,x,y,z,c", *idle, *busy, *again], text)
    assert got.lanes["temperature"].gaps == []
    assert len(got.lanes["temperature"].index) == 20
    assert got.lanes["accel"].gaps == []
    assert got.source.counters.unreadable_rows == 0


def test_streams_that_take_turns_each_keep_their_own_gaps(csv: Csv) -> None:
    """Rows of acceleration and rows of temperature; ten of the latter are lost."""
    text = ACCEL_MAP + '[streams.temperature]\ncolumns = ["c"]\nunit = "degC"\n'
    rows = [(i * 10, f"{i * 10},1,2,3,") for i in range(1000)]
    rows += [(i * 100 + 5, f"{i * 100 + 5},,,,20") for i in range(100) if not 50 <= i < 60]
    got = csv.read(["t,x,y,z,c", *(row for _, row in sorted(rows))], text)
    assert got.lanes["accel"].gaps == []
    assert got.lanes["temperature"].gaps == [(50, 10, REASON)]


def test_at_a_fixed_rate_every_row_has_its_place(csv: Csv) -> None:
    rows = [f"{i},{i},{i}" for i in range(100)]
    rows[40] = "torn"
    rows[60] = "1,x,2"
    got = csv.read(["x,y,z", *rows], RATE_MAP)
    lane = got.lanes["accel"]
    assert lane.gaps == [(40, 1, REASON), (60, 1, REASON)]
    assert lane.times_ns == [i * 10_000_000 for i in lane.index]
    assert got.specs[0].rate_hz == 100.0


def test_a_torn_row_is_missing_even_where_times_are_too_uneven_to_tell(csv: Csv) -> None:
    rng = random.Random(7)
    rows = at([round(i * 19.6 + rng.uniform(-6.5, 6.5), 3) for i in range(300)])
    rows[100] = "1960,7"
    rows[200] = rows[201] = "?"
    rows[250] = "90000000,7,0,0"
    assert csv.rows(rows).lanes["accel"].gaps == [(100, 1, REASON), (200, 2, REASON), (250, 1, REASON)]


def test_every_spacing_may_differ() -> None:
    """A log of events: no rate, and so no holes; and no clock for every sample."""
    rng = np.random.default_rng(1)
    n = 60_000
    times_ns = np.cumsum(np.exp(rng.normal(0, 2, n)) * 1e6).astype(np.int64) + np.arange(n)
    timeline = lay_out(times_ns, np.zeros(n, np.int64), np.zeros(n - 1, np.bool_))
    assert timeline.uneven
    assert timeline.index.tolist() == list(range(n))
    assert len(timeline.starts) == len(timeline.period_ns) == 1


@pytest.mark.parametrize("together", [2, 5, 32])
def test_samples_stamped_by_packet_are_not_full_of_holes(csv: Csv, together: int) -> None:
    """A driver that empties a FIFO stamps its samples microseconds apart."""
    times = [packet * 10.0 * together + i * 0.05 for packet in range(100) for i in range(together)]
    got = csv.rows(at(times))
    lane = got.lanes["accel"]
    assert lane.gaps == []
    assert set(lane.period_ps) == {lane.period_ps[0]}, "one clock, not one a sample"
    assert got.specs[0].rate_hz == pytest.approx(100.0, rel=0.05)
    assert "too uneven to tell a hole" in got.notes


def test_a_poor_link_is_full_of_holes(csv: Csv) -> None:
    """Two of three packets of four lost: that is no unevenness."""
    rng = random.Random(5)
    packets = [packet for packet in range(600) if rng.random() < 1 / 3]
    times = [packet * 40 + i * 10 for packet in packets for i in range(4)]
    got = csv.rows(at(times))
    missing = sum(count for _, count, _ in got.lanes["accel"].gaps)
    assert missing == 4 * (packets[-1] - packets[0] + 1 - len(packets))


def test_samples_that_are_numbered_change_their_rate_and_lack_what_the_numbers_lack() -> None:
    """A node at 2 Hz while it rests and at 100 Hz when it is thrown, as a table of ours has it."""
    steps_ms = [500] * 36 + [10] * 2000 + [500] * 20
    times_ns = np.cumsum([0, *steps_ms]) * 1_000_000
    index = np.arange(len(times_ns))
    kept = index != 1000
    timeline = numbered(index[kept], times_ns[kept])
    assert timeline.index[timeline.starts].tolist() == [0, 36, 1001, 2037]
    assert timeline.period_ns.tolist() == [500_000_000, 10_000_000, 10_000_000, 500_000_000]
    assert np.flatnonzero(timeline.missing_before).tolist() == [1000]
    alone = numbered(np.array([7]), np.array([5]))
    assert (alone.index.tolist(), alone.starts.tolist(), len(alone.period_ns)) == ([7], [0], 1)
