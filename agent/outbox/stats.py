"""What the outbox says of itself."""

from __future__ import annotations

import msgspec

from agent.outbox.log import SegmentLog
from agent.outbox.wear import Wear


class OutboxStats(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the outbox at one moment. Counters count since it was opened."""

    waiting: int
    waiting_urgent: int
    leased: int = 0
    """Handed out to be published, not yet acknowledged."""
    bytes: int
    oldest_t: str | None = None
    """Time that the oldest waiting record carries."""
    segments: int
    appended: int
    acknowledged: int = 0
    set_aside: int = 0
    """Refused by the broker and kept for a person to look at; these count over all time."""
    dropped: int = 0
    """Records that were not kept; gap records tell which."""
    thinned: int = 0
    """Records of features that became fewer with longer windows, for want of room."""
    written_bytes: int
    """Bytes that the outbox has had written to the card over all time: whole pages, and the journal's."""
    written_bytes_a_day: float | None
    """The same a day, over about a month; None in the first hour."""
    card_life_years: float | None
    """In which the outbox alone uses up a card of the configured endurance; None in the first hour."""
    damaged: int
    """Records that could not be read back from the card."""
    in_memory: int
    """Records that the card did not take: they would not survive a power cut."""
    trouble: str | None
    """In four parts, while the card refuses writes."""
    recovered_records: int
    torn_bytes: int
    damaged_stretches: int
    damaged_bytes: int
    findings: tuple[str, ...]
    """What was found on opening, in words."""


def stats_of(log: SegmentLog, wear: Wear) -> OutboxStats:
    """Return what the files and the card say; for who holds the lock of the log."""
    recovery, trouble = log.recovery, log.trouble
    return OutboxStats(
        waiting=len(log.index),
        waiting_urgent=log.index.urgent,
        bytes=log.size_bytes,
        segments=log.segments,
        appended=log.appended,
        written_bytes=wear.written_bytes,
        written_bytes_a_day=wear.a_day_bytes,
        card_life_years=wear.life_years,
        damaged=log.damaged + recovery.damaged_stretches,
        in_memory=log.in_memory,
        trouble=None if trouble is None else str(trouble),
        recovered_records=recovery.records,
        torn_bytes=recovery.torn_bytes,
        damaged_stretches=recovery.damaged_stretches,
        damaged_bytes=recovery.damaged_bytes,
        findings=tuple(recovery.findings),
    )
