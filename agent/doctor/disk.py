"""The card under the outbox: may it be written, is there room, and how long does a sync take?"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from agent.doctor.finding import Area, Finding, Patient, State
from agent.outbox.files import holder_pid

MiB = 1 << 20
SYNCS = 10
SYNC_BYTES = 4096
SLOW_SYNC_S = 0.1  # an alarm is on the card before it is on the wire: this is added to its time
LEAST_FREE_MIB = 64.0
LEAST_INODES = 1000
IN_MEMORY = frozenset({"tmpfs", "ramfs"})
OVERLAY_NAME = "overlayroot"  # what raspi-config calls a card whose changes are forgotten at each start


def check(patient: Patient) -> Iterator[Finding]:
    """Look at the folder of the outbox and the file system below it."""
    if patient.config is None:
        yield Finding(Area.DISK, State.SKIPPED, "outbox", patient.why_no_config)
        return
    folder = Path(patient.config.outbox.directory)
    held_by = holder_pid(folder)
    if held_by is not None:
        yield Finding(
            Area.DISK,
            State.OK,
            str(folder),
            f"the agent has it open (process {held_by})",
            figures={"in_use_by_pid": held_by},
        )
    place = _nearest(folder)
    if not place.is_dir():
        yield Finding(
            Area.DISK,
            State.WRONG,
            str(place),
            "it is a file",
            "Move it away, or change directory under [outbox].",
        )
        return
    yield from _room(place, patient.config.outbox.max_mib)
    read_only = bool(os.statvfs(place).f_flag & os.ST_RDONLY)
    if read_only:
        yield Finding(
            Area.DISK,
            State.WRONG,
            str(place),
            "the file system is read-only",
            "A card that fails turns read-only by itself: `dmesg | grep -i mmc`, save what is on it and "
            "replace it. If it was mounted so on purpose, put the outbox elsewhere.",
        )
    elif not os.access(place, os.W_OK | os.X_OK):
        yield _not_allowed(place, in_use=held_by is not None)
    else:
        yield _syncs(place, "" if place == folder else f"{folder} will be made here; ")


def _nearest(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that is there."""
    return next(path for path in (folder, *folder.parents) if path.exists())


def _room(place: Path, max_mib: float) -> Iterator[Finding]:
    about = os.statvfs(place)
    free_mib = about.f_bavail * about.f_frsize / MiB
    kind, source = _file_system(place)
    figures = {
        "free_mib": round(free_mib, 1),
        "free_inodes": about.f_favail,
        "file_system": kind,
        "outbox_max_mib": max_mib,
    }
    wanted_mib = min(max_mib, LEAST_FREE_MIB)
    found = f"{_size(free_mib)} free ({kind}), the outbox takes {_size(max_mib)} at most"
    remedy, state = "", State.OK
    if free_mib < wanted_mib:
        state = State.WRONG
        remedy = "Make room: `df -h` and `sudo journalctl --vacuum-size=100M` are a beginning."
    elif about.f_files and about.f_favail < LEAST_INODES:
        state = State.WRONG
        found += f", and room for {about.f_favail} more files only"
        remedy = "Remove small files; `df -i` tells how many there are."
    elif kind in IN_MEMORY or source == OVERLAY_NAME:
        state = State.WARNING
        found += "; it is kept in memory"
        remedy = (
            "What waits there is lost with the power. Choose another directory under [outbox], on the card."
        )
    elif free_mib < max_mib:
        state = State.WARNING
        remedy = "Make room, or lower max_mib under [outbox]."
    yield Finding(Area.DISK, state, f"room at {place}", found, remedy, figures)


def _syncs(place: Path, before: str) -> Finding:
    """Write and sync a small file as the outbox does, and take the time."""
    path = place / f".cargobox-doctor-{os.getpid()}"
    times_s: list[float] = []
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            for number in range(SYNCS):
                begin_s = time.perf_counter()
                os.pwrite(fd, bytes(SYNC_BYTES), number * SYNC_BYTES)
                os.fdatasync(fd)
                times_s.append(time.perf_counter() - begin_s)
        finally:
            os.close(fd)
    except OSError as error:
        return Finding(
            Area.DISK,
            State.WRONG,
            f"writing to {place}",
            f"{before}{error.strerror or error}",
            "`df -h`, `df -i` and `dmesg | tail` tell more; a card that fails must be replaced.",
        )
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
    typical_s, worst_s = statistics.median(times_s), max(times_s)
    slow = typical_s > SLOW_SYNC_S
    return Finding(
        Area.DISK,
        State.WARNING if slow else State.OK,
        f"writing to {place}",
        f"{before}{SYNC_BYTES // 1024} KiB are safe after {typical_s * 1000:.1f} ms, at worst "
        f"{worst_s * 1000:.1f} ms",
        "Each alarm waits so long for the card: take a better one (class A1 or A2)." if slow else "",
        {"sync_median_ms": round(typical_s * 1000, 2), "sync_max_ms": round(worst_s * 1000, 2)},
    )


def _not_allowed(place: Path, *, in_use: bool) -> Finding:
    owner_id = place.stat().st_uid
    owner = _user(owner_id)
    figures = {"owner": owner}
    if in_use:
        return Finding(
            Area.DISK,
            State.SKIPPED,
            f"writing to {place}",
            f"it belongs to {owner}, and this user may not write there",
            f"To measure it: `sudo -u {owner} cargobox doctor --config FILE`",
            figures,
        )
    return Finding(
        Area.DISK,
        State.WARNING if owner_id not in (0, os.getuid()) else State.WRONG,
        f"writing to {place}",
        f"permission denied: it belongs to {owner}, and this is {_user(os.getuid())}",
        f"If the agent runs as {owner}, look as that user: `sudo -u {owner} cargobox doctor --config FILE`. "
        f"If it runs as this one: `sudo chown -R {_user(os.getuid())} {place}`",
        figures,
    )


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _file_system(place: Path) -> tuple[str, str]:
    """Return kind and source of what is mounted there (proc_mounts(5)); the longest path that fits."""
    best = ("unknown", "")
    longest = -1
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/mounts").read_text().splitlines():
            source, where, kind = line.split()[:3]
            point = Path(re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), where))
            if place.resolve().is_relative_to(point) and len(point.parts) >= longest:
                longest, best = len(point.parts), (kind, source)
    return best


def _size(mib: float) -> str:
    return f"{mib / 1024:.1f} GiB" if mib >= 1024 else f"{mib:.0f} MiB"
