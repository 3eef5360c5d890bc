"""The shelf: which files a ring of recordings consists of, from when to when each reaches, and what is kept.

The folder itself is the only memory: a file's name says its place in the order and its boot, its own metadata
when it begins and ends, and a small ``.keep`` file beside says what an incident keeps from deletion. So
whatever a power cut leaves is a shelf, and `cargobox recordings keep` needs no word with the agent.
"""

from __future__ import annotations

import contextlib
import re
import stat
import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Literal

import msgspec
from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Metadata

from agent.blocks import NS_PER_S
from agent.mcap_codec import METADATA_NAME, info_of
from agent.outbox.files import Disk
from agent.outbox.losses import replace_file
from agent.plain_files import MOST_BYTES, read_regular
from agent.sources.mcap_frames import MAGIC
from agent.timebase import TimeQuality

EXTENT_NAME = "cargobox-extent"
KEEP_SUFFIX = ".keep"
DAMAGED_SUFFIX = ".damaged"
BEGIN_KEY, OFFSET_KEY, QUALITY_KEY = "begin_ns", "offset_ns", "time_quality"
_NAME = re.compile(r"(?P<number>[0-9]{8,18})_(?P<time>\d{8}T\d{6}Z)_(?P<boot>[0-9a-f]{16})\.mcap")
_RECORD = struct.Struct("<BQ")
_FOOTER_BYTES = 9 + 8 + 8 + 4
_U64 = struct.Struct("<Q")
_CHUNK_TIMES = struct.Struct("<QQ")
_LARGEST_SUMMARY = 8 << 20
_TRUST = (TimeQuality.UNSET, TimeQuality.RESTAMPED, TimeQuality.HOLDOVER, TimeQuality.SYNCED)

_WRONG = (
    ArithmeticError,
    LookupError,
    McapError,
    MemoryError,
    OSError,
    ValueError,
    msgspec.MsgspecError,
    struct.error,
)
"""What damaged bytes may raise when they are read as what they are not."""

MOST_NS = 1 << 62
CRC_KEY = "crc32"

State = Literal["whole", "cut", "open", "damaged"]
"""Ended in order; mended after a power cut or a card that refused; not ended (yet); of no use any more."""


@dataclass(frozen=True, slots=True)
class Extent:
    """From when to when a file reaches, in box time, and how that stands to wall time."""

    start_ns: int
    end_ns: int
    offset_ns: int
    quality: TimeQuality
    lost: str = ""
    """What is not in it, in words; empty where nothing is known to be missing."""

    def to_metadata(self) -> dict[str, str]:
        """Return it as the strings of an MCAP metadata record."""
        words = {
            BEGIN_KEY: str(self.start_ns),
            "end_ns": str(self.end_ns),
            OFFSET_KEY: str(self.offset_ns),
            QUALITY_KEY: self.quality.value,
            "lost": self.lost,
        }
        return {**words, CRC_KEY: _crc(words)}  # MCAP has no checksum on metadata

    @classmethod
    def from_metadata(cls, words: Mapping[str, str]) -> Extent:
        """Read it back. Raises ValueError, KeyError."""
        if words.get(CRC_KEY, crc := _crc(words)) != crc:  # files of earlier versions have none
            raise ValueError("its checksum does not match")
        times_ns = [int(words[key]) for key in (BEGIN_KEY, "end_ns", OFFSET_KEY)]
        if max(map(abs, times_ns)) > MOST_NS:
            raise ValueError("times beyond what a clock can tell")
        return cls(
            times_ns[0], times_ns[1], times_ns[2], TimeQuality(words[QUALITY_KEY]), words.get("lost", "")
        )


@dataclass(frozen=True, slots=True)
class RingFile:
    """One file of the ring."""

    path: Path
    number: int
    boot: str
    size_bytes: int
    state: State
    extent: Extent | None
    """None where nothing can be read of it."""

    @property
    def is_set_aside(self) -> bool:
        """Whether it has another name since it can be of no use; no incident keeps such a file."""
        return self.path.suffix == DAMAGED_SUFFIX


