"""The map of a CSV log: which column is which axis of which stream, in what unit, and where the time is.

Written for engineers in ``docs/csv-maps.md``. An error names the key, what it got and what it wanted.
"""

from __future__ import annotations

import enum
import hashlib
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from agent.errors import ConfigError, did_you_mean
from agent.streams import TABLE, StreamClass, Unit
from agent.timebase import TimeQuality
from agent.typed_toml import read_table, typed
from calibration.gravity import STANDARD_GRAVITY_MPS2

POUND_KG = 0.45359237  # international pound, 1959
DEFAULT_SAMPLE_BITS = 16


class TimeFormat(enum.StrEnum):
    """How a time is written. The first four tell the date; the others only count from some start."""

    ISO8601 = "iso8601"
    UNIX_S = "unix_s"
    UNIX_MS = "unix_ms"
    UNIX_NS = "unix_ns"
    S = "s"
    MS = "ms"
    US = "us"
    NS = "ns"

    @property
    def absolute(self) -> bool:
        """Whether it tells the date."""
        return self is TimeFormat.ISO8601 or self.startswith("unix")

    @property
    def tick_ns(self) -> int:
        """Nanoseconds in one of what a number counts."""
        return {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000}.get(self.removeprefix("unix_"), 1)


class Order(enum.StrEnum):
    """What to believe where a time is earlier than the one in the row before."""

    SORT = "sort"
    """The time: the row came late and is put back in its place."""
    KEEP = "keep"
    """The row: the clock was set back, and the log goes on from where it was."""


class MapUnit(enum.StrEnum):
    """Units that a column may be in."""

    MG = "mg"
    G = "g"
    MPS2 = "mps2"
    COUNT = "count"
    DEGC = "degC"
    DEGF = "degF"
    PERCENT = "percent"
    PA = "Pa"
    HPA = "hPa"
    KPA = "kPa"
    KG = "kg"
    LB = "lb"
    RADPS = "radps"
    DPS = "dps"
    MDPS = "mdps"
    V = "V"


# SI = factor × (value − offset)
CONVERSIONS: Mapping[MapUnit, tuple[Unit, float, float]] = {
    MapUnit.MG: (Unit.MPS2, STANDARD_GRAVITY_MPS2 / 1000, 0.0),
    MapUnit.G: (Unit.MPS2, STANDARD_GRAVITY_MPS2, 0.0),
    MapUnit.MPS2: (Unit.MPS2, 1.0, 0.0),
    MapUnit.DEGC: (Unit.DEGC, 1.0, 0.0),
    MapUnit.DEGF: (Unit.DEGC, 1 / 1.8, 32.0),
    MapUnit.PERCENT: (Unit.PERCENT, 1.0, 0.0),
    MapUnit.PA: (Unit.PA, 1.0, 0.0),
    MapUnit.HPA: (Unit.PA, 100.0, 0.0),
    MapUnit.KPA: (Unit.PA, 1000.0, 0.0),
    MapUnit.KG: (Unit.KG, 1.0, 0.0),
    MapUnit.LB: (Unit.KG, POUND_KG, 0.0),
    MapUnit.RADPS: (Unit.RADPS, 1.0, 0.0),
    MapUnit.DPS: (Unit.RADPS, math.pi / 180, 0.0),
    MapUnit.MDPS: (Unit.RADPS, math.pi / 180_000, 0.0),
    MapUnit.V: (Unit.V, 1.0, 0.0),
}

Column = str | int
Positive = Annotated[float, msgspec.Meta(gt=0)]
UP_WORDS = {
    f"{sign}{axis}": (
        (-1.0 if sign == "-" else 1.0) * (axis == "x"),
        (-1.0 if sign == "-" else 1.0) * (axis == "y"),
        (-1.0 if sign == "-" else 1.0) * (axis == "z"),
    )
    for sign in ("", "+", "-")
    for axis in "xyz"
}


