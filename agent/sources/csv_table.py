"""The text of a CSV log to columns of numbers: fast where a piece of it is clean, row by row where not.

A file is read in pieces of a few MiB. Where every row of a piece has its columns and every cell is a
number, numpy's own parser reads it; otherwise the piece is read cell by cell, and what cannot be read
is marked, counted and told with its line. What is kept is eight bytes a cell, for the whole file.
"""

from __future__ import annotations

import csv
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from agent.errors import ConfigError, LogFileError, did_you_mean
from agent.sources.csv_map import Column, CsvForm, CsvMap
from agent.sources.csv_text import NO_ROW, CsvText, is_too_long
from agent.sources.csv_times import parse_times

LARGEST = 1e15  # no sensor gives more, and the squares of less fit into a 32-bit float
EXAMPLES = 5  # so many unreadable lines are quoted; the rest are counted
GOOD, BLANK, BAD = 0, 1, 2
_DELIMITERS = (",", ";", "\t", "|", " ")

Floats = npt.NDArray[np.float64]
States = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]


@dataclass(slots=True)
class RowTable:
    """The rows that could be read, in the order of the file.

    ``time_ns``: (rows,) int64, None where the map gives a rate. ``cells``: a float64 array a column that
    the map uses; ``states``: GOOD, BLANK or BAD for each, None where all are good. ``bad_after``: for
    each row that could not be read at all, how many rows that could stand before it.
    """

    columns: tuple[Column, ...]
    time_ns: Ints | None
    cells: dict[Column, Floats]
    states: dict[Column, States | None]
    bad_after: Ints
    digest: bytes
    size_bytes: int
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(next(iter(self.cells.values())))


def read_table(
    path: Path,
    csv_map: CsvMap,
    *,
    on_progress: Callable[[float], None] = lambda _: None,
    stop: threading.Event | None = None,
) -> RowTable:
    """Read all of `path`. Raises LogFileError, or ConfigError where the map names a column it has not."""
    return _Reader(path, csv_map, on_progress, stop).read()


