"""What the uplink needs of who listens to orders; ``agent.orders.Desk`` is one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Heard:
    """A message that the broker forwarded."""

    topic: str
    payload: bytes
    qos: int
    retained: bool


class Ear(Protocol):
    """Is told on the network thread, and must neither wait nor raise."""

    @property
    def topics(self) -> Sequence[str]:
        """What to subscribe to."""

    @property
    def most_at_once(self) -> int:
        """How many messages it takes before the first is acknowledged: the rest wait at the broker."""

    def hear(self, message: Heard, acknowledge: Callable[[], object]) -> None:
        """Take a message; `acknowledge` from any thread, once."""

    def missed(self, count: int) -> None:
        """Take note of messages that were passed over, unread: there were too many."""

    def connected(self, say: Callable[[str, bytes], None]) -> None:
        """Answers can be published from now on, by topic and payload, one at a time ..."""

    def answered(self, refusal: str | None) -> None:
        """... until this says that the last one has arrived, or why it was refused."""

    def disconnected(self) -> None:
        """No answers any more."""
