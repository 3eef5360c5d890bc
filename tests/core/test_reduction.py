"""Reduction: every window is told once, when it is over; no hour breaks the promise; what waits is small."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.features.table import Layout, Merge, Table
from agent.reduction import COARSER, HOUR_S, MOST_HELD_ROWS, Batches, Reduction, UploadSettings

HEAD_BYTES = 200
ROW_BYTES = 60
F64 = npt.NDArray[np.float64]
LAYOUT = Layout({"seconds": (Merge.SUM, 1)})


@dataclass(frozen=True)
class Draft:
    at: list[int]
    seconds: list[float]
    span: int

    @property
    def published_bytes(self) -> int:
        return HEAD_BYTES + ROW_BYTES * len(self.at)

    @property
    def end(self) -> int:
        return self.at[-1] + self.span


def draft(rows: Table, span: int) -> Draft:
    return Draft(rows.index.tolist(), rows["seconds"][:, 0].tolist(), span)


class UnderTest:
    """A reduction that is fed second by second; `spent` and `raw` hold what happened in each."""

    def __init__(self, **given: float) -> None:
        self.settings = UploadSettings(**given)  # type: ignore[arg-type]
        self.reduction = Reduction(self.settings, draft=draft, join=Table.joined)
        self._batches = Batches(self.settings.batch_s, Table.joined)
        self.raw: dict[int, float] = {}
        self.told: list[tuple[int, Draft]] = []

    def _earned(self, rows: Table) -> F64:
        return np.array([self.raw[k] for k in rows.index.tolist()])

    def second(self, k: int, raw_bytes: float) -> list[Draft]:
        """Second `k` is over, and brought so much; None of it: nothing was sampled."""
        if raw_bytes:
            self.raw[k] = raw_bytes
            rows = LAYOUT.empty(np.array([k]))
            rows["seconds"][:] = 1.0
            self._batches.add(rows)
        found = [
            one
            for end, rows in self._batches.take(k + 1)
            if (one := self.reduction.add(rows, self._earned(rows), end)) is not None
        ]
        self.told += [(k + 1, one) for one in found]
        return found

    def finish(self) -> list[Draft]:
        rest = self._batches.rest()
        earned = self._earned(rest[1]) if rest is not None else np.empty(0)
        now = max(self.raw, default=0) + 1
        found = list(self.reduction.finish(rest, earned))
        self.told += [(now, one) for one in found]
        return found


@settings(max_examples=25, deadline=None)
@given(earned_bytes=st.floats(1, 1200), seconds=st.integers(1, 2000), batch_s=st.sampled_from([1, 4, 10, 60]))
def test_every_second_is_told_once_and_no_window_before_it_is_over(
    earned_bytes: float, seconds: int, batch_s: int
) -> None:
    under_test, told_s = UnderTest(batch_s=batch_s), 0.0
    for now in range(seconds):
        under_test.second(now, earned_bytes)
    under_test.finish()
    for now, one in under_test.told:
        assert one.end <= now, f"{one} was told at {now}"
        assert set(one.seconds[1:]) <= {one.span}, one
        assert told_s + sum(one.seconds) == one.end, f"{one} after {told_s} s"
        told_s = one.end
    cost = sum(one.published_bytes for _, one in under_test.told)
    assert cost <= 0.2 * earned_bytes * seconds, f"{cost} bytes of {earned_bytes * seconds}"


def hours(raw: Sequence[float], spent: Sequence[float] | F64) -> tuple[F64, F64]:
    """Return of the hour up to the end of each second: what was taken, and what was published."""
    begin = np.maximum(0, np.arange(1, len(raw) + 1) - HOUR_S)
    totals = (np.cumsum([0.0, *column]) for column in (raw, spent))
    taken, out = (total[1:] - total[begin] for total in totals)
    return taken, out


@st.composite
def rides(draw: st.DrawFn) -> tuple[list[float], dict[int, int]]:
    """Raw bytes a second, in stretches of any length and rate, pauses too; and bursts of events in them."""
    rates = st.sampled_from([0, 30, 200, 1800, 7100])
    stretches = draw(st.lists(st.tuples(st.integers(20, 2500), rates), min_size=1, max_size=5))
    raw = [float(rate) for length, rate in stretches for _ in range(length)]
    bursts = draw(st.dictionaries(st.integers(0, len(raw) - 1), st.integers(200, 200_000), max_size=12))
    return raw, bursts


@settings(max_examples=30, deadline=None)
@given(ride=rides(), batch_s=st.sampled_from([10, 60]), reserve=st.sampled_from([0.1, 0.2, 0.5]))
def test_no_hour_breaks_the_promise(
    ride: tuple[list[float], dict[int, int]], batch_s: int, reserve: float
) -> None:
    """Whatever comes, as long as the events by themselves fit into what is kept for them."""
    raw, bursts = ride
    events = np.zeros(len(raw))
    for k, size in sorted(bursts.items()):
        begin = max(0, k + 1 - HOUR_S)
        if size <= 0.2 * reserve * sum(raw[begin:k]) - events[begin:k].sum():
            events[k] = size
    under_test = UnderTest(batch_s=batch_s, reserve=reserve)
    told = np.zeros(len(raw) + 1)
    for k, raw_bytes in enumerate(raw):
        if events[k]:
            under_test.reduction.spend(int(events[k]), k)
        told[k] += sum(one.published_bytes for one in under_test.second(k, raw_bytes))
    taken, out = hours(raw, events + told[:-1])
    # of events that fitted when they came, the hour may have moved on since: that no feature can help
    allowed = np.maximum(0.2 * taken, hours(raw, events)[1])
    # an hour that begins right before a record may hold little of what had paid for it and for the next one
    dearest = 2 * max((one.published_bytes for _, one in under_test.told), default=0)
    judged = (told[:-1] > 0) | (0.2 * reserve * taken >= dearest) | (np.arange(len(raw)) < HOUR_S)
    worst = np.argmax(np.where(judged, out - allowed, -np.inf))
    said = f"{out[worst]:.0f} bytes of {taken[worst]:.0f} in the hour to {worst + 1} s"
    assert out[worst] <= allowed[worst] + 1e-6, said


def test_a_quiet_hour_makes_the_next_one_no_dearer() -> None:
    """Two hours of next to nothing told; then a backlog may not take more than its own hour allows."""
    under_test = UnderTest()
    raw, out = [], []
    for k in range(3 * HOUR_S):
        if k < 2 * HOUR_S and k % 10 == 0:
            under_test.reduction.spend(900, k)  # half of the raw bytes: features have to wait
            spent = 900.0
        else:
            spent = 0.0
        raw.append(180.0)
        out.append(spent + sum(one.published_bytes for one in under_test.second(k, 180.0)))
    taken, gone = hours(raw, out)
    most = float((gone / taken)[-600:].max())
    assert most <= 0.2, f"{most:.4f}"
    assert any(now > 2 * HOUR_S for now, _ in under_test.told), "never told again"


def test_when_sensors_slow_down_features_do_at_once() -> None:
    """What a fast hour left over does not pay for the slow one that follows."""
    under_test = UnderTest()
    for k in range(1200):
        under_test.second(k, 7100.0 if k < 600 else 300.0)
    fast = [one for now, one in under_test.told if now <= 600]
    slow = [one for now, one in under_test.told if now > 600]
    assert {one.span for one in fast} == {1}
    cost, raw = sum(one.published_bytes for one in slow), 300.0 * 600
    assert slow and cost <= 0.2 * raw, f"{cost} bytes of {raw:.0f}"


def test_features_leave_a_part_of_the_budget_to_events() -> None:
    under_test = UnderTest(reserve=0.5)
    for k in range(600):
        under_test.second(k, 700.0)
    cost = sum(one.published_bytes for _, one in under_test.told)
    assert 0 < cost <= 0.1 * 700 * 600, f"{cost} bytes of {700 * 600}"


def test_what_events_overspend_features_pay_back() -> None:
    plain, busy = UnderTest(), UnderTest()
    busy.reduction.spend(60_000, 0)
    for k in range(HOUR_S):
        plain.second(k, 400.0)
        busy.second(k, 400.0)
    cost = [sum(one.published_bytes for _, one in each.told) for each in (plain, busy)]
    assert cost[1] + 60_000 <= 0.2 * 400 * HOUR_S, f"{cost}"
    late = busy.told[0][0]
    assert late > 60_000 / 80, f"told after {late} s already"


def test_a_short_log_keeps_it_from_the_first_batch_on() -> None:
    for rate in (20.0, 200.0, 700.0, 7000.0):
        under_test, spent = UnderTest(), 0.0
        for k in range(120):
            spent += sum(one.published_bytes for one in under_test.second(k, rate))
            assert spent <= 0.2 * rate * (k + 1), f"{spent} bytes after {k + 1} s of {rate} bytes a second"
        spent += sum(one.published_bytes for one in under_test.finish())
        assert spent <= 0.2 * rate * 120
        assert spent or rate < 50, f"nothing was told at {rate} bytes a second"


def test_the_last_part_of_a_second_is_told_when_the_log_ends() -> None:
    under_test = UnderTest()
    for k in range(20):
        under_test.second(k, 700.0)
    under_test.second(20, 30.0)
    assert [one.at for one in under_test.finish()] == [[20]]


def test_rows_that_wait_for_days_stay_few() -> None:
    under_test = UnderTest()
    most = 0
    for k in range(0, 40 * COARSER[-1], 600):
        under_test.second(k, 0.01)
        most = max(most, under_test.reduction.withheld_rows)
    assert MOST_HELD_ROWS / 2 < most <= MOST_HELD_ROWS + 60, f"{most} rows were held"


def test_what_waited_is_told_in_full_once_there_is_room() -> None:
    under_test = UnderTest()
    under_test.reduction.spend(10**6, 0)
    for k in range(3000):
        assert not under_test.second(k, 1000.0)
    for k in range(3000, 7000):
        under_test.second(k, 1000.0)
    under_test.finish()
    assert sum(sum(one.seconds) for _, one in under_test.told) == 7000


def test_a_slow_log_with_a_handful_of_events_is_told_whole() -> None:
    """4 B/s, as of a temperature and a humidity: what events took of their part is not kept twice."""
    under_test, out = UnderTest(), np.zeros(9001)
    bursts = {5367: 400, 5967: 150, 6147: 400, 6704: 150, 8187: 150, 8509: 400, 8960: 150}
    for k in range(9000):
        if k in bursts:
            under_test.reduction.spend(bursts[k], k)
            out[k] += bursts[k]
        out[k] += sum(one.published_bytes for one in under_test.second(k, 4.0))
    out[8999] += sum(one.published_bytes for one in under_test.finish())
    told_s = sum(sum(one.seconds) for _, one in under_test.told)
    assert told_s == 9000, f"{told_s} s of 9000 were told"
    taken, gone = hours([4.0] * 9000, out[:9000])
    assert (gone <= 0.2 * taken).all(), f"{float((gone / taken).max()):.4f}"


def test_rows_that_waited_for_long_take_what_events_left_of_their_part() -> None:
    """An hour's budget of 2880 bytes: events took 1700 of it, more than the half that is kept for them."""
    under_test = UnderTest()
    for k in range(3600):
        under_test.second(k, 4.0)
    for k in range(3600, 9000):
        if k % 1200 == 0:
            under_test.reduction.spend(567, k)
        under_test.second(k, 4.0)
    ends = [0, *(one.end for _, one in under_test.told), 9000]
    waits = np.diff(ends)
    assert waits.max() <= 2400, f"{waits.tolist()} s from one record to the next"


