"""What a bad cable does to one stream, by the frame: for ``tests.bridge.cable.Cable.spoil``."""

from __future__ import annotations

import struct

from firmware_bridge import wire
from firmware_bridge.virtual.streams import STREAMS

FRAMES = 20


class Thief:
    """Takes 20 frames of the accelerometer out of what passes, from frame number `from_frame` on.

    With `again` they are taken each time that they pass, so that asking for them does not help.
    """

    def __init__(self, from_frame: int, *, again: bool = True) -> None:
        self._from = from_frame
        self._again = again
        self.stolen: list[tuple[int, int]] = []  # first sample and number of samples of each
        self._seen = 0
        self._partial = b""

    def __call__(self, data: bytes) -> list[bytes]:
        *frames, self._partial = (self._partial + data).split(b"\0")
        return [frame + b"\0" for frame in frames if not self._takes(frame)]

    def _takes(self, frame: bytes) -> bool:
        if not frame:
            return False
        body = wire.unseal(frame)
        if body[0] != wire.DATA or STREAMS[body[1]].name != "accel":
            return False
        _, _, _, index, _, count = struct.unpack_from(wire.DATA_HEADER, body)
        if (index, count) in self.stolen:
            return self._again
        self._seen += 1
        if not self._from <= self._seen < self._from + FRAMES:
            return False
        self.stolen.append((index, count))
        return True
