"""What a ring holds on the card: its files, what of them is kept, and which go when there is no room.

Not safe across threads but for what is done under `lock`: its owner's thread changes it, others look.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

from agent.blocks import NS_PER_S
from agent.outbox.files import Disk
from agent.outbox.wear import Wear
from agent.recorder import shelf
from agent.recorder.incidents import Incident, joined
from agent.recorder.mending import Mended, mend
from agent.recorder.settings import RecorderSettings
from agent.recorder.shelf import Keep, RingFile
from agent.timebase import TimeMark, TimeQuality, rfc3339

MIB = 1 << 20
DAY_NS = 86_400 * NS_PER_S
HEAD_BYTES = 16 << 10
"""Header and metadata stand before the first chunk; a file that is hardly longer holds nothing."""
LARGEST_BYTES = 2048 * MIB
"""[recorder] file_mib allows half of it."""

STEADY_NS = 600 * NS_PER_S
"""For so long a clock is `synced` and makes no step before a file goes for its age by it."""
STEP_NS = 60 * NS_PER_S
AGED_A_FILE = 2
"""So many go for their age for each that begins: a clock that lies costs little until it is put right."""

_log = logging.getLogger("cargobox")


class SteadyClock:
    """Wall time, where it may be believed that so much has passed since an earlier start of the agent."""

    def __init__(self) -> None:
        self._offset_ns: int | None = None
        self._since_ns = 0

    def wall_ns(self, mark: TimeMark | None, box_ns: int) -> int | None:
        """Return the wall time at `box_ns`; None until it has been steady for a while. Ask often."""
        if mark is None or mark.quality is not TimeQuality.SYNCED:
            self._offset_ns = None
            return None
        if self._offset_ns is None or abs(mark.offset_ns - self._offset_ns) > STEP_NS:
            self._since_ns = box_ns
        self._offset_ns = mark.offset_ns
        return box_ns + mark.offset_ns if box_ns - self._since_ns >= STEADY_NS else None


class NoRoomError(OSError):
    """The card takes what is written; but what is free is the outbox's."""


def free_bytes_at(directory: Path) -> int:
    """Return the room that is left, for who is not root. Raises OSError."""
    about = os.statvfs(directory)
    return about.f_bavail * about.f_frsize


