"""What `cargobox compare` is given: a folder of `replay`, a folder of many logs, or a file of records."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import msgspec

from agent.compare import Run
from agent.errors import UsageError
from agent.replay.runner import RECORDS_FILE, SUMMARY_FILE


@dataclass(frozen=True, slots=True)
class Place:
    """Where one run lies: its records, and its summary beside them where there is one."""

    records: Path
    summary: Path | None


def places(path: Path) -> dict[str, Place]:
    """Return the runs at `path` by name: the folder below it, "" for itself. Raises UsageError."""
    if path.is_file():
        return {"": Place(path, None)}
    found = {
        "" if file.parent == path else file.parent.relative_to(path).as_posix(): Place(file, _beside(file))
        for file in sorted(path.rglob(RECORDS_FILE))
    }
    if not found:
        raise UsageError(
            f"looking for records in {path}",
            got="nothing there" if not path.exists() else f"no {RECORDS_FILE} in it or below",
            expected="a folder that `cargobox replay --out` wrote, or a file of records",
            remedy="Replay the log first: `cargobox replay LOG --out DIR`.",
        )
    return found


def _beside(records: Path) -> Path | None:
    summary = records.with_name(SUMMARY_FILE)
    return summary if summary.is_file() else None


@contextmanager
def opened(place: Place) -> Iterator[Run]:
    """Open one side of a comparison. Raises UsageError for a summary that is none, and OSError."""
    with place.records.open("rb") as file:
        yield Run(_lines(file), _summary(place.summary))


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    yield from file


class _Summary(msgspec.Struct):
    """What is reckoned with of a summary, if it stands there; what else does is compared as it is."""

    software: str = ""
    published_bytes: int = 0
    records: dict[str, int] = {}
    notes: list[str] = []


def _summary(path: Path | None) -> dict[str, Any] | None:
    if path is None:
        return None
    try:
        data = path.read_bytes()
        msgspec.json.decode(data, type=_Summary)
        return msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(
            f"reading {path}",
            got=str(error),
            expected="the summary that `cargobox replay` writes",
            remedy="Replay the log again, or take the file away: the records are then compared alone.",
        ) from error
