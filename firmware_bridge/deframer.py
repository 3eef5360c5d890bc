"""What comes on the cable, in whatever pieces, cut into whole frames; what is none is counted."""

from __future__ import annotations

from collections.abc import Iterator

from firmware_bridge import wire
from firmware_bridge.status import Counters


class Deframer:
    """The bytes of one open port."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._partial = b""

    def forget(self) -> None:
        """The port was opened anew: what was half there will not be finished."""
        self._partial = b""

    def take(self, data: bytes) -> Iterator[bytearray]:
        """Yield the body of each frame that ends in `data`."""
        counters = self._counters
        counters.received_bytes += len(data)
        *frames, self._partial = (self._partial + data).split(b"\0")
        if len(self._partial) > wire.MAX_FRAME_BYTES:
            counters.garbage_bytes += len(self._partial)
            self._partial = b""
        for raw in frames:
            if not raw:
                continue
            try:
                body = wire.unseal(raw)
            except wire.Damaged as damage:
                counters.damaged_frames += 1
                counters.last_damage = str(damage)
                continue
            counters.frames += 1
            yield body
