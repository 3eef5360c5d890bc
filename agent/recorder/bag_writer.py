"""Writes what a source gives to a ROS 1 or ROS 2 bag: standard messages in SI, and notes that keep the rest.

A stream whose values could not come back bit for bit through SI is written as its sensor gave it, in a
message of its own (`SAMPLE_TYPE`). Written with the `rosbags` package; see `agent.ros_messages`.
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from agent import ros_messages as ros
from agent.blocks import NS_PER_S, Block, SensorFault, Silence
from agent.errors import LogFileError, UsageError
from agent.log_info import LogInfo
from agent.streams import StreamSpec
from agent.timebase import TimeMark, TimeQuality

LATEST_S = {1: 1 << 32, 2: 1 << 31}
"""Seconds that a stamp can tell: unsigned in ROS 1, signed in ROS 2."""


@dataclass(slots=True)
class _Lane:
    spec: StreamSpec
    kind: str = ""
    unit: Literal["si", "raw"] = "si"
    connection: Any = None
    next_index: int | None = None
    period_ps: int = 0
    quality: int = 0
    samples: int = 0
    stamps: list[bytes] = field(default_factory=list)
    crc_values: list[bytes] = field(default_factory=list)


class _BagRecorder(ABC):
    """What both versions have in common. Call `write` for each item of a source, `close` at the end."""

    version: Literal[1, 2]

    def __init__(self, path: str | Path, info: LogInfo) -> None:
        """Begin the bag. Raises UsageError if there is one already, LogFileError if it cannot be made."""
        self.path = Path(path)
        if self.path.exists():
            raise UsageError(
                self._doing,
                got="a file of this name",
                expected="a name that is free",
                remedy="Choose another name, or move that one away.",
            )
        self._store = ros.typestore(self.version)
        self._lanes = {spec.name: _Lane(spec) for spec in info.streams}
        self._info = ros.BagInfo(**msgspec.structs.asdict(info))
        self._begun = False
        self._closed = False
        self._early: list[TimeMark] = []
        self._last_ns = 0
        self._seq = 0
        self._writer = self._open()
        self._notes = self._connect(ros.NOTES_TOPIC, ros.NOTES_TYPE)

    @property
    def _doing(self) -> str:
        return f"writing the bag {self.path}"

    def __enter__(self) -> _BagRecorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def _open(self) -> Any:
        """Begin the bag, and return what writes it."""

    def _connect(self, topic: str, kind: str) -> Any:
        return self._writer.add_connection(topic, kind, typestore=self._store)

    def write(self, item: Block | Silence | SensorFault | TimeMark) -> None:
        """Take one item; silences and faults have no place in a bag. Raises LogFileError."""
        if isinstance(item, TimeMark):
            if self._begun:
                self._note(ros.Mark(box_ns=item.box_ns, offset_ns=item.offset_ns, quality=item.quality.value))
            else:
                self._early.append(item)
        elif isinstance(item, Block):
            if not self._begun:
                self._begin(item.start_ns)
            self._put(item)

    def close(self) -> None:
        """End the bag; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        if not self._begun:
            self._begin(0)
        crcs = {}
        for name, lane in self._lanes.items():
            crc = zlib.crc32(b"".join(lane.stamps))
            crcs[name] = zlib.crc32(b"".join(lane.crc_values), crc)
        self._note(ros.End(samples={name: lane.samples for name, lane in self._lanes.items()}, crc32=crcs))
        self._writer.close()

    def _begin(self, first_ns: int) -> None:
        """Choose what is added to box time: the date, if any mark so far knows it and a stamp can tell it."""
        self._begun = True
        dated = [mark for mark in self._early if mark.quality is not TimeQuality.UNSET]
        shift_ns = dated[-1].offset_ns if dated else 0
        if not 0 <= first_ns + shift_ns < (LATEST_S[self.version] - 1) * NS_PER_S:
            shift_ns = 0
        self._info = msgspec.structs.replace(self._info, shift_ns=shift_ns)
        self._last_ns = first_ns + shift_ns
        self._note(self._info)
        for mark in self._early:
            self._note(ros.Mark(box_ns=mark.box_ns, offset_ns=mark.offset_ns, quality=mark.quality.value))

    def _note(self, note: ros.Note) -> None:
        text = msgspec.json.encode(note).decode()
        message = self._store.types[ros.NOTES_TYPE](data=text)
        self._send(self._notes, max(0, self._last_ns), message, ros.NOTES_TYPE)

    def _send(self, connection: Any, stamp_ns: int, message: Any, kind: str) -> None:
        pack = self._store.serialize_ros1 if self.version == 1 else self._store.serialize_cdr
        try:
            self._writer.write(connection, stamp_ns, bytes(pack(message, kind)))
        except OSError as error:
            raise LogFileError(
                self._doing,
                got=error.strerror or str(error),
                expected="a disk that takes what is written",
                remedy="Check free space (`df -h`).",
            ) from error

    def _put(self, block: Block) -> None:
        lane = self._lanes[block.stream]
        values, times_ns = block.values, block.times_ns()
        if lane.connection is None:
            self._settle(lane, values)
        if lane.unit == "si":
            values = self._si(lane, values)
        plain: npt.NDArray[np.float64] = values.astype(np.float64)
        stamps = times_ns + self._info.shift_ns
        if int(stamps[0]) < 0 or int(stamps[-1]) >= LATEST_S[self.version] * NS_PER_S:
            raise LogFileError(
                self._doing,
                got=f"a time of {int(stamps[0]) / 1e9:.3f} s",
                expected=f"what a stamp of ROS {self.version} can tell: 0 to {LATEST_S[self.version]} s",
                remedy="Convert to MCAP or CSV instead.",
            )
        period_ps = block.clock.period_ps
        if block.first != lane.next_index or period_ps != lane.period_ps or block.missing_reason:
            self._note(
                ros.Jump(
                    stream=block.stream,
                    at_ns=int(times_ns[0]),
                    index=block.first,
                    period_ps=period_ps,
                    dtype=block.values.dtype.name,
                    unit=lane.unit,
                    reason=block.missing_reason,
                )
            )
        lane.next_index, lane.period_ps = block.end, period_ps
        quality = [0] * len(block) if block.quality is None else block.quality.tolist()
        message = self._maker(lane)
        for time_ns, stamp_ns, row, flags in zip(
            times_ns.tolist(), stamps.tolist(), plain.tolist(), quality, strict=True
        ):
            if flags != lane.quality:
                self._note(ros.Flags(stream=block.stream, at_ns=time_ns, quality=flags))
                lane.quality = flags
            self._send(lane.connection, stamp_ns, message(stamp_ns, row), lane.kind)
            self._last_ns = stamp_ns
        lane.samples += len(block)
        lane.stamps.append(stamps.astype("<i8").tobytes())
        lane.crc_values.append(plain.astype("<f8").tobytes())

    def _settle(self, lane: _Lane, values: npt.NDArray[Any]) -> None:
        """Choose the message of a stream: ROS's own where its values come back from SI as they are."""
        base, spec = ros.like(lane.spec.name), lane.spec
        plain = spec.scale == 1.0 and spec.offset == 0.0 and values.dtype == np.float32
        fits = base is not None and len(ros.OF_STREAM[base][1]) == len(spec.axes)
        if (
            fits
            and base is not None
            and (values.dtype.kind == "i" or plain or self._exact(base, lane, values))
        ):
            lane.kind, lane.unit = ros.OF_STREAM[base][0], "si"
        else:
            lane.kind, lane.unit = ros.SAMPLE_TYPE, "raw"
        lane.connection = self._connect(ros.TOPIC_HEAD + spec.name, lane.kind)

    @staticmethod
    def _exact(base: str, lane: _Lane, values: npt.NDArray[Any]) -> bool:
        """Whether float64 passes as it is: no scale, no offset, no other unit."""
        spec = lane.spec
        return (
            values.dtype == np.float64
            and spec.scale == 1.0
            and not spec.offset
            and ros.OF_STREAM[base][2] == 1.0
        )

    @staticmethod
    def _si(lane: _Lane, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        base = ros.like(lane.spec.name)
        assert base is not None
        plain = values.astype(np.float64)
        if values.dtype.kind == "i":
            plain = plain * lane.spec.scale + lane.spec.offset
        factor = ros.OF_STREAM[base][2]
        return plain if factor == 1.0 else plain * factor

    def _maker(self, lane: _Lane) -> Callable[[int, list[float]], Any]:
        """Return what makes a message of a stamp and a sample."""
        types = self._store.types
        make, name = types[lane.kind], lane.spec.name
        header_of, time_of = types["std_msgs/msg/Header"], types["builtin_interfaces/msg/Time"]

        def header(stamp_ns: int) -> Any:
            stamp = time_of(sec=stamp_ns // NS_PER_S, nanosec=stamp_ns % NS_PER_S)
            if self.version == 2:
                return header_of(stamp=stamp, frame_id=name)
            self._seq = (self._seq + 1) & 0xFFFF_FFFF
            return header_of(seq=self._seq, stamp=stamp, frame_id=name)

        if lane.kind == ros.SAMPLE_TYPE:
            return lambda stamp_ns, row: make(header=header(stamp_ns), values=np.array(row, np.float64))
        if lane.kind != ros.IMU:
            base = ros.like(name)
            assert base is not None
            (axis,) = ros.OF_STREAM[base][1]
            return lambda stamp_ns, row: make(header=header(stamp_ns), variance=0.0, **{axis: row[0]})
        vector, turn = types["geometry_msgs/msg/Vector3"], types["geometry_msgs/msg/Quaternion"]
        nowhere, nothing = turn(x=0.0, y=0.0, z=0.0, w=1.0), vector(x=0.0, y=0.0, z=0.0)
        known, unknown = np.zeros(9), np.zeros(9)
        unknown[0] = ros.NOT_MEASURED
        accel = ros.like(name) == "accel"

        def imu(stamp_ns: int, row: list[float]) -> Any:
            here = vector(x=row[0], y=row[1], z=row[2])
            return make(
                header=header(stamp_ns),
                orientation=nowhere,
                orientation_covariance=unknown,
                angular_velocity=nothing if accel else here,
                angular_velocity_covariance=unknown if accel else known,
                linear_acceleration=here if accel else nothing,
                linear_acceleration_covariance=known if accel else unknown,
            )

        return imu


class Ros1Recorder(_BagRecorder):
    """One ROS 1 bag (.bag)."""

    version = 1

    def _open(self) -> Any:
        from rosbags.rosbag1 import Writer

        writer = Writer(self.path)
        writer.set_compression(Writer.CompressionFormat.LZ4)
        writer.open()
        return writer


class Ros2Recorder(_BagRecorder):
    """One ROS 2 bag: a folder with metadata.yaml and an MCAP file."""

    version = 2

    def _open(self) -> Any:
        from rosbags.rosbag2 import StoragePlugin, Writer

        writer = Writer(self.path, version=9, storage_plugin=StoragePlugin.MCAP)
        writer.open()
        return writer
