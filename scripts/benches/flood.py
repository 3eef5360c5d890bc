"""Somebody who floods a box with orders: ``python -m scripts.benches.flood PORT BOX``.

Lines on standard input: ``on`` and ``off``; each is answered by how many messages have been sent so far. They
are what `tests.orders.garbage` has, made beforehand, and go through a bare socket as fast as the broker takes
them; at QoS 0, which no window holds back, but for a few. First one good order is sent, which is then among
those that are sent again.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import socket
import struct
import sys
import threading
import time

from tests.orders.garbage import Garbage
from tests.orders.signing import signed

HOST = "127.0.0.1"
MADE = 2000
QOS_1_PART = 0.02
CONNECT, PUBLISH, QOS_1 = 0x10, 0x30, 0x02
KEEPALIVE_S = 0  # never asked for
AT_ONCE_BYTES = 1 << 16


def main(port: int, box: str) -> None:
    """Flood when told to, until standard input ends."""
    line = connected(port)
    now_s = int(time.time())
    captured = signed(now_s, fleet="default", box=box, issued=now_s, expires=now_s + 3600)
    line.sendall(publish(box, "status", captured, 1))
    garbage = Garbage(
        random.Random(1), captured, lambda: int(time.time()), fleet="default", box=box, qos_1_part=QOS_1_PART
    )
    packets = [
        publish(box, junk.verb, junk.payload, junk.qos) for junk in itertools.islice(garbage, MADE)
    ]  # none is retained: this is about how many there are
    pieces = joined(packets)
    told = threading.Event()
    sent = [0]

    def flood() -> None:
        for piece, count in itertools.cycle(pieces):
            told.wait()
            line.sendall(piece)
            sent[0] += count

    threading.Thread(target=flood, daemon=True).start()
    for word in sys.stdin:
        told.set() if word.strip() == "on" else told.clear()
        print(sent[0], flush=True)


def connected(port: int) -> socket.socket:
    """Return a line to a broker on which packets of MQTT 3.1.1 can be sent; its answers are ignored."""
    line = socket.create_connection((HOST, port))
    name = b"flood"
    line.sendall(packet(CONNECT, b"\0\4MQTT\4\2" + struct.pack("!HH", KEEPALIVE_S, len(name)) + name))
    line.recv(4)
    threading.Thread(target=_ignore, args=(line,), daemon=True).start()
    return line


def joined(packets: list[bytes]) -> list[tuple[bytes, int]]:
    """Return them in pieces that are sent at once, each with how many it has."""
    pieces, some = [], list[bytes]()
    for packet in packets:
        some.append(packet)
        if sum(map(len, some)) >= AT_ONCE_BYTES:
            pieces.append((b"".join(some), len(some)))
            some = []
    return [*pieces, (b"".join(some), len(some))]


def publish(box: str, verb: str, payload: bytes, qos: int, fleet: str = "default") -> bytes:
    """Return the packet of an order."""
    topic = f"cargobox/1/{fleet}/{box}/cmd/{verb}".encode()
    number = struct.pack("!H", 1) if qos else b""
    return packet(PUBLISH | (QOS_1 if qos else 0), struct.pack("!H", len(topic)) + topic + number + payload)


def packet(head: int, rest: bytes) -> bytes:
    """Return a packet of MQTT."""
    size, left = bytearray(), len(rest)
    while left > 0x7F:
        size.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes([head, *size, left]) + rest


def _ignore(line: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while line.recv(1 << 16):
            pass


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