class _Reader:
    def __init__(
        self, path: Path, csv_map: CsvMap, on_progress: Callable[[float], None], stop: threading.Event | None
    ) -> None:
        self._path = path
        self._map = csv_map
        self._form: CsvForm = csv_map.csv
        self._on_progress = on_progress
        self._stop = stop
        self._split_at = None if self._form.delimiter == " " else self._form.delimiter
        self._text = CsvText(path)
        self._line = 0  # lines of the file before the piece
        self._rows = 0
        self._bad_after: list[int] = []
        self._examples: list[str] = []
        self._naive_times = False
        self._width = 0
        self._positions: dict[Column, int] = {}

    @property
    def _doing(self) -> str:
        return f"reading the log {self._path}"

    def read(self) -> RowTable:
        """Read the file piece by piece."""
        size_bytes = self._path.stat().st_size
        wanted = [c for stream in self._map.streams.values() for c in stream.all_columns]
        columns = tuple(dict.fromkeys(wanted))
        pieces: list[tuple[Ints | None, list[tuple[Floats, States | None]]]] = []
        done_bytes = 0
        for text, bytes_read, last in self._text.pieces():
            lines = text.split("\n")
            if not lines[-1]:
                lines.pop()
            if lines and not self._width:
                lines = self._take_header(lines, columns)
            torn = last and not text.endswith("\n") and self._is_torn(lines)
            if torn:
                lines.pop()
            if any(line and not line.isspace() for line in lines):
                pieces.append(self._parse(lines, columns))
                self._rows += len(pieces[-1][1][0][0])
            else:
                self._line += len(lines)
            if torn:
                self._bad_row(self._line + 1, "the last line has no end, and may be cut short", 0)
            done_bytes += bytes_read
            self._on_progress(done_bytes / max(1, size_bytes))
            if self._stop is not None and self._stop.is_set():
                break
        if not self._rows:
            raise self._nothing(size_bytes)
        times = [t for t, _ in pieces if t is not None]
        cells: dict[Column, Floats] = {}
        states: dict[Column, States | None] = {}
        for column in columns:
            # each piece of a column goes as soon as the column is whole: never twice the table
            parts = [part.pop(0) for _, part in pieces]
            cells[column] = np.concatenate([numbers for numbers, _ in parts])
            states[column] = None
            if any(marks is not None for _, marks in parts):
                filled = [
                    np.zeros(len(numbers), np.uint8) if marks is None else marks for numbers, marks in parts
                ]
                states[column] = np.concatenate(filled)
        return RowTable(
            columns,
            np.concatenate(times) if times else None,
            cells,
            states,
            np.array(self._bad_after, dtype=np.int64),
            self._text.digest.digest(),
            size_bytes,
            self._notes(),
        )

    def _take_header(self, lines: list[str], columns: Sequence[Column]) -> list[str]:
        """Find out how wide the table is and where the columns are; return the lines after the header."""
        form = self._form
        body = lines[form.skip_rows :]
        taken = min(len(lines), form.skip_rows)
        while body and (not body[0].strip() or (form.comment and body[0].startswith(form.comment))):
            body = body[1:]
            taken += 1
        self._line += taken
        if not body:
            return []
        self._text.check_first(body[0])
        first = [cell.strip() for cell in self._cells(body[0])]
        self._width = len(first)
        names: list[Column] = list(first) if form.header else list(range(len(first)))
        for column in (*columns, *([self._map.time.column] if self._map.time.column is not None else [])):
            self._positions[column] = self._position(column, names, body[0])
        if form.header:
            self._line += 1
            body = body[1:]
        return body

    def _position(self, column: Column, names: list[Column], row: str) -> int:
        if column in names:
            return names.index(column)
        if isinstance(column, int) and 0 <= column < len(names):
            return column
        words = [str(name) for name in names]
        other = next((d for d in _DELIMITERS if column in row.split(d)), None)
        hint = "Correct the map."
        if other is not None and other != self._form.delimiter:
            hint = f"The row looks separated by {other!r}: set delimiter in [csv]."
        elif any(_is_number(word) for word in words):
            hint = (
                "The row looks like data: set skip_rows, or header = false and number the columns, in [csv]."
            )
        shown = ", ".join(words[:20]) + (", …" if len(words) > 20 else "")
        raise ConfigError(
            f"fitting the map to {self._path}",
            got=f"a map that names a column {column!r}{did_you_mean(str(column), words)}",
            expected=f"one of the {len(words)} columns in line {self._line + 1}: {shown}",
            remedy=hint,
        )

    def _is_torn(self, lines: list[str]) -> bool:
        """Whether a last line without a line end must be left out: its last cell counts, or is not there."""
        if not lines or not lines[-1].strip():
            return False
        return len(self._cells(lines[-1])) != self._width or self._width - 1 in self._positions.values()

    def _cells(self, line: str) -> list[str]:
        if is_too_long(line):
            return [NO_ROW]
        if '"' in line:
            return next(csv.reader([line], delimiter=self._form.delimiter, skipinitialspace=True), [])
        return line.split(self._split_at)

    def _bad_row(self, line: int, why: str, rows_before: int) -> None:
        self._bad_after.append(self._rows + rows_before)
        if len(self._examples) < EXAMPLES:
            self._examples.append(f"line {line}: {why}")

    def _parse(
        self, lines: list[str], columns: Sequence[Column]
    ) -> tuple[Ints | None, list[tuple[Floats, States | None]]]:
        parsed = self._parse_clean(lines, columns)
        if parsed is None:
            parsed = self._parse_rows(lines, columns)
        self._line += len(lines)
        return parsed

    def _parse_clean(
        self, lines: list[str], columns: Sequence[Column]
    ) -> tuple[Ints | None, list[tuple[Floats, States | None]]] | None:
        """Let numpy read a piece where nothing is wrong; None where something is."""
        form, split_at = self._form, self._split_at
        if form.comment or form.decimal != ".":
            return None
        if split_at is None:
            if {len(line.split()) for line in lines} != {self._width}:
                return None
        elif {line.count(split_at) for line in lines} != {self._width - 1}:
            return None
        where = [self._positions[c] for c in columns]
        try:
            numbers: Floats = np.loadtxt(
                lines, delimiter=split_at, usecols=where, comments=None, ndmin=2, dtype=np.float64
            )
        except (ValueError, IndexError):
            return None
        if len(numbers) != len(lines) or not (np.abs(numbers) < LARGEST).all():
            return None
        times: Ints | None = None
        if self._map.time.column is not None:
            at = self._positions[self._map.time.column]
            # a split that stops behind the column is cheaper than one of the whole row
            texts = [line.split(split_at, at + 1)[at] for line in lines]
            times, bad = self._times(texts)
            if bad is not None:
                return None
        return times, [(np.ascontiguousarray(numbers[:, i]), None) for i in range(len(columns))]

    def _parse_rows(
        self, lines: list[str], columns: Sequence[Column]
    ) -> tuple[Ints | None, list[tuple[Floats, States | None]]]:
        """Read cell by cell; mark, count and note what cannot be read."""
        form = self._form
        rows: list[list[str]] = []
        numbers: list[int] = []
        bad_rows: list[tuple[int, str, int]] = []
        for i, line in enumerate(lines, self._line + 1):
            if not line.strip() or (form.comment and line.startswith(form.comment)):
                continue
            cells = self._cells(line)
            extra = cells[self._width :]
            if len(cells) < self._width or any(cell.strip() for cell in extra):
                bad_rows.append((i, f"{len(cells)} columns, expected {self._width}", len(rows)))
            else:
                rows.append(cells)
                numbers.append(i)
        times: Ints | None = None
        if self._map.time.column is not None and rows:
            at = self._positions[self._map.time.column]
            times, bad = self._times([row[at] for row in rows])
            if bad is not None:
                keep = np.flatnonzero(~bad)
                before = np.cumsum(~bad)
                place = np.concatenate(([0], before))
                bad_rows = [(line, why, int(place[n])) for line, why, n in bad_rows]
                for i in np.flatnonzero(bad).tolist():
                    bad_rows.append((numbers[i], f"a time {rows[i][at]!r}", int(before[i])))
                rows, numbers = [rows[i] for i in keep], [numbers[i] for i in keep]
                times = times[keep]
        for line_number, why, rows_before in sorted(bad_rows):
            self._bad_row(line_number, why, rows_before)
        return times, [self._column([row[self._positions[c]] for row in rows], c, numbers) for c in columns]

    def _column(self, texts: list[str], column: Column, lines: list[int]) -> tuple[Floats, States | None]:
        if self._form.decimal != ".":
            texts = [text.replace(self._form.decimal, ".") for text in texts]
        try:
            values = np.fromiter(map(float, texts), np.float64, len(texts))
            states = np.zeros(len(texts), np.uint8)
        except ValueError:
            values = np.full(len(texts), np.nan)
            states = np.full(len(texts), BAD, np.uint8)
            for i, text in enumerate(texts):
                if not text or text.isspace():
                    states[i] = BLANK
                    continue
                try:
                    values[i] = float(text)
                    states[i] = GOOD
                except ValueError:
                    pass
        states[(states == GOOD) & ~(np.abs(values) < LARGEST)] = BAD
        for i in np.flatnonzero(states == BAD)[:EXAMPLES].tolist():
            if len(self._examples) < EXAMPLES:
                self._examples.append(f"line {lines[i]}: {column} is {texts[i]!r}")
        return values, states if states.any() else None

    def _times(self, texts: list[str]) -> tuple[Ints, npt.NDArray[np.bool_] | None]:
        assert self._map.time.format is not None
        if '"' in texts[0]:
            texts = [text.strip().strip('"') for text in texts]
        times, bad, naive = parse_times(texts, self._map.time.format, self._form.decimal)
        self._naive_times |= naive
        return times, bad

    def _notes(self) -> list[str]:
        notes = []
        if self._naive_times:
            notes.append("The times say no time zone: taken as UTC.")
        if self._examples:
            notes.append("Could not be read, and is missing: " + "; ".join(self._examples) + ".")
        return notes

    def _nothing(self, size_bytes: int) -> LogFileError:
        got = "an empty file" if not size_bytes else "no row that can be read"
        if self._width and not self._bad_after:
            got = "a header and no rows"
        return LogFileError(
            self._doing,
            got=got + (f" ({'; '.join(self._examples[:2])})" if self._examples else ""),
            expected="rows of numbers under a header" if self._form.header else "rows of numbers",
            remedy="Check that the file was copied whole, and skip_rows and delimiter in [csv] of the map.",
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
