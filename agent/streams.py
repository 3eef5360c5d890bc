"""ONE table: every stream's name, axes, unit, rate, sample width, class and what is done with it.

A source may override the rate, the scale and the full scale of a stream (a board describes itself, a
map describes a log file), and the configuration may override anything or add streams of its own.
All else in the agent looks here and nowhere else.
"""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Iterable, Mapping

import msgspec

STREAM_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}\Z")
MOST_AXES = 64
MOST_BITS = 64
LEAST_RATE_HZ, MOST_RATE_HZ = 1e-9, 1e9


class StreamClass(enum.StrEnum):
    """What a stream tells of; decides which features are computed from it."""

    MOTION = "motion"
    LOAD = "load"
    PRESSURE = "pressure"
    CLIMATE = "climate"
    CONTACT = "contact"
    VOLTAGE = "voltage"


class Unit(enum.StrEnum):
    """Units of corrected values. Everything inside the agent is in these."""

    MPS2 = "mps2"
    RADPS = "radps"
    KG = "kg"
    PA = "Pa"
    DEGC = "degC"
    PERCENT = "percent"
    V = "V"
    STATE = "state"
    """1 closed, 0 open."""


class StreamSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One stream: what the sensor gives, and how to read it.

    ``sample_bits`` is the width in which the sensor gives one axis: it defines *raw bytes*.
    ``scale`` is the number of ``unit`` in one count; 1.0 where the source gives physical values.
    ``offset`` is what a count of 0 stands for, in ``unit``: value = count · scale + offset.
    ``full_scale`` is in ``unit``; a sample at or beyond it, either way, is saturated.
    ``watch`` and ``summarise`` say what is done with it: whether detectors read it, and whether its
    features go up. Raw samples stay at home in any case.
    ``sensor`` is which one gives it, in words that stay the same from start to start ("ADXL345 at
    i2c-1 0x53"): what a certificate must name to be of this sensor. Empty: the source does not know.
    """

    name: str
    axes: tuple[str, ...]
    unit: Unit
    rate_hz: float
    sample_bits: int
    kind: StreamClass
    scale: float = 1.0
    offset: float = 0.0
    full_scale: float | None = None
    watch: bool = True
    summarise: bool = True
    sensor: str = ""

    @property
    def raw_bytes_per_sample(self) -> float:
        """Bytes in which the sensor itself gives one sample of all axes."""
        return len(self.axes) * self.sample_bits / 8

    def check(self) -> None:
        """Raise ValueError for what no sensor gives: a file may say anything of a stream."""
        figures = (self.rate_hz, self.scale, self.offset, self.full_scale or 0.0)
        wrong = (
            (not STREAM_NAME.match(self.name), f"a stream called {self.name[:80]!r}"),
            (not 0 < len(self.axes) <= MOST_AXES, f"{len(self.axes)} axes of {self.name}"),
            (not all(map(math.isfinite, figures)), f"figures of {self.name} that are not finite"),
            (not LEAST_RATE_HZ <= self.rate_hz <= MOST_RATE_HZ, f"{self.rate_hz:g} Hz of {self.name}"),
            (not 1 <= self.sample_bits <= MOST_BITS, f"{self.sample_bits} bits of {self.name}"),
        )
        for is_so, words in wrong:
            if is_so:
                raise ValueError(words)


def _spec(
    name: str, axes: str, unit: Unit, rate_hz: float, sample_bits: int, kind: StreamClass
) -> StreamSpec:
    return StreamSpec(
        name=name,
        axes=tuple(axes.split()),
        unit=unit,
        rate_hz=rate_hz,
        sample_bits=sample_bits,
        kind=kind,
    )


# The order is the order in which records of the same instant are published.
TABLE: Mapping[str, StreamSpec] = {
    spec.name: spec
    for spec in (
        _spec("accel", "x y z", Unit.MPS2, 1000.0, 16, StreamClass.MOTION),
        _spec("gyro", "x y z", Unit.RADPS, 100.0, 16, StreamClass.MOTION),
        _spec("load", "fl fr rl rr", Unit.KG, 80.0, 24, StreamClass.LOAD),
        _spec("pressure", "p", Unit.PA, 50.0, 16, StreamClass.PRESSURE),
        _spec("temperature", "t", Unit.DEGC, 1.0, 16, StreamClass.CLIMATE),
        _spec("humidity", "h", Unit.PERCENT, 1.0, 16, StreamClass.CLIMATE),
        _spec("air_pressure", "p", Unit.PA, 1.0, 16, StreamClass.CLIMATE),
        _spec("lid", "closed", Unit.STATE, 10.0, 8, StreamClass.CONTACT),
        _spec("leak", "v", Unit.V, 10.0, 16, StreamClass.VOLTAGE),
    )
}


def table_order(specs: Iterable[StreamSpec]) -> tuple[StreamSpec, ...]:
    """Sort `specs` as the table has them; streams that the table does not know follow by name."""
    rank = {name: i for i, name in enumerate(TABLE)}
    return tuple(sorted(specs, key=lambda s: (rank.get(s.name, len(rank)), s.name)))
