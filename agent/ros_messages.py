"""What a ROS bag of ours holds, and which ROS message is which stream; for the recorder and the source alike.

Messages are the standard ones of ``sensor_msgs`` where there is one, so that any ROS tool reads them; in SI,
times in the header. A bag of ours also tells in `NOTES_TOPIC`, a JSON document a message, what those cannot:
whose it is, how counts become SI, where the index jumps, what is known against samples, and at its end how
many samples there were and their checksum. Sources: the comments in the .msg files of common_interfaces.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from agent.log_info import LogInfo

NOTES_TOPIC = "/cargobox/notes"
NOTES_TYPE = "std_msgs/msg/String"
TOPIC_HEAD = "/cargobox/"
IMU = "sensor_msgs/msg/Imu"
SAMPLE_TYPE = "cargobox_msgs/msg/Sample"
SAMPLE_TEXT = "std_msgs/Header header\nfloat64[] values\n"
NOT_MEASURED = -1.0
"""In the first place of a covariance: this sensor does not measure it."""

# stream → its message, and the path of each axis in it, and how many of the message's units one is
OF_STREAM: Mapping[str, tuple[str, tuple[str, ...], float]] = {
    "accel": (IMU, ("linear_acceleration.x", "linear_acceleration.y", "linear_acceleration.z"), 1.0),
    "gyro": (IMU, ("angular_velocity.x", "angular_velocity.y", "angular_velocity.z"), 1.0),
    "temperature": ("sensor_msgs/msg/Temperature", ("temperature",), 1.0),
    "humidity": ("sensor_msgs/msg/RelativeHumidity", ("relative_humidity",), 0.01),
    "air_pressure": ("sensor_msgs/msg/FluidPressure", ("fluid_pressure",), 1.0),
}


class BagInfo(LogInfo, frozen=True, kw_only=True, tag="info", tag_field="note"):
    """The first note: whose recording it is. A message's time is box time + ``shift_ns``."""

    shift_ns: int = 0


class Jump(msgspec.Struct, frozen=True, kw_only=True, tag="jump", tag_field="note"):
    """From the sample at ``at_ns`` (box time) on: its index, the usual spacing, why some are missing."""

    stream: str
    at_ns: int
    index: int
    period_ps: int
    dtype: str
    unit: Literal["si", "raw"]
    """What the messages hold: SI in a message of ROS's own, or what the sensor gave."""
    reason: str = ""


class Flags(msgspec.Struct, frozen=True, kw_only=True, tag="flags", tag_field="note"):
    """From the sample at ``at_ns`` on, this is known against the samples."""

    stream: str
    at_ns: int
    quality: int


class Mark(msgspec.Struct, frozen=True, kw_only=True, tag="mark", tag_field="note"):
    """A time mark."""

    box_ns: int
    offset_ns: int
    quality: str


class End(msgspec.Struct, frozen=True, kw_only=True, tag="end", tag_field="note"):
    """The last note: how many samples each stream had, and the CRC-32 of their times and values."""

    samples: dict[str, int]
    crc32: dict[str, int]


Note = BagInfo | Jump | Flags | Mark | End


@functools.cache
def typestore(version: Literal[1, 2]) -> Any:
    """Return what packs and unpacks messages of ROS 1 or 2, by ROS's own definitions and `SAMPLE_TEXT`."""
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    store = get_typestore(Stores.ROS1_NOETIC if version == 1 else Stores.ROS2_HUMBLE)
    store.register(get_types_from_msg(SAMPLE_TEXT, SAMPLE_TYPE))
    return store


def value_at(message: object, path: str) -> float:
    """Return what stands at ``a.b`` in a message."""
    for name in path.split("."):
        message = getattr(message, name)
    assert isinstance(message, float | int)
    return float(message)


def measured(message: object, stream: str) -> bool:
    """Return whether an Imu message measures this at all."""
    name = "linear_acceleration" if stream == "accel" else "angular_velocity"
    covariance: Sequence[float] = getattr(message, f"{name}_covariance")
    return float(covariance[0]) != NOT_MEASURED


def like(name: str) -> str | None:
    """Return the stream of `OF_STREAM` that a stream is, or is one of several of: accel_8 is like accel."""
    return next((known for known in OF_STREAM if name == known or name.startswith(f"{known}_")), None)
