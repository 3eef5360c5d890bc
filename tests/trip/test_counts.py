"""A second of the trip is the same whenever and wherever it is made, and fits its sensors."""

from __future__ import annotations

import pickle
import random

import numpy as np
import pytest
from numpy.typing import NDArray

from firmware_bridge.virtual.streams import INT24_MAX, STREAMS
from firmware_bridge.virtual.trip import Trip


def _same(one: dict[str, NDArray[np.int32]], other: dict[str, NDArray[np.int32]]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def test_any_order_gives_the_same_counts() -> None:
    in_order = Trip(4)
    counts = [in_order.second(k) for k in range(150)]
    order = random.Random(5).sample(range(150), 60)
    jumping = Trip(4)
    differing = [k for k in order if not _same(jumping.second(k), counts[k])]
    assert not differing, f"seconds {differing} differ when made out of order"
    fresh = [k for k in (0, 21, 52, 61, 149) if not _same(Trip(4).second(k), counts[k])]
    assert not fresh, f"seconds {fresh} differ when made alone"


def test_seeds_differ() -> None:
    for name in ("accel", "load", "pressure"):
        assert not np.array_equal(Trip(1).second(26)[name], Trip(2).second(26)[name]), name
    assert Trip(1).truth(60) != Trip(2).truth(60)
    assert Trip(1).truth(60) == Trip(1).truth(60)


def test_shapes_and_widths() -> None:
    trip = Trip(1)
    for k in (0, 12, 21, 33, 52, 86_399):
        counts = trip.second(k)
        assert tuple(counts) == tuple(stream.name for stream in STREAMS)
        for stream in STREAMS:
            here = counts[stream.name]
            assert here.shape == (stream.rate_hz, len(stream.axes)), f"{stream.name}: {here.shape}"
            assert here.dtype == np.int32, f"{stream.name}: {here.dtype}"
            assert np.abs(here).max() < 2 ** (stream.sample_bits - 1), f"{stream.name}: {here.max()}"


def test_an_impact_drives_the_load_cells_into_their_stop() -> None:
    trip = Trip(1)
    drop = next(h for h in trip.truth(60) if h.kind == "drop")
    load = trip.second(int(drop.due_s + 0.025))["load"]
    assert load.max() == INT24_MAX, f"largest count {load.max()}, the converter's end is {INT24_MAX}"


def test_it_travels_to_another_process() -> None:
    trip = Trip(9, length_s=30, script="road", road_level="I")
    again = pickle.loads(pickle.dumps(trip))
    assert _same(again.second(15), trip.second(15))
    assert again.truth(60) == trip.truth(60)


def test_after_its_length_the_box_rests() -> None:
    trip = Trip(1, length_s=70)  # two legs
    assert max(h.end_s for h in trip.truth(1000)) < 120
    for k in (121, 500):
        counts = trip.second(k)
        assert counts["accel"][:, 2].std() < 10, f"second {k}: {counts['accel'][:, 2].std()} counts"
    stood = trip.second(119)["load"].mean(axis=0)
    for k in (121, 190, 500):
        moved = np.abs(trip.second(k)["load"].mean(axis=0) - stood).max()
        assert moved < 500, f"second {k}: the load moved by itself, a cell by {moved:.0f} counts"


def test_nothing_before_the_start() -> None:
    with pytest.raises(ValueError, match="second -1 of a trip"):
        Trip(1).second(-1)
    with pytest.raises(ValueError, match="seed -3"):
        Trip(-3)
