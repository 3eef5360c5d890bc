"""Wear: how much the outbox writes to the card a day, and how long the card bears that.

A card writes whole pages, and for each sync the file system's journal as well: so what is counted is not the
bytes of records but pages of 4 KiB, and `JOURNAL_BYTES` a sync. Inside the card a small write moves more than
itself; `AMPLIFICATION` is an assumption on the safe side for small writes in order, and so is the default of
`[outbox] card_endurance_tbw`: 32 GB of three bits a cell that bear 300 to 1000 rewrites come to 10 to 32 TB.
Counted is what the outbox writes, and nothing else on the card. Kept in ``wear.json``, written now and then:
a cut forgets an hour.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path

import msgspec

from agent.outbox.files import Disk
from agent.outbox.losses import replace_file

FILE_NAME = "wear.json"
PAGE_BYTES = 4096
JOURNAL_BYTES = 4 * PAGE_BYTES
"""ext4, data=ordered: a descriptor, an inode table block, a bitmap or directory block, and the commit."""
AMPLIFICATION = 4.0
SAVE_S = 3600.0
KNOWN_S = 3600.0
"""Counted for less than this, nothing is said of a day."""
FADE_S = 30 * 86_400.0
DAY_S = 86_400.0
DAYS_A_YEAR = 365.25

_log = logging.getLogger(__name__)


class _Kept(msgspec.Struct):
    written_bytes: float = 0.0
    """Over all time."""
    recent_bytes: float = 0.0
    recent_s: float = 0.0


class Wear:
    """Not safe across threads by itself: its owner holds a lock."""

    def __init__(self, directory: Path, disk: Disk, endurance_tbw: float) -> None:
        self._path = directory / FILE_NAME
        self._disk = disk
        self._endurance_bytes = endurance_tbw * 1e12
        self._kept = self._read()
        self._stood_at = 0, 0  # pages and syncs
        self._since_s = self._saved_s = time.monotonic()

    def wrote(self, pages: int, syncs: int) -> None:
        """Count pages of files, and syncs."""
        written = pages * PAGE_BYTES + syncs * JOURNAL_BYTES
        self._kept.written_bytes += written
        self._kept.recent_bytes += written

    def stands_at(self, pages: int, syncs: int) -> None:
        """Count what came since the last time: pages and syncs since the outbox was opened."""
        self.wrote(pages - self._stood_at[0], syncs - self._stood_at[1])
        self._stood_at = pages, syncs

    @property
    def written_bytes(self) -> int:
        """Bytes over all time, those of the journal among them."""
        return round(self._kept.written_bytes)

    @property
    def a_day_bytes(self) -> float | None:
        """Bytes a day, over about the last month in which it ran; None before it is known."""
        self._pass_time()
        seconds = self._kept.recent_s
        return self._kept.recent_bytes * DAY_S / seconds if seconds >= KNOWN_S else None

    @property
    def life_years(self) -> float | None:
        """Years in which the outbox alone would use up a new card; None before it is known."""
        a_day = self.a_day_bytes
        return None if not a_day else self._endurance_bytes / (a_day * AMPLIFICATION * DAYS_A_YEAR)

    def save_if_due(self) -> None:
        """Keep the counts, now and then."""
        if time.monotonic() - self._saved_s >= SAVE_S:
            self.save()

    def save(self) -> None:
        """Keep the counts. Never raises: a card that refuses is told of elsewhere."""
        self._pass_time()
        self._saved_s = time.monotonic()
        self.wrote(pages=1, syncs=2)
        try:
            replace_file(self._disk, self._path, msgspec.json.encode(self._kept))
        except OSError as error:
            _log.debug("outbox: the count of bytes cannot be kept: %s", error)

    def _pass_time(self) -> None:
        now_s = time.monotonic()
        kept = self._kept
        kept.recent_s += now_s - self._since_s
        self._since_s = now_s
        if kept.recent_s > FADE_S:
            kept.recent_s /= 2
            kept.recent_bytes /= 2

    def _read(self) -> _Kept:
        try:
            return msgspec.json.decode(self._disk.read_file(self._path), type=_Kept)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return _Kept()
