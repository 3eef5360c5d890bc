"""A real agent process under fire: orders of every wrong kind, through a real mosquitto, at any rate.

Beside them go a few good ones: they must be done, each once, and their answers say what became of the rest.
With `alarms`, a virtual box (real firmware) makes alarms all the while, timed as ``scripts/bench alarms`` has
it, before the fire and in it.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import queue
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from agent.embedded_broker import EmbeddedBroker
from agent.orders import Refusal
from agent.orders.keys import public_pem
from firmware_bridge.virtual import VirtualBox
from scripts.benches import alarms as bench
from scripts.benches.agent_config import configured
from scripts.benches.alarm_trip import DETECT, AlarmTrip
from tests.live.processes import Running, command
from tests.orders.garbage import Garbage
from tests.orders.signing import NOW_S, PUBLIC, judge, mark, signed

PATIENCE_S = 60.0
BACKLOG_S = 200.0
"""A broker keeps a thousand messages for the box, which looks at ten a second."""
RSS_EVERY_S = 0.5
BOX = "bench"
ORDERS = """
[orders]
allow = ["status", "flush", "restart"]
keys = ["key.pub"]
state_file = "orders.json"
"""


@dataclass
class Outcome:
    """What came of it."""

    sent: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    good: list[int] = field(default_factory=list)
    """Counters of the good orders."""
    done: list[int] = field(default_factory=list)
    """Counters of the orders that were answered as done."""
    refusals_answered: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    """As the box itself counts: done, dropped, and the reasons against the others."""
    remembered: dict[str, int] = field(default_factory=dict)
    """What the card says was the last order of each key."""
    boots: set[str] = field(default_factory=set)
    lines: list[str] = field(default_factory=list)
    """What the agent has logged of orders."""
    troubles: list[str] = field(default_factory=list)
    """What else it has logged as a warning or an error."""
    rss_kib: list[int] = field(default_factory=list)
    ended: int | None = None
    quiet_ms: list[float] = field(default_factory=list)
    """From the sample that makes it one to the subscriber, before the fire ..."""
    fire_ms: list[float] = field(default_factory=list)
    """... and in it."""
    again: dict[str, Any] = field(default_factory=dict)
    """The answer to a captured order after the agent was started anew."""

    def check(self) -> None:
        """Raise AssertionError where anything was done, or broken."""
        assert self.done == self.good, f"done: {self.done}, and good were {self.good}"
        assert self.remembered == {next(iter(self.remembered)): max(self.good)}, self.remembered
        assert len(self.boots) == 1 and self.ended == 0, f"boots {self.boots}, exit {self.ended}"
        assert self.counts["done"] == len(self.good) - 1, self.counts  # the last was yet to be counted
        assert "failed" not in self.counts, self.counts
        assert not self.troubles, self.troubles[:5]
        assert (self.again["done"], self.again["reason"]) == (False, "replayed"), self.again
        most = 3 * (10 + (self.seconds + BACKLOG_S) / 10)  # three kinds of lines, each with its own measure
        refused = [line for line in self.lines if " by key " not in line]
        assert len(refused) <= most, f"{len(refused)} lines of refusals in {self.seconds:.0f} s"
        assert self.refusals_answered <= len(refused), f"{self.refusals_answered} refusals were answered"


class Line:
    """A client that sends what it likes and hears the answers."""

    def __init__(self, broker: EmbeddedBroker) -> None:
        self.answers: list[dict[str, Any]] = []
        self.online = threading.Event()
        self.boots: set[str] = set()
        self._changed = threading.Condition()
        ready = threading.Event()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self.client.max_queued_messages_set(0)
        self.client.max_inflight_messages_set(20)
        self.client.on_message = self._hear
        self.client.on_subscribe = lambda *_: ready.set()
        self.client.connect(broker.host, broker.port)
        self.client.loop_start()
        self.client.subscribe([(f"cargobox/1/default/{BOX}/{kind}", 1) for kind in ("answer", "status")])
        assert ready.wait(PATIENCE_S)

    def send(self, payload: bytes, verb: str = "status", qos: int = 1, retain: bool = False) -> None:
        info = self.client.publish(f"cargobox/1/default/{BOX}/cmd/{verb}", payload, qos=qos, retain=retain)
        if qos:
            info.wait_for_publish(PATIENCE_S)

    def answer(self, counter: int, wait_s: float = PATIENCE_S) -> dict[str, Any] | None:
        """Return the latest answer to this order, if one comes."""

        def found() -> list[dict[str, Any]]:
            return [one for one in self.answers if one["counter"] == counter]

        with self._changed:
            self._changed.wait_for(found, wait_s)
            return found()[-1] if found() else None

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def _hear(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        body = json.loads(message.payload)
        with self._changed:
            if message.topic.endswith("/answer"):
                self.answers.append(body)
            elif body["state"] == "online":
                self.boots.add(body["boot"])
                self.online.set()
            else:
                self.online.clear()
            self._changed.notify_all()


def under_fire(
    folder: Path,
    messages: int,
    *,
    rate_hz: float | None = None,
    qos_1_part: float = 0.05,
    alarms: int = 0,
    seed: int = 1,
    tell: Callable[[str], object] = lambda _: None,
) -> Outcome:
    """Send `messages` wrong ones to an agent in `folder`, and return what came of it."""
    outcome = Outcome()
    (folder / "key.pub").write_text(public_pem(PUBLIC))
    with contextlib.ExitStack() as parts:
        broker = parts.enter_context(EmbeddedBroker(prefer="mosquitto"))
        trip = AlarmTrip()
        came = parts.enter_context(bench._subscriber(broker.host, broker.port, f"cargobox/+/+/{BOX}/alarm"))
        port = "/dev/nowhere"
        if alarms:
            port = str(parts.enter_context(VirtualBox(trip, None, folder / "board")).port)
        config = configured(folder, port, broker, more=ORDERS + (DETECT if alarms else ""))
        line = Line(broker)
        parts.callback(line.close)
        agent = parts.enter_context(_agent(config, wait=not alarms))
        assert line.online.wait(PATIENCE_S), agent.err
        quiet = _alarms(came, alarms)
        captured = _good(line, outcome)
        _fire(line, agent, captured, messages, rate_hz, qos_1_part, random.Random(seed), outcome, tell)
        hit = _alarms(came, 0)
        tell("waiting until the broker's backlog has been looked at")
        last = _good(line, outcome)
        said = line.answer(outcome.good[-1])
        assert said is not None
        outcome.counts = said["result"]["orders"]
        outcome.done = sorted({one["counter"] for one in line.answers if one["done"]})
        outcome.refusals_answered = sum(not one["done"] for one in line.answers)
        outcome.boots = set(line.boots)
        outcome.ended = agent.end(signal.SIGTERM)
        outcome.remembered = json.loads((folder / "orders.json").read_text())["counters"]
        _read_log(agent.err, outcome)
        if alarms:
            begun_ns = bench._begun_ns(folder / "board" / "flash")
            for some, into in ((quiet, outcome.quiet_ms), (hit, outcome.fire_ms)):
                travel = bench.Travel(begun_ns, [(one, 0) for one in some], "")
                into += [ms for of_type in bench.timed(trip, travel).alarms.values() for ms in of_type]
        line.answers.clear()
        line.online.clear()
        with _agent(config, wait=not alarms):
            assert line.online.wait(PATIENCE_S)
            for payload in (captured, last):
                line.send(payload)
                outcome.again = line.answer(json.loads(json.loads(payload)["order"])["counter"]) or {}
    return outcome


def judged(folder: Path, messages: int, *, seed: int = 2) -> Counter[str]:
    """Let a judge look at so many at once; return why each was refused. AssertionError: one was not."""
    captured = signed(7)
    one = judge(folder)
    one.judge("status", captured, retained=False, now=mark())
    reasons: Counter[str] = Counter()
    garbage = (
        junk for junk in Garbage(random.Random(seed), captured, lambda: NOW_S) if junk.kind != "not of QoS 1"
    )  # that is the desk's to drop
    for junk in itertools.islice(garbage, messages):
        try:
            key, order = one.judge(junk.verb, junk.payload, retained=junk.retain, now=mark())
        except Refusal as refusal:
            reasons[refusal.reason] += 1
        else:
            raise AssertionError(f"taken: {junk} by {key}: {order}")
    return reasons


@contextlib.contextmanager
def _agent(config: Path, *, wait: bool) -> Iterator[Running]:
    # with a NOTIFY_SOCKET, `restart` is done where it is obeyed: the process would end
    more = ["--wait"] if wait else []
    with Running(
        command("run", "--config", config, *more), NOTIFY_SOCKET=str(config.parent / "nobody")
    ) as agent:
        yield agent


def _good(line: Line, outcome: Outcome) -> bytes:
    """Have one good order done, and return it; it is sent again while the broker may have dropped it."""
    until_s = time.monotonic() + BACKLOG_S
    while time.monotonic() < until_s:
        now_s = int(time.time())
        counter = time.time_ns() // 1000
        payload = signed(counter, fleet="default", box=BOX, issued=now_s, expires=now_s + 600)
        line.send(payload)
        if (answer := line.answer(counter, 5.0)) is not None and answer["done"]:
            outcome.good = sorted({one["counter"] for one in line.answers if one["done"]})
            return payload
    raise AssertionError(f"no good order is done within {BACKLOG_S:.0f} s: {line.answers[-3:]}")


def _fire(
    line: Line,
    agent: Running,
    captured: bytes,
    messages: int,
    rate_hz: float | None,
    qos_1_part: float,
    chance: random.Random,
    outcome: Outcome,
    tell: Callable[[str], object],
) -> None:
    garbage = Garbage(
        chance, captured, lambda: int(time.time()), fleet="default", box=BOX, qos_1_part=qos_1_part
    )
    pause = threading.Event()
    statm = Path(f"/proc/{agent.process.pid}/status")
    began_s = looked_s = told_s = time.monotonic()
    for number, junk in enumerate(garbage):
        now_s = time.monotonic()
        if now_s - looked_s >= RSS_EVERY_S or number in (0, messages):
            outcome.rss_kib.append(_rss_kib(statm))
            looked_s = now_s
        if now_s - told_s >= 10.0:
            tell(f"{number} of {messages} sent, {outcome.rss_kib[-1] / 1024:.1f} MiB in use")
            told_s = now_s
        if number >= messages:
            break
        if rate_hz is not None and (early_s := began_s + number / rate_hz - now_s) > 0:
            pause.wait(early_s)
        line.send(junk.payload, junk.verb, junk.qos, junk.retain)
        outcome.sent[junk.kind] += 1
    outcome.seconds = time.monotonic() - began_s


def _rss_kib(status: Path) -> int:
    return next(int(row.split()[1]) for row in status.read_text().splitlines() if row.startswith("VmRSS"))


def _alarms(came: queue.SimpleQueue[bench.Arrival], count: int) -> list[bench.Arrival]:
    """Wait until `count` alarms have come; return all that have."""
    found: list[bench.Arrival] = []
    while len(found) < count:
        found.append(came.get(timeout=PATIENCE_S))
    while not came.empty():
        found.append(came.get())
    return found


def _read_log(text: str, outcome: Outcome) -> None:
    for row in text.splitlines():
        if "orders: " in row:
            outcome.lines.append(row)
        elif ("WARNING" in row or "ERROR" in row or "Traceback" in row) and "/dev/nowhere" not in row:
            outcome.troubles.append(row)
