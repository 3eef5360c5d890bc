"""The uplink against far ends that fail: a broker killed again and again, a line that cuts and truncates.

What arrived is judged at a subscriber, which is connected anew after each kill: it asks for QoS 0, so
mosquitto hands it a message before it acknowledges that to the uplink, and what was handed over survives a
SIGKILL in the kernel's buffers. A broker's own memory would not: it is not asked. *Normal* are 1.1 records a
second: the features of each second, a health record a minute, and the events of a rough road; ten times that
is 11.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from agent.outbox import Outbox
from agent.records import Kind
from agent.uplink import BrokerConfig, Uplink
from tests.outbox.samples import record
from tests.uplink.brokers import HOST, Mosquitto, ScriptedBroker, Subscriber
from tests.uplink.rough_line import RoughLine

NORMAL_HZ = 1.1
ALARM_EVERY = 50
PATIENCE_S = 120.0


@dataclass(slots=True)
class Outcome:
    """What came of it; `chains`: ascending runs of one class within one connection, at worst."""

    made: int = 0
    arrived: int = 0
    holes: int = 0
    twice: int = 0
    alarms_out_of_order: int = 0
    chains: int = 0
    connections: int = 0
    kills: int = 0
    hurts: Counter[str] = field(default_factory=Counter)
    drain_s: float = 0.0
    left: int = 0

    def __str__(self) -> str:
        hurts = "".join(f", {count} {what}" for what, count in sorted(self.hurts.items()))
        return (
            f"{self.kills} kills{hurts}, {self.connections} connections; {self.made} records made, "
            f"{self.arrived} arrived, holes: {self.holes}, twice: {self.twice}, "
            f"alarms out of order: {self.alarms_out_of_order}, runs of one class in a connection: "
            f"{self.chains} at most; drained in {self.drain_s:.1f} s, left in the outbox: {self.left}"
        )


class _Maker(threading.Thread):
    """Puts records at a steady rate until it is told to stop."""

    def __init__(self, outbox: Outbox, rate_hz: float) -> None:
        super().__init__(daemon=True)
        self.made = 0
        self.ended = threading.Event()
        self._outbox = outbox
        self._rate_hz = rate_hz

    def run(self) -> None:
        began_s = time.monotonic()
        while not self.ended.wait(1.0 / min(self._rate_hz, 100.0)):
            due = int((time.monotonic() - began_s) * self._rate_hz)
            batch = [
                record(seq, Kind.FEATURES if seq % ALARM_EVERY else Kind.ALARM)
                for seq in range(self.made, due)
            ]
            self._outbox.put(batch)
            self.made = max(self.made, due)


def killed_brokers(
    folder: Path,
    *,
    kills: int,
    duration_s: float,
    rate_hz: float,
    seed: int,
    say: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """Kill the broker at random times while records come, start it again, and let the outbox drain."""
    chance = random.Random(seed)
    broker = Mosquitto(folder, "max_queued_messages 0")
    subscriber = Subscriber(broker.port)
    at_s = sorted(chance.uniform(0.0, duration_s) for _ in range(kills))
    try:
        with Outbox(folder / "outbox", commit_window_s=0.2) as outbox:
            uplink, maker = _uplink(broker.config(reconnect_max_s=1.0), outbox), _Maker(outbox, rate_hz)
            began_s = time.monotonic()
            maker.start()
            for kill, due_s in enumerate(at_s, start=1):
                time.sleep(max(0.0, began_s + due_s - time.monotonic()))
                broker.kill()
                time.sleep(chance.uniform(0.0, min(5.0, duration_s / kills / 2)))
                broker.start()
                subscriber.connect()
                waits = outbox.waiting()
                say(f"kill {kill} of {kills} at {due_s:.1f} s; {maker.made} made, {waits} wait")
            time.sleep(max(0.0, began_s + duration_s - time.monotonic()))
            outcome = _finish(outbox, uplink, maker, subscriber)
            outcome.kills = kills
            return outcome
    finally:
        subscriber.close()
        broker.kill()


def rough_line(
    folder: Path,
    *,
    duration_s: float,
    rate_hz: float,
    seed: int,
    say: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """Have a line between uplink and broker that cuts, delays and truncates, and let the outbox drain."""
    broker = Mosquitto(folder, "max_queued_messages 0")
    subscriber = Subscriber(broker.port)
    line = RoughLine(broker.port, seed)
    try:
        with Outbox(folder / "outbox", commit_window_s=0.2) as outbox:
            config = BrokerConfig(
                host=HOST,
                port=line.port,
                reconnect_min_s=0.02,
                reconnect_max_s=0.2,
                connect_timeout_s=3.0,
                acknowledge_timeout_s=3.0,
            )
            uplink, maker = _uplink(config, outbox), _Maker(outbox, rate_hz)
            began_s = time.monotonic()
            maker.start()
            while (left_s := began_s + duration_s - time.monotonic()) > 0:
                time.sleep(min(left_s, 10.0))
                say(f"{maker.made} made, {outbox.waiting()} wait; {dict(line.hurts)}")
            line.is_rough = False
            outcome = _finish(outbox, uplink, maker, subscriber)
            outcome.hurts = line.hurts
            return outcome
    finally:
        line.close()
        subscriber.close()
        broker.kill()


def mute_broker(folder: Path, *, count: int, connack: bytes | None) -> tuple[Outcome, str]:
    """Have a broker that lets in (or not: no `connack`) and never acknowledges; then a real one in its place.

    Return what came of it, and what the uplink said of the mute one.
    """
    mute = ScriptedBroker(connack=connack)
    line = RoughLine(mute.port, 0)
    line.is_rough = False
    broker = Mosquitto(folder)
    subscriber = Subscriber(broker.port)
    try:
        with Outbox(folder / "outbox", commit_window_s=0.0) as outbox:
            config = BrokerConfig(
                host=HOST,
                port=line.port,
                reconnect_min_s=0.01,
                reconnect_max_s=0.05,
                connect_timeout_s=0.3,
                acknowledge_timeout_s=0.3,
            )
            uplink, maker = _uplink(config, outbox), _Maker(outbox, 1000.0)
            maker.start()
            until_s = time.monotonic() + PATIENCE_S
            while (uplink.last_error is None or maker.made < count) and time.monotonic() < until_s:
                time.sleep(0.01)
            said = str(uplink.last_error)
            assert subscriber.seqs() == [] and outbox.waiting() >= maker.made - 100, "all is kept"
            line.broker_port = broker.port
            return _finish(outbox, uplink, maker, subscriber), said
    finally:
        line.close()
        mute.close()
        subscriber.close()
        broker.kill()


def _uplink(config: BrokerConfig, outbox: Outbox) -> Uplink:
    uplink = Uplink(config, outbox, fleet="fleet", box="box", boot="b", software="0")
    uplink.start()
    return uplink


def _finish(outbox: Outbox, uplink: Uplink, maker: _Maker, subscriber: Subscriber) -> Outcome:
    maker.ended.set()
    maker.join()
    outbox.flush()
    began_s = time.monotonic()
    while outbox.waiting() and time.monotonic() < began_s + PATIENCE_S:
        time.sleep(0.02)
    outcome = Outcome(made=maker.made, drain_s=time.monotonic() - began_s, left=outbox.waiting())
    uplink.stop(drain_s=1.0)
    outcome.connections = uplink.stats().connections
    _judge(outcome, subscriber)
    return outcome


def _judge(outcome: Outcome, subscriber: Subscriber) -> None:
    """Count what came; each connection begins with the box's own status."""
    came: Counter[int] = Counter()
    tails: dict[str, list[int]] = {}
    last_alarm = -1
    for message in list(subscriber.messages):
        body, kind = subscriber.body(message), message.topic.rpartition("/")[2]
        if kind == "status":
            tails, last_alarm = {}, -1
            continue
        seq = body["seq"]
        came[seq] += 1
        if came[seq] > 1:
            continue
        if kind == "alarm":
            outcome.alarms_out_of_order += seq < last_alarm
            last_alarm = max(last_alarm, seq)
        ends = tails.setdefault(kind, [])
        fitting = [end for end in ends if end < seq]
        if fitting:
            ends.remove(max(fitting))
        ends.append(seq)
        outcome.chains = max(outcome.chains, len(ends))
    outcome.arrived = len(came)
    outcome.holes = len(set(range(outcome.made)) - set(came))
    outcome.twice = sum(times - 1 for times in came.values())
