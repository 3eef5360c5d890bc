"""The shield against a flood of orders: while somebody floods their topics, none is heard.

Whatever the broker forwards stands on the line before its answers to our records. They would wait behind it,
and with a full window so would alarms, however fast what is forwarded is dropped. So the topics are let go
of, for a while; what is on the way is passed over, unread.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from agent.uplink.ear import Ear
from agent.uplink.records_client import RecordsClient

DEAF_MIN_S, DEAF_MAX_S = 10.0, 300.0
"""So long no order is heard: after a flood, and after those that follow within the longer time."""

_log = logging.getLogger("cargobox")


class Shield:
    """Of one connection, on the network thread."""

    def __init__(self, client: RecordsClient, ear: Ear, subscribe: Callable[[Ear], None]) -> None:
        self._client, self._ear, self._subscribe = client, ear, subscribe
        self._deaf_s = self._until_s = 0.0
        self._heard_since_s = time.monotonic()

    def look(self) -> None:
        """Let go of the topics, or hear them again, as it is time for."""
        client, now_s = self._client, time.monotonic()
        if client.unheard:
            self._ear.missed(client.unheard)
            client.unheard = 0
        if client.is_deaf and now_s >= self._until_s:
            client.is_deaf = False
            self._heard_since_s = now_s
            self._subscribe(self._ear)
            _log.info("uplink: orders are heard again")
        elif client.is_flooded and not client.is_deaf:
            is_soon = self._deaf_s > 0.0 and now_s - self._heard_since_s < DEAF_MAX_S
            self._deaf_s = min(DEAF_MAX_S, 2 * self._deaf_s) if is_soon else DEAF_MIN_S
            self._until_s = now_s + self._deaf_s
            client.is_deaf = True
            client.unsubscribe(list(self._ear.topics))
            words = "uplink: somebody floods the topics of orders: none is heard for %.0f s; records go on"
            _log.warning(words, self._deaf_s)
