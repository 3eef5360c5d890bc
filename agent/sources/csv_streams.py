"""From the rows of a CSV log to the samples of its streams: which rows have one, its value, its quality."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agent.blocks import NS_PER_S
from agent.sources.csv_map import CONVERSIONS, DEFAULT_SAMPLE_BITS, CsvMap, MapUnit, StreamMap, unit_of
from agent.sources.csv_table import BAD, BLANK, Floats, Ints, RowTable
from agent.sources.log_times import COARSE_SHARE, Bools, Timeline
from agent.streams import TABLE, StreamSpec


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows in the order of their times: (n,) each. `order` is their place in the file."""

    order: Ints
    slots: Ints
    """Their place in a file at a fixed rate, the rows that could not be read counted."""
    times_ns: Ints
    late: Bools
    repeated: Bools
    """Whether it says again what the row before said."""


def states_of(stream_map: StreamMap, table: RowTable) -> tuple[Bools, Bools]:
    """Return in which rows the stream has no sample, and in which it has one that cannot be read."""
    n = len(table)
    good, blank = np.ones(n, np.bool_), np.ones(n, np.bool_)
    for column in stream_map.columns:
        states = table.states[column]
        good &= True if states is None else states == 0
        blank &= False if states is None else states == BLANK
    return blank, ~good & ~blank


def garbled_rows(stream_map: StreamMap, table: RowTable) -> Bools:
    """Return which rows hold what is no number in a column of the stream."""
    garbled = np.zeros(len(table), np.bool_)
    for column in stream_map.columns:
        states = table.states[column]
        garbled |= False if states is None else states == BAD
    return garbled


def repeated_rows(table: RowTable, order: Ints, times_ns: Ints) -> tuple[Bools, int]:
    """Return which rows say again what the one before said, and how many share a time and differ.

    A cell left blank contradicts nothing. Where many rows share a time and differ, the times are coarse
    and a sensor at rest may well repeat itself: no row is then called repeated.
    """
    repeated = np.zeros(len(order), np.bool_)
    tied = np.flatnonzero(times_ns[1:] == times_ns[:-1]) + 1
    if not len(tied):
        return repeated, 0
    same = np.ones(len(tied), np.bool_)
    row, before = order[tied], order[tied - 1]
    for column in table.columns:
        cells, states = table.cells[column], table.states[column]
        equal = cells[row] == cells[before]
        if states is not None:
            equal = np.where(states[row] == BLANK, True, equal & (states[row] == states[before]))
        same &= equal
    differ = len(tied) - int(same.sum())
    if differ <= COARSE_SHARE * len(order):
        repeated[tied[same]] = True
    return repeated, differ


def unread_before(table: RowTable, rows: Rows, here: Ints, absent: Bools, bad: Bools) -> Ints:
    """Return how many samples right before each were in the file and could not be read: (n,) int64.

    `here`: positions, in the order of time, of the rows with a sample; `absent`, `bad`: (rows,).
    """
    unread = np.zeros(len(here) + 1, np.int64)
    lost = np.flatnonzero(bad)
    if len(lost):
        # a sample that came twice and was readable once is not missing
        lost = lost[~np.isin(rows.times_ns[lost], rows.times_ns[here])]
        np.add.at(unread, np.searchsorted(here, lost), 1)
    if len(table.bad_after):
        place = np.empty(len(table), np.int64)  # of each row of the file in the order of time
        place[rows.order] = np.arange(len(table))
        before = place[np.maximum(table.bad_after - 1, 0)]
        after = place[np.minimum(table.bad_after, len(table) - 1)]
        at = np.where(table.bad_after == 0, 0, np.searchsorted(here, before, side="right"))
        # a row of which nothing is known held a sample of this stream if those on both sides do
        np.add.at(unread, at[~absent[before] & ~absent[after]], 1)
    return unread[:-1]


def pauses(here: Ints, absent: Bools) -> Bools:
    """Return the spacings in which rows leave the stream out that usually is in every row: no gap."""
    left_out = np.diff(np.cumsum(absent)[here])
    if len(left_out) and np.median(left_out) == 0:
        paused: Bools = left_out > 0
        return paused
    return np.zeros(len(left_out), np.bool_)


def by_row(slots: Ints, rate_hz: float) -> Timeline:
    """Lay out a stream that has a sample in every row, at a fixed rate; `slots`: their rows, (n,)."""
    missing = np.diff(slots, prepend=-1) - 1
    starts = np.unique(np.append(0, np.flatnonzero(missing)))
    return Timeline(slots, missing, starts, np.full(len(starts), round(NS_PER_S / rate_hz)))


def saturated(raw: Floats, stream_map: StreamMap) -> Bools:
    """Return which samples touch the end of the scale on any axis: (n,) bool.

    A count in two's complement ends one step short of the full scale on the positive side.
    """
    if stream_map.full_scale is None:
        return np.zeros(len(raw), np.bool_)
    step = 1.0 if (raw == np.rint(raw)).all() else 0.0
    beyond = (raw <= -stream_map.full_scale) | (raw >= stream_map.full_scale - step)
    return np.asarray(beyond.any(axis=1), np.bool_)


def values_of(raw: Floats, stream_map: StreamMap) -> npt.NDArray[np.generic]:
    """Return what flows: counts as integers where they are, everything else as float32 in SI units."""
    if stream_map.unit is not MapUnit.COUNT:
        _, factor, offset = CONVERSIONS[stream_map.unit]
        return ((raw - offset) * factor).astype(stream_map.dtype or np.float32)
    counts = raw - stream_map.zero
    if stream_map.dtype is not None:
        whole = np.dtype(stream_map.dtype).kind == "i"
        return (np.rint(counts) if whole else counts).astype(stream_map.dtype)
    if (counts == np.rint(counts)).all() and np.abs(counts).max() < 1 << 31:
        return counts.astype(np.int32)
    return counts


def spec_of(name: str, stream_map: StreamMap, csv_map: CsvMap, timeline: Timeline) -> StreamSpec:
    """Return the stream as the table has it, with what the map says and what the times show."""
    known = TABLE.get(name)
    kind = stream_map.kind or (known.kind if known else None)
    axes = stream_map.axes or (known.axes if known else None)
    assert kind is not None and axes is not None  # the map was checked
    if stream_map.unit is MapUnit.COUNT:
        factor = stream_map.scale or 1.0
        scale = factor
    else:
        factor, scale = CONVERSIONS[stream_map.unit][1], 1.0
    return StreamSpec(
        name=name,
        axes=axes,
        unit=unit_of(name, stream_map),
        rate_hz=stream_map.rate_hz or csv_map.time.rate_hz or NS_PER_S / timeline.usual_period_ns,
        sample_bits=stream_map.sample_bits or (known.sample_bits if known else DEFAULT_SAMPLE_BITS),
        kind=kind,
        scale=scale,
        offset=stream_map.offset,
        watch=stream_map.watch,
        summarise=stream_map.summarise,
        sensor=stream_map.sensor,
        full_scale=None if stream_map.full_scale is None else stream_map.full_scale * factor,
    )
