"""What the link knows of its own health, and the words for what is wrong at the other end."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field

from firmware_bridge import wire
from firmware_bridge.describe import NONSENSE, plain
from firmware_bridge.errors import PortError, ProtocolError

FAULTS_MOST = 64  # a board has fewer streams than that; one that has gone mad invents more


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
    refills_asked: int = 0
    refilled_frames: int = 0
    """Frames that were lost on the way and came when asked for again."""
    duplicate_frames: int = 0
    lost_frames: int = 0
    """Frames that were lost on the way, or found no room on the board, and never came."""
    sensor_lost: list[int] = field(default_factory=list)
    """Samples by stream that ran over in the sensor, as the board counts them."""
    ring_lost: list[int] = field(default_factory=list)
    """Samples by stream that ran over in the board's ring because the host did not read."""
    board_bad_input: int = 0
    """Frames from us that reached the board damaged."""
    board_input_lost: int = 0
    """Bytes from us that ran over in the board's serial port."""
    board_control_lost: int = 0
    """Frames other than samples that the board had no room for."""
    board_stalls: int = 0
    """Writes of the board that its serial port did not take whole."""
    faults: dict[str, str] = field(default_factory=dict)
    """Sensors that fail now: stream → what was being done, what came, what was expected."""

    def take_status(self, body: bytearray) -> None:
        """Take the counters that the board reports (docs/protocol.md, status)."""
        streams, rest = divmod(len(body) - wire.STATUS_HEADER_BYTES, wire.STATUS_STREAM_BYTES)
        if streams < 0 or rest:
            self.rejected_frames += 1
            return
        (
            _,
            _,
            _,
            self.board_control_lost,
            self.board_bad_input,
            self.board_input_lost,
            self.board_stalls,
        ) = struct.unpack_from(wire.STATUS_HEADER, body)
        pairs = list(struct.iter_unpack(wire.STATUS_STREAM, bytes(body[wire.STATUS_HEADER_BYTES :])))
        self.sensor_lost = [sensor for sensor, _ in pairs]
        self.ring_lost = [ring for _, ring in pairs]

    def take_fault(self, text: bytes) -> str:
        """Take what the board says of a sensor; return it in words."""
        try:
            fault = json.loads(text)
            stream, doing = plain(fault["stream"]), plain(fault["doing"])
            got, expected = plain(fault["got"]), plain(fault["expected"])
        except NONSENSE:
            self.rejected_frames += 1
            return plain(text.decode(errors="replace"))
        if not got:
            self.faults.pop(stream, None)
            return f"{stream}: works again"
        fault_words = f"{doing}: {got}, expected {expected}"
        if stream in self.faults or len(self.faults) < FAULTS_MOST:
            self.faults[stream] = fault_words
        return f"{stream}: {fault_words}"


def silent(port: str, waited_s: float) -> ProtocolError:
    """Return the error for a port on which nobody answers."""
    return ProtocolError(
        f"board on {port}",
        got=f"nothing in {waited_s:.0f} s",
        expected="an answer",
        remedy="Is it powered, and does the cable carry data? Press its reset button; "
        "if it stays silent, `cargobox flash` puts the firmware on it.",
    )


def one_way(port: str, waited_s: float) -> ProtocolError:
    """Return the error for a board that sends but does not hear."""
    return ProtocolError(
        f"board on {port}",
        got=f"samples, but no answer in {waited_s:.0f} s",
        expected="an answer to each ping",
        remedy="Look at the cable's wire towards the board. Until it is mended, what is lost on the way "
        "cannot be asked for again, and the board keeps its outputs safe.",
    )


def closed(port: str) -> ProtocolError:
    """Return the error for a command to a board that nobody is connected to."""
    return ProtocolError(
        f"board on {port}",
        got="no connection",
        expected="one, to send it a command",
        remedy="Connect to it first; `cargobox doctor` says what answers on that port.",
    )


def strange(port: str, count: int, begin: bytes, *, at_prompt: bool) -> ProtocolError:
    """Return the error for a port on which something else speaks."""
    got = f"{count} bytes that are not our firmware's, beginning with {begin[:24]!r}"
    if at_prompt:
        got = "a MicroPython prompt"
    return ProtocolError(
        f"board on {port}",
        got=got,
        expected="the description of a cargo box",
        remedy="Is this the right port? `cargobox doctor` lists what is there; "
        "if it is, `cargobox flash` puts the firmware on the board.",
    )


def streams_changed(port: str) -> ProtocolError:
    """Return the error for a board that measures other things than before."""
    return ProtocolError(
        f"board on {port}",
        got="other streams than before it was connected again",
        expected="the same board with the same firmware",
        remedy="Restart the agent if the board was replaced on purpose.",
    )


def another_board(port: str, expected: str) -> PortError:
    """Return the error for a port on which another USB device is now, while ours is on none."""
    return PortError(
        f"serial port {port}",
        got="another board than before",
        expected=f"the one with the USB serial number {expected}",
        remedy="Plug that one in, or restart the agent if it was replaced on purpose.",
    )


def board_changed(port: str, got: str, expected: str) -> ProtocolError:
    """Return the error for another board in the place of the one that was there."""
    return ProtocolError(
        f"board on {port}",
        got=f"another board, id {got}",
        expected=f"the one that was there before, id {expected}",
        remedy="Restart the agent if the board was replaced on purpose: its calibration is another one's.",
    )


def refused(port: str, what: str, result: int, words: str) -> ProtocolError:
    """Return the error for a command that the board does not carry out."""
    reasons = {
        wire.UNKNOWN_VERB: "it does not know this command",
        wire.BAD_ARGUMENTS: "it cannot read the command",
        wire.NOT_AUTHORISED: "the command is not authorised",
    }
    got = reasons.get(result, "it cannot do it")
    return ProtocolError(
        f"{what} of the board on {port}",
        got=f"{got} ({plain(words)})" if words else got,
        expected="that it is done",
        remedy="`cargobox flash` puts the firmware of this version on the board."
        if result in (wire.UNKNOWN_VERB, wire.BAD_ARGUMENTS)
        else "Look at its configuration (docs/boards.md).",
    )
