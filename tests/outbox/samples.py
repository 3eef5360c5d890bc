"""Records to put into an outbox, and what is told of those that come out."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from agent.outbox import Outbox
from agent.records import Kind, Record

BOOT = "00112233aabbccdd"
NEVER_S = 3600.0
"""A commit window in which nothing is committed unless the test says so."""


def record(seq: int, kind: Kind = Kind.FEATURES, *, boot: str = BOOT, filler: str = "") -> Record:
    payload = b'{"seq":%d,"t":"2026-01-01T00:00:%02d.000000Z","filler":"%s"}' % (
        seq,
        seq % 60,
        filler.encode(),
    )
    return Record(kind, boot, seq, f"cargobox/1/fleet/box/{kind}", payload)


def records(seqs: Iterable[int], kind: Kind = Kind.FEATURES, *, filler: str = "") -> list[Record]:
    return [record(seq, kind, filler=filler) for seq in seqs]


def filled(directory: Path, count: int, *, filler: str = "") -> None:
    """Leave an outbox with `count` records behind."""
    with Outbox(directory) as outbox:
        outbox.put(records(range(count), filler=filler))


def seqs_taken(outbox: Outbox, limit: int = 1_000_000) -> list[int]:
    """Lease all that is durable and return the sequence numbers, in order."""
    return [waiting.seq for waiting in outbox.take(limit, timeout_s=0)]


def seqs_after(directory: Path) -> list[int]:
    """Open an outbox and return what waits in it."""
    with Outbox(directory) as outbox:
        return seqs_taken(outbox)