class Keep(msgspec.Struct, frozen=True, kw_only=True):
    """What keeps files from deletion: spans of box time of one boot, and why."""

    v: Literal[1] = 1
    id: str
    boot: str
    why: str
    severity: int = 0
    by: Literal["agent", "hand"] = "agent"
    spans: tuple[tuple[int, int], ...]
    t: str = ""
    """When it was made, RFC 3339."""

    def covers(self, file: RingFile) -> bool:
        """Whether the file holds a part of it; one of which nothing is known is not given away."""
        if file.boot != self.boot or file.is_set_aside:
            return False
        extent = file.extent
        return extent is None or any(a <= extent.end_ns and b >= extent.start_ns for a, b in self.spans)


def _crc(words: Mapping[str, str]) -> str:
    text = "\n".join(f"{key} {word}" for key, word in sorted(words.items()) if key != CRC_KEY)
    return f"{zlib.crc32(text.encode()):08x}"


def name_of(number: int, wall_ns: int, boot: str) -> str:
    """Return a file's name. The number sorts: a Pi's clock may be wrong, and then set right."""
    when = datetime.fromtimestamp(max(0, wall_ns) // NS_PER_S, UTC)
    return f"{number:08d}_{when:%Y%m%dT%H%M%SZ}_{boot}.mcap"


def number_and_boot(path: Path) -> tuple[int, str] | None:
    """Return what a name says; None where it is no file of a ring."""
    found = _NAME.fullmatch(path.name)
    return None if found is None else (int(found["number"]), found["boot"])


def paths(directory: Path) -> list[tuple[int, str, Path]]:
    """Return number, boot and path of every file of the ring, oldest first. Raises OSError."""
    found = []
    for path in directory.iterdir():
        named = number_and_boot(path)
        if named is not None and is_plain(path):
            found.append((*named, path))
    return sorted(found)


def is_plain(path: Path) -> bool:
    """Whether it is a file and no link, folder, pipe or device, which nobody of ours has put there."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def set_aside_in(directory: Path) -> list[RingFile]:
    """Return what was set aside as damaged, oldest first. Raises OSError."""
    found = []
    for path in directory.glob(f"*{DAMAGED_SUFFIX}"):
        named = number_and_boot(path.with_suffix(""))
        if named is not None and is_plain(path):
            found.append(RingFile(path, *named, _size(path), "damaged", None))
    return sorted(found, key=lambda file: file.number)


def strangers_in(directory: Path) -> list[str]:
    """Return the names of what is called as something of the ring and is no file: it is left alone."""
    return sorted(
        path.name
        for path in directory.iterdir()
        if (number_and_boot(path) is not None or path.suffix == KEEP_SUFFIX) and not is_plain(path)
    )


def look_at(path: Path, *, is_open: bool = False) -> RingFile | None:
    """Return what a file says of itself, by its end if it has one; None if it has gone meanwhile."""
    named = number_and_boot(path)
    assert named is not None, path
    number, boot = named
    try:
        size_bytes = path.stat().st_size
        with path.open("rb") as file:
            data = file.read(len(MAGIC))
            if data != MAGIC:
                return RingFile(path, number, boot, size_bytes, "damaged", None)
            file.seek(max(0, size_bytes - len(MAGIC) - _FOOTER_BYTES))
            ending = file.read()
            extent = None
            if ending.endswith(MAGIC) and ending[0] == Opcode.FOOTER:
                (summary_start,) = _U64.unpack_from(ending, 9)
                file.seek(min(summary_start, size_bytes))
                extent = _extent_in(file.read(min(_LARGEST_SUMMARY, size_bytes)), path)
                if extent is not None:
                    state: State = "cut" if extent.lost else "whole"
                    return RingFile(path, number, boot, size_bytes, state, extent)
            extent = _extent_of_open(path)
    except FileNotFoundError:
        return None
    except _WRONG:
        return RingFile(path, number, boot, 0 if is_open else _size(path), "damaged", None)
    return RingFile(path, number, boot, size_bytes, "open" if extent is not None else "damaged", extent)


def _size(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.stat().st_size
    return 0


def _extent_in(summary: bytes, path: Path) -> Extent | None:
    """Return the extent to which the summary's index of metadata points."""
    at = 0
    while at + _RECORD.size <= len(summary):
        opcode, length = _RECORD.unpack_from(summary, at)
        at += _RECORD.size
        if opcode == Opcode.METADATA_INDEX:
            offset, size = struct.unpack_from("<QQ", summary, at)
            (name_length,) = struct.unpack_from("<I", summary, at + 16)
            if summary[at + 20 : at + 20 + name_length].decode() == EXTENT_NAME:
                with path.open("rb") as file:
                    content = _read_at(file.fileno(), offset, size)[_RECORD.size :]
                return Extent.from_metadata(_metadata(content).metadata)
        at += length
    return None


def _metadata(content: bytes) -> Metadata:
    record: Metadata = Metadata.read(ReadDataStream(BytesIO(content)))
    return record


def _extent_of_open(path: Path) -> Extent | None:
    """Return how far a file reaches that was not ended: by the heads of its chunks, which is soon done."""
    begin: Mapping[str, str] | None = None
    end_ns = 0
    with path.open("rb") as file:
        at = len(MAGIC)
        while len(head := _read_at(file.fileno(), at, _RECORD.size)) == _RECORD.size:
            opcode, length = _RECORD.unpack(head)
            at += _RECORD.size
            if opcode == Opcode.METADATA and begin is None:
                record = _metadata(_read_at(file.fileno(), at, length))
                if record.name == METADATA_NAME:
                    begin = info_of(record.metadata).meta
            elif opcode == Opcode.CHUNK:
                if len(times := _read_at(file.fileno(), at, _CHUNK_TIMES.size)) < _CHUNK_TIMES.size:
                    break
                end_ns = max(end_ns, _CHUNK_TIMES.unpack(times)[1])
            elif opcode not in (Opcode.HEADER, Opcode.METADATA, Opcode.MESSAGE_INDEX):
                break
            at += length
    if begin is None:
        return None
    start_ns, offset_ns = int(begin[BEGIN_KEY]), int(begin[OFFSET_KEY])
    if max(abs(start_ns), abs(offset_ns), end_ns) > MOST_NS:
        raise ValueError("times beyond what a clock can tell")
    return Extent(start_ns, max(start_ns, end_ns), offset_ns, TimeQuality(begin[QUALITY_KEY]))


def _read_at(fd: int, at: int, size: int) -> bytes:
    return Disk().read_at(fd, at, min(size, _LARGEST_SUMMARY))


def files_in(directory: Path) -> list[RingFile]:
    """Return every file of the ring, oldest first; none where there is no folder. Raises OSError."""
    try:
        found = paths(directory)
    except FileNotFoundError:
        return []
    return [file for _, _, path in found if (file := look_at(path)) is not None]


def clocks(files: Iterable[RingFile]) -> dict[str, tuple[int, TimeQuality]]:
    """Return how box time stands to wall time in each boot: what was best known of it, and last."""
    best: dict[str, tuple[int, TimeQuality]] = {}
    for file in files:
        if file.extent is not None:
            known = best.get(file.boot)
            if known is None or _TRUST.index(file.extent.quality) >= _TRUST.index(known[1]):
                best[file.boot] = file.extent.offset_ns, file.extent.quality
    return best


def keeps_in(directory: Path) -> tuple[list[Keep], list[str]]:
    """Return what is kept, in the order of its id, and what could not be read of that. Raises OSError."""
    keeps, unreadable = [], []
    try:
        found = sorted(directory.glob(f"*{KEEP_SUFFIX}"))
    except FileNotFoundError:
        return [], []
    for path in found:
        try:
            keep = msgspec.json.decode(read_regular(path, MOST_BYTES), type=Keep)
            if path.stem != keep.id:  # by which its file is written and removed
                raise ValueError(f"it says that it is {keep.id[:80]!r}")
            if not keep.spans:
                raise ValueError("it says not what is kept")
            keeps.append(keep)
        except FileNotFoundError:
            continue
        except (OSError, ValueError, RecursionError) as error:
            unreadable.append(f"{path.name}: {getattr(error, 'strerror', None) or error}")
    return keeps, unreadable


def keep_path(directory: Path, keep: Keep) -> Path:
    """Return where it is noted."""
    return directory / f"{keep.id}{KEEP_SUFFIX}"


def write_keep(disk: Disk, directory: Path, keep: Keep) -> None:
    """Note it, durably: the old one or the new one is there, whenever the power goes. Raises OSError."""
    replace_file(disk, keep_path(directory, keep), msgspec.json.encode(keep))


def first_number(keep: Keep, files: Iterable[RingFile]) -> int | None:
    """Return the oldest file that it keeps; None where there is none any more."""
    return min((file.number for file in files if keep.covers(file)), default=None)
