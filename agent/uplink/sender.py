"""Uplink: from the outbox to the broker, for as long as the agent runs.

One thread connects, sends and connects again; nothing that a broker does ends it. A record leaves the
outbox only after its PUBACK. Alarms have places of their own in the window of unacknowledged records, so
that a backlog never stands before them.
"""

from __future__ import annotations

import functools
import logging
import random
import threading
import time
from collections.abc import Callable

import msgspec

from agent.beats import SLOW_S, Beats
from agent.errors import BrokerError
from agent.records import PAYLOAD_VERSION, publish_size_bytes
from agent.timebase import measure_mark, rfc3339
from agent.uplink import explain
from agent.uplink.backoff import Backoff
from agent.uplink.blame import STATUS_TOKEN, Blame
from agent.uplink.ear import Ear
from agent.uplink.queue import Parcel, Queue
from agent.uplink.session import Answer, Message, Session
from agent.uplink.settings import BrokerConfig
from agent.uplink.topics import status_topic
from agent.uplink.window import Window

GOODBYE_TIMEOUT_S = 2.0
ANSWER_TOKEN = -2
"""Stands for the answer to an order, which is in no window: there is one at a time."""

_log = logging.getLogger(__name__)


class UplinkStats(msgspec.Struct, frozen=True, kw_only=True):
    """What the uplink has done since it was started."""

    state: str
    """connecting, connected, waiting (to try again) or stopped."""
    published: int
    acknowledged: int
    refused: int
    published_bytes: int
    inflight: int
    connections: int
    reconnects: int
    last_error: str | None
    """In four parts; of the latest failure, also after it is over."""


