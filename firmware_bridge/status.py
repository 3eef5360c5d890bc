"""What the link knows of its own health, and the words for what is wrong at the other end."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from firmware_bridge.errors import ProtocolError


@dataclass(slots=True)
class Counters:
    """Everything that came and everything that did not, since the link was opened."""

    received_bytes: int = 0
    frames: int = 0
    samples: int = 0
    damaged_frames: int = 0
    """Bytes between two delimiters that were no whole frame."""
    last_damage: str = ""
    garbage_bytes: int = 0
    """Bytes thrown away because no delimiter came for too long."""
    rejected_frames: int = 0
    """Whole frames that made no sense here: of an unknown kind, a time past, a wrong length."""
    disconnects: int = 0
    reboots: int = 0
    sensor_lost: list[int] = field(default_factory=list)
    """Samples by stream that ran over in the sensor, as the board counts them."""
    output_lost: list[int] = field(default_factory=list)
    """Samples by stream that the board could not send because the host did not read."""

    def take_status(self, text: bytes) -> None:
        """Take the counters that the board reports."""
        try:
            status = json.loads(text)
            self.sensor_lost = [int(n) for n in status["sensor_lost"]]
            self.output_lost = [int(n) for n in status["output_lost"]]
        except (ValueError, KeyError, TypeError):
            self.rejected_frames += 1


def silent(port: str, waited_s: float) -> ProtocolError:
    """Return the error for a port on which nobody answers."""
    return ProtocolError(
        f"board on {port}",
        got=f"nothing in {waited_s:.0f} s",
        expected="an answer",
        remedy="Is it powered, and does the cable carry data? Press its reset button; "
        "if it stays silent, put the firmware on it (docs/installers.md).",
    )


def strange(port: str, count: int, begin: bytes) -> ProtocolError:
    """Return the error for a port on which something else speaks."""
    got = f"{count} bytes that are not our firmware's, beginning with {begin[:24]!r}"
    if any(word in begin for word in (b">>>", b"REPL", b"MicroPython v", b"MPY:")):
        got = "a MicroPython prompt"
    return ProtocolError(
        f"board on {port}",
        got=got,
        expected="the description of a cargo box",
        remedy="Is this the right port? If it is, put the firmware on the board (docs/installers.md).",
    )


def streams_changed(port: str) -> ProtocolError:
    """Return the error for a board that measures other things than before."""
    return ProtocolError(
        f"board on {port}",
        got="other streams than before it was connected again",
        expected="the same board with the same firmware",
        remedy="Restart the agent if the board was replaced on purpose.",
    )
