"""Log files as sources: what every format gives, and the one place that knows which suffix is which.

    open_log("trip.csv", map_path="fragile-goods-box.toml")  ──►  LogSource  ──►  Block | Silence | TimeMark

A new format is one module with one class that has the shape of `LogSource`, one line in `FORMATS`, and
one line in ``tests/logs/test_round_trip.py``. Formats are imported when they are asked for: the service
on the card never opens a log, and must not carry what opening one costs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from agent.errors import UsageError, did_you_mean
from agent.sources import Item, Source
from agent.streams import StreamSpec

LogItem = Item

DEFAULT_WINDOW_S = 4.0
_NO_META: Mapping[str, str] = MappingProxyType({})


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
    meta: Mapping[str, str] = field(default_factory=lambda: _NO_META)


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


@dataclass(frozen=True, slots=True)
class LogOptions:
    """How a log is to be read. Neither size changes a result, only how it is cut."""

    map_path: Path | None = None
    block_samples: int | None = None
    """At most so many samples in a block."""
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
    def progress(self) -> float:
        """How far the reading is, 0 to 1."""

    def open(self) -> tuple[StreamSpec, ...]:
        """Read what the log says of itself and return its streams, in the order of the table.

        Raises LogFileError, ConfigError (a map that does not fit).
        """

    def items(self, stop: threading.Event | None = None) -> Iterator[LogItem]:
        """Deliver the log, its streams merged by time; ends early when `stop` is set."""


def _csv(path: Path, options: LogOptions) -> LogSource:
    from agent.sources.csv_log import CsvLog

    return CsvLog(path, options)


def _mcap(path: Path, options: LogOptions) -> LogSource:
    from agent.sources.mcap_log import McapLog

    return McapLog(path, options)


FORMATS: Mapping[str, Callable[[Path, LogOptions], LogSource]] = {".csv": _csv, ".mcap": _mcap}
WITH_MAP = frozenset({".csv"})


def open_log(
    path: str | Path,
    *,
    map_path: str | Path | None = None,
    block_samples: int | None = None,
    window_s: float = DEFAULT_WINDOW_S,
) -> LogSource:
    """Return the source for the log at `path`, by its suffix; nothing is read before its `open`.

    `block_samples` and `window_s`: see `LogOptions`. Raises UsageError.
    """
    path = Path(path)
    doing = f"opening the log {path}"
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise UsageError(
            doing,
            got=f"a file that ends in {suffix!r}{did_you_mean(suffix, FORMATS)}",
            expected=" or ".join(sorted(FORMATS)),
            remedy="Name the file by what is in it, or bring it to one of these formats first.",
        )
    if not path.is_file():
        near = did_you_mean(path.name, [other.name for other in path.parent.glob("*")])
        raise UsageError(
            doing,
            got=f"a folder{near}" if path.is_dir() else f"no such file{near}",
            expected="a log file",
            remedy="Check the path.",
        )
    if suffix in WITH_MAP and map_path is None:
        raise UsageError(
            doing,
            got=f"a {suffix} file and no map",
            expected="a map: a TOML file that says which column is what",
            remedy="Give one with --map; docs/maps/ has examples, docs/csv-maps.md says how to write one.",
        )
    if block_samples is not None and block_samples < 1:
        raise UsageError(
            doing,
            got=f"blocks of {block_samples} samples",
            expected="at least 1 sample a block",
            remedy="Leave the size away to take the usual one.",
        )
    return FORMATS[suffix](path, LogOptions(Path(map_path) if map_path else None, block_samples, window_s))
