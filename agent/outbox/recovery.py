"""Recovery: from whatever a power cut left on the card to an index of the records that wait.

Opening never fails on account of what is in the files. A torn tail is cut off, a damaged stretch is
stepped over, and both are said in numbers and in words.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from pathlib import Path

from agent.outbox.files import MOST_SEGMENT, Disk, segment_files
from agent.outbox.frames import (
    SEGMENT_HEADER_BYTES,
    Damage,
    Flag,
    Op,
    decode_header,
    finished_by,
    run_of_puts,
    step,
)
from agent.outbox.index import Index, State

_STATE_OF_FLAGS = bytes(
    int(State.URGENT_READY if flags & Flag.URGENT else State.READY) for flags in range(256)
)


@dataclass(slots=True)
class Recovery:
    """What was found on opening. ``sizes`` is the number of good bytes of each segment, oldest first."""

    sizes: dict[int, int] = field(default_factory=dict)
    next_id: int = 1
    records: int = 0
    torn_bytes: int = 0
    damaged_stretches: int = 0
    damaged_bytes: int = 0
    unreadable_segments: int = 0
    read_only: bool = False
    findings: list[str] = field(default_factory=list)


def load(directory: Path, index: Index, disk: Disk, *, repair: bool) -> Recovery:
    """Read all segments into `index`; with `repair`, cut torn tails and put unreadable files aside.

    Raises OSError only if the directory itself cannot be read.
    """
    found = Recovery()
    segments = list(segment_files(directory))
    for place, (number, path) in enumerate(segments):
        last = place == len(segments) - 1
        try:
            if not 0 < number < MOST_SEGMENT:
                raise OSError(errno.EINVAL, "a number that no segment has")
            data = disk.read_file(path)
        except FileNotFoundError:
            continue  # a running agent removed it between the listing and now: all of it was done
        except OSError as error:
            found.unreadable_segments += 1
            found.findings.append(f"{path.name} cannot be read ({error.strerror}); put aside as .unreadable")
            if repair:
                _try_rename(disk, path)
            continue
        _load_segment(number, path, data, index, found, last=last)
        if repair:
            _repair(path, number, len(data), found, disk, last=last)
    if repair and not found.read_only:
        disk.sync_directory(directory)
    return found


def _load_segment(number: int, path: Path, data: bytes, index: Index, found: Recovery, *, last: bool) -> None:
    header = decode_header(data)
    if header is not None:
        found.next_id = max(found.next_id, header[1])
    elif len(data) > SEGMENT_HEADER_BYTES:
        found.damaged_stretches += 1
        found.damaged_bytes += SEGMENT_HEADER_BYTES
        found.findings.append(f"{path.name}: damaged header; its records are read all the same")
    else:
        found.sizes[number] = 0
        if data and last:
            found.torn_bytes += len(data)
            found.findings.append(f"{path.name}: cut while it was being created; nothing was in it")
        return

    found.sizes[number] = len(data)
    offset = SEGMENT_HEADER_BYTES
    while offset < len(data):
        run = run_of_puts(data, offset)
        if run.flags:
            index.put_run(run.first_id, number, run.offsets, run.flags.translate(_STATE_OF_FLAGS))
            found.records += len(run.flags)
            found.next_id = max(found.next_id, run.first_id + len(run.flags))
            offset = run.end
            continue
        if not any_but_zeros(data, offset):
            found.sizes[number] = offset  # room that was made ahead of what was written
            return
        item = step(data, offset)
        offset = item.end
        if isinstance(item, Damage):
            torn = item.at_end and last
            if torn:
                found.sizes[number] = item.start
                item = Damage(item.start, len(data.rstrip(b"\0")), at_end=True)
            _report(path, item, found, torn=torn)
            continue
        for doc_id in finished_by(data, item):
            index.remove(doc_id)
        if item.op == Op.MERGED:
            index.put(item.doc_id, number, item.offset, _STATE_OF_FLAGS[item.flags])
            found.records += 1
            found.next_id = max(found.next_id, item.doc_id + 1)


def any_but_zeros(data: bytes, offset: int) -> bool:
    """Return whether something was written from `offset` on."""
    return data.count(0, offset) != len(data) - offset


def _report(path: Path, damage: Damage, found: Recovery, *, torn: bool) -> None:
    length = damage.end - damage.start
    if torn:
        found.torn_bytes += length
        found.findings.append(f"{path.name}: the last {length} bytes were never completely written; cut off")
    else:
        found.damaged_stretches += 1
        found.damaged_bytes += length
        found.findings.append(
            f"{path.name}: {length} damaged bytes at {damage.start}; that part is lost, the rest is read"
        )


def _repair(path: Path, number: int, length: int, found: Recovery, disk: Disk, *, last: bool) -> None:
    """Cut a torn tail off, and make sure that what was read is on the medium and not in a cache only."""
    size = found.sizes[number]
    try:
        fd = disk.open_write(path)
        try:
            if last and size < length:
                disk.truncate(fd, size)
            disk.sync(fd)
        finally:
            disk.close(fd)
    except OSError as error:
        # A read-only card: the records can still be delivered from it.
        if not found.read_only:
            found.read_only = True
            found.findings.append(f"{path.name} cannot be written ({error.strerror})")


def _try_rename(disk: Disk, path: Path) -> None:
    try:
        disk.rename(path, path.with_suffix(".unreadable"))
    except OSError:
        return  # it stays where it is, is not in the index and is never removed
