"""Log files as sources: what every format gives, and the one place that knows which suffix is which.

    open_log("trip.csv", map_path="fragile-goods-box.toml")  ──►  LogSource  ──►  Item

A new format is one module with one class that has the shape of `LogSource`, one line in `FORMATS`, and
one line in ``tests/logs/test_round_trip.py``. Formats are imported when they are asked for: the service
on the card never opens a log, and must not carry what opening one costs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from agent.errors import UsageError, did_you_mean
from agent.sources.log_source import (
    DEFAULT_WINDOW_S,
    LogCounters,
    LogIdentity,
    LogItem,
    LogOptions,
    LogSource,
)

__all__ = ["FORMATS", "LogCounters", "LogIdentity", "LogItem", "LogOptions", "LogSource", "open_log"]


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
