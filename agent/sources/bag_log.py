"""ROS 1 bags and ROS 2 bags as logs: ``sensor_msgs`` of a kind that a box measures, and all of a bag of ours.

Where several topics measure the same, that with the most messages takes the stream's name; the others keep
theirs with the topic's, recorded but neither watched nor summarised; which, is said. Times are those of the
headers, where all are set and near those of receipt; else those of receipt. A ROS 1 bag has no checksum: a
flipped bit in a value is noticed only in a bag of ours, which brings its own, and where it makes a value or
a time beyond belief.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import re
import sqlite3
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from agent import ros_messages as ros
from agent.errors import FourPartError, UsageError
from agent.log_info import LAYOUT_VERSION
from agent.sources.bag_mcap import McapSalvage
from agent.sources.bag_records import MAGIC, BagScan
from agent.sources.laid_out import LaidOutLog, Strand
from agent.sources.log_source import LogIdentity
from agent.sources.log_times import Ints, Timeline, typical_ns
from agent.streams import TABLE, StreamSpec
from agent.timebase import TimeMark, TimeQuality

NEAR_NS = 3600 * 1_000_000_000
"""Stamps farther from the time of receipt than this are of another clock."""
_TELL = 5


@dataclass(slots=True)
class _Topic:
    """All messages of one topic, of one stream: as they came."""

    stream: str
    topic: str
    stamps_ns: list[int] = field(default_factory=list)
    received_ns: list[int] = field(default_factory=list)
    values: list[tuple[float, ...]] = field(default_factory=list)


@functools.cache
def _store(version: Literal[1, 2]) -> tuple[Any, Mapping[str, str]]:
    """Return what unpacks messages, by definitions of ROS's own and not of the bag, and their checksums."""
    store = ros.typestore(version)
    kinds = (ros.IMU, ros.SAMPLE_TYPE, ros.NOTES_TYPE, *(kind for kind, _, _ in ros.OF_STREAM.values()))
    return store, {kind: store.generate_msgdef(kind)[1] for kind in kinds}


