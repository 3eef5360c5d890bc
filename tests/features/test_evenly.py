"""Samples are taken as they come where a clock drives them, and read off at even times where none does."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from agent.blocks import NS_PER_S, ListedClock, SiBlock
from agent.features.evenly import Evenly, Piece
from agent.features.table import F64
from agent.features.windows import Windows
from tests.features.bands import block

PERIOD_NS = 20_000_000


def pieces_of(whole: SiBlock) -> list[Piece]:
    windows, evenly, out = Windows(), Evenly(), []
    windows.feed(whole)
    for second in range(1, int(whole.times_ns[-1]) // NS_PER_S + 2):
        if (window := windows.take(second)) is not None:
            out += evenly.feed(window)
    return out


def listed(times_ns: npt.NDArray[np.floating], values: F64) -> SiBlock:
    clock = ListedClock(0, times_ns.astype(np.int64), PERIOD_NS * 1000)
    return block(values, NS_PER_S / PERIOD_NS, clock=clock)


def cubic(times_ns: F64) -> F64:
    t = times_ns / NS_PER_S / 10
    return 1 + 2 * t - 3 * t**2 + 4 * t**3


def test_a_cubic_is_read_off_exactly_whatever_the_times() -> None:
    """Across the edges of windows, too: nothing there is guessed."""
    rng = np.random.default_rng(2)
    times = np.cumsum(rng.uniform(8e6, 32e6, 500)) + 1e9
    pieces = pieces_of(listed(times, cubic(times)))
    assert [piece.fresh for piece in pieces] == [True] + [False] * (len(pieces) - 1)
    got = np.concatenate([piece.values[0] for piece in pieces])
    even = int(times[0]) + PERIOD_NS * np.arange(len(got))
    assert even[-1] > times[-4], (even[-1], times[-4])
    apart = np.abs(got - cubic(even.astype(np.float64)))[1:]  # before the first interval there is nothing
    assert apart.max() < 2e-6, (apart.max(), int(apart.argmax()))  # float32
    known = np.concatenate([piece.known_ns for piece in pieces])
    assert (known > even).all()
    assert (np.diff(known) >= 0).all()


def test_a_few_missing_samples_are_bridged_and_many_end_the_run() -> None:
    keep = np.r_[0:100, 102:200, 230:300]
    pieces = pieces_of(listed(keep * float(PERIOD_NS), keep.astype(float)))
    fresh = [i for i, piece in enumerate(pieces) if piece.fresh]
    runs = [np.concatenate([p.values[0] for p in part]) for part in (pieces[: fresh[1]], pieces[fresh[1] :])]
    np.testing.assert_allclose(runs[0], np.arange(200))
    np.testing.assert_allclose(runs[1], np.arange(230, 300))


def test_jitter_of_a_clocks_own_times_moves_no_sample() -> None:
    rng = np.random.default_rng(3)
    times = np.arange(200) * float(PERIOD_NS) + rng.uniform(-2e6, 2e6, 200) + 1e9
    values = rng.normal(size=200)
    got = np.concatenate([piece.values[0] for piece in pieces_of(listed(times, values))])
    np.testing.assert_array_equal(got, values.astype(np.float32))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_number_is_missing(bad: float) -> None:
    values = np.arange(100.0)
    values[50] = bad
    got = np.concatenate([p.values[0] for p in pieces_of(listed(np.arange(100) * float(PERIOD_NS), values))])
    np.testing.assert_allclose(got, np.arange(100))


def test_another_rate_is_another_run() -> None:
    slow = listed(np.arange(50) * float(PERIOD_NS), np.ones(50))
    times = NS_PER_S + np.arange(100, dtype=np.int64) * PERIOD_NS // 2
    fast = SiBlock("accel", 50, times, PERIOD_NS // 2, np.full((100, 1), 2.0, np.float32))
    windows, evenly = Windows(), Evenly()
    windows.feed(slow)
    windows.feed(fast)
    window = windows.take(2)
    assert window is not None
    first, second = evenly.feed(window)
    assert (first.fresh, second.fresh, evenly.rate_hz) == (True, True, 100.0)
    assert (set(first.values[0]), set(second.values[0])) == ({1.0}, {2.0})
