"""A subscriber that keeps every message as it came, and that a dead broker does not lose its place with."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from agent.records import TOPIC_ROOT, decode
from tests.live.processes import PATIENCE_S
from tests.uplink.brokers import HOST

LAST = 50  # messages, told when another did not come


@dataclass(frozen=True)
class Message:
    """One message as the broker delivered it."""

    topic: str
    payload: bytes
    qos: int
    retain: bool

    @property
    def kind(self) -> str:
        """The last level of the topic."""
        return self.topic.rsplit("/", 1)[-1]

    @property
    def body(self) -> dict[str, Any]:
        """The payload's document."""
        return decode(self.payload)


class Watcher:
    """Subscribed to everything of one fleet inside the ``with``.

    Its session outlives the connection and, where the broker has saved it, the broker.
    """

    def __init__(self, port: int, fleet: str = "default", name: str = "watcher") -> None:
        self._address = (HOST, port)
        self._topic = f"{TOPIC_ROOT}/{fleet}/#"
        self._changed = threading.Condition()
        self._subscribed = False
        self.messages: list[Message] = []
        self.duplicates = 0
        self._seen: dict[tuple[str, int], Message] = {}
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=name, protocol=MQTTProtocolVersion.MQTTv5
        )
        self._client.reconnect_delay_set(min_delay=1, max_delay=1)
        self._client.on_connect = lambda client, *_: client.subscribe(self._topic, qos=1)
        self._client.on_subscribe = self._take_suback
        self._client.on_message = self._take

    def __enter__(self) -> Self:
        lasting = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        lasting.SessionExpiryInterval = 3600
        self._client.connect(*self._address, clean_start=False, properties=lasting)
        self._client.loop_start()
        self.until(lambda: self._subscribed, "subscription")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        self._client.on_connect = self._client.on_subscribe = self._client.on_message = None

    def _take_suback(self, *_: object) -> None:
        with self._changed:
            self._subscribed = True
            self._changed.notify_all()

    def _take(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        came = Message(message.topic, bytes(message.payload), message.qos, message.retain)
        with self._changed:
            if came.kind != "status":
                body = came.body
                key = (body["boot"], body["seq"])
                if key in self._seen:
                    self.duplicates += 1
                    assert self._seen[key].payload == came.payload, f"{key} came twice, and differs"
                    return
                self._seen[key] = came
            self.messages.append(came)
            self._changed.notify_all()

    def until(self, done: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
        """Wait for something to be true of what has come."""
        with self._changed:
            if not self._changed.wait_for(done, patience_s):
                told = "\n".join(f"{m.topic} {m.payload[:300]!r}" for m in self.messages[-LAST:])
                came = f"{len(self.messages)} messages: {self.counts()}"
                raise AssertionError(f"no {what} in {patience_s:.0f} s; {came}; last:\n{told}")

    def counts(self) -> Counter[str]:
        """Return how many messages of each kind have come."""
        return Counter(m.kind for m in self.messages)

    def of(self, *kinds: str, boot: str | None = None) -> list[Message]:
        """Return the messages of these kinds so far, in order of their arrival."""
        with self._changed:
            found = [m for m in self.messages if m.kind in kinds]
        return [m for m in found if boot is None or m.body["boot"] == boot]

    def records(self, boot: str) -> dict[int, Message]:
        """Return the records of one boot by their number, in order."""
        with self._changed:
            return {seq: self._seen[b, seq] for b, seq in sorted(self._seen) if b == boot}

    def until_records(self, boot: str, count: int) -> dict[int, Message]:
        """Wait until records 0 to `count` - 1 of `boot` are there; they, and none besides."""
        self.until(
            lambda: all((boot, seq) in self._seen for seq in range(count)),
            f"record 0 to {count - 1} of {boot}",
        )
        found = self.records(boot)
        assert list(found) == list(range(count)), f"{sorted(set(found) - set(range(count)))} came besides"
        return found

    def until_kind(self, kind: str, count: int = 1, **values: object) -> Message:
        """Wait for a message of `kind` whose body has these values, `count` of them; return the last."""

        def found() -> list[Message]:
            some = [m for m in self.messages if m.kind == kind]
            return [m for m in some if all(m.body.get(k) == v for k, v in values.items())]

        self.until(lambda: len(found()) >= count, f"{count} × {kind} {values or ''}")
        return found()[count - 1]
