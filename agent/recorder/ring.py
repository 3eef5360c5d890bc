"""The ring: raw streams in files of some minutes each, of which the oldest go when there is no room.

Whatever the card does, it ends neither the ring nor the agent: where it refuses, is full or does not answer,
the ring pauses, says so once, counts what it could not record, and tries again; more and more rarely until
it has recorded for longer than it paused: a slow card is slower with a new file every second. What an
incident keeps stays until the room for that is used up, too. It never takes room that the outbox may need.

All of it but `look`, `skipped` and `take_missed` runs on the recording's thread.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from agent.blocks import NS_PER_S, Block, SensorFault, Silence
from agent.errors import FourPartError
from agent.log_info import LogInfo
from agent.outbox.files import DirectoryLock, Disk
from agent.outbox.wear import PAGE_BYTES, Wear
from agent.recorder import shelf
from agent.recorder.holdings import Holdings, NoRoomError, free_bytes_at
from agent.recorder.incidents import Incident
from agent.recorder.mcap_writer import McapRecorder
from agent.recorder.missing import CARD, SLOW, Missed, MissingBook
from agent.recorder.settings import RecorderSettings
from agent.recorder.shelf import Extent, Keep, RingFile
from agent.streams import StreamSpec
from agent.timebase import TimeMark, TimeQuality

RETRY_MIN_S, RETRY_MAX_S = 1.0, 60.0
WELL_TIMES = 2
"""So many times its last pause a card has to take what comes until it is taken for well."""
LOOK_S = 5.0
"""So often it is asked how much room is left."""

_log = logging.getLogger("cargobox")

RingItem = Block | Silence | SensorFault | TimeMark | Incident


@dataclass(slots=True)
class _Open:
    """The file that is being written."""

    recorder: McapRecorder
    path: Path
    number: int
    begin_ns: int
    last_ns: int
    firsts: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Stream → its first sample in this file, and when that was."""
    counted_bytes: int = 0
    waits_since_s: float | None = None
    """From when on something may wait to be seen onto the card; None where nothing does."""

    def is_there(self) -> bool:
        """Whether it still has its name; without one, what is written to it is lost when it is closed."""
        try:
            return self.path.lstat().st_size >= self.counted_bytes
        except FileNotFoundError:
            return False


class _TakenAwayError(OSError):
    """The open file has no name any more."""


