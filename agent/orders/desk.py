"""The desk: orders come in from the uplink, are judged and done one at a time, and answered.

A thread of its own: neither the network nor the pipeline ever waits for an order. A message is acknowledged
when its turn is over, and the broker is told how many we take before that: so a flood waits there.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from agent.beats import SLOW_S, Beat
from agent.errors import FourPartError
from agent.orders.bucket import Bucket
from agent.orders.form import MOST_BYTES, Order
from agent.orders.judge import Judge, Refusal
from agent.records import PAYLOAD_VERSION, topic_of
from agent.timebase import TimeMark, measure_mark, rfc3339

MOST_WAITING = 16
LOOKS_HZ, LOOKS_BURST = 10.0, 20
"""So often a signature is verified, which takes a Pi some tenths of a millisecond."""
LINES_HZ, LINES_BURST = 0.1, 10
"""So often a refusal is worth a line of the log, and so often an answer; the rest are counted."""
ANSWERS_KEPT = 32
LAST_WORD_S = 5.0

_log = logging.getLogger("cargobox")


class Message(Protocol):
    """What is heard; ``agent.uplink.ear.Heard`` is one."""

    @property
    def topic(self) -> str: ...  # noqa: D102
    @property
    def payload(self) -> bytes: ...  # noqa: D102
    @property
    def qos(self) -> int: ...  # noqa: D102
    @property
    def retained(self) -> bool: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Done:
    """What an order came to, and what is to happen `then`, when its answer has left."""

    result: Mapping[str, Any]
    then: Callable[[], None] | None = None


Doers = Mapping[str, Callable[[Order], Done]]
Say = Callable[[str, bytes], None]


class Desk:
    """Hears, judges, does and answers; what the uplink calls an ear."""

    most_at_once = MOST_WAITING

    def __init__(
        self,
        judge: Judge,
        doers: Doers,
        *,
        fleet: str,
        box: str,
        boot: str,
        software: str,
        clock: Callable[[], TimeMark] = measure_mark,
        looks: Bucket | None = None,
        beat: Beat | None = None,
    ) -> None:
        self.counts: Counter[str] = Counter()
        """How many were done, and how many not for which reason."""
        self.topics: Sequence[str] = tuple(topic_of(fleet, box, f"cmd/{verb}") for verb in doers)
        self._judge, self._doers = judge, doers
        self._head = {"v": PAYLOAD_VERSION, "box": box, "boot": boot}
        self._software = software
        self._answer_topic = topic_of(fleet, box, "answer")
        self._clock = clock
        self._beat = beat or Beat()
        self._looks = looks or Bucket(LOOKS_HZ, LOOKS_BURST)
        # of each its own: what anybody can send shall not silence what is said of signed orders
        self._lines, self._drop_lines, self._signed_lines = (Bucket(LINES_HZ, LINES_BURST) for _ in range(3))
        self._unsaid: Counter[Bucket] = Counter()
        self._changed = threading.Condition()
        self._waiting: deque[tuple[Message, Callable[[], object]]] = deque()
        self._answers: deque[bytes] = deque(maxlen=ANSWERS_KEPT)
        self._say: Say | None = None
        self._on_the_way = False
        self._ending = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._run, name="orders", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; what waits is not done."""
        if self.counts and not self._ending:
            counted = ", ".join(f"{count} {word}" for word, count in sorted(self.counts.items()))
            _log.info("orders: since the start %s", counted)
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(LAST_WORD_S)

    # -- on the network thread ------------------------------------------------------------------

    def hear(self, message: Message, acknowledge: Callable[[], object]) -> None:
        """Take a message to be judged, if there is room for it."""
        with self._changed:
            fits = message.qos == 1 and len(message.payload) <= MOST_BYTES
            if fits and len(self._waiting) < MOST_WAITING:
                self._waiting.append((message, acknowledge))
                self._changed.notify_all()
                return
            self.counts["dropped"] += 1
            self._warn(self._drop_lines, "a message is dropped: not of QoS 1, too large, or one too many")
        acknowledge()

    def missed(self, count: int) -> None:
        """Take note of messages that were passed over, unread: there were too many."""
        with self._changed:
            self.counts["dropped"] += count

    def connected(self, say: Say) -> None:
        """Answer from now on."""
        with self._changed:
            self._say, self._on_the_way = say, False
            self._changed.notify_all()

    def disconnected(self) -> None:
        """Keep the answers that are left; what was not acknowledged is forwarded anew, if at all."""
        with self._changed:
            self._say, self._on_the_way = None, False
            self._waiting.clear()

    def answered(self, refusal: str | None) -> None:
        """Take note that an answer has arrived."""
        with self._changed:
            if self._answers:
                self._answers.popleft()
            self._on_the_way = False
            self._changed.notify_all()
        if refusal is not None:
            _log.warning("orders: the broker refuses %s: %s", self._answer_topic, refusal)

    # -- the desk's thread ----------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            self._beat(SLOW_S)  # a counter goes onto the card, and that may be slow
            with self._changed:
                ready = lambda: self._ending or self._waiting or self._can_say()  # noqa: E731
                self._changed.wait_for(ready, self._beat.rest_s)
                if self._ending:
                    self._beat.end()
                    return
                taken = self._waiting.popleft() if self._waiting else None
            self._say_next()
            if taken is None:
                continue
            message, acknowledge = taken
            self._wait_for_turn()
            try:
                self._take(message)
            except Exception:  # an order that breaks something breaks nothing else
                _log.exception("orders: unforeseen error")
                self.counts["failed"] += 1
            acknowledge()

    def _wait_for_turn(self) -> None:
        """Wait until another signature may be verified; meanwhile the broker holds back what follows."""
        with self._changed:
            while not self._ending and not self._looks.take(now_s := time.monotonic()):
                self._changed.wait(self._looks.wait_s(now_s))

    def _take(self, message: Message) -> None:
        verb = message.topic.rpartition("/")[2]
        now = self._clock()
        try:
            key, order = self._judge.judge(verb, message.payload, retained=message.retained, now=now)
        except Refusal as refusal:
            self._refuse(verb, refusal)
            return
        # the log has it before it is done: whoever looks later sees what was the last thing before
        _log.warning("orders: %s by key %s (counter %d)", order.verb, key, order.counter)
        try:
            done = self._doers[order.verb](order)
        except Exception as error:
            if isinstance(error, FourPartError):
                _log.warning("orders: %s is not done: %s", order.verb, error)
            else:
                _log.exception("orders: %s failed", order.verb)
            self.counts["failed"] += 1
            self._answer(key, order, {"done": False, "reason": "failed", "got": _in_words(error)})
            return
        self.counts["done"] += 1
        self._answer(key, order, {"done": True, "result": dict(done.result)})
        if done.then is not None:
            self._last_word()
            done.then()

    def _refuse(self, verb: str, refusal: Refusal) -> None:
        self.counts[refusal.reason] += 1
        lines = self._lines if refusal.order is None else self._signed_lines
        words = f"{verb} is not done ({refusal.reason}): {refusal.got}"
        # where no line, no answer: who sends what was overheard shall not spend the box's data
        if self._warn(lines, words) and refusal.order is not None:
            told = {"done": False, "reason": refusal.reason, "got": refusal.got}
            self._answer(refusal.key, refusal.order, told)

    def _warn(self, lines: Bucket, words: str) -> bool:
        """Log it, unless `lines` has had too many of late; return whether."""
        if not lines.take(time.monotonic()):
            self._unsaid[lines] += 1
            return False
        more = self._unsaid.pop(lines, 0)
        since = f"; and {more} more since the last such line" if more else ""
        _log.warning("orders: %s%s", words, since)
        return True

    def _answer(self, key: str, order: Order, outcome: Mapping[str, Any]) -> None:
        now = self._clock()
        answer = {
            **self._head,
            "t": rfc3339(now.box_ns + now.offset_ns),
            "tq": now.quality.value,
            "sw": self._software,
            "verb": order.verb[:64],
            "key": key,
            "counter": order.counter,
            **outcome,
        }
        with self._changed:
            if len(self._answers) == ANSWERS_KEPT:
                self.counts["answers_dropped"] += 1
                if self._on_the_way:  # the first is not ours any more to drop
                    return
            self._answers.append(msgspec.json.encode(answer))
        self._say_next()

    def _can_say(self) -> bool:
        return self._say is not None and bool(self._answers) and not self._on_the_way

    def _say_next(self) -> None:
        with self._changed:
            if not self._can_say():
                return
            say, payload = self._say, self._answers[0]
            self._on_the_way = True
        assert say is not None
        say(self._answer_topic, payload)

    def _last_word(self) -> None:
        """Wait until all answers have arrived, for a while."""
        until_s = time.monotonic() + LAST_WORD_S
        while (left_s := until_s - time.monotonic()) > 0:
            self._say_next()
            with self._changed:
                if not self._answers or self._ending or self._say is None:
                    return
                self._changed.wait_for(lambda: self._ending or not self._answers or self._can_say(), left_s)


def _in_words(error: Exception) -> str:
    return error.got if isinstance(error, FourPartError) else type(error).__name__
