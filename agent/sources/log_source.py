"""How a log that is being read looks, whatever its format."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from agent.sources import Item, Source
from agent.streams import StreamSpec

LogItem = Item

DEFAULT_WINDOW_S = 4.0
_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class LogIdentity:
    """Whose log it is.

    ``boot`` names the stretch of time that the log covers: the recorded boot id, or, for a format that
    has none, 16 hexadecimal digits of what the file and its map hold. ``mount_up`` is the direction
    that points up, in the sensor's axes, of length 1.
    """

    box: str | None
    boot: str
    mount_up: tuple[float, float, float] | None = None
    meta: Mapping[str, str] = field(default_factory=lambda: _NOTHING)


@dataclass(slots=True)
class LogCounters:
    """What was found and put right. Rows are lines of a text log; samples are of single streams."""

    rows: int = 0
    samples: int = 0
    late_rows: int = 0
    """Rows that came after a younger one and were put back in their place."""
    duplicate_rows: int = 0
    """Rows that said again what another had said, and were dropped."""
    unreadable_rows: int = 0
    """Rows, or parts of rows, that could not be read; their samples are missing."""
    missing_samples: int = 0
    """Samples that the index jumps over, of all streams."""
    lost_chunks: int = 0
    """Damaged parts of a binary log that were passed over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """How a log is to be read. Neither size changes a result, only how it is cut. All by name."""

    map_path: Path | None = None
    block_samples: int | None = None
    """At most so many samples in a block."""
    take: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    """Stream → the channel or topic that becomes it, where several measure the same."""
    window_s: float = DEFAULT_WINDOW_S
    """Streams are delivered in turn, at most so many seconds of each."""


class LogSource(Source, Protocol):
    """A log that is being read. `open` first; `items` once."""

    @property
    def identity(self) -> LogIdentity:
        """Whose log it is; known once it is open."""

    @property
    def counters(self) -> LogCounters:
        """What was found so far."""

    @property
    def notes(self) -> list[str]:
        """What a person should know of the file: one sentence each; complete when `items` has ended."""

    @property
    def damaged(self) -> bool:
        """Whether a part of the file could not be read; the notes say which. Known when `items` has ended."""

    @property
    def progress(self) -> float:
        """How far the reading is, 0 to 1."""

    def open(self) -> tuple[StreamSpec, ...]:
        """Read what the log says of itself and return its streams, in the order of the table.

        Raises LogFileError, ConfigError (a map that does not fit).
        """

    def items(self, stop: threading.Event | None = None) -> Iterator[LogItem]:
        """Deliver the log, its streams merged by time; ends early when `stop` is set."""
