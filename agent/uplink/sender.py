"""Uplink: from the outbox to the broker, for as long as the agent runs.

One thread connects, watches and connects again; nothing that a broker does ends it. What is sent, and in
which order, is the matter of ``pump``, which works on the network thread of each connection. A record leaves
the outbox only after its PUBACK. Alarms have places of their own in the window of unacknowledged records, so
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
from agent.records import PAYLOAD_VERSION
from agent.timebase import measure_mark, rfc3339
from agent.uplink import explain
from agent.uplink.allowance import Allowance
from agent.uplink.backoff import Backoff
from agent.uplink.blame import STATUS_TOKEN, Blame
from agent.uplink.ear import Ear
from agent.uplink.pump import Counts, Pump
from agent.uplink.queue import Queue
from agent.uplink.session import Answer, Message, Session
from agent.uplink.settings import BrokerConfig
from agent.uplink.topics import status_topic

GOODBYE_TIMEOUT_S = 2.0
RIVAL_TIMES = 10
"""Up to so many times `taken_over_pause_s`, two agents with one name leave each other alone."""
RIVAL_GONE_S = 3600.0
"""A connection that held for so long had no rival."""
RIVAL_SUSPECTED = 3
"""A broker that hangs up so often, and lets us in each time, has another client of our name: mosquitto 2.0
does not say so."""
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
    taken_over: int = 0
    """How often another client of the same name took this one's place at the broker, or seems to have."""
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
        self._rival_backoff = Backoff(
            config.taken_over_pause_s, RIVAL_TIMES * config.taken_over_pause_s, lambda: 0.5 + random() / 2
        )
        self._taken_over = 0
        self._hung_up = 0
        self._pause_s = 0.0  # before the next attempt; 0: as `_backoff` has it
        self._cond = threading.Condition()
        self._stop_at_s: float | None = None  # monotonic; set by stop()
        self._said = ""
        self._state = "stopped"
        self._last_error: BrokerError | None = None
        self._connections = 0
        self._counts = Counts()
        self._allowance = Allowance(config.backlog_bytes_a_second)
        self._pump: Pump | None = None
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
        self._thread.join(drain_s + self._config.connect_timeout_s + 2 * GOODBYE_TIMEOUT_S)

    def stats(self) -> UplinkStats:
        """Return what was done so far."""
        with self._cond:
            return UplinkStats(
                state=self._state,
                published=self._counts.published,
                acknowledged=self._counts.acknowledged,
                refused=self._counts.refused,
                published_bytes=self._counts.published_bytes,
                inflight=0 if self._pump is None else len(self._pump.window),
                connections=self._connections,
                reconnects=max(0, self._connections - 1),
                taken_over=self._taken_over,
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
                on_turn=self._turn,
                ear=self._ear,
                beat=self._network_beat,
            )
            error: BrokerError | None
            try:
                session.open()
                error = self._serve(session)
            except BrokerError as refusal:
                error = refusal
                self._hung_up = 0  # it was the broker that was down
            except Exception as unforeseen:  # the uplink outlives its own mistakes
                _log.exception("uplink: unforeseen error")
                session.abort()
                error = explain.connection_error(self._config, unforeseen)
            if self._ear is not None:
                self._ear.disconnected()
            self._let_go()
            if error is None:
                break
            self._fail(error)
        self._beat.end()
        self._enter("stopped")

    def _serve(self, session: Session) -> BrokerError | None:
        """Watch until the session is lost (return why) or the agent stops (return None)."""
        since_s = time.monotonic()
        self._connections += 1
        most = 1 if self._blame.careful else min(session.limits.receive_maximum, self._config.inflight_max)
        if self._ear is not None and most > 1:
            most -= 1  # an answer needs a place, too
        pump = Pump(
            self._config,
            self._queue,
            session,
            self._cond,
            self._counts,
            most=most,
            unheard_until_s=since_s + self._config.unheard_wait_s if self._last_error is not None else 0.0,
            allowance=self._allowance,
            refuse=self._refuse,
        )
        self._said = ""
        self._enter("connected")
        _log.info("uplink: connected to %s", self._config.address)
        if self._announce:
            pump.window.add(STATUS_TOKEN, 0)
            self._pump = pump
            session.publish(STATUS_TOKEN, self._status_topic, self._status("online"), retain=True)
        self._pump = pump
        if self._ear is not None:
            self._ear.connected(functools.partial(session.publish, ANSWER_TOKEN))
        self._queue.listen(session.nudge)
        session.nudge()
        while session.lost is None:
            self._beat(SLOW_S)
            now_s = time.monotonic()
            pump.stopping = self._stop_at_s is not None
            if self._stop_at_s is not None and (now_s >= self._stop_at_s or not self._queue.waiting()):
                self._say_goodbye(session, pump)
                return None
            sent_s = session.oldest_sent_s()
            if sent_s is not None and now_s >= sent_s + self._config.acknowledge_timeout_s:
                session.abort(explain.never_acknowledged(self._config))
                break
            if self._watch(session, pump, sent_s):
                session.nudge()
        if time.monotonic() - since_s >= self._config.stable_s:
            if not session.hung_up or self._hung_up < RIVAL_SUSPECTED - 1:
                self._backoff.reset()
            self._blame.forget()
        with self._cond:
            guilty = self._blame.after(session.lost_code, pump.window)
        if guilty is not None:
            self._refuse(guilty, f"the broker hangs up on it (0x{session.lost_code:02X})")
        session.abort()
        return self._why_lost(session, time.monotonic() - since_s)

    def _why_lost(self, session: Session, held_s: float) -> BrokerError | None:
        if held_s >= RIVAL_GONE_S:
            self._rival_backoff.reset()
            self._hung_up = 0
        self._hung_up = self._hung_up + 1 if session.hung_up else 0
        if session.lost_code != explain.TAKEN_OVER:
            if self._hung_up < RIVAL_SUSPECTED:
                return session.lost
            self._taken_over += 1
            return explain.perhaps_taken_over(self._config, self._client_id, self._box, self._hung_up)
        self._taken_over += 1
        self._pause_s = self._rival_backoff.next_s()
        return explain.taken_over(self._config, self._client_id, self._box, self._pause_s)

    def _watch(self, session: Session, pump: Pump, sent_s: float | None) -> bool:
        """Wait until something is to be looked at; return whether a pause is over.

        Never for so long that this thread seems to hang.
        """
        with self._cond:
            now_s = time.monotonic()
            if session.lost is not None or (self._stop_at_s is not None and not pump.stopping):
                return False
            due = pump.due_s(now_s)
            times = list(due)
            if self._stop_at_s is not None:
                times.append(self._stop_at_s)
            if sent_s is not None:
                times.append(sent_s + self._config.acknowledge_timeout_s)
            self._cond.wait(min([self._beat.rest_s, *(max(0.0, t - now_s) for t in times)]))
        now_s = time.monotonic()
        return any(t <= now_s for t in due)

    def _let_go(self) -> None:
        """After a connection: what has arrived leaves the outbox, what has not goes back."""
        self._queue.listen(None)
        pump, self._pump = self._pump, None
        if pump is not None:
            pump.settle()
        self._queue.release_all()

    def _will(self) -> Message | None:
        if not self._announce:
            return None
        return Message(self._status_topic, self._status("offline", "connection lost"))

    def _say_goodbye(self, session: Session, pump: Pump) -> None:
        pump.ended = True
        if not self._announce:
            session.close()
            return
        deadline_s = time.monotonic() + GOODBYE_TIMEOUT_S
        with self._cond:
            has_room = self._cond.wait_for(
                lambda: pump.window.room().urgent > 0 or session.lost is not None, GOODBYE_TIMEOUT_S
            )
            pump.window.add(STATUS_TOKEN, 0)
        if not has_room:
            session.abort()  # the last will says offline too
            return
        session.publish(STATUS_TOKEN, self._status_topic, self._status("offline", "stopped"), retain=True)
        with self._cond:
            self._cond.wait_for(
                lambda: STATUS_TOKEN not in pump.window or session.lost is not None,
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
            pause_s, self._pause_s = self._pause_s or self._backoff.next_s(), 0.0
            self._beat(pause_s + SLOW_S)
            self._cond.wait_for(lambda: self._stop_at_s is not None, pause_s)

    # -- on the network thread -------------------------------------------------------------------

    def _turn(self) -> None:
        if self._pump is not None:
            self._pump.turn()

    def _taken(self, answer: Answer) -> None:
        refusal = answer.reason if answer.code >= explain.FAILURE else None
        if answer.token == ANSWER_TOKEN:
            if self._ear is not None:
                self._ear.answered(refusal)
        elif answer.token == STATUS_TOKEN:
            if refusal is not None:
                why = explain.not_allowed(self._config, "write", self._status_topic, refusal)
                _log.warning("uplink: %s", why)
            with self._cond:
                if self._pump is not None:
                    self._pump.window.remove(STATUS_TOKEN)
                self._cond.notify_all()
        elif self._pump is not None:
            self._pump.answered(answer)

    def _refuse(self, doc_id: int, reason: str) -> None:
        with self._cond:
            self._counts.refused += 1
        self._queue.set_aside(doc_id, reason)

    def _wake(self) -> None:
        with self._cond:
            self._cond.notify_all()

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
