"""Listening: one connection that hears what is published and publishes nothing.

Under a client id of its own and without a last will, so that no box's connection or status is touched.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from agent.errors import BrokerError
from agent.uplink import explain
from agent.uplink.session import Session
from agent.uplink.settings import BrokerConfig

OnMessage = Callable[[str, bytes], None]
"""Topic and payload; called on the network thread, and must neither wait nor raise."""


class Listener(Session):
    """Hears `topics` (filters with + and # too) once it is open, each message at least once."""

    def __init__(
        self,
        config: BrokerConfig,
        *,
        client_id: str,
        topics: Sequence[str],
        on_message: OnMessage,
        on_lost: Callable[[], None],
    ) -> None:
        self._granted = threading.Event()  # or the connection ended before it
        self._refused: ReasonCode | None = None
        self._topics = tuple(topics)
        self._hear = on_message
        self._gone = on_lost
        super().__init__(config, client_id=client_id, will=None, on_answer=_nothing, on_lost=self._over)
        self._client.on_message = self._message
        self._client.on_subscribe = self._subscribed

    def open(self) -> None:
        """Connect and subscribe; returns when the broker will forward what comes. Raises BrokerError."""
        super().open()
        self._client.subscribe([(topic, 1) for topic in self._topics])
        in_time = self._granted.wait(self._config.connect_timeout_s)
        if self.lost is not None:
            raise self.lost
        if in_time and self._refused is None:
            return
        self.close()
        raise BrokerError(
            f"subscribing at the broker {self._config.address}",
            got=f"it refuses: {str(self._refused).lower()}" if in_time else "no answer to the subscription",
            expected=f"to hear {', '.join(self._topics)}",
            remedy="Check the broker's access list: it must let this user read those topics.",
        )

    def _message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        self._hear(message.topic, bytes(message.payload))

    def _subscribed(
        self, _client: mqtt.Client, _data: Any, _mid: int, codes: list[ReasonCode], _p: Properties | None
    ) -> None:
        self._refused = next((code for code in codes if code.value >= explain.FAILURE), None)
        self._granted.set()

    def _over(self) -> None:
        self._granted.set()
        self._gone()

    def _join(self) -> None:
        super()._join()
        self._client.on_message = self._client.on_subscribe = None


def _nothing(_: object) -> None:
    """Nothing is published, so nothing is answered."""
