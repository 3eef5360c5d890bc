"""Reads the ring between two times: for `cargobox recordings export`, and for what an order asks for.

Beside a ring that is being written, from any thread or process: up to the last chunk that is on the card.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from agent.blocks import Block, SensorFault, Silence
from agent.errors import LogFileError
from agent.recorder import shelf
from agent.recorder.shelf import RingFile
from agent.sources.log_source import LogOptions
from agent.sources.mcap_log import McapLog
from agent.streams import StreamSpec
from agent.timebase import TimeMark, TimeQuality

Item = Block | Silence | SensorFault | TimeMark


@dataclass(slots=True)
class Excerpt:
    """What one start of the agent recorded between two times; blocks are not cut at the edges.

    Wall time = box time + ``offset_ns``. ``start_ns``, ``end_ns``: box time of that boot. ``items``: once.
    ``notes``: what a person should know, complete when `items` has ended.
    """

    boot: str
    box: str | None
    software: str
    streams: tuple[StreamSpec, ...]
    mount_up: tuple[float, float, float] | None
    offset_ns: int
    quality: TimeQuality
    start_ns: int
    end_ns: int
    items: Iterator[Item]
    notes: list[str] = field(default_factory=list)


def read(directory: Path, start_wall_ns: int, end_wall_ns: int) -> Iterator[Excerpt]:
    """Yield what there is between two wall times, one excerpt a boot, oldest first. Raises OSError."""
    files = shelf.files_in(directory)
    clocks = shelf.clocks(files)
    for boot, (offset_ns, quality) in clocks.items():
        start_ns, end_ns = start_wall_ns - offset_ns, end_wall_ns - offset_ns
        chosen = [file for file in files if file.boot == boot and _reaches(file, start_ns, end_ns)]
        first = next((log for file in chosen if (log := _opened(file)) is not None), None)
        if first is None:
            continue
        streams = first.open()
        identity = first.identity
        notes: list[str] = []
        yield Excerpt(
            boot,
            identity.box,
            identity.meta["software"],
            streams,
            identity.mount_up,
            offset_ns,
            quality,
            start_ns,
            end_ns,
            _items(chosen, start_ns, end_ns, notes),
            notes,
        )


def _reaches(file: RingFile, start_ns: int, end_ns: int) -> bool:
    if file.extent is None:
        return False
    until_ns = math.inf if file.state == "open" else file.extent.end_ns
    return file.extent.start_ns <= end_ns and until_ns >= start_ns


def _opened(file: RingFile) -> McapLog | None:
    log = McapLog(file.path, LogOptions())
    try:
        log.open()
    except (LogFileError, OSError):  # it made room for others meanwhile
        return None
    return log


def _items(files: list[RingFile], start_ns: int, end_ns: int, notes: list[str]) -> Iterator[Item]:
    marks: set[TimeMark] = set()
    in_force: TimeMark | None = None
    for file in files:
        if file.state == "cut" and file.extent is not None:
            notes.append(f"{file.path.name}: {file.extent.lost}")
        if (log := _opened(file)) is None:
            notes.append(f"{file.path.name}: it has gone meanwhile, or cannot be read")
            continue
        for item in log.items():
            if isinstance(item, TimeMark):
                if item in marks:
                    continue
                marks.add(item)
                if item.box_ns < start_ns:
                    in_force = item
                    continue
            elif not _is_within(item, start_ns, end_ns):
                continue
            if in_force is not None:
                yield in_force
                in_force = None
            yield item
        if file.state != "open":
            notes += [f"{file.path.name}: {note}" for note in log.notes]


def _is_within(item: Block | Silence | SensorFault, start_ns: int, end_ns: int) -> bool:
    if isinstance(item, Block):
        return item.last_ns >= start_ns and item.start_ns <= end_ns
    at_ns = item.until_ns if isinstance(item, Silence) else item.at_ns
    return start_ns <= at_ns <= end_ns
