"""Waits for what an uplink says of itself."""

from __future__ import annotations

import threading

from agent.errors import BrokerError
from tests.uplink.brokers import PATIENCE_S


class Watch:
    """Give it as `on_change`."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.states: list[str] = []
        self.errors: list[BrokerError] = []

    def __call__(self, state: str, error: BrokerError | None) -> None:
        with self._changed:
            self.states.append(state)
            if error is not None:
                self.errors.append(error)
            self._changed.notify_all()

    def connected(self, times: int = 1) -> None:
        with self._changed:
            enough = self._changed.wait_for(lambda: self.states.count("connected") >= times, PATIENCE_S)
            assert enough, self.states

    def error(self, count: int = 1) -> BrokerError:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.errors) >= count, PATIENCE_S), self.states
            return self.errors[count - 1]
