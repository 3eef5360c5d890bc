"""Block: consecutive samples of one stream with their time and quality; nothing that knows its source.

Four things flow from a source to the pipeline, in any interleaving of the streams:

* ``Block``: samples;
* ``Silence``: the source's word that a stream has nothing more before a time, so that the others
  need not wait for it;
* ``SensorFault``: its word that a sensor fails, or works again;
* ``timebase.TimeMark``: what the wall clock said.

How samples are cut into blocks never changes a result. Times are therefore integers, computed from
the clock that a block shares with its neighbours and never from where the block happens to begin.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

TimesNs = npt.NDArray[np.int64]
Values = npt.NDArray[Any]  # (n, axes); integers as the sensor counts, or float32
QualityFlags = npt.NDArray[np.uint8]

PS_PER_NS = 1000
NS_PER_S = 1_000_000_000


class Quality(enum.IntFlag):
    """What is known against a sample."""

    GOOD = 0
    SATURATED = 1
    """At or beyond the sensor's full scale: the true value is larger."""
    MISSING_BEFORE = 2
    """One or more samples right before this one never came."""
    LATE = 4
    """Arrived after a younger sample and was put back in its place."""


@dataclass(frozen=True, slots=True)
class RegularClock:
    """Times of equally spaced samples: sample `anchor_index` is at `anchor_ns`.

    ``period_ps`` is in picoseconds: 1 kHz over an hour is then right to 4 µs.
    """

    anchor_index: int
    anchor_ns: int
    period_ps: int

    @classmethod
    def of_rate(cls, rate_hz: float, *, anchor_ns: int = 0, anchor_index: int = 0) -> RegularClock:
        """Build the clock of a stream of `rate_hz` whose sample `anchor_index` is at `anchor_ns`."""
        return cls(anchor_index, anchor_ns, round(1e12 / rate_hz))

    def time_ns(self, index: int) -> int:
        """Return the time of the sample with this index."""
        return self.anchor_ns + (index - self.anchor_index) * self.period_ps // PS_PER_NS

    def times_ns(self, first: int, count: int) -> TimesNs:
        """Return the times of `count` samples from index `first`: (count,) int64."""
        whole_ns, rest_ps = divmod((first - self.anchor_index) * self.period_ps, PS_PER_NS)
        steps_ps = np.arange(count, dtype=np.int64) * self.period_ps
        return self.anchor_ns + whole_ns + (steps_ps + rest_ps) // PS_PER_NS

    def count_before(self, first: int, time_ns: int) -> int:
        """Return how many samples from index `first` on are earlier than `time_ns` (never negative)."""
        span_ps = (time_ns - self.anchor_ns) * PS_PER_NS
        # time_ns(i) < time  <=>  floor(k * period / 1000) < time - anchor  <=>  k * period < span
        return max(0, self.anchor_index + -(-span_ps // self.period_ps) - first)


@dataclass(frozen=True, slots=True, eq=False)
class ListedClock:
    """Times of samples that come when they come (a log with its own time column).

    Sample `first_index` + i is at ``listed_ns[i]``; strictly increasing.
    """

    first_index: int
    listed_ns: TimesNs
    typical_period_ps: int

    @property
    def period_ps(self) -> int:
        """The typical spacing, in picoseconds."""
        return self.typical_period_ps

    def time_ns(self, index: int) -> int:
        """Return the time of the sample with this index."""
        return int(self.listed_ns[index - self.first_index])

    def times_ns(self, first: int, count: int) -> TimesNs:
        """Return the times of `count` samples from index `first`: (count,) int64."""
        begin = first - self.first_index
        return self.listed_ns[begin : begin + count]

    def count_before(self, first: int, time_ns: int) -> int:
        """Return how many samples from index `first` on are earlier than `time_ns`."""
        begin = first - self.first_index
        return int(np.searchsorted(self.listed_ns[begin:], time_ns, side="left"))


Clock = RegularClock | ListedClock


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Consecutive samples of one stream.

    ``first`` counts every sample that the sensor took, the missing ones too: a jump in it *is* a gap.
    ``values``: (n, axes), as the sensor gives them before correction, SI float32 after it.
    ``quality``: (n,) uint8 of `Quality`, or None where all are good.
    ``missing_reason``: why samples before ``first`` are missing; only read where the index jumps.
    """

    stream: str
    first: int
    clock: Clock
    values: Values
    quality: QualityFlags | None = None
    missing_reason: str = ""

    def __len__(self) -> int:
        return len(self.values)

    @property
    def end(self) -> int:
        """Index after the last sample."""
        return self.first + len(self.values)

    @property
    def start_ns(self) -> int:
        """Time of the first sample."""
        return self.clock.time_ns(self.first)

    @property
    def last_ns(self) -> int:
        """Time of the last sample."""
        return self.clock.time_ns(self.end - 1)

    @property
    def period_ns(self) -> int:
        """Spacing of the samples, rounded to a nanosecond."""
        return self.clock.period_ps // PS_PER_NS

    def times_ns(self) -> TimesNs:
        """Return the time of each sample: (n,) int64."""
        return self.clock.times_ns(self.first, len(self.values))

    def cut(self, begin: int, end: int) -> Block:
        """Return samples `begin` to `end` (positions in this block) as a block of their own."""
        return Block(
            self.stream,
            self.first + begin,
            self.clock,
            self.values[begin:end],
            None if self.quality is None else self.quality[begin:end],
            self.missing_reason if begin == 0 else "",
        )

    def count_before(self, time_ns: int) -> int:
        """Return how many of this block's samples are earlier than `time_ns`."""
        return min(len(self.values), self.clock.count_before(self.first, time_ns))


@dataclass(frozen=True, slots=True)
class Silence:
    """The source's word: `stream` has no sample before `until_ns` beyond those already given."""

    stream: str
    until_ns: int


class FaultKind(enum.StrEnum):
    """In what way a sensor fails; also the reason of the gap that it leaves."""

    MISSING = "missing"
    """Nobody answers at its address."""
    WRONG_CHIP = "wrong_chip"
    """Another chip answers there, or what answers is no chip at all."""
    NACK = "nack"
    """It was there, and does not answer any more."""
    TIMEOUT = "timeout"
    """A transaction did not end in time."""
    STUCK_BUS = "stuck_bus"
    """A line of the bus is held down; nobody on it can be reached."""
    BUS_GONE = "bus_gone"
    """The computer itself has lost the bus: an adapter pulled, a driver unloaded."""
    OVERFLOW = "overflow"
    """It took samples faster than they were fetched, and lost some."""
    REGISTERS = "registers"
    """It has forgotten its settings: most often its power failed for a moment."""
    SILENT = "silent"
    """It answers, and has no new sample."""
    STUCK_VALUE = "stuck_value"
    """It has given the very same value for too long."""
    SATURATED = "saturated"
    """It has been at the end of its range for too long."""
    BAD_DATA = "bad_data"
    """What it gives is no measurement: a checksum or a marker is wrong."""
    SELF_TEST = "self_test"
    """It failed its own test."""
    BOARD = "board"
    """The microcontroller says that it fails, in its own words."""


class FaultPhase(enum.StrEnum):
    """Where in its life a fault is."""

    START = "start"
    UPDATE = "update"
    """It goes on, in another way than before."""
    END = "end"


@dataclass(frozen=True, slots=True)
class SensorFault:
    """The source's word that a sensor fails, or works again.

    It travels among the blocks of ``stream``, the first of ``streams``, in their order: a start comes
    after the last sample before it, an end right before the first one after it; and ``at_ns`` lies
    between those, and not before any `Silence` that the source has given for that stream.
    ``sensor``: which, in words ("ADXL345 at i2c-1 0x53"). ``got``, ``expected``: what is wrong.
    """

    stream: str
    at_ns: int
    phase: FaultPhase
    kind: FaultKind
    sensor: str
    streams: tuple[str, ...]
    got: str = ""
    expected: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class SiBlock:
    """A block after correction: SI units, every sample with its time.

    ``times_ns``: (n,) int64 box time; ``values``: (n, axes) float32; ``quality``: as in `Block`.
    ``shared``: what one reader has made of it and others may find, see `agent.hops`.
    """

    stream: str
    first: int
    times_ns: TimesNs
    period_ns: int
    values: npt.NDArray[np.float32]
    quality: QualityFlags | None = None
    shared: dict[object, object] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.values)
