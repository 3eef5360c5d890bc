"""What the outbox says of itself."""

from __future__ import annotations

import msgspec


class OutboxStats(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the outbox at one moment. Counters count since it was opened."""

    waiting: int
    waiting_urgent: int
    leased: int
    """Handed out to be published, not yet acknowledged."""
    bytes: int
    oldest_t: str | None
    """Time that the oldest waiting record carries."""
    segments: int
    appended: int
    acknowledged: int
    set_aside: int
    """Refused by the broker and kept for a person to look at; these count over all time."""
    dropped: int
    """Records that were not kept; gap records tell which."""
    thinned: int
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
