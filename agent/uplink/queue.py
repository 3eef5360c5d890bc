"""What the uplink needs of the place where records wait; ``agent.outbox.Outbox`` is one."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from typing import Protocol


class Parcel(Protocol):
    """A record that waits to be published."""

    @property
    def doc_id(self) -> int: ...  # noqa: D102
    @property
    def topic(self) -> str: ...  # noqa: D102
    @property
    def payload(self) -> bytes: ...  # noqa: D102
    @property
    def urgent(self) -> bool: ...  # noqa: D102


class Queue(Protocol):
    """What the uplink needs of an outbox; ``agent.outbox.Outbox`` is one."""

    def take(
        self,
        limit: int,
        *,
        urgent_only: bool = False,
        timeout_s: float | None = None,
        live_from: int | None = None,
        live_most: int = 0,
        live_only: bool = False,
    ) -> Sequence[Parcel]:
        """Lease up to `limit` records: alarms, `live_most` from the id `live_from` on, then the oldest.

        `live_only`: none from before. Blocks until there are some, or for `timeout_s`.
        """

    def take_newest(self, kinds: Container[str]) -> Sequence[Parcel]:
        """Lease the newest record of each of these kinds."""

    @property
    def border(self) -> int:
        """The id from which on records get theirs that are put now."""

    def listen(self, on_ready: Callable[[], None] | None) -> None:
        """Have `on_ready` called, on any thread, when there may be something to take."""

    def acknowledge(self, doc_ids: Iterable[int]) -> None:
        """Forget records that have arrived."""

    def release(self, doc_ids: Iterable[int]) -> None:
        """Put back records that have not."""

    def release_all(self) -> None:
        """Put back all that was handed out."""

    def set_aside(self, doc_id: int, reason: str) -> None:
        """Take a record out that the broker refuses."""

    def waiting(self) -> int:
        """Return how many records wait, leased ones among them."""

    def flush(self) -> None:
        """Make durable what was put."""