class Uplink:
    """Sends what waits in `queue`.

    `announce` False: says nothing on the box's status topic, for who speaks in a box's name and is not
    it. `random` returns numbers in [0, 1); tests inject their own.
    """

    def __init__(
        self,
        config: BrokerConfig,
        queue: Queue,
        *,
        fleet: str,
        box: str,
        boot: str,
        software: str,
        announce: bool = True,
        on_change: Callable[[str, BrokerError | None], None] | None = None,
        random: Callable[[], float] = random.random,
        ear: Ear | None = None,
        beats: Beats | None = None,
    ) -> None:
        beats = beats or Beats()
        self._beat = beats.of("uplink")
        self._network_beat = beats.of("uplink-network")
        self._config = config
        self._queue = queue
        self._ear = ear
        self._box, self._boot, self._software = box, boot, software
        self._client_id = config.client_id or f"cargobox-{box}"
        self._status_topic = status_topic(fleet, box)
        self._announce = announce
        self._on_change = on_change
        self._backoff = Backoff(config.reconnect_min_s, config.reconnect_max_s, random)
        self._cond = threading.Condition()
        self._stop_at_s: float | None = None  # monotonic; set by stop()
        self._paused_until_s = 0.0
        self._unheard_until_s = 0.0
        self._plain_paused_until_s = 0.0
        self._nobody_listens = False
        self._said = ""
        self._urgent_sent: set[int] = set()
        self._state = "stopped"
        self._last_error: BrokerError | None = None
        self._published = self._acknowledged = self._refused = self._bytes = self._connections = 0
        self._window = Window(1)
        self._blame = Blame()
        self._thread: threading.Thread | None = None

    # -- for the service -------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """``connecting``, ``connected``, ``waiting`` (to try again) or ``stopped``."""
        return self._state

    @property
    def last_error(self) -> BrokerError | None:
        """The latest failure, in four parts."""
        return self._last_error

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread = threading.Thread(target=self._run, name="uplink", daemon=True)
        self._thread.start()

    def stop(self, drain_s: float = 0.0) -> None:
        """Send what waits for up to `drain_s`, say offline, and end. Does not wait for a lost broker."""
        if self._thread is None:
            return
        if drain_s > 0:
            self._queue.flush()
        with self._cond:
            self._stop_at_s = time.monotonic() + drain_s
            self._cond.notify_all()
        self._queue.wake()
        self._thread.join(drain_s + self._config.connect_timeout_s + 2 * GOODBYE_TIMEOUT_S)

    def stats(self) -> UplinkStats:
        """Return what was done so far."""
        with self._cond:
            return UplinkStats(
                state=self._state,
                published=self._published,
                acknowledged=self._acknowledged,
                refused=self._refused,
                published_bytes=self._bytes,
                inflight=len(self._window),
                connections=self._connections,
                reconnects=max(0, self._connections - 1),
                last_error=None if self._last_error is None else str(self._last_error),
            )

    # -- the uplink's thread ---------------------------------------------------------------------

    def _run(self) -> None:
        while self._stop_at_s is None:
            self._beat(SLOW_S + self._config.connect_timeout_s)
            self._enter("connecting")
            session = Session(
                self._config,
                client_id=self._client_id,
                will=self._will(),
                on_answer=self._taken,
                on_lost=self._wake,
                ear=self._ear,
                beat=self._network_beat,
            )
            error: BrokerError | None
            try:
                session.open()
                error = self._serve(session)
            except BrokerError as refusal:
                error = refusal
            except Exception as unforeseen:  # the uplink outlives its own mistakes
                _log.exception("uplink: unforeseen error")
                session.abort()
                error = explain.connection_error(self._config, unforeseen)
            if self._ear is not None:
                self._ear.disconnected()
            self._window.clear()
            self._queue.release_all()
            if error is None:
                break
            self._fail(error)
        self._beat.end()
        self._enter("stopped")

    def _serve(self, session: Session) -> BrokerError | None:
        """Send until the session is lost (return why) or the agent stops (return None)."""
        since_s = time.monotonic()
        self._connections += 1
        most = 1 if self._blame.careful else min(session.limits.receive_maximum, self._config.inflight_max)
        if self._ear is not None and most > 1:
            most -= 1  # an answer needs a place, too
        self._window = Window(most)
        self._paused_until_s = 0.0
        self._unheard_until_s = since_s + self._config.unheard_wait_s if self._last_error is not None else 0.0
        self._plain_paused_until_s = 0.0
        self._nobody_listens = False
        self._urgent_sent.clear()
        self._said = ""
        self._enter("connected")
        _log.info("uplink: connected to %s", self._config.address)
        if self._announce:
            self._window.add(STATUS_TOKEN, 0)
            session.publish(STATUS_TOKEN, self._status_topic, self._status("online"), retain=True)
        if self._ear is not None:
            self._ear.connected(functools.partial(session.publish, ANSWER_TOKEN))
        while session.lost is None:
            self._beat(SLOW_S)
            now_s = time.monotonic()
            if self._stop_at_s is not None and (now_s >= self._stop_at_s or not self._queue.waiting()):
                self._say_goodbye(session)
                return None
            sent_s = session.oldest_sent_s()
            if sent_s is not None and now_s >= sent_s + self._config.acknowledge_timeout_s:
                session.abort(explain.never_acknowledged(self._config))
                break
            self._send_some(session, self._wait_s(now_s, sent_s))
        if time.monotonic() - since_s >= self._config.stable_s:
            self._backoff.reset()
            self._blame.forget()
        self._blame_record(session)
        session.abort()
        return session.lost

    def _send_some(self, session: Session, wait_s: float) -> None:
        """Take what the window has room for and send it; block up to `wait_s` while there is nothing."""
        with self._cond:
            room = self._window.room()
            plain = room.plain if time.monotonic() >= self._plain_paused_until_s else 0
            if self._nobody_listens:  # one is enough to see whether somebody came
                plain = 0 if len(self._window) else min(1, plain)
            if room.urgent == 0 or time.monotonic() < self._paused_until_s:
                if session.lost is None:
                    self._cond.wait(wait_s)
                return
            self._window.starved = room.plain == 0
            limit = plain or room.urgent
        parcels = self._queue.take(limit, urgent_only=plain == 0, timeout_s=wait_s)
        early = [p for p in parcels if self._must_wait(p)]  # a pause that began while take() waited
        if early:
            self._queue.release([p.doc_id for p in early])
        for parcel in parcels:
            if parcel not in early:
                self._send(session, parcel)

    def _must_wait(self, parcel: Parcel) -> bool:
        with self._cond:
            pauses = (self._paused_until_s, 0.0 if parcel.urgent else self._plain_paused_until_s)
            return time.monotonic() < max(pauses)

    def _send(self, session: Session, parcel: Parcel) -> None:
        size_bytes = publish_size_bytes(parcel.topic, parcel.payload)
        most_bytes = session.limits.packet_max_bytes
        if most_bytes is not None and size_bytes > most_bytes:
            self._refuse(parcel.doc_id, f"it has {size_bytes} bytes, the broker takes at most {most_bytes}")
            return
        with self._cond:
            # Before it is sent: the answer may come before publish() returns.
            self._window.add(parcel.doc_id, size_bytes)
            if parcel.urgent:
                self._urgent_sent.add(parcel.doc_id)
            self._published += 1
            self._bytes += size_bytes
        try:
            session.publish(parcel.doc_id, parcel.topic, parcel.payload)
        except ValueError as error:  # a topic with a wildcard, or a payload beyond what MQTT can carry
            with self._cond:
                self._window.remove(parcel.doc_id)
            self._refuse(parcel.doc_id, f"MQTT cannot carry it: {error}")

    def _wait_s(self, now_s: float, sent_s: float | None) -> float:
        """Return how long nothing need be looked at; never for so long that this thread seems to hang."""
        times = [self._stop_at_s]
        if sent_s is not None:
            times.append(sent_s + self._config.acknowledge_timeout_s)
        times += [t for t in (self._paused_until_s, self._plain_paused_until_s) if t > now_s]
        due = [t for t in times if t is not None]
        return min([self._beat.rest_s, *(max(0.0, t - now_s) for t in due)])

    def _will(self) -> Message | None:
        if not self._announce:
            return None
        return Message(self._status_topic, self._status("offline", "connection lost"))

    def _say_goodbye(self, session: Session) -> None:
        if not self._announce:
            session.close()
            return
        deadline_s = time.monotonic() + GOODBYE_TIMEOUT_S
        with self._cond:
            has_room = self._cond.wait_for(
                lambda: self._window.room().urgent > 0 or session.lost is not None, GOODBYE_TIMEOUT_S
            )
            self._window.add(STATUS_TOKEN, 0)
        if not has_room:
            session.abort()  # the last will says offline too
            return
        session.publish(STATUS_TOKEN, self._status_topic, self._status("offline", "stopped"), retain=True)
        with self._cond:
            self._cond.wait_for(
                lambda: STATUS_TOKEN not in self._window or session.lost is not None,
                max(0.0, deadline_s - time.monotonic()),
            )
        session.close()

    def _fail(self, error: BrokerError) -> None:
        """Note a failure and wait before the next attempt."""
        # The same words over and over would bury what else the log has to say.
        again, self._said = self._said == str(error), str(error)
        _log.log(logging.DEBUG if again else logging.WARNING, "uplink: %s", error)
        error.__traceback__ = error.__cause__ = error.__context__ = None  # they would keep the session
        self._last_error = error
        self._enter("waiting")
        with self._cond:
            pause_s = self._backoff.next_s()
            self._beat(pause_s + SLOW_S)
            self._cond.wait_for(lambda: self._stop_at_s is not None, pause_s)

    def _blame_record(self, session: Session) -> None:
        with self._cond:
            guilty = self._blame.after(session.lost_code, self._window)
        if guilty is not None:
            self._refuse(guilty, f"the broker hangs up on it (0x{session.lost_code:02X})")

    # -- on the network thread -------------------------------------------------------------------

    def _taken(self, answer: Answer) -> None:
        if answer.token != ANSWER_TOKEN:
            self._answered(answer)
        elif self._ear is not None:
            self._ear.answered(answer.reason if answer.code >= explain.FAILURE else None)

    def _answered(self, answer: Answer) -> None:
        refused = answer.code >= explain.FAILURE
        with self._cond:
            if not self._window.remove(answer.token):
                return
            now_s = time.monotonic()
            urgent = answer.token in self._urgent_sent
            self._urgent_sent.discard(answer.token)
            unheard = answer.code == explain.NO_MATCHING_SUBSCRIBERS and now_s < self._unheard_until_s
            probed = self._nobody_listens
            if answer.token != STATUS_TOKEN:
                self._nobody_listens = unheard
                if unheard and urgent:
                    self._paused_until_s = now_s + self._config.unheard_pause_s
                elif unheard:  # an alarm need not wait for those who do not listen to features
                    self._plain_paused_until_s = now_s + self._config.unheard_pause_s
                elif not refused:
                    self._acknowledged += 1
        if answer.token == STATUS_TOKEN:
            if refused:
                _log.warning("uplink: the broker refuses the status topic: %s", answer.reason)
        elif unheard:
            self._queue.release([answer.token])
        elif not refused:
            self._queue.acknowledge([answer.token])
        elif answer.code in explain.RETRY_LATER:
            with self._cond:
                self._paused_until_s = time.monotonic() + self._config.quota_pause_s
            self._queue.release([answer.token])
        else:
            self._refuse(answer.token, f"the broker refuses it: {answer.reason} (0x{answer.code:02X})")
        with self._cond:
            wake = self._stop_at_s is not None or probed or self._window.relieved()
            self._cond.notify_all()
        if wake:
            self._queue.wake()

    def _refuse(self, doc_id: int, reason: str) -> None:
        with self._cond:
            self._refused += 1
        self._queue.set_aside(doc_id, reason)

    def _wake(self) -> None:
        with self._cond:
            self._cond.notify_all()
        self._queue.wake()

    # -- inside ----------------------------------------------------------------------------------

    def _enter(self, state: str) -> None:
        if state != self._state:
            self._state = state
            if self._on_change is not None:
                self._on_change(state, self._last_error if state == "waiting" else None)

    def _status(self, state: str, reason: str | None = None) -> bytes:
        mark = measure_mark()
        status = {
            "v": PAYLOAD_VERSION,
            "box": self._box,
            "boot": self._boot,
            "t": rfc3339(mark.box_ns + mark.offset_ns),
            "tq": mark.quality.value,
            "sw": self._software,
            "state": state,
        }
        if reason is not None:
            status["reason"] = reason
        return msgspec.json.encode(status)
