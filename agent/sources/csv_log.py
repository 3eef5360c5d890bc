"""CSV logs by a map: rows put in order, duplicates dropped, what is missing turned into jumps of the index.

The whole file is held as arrays: a row may come late by any time, and what is a hole shows only in the
spacings around it. An hour of 1 kHz and three axes takes some 550 MB at its peak, four times the file. Times
are the file's own: a format that tells the date gives box time = wall time, trusted; one that only counts
gives its own count, and a date never set.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from agent.blocks import Quality, RegularClock
from agent.errors import LogFileError
from agent.sources.csv_map import (
    Column,
    Order,
    StreamMap,
    load_map,
)
from agent.sources.csv_streams import (
    Rows,
    by_row,
    garbled_rows,
    pauses,
    repeated_rows,
    saturated,
    spec_of,
    states_of,
    unread_before,
    values_of,
)
from agent.sources.csv_table import BAD, BLANK, Floats, Ints, RowTable, read_table
from agent.sources.laid_out import Strand, deliver
from agent.sources.log_source import LogCounters, LogIdentity, LogItem, LogOptions
from agent.sources.log_times import (
    find_late,
    find_runaways,
    keep_order,
    lay_out,
    numbered,
    spread_ties,
)
from agent.streams import StreamSpec, table_order
from agent.timebase import TimeMark, TimeQuality

_PARSE_SHARE = 0.7  # of the work, as `progress` counts it


class CsvLog:
    """A CSV file and its map as a `LogSource`."""

    def __init__(self, path: Path, options: LogOptions) -> None:
        assert options.map_path is not None
        self._path = path
        self._options = options
        self._map = load_map(options.map_path)
        self._streams: tuple[Strand, ...] = ()
        self._row_times: Ints = np.zeros(0, np.int64)
        self._marks: list[TimeMark] = []
        self._identity: LogIdentity | None = None
        self._changed = False
        self.counters = LogCounters()
        self.notes: list[str] = []
        self.progress = 0.0

    @property
    def identity(self) -> LogIdentity:
        """Whose log it is; known once it is open."""
        assert self._identity is not None, "open() first"
        return self._identity

    def open(self) -> tuple[StreamSpec, ...]:
        """Read the file whole. Raises LogFileError, ConfigError."""
        table = self._read()
        rows = self._put_in_order(table)
        streams = []
        for name, stream_map in self._map.streams.items():
            stream = self._stream(name, stream_map, table, rows)
            if stream is None:
                self.notes.append(f"The columns of {name} are empty in every row.")
            else:
                streams.append(stream)
        if not streams:
            raise LogFileError(
                f"reading the log {self._path}",
                got="no row with a number in every column of a stream",
                expected="at least one",
                remedy="Check which columns the map names.",
            )
        by_name = {stream.spec.name: stream for stream in streams}
        specs = table_order(stream.spec for stream in streams)
        self._streams = tuple(by_name[spec.name] for spec in specs)
        self.counters.samples = sum(len(stream.times_ns) for stream in streams)
        self._tell()
        ups = [m.up_vector for m in self._map.streams.values() if m.up_vector is not None]
        said = self._map.log
        if said.sha256 is not None and said.sha256 != table.digest.hex():
            self._changed = True
            self.notes.append("The table is not the one that its map was written with: damaged, or changed.")
        boot = said.boot or hashlib.sha256(table.digest + self._map.meaning()).hexdigest()[:16]
        meta = {"format": "csv", "file": self._path.name}
        self._identity = LogIdentity(said.box, boot, ups[0] if ups else said.up, meta)
        return specs

    def close(self) -> None:
        """Nothing is held open between calls."""

    def items(self, stop: threading.Event | None = None) -> Iterator[LogItem]:
        """Deliver window by window: each stream's samples, then the word that there were no more."""
        yield from self._marks

        def on_progress(done: float) -> None:
            self.progress = _PARSE_SHARE + (1 - _PARSE_SHARE) * done

        yield from deliver(self._streams, self._row_times, self._options, stop, on_progress)
        self.progress = 1.0

    def _read(self) -> RowTable:
        def on_progress(done: float) -> None:
            self.progress = _PARSE_SHARE * done

        table = read_table(self._path, self._map, on_progress=on_progress)
        self.notes += table.notes
        self.counters.rows = len(table) + len(table.bad_after)
        self.counters.unreadable_rows = len(table.bad_after)
        return table

    def _put_in_order(self, table: RowTable) -> Rows:
        """Sort the rows by time, or let their order rule, as the map says; note where the dates begin."""
        n = len(table)
        order = slots = np.arange(n)
        late = np.zeros(n, np.bool_)
        if table.time_ns is None:
            assert self._map.time.rate_hz is not None
            # a row that cannot be read held a sample: those after it must not move up
            slots = slots + np.searchsorted(table.bad_after, slots, side="right")
            times_ns = RegularClock.of_rate(self._map.time.rate_hz).times_ns(0, int(slots[-1]) + 1)[slots]
        else:
            times_ns = self._without_runaways(table, table.time_ns)
            if self._map.time.order is Order.KEEP:
                times_ns = self._kept(times_ns)
            else:
                late = find_late(times_ns)
                self.counters.late_rows = int(late.sum())
                order = np.argsort(times_ns, kind="stable") if late.any() else order
                times_ns, late = times_ns[order], late[order]
        repeated, differ = repeated_rows(table, order, times_ns)
        self.counters.duplicate_rows = int(repeated.sum())
        if differ:
            self.notes.append(
                f"{differ:,} rows have the time of the row before and differ: all kept, spread evenly."
            )
        if self._map.time.format is not None and self._map.time.format.absolute:
            self._marks.insert(0, TimeMark(int(times_ns[0]), 0, TimeQuality.SYNCED))
        else:
            self._marks = [TimeMark(0, 0, TimeQuality.UNSET)]
        if self._map.log.marks:
            self._marks = [TimeMark(m.box_ns, m.offset_ns, m.quality) for m in self._map.log.marks]
        self._row_times = times_ns
        return Rows(order, slots, times_ns, late, repeated)

    def _without_runaways(self, table: RowTable, times_ns: Ints) -> Ints:
        """Move a row with an absurd time to where it stands in the file, and mark its cells as unreadable."""
        runaway = find_runaways(times_ns)
        if not runaway.any():
            return times_ns
        count = int(runaway.sum())
        self.counters.unreadable_rows += count
        self.notes.append(f"{count} rows tell a time far from the rows on both sides: not used.")
        times_ns = times_ns.copy()
        at = np.flatnonzero(runaway)
        times_ns[at] = times_ns[at - 1] + 1  # a time of its own: it is not the row before
        for column, states in table.states.items():
            marks = np.zeros(len(times_ns), np.uint8) if states is None else states
            marks[at] = np.where(marks[at] == BLANK, BLANK, BAD)
            table.states[column] = marks
        return times_ns

    def _kept(self, times_ns: Ints) -> Ints:
        kept_ns, places, moves = keep_order(times_ns)
        if len(places):
            self.notes.append(
                f"Time runs back at {len(places)} places: the log goes on from the row before (order = keep)."
            )
        for place, move in zip(places.tolist(), moves.tolist(), strict=True):
            self._marks.append(TimeMark(int(kept_ns[place]), -move, TimeQuality.SYNCED))
        return kept_ns

    def _stream(self, name: str, stream_map: StreamMap, table: RowTable, rows: Rows) -> Strand | None:
        absent, bad = states_of(stream_map, table)
        absent, bad = absent[rows.order], bad[rows.order]
        here = np.flatnonzero(~absent & ~bad & ~rows.repeated)
        if not len(here):
            return None
        times_ns = spread_ties(rows.times_ns[here])
        unread = unread_before(table, rows, here, absent, bad)
        self.counters.unreadable_rows += int(bad.sum())
        if partly := int((bad & ~garbled_rows(stream_map, table)[rows.order]).sum()):
            self.notes.append(f"{partly:,} rows fill only some of the columns of {name}: taken as missing.")
        if table.time_ns is None and not absent.any():
            assert self._map.time.rate_hz is not None
            clock: RegularClock | None = RegularClock.of_rate(self._map.time.rate_hz)
            timeline = by_row(rows.slots[here], self._map.time.rate_hz)
        else:
            clock = None
            index = self._told(stream_map.index, table, rows, here)
            if index is not None and len(index) and (np.diff(index) > 0).all():
                timeline = numbered(index, times_ns)
            else:
                timeline = lay_out(times_ns, unread, pauses(here, absent))
        if timeline.uneven:
            self.notes.append(f"The times of {name} are too uneven to tell a hole from them.")
        self.counters.missing_samples += int(timeline.missing_before.sum())
        quality = np.where(rows.late[here], Quality.LATE, 0).astype(np.uint8)
        quality[timeline.missing_before > 0] |= np.uint8(Quality.MISSING_BEFORE)
        # not before: laying out the times is what takes the most memory
        raw: Floats = np.stack([table.cells[c][rows.order[here]] for c in stream_map.columns], axis=1)
        quality[saturated(raw, stream_map)] |= np.uint8(Quality.SATURATED)
        told = self._told(stream_map.quality, table, rows, here)
        if told is not None:
            quality = (told & 0xFF).astype(np.uint8)
        spec = spec_of(name, stream_map, self._map, timeline)
        return Strand(spec, clock, times_ns, timeline, values_of(raw, stream_map), quality)

    @staticmethod
    def _told(column: Column | None, table: RowTable, rows: Rows, here: Ints) -> Ints | None:
        """Return what a column of whole numbers says of each sample, if there is one."""
        if column is None:
            return None
        cells = table.cells[column][rows.order[here]]
        return np.rint(np.where(np.isfinite(cells), cells, 0)).astype(np.int64)

    @property
    def damaged(self) -> bool:
        """Whether rows could not be read, or the table is not what its map was written for."""
        return self._changed or self.counters.unreadable_rows > 0

    def _tell(self) -> None:
        found = self.counters
        for count, words in (
            (found.late_rows, "rows came late and were put back in their place."),
            (found.duplicate_rows, "rows said the same twice and were dropped."),
            (found.unreadable_rows, "rows could not be read."),
            (found.missing_samples, "samples are missing."),
        ):
            if count:
                self.notes.append(f"{count:,} {words}")
