"""Who answers on a port: our firmware, MicroPython's prompt, something else, or nobody.

Less than a session (``link.py``): it does not mind which version of the protocol the board speaks, for it
is here to replace it. The verbs it uses are the same in all of them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from firmware_bridge import wire
from firmware_bridge.describe import Description, parse_description
from firmware_bridge.errors import LinkError
from firmware_bridge.flashing.finding import take_port
from firmware_bridge.port import Port

WAIT_S = 2.5  # a board that resets when its port is opened takes about one
ASK_AGAIN_S = 0.3
STEP_S = 0.1
HEARD_MOST_BYTES = 4096
LEAVE_RAW = b"\r\x02"  # Ctrl-B: at any prompt of MicroPython, the friendly one shows itself
PROMPT_SIGNS = (b">>> ", b"raw REPL;", b"=== ")
IDENT = 0xF5  # no byte of a command of ours is Ctrl-C


@dataclass(frozen=True, slots=True)
class Greeting:
    """What came back."""

    description: Description | None = None
    """Our firmware's, if it is one that we understand."""
    is_ours: bool = False
    """A whole frame came: it is our firmware, perhaps of another protocol version."""
    at_prompt: bool = False
    heard: bytes = b""


def greet(port: str, wait_s: float = WAIT_S) -> Greeting:
    """Ask who is there until somebody says so; raise `PortError`."""
    line = take_port(port)
    try:
        return _greet(line, port, wait_s)
    finally:
        line.close()


def _greet(line: Port, port: str, wait_s: float) -> Greeting:
    heard = b""
    begin_s = time.monotonic()
    asked_s = -ASK_AGAIN_S
    while (now_s := time.monotonic()) - begin_s < wait_s:
        if now_s - asked_s >= ASK_AGAIN_S:
            asked_s = now_s
            # our firmware counts the Ctrl-B as a bad frame, and no more
            line.write((LEAVE_RAW if now_s - begin_s > STEP_S else b"") + _command(wire.DO_DESCRIBE))
        data, _ = line.read(STEP_S)
        heard = (heard + data)[-HEARD_MOST_BYTES:]
        bodies = _bodies(heard)
        for body in bodies:
            if body[0] == wire.DESCRIBE:
                return Greeting(_understood(body, port), is_ours=True, heard=heard)
        if not bodies and any(sign in heard for sign in PROMPT_SIGNS):
            return Greeting(at_prompt=True, heard=heard)
    return Greeting(is_ours=bool(_bodies(heard)), heard=heard)


def ask_for_prompt(port: str, wait_s: float = WAIT_S) -> bool:
    """Ask our firmware to boot to the prompt; return whether it said that it does."""
    line = take_port(port)
    try:
        heard = b""
        begin_s = time.monotonic()
        asked_s = -ASK_AGAIN_S
        while (now_s := time.monotonic()) - begin_s < wait_s:
            if now_s - asked_s >= ASK_AGAIN_S:
                asked_s = now_s
                line.write(_command(wire.DO_PROMPT))
            data, _ = line.read(STEP_S)
            heard = (heard + data)[-HEARD_MOST_BYTES:]
            for body in _bodies(heard):
                if body[0] == wire.RESPONSE and body[2] == wire.DO_PROMPT:
                    return body[3] == wire.OK
        return False
    except LinkError:
        return True  # it went at once, as a board with its own USB does
    finally:
        line.close()


def _command(verb: int) -> bytes:
    return b"\0" + wire.command(IDENT, verb)


def _bodies(heard: bytes) -> list[bytearray]:
    """Return the whole frames in what came."""
    bodies = []
    for raw in heard.split(b"\0")[:-1]:
        try:
            body = wire.unseal(raw)
        except wire.Damaged:
            continue
        if body[0] in (wire.DESCRIBE, wire.DATA, wire.STATUS, wire.LOG, wire.REFILL) or (
            body[0] == wire.RESPONSE and len(body) >= wire.RESPONSE_HEADER_BYTES
        ):
            bodies.append(body)
    return bodies


def _understood(body: bytearray, port: str) -> Description | None:
    try:
        return parse_description(body, port)
    except LinkError:
        return None