class TimeMap(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[time]``: a column and its format, or a rate."""

    column: Column | None = None
    format: TimeFormat | None = None
    rate_hz: Positive | None = None
    order: Order = Order.SORT


class CsvForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[csv]``: how the text is laid out."""

    delimiter: Annotated[str, msgspec.Meta(min_length=1, max_length=1)] = ","
    """One character; a space stands for any run of spaces and tabs."""
    decimal: Annotated[str, msgspec.Meta(min_length=1, max_length=1)] = "."
    skip_rows: Annotated[int, msgspec.Meta(ge=0)] = 0
    header: bool = True
    """Whether the first row after the skipped ones names the columns."""
    comment: str = ""
    """Rows that begin with this are passed over."""


class SampleType(enum.StrEnum):
    """How the values of a stream flow."""

    INT16 = "int16"
    INT32 = "int32"
    FLOAT32 = "float32"
    FLOAT64 = "float64"


class StreamMap(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[streams.NAME]``: one stream."""

    columns: Annotated[tuple[Column, ...], msgspec.Meta(min_length=1)]
    unit: MapUnit
    scale: Positive | None = None
    """Only with ``unit = "count"``: how many of `target` are in one count."""
    target: Unit | None = None
    zero: float = 0.0
    """Only with ``unit = "count"``: the count that stands for nothing."""
    full_scale: Positive | None = None
    sample_bits: Annotated[int, msgspec.Meta(ge=1, le=64)] | None = None
    rate_hz: Positive | None = None
    axes: tuple[str, ...] | None = None
    kind: StreamClass | None = None
    up: str | tuple[float, float, float] | None = None
    offset: float = 0.0
    """Only with ``unit = "count"``: what a count of 0 stands for, in the target's unit."""
    dtype: SampleType | None = None
    """Of the values as they flow; left away: counts are whole numbers where they are, all else float32."""
    index: Column | None = None
    """A column that numbers the samples, the missing ones counted."""
    quality: Column | None = None
    """A column of what is known against a sample: the sum of 1 saturated, 2 missing before, 4 late."""
    sensor: str = ""
    watch: bool = True
    summarise: bool = True

    @property
    def all_columns(self) -> tuple[Column, ...]:
        """Return every column that tells something of the stream."""
        return (*self.columns, *(column for column in (self.index, self.quality) if column is not None))

    @property
    def up_vector(self) -> tuple[float, float, float] | None:
        """The direction that points up, in the sensor's axes, of length 1."""
        if self.up is None or isinstance(self.up, str):
            return UP_WORDS[self.up] if self.up else None
        x, y, z = (float(c) / math.hypot(*self.up) for c in self.up)
        return (x, y, z)


class MarkMap(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[log.marks]]``: what the wall clock said, where times are not the date."""

    box_ns: int
    offset_ns: int
    quality: TimeQuality


class LogMap(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[log]``: what a table has no place for; `convert` writes it."""

    box: str | None = None
    boot: str | None = None
    sha256: str | None = None
    """Of the table's bytes: where it differs, the table was damaged, or changed by hand."""
    marks: tuple[MarkMap, ...] = ()
    up: tuple[float, float, float] | None = None


class CsvMap(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole map."""

    time: TimeMap
    streams: Annotated[dict[str, StreamMap], msgspec.Meta(min_length=1)]
    csv: CsvForm = msgspec.field(default_factory=CsvForm)
    log: LogMap = msgspec.field(default_factory=LogMap)

    def meaning(self) -> bytes:
        """Return what the map says, without how it is written: comments and order do not matter."""
        plain = msgspec.to_builtins(self)
        # what came later counts only where it says something: a log's identity must not change with us
        if self.log == LogMap():
            del plain["log"]
        for name, stream in self.streams.items():
            for key, usual in _LATER.items():
                if getattr(stream, key) == usual:
                    del plain["streams"][name][key]
        return hashlib.sha256(msgspec.json.encode(plain, order="deterministic")).digest()


_LATER: Mapping[str, object] = {
    "offset": 0.0,
    "dtype": None,
    "index": None,
    "quality": None,
    "sensor": "",
    "watch": True,
    "summarise": True,
}


def load_map(path: Path) -> CsvMap:
    """Read the map at `path`. Raises ConfigError."""
    table = read_table(path, what="map", remedy="docs/csv-maps.md shows a whole map.")
    return map_of(table, f"reading the map {path}")


def map_of(table: Mapping[str, Any], doing: str) -> CsvMap:
    """Check a map that was read from TOML. Raises ConfigError."""
    for key in ("time", "streams"):
        if key in table and table[key] == {}:
            raise ConfigError(
                doing,
                got=f"an empty [{key}]",
                expected="[time] and at least one [streams.NAME]",
                remedy="docs/csv-maps.md shows a whole map.",
            )
    whole = typed(table, CsvMap, doing=doing, remedy="See docs/csv-maps.md.")
    _check_time(whole.time, doing)
    for name, stream in whole.streams.items():
        _check_stream(name, stream, doing)
    return whole


def _check_time(time: TimeMap, doing: str) -> None:
    wrong = ""
    if time.column is None and time.rate_hz is None:
        wrong = "neither column nor rate_hz"
    elif time.column is not None and time.rate_hz is not None:
        wrong = "both column and rate_hz"
    elif time.column is not None and time.format is None:
        wrong = "a column without its format"
    elif time.column is None and time.format is not None:
        wrong = "a format without a column"
    if wrong:
        raise ConfigError(
            doing,
            got=f"[time] with {wrong}",
            expected="either column and format, or rate_hz",
            remedy="Give rate_hz only where no column tells the time.",
        )


def _check_stream(name: str, stream: StreamMap, doing: str) -> None:
    where = f"[streams.{name}]"
    known = TABLE.get(name)

    def refuse(got: str, expected: str, remedy: str = "See docs/csv-maps.md.") -> None:
        raise ConfigError(doing, got=f"{where} {got}", expected=expected, remedy=remedy)

    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        refuse("as a name", "small letters, digits and _", "Rename the stream.")
    axes = stream.axes or (known.axes if known else None)
    if axes is None or (known is None and stream.kind is None):
        refuse(
            f"without {'axes' if axes is None else 'kind'}{did_you_mean(name, TABLE)}",
            f"one of {', '.join(TABLE)}, or a new stream with axes and kind",
            'Use a name that the table of streams has, or say axes = [...] and kind = "...".',
        )
    elif len(axes) != len(stream.columns):
        refuse(
            f"with {len(stream.columns)} columns",
            f"{len(axes)}, one for each of {', '.join(axes)}",
            "List one column an axis, or say what the axes are with axes = [...].",
        )
    counts = stream.unit is MapUnit.COUNT
    if counts and stream.scale is None:
        refuse('with unit = "count" and no scale', "scale: how much one count is")
    if counts and stream.target is None and known is None:
        refuse('with unit = "count" and no target', f"target, one of {', '.join(Unit)}")
    for key, value in (
        ("scale", stream.scale),
        ("target", stream.target),
        ("zero", stream.zero or None),
        ("offset", stream.offset or None),
    ):
        if not counts and value is not None:
            refuse(f"with {key} and unit = {stream.unit.value!r}", f'{key} only with unit = "count"')
    unit = unit_of(name, stream)
    if known is not None and unit is not known.unit:
        fitting = [word.value for word, (si, _, _) in CONVERSIONS.items() if si is known.unit]
        refuse(f"unit = {stream.unit.value!r}", f"one of {', '.join((*fitting, 'count'))}")
    if isinstance(stream.up, str) and stream.up not in UP_WORDS:
        refuse(f"up = {stream.up!r}", 'x, y or z, with a sign or without, like "-z"')
    if stream.up is not None and not isinstance(stream.up, str) and math.hypot(*stream.up) == 0:
        refuse("up = [0, 0, 0]", "a direction")
    if stream.up is not None and (unit is not Unit.MPS2 or len(stream.columns) != 3):
        refuse("with up", "up only on a stream of acceleration with three axes")


def unit_of(name: str, stream: StreamMap) -> Unit:
    """Return the SI unit of what the stream's values, scaled, are in."""
    if stream.unit is MapUnit.COUNT:
        return stream.target or TABLE[name].unit
    return CONVERSIONS[stream.unit][0]
