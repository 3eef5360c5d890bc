"""ROS bags that others wrote: which topic becomes which stream, which time is believed, what is left out."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.errors import LogFileError
from agent.sources.bag_records import MAGIC, BagScan
from agent.sources.log_file import FOLDER
from agent.timebase import TimeQuality
from tests.logs.damaging import write
from tests.logs.reading import Reading, lanes_of, marks_of, read, recording
from tests.logs.trips import drive

DAY_NS = 86_400 * 10**9
BEGIN_NS = 1_700_000_000 * 10**9
Message = tuple[str, str, int, dict[str, Any]]


def imu(x: float, *, no_gyro: bool = False) -> dict[str, Any]:
    covariance = np.zeros(9)
    if no_gyro:
        covariance[0] = -1
    return {
        "linear_acceleration": (x, 0.5, 9.81),
        "angular_velocity": (0.1, 0.2, x),
        "gyro_covariance": covariance,
    }


def ros2(
    path: Path, messages: list[Message], *, storage: str = "mcap", receive: Callable[[int], int] = int
) -> Path:
    """Write a bag as a ROS 2 recorder would: (topic, kind, stamp in ns, fields)."""
    from rosbags.rosbag2 import StoragePlugin, Writer
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS2_HUMBLE)
    types = store.types

    def vector(x: float, y: float, z: float) -> Any:
        return types["geometry_msgs/msg/Vector3"](x=x, y=y, z=z)

    with Writer(path, version=9, storage_plugin=StoragePlugin[storage.upper()]) as writer:
        connections: dict[str, Any] = {}
        for topic, kind, stamp_ns, fields in messages:
            full = f"sensor_msgs/msg/{kind}"
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, full, typestore=store)
            stamp = types["builtin_interfaces/msg/Time"](sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
            header = types["std_msgs/msg/Header"](stamp=stamp, frame_id="imu")
            if kind == "Imu":
                message = types[full](
                    header=header,
                    orientation=types["geometry_msgs/msg/Quaternion"](x=0.0, y=0.0, z=0.0, w=1.0),
                    orientation_covariance=np.zeros(9),
                    angular_velocity=vector(*fields["angular_velocity"]),
                    angular_velocity_covariance=fields["gyro_covariance"],
                    linear_acceleration=vector(*fields["linear_acceleration"]),
                    linear_acceleration_covariance=np.zeros(9),
                )
            else:
                message = types[full](header=header, variance=0.0, **fields)
            writer.write(connections[topic], receive(stamp_ns), store.serialize_cdr(message, full))
    return path


def a_trip(count: int = 50) -> list[Message]:
    out: list[Message] = []
    for i in range(count):
        at = BEGIN_NS + i * 10_000_000
        out.append(("/imu", "Imu", at, imu(i / 7)))
        if i % 10 == 0:
            out.append(("/air", "Temperature", at, {"temperature": 20.5 + i}))
            out.append(("/air_humid", "RelativeHumidity", at, {"relative_humidity": 0.25}))
            out.append(("/air_pressure", "FluidPressure", at, {"fluid_pressure": 101_325.0}))
    return out


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_bag_of_others_becomes_streams_in_si(tmp_path: Path, storage: str) -> None:
    got = read(ros2(tmp_path / "bag", a_trip(), storage=storage))
    assert [spec.name for spec in got.specs] == ["accel", "gyro", "temperature", "humidity", "air_pressure"]
    lanes = got.lanes
    assert lanes["accel"].times_ns == [BEGIN_NS + i * 10_000_000 for i in range(50)]
    assert lanes["accel"].array[3].tolist() == [3 / 7, 0.5, 9.81]
    assert lanes["gyro"].array[3].tolist() == [0.1, 0.2, 3 / 7]
    assert lanes["humidity"].array[0].tolist() == [25.0]
    assert [mark.quality for mark in marks_of(got.items)] == [TimeQuality.HOLDOVER]
    assert not got.source.damaged, got.notes


def test_one_file_of_a_bag_is_read_without_its_folder(tmp_path: Path) -> None:
    wanted = read(ros2(tmp_path / "bag", a_trip())).lanes
    (stored,) = (tmp_path / "bag").glob("*.mcap")
    assert read(stored).lanes.keys() == wanted.keys()


def test_an_imu_without_a_gyro_has_no_gyro(tmp_path: Path) -> None:
    messages: list[Message] = [
        ("/imu", "Imu", BEGIN_NS + i * 10**7, imu(1.0, no_gyro=True)) for i in range(9)
    ]
    assert [spec.name for spec in read(ros2(tmp_path / "bag", messages)).specs] == ["accel"]


def test_the_topic_with_the_most_messages_is_watched_and_the_other_kept(tmp_path: Path) -> None:
    more: list[Message] = [("/other/Imu", "Imu", BEGIN_NS + i * 10**6, imu(2.0)) for i in range(60)]
    got = read(ros2(tmp_path / "bag", [*a_trip(), *more]))
    specs = {spec.name: spec for spec in got.specs}
    assert len(got.lanes["accel"].times_ns) == 60
    assert specs["accel"].watch and not specs["accel_imu"].watch
    assert "/imu" in got.notes


@pytest.mark.parametrize(("ahead_ns", "taken"), [(0, "stamp"), (2_000_000, "stamp"), (DAY_NS, "receipt")])
def test_stamps_of_another_clock_are_not_believed(tmp_path: Path, ahead_ns: int, taken: str) -> None:
    got = read(ros2(tmp_path / "bag", a_trip(), receive=lambda stamp_ns: stamp_ns + ahead_ns))
    assert got.lanes["accel"].times_ns[0] == BEGIN_NS + (ahead_ns if taken == "receipt" else 0)
    assert ("another clock" in got.notes) == (taken == "receipt")


def test_a_bag_without_anything_of_ours_is_refused(tmp_path: Path) -> None:
    messages: list[Message] = [("/light", "Illuminance", BEGIN_NS, {"illuminance": 1.0})]
    with pytest.raises(LogFileError, match="no message that a box has a stream for"):
        read(ros2(tmp_path / "bag", messages))


def test_a_real_bag_is_read_and_what_is_left_out_named() -> None:
    got = read(recording("imu-rosbags/phidgets_imu_upside_down.bag"))
    assert [spec.name for spec in got.specs] == ["accel", "gyro"]
    assert len(got.lanes["accel"].times_ns) == 13_964
    assert float(np.median(got.lanes["accel"].array[:, 2])) == pytest.approx(-9.8, abs=0.15)
    assert "/imu/mag" in got.notes


def test_a_bag_that_was_not_ended_gives_what_is_there(tmp_path: Path) -> None:
    """A power cut leaves no index; the stock reader then gives nothing."""
    whole = recording("imu-rosbags/phidgets_imu_upside_down.bag")
    path = tmp_path / "cut.bag"
    path.write_bytes(whole.read_bytes()[:500_000])
    got = read(path)
    lane, wanted = got.lanes["accel"], read(whole).lanes["accel"]
    n = len(lane.times_ns)
    assert n > 3000
    assert lane.array.tobytes() == wanted.array[:n].tobytes()
    assert got.source.damaged and "byte" in got.notes


def test_a_ros2_file_that_was_not_ended_gives_its_whole_chunks(tmp_path: Path) -> None:
    """Neither index nor metadata.yaml: the recorder's power was cut."""
    trip = drive(4.0)
    write(tmp_path / "bag", FOLDER, trip)
    (stored,) = (tmp_path / "bag").glob("*.mcap")
    path = tmp_path / "cut.mcap"
    path.write_bytes(stored.read_bytes()[: stored.stat().st_size * 8 // 10])
    got = read(path)
    lane, wanted = got.lanes["accel"], lanes_of(trip.items)["accel"]
    n = len(lane.times_ns)
    assert 500 < n < 4000
    assert lane.array.tobytes() == wanted.array[:n].tobytes()
    assert got.source.damaged and "cut.mcap" in got.notes


def field(name: str, value: bytes) -> bytes:
    text = name.encode() + b"=" + value
    return struct.pack("<I", len(text)) + text


def record(fields: bytes, data: bytes) -> bytes:
    return struct.pack("<I", len(fields)) + fields + struct.pack("<I", len(data)) + data


@pytest.mark.parametrize(
    ("chunk", "why"),
    [
        (
            record(field("op", b"\5") + field("compression", b"none") + field("size", b"\xff" * 4), b"x"),
            "a chunk of",
        ),
        (
            record(field("op", b"\5") + field("compression", b"bz2") + field("size", b"\1\0\0\0"), b"x"),
            "chunk at",
        ),
        (
            record(field("op", b"\5") + field("compression", b"zip") + field("size", b"\1\0\0\0"), b"x"),
            "compressed",
        ),
        (record(field("op", b"\x09"), b""), "kind 9"),
        (b"\xff\xff\xff\x7f", "length"),
        (b"\xff", "cut off"),
        (record(b"\3\0\0\0abc", b""), "field"),
    ],
)
def test_a_record_that_lies_is_told_and_takes_no_memory(chunk: bytes, why: str) -> None:
    data = MAGIC + chunk
    scan = BagScan(BytesIO(data), len(data))
    assert list(scan.messages()) == []
    assert why in " ".join(scan.lost), scan.lost


def test_a_reading_is_the_same_however_it_is_cut(tmp_path: Path) -> None:
    path = ros2(tmp_path / "bag", a_trip())
    wanted: Reading = read(path)
    got = read(path, block_samples=3)
    assert got.lanes["accel"].times_ns == lanes_of(wanted.items)["accel"].times_ns


def test_a_pipe_in_the_place_of_a_bags_data_is_not_waited_for(tmp_path: Path) -> None:
    bag = ros2(tmp_path / "bag", [("/imu", "Imu", BEGIN_NS, imu(1.0))])
    (data,) = bag.glob("*.mcap")
    data.unlink()
    os.mkfifo(data)
    with pytest.raises(LogFileError, match="a pipe or a device"):
        read(bag)
