"""The subscriber of ``scripts/bench alarms``: ``python -m scripts.benches.alarm_watch HOST PORT [TOPIC …]``.

A process of its own that knows nothing of the agent: it stamps every message with the kernel's monotonic
clock as paho hands it over, and says so on a line of its own, topic and payload beside it.
"""

from __future__ import annotations

import sys
import time

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

READY = "ready"
TOPICS = ("cargobox/#", "bare/#")
"""Unless others are named."""


def main() -> int:
    """Tell of each message until standard output ends."""
    host, port = sys.argv[1], int(sys.argv[2])
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)

    def tell(_client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        came_ns = time.monotonic_ns()
        wall_ns = time.time_ns()
        print(came_ns, wall_ns - came_ns, message.topic, message.payload.hex(), flush=True)

    client.on_message = tell
    client.on_connect = lambda c, *_: c.subscribe([(topic, 1) for topic in sys.argv[3:] or TOPICS])
    client.on_subscribe = lambda *_: print(READY, flush=True)
    client.connect(host, port)
    client.loop_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
