"""Reading an outbox beside a running agent: what waits, what was refused, whether the files are sound.

Nothing here locks, repairs or writes. What a running agent is in the middle of writing is not damage.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from agent.errors import OutboxError
from agent.outbox.aside import aside_as_json, read_aside
from agent.outbox.documents import Waiting, decode_waiting, time_of
from agent.outbox.files import Disk, holder_pid
from agent.outbox.index import Index
from agent.outbox.reader import SegmentReader, Stored
from agent.outbox.recovery import Recovery, load


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `verify` found; ``sound`` is False if anything that was once written cannot be read."""

    sound: bool
    segments: int
    bytes: int
    records: int
    waiting: int
    unreadable_records: int
    torn_bytes: int
    damaged_stretches: int
    damaged_bytes: int
    unreadable_segments: int
    set_aside: int
    in_use_by_pid: int | None
    findings: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it for `--json`."""
        return dataclasses.asdict(self)


def outbox_stats(directory: Path) -> dict[str, Any]:
    """Return what waits in an outbox: how many, how old, how large, of which kinds."""
    index, recovery = _read(directory)
    kinds: dict[str, int] = {}
    oldest_t: str | None = None
    for waiting in _waiting(directory, index):
        if not kinds:
            oldest_t = time_of(waiting.payload)
        kinds[waiting.kind] = kinds.get(waiting.kind, 0) + 1
    return {
        "directory": str(directory),
        "waiting": len(index),
        "waiting_urgent": index.urgent,
        "waiting_by_kind": dict(sorted(kinds.items())),
        "bytes": sum(recovery.sizes.values()),
        "segments": len(recovery.sizes),
        "oldest_t": oldest_t,
        "set_aside": sum(1 for _ in read_aside(directory)),
        "in_use_by_pid": holder_pid(directory),
    }


def iter_waiting(directory: Path) -> Iterator[Waiting]:
    """Return the waiting records, oldest first, read one at a time."""
    index, _ = _read(directory)
    yield from _waiting(directory, index)


def iter_set_aside(directory: Path) -> Iterator[dict[str, Any]]:
    """Return the records that the broker refused: ``doc_id, reason, t, document``."""
    _check_directory(directory)
    for doc_id, refused in read_aside(directory):
        yield aside_as_json(doc_id, refused)


def verify(directory: Path) -> Verdict:
    """Read every byte of an outbox and say whether all of it is sound."""
    index, recovery = _read(directory)
    pid = holder_pid(directory)
    readable = sum(1 for _ in _waiting(directory, index))
    unreadable = 0 if pid is not None else len(index) - readable
    findings = list(recovery.findings)
    if pid is not None:
        # The tail is being written right now.
        findings = [f for f in findings if not f.endswith("cut off")]
    return Verdict(
        sound=not (recovery.damaged_stretches or recovery.unreadable_segments or unreadable),
        segments=len(recovery.sizes),
        bytes=sum(recovery.sizes.values()),
        records=recovery.records,
        waiting=len(index),
        unreadable_records=unreadable,
        torn_bytes=0 if pid is not None else recovery.torn_bytes,
        damaged_stretches=recovery.damaged_stretches,
        damaged_bytes=recovery.damaged_bytes,
        unreadable_segments=recovery.unreadable_segments,
        set_aside=sum(1 for _ in read_aside(directory)),
        in_use_by_pid=pid,
        findings=tuple(findings),
    )


def _check_directory(directory: Path) -> None:
    if not directory.is_dir():
        raise OutboxError(
            f"reading the outbox {directory}",
            got="no such directory",
            expected="the directory of an agent's outbox",
            remedy="Give the path that [outbox] in the agent's configuration names.",
        )


def _read(directory: Path) -> tuple[Index, Recovery]:
    _check_directory(directory)
    index = Index()
    try:
        # A segment that the agent removes while we read makes a gap; what follows it is still right.
        recovery = load(directory, index, Disk(), repair=False)
    except OSError as error:
        raise OutboxError(
            f"reading the outbox {directory}",
            got=error.strerror or str(error),
            expected="files that this user may read",
            remedy="Run the command as the user of the agent.",
        ) from error
    return index, recovery


def _waiting(directory: Path, index: Index) -> Iterator[Waiting]:
    reader = SegmentReader(directory, Disk())
    try:
        for doc_id in index:
            stored = _stored(reader, index, doc_id)
            if stored is None:
                continue  # delivered meanwhile
            try:
                yield decode_waiting(doc_id, stored.body, urgent=stored.urgent, sliced=stored.sliced)
            except (msgspec.DecodeError, ValueError):
                continue
    finally:
        reader.close()


def _stored(reader: SegmentReader, index: Index, doc_id: int) -> Stored | None:
    place = index.place(doc_id)
    if place is None:
        return None
    try:
        return reader.read(*place)
    except OSError:
        return None


__all__ = ["Verdict", "iter_set_aside", "iter_waiting", "outbox_stats", "verify"]
