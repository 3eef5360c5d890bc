"""Writes what a source gives to a CSV table and its map, from which `CsvLog` reads it back bit for bit.

One row an instant, one column an axis, and two more a stream: its index and its flags. The map stands
beside the table, with the suffix .toml, and tells what a table has no place for. Rows are put in order
of time as far as streams run apart by `HOLD_NS`; the reader sorts the rest.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from agent.blocks import NS_PER_S, Block, SensorFault, Silence
from agent.errors import LogFileError, UsageError
from agent.log_info import LogInfo
from agent.streams import StreamSpec
from agent.timebase import TimeMark, TimeQuality

HOLD_NS = 30 * NS_PER_S
BIGGEST = 1e15
"""As the reader has it: a larger number is taken as unreadable."""


class CsvRecorder:
    """One table. Call `write` for each item of a source, `close` at the end; or use it in a ``with``."""

    def __init__(self, path: str | Path, info: LogInfo) -> None:
        """Begin the table. Raises UsageError if there is one already, LogFileError if it cannot be made."""
        self.path = Path(path)
        self.map_path = map_path_of(self.path)
        self._specs = {spec.name: spec for spec in info.streams}
        self._place: dict[str, int] = {}
        self._dtypes: dict[str, str] = {}
        columns = ["time_ns"]
        for spec in info.streams:
            self._place[spec.name] = len(columns)
            columns += columns_of(spec)
        self._width = len(columns)
        self._info = info
        self._marks: list[TimeMark] = []
        self._rows: dict[int, list[str]] = {}
        self._newest_ns = -(1 << 62)
        self._digest = hashlib.sha256()
        self.not_finite = 0
        self._closed = False
        for taken in (self.path, self.map_path):
            if taken.exists():
                raise UsageError(
                    self._doing,
                    got=f"a file {taken.name}",
                    expected="a name that is free, for the table and for its map",
                    remedy="Choose another name, or move that one away.",
                )
        try:
            self._file: BinaryIO = self.path.open("xb")
        except OSError as error:
            raise self._failed(error) from error
        self._put(",".join(columns) + "\n")

    @property
    def _doing(self) -> str:
        return f"writing the table {self.path}"

    def __enter__(self) -> CsvRecorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, item: Block | Silence | SensorFault | TimeMark) -> None:
        """Take one item; silences and faults have no place in a table. Raises LogFileError."""
        if isinstance(item, TimeMark):
            if item not in self._marks:
                self._marks.append(item)
        elif isinstance(item, Block):
            self._add(item)

    def close(self) -> None:
        """End the table and write its map; a second call does nothing. Raises LogFileError."""
        if self._closed:
            return
        self._closed = True
        self._flush(1 << 62)
        try:
            self._file.close()
            self.map_path.write_text(self._map(), encoding="utf-8")
        except OSError as error:
            raise self._failed(error) from error

    def _add(self, block: Block) -> None:
        spec, at = self._specs[block.stream], self._place[block.stream]
        axes = len(spec.axes)
        self._dtypes.setdefault(block.stream, block.values.dtype.name)
        texts = _texts(block.values)
        bad: npt.NDArray[np.bool_] = np.asarray(
            ~np.isfinite(block.values.astype(np.float64)).all(axis=1), np.bool_
        )
        self.not_finite += int(bad.sum())
        quality = [0] * len(block) if block.quality is None else block.quality.tolist()
        numbers = range(block.first, block.end)
        for time_ns, cells, number, flags, lost in zip(
            block.times_ns().tolist(), texts, numbers, quality, bad.tolist(), strict=True
        ):
            if lost:
                continue
            row = self._rows.get(time_ns)
            if row is None or row[at]:
                self._spill(time_ns, row)
                row = self._rows[time_ns] = [""] * self._width
            row[at : at + axes + 2] = [*cells, str(number), str(flags)]
        self._newest_ns = max(self._newest_ns, block.last_ns)
        if self._rows and min(next(iter(self._rows)), block.start_ns) < self._newest_ns - 2 * HOLD_NS:
            self._flush(self._newest_ns - HOLD_NS)

    def _spill(self, time_ns: int, row: list[str] | None) -> None:
        if row is not None:
            self._put(f"{time_ns}{','.join(row)}\n")

    def _flush(self, until_ns: int) -> None:
        ready = sorted(time_ns for time_ns in self._rows if time_ns < until_ns)
        # a row's first cell is the time's own place
        self._put("".join(f"{time_ns}{','.join(self._rows.pop(time_ns))}\n" for time_ns in ready))

    def _put(self, text: str) -> None:
        data = text.encode()
        self._digest.update(data)
        try:
            self._file.write(data)
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> LogFileError:
        return LogFileError(
            self._doing,
            got=error.strerror or str(error),
            expected="a disk that takes what is written",
            remedy="Check free space (`df -h`) and who owns the folder.",
        )

    def _map(self) -> str:
        """Return the map, as TOML."""
        info = self._info
        marks = self._marks
        dated = len(marks) == 1 and marks[0].offset_ns == 0 and marks[0].quality is TimeQuality.SYNCED
        lines = [
            f"# Written by cargobox {info.software}. See docs/csv-maps.md.",
            "[time]",
            'column = "time_ns"',
        ]
        lines += [f'format = "{"unix_ns" if dated else "ns"}"', "", "[log]"]
        lines += [f"box = {json.dumps(info.box)}"] if info.box is not None else []
        lines += [f"boot = {json.dumps(info.boot)}", f'sha256 = "{self._digest.hexdigest()}"']
        lines += [f"up = {list(info.mount_up)}"] if info.mount_up is not None else []
        for mark in marks:
            lines += ["", "[[log.marks]]", f"box_ns = {mark.box_ns}", f"offset_ns = {mark.offset_ns}"]
            lines += [f'quality = "{mark.quality.value}"']
        for spec in self._specs.values():
            if spec.name in self._dtypes:
                lines += ["", *_stream_lines(spec, self._dtypes[spec.name])]
        return "\n".join(lines) + "\n"


def map_path_of(path: Path) -> Path:
    """Return where the map of a table stands."""
    return path.with_suffix(".toml")


def columns_of(spec: StreamSpec) -> list[str]:
    """Return the columns of a stream: its axes, its index, its flags."""
    return [*(f"{spec.name}_{axis}" for axis in spec.axes), f"{spec.name}_index", f"{spec.name}_flags"]


def _stream_lines(spec: StreamSpec, dtype: str) -> list[str]:
    *axes, index, flags = columns_of(spec)
    lines = [f"[streams.{spec.name}]", f"columns = {json.dumps(axes)}", 'unit = "count"']
    lines += [f'target = "{spec.unit.value}"', f"scale = {spec.scale!r}", f"offset = {spec.offset!r}"]
    lines += [f'dtype = "{dtype}"', f'index = "{index}"', f'quality = "{flags}"']
    lines += [f"rate_hz = {spec.rate_hz!r}", f"sample_bits = {spec.sample_bits}"]
    lines += [f"axes = {json.dumps(list(spec.axes))}", f'kind = "{spec.kind.value}"']
    lines += [f"sensor = {json.dumps(spec.sensor)}"] if spec.sensor else []
    lines += ["watch = false"] if not spec.watch else []
    lines += ["summarise = false"] if not spec.summarise else []
    if spec.full_scale is not None:
        lines.append(f"full_scale = {_before(spec.full_scale, spec.scale)!r}")
    return lines


def _before(product: float, factor: float) -> float:
    """Return what, times `factor`, is `product` to the bit, where there is such a number."""
    near = product / factor
    for guess in (near, math.nextafter(near, math.inf), math.nextafter(near, -math.inf)):
        if guess * factor == product:
            return guess
    return near


def _texts(values: npt.NDArray[Any]) -> list[list[str]]:
    """Return each value in the fewest digits that are read back as the same."""
    if values.dtype == np.float32:
        out: list[list[str]] = values.astype(str).tolist()
        return out
    return [[repr(value) for value in row] for row in values.tolist()]