class Ring:
    """Has the shape of a `Recorder` of ``agent.recording``."""

    def __init__(
        self,
        directory: Path,
        settings: RecorderSettings,
        streams: Sequence[StreamSpec],
        *,
        box: str | None,
        boot: str,
        software: str,
        mount_up: tuple[float, float, float] | None = None,
        endurance_tbw: float = 10.0,
        disk: Disk | None = None,
        free_bytes: Callable[[Path], int] = free_bytes_at,
        on_synced: Callable[[Path, int, int], None] = lambda path, size, last_ns: None,
    ) -> None:
        self.directory = directory
        self.trouble = ""
        """Why it pauses, in words; empty while it records."""
        self.boot = boot
        self._settings = settings
        self._info = LogInfo(box=box, boot=boot, software=software, streams=tuple(streams), mount_up=mount_up)
        self._disk = disk or Disk()
        self._on_synced = on_synced
        self._wear = Wear(directory, self._disk, endurance_tbw)
        self._held = Holdings(directory, settings, boot, self._disk, self._wear, free_bytes)
        self._lock = self._held.lock
        self._is_known = False
        self._has_refused = False
        self._guard: DirectoryLock | None = None
        self._open: _Open | None = None
        self._mark: TimeMark | None = None
        self._seen: dict[str, tuple[int, int]] = {}
        self._missing = MissingBook()
        self._retry_at_s = 0.0
        self._wait_s = 0.0
        self._pauses = 0
        """Since the card was last well."""
        self._resumed_s = 0.0
        self._looked_s = 0.0
        self._began_s = time.monotonic()
        self._recorded_bytes = 0

    # -- on the recording's thread ---------------------------------------------------------------

    def write(self, item: RingItem) -> None:
        """Take one item. Never raises for what the card does, nor for a block that no file could hold."""
        if isinstance(item, Incident):
            self._keep(item)
            return
        if isinstance(item, TimeMark):
            self._mark = item
            if self._open is None:
                return
        if self._open is None and not self._began(item):
            self._miss(item)
            return
        assert self._open is not None
        current = self._open
        if isinstance(item, Block):
            current.firsts.setdefault(item.stream, (item.first, item.start_ns))
            current.last_ns = max(current.last_ns, item.last_ns)
            self._seen[item.stream] = item.end, item.last_ns
        if current.waits_since_s is None:
            current.waits_since_s = time.monotonic()
        try:
            current.recorder.write(item)
            self._after_write(current)
        except FourPartError as error:
            if isinstance(error.__cause__, OSError):
                self._pause(error.got)
            else:
                self._refuse(item, error)
        except NoRoomError as error:
            with self._refusals():
                self._end_file(current)
            self._pause(str(error))
        except OSError as error:
            self._pause(error.strerror or str(error), nothing_stored=isinstance(error, _TakenAwayError))

    def _keep(self, incident: Incident) -> None:
        self._held.keep(incident)
        if self._open is None and not self._is_known:
            return
        with self._refusals():
            if self._open is not None:  # and not between two files
                self._open.recorder.flush()  # after an accident the power may go
            self._held.write_keeps()

    def rest(self) -> None:
        """Nothing has come for a moment: see what has waited for `sync_s` onto the card, as `write` would.

        Never raises for a card that refuses.
        """
        current = self._open
        if current is None or current.waits_since_s is None:
            return
        if time.monotonic() - current.waits_since_s >= self._settings.sync_s:
            with self._refusals():
                current.recorder.flush()
                self._count(current)
                current.waits_since_s = None

    def close(self) -> None:
        """End the open file in order. Never raises for a card that refuses."""
        if self._open is not None:
            with self._refusals():
                self._end_file(self._open)
        with self._refusals():
            self._held.write_keeps()
        if self._guard is not None:
            self._wear.save()
            self._guard.release()
            self._guard = None

    def _refusals(self) -> _Refusals:
        return _Refusals(self)

    def _began(self, item: Block | Silence | SensorFault | TimeMark) -> bool:
        """Begin a file if the card may be tried and takes it."""
        if time.monotonic() < self._retry_at_s or isinstance(item, TimeMark):
            return False
        at_ns = item.start_ns if isinstance(item, Block) else _time_of(item)
        with self._refusals():
            self._disk.make_directory(self.directory)
            if self._guard is None:
                self._guard = DirectoryLock(self.directory)
            if not self._is_known:
                self._held.know()
                self._is_known = True
            self._make_room()
            self._begin_file(at_ns)
        if self._open is None:
            return False
        if self.trouble:
            _log.log(_loud(logging.INFO, self._pauses), "recordings: the card takes them again")
            self._resumed_s = time.monotonic()
        self.trouble = ""
        return True

    def _begin_file(self, at_ns: int) -> None:
        mark = self._mark or TimeMark(at_ns, 0, TimeQuality.UNSET)
        number = 1 + max((file.number for file in self._held.files), default=0)
        path = self.directory / shelf.name_of(number, at_ns + mark.offset_ns, self.boot)
        meta = {
            shelf.BEGIN_KEY: str(at_ns),
            shelf.OFFSET_KEY: str(mark.offset_ns),
            shelf.QUALITY_KEY: mark.quality.value,
        }
        recorder = McapRecorder(
            path,
            msgspec.structs.replace(self._info, meta=meta),
            chunk_bytes=self._settings.chunk_kib * 1024,
            sync_s=self._settings.sync_s,
            sync_chunks=True,
            disk=self._disk,
        )
        if self._mark is not None:
            recorder.write(self._mark)
        with self._lock:
            self._open = _Open(recorder, path, number, at_ns, at_ns)
        self._held.began()

    def _count(self, current: _Open) -> int:
        """Count what has come onto the card since the last time; return that."""
        grown = current.recorder.size_bytes - current.counted_bytes
        if grown:
            current.counted_bytes += grown
            current.waits_since_s = time.monotonic()
            with self._lock:
                self._recorded_bytes += grown
                self._wear.wrote(pages=1 + grown // PAGE_BYTES, syncs=1)
            self._wear.save_if_due()
            self._see_whether_well()
            self._on_synced(current.path, current.counted_bytes, current.last_ns)
        return grown

    def _see_whether_well(self) -> None:
        if not self._pauses or time.monotonic() - self._resumed_s < WELL_TIMES * self._wait_s:
            return
        if self._pauses > 1:
            _log.info("recordings: the card is well again, after %d pauses", self._pauses)
        self._pauses, self._wait_s = 0, 0.0

    def _after_write(self, current: _Open) -> None:
        grown = self._count(current)
        settings = self._settings
        span_ns = current.last_ns - current.begin_ns
        if current.counted_bytes >= self._held.file_bytes or span_ns >= settings.file_s * NS_PER_S:
            self._end_file(current)
        elif grown and time.monotonic() - self._looked_s >= LOOK_S:
            if not current.is_there():
                raise _TakenAwayError(errno.ENOENT, "somebody has taken the file away that was being written")
            self._held.write_keeps()
            self._make_room()

    def _end_file(self, current: _Open) -> None:
        """Finish the open file; the next item begins another."""
        recorder = current.recorder
        mark = self._mark or TimeMark(0, 0, TimeQuality.UNSET)
        extent = Extent(current.begin_ns, current.last_ns, mark.offset_ns, mark.quality)
        recorder.flush()
        recorder.note(shelf.EXTENT_NAME, extent.to_metadata())
        recorder.close()
        ended = RingFile(current.path, current.number, self.boot, recorder.size_bytes, "whole", extent)
        with self._lock:
            self._held.files.append(ended)
            self._open = None

    def _pause(self, why: str, *, nothing_stored: bool = False) -> None:
        """Give the open file up as it is, and leave the card alone for a while."""
        current = self._open
        if current is not None:
            current.recorder.leave()
            for stream, (end, last_ns) in self._seen.items():
                if stream not in current.firsts:
                    continue
                stored = {} if nothing_stored else current.recorder.stored
                first, start_ns = stored.get(stream, current.firsts[stream])
                if first < end:
                    self._missing.add(stream, first, end - 1, start_ns, last_ns, CARD)
            with contextlib.suppress(OSError):
                if (left := shelf.look_at(current.path)) is not None:
                    self._held.files.append(left)
        self._is_known = False  # what was not ended is mended with the next attempt
        with self._lock:
            self._open = None
        self._wait_s = min(RETRY_MAX_S, max(RETRY_MIN_S, self._wait_s * 2))
        self._retry_at_s = time.monotonic() + self._wait_s
        if not self.trouble:
            self._pauses += 1
            words = "recordings pause: %s; all else goes on, and it is tried again"
            _log.log(_loud(logging.WARNING, self._pauses), words, why)
        self.trouble = why

    def _make_room(self) -> None:
        self._looked_s = time.monotonic()
        box_ns = max((last_ns for _, last_ns in self._seen.values()), default=None)
        self._held.make_room(self._mark, box_ns)

    def _refuse(self, item: RingItem, error: FourPartError) -> None:
        """Pass over what is no sample of a stream that it knows; say so, once."""
        if not self._has_refused:
            self._has_refused = True
            _log.error("%s", error)
        self._miss(item)

    def _miss(self, item: RingItem) -> None:
        if isinstance(item, Block):
            self._missing.blocks([item], CARD)

    # -- on any thread ---------------------------------------------------------------------------

    def skipped(self, items: Sequence[object]) -> None:
        """Note what was never handed over, because the card is too slow."""
        self._missing.blocks(items, SLOW)

    def take_missed(self, *, everything: bool = False) -> list[Missed]:
        """Return what was not recorded, once the ring records again; before that only if `everything`."""
        return [] if self.trouble and not everything else self._missing.take()

    def offset_ns(self) -> int:
        """Return how box time stands to wall time, as last marked."""
        return 0 if self._mark is None else self._mark.offset_ns

    def files(self) -> list[tuple[RingFile, list[Keep]]]:
        """Return every file that is ended, oldest first, and what keeps it."""
        with self._lock:
            keeps = list(self._held.keeps.values())
            return [(file, [keep for keep in keeps if keep.covers(file)]) for file in self._held.files]

    def look(self) -> dict[str, Any]:
        """Return how it stands, for the health record."""
        files = self.files()
        with self._lock:
            open_bytes = self._open.counted_bytes if self._open is not None else 0
            a_day, life = self._wear.a_day_bytes, self._wear.life_years
            kept, let_go, last_let_go = len(self._held.keeps), self._held.let_go, self._held.last_let_go
        told: dict[str, Any] = {
            "paused": bool(self.trouble),
            "files": len(files) + (open_bytes > 0),
            "bytes": sum(file.size_bytes for file, _ in files) + open_bytes,
            "kept": kept,
            "kept_bytes": sum(file.size_bytes for file, keeps in files if keeps),
            "let_go": let_go,
            "missed_samples": self._missing.samples,
        }
        if last_let_go:
            told["last_let_go"] = last_let_go
        if self.trouble:
            told["trouble"] = self.trouble
        if a_day is not None:
            told["written_bytes_a_day"] = float(f"{a_day:.4g}")
        if life is not None:
            told["card_life_years"] = float(f"{life:.4g}")
        return told


class _Refusals(contextlib.AbstractContextManager[None]):
    """What the card refuses inside makes the ring pause."""

    def __init__(self, ring: Ring) -> None:
        self._ring = ring

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        if isinstance(error, OSError):
            self._ring._pause(error.strerror or str(error))
            return True
        if isinstance(error, FourPartError):
            self._ring._pause(error.got)
            return True
        return False


def _loud(level: int, pauses: int) -> int:
    """Return how loud it is said: a card that comes and goes would bury what else the log has to say."""
    return level if pauses <= 1 else logging.DEBUG


def _time_of(item: Silence | SensorFault) -> int:
    return item.until_ns if isinstance(item, Silence) else item.at_ns