class Holdings:
    """`boot`: of this run; `free_bytes` asks for the room on the card."""

    def __init__(
        self,
        directory: Path,
        settings: RecorderSettings,
        boot: str,
        disk: Disk,
        wear: Wear,
        free_bytes: Callable[[Path], int] = free_bytes_at,
    ) -> None:
        self.directory = directory
        self.boot = boot
        self.lock = threading.Lock()
        self.files: list[RingFile] = []
        """All but the one that is being written, oldest first."""
        self.keeps: dict[str, Keep] = {}
        self.let_go = 0
        """Incidents that are no longer kept for want of room."""
        self.last_let_go = ""
        """The id of the last of them."""
        self._settings = settings
        self._disk = disk
        self._wear = wear
        self._ask_free_bytes = free_bytes
        self._unwritten: set[str] = set()
        self._told: set[str] = set()
        self._clock = SteadyClock()
        self._may_go_for_age = 0

    @property
    def file_bytes(self) -> float:
        """How large a file may grow: of a small ring no more than a quarter, so that the oldest can go."""
        return min(self._settings.file_mib, self._settings.max_mib / 4) * MIB

    def _free_bytes(self) -> int:
        return self._ask_free_bytes(self.directory)

    def know(self) -> None:
        """Look at what there is; end what a power cut has not ended. Raises OSError."""
        files = []
        for file in shelf.files_in(self.directory):
            if file.state in ("whole", "cut"):
                files.append(file)
                continue
            if (found := self._mended(file)) is None:
                continue
            if found.extent is not None:
                _log.warning("recordings: %s was %s", file.path.name, found.extent.lost)
            elif found.chunks:
                self._set_aside(file, "it says not what it holds")
                continue
            elif found.damaged_places or file.size_bytes > self._settings.chunk_kib * 1024 + HEAD_BYTES:
                self._set_aside(file, "nothing in it can be read")
                continue
            else:
                words = (
                    "recordings: %s was begun before the cut, and no whole chunk is in it (%d bytes of one)"
                )
                _log.info(words, file.path.name, found.torn_bytes)
                self._disk.remove(file.path)
                continue
            if (mended := shelf.look_at(file.path)) is not None:
                files.append(mended)
        files += shelf.set_aside_in(self.directory)
        with self.lock:
            self.files = sorted(files, key=lambda file: file.number)
        if strangers := shelf.strangers_in(self.directory):
            _log.warning("recordings: left alone, since they are no plain files: %s", ", ".join(strangers))

    def _mended(self, file: RingFile) -> Mended | None:
        """End a file in order; None where that cannot be, and it was set aside: the ring goes on without it.

        Raises OSError where the card refuses, and not only to give this file.
        """
        if file.size_bytes > LARGEST_BYTES:
            self._set_aside(file, f"it has {file.size_bytes:,} bytes, and a file of the ring far less")
            return None
        try:
            return mend(file.path, self._disk, self._settings.sync_s)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            self._set_aside(file, "the card does not give it back")
        except Exception as error:  # of whatever kind: one file that is odd must not end the ring
            self._set_aside(file, f"it cannot be mended ({type(error).__name__}: {error})")
        return None

    def _set_aside(self, file: RingFile, why: str) -> None:
        aside = file.path.with_name(file.path.name + shelf.DAMAGED_SUFFIX)
        _log.error("recordings: %s: %s: set aside as %s", file.path, why, aside.name)
        self._disk.rename(file.path, aside)

    def _read_keeps(self) -> None:
        """Take up what is kept by the files beside: a person may have added some, or released some."""
        keeps, unreadable = shelf.keeps_in(self.directory)
        for words in unreadable:
            if words not in self._told:  # they are looked at every few seconds
                _log.warning("recordings: what is kept cannot be read: %s", words)
        self._told = set(unreadable)
        known = {keep.id: keep for keep in keeps}
        known |= {name: self.keeps[name] for name in self._unwritten}
        oldest_ns = min(
            (f.extent.start_ns for f in self.files if f.extent and f.boot == self.boot), default=0
        )
        for name, keep in list(known.items()):
            may_come = keep.boot == self.boot and keep.spans[-1][1] >= oldest_ns
            if name not in self._unwritten and not may_come and shelf.first_number(keep, self.files) is None:
                self._disk.remove(shelf.keep_path(self.directory, keep))  # nothing of it is left
                del known[name]
        with self.lock:
            self.keeps = known

    def keep(self, incident: Incident) -> None:
        """Keep what an incident needs; on the card with the next `write_keeps`."""
        known = self.keeps.get(incident.id)
        spans = joined((*incident.spans, *(known.spans if known is not None else ())))
        severity = max(incident.severity, known.severity if known is not None else 0)
        keep = Keep(
            id=incident.id, boot=self.boot, why=incident.why, severity=severity, spans=spans, t=incident.t
        )
        with self.lock:
            self.keeps[keep.id] = keep
        self._unwritten.add(keep.id)

    def write_keeps(self) -> None:
        """Note what is kept and is not noted yet. Raises OSError."""
        for name in sorted(self._unwritten):
            shelf.write_keep(self._disk, self.directory, self.keeps[name])
            self._wear.wrote(pages=1, syncs=2)
            self._unwritten.discard(name)

    def began(self) -> None:
        """Say that a file was begun: as many may go for their age again."""
        self._may_go_for_age = AGED_A_FILE

    def make_room(self, mark: TimeMark | None, box_ns: int | None) -> None:
        """Let the oldest go until all bounds hold. Raises OSError where that is not enough.

        `box_ns`: of the latest sample, None before there is one; `mark`: how that stands to wall time.
        """
        self._read_keeps()
        settings = self._settings
        while (kept := self._kept_bytes()) > settings.kept_mib * MIB and self._let_go_oldest(kept):
            pass
        self._thin_aside()
        short = self._is_short()
        while short or self._ring_bytes() > settings.max_mib * MIB:
            oldest = self._oldest()
            if oldest is None:
                break
            self._remove(oldest)
            short = self._is_short()
        wall_ns = None if box_ns is None else self._clock.wall_ns(mark, box_ns)
        while self._may_go_for_age and (old := self._oldest()) and (why := self._age(old, box_ns, wall_ns)):
            self._remove(old)
            self._may_go_for_age -= 1
            _log.info("recordings: %s goes: %s; max_days is %g", old.path.name, why, settings.max_days)
        if short:
            raise NoRoomError(
                f"{self._free_bytes() / 1e6:.0f} MB are free on the card and "
                f"{settings.min_free_mib * MIB / 1e6:.0f} MB are the outbox's ([recorder] min_free_mib)",
            )

    def _oldest(self) -> RingFile | None:
        return next((file for file in self.files if not self._is_kept(file)), None)

    def _remove(self, file: RingFile) -> None:
        self._disk.remove(file.path)
        with self.lock:
            self.files.remove(file)
        if file.is_set_aside:
            _log.warning("recordings: %s goes, to make room", file.path.name)

    def _thin_aside(self) -> None:
        """Let the oldest go of what was set aside, where that takes more than a quarter of the ring."""
        aside = [file for file in self.files if file.is_set_aside]
        size_bytes = sum(file.size_bytes for file in aside)
        for file in aside:
            if size_bytes <= self._settings.max_mib * MIB / 4:
                break
            self._remove(file)
            size_bytes -= file.size_bytes

    def _is_short(self) -> bool:
        return self._free_bytes() < self._settings.min_free_mib * MIB

    def _ring_bytes(self) -> float:
        """What is not kept, and what the open file may yet become."""
        # its last chunk goes beyond, and then there is its index
        ahead = self.file_bytes + 2 * self._settings.chunk_kib * 1024
        return ahead + sum(file.size_bytes for file in self.files if not self._is_kept(file))

    def _kept_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files if self._is_kept(file))

    def _is_kept(self, file: RingFile) -> bool:
        return any(keep.covers(file) for keep in self.keeps.values())

    def _age(self, oldest: RingFile, box_ns: int | None, wall_ns: int | None) -> str:
        """Return in words why it is too old, or "": what came after it may say so, too.

        Of this start of the agent box time tells, whatever the clock does. Of earlier ones only a steady
        clock does, of what was `synced`; where clocks contradict each other, that by which it is younger.
        """
        since_ns = round(self._settings.max_days * DAY_NS)
        clocks = shelf.clocks(self.files)
        latest_ns: int | None = None
        for file in self.files:
            if file.extent is None:
                continue
            if file.boot == self.boot:
                if file.number >= oldest.number and box_ns is not None:
                    age_ns = box_ns - file.extent.end_ns
                    if age_ns > since_ns:
                        return f"{age_ns / DAY_NS:.1f} days have been recorded since"
                continue
            offset_ns, quality = clocks[file.boot]
            end_ns = file.extent.end_ns + offset_ns
            if wall_ns is None or quality is not TimeQuality.SYNCED or end_ns > wall_ns:
                continue
            latest_ns = end_ns if latest_ns is None else max(latest_ns, end_ns)
            if file.number >= oldest.number and latest_ns < wall_ns - since_ns:
                return f"it is from {rfc3339(latest_ns)} or before, and now it is {rfc3339(wall_ns)}"
        return ""

    def _let_go_oldest(self, kept_bytes: int) -> bool:
        """Release the incident whose files are the oldest; False where there is none."""
        firsts = [
            (first, keep)
            for keep in self.keeps.values()
            if (first := shelf.first_number(keep, self.files)) is not None
        ]
        if not firsts:
            return False
        _, keep = min(firsts, key=lambda pair: pair[0])
        self._disk.remove(shelf.keep_path(self.directory, keep))
        with self.lock:
            del self.keeps[keep.id]
            self.let_go += 1
            self.last_let_go = keep.id
        self._unwritten.discard(keep.id)
        _log.warning(
            "recordings: %s (%s, %s) is no longer kept: %.0f MB are kept, [recorder] kept_mib allows %.0f",
            *(keep.id, keep.why, keep.t, kept_bytes / 1e6, self._settings.kept_mib * MIB / 1e6),
        )
        return True
