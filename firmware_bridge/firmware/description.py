"""Who this board is and what it measures: the JSON of a DESCRIBE frame, docs/protocol.md.

Runs on MicroPython and on CPython, like ``wire.py``.
"""

import json

import wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ROOM_BYTES = wire.MAX_BODY_BYTES - 2  # behind the kind and the version

# What was left out.
NOTHING = 0
FAULTS = 1
FAULTS_AND_OUTPUTS = 2


def describe(
    hardware: "Any", launcher: "Any", firmware: str, session: int, faults: "dict[str, list[str]]"
) -> "tuple[bytes, int]":
    """Return the JSON, and what was left out so that it fits into one frame."""
    outputs = hardware.outputs_text
    text = _told(hardware, launcher, firmware, session, faults, outputs)
    if len(text) <= ROOM_BYTES:
        return text, NOTHING
    text = _told(hardware, launcher, firmware, session, {}, outputs)
    if len(text) <= ROOM_BYTES:
        return text, FAULTS
    return _told(hardware, launcher, firmware, session, {}, "[]"), FAULTS_AND_OUTPUTS


def _told(
    hardware: "Any",
    launcher: "Any",
    firmware: str,
    session: int,
    faults: "dict[str, list[str]]",
    outputs: str,
) -> bytes:
    about = json.dumps(
        {
            "firmware": firmware,
            "board": hardware.name,
            "id": hardware.unique_id,
            "reset": hardware.reset_cause,
            "boots": hardware.boots,
            "slot": launcher.slot,
            "trial": launcher.trial,
            "session": session,
            "tick_bits": hardware.tick_bits,
            "mount_up": hardware.mount_up,
            "faults": faults,
        }
    )
    # the streams go as the text that the board has: a float here may have 32 bits only
    text = about[:-1] + ', "outputs": ' + outputs + ', "streams": ' + hardware.streams_text + "}"
    told: bytes = text.encode()
    return told
