"""The documents of a replay's folder: each value of the kind that a page counts with, checked when read.

What no page uses may be anything; a key may be missing, as in a folder of an older version.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec

from agent.errors import LogFileError

Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 62)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e11)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1e12)]


class _Stream(msgspec.Struct):
    rate_hz: Share = 0.0
    samples: Count = 0
    missing: Count = 0


class OfTrip(msgspec.Struct):
    """What a page uses of the ``summary.json`` of one trip."""

    box: str | None = None
    boot: str | None = None
    software: str | None = None
    log: str | None = None
    map: str | None = None
    duration_s: Seconds = 0.0
    raw_bytes: Count = 0
    published_bytes: Count = 0
    missing_samples: Count = 0
    upload_ratio: Share | None = None
    streams: dict[str, _Stream] = {}
    notes: list[str] = []


class OfMany(msgspec.Struct):
    """What a page uses of the ``summary.json`` of many."""

    failed: dict[str, str] | None = None


class _Combination(msgspec.Struct):
    folder: str | None = None
    values: dict[str, Any] = {}
    events: dict[str, Count] = {}
    upload_ratio: Share | None = None
    gaps: Count | None = None
    failed: list[str] = []


class OfSweep(msgspec.Struct):
    """What a page uses of ``sweep.json``."""

    keys: list[str] = []
    combinations: list[_Combination] = []


def read_document(path: Path, kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Return a JSON document that has what `kind` says, and more. Raises LogFileError."""
    try:
        found = msgspec.json.decode(path.read_bytes())
        msgspec.convert(found, type=kind)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise unreadable(path, str(error)) from error
    assert isinstance(found, dict)  # or `convert` had refused it
    return found


def unreadable(path: Path, got: str) -> LogFileError:
    """Return the error of a file that is not as a replay writes it."""
    return LogFileError(
        f"reading {path}",
        got=got,
        expected="what `cargobox replay` writes, whole",
        remedy="Replay the log again.",
    )
