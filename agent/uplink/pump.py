"""Pump: what is sent next on one connection, and what the broker's answers do to it.

It works on the network thread, after each of its turns: the answers that came leave the outbox together, and
the places that they left in the window are filled again, with no other thread between them. *Order*: alarms,
the oldest first; on a new connection the newest health and features, so that it is known at once how the box
is; then *live* records, which were put since the connection began, and the *backlog* from before, each the
oldest first: of four places in the window one is the backlog's and three are the live records', and what one
of the two does not need, the other has. So no backlog keeps live records waiting for longer than what is in
the window already, and on a line that is too slow for both, the backlog still gets on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agent.records import Kind, publish_size_bytes
from agent.uplink import explain
from agent.uplink.allowance import Allowance
from agent.uplink.queue import Parcel, Queue
from agent.uplink.records_client import why_not
from agent.uplink.session import Answer, Session
from agent.uplink.settings import BrokerConfig
from agent.uplink.window import Window

BACKLOG_SHARE = 4
"""One place in so many is the backlog's while there are live records."""
FIRST = frozenset({Kind.HEALTH.value, Kind.FEATURES.value})
"""Of these the newest goes first."""
CAUTIOUS = 8
"""So many records of the backlog at once where it has a limit: they are counted once they are taken."""


@dataclass(slots=True)
class Counts:
    """Since the agent's start."""

    published: int = 0
    acknowledged: int = 0
    refused: int = 0
    published_bytes: int = 0


class Pump:
    """`cond` guards what it shares with the uplink's thread, and tells that one what has changed."""

    def __init__(
        self,
        config: BrokerConfig,
        queue: Queue,
        session: Session,
        cond: threading.Condition,
        counts: Counts,
        *,
        most: int,
        unheard_until_s: float,
        allowance: Allowance,
        refuse: Callable[[int, str], None],
    ) -> None:
        self.window = Window(most)
        self.stopping = False
        """Whether the uplink's thread waits for the last answer."""
        self.ended = False
        """Set when nothing more is to be sent."""
        self._config = config
        self._queue = queue
        self._session = session
        self._cond = cond
        self._counts = counts
        self._refuse = refuse
        self._allowance = allowance
        self._live_from = queue.border
        self._told_newest = False
        self._places = 0
        self._paused_until_s = 0.0
        self._plain_paused_until_s = 0.0
        self._unheard_until_s = unheard_until_s
        self._nobody_listens = False
        self._urgent_sent: set[int] = set()
        self._arrived: list[int] = []

    # -- on the network thread -------------------------------------------------------------------

    def turn(self) -> None:
        """Let go of what has arrived, and send what there is room for."""
        self.settle()
        while self._session.lost is None and (parcels := self._next()):
            self._send(parcels)

    def settle(self) -> None:
        """Take the records out of the outbox that have arrived."""
        with self._cond:
            arrived, self._arrived = self._arrived, []
        if arrived:
            self._queue.acknowledge(arrived)
        if self.stopping:
            with self._cond:
                self._cond.notify_all()

    def answered(self, answer: Answer) -> None:
        """Take the broker's word on one record."""
        refused = answer.code >= explain.FAILURE
        with self._cond:
            if not self.window.remove(answer.token):
                return
            now_s = time.monotonic()
            urgent = answer.token in self._urgent_sent
            self._urgent_sent.discard(answer.token)
            unheard = answer.code == explain.NO_MATCHING_SUBSCRIBERS and now_s < self._unheard_until_s
            self._nobody_listens = unheard
            if unheard and not urgent:  # an alarm need not wait for those who do not listen to features
                self._plain_paused_until_s = now_s + self._config.unheard_pause_s
            elif unheard:
                self._paused_until_s = now_s + self._config.unheard_pause_s
            elif answer.code in explain.RETRY_LATER:
                self._paused_until_s = now_s + self._config.quota_pause_s
            elif not refused:
                self._counts.acknowledged += 1
                self._arrived.append(answer.token)
                return
            self._cond.notify_all()  # the uplink's thread sees to it that the pause ends
        if unheard or answer.code in explain.RETRY_LATER:
            self._queue.release([answer.token])
        else:
            self._refuse(answer.token, f"the broker refuses it: {answer.reason} (0x{answer.code:02X})")

    # -- on the uplink's thread ------------------------------------------------------------------

    def due_s(self, now_s: float) -> list[float]:
        """Return when (monotonic) something may be sent again that waits for its time only."""
        times = (self._paused_until_s, self._plain_paused_until_s, self._allowance.due_s(now_s))
        return [t for t in times if t > now_s]

    # -- inside ----------------------------------------------------------------------------------

    def _next(self) -> list[Parcel]:
        now_s = time.monotonic()
        with self._cond:
            plain = self._plain_places(now_s)
            urgent = self.window.room().urgent
            if self.ended or urgent == 0 or now_s < self._paused_until_s:
                return []
        if not plain:
            return list(self._queue.take(urgent, urgent_only=True, timeout_s=0))
        if not self._told_newest:
            self._told_newest = True
            if not self._nobody_listens and self._queue.waiting() > plain >= BACKLOG_SHARE:
                alarms = self._queue.take(urgent, urgent_only=True, timeout_s=0)
                self._told_newest = not alarms
                return list(alarms) or list(self._queue.take_newest(FIRST)) or self._next()
        if self._nobody_listens:
            return list(self._queue.take(plain, timeout_s=0))
        if not self._allowance.may(now_s):
            return list(self._queue.take(plain, timeout_s=0, live_from=self._live_from, live_only=True))
        if self._allowance.is_limited:
            plain = min(plain, CAUTIOUS)
        before = self._places
        taken = self._queue.take(
            plain,
            timeout_s=0,
            live_from=self._live_from,
            live_most=plain - ((before + plain) // BACKLOG_SHARE - before // BACKLOG_SHARE),
        )
        self._places = before + len(taken)
        return list(taken)

    def _plain_places(self, now_s: float) -> int:
        """Return how many records that are no alarms may be sent now."""
        window = self.window
        room = window.room()
        if room.plain == 0:
            window.starved = True
        if now_s < self._plain_paused_until_s or (window.starved and not window.relieved()):
            return 0
        if self._nobody_listens:  # one is enough to see whether somebody came
            return 0 if len(window) else min(1, room.plain)
        return room.plain

    def _send(self, parcels: Sequence[Parcel]) -> None:
        sized = [(p, publish_size_bytes(p.topic, p.payload)) for p in parcels]
        good = [(p, size) for p, size in sized if not self._refused(p, size)]
        with self._cond:
            is_first = not len(self.window)
            for parcel, size_bytes in good:
                self.window.add(parcel.doc_id, size_bytes)
                if parcel.urgent:
                    self._urgent_sent.add(parcel.doc_id)
                elif parcel.doc_id < self._live_from:
                    self._allowance.spend(size_bytes)
                self._counts.published_bytes += size_bytes
            self._counts.published += len(good)
        self._session.publish_all([(p.doc_id, p.topic, p.payload) for p, _ in good])
        if is_first:
            with self._cond:
                self._cond.notify_all()  # the uplink's thread sees to it that an answer comes

    def _refused(self, parcel: Parcel, size_bytes: int) -> bool:
        most_bytes = self._session.limits.packet_max_bytes
        if why := why_not(parcel.topic, parcel.payload):
            self._refuse(parcel.doc_id, f"MQTT cannot carry it: {why}")
        elif most_bytes is not None and size_bytes > most_bytes:
            self._refuse(parcel.doc_id, f"it has {size_bytes} bytes, the broker takes at most {most_bytes}")
        else:
            return False
        return True
