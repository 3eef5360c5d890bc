"""Lanes: which records are handed out next, and which are.

Alarms, the oldest first; then the rest: from the border on what is called *live*, up to a number that the
caller says, before it what is called the *backlog*, each the oldest first. What one of the two does not use,
the other gets.
"""

from __future__ import annotations

from collections.abc import Iterable

from agent.outbox.index import Index, State

_PUT_BACK = {State.LEASED: State.READY, State.URGENT_LEASED: State.URGENT_READY}


class Lanes:
    """Not safe across threads by itself: its owner holds a lock."""

    def __init__(self, index: Index) -> None:
        self.leased: set[int] = set()
        self._index = index

    def lease(
        self,
        limit: int,
        urgent_only: bool = False,
        live_from: int | None = None,
        live_most: int = 0,
        live_only: bool = False,
    ) -> list[int]:
        """Hand out up to `limit` ids of durable records that nobody holds."""
        index = self._index
        ids = index.ready(limit, urgent=True) if index.urgent else []
        for doc_id in ids:
            index.set_state(doc_id, State.URGENT_LEASED)
        self.leased.update(ids)
        if urgent_only:
            return ids
        if live_from is not None:
            most = limit if live_only else live_most
            ids += self._plain(min(limit - len(ids), most), live_from)
        return ids if live_only else ids + self._plain(limit - len(ids), 0)

    def lease_these(self, ids: Iterable[int]) -> list[int]:
        """Hand out those of the plain records `ids` that nobody holds."""
        free = [i for i in ids if self._index.state(i) is State.READY]
        return self._note(free)

    def release(self, ids: Iterable[int]) -> bool:
        """Put records back; return whether there were any."""
        back = [i for i in ids if i in self.leased]
        for doc_id in back:
            self.leased.discard(doc_id)
            state = self._index.state(doc_id)
            if state in _PUT_BACK:
                self._index.set_state(doc_id, _PUT_BACK[state])
        return bool(back)

    def forget(self, ids: Iterable[int]) -> None:
        """Hold no longer what is gone."""
        self.leased.difference_update(ids)

    def _plain(self, limit: int, first_id: int) -> list[int]:
        return self._note(self._index.ready(limit, urgent=False, first_id=first_id)) if limit else []

    def _note(self, ids: list[int]) -> list[int]:
        for doc_id in ids:
            self._index.set_state(doc_id, State.LEASED)
        self.leased.update(ids)
        return ids
