"""Moving an output of the board: a heater's relay, a fan. Only who holds the board's key can.

The key lies in the board's configuration and with whoever commands it; each command is signed for the
session under way and carries a counter that rises, so that one that was overheard moves nothing again.
HMAC-SHA256, RFC 2104; docs/protocol.md, "Outputs". An output is safe again 5 s after the host went quiet.
"""

from __future__ import annotations

import struct

from firmware_bridge import wire
from firmware_bridge.errors import ProtocolError
from firmware_bridge.link import Link
from firmware_bridge.status import refused

FULL = 0xFFFF
"""The highest value: a relay is on from half of it up, a PWM output is on all the time."""
_COUNTER = struct.Struct("<I")
_COUNTER_MAX = 0xFFFFFFFF


def authorise(key: bytes, session: int, counter: int, output: int, value: int) -> bytes:
    """Return the arguments of a DO_OUTPUT that the board of `key` obeys, once, in `session`."""
    arguments = struct.pack(wire.OUTPUT_ARGUMENTS, output, value, counter)
    return arguments + wire.output_tag(key, session, output, value, counter)


def set_output(link: Link, key: bytes, name: str, share: float) -> None:
    """Move the output `name` to `share` (0 to 1) of its full value. The board must be sampling.

    Raises `ProtocolError` unless the board says that it has moved, `LinkError` when it does not answer.
    """
    port = link.port_name
    outputs = link.description.outputs if link.description is not None else ()
    if name not in outputs:
        raise ProtocolError(
            f"output {name} of the board on {port}",
            got=f"the board has {', '.join(outputs) or 'no outputs'}",
            expected="an output of that name",
            remedy="Give the name as the board's configuration has it (docs/boards.md).",
        )
    if not 0 <= share <= 1:
        raise ProtocolError(
            f"output {name} of the board on {port}",
            got=f"a value of {share}",
            expected="0 (off) to 1 (on)",
            remedy="Give the share of the full power.",
        )
    number, value = outputs.index(name), round(share * FULL)
    counter = 1
    for once_more in (False, True):  # a refusal tells how far the counter has come
        arguments = authorise(key, link.session, counter, number, value)
        result, told = link.command(wire.DO_OUTPUT, arguments)
        last = _COUNTER.unpack(told)[0] if len(told) == _COUNTER.size else 0
        if result == wire.OK:
            return
        if result != wire.NOT_AUTHORISED or last < counter or last == _COUNTER_MAX:
            break
        if once_more and last == counter:
            return  # it moved, that answer was lost, and the link asked again
        counter = last + 1
    raise refused(port, f"moving output {name}", result, "")