class BagLog(LaidOutLog):
    """A ROS bag as a `LogSource`: a .bag, a folder with metadata.yaml, or one file of such a folder."""

    def _read(self) -> list[Strand]:
        self._topics: dict[tuple[str, str], _Topic] = {}
        self._notes: list[ros.Note] = []
        self._left_out: dict[str, None] = {}
        self._unreadable = 0
        messages = self._ros1() if self._path.suffix.lower() == ".bag" else self._ros2()
        try:
            for topic, kind, received_ns, decode in messages:
                self._take(topic, kind, received_ns, decode)
        except (FourPartError, ModuleNotFoundError):
            raise
        except (Exception, MemoryError) as error:  # what rosbags raises on damage is not told anywhere
            if not self._topics:
                raise self._no_log(
                    f"what cannot be read ({type(error).__name__}: {error})",
                    "a ROS bag",
                    "The file is damaged, or not ended properly. If there is another copy, take that.",
                ) from error
            self._damage(f"What follows could not be read: {type(error).__name__}: {error}.")
        if self._unreadable:
            self._damage(f"{self._unreadable:,} messages could not be read, and are missing.")
        try:
            return self._made_of_messages()
        except FourPartError:
            raise
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise self._no_log(
                f"what contradicts itself ({type(error).__name__}: {error})",
                "a ROS bag",
                "The file is damaged. If there is another copy, take that.",
            ) from error

    def _made_of_messages(self) -> list[Strand]:
        boot = self._digest()
        meta = {"format": "bag", "file": self._path.name}
        infos = [note for note in self._notes if isinstance(note, ros.BagInfo)]
        if infos and infos[0].layout == LAYOUT_VERSION:
            return self._ours(infos[0])
        # what a sample of our own message is, only our notes can say
        for key in [key for key in self._topics if key[0] not in ros.OF_STREAM]:
            self._damage(f"{key[1]} is left out: the notes that say what it is are lost.")
            del self._topics[key]
        if self._left_out:
            self.notes.append(f"Left out, since a box has no stream for it: {', '.join(self._left_out)}.")
        if not self._topics:
            raise self._no_log(
                " ".join(["no message that a box has a stream for.", *self.notes]),
                "topics of sensor_msgs: Imu, Temperature, RelativeHumidity, FluidPressure",
                "Check with `ros2 bag info` or `rosbag info` what is in it.",
            )
        self._identity = LogIdentity(None, boot, None, meta)
        strands = [s for topic, spec in self._named() if (s := self._foreign(topic, spec)) is not None]
        self._date(min((int(strand.times_ns[0]) for strand in strands), default=0))
        return strands

    def _digest(self) -> str:
        digest = hashlib.sha256()
        paths = sorted(self._path.iterdir()) if self._path.is_dir() else [self._path]
        for path in paths:
            if path.is_file():
                with path.open("rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()[:16]

    def _ros1(self) -> Iterator[tuple[str, str, int, Any]]:
        store, known = _store(1)
        with self._path.open("rb") as file:
            head = file.read(len(MAGIC))
            if head != MAGIC:
                raise self._no_log(
                    f"a file that begins with {head.hex(' ')}" if head else "an empty file",
                    "a ROS 1 bag: #ROSBAG V2.0",
                    "Check that the file was copied whole; a ROS 2 bag is a folder.",
                )
            scan = BagScan(file, self._path.stat().st_size)
            for connection, received_ns, data in scan.messages():
                kind = (
                    connection.type.replace("/", "/msg/")
                    if "/msg/" not in connection.type
                    else connection.type
                )
                if kind in known and connection.md5sum not in (known[kind], "*"):
                    self._left_out[f"{connection.topic} ({kind} of another definition)"] = None
                    continue
                yield connection.topic, kind, received_ns, lambda d=data, k=kind: store.deserialize_ros1(d, k)
                self.progress = 0.7 * scan.at / max(1, scan.size)
            if scan.lost:
                more = f" and {len(scan.lost) - _TELL} more places" if len(scan.lost) > _TELL else ""
                self._damage(f"Damaged, and lost: {'; '.join(scan.lost[:_TELL])}{more}.")

    def _ros2(self) -> Iterator[tuple[str, str, int, Any]]:
        from rosbags.rosbag2 import Reader

        store, _ = _store(2)
        self._check_kinds()
        self._check_databases()
        count = expected = 0
        try:
            with Reader(self._path) as reader:
                expected = reader.message_count
                for connection, received_ns, data in reader.messages():
                    kind = connection.msgtype
                    yield (
                        connection.topic,
                        kind,
                        received_ns,
                        lambda d=data, k=kind: store.deserialize_cdr(d, k),
                    )
                    count += 1
                    self.progress = 0.7 * count / max(1, expected)
        except Exception as error:  # what rosbags raises on damage is not told anywhere
            files = sorted(self._path.glob("*.mcap")) if self._path.is_dir() else [self._path]
            if count or not files or files[0].suffix.lower() != ".mcap":
                raise
            self._damage(f"Not ended properly, or damaged ({type(error).__name__}: {error}).")
            yield from self._salvaged(files, store)
        if count < expected:
            self._damage(f"{expected - count:,} of {expected:,} messages are missing.")

    def _salvaged(self, files: list[Path], store: Any) -> Iterator[tuple[str, str, int, Any]]:
        """Give what the chunks hold, where the stock reader gives nothing."""
        for file in files:
            salvage = McapSalvage(file)
            for topic, kind, received_ns, data in salvage.messages():
                yield topic, kind, received_ns, lambda d=data, k=kind: store.deserialize_cdr(d, k)
            if salvage.lost:
                self._damage(f"Lost of {file.name}: {'; '.join(salvage.lost[:_TELL])}.")

    def _check_kinds(self) -> None:
        """Let nothing in the folder be opened that may never end: a pipe waits for a writer."""
        for path in sorted(self._path.iterdir()) if self._path.is_dir() else []:
            if path.exists() and not path.is_file() and not path.is_dir():
                raise self._no_log(
                    f"{path.name} in its folder, which is a pipe or a device",
                    "plain files alone",
                    "Move it away, and copy the bag anew if it stands in the place of its data.",
                )

    def _check_databases(self) -> None:
        """Let SQLite look at its own structure first: a damaged page gives wrong rows without a word."""
        folder = self._path.is_dir()
        for path in sorted(self._path.glob("*.db3")) if folder else [self._path]:
            if path.suffix.lower() != ".db3":
                continue
            with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as base:
                found = base.execute("PRAGMA quick_check(1)").fetchone()
            if found and found[0] != "ok":
                self._damage(f"{path.name} is damaged: {found[0]}.")

    def _take(self, topic: str, kind: str, received_ns: int, decode: Any) -> None:
        """Take one message for each stream that it measures."""
        streams = [name for name, (known, _, _) in ros.OF_STREAM.items() if known == kind]
        if not streams and kind != ros.SAMPLE_TYPE and topic != ros.NOTES_TOPIC:
            self._left_out[f"{topic} ({kind})"] = None
            return
        try:
            message = decode()
            if topic == ros.NOTES_TOPIC:
                self._notes.append(msgspec.json.decode(message.data, type=ros.Note))
                return
            stamp_ns = message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec
            found: list[tuple[str, tuple[float, ...]]] = []
            if kind == ros.SAMPLE_TYPE:
                found.append((topic.removeprefix(ros.TOPIC_HEAD), tuple(message.values.tolist())))
            for name in streams:
                if kind == ros.IMU and not ros.measured(message, name):
                    continue
                own = topic.removeprefix(ros.TOPIC_HEAD) if topic.startswith(ros.TOPIC_HEAD) else name
                found.append((own, tuple(ros.value_at(message, path) for path in ros.OF_STREAM[name][1])))
        except Exception:  # as above; this one message is damaged
            self._unreadable += 1
            return
        for name, values in found:
            taken = self._topics.setdefault((name, topic), _Topic(name, topic))
            taken.stamps_ns.append(stamp_ns)
            taken.received_ns.append(received_ns)
            taken.values.append(values)

    def _named(self) -> list[tuple[_Topic, StreamSpec]]:
        """Choose for each stream the topic with the most messages; the others keep the topic's name."""
        out = []
        for stream, usual in TABLE.items():
            topics = [topic for topic in self._topics.values() if topic.stream == stream]
            topics.sort(key=lambda topic: (-len(topic.values), topic.topic))
            chosen = self._chosen(stream, {topic.topic: (topic.topic,) for topic in topics})
            if chosen is not None:
                topics.insert(0, topics.pop(chosen))
            for i, topic in enumerate(topics):
                word = re.sub(r"[^a-z0-9]+", "_", topic.topic.lower()).strip("_")
                name = stream if i == 0 else f"{stream}_{word}"
                spec = msgspec.structs.replace(
                    usual, name=name, watch=i == 0, summarise=i == 0, sensor=f"topic {topic.topic}"
                )
                out.append((topic, spec))
            if len(topics) > 1:
                rest = ", ".join(topic.topic for topic in topics[1:])
                why = "the most messages" if chosen is None else "chosen"
                self.notes.append(f"{stream} is {topics[0].topic} ({why}); kept, and not watched: {rest}.")
        return out

    def _times(self, topic: _Topic) -> Ints:
        stamps, received = (np.array(times, np.int64) for times in (topic.stamps_ns, topic.received_ns))
        if (stamps != 0).all() and np.median(np.abs(stamps - received)) < NEAR_NS:
            return stamps
        self.notes.append(
            f"The stamps of {topic.topic} are not set, or of another clock: times of receipt taken."
        )
        return received

    def _foreign(self, topic: _Topic, spec: StreamSpec) -> Strand | None:
        values: npt.NDArray[Any] = np.array(topic.values, np.float64) / ros.OF_STREAM[topic.stream][2]
        short = values.astype(np.float32)
        if np.array_equal(short.astype(np.float64), values, equal_nan=True):
            values = short
        return self._strand(spec, self._times(topic), values)

    def _ours(self, info: ros.BagInfo) -> list[Strand]:
        """Put a bag of ours together again: counts, indexes, flags and marks as they were."""
        info.check()
        if self._options.take:
            raise UsageError(
                self._doing,
                got="a choice, and a bag of ours",
                expected="no choice: its streams have their names",
                remedy="Leave --take away.",
            )
        meta = {"format": "bag", "file": self._path.name, "software": info.software, **info.meta}
        self._identity = LogIdentity(info.box, info.boot, info.mount_up, meta)
        for note in self._notes:
            if isinstance(note, ros.Mark):
                mark = TimeMark(note.box_ns, note.offset_ns, TimeQuality(note.quality))
                if mark not in self._marks:
                    self._marks.append(mark)
        ends = [note for note in self._notes if isinstance(note, ros.End)]
        if not ends:
            self._damage("It was not ended properly: what was written last may be missing.")
        strands = []
        for spec in info.streams:
            topic = self._topics.get((spec.name, ros.TOPIC_HEAD + spec.name))
            count = len(topic.values) if topic else 0
            wanted = ends[0].samples.get(spec.name, 0) if ends else count
            if count != wanted:
                self._damage(f"{spec.name} has {count:,} samples, and {wanted:,} were written.")
            if topic is None:
                continue
            strand, crc = _rebuilt(topic, spec, info, self._notes)
            if ends and count == wanted and crc != ends[0].crc32.get(spec.name):
                self._damage(f"The checksum of {spec.name} does not match: some of its values are wrong.")
            strands.append(strand)
        return strands


def _rebuilt(topic: _Topic, spec: StreamSpec, info: ros.BagInfo, notes: list[ros.Note]) -> tuple[Strand, int]:
    """Return a stream of a bag of ours, and the checksum of what its messages say."""
    stamps = np.array(topic.stamps_ns, np.int64)
    plain = np.array(topic.values, np.float64)
    crc = zlib.crc32(plain.astype("<f8").tobytes(), zlib.crc32(stamps.astype("<i8").tobytes()))
    order = np.argsort(stamps, kind="stable")
    order = order[np.append(True, np.diff(stamps[order]) > 0)]
    times_ns, values = stamps[order] - info.shift_ns, plain[order]
    n = len(times_ns)
    # notes carry the stamp of what was written last, of any stream: their own order is by what they speak of
    jumps = [note for note in notes if isinstance(note, ros.Jump) and note.stream == spec.name]
    jumps.sort(key=lambda jump: jump.at_ns)
    flags = [note for note in notes if isinstance(note, ros.Flags) and note.stream == spec.name]
    index = np.arange(n, dtype=np.int64)
    reasons: dict[int, str] = {}
    starts: dict[int, int] = {0: typical_ns(np.diff(times_ns)) * 1000}
    for jump in jumps:
        at = int(np.searchsorted(times_ns, jump.at_ns))
        if at < n:
            index[at:] = jump.index + np.arange(n - at)
            reasons[at] = jump.reason
            starts[at] = jump.period_ps
    missing = np.maximum(0, np.diff(index, prepend=index[0] - 1) - 1)
    quality = np.zeros(n, np.uint8)
    for note in sorted(flags, key=lambda note: note.at_ns):
        quality[int(np.searchsorted(times_ns, note.at_ns)) :] = note.quality
    places = sorted(starts)
    period_ps = tuple(starts[at] for at in places)
    period_ns = np.array([ps // 1000 for ps in period_ps], np.int64)
    timeline = Timeline(index, missing, np.array(places, np.int64), period_ns)
    dtype = np.dtype(jumps[0].dtype) if jumps else np.dtype(np.float64)
    kind = next((jump.unit for jump in jumps), "raw")
    if kind == "si":
        values = values / ros.OF_STREAM[ros.like(spec.name) or ""][2]
        if dtype.kind == "i":
            values = np.rint((values - spec.offset) / spec.scale)
    return Strand(spec, None, times_ns, timeline, values.astype(dtype), quality, reasons, period_ps), crc
