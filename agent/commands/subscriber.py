"""The other side of the broker: an independent client that sees what really arrived."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from agent.errors import BrokerError
from agent.records import TOPIC_ROOT, decode

CONNECT_S = 10.0
PROTOCOLS = {"5": MQTTProtocolVersion.MQTTv5, "3.1.1": MQTTProtocolVersion.MQTTv311}

OnMessage = Callable[[str, Mapping[str, Any], float], None]
"""Kind of the topic, payload, and wall time of arrival in seconds."""


class Subscriber:
    """Subscribes to everything of one fleet; a context manager that is connected when entered."""

    def __init__(self, host: str, port: int, protocol: str, fleet: str, on_message: OnMessage) -> None:
        self._address = (host, port)
        self._topic = f"{TOPIC_ROOT}/{fleet}/#"
        self._on_message = on_message
        self._ready = threading.Event()
        self._arrived = threading.Condition()
        self.seqs: set[tuple[str, int]] = set()
        self.duplicates = 0
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=PROTOCOLS[protocol])
        self._client.on_connect = self._connected
        self._client.on_subscribe = self._subscribed
        self._client.on_message = self._message

    def __enter__(self) -> Self:
        """Connect. Raises BrokerError."""
        host, port = self._address
        try:
            self._client.connect(host, port)
        except OSError as error:
            raise BrokerError(
                f"subscribing at {host}:{port}",
                got=str(error),
                expected="a broker",
                remedy="Start it, or check host and port.",
            ) from error
        self._client.loop_start()
        if not self._ready.wait(CONNECT_S):
            self._client.loop_stop()
            raise BrokerError(
                f"subscribing at {host}:{port}",
                got=f"no answer within {CONNECT_S:.0f} s",
                expected="a broker",
                remedy="Check that nothing else listens there.",
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def wait_for(self, boot: str, count: int, timeout_s: float) -> bool:
        """Wait until records 0 to `count` − 1 of `boot` have arrived."""
        wanted = {(boot, seq) for seq in range(count)}
        with self._arrived:
            return self._arrived.wait_for(lambda: wanted <= self.seqs, timeout_s)

    def _connected(
        self, client: mqtt.Client, _data: object, _flags: object, reason: ReasonCode, _p: Properties | None
    ) -> None:
        if not reason.is_failure:
            client.subscribe(self._topic, qos=1)

    def _subscribed(self, *_: object) -> None:
        self._ready.set()

    def _message(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        arrived_s = time.time()
        kind = message.topic.rsplit("/", 1)[-1]
        payload = decode(bytes(message.payload)) if message.payload else {}
        if "seq" in payload:
            key = (payload["boot"], payload["seq"])
            with self._arrived:
                if key in self.seqs:
                    self.duplicates += 1
                    return
                self.seqs.add(key)
                self._arrived.notify_all()
        self._on_message(kind, payload, arrived_s)


def unix_s(text: str) -> float:
    """Return the seconds since 1970 of an RFC 3339 time of ours."""
    return datetime.fromisoformat(text).timestamp()
