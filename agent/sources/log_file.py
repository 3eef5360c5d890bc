"""Log files as sources: what every format gives, and the one place that knows which suffix is which.

    open_log("trip.csv", map_path="fragile-goods-box.toml")  ──►  LogSource  ──►  Item

A new format is one module with one class that has the shape of `LogSource`, one line in `FORMATS`, and
one line in ``tests/logs/test_round_trip.py``. Formats are imported when they are asked for: the service
on the card never opens a log, and must not carry what opening one costs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
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

__all__ = [
    "FORMATS",
    "Format",
    "LogCounters",
    "LogIdentity",
    "LogItem",
    "LogOptions",
    "LogSource",
    "open_log",
    "suffix_of",
]


def _csv(path: Path, options: LogOptions) -> LogSource:
    from agent.sources.csv_log import CsvLog

    return CsvLog(path, options)


def _mcap(path: Path, options: LogOptions) -> LogSource:
    from agent.sources.mcap_frames import profile_of

    if profile_of(path) == "ros2":
        return _bag(path, options)
    from agent.sources.mcap_log import McapLog

    return McapLog(path, options)


def _ide(path: Path, options: LogOptions) -> LogSource:
    from agent.sources.ide_log import IdeLog

    return IdeLog(path, options)


def _bag(path: Path, options: LogOptions) -> LogSource:
    from agent.sources.bag_log import BagLog

    return BagLog(path, options)


@dataclass(frozen=True, slots=True)
class Format:
    """One format: what it is called, how it is read, who writes it, and what is lost in writing.

    ``writer`` is named and not imported: the recorders know the sources as little as these know them.
    """

    name: str
    read: Callable[[Path, LogOptions], LogSource]
    writer: str = ""
    """module:class, with the shape of `McapRecorder`; empty: it is only read."""
    loses: str = ""
    choice: str = ""
    """What a person may choose among, where several measure the same; empty: its streams have names."""


FOLDER = "/"
"""Stands for a folder where a suffix is asked for: a ROS 2 bag is one."""
FORMATS: Mapping[str, Format] = {
    ".csv": Format(
        "CSV",
        _csv,
        "agent.recorder.csv_writer:CsvRecorder",
        "what silences and sensor faults said, why samples are missing, values that are not finite",
    ),
    ".mcap": Format("MCAP", _mcap, "agent.recorder.mcap_writer:McapRecorder"),
    ".ide": Format("enDAQ IDE", _ide, loses="all: only the recorders themselves write it", choice="channel"),
    ".bag": Format(
        "ROS 1 bag",
        _bag,
        "agent.recorder.bag_writer:Ros1Recorder",
        "what silences and sensor faults said",
        choice="topic",
    ),
    ".db3": Format("ROS 2 bag file", _bag, loses="all: write the folder, or MCAP", choice="topic"),
    FOLDER: Format(
        "ROS 2 bag",
        _bag,
        "agent.recorder.bag_writer:Ros2Recorder",
        "what silences and sensor faults said",
        choice="topic",
    ),
}
WITH_MAP = frozenset({".csv"})
BAG_FOLDER_MARK = "metadata.yaml"


def suffix_of(path: Path) -> str:
    """Return what `FORMATS` knows the log at `path` by."""
    return FOLDER if (path / BAG_FOLDER_MARK).is_file() else path.suffix.lower()


def choice_of(path: Path) -> str:
    """Return what a person may choose among in the log at `path`, there or not; empty: nothing."""
    suffix = suffix_of(path)
    if suffix == ".mcap" and path.is_file():
        from agent.sources.mcap_frames import profile_of

        return "topic" if profile_of(path) == "ros2" else ""
    return FORMATS[suffix].choice if suffix in FORMATS else ""


def open_log(
    path: str | Path,
    *,
    map_path: str | Path | None = None,
    block_samples: int | None = None,
    take: Mapping[str, str] | None = None,
    window_s: float = DEFAULT_WINDOW_S,
) -> LogSource:
    """Return the source for the log at `path`, by its suffix; nothing is read before its `open`.

    `block_samples`, `take` and `window_s`: see `LogOptions`. Raises UsageError.
    """
    path = Path(path)
    doing = f"opening the log {path}"
    suffix = suffix_of(path)
    if suffix not in FORMATS:
        raise UsageError(
            doing,
            got=f"a file that ends in {suffix!r}{did_you_mean(suffix, FORMATS)}",
            expected=f"{', '.join(sorted(FORMATS.keys() - {FOLDER}))}, or the folder of a ROS 2 bag",
            remedy="Name the file by what is in it, or bring it to one of these formats first.",
        )
    if not path.is_file() and suffix != FOLDER:
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
    if take and not choice_of(path):
        raise UsageError(
            doing,
            got=f"{', '.join(f'{stream}={which}' for stream, which in take.items())}",
            expected="no choice: the streams of this log have their names",
            remedy="Leave --take away.",
        )
    options = LogOptions(
        map_path=Path(map_path) if map_path else None,
        block_samples=block_samples,
        take=take or {},
        window_s=window_s,
    )
    return FORMATS[suffix].read(path, options)
