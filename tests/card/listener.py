"""Somebody behind the broker, in a process of its own: keeps all that comes, in that order.

``python -m tests.card.listener PORT FILE`` says "ready" when it is subscribed, and ends when it has heard
that the box is offline, which is the last that comes.
"""

from __future__ import annotations

import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

HEAD = struct.Struct("<dHI")


def main(port: int, path: Path) -> None:
    """Listen."""
    with path.open("wb") as file:
        client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        client.on_connect = lambda client, *_: client.subscribe("cargobox/#", qos=1)
        client.on_subscribe = lambda *_: print("ready", flush=True)

        def keep(_client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
            topic = message.topic.encode()
            file.write(HEAD.pack(time.time(), len(topic), len(message.payload)) + topic + message.payload)

            if topic.endswith(b"/status") and b"offline" in message.payload:
                client.disconnect()

        client.on_message = keep
        client.connect("127.0.0.1", port)
        client.loop_forever()


def heard(path: Path) -> Iterator[tuple[float, str, bytes]]:
    """Yield (wall time of arrival, kind, payload) of what was kept."""
    with path.open("rb") as file:
        while head := file.read(HEAD.size):
            came_s, topic_bytes, payload_bytes = HEAD.unpack(head)
            topic = file.read(topic_bytes).decode()
            yield came_s, topic.rsplit("/", 1)[-1], file.read(payload_bytes)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