def test_a_log_that_ends_keeps_nothing_for_events() -> None:
    under_test = UnderTest()
    under_test.reduction.spend(380, 0)
    for k in range(600):
        assert not under_test.second(k, 6.0)
    assert sum(sum(one.seconds) for one in under_test.finish()) == 600


def test_a_record_that_fits_is_tried_whatever_the_last_one_cost() -> None:
    """A dear head, of a spectrum, say, counts once in a record: few rows tell nothing of what many cost."""
    spectrum_bytes = 4000

    class Dear(Draft):
        @property
        def published_bytes(self) -> int:
            return spectrum_bytes + 10 * len(self.at)

    reduction = Reduction(
        UploadSettings(),
        draft=lambda rows, span: Dear(rows.index.tolist(), rows["seconds"][:, 0].tolist(), span),
        join=Table.joined,
    )
    told = []
    for end in range(10, 601, 10):
        rows = LAYOUT.empty(np.arange(end - 10, end))
        rows["seconds"][:] = 1.0
        told.append(reduction.add(rows, np.full(10, 700.0), end))
    assert any(one is not None and one.span == 1 for one in told), "all was merged"


def test_what_is_left_of_the_hour_tells_the_end_of_a_log() -> None:
    """What a quiet time saved is of no use to a later hour, for there is none."""
    under_test = UnderTest()
    for k in range(HOUR_S):
        under_test.second(k, 20.0)
    under_test.second(HOUR_S, 1.0)
    under_test.finish()
    assert sum(sum(one.seconds) for _, one in under_test.told) == HOUR_S + 1
    assert sum(one.published_bytes for _, one in under_test.told) <= 0.2 * 20 * HOUR_S
