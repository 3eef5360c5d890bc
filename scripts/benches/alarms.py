"""Alarm time: from the sample that completes the condition to an independent subscriber.

What is measured is the whole way. The real firmware on a real MicroPython samples a rough road at 1 kHz ×
3, 4 × 80 Hz and climate, and sends every 3 ms through a pseudo-terminal; ``cargobox run`` is a process of
its own, with every detector and feature on; a real mosquitto stands behind it; and another process
subscribes. All read one clock, CLOCK_MONOTONIC, and the time of a sample is the board's, from the instant at
which its trip began: it does not depend on what the agent believes of the board's clock. So included are
the board's turn, the cable, the waiting for the other streams, the decision, the sync of the card (an
alarm is on the medium before it is on the wire), two trips through the broker's sockets and the
subscriber's own thread.

A fall is complete with its 150th light sample, a swing of the pressure with the first sample beyond the
limit. A tilt is judged on hops of 50 ms through a low-pass: it counts from the last sample of the hop that
completes it, which is the time `t` that the alarm carries.

In the same run, in the pauses, bare paho publishes the same payloads at QoS 1 through the same broker to the
same subscriber, every other one after an append and a sync of the same bytes: the least that a program can
take that keeps its word. The machine's own hiccups are in all three.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from agent.embedded_broker import EmbeddedBroker
from firmware_bridge.virtual import VirtualBox
from scripts.benches.agent_config import configured
from scripts.benches.alarm_trip import (
    ACCEL_HZ,
    DETECT,
    MIN_FALL_SAMPLES,
    PRESSURE_HZ,
    QUIET_S,
    AlarmTrip,
)
from scripts.benches.alarm_watch import READY
from scripts.benches.figures import Figure

NS_PER_S = 1_000_000_000
PATIENCE_S = 60.0
SETTLE_S = 5  # of alarms that are not counted: modules load, caches fill
PROMISE_MS = 10.0
BARE, SYNCED = "bare/plain", "bare/synced"


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message as the subscriber got it: `came_ns` on the monotonic clock, `offset_ns` to the wall's."""

    came_ns: int
    offset_ns: int
    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds: of the alarms by their type, and of what paho alone published beside them."""

    alarms: dict[str, list[float]]
    bare: list[float]
    synced: list[float]


def bench(args: argparse.Namespace) -> list[Figure]:
    """Measure."""
    times = measure(args.alarms)
    found = [one for some in times.alarms.values() for one in some]
    peer = "bare paho at QoS 1, same payloads, same run"
    figures = [Figure("alarms, measured", len(found), "", at_least=args.alarms)]
    for name, percent in (("p50", 50), ("p99", 99), ("max", 100)):
        most = PROMISE_MS if percent == 99 else None
        figures.append(Figure(f"alarm time, {name}", at(found, percent), "ms", at_most=most))
        for kind, some in sorted(times.alarms.items()):
            figures.append(Figure(f"alarm time, {kind}, {name}", at(some, percent), "ms"))
        figures.append(Figure(f"bare paho, {name}", at(times.bare, percent), "ms"))
        figures.append(Figure(f"bare paho after a sync of the card, {name}", at(times.synced, percent), "ms"))
    figures.append(Figure("alarm time, p50 to p50", at(found, 50) / at(times.bare, 50), "×", peer))
    figures.append(Figure("alarm time, p99 to p99", at(found, 99) / at(times.bare, 99), "×", peer))
    return figures


def measure(count: int) -> Times:
    """Let `count` alarms through and time them."""
    trip = AlarmTrip()
    travel = travelled(trip, count)
    if "WARNING" in travel.said or "ERROR" in travel.said:
        print(travel.said, file=sys.stderr)
    return timed(trip, travel)


@dataclass(frozen=True, slots=True)
class Running:
    """What runs while alarms are timed."""

    broker: EmbeddedBroker
    folder: Path
    agent_pid: int


@dataclass(frozen=True, slots=True)
class Travel:
    """What came, each with when it was published (0: by the agent), since the trip began."""

    begun_ns: int
    came: list[tuple[Arrival, int]]
    said: str
    """The agent's log."""


def travelled(
    trip: AlarmTrip,
    count: int,
    *,
    more: str = "",
    topics: Sequence[str] = (),
    trouble: Callable[[Running], AbstractContextManager[object]] = lambda _: nullcontext(),
    files: Mapping[str, str] = MappingProxyType({}),
) -> Travel:
    """Let `count` alarms through, with `more` tables of the configuration and `files` beside it.

    `trouble` is there meanwhile.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with (
            EmbeddedBroker(prefer="mosquitto") as broker,
            _subscriber(broker.host, broker.port, *topics) as arrivals,
            VirtualBox(trip, None, folder / "board") as box,
        ):
            for name, text in files.items():
                (folder / name).write_text(text)
            config = configured(folder, box.port, broker, more=DETECT + more)
            command = [sys.executable, "-m", "agent.cli", "run", "--config", str(config)]
            agent = subprocess.Popen(command, stderr=subprocess.PIPE)
            try:
                with trouble(Running(broker, folder, agent.pid)):
                    came = _travel(arrivals, broker, folder, count)
                begun_ns = _begun_ns(folder / "board" / "flash")
            finally:
                agent.send_signal(signal.SIGTERM)
                _, said = agent.communicate(timeout=PATIENCE_S)
    return Travel(begun_ns, came, said.decode())


def _travel(
    arrivals: queue.SimpleQueue[Arrival], broker: EmbeddedBroker, folder: Path, count: int
) -> list[tuple[Arrival, int]]:
    """Return what arrived, each with when it was published (0: by the agent)."""
    publisher = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    publisher.connect(broker.host, broker.port)
    publisher.loop_start()
    pause = threading.Event()
    dice = random.Random(1)
    card = os.open(folder / "card", os.O_RDWR | os.O_CREAT)
    came: list[tuple[Arrival, int]] = []
    counted = 0
    try:
        while counted < count + 3 * SETTLE_S:
            one = arrivals.get(timeout=PATIENCE_S)
            if not one.topic.endswith("/alarm"):
                continue
            came.append((one, 0))
            counted += 1
            if counted % 50 == 0 and os.isatty(2):
                print(f"\r  {counted} of {count} alarms ", end="", file=sys.stderr, flush=True)
            pause.wait(dice.uniform(0.03, 0.08))
            synced = counted % 2 == 0
            began_ns = time.monotonic_ns()
            if synced:
                os.pwrite(card, one.payload, counted * len(one.payload))
                os.fdatasync(card)
            publisher.publish(SYNCED if synced else BARE, one.payload, qos=1)
            while (other := arrivals.get(timeout=PATIENCE_S)).topic not in (BARE, SYNCED):
                if other.topic.endswith("/alarm"):
                    came.append((other, 0))
                    counted += 1
            came.append((other, began_ns))
    finally:
        os.close(card)
        publisher.disconnect()
        publisher.loop_stop()
    return came


def timed(trip: AlarmTrip, travel: Travel, counts: Callable[[int], bool] = lambda _: True) -> Times:
    """Return how long it took what `counts` by the time of its alarm's sample, or of its publishing."""
    alarms: dict[str, list[float]] = defaultdict(list)
    bare: dict[str, list[float]] = {BARE: [], SYNCED: []}
    for one, published_ns in travel.came:
        if published_ns:
            if counts(published_ns):
                bare[one.topic].append((one.came_ns - published_ns) / 1e6)
            continue
        body = json.loads(one.payload)
        complete_ns = _complete_ns(trip, travel.begun_ns, one, body)
        if complete_ns >= travel.begun_ns + (QUIET_S + SETTLE_S) * NS_PER_S and counts(complete_ns):
            alarms[body["type"]].append((one.came_ns - complete_ns) / 1e6)
    return Times(dict(alarms), bare[BARE], bare[SYNCED])


def _complete_ns(trip: AlarmTrip, begun_ns: int, one: Arrival, body: dict[str, Any]) -> int:
    """Return when the sample was taken that completed the alarm's condition."""
    said_ns = round(datetime.fromisoformat(body["t"]).timestamp() * 1e6) * 1000 - one.offset_ns
    harms = trip.harms((said_ns - begun_ns) // NS_PER_S)
    if body["type"] == "drop" and harms is not None:
        return begun_ns + (harms.fall + MIN_FALL_SAMPLES - 1) * NS_PER_S // ACCEL_HZ
    if body["type"] == "pressure" and harms is not None:
        return begun_ns + harms.swing * NS_PER_S // PRESSURE_HZ
    return said_ns


def _begun_ns(flash: Path) -> int:
    """Return when sample 0 of every stream was taken: the board's own word, on the monotonic clock."""
    epoch_us: int = json.loads((flash / "board.json").read_text())["epoch_us"]
    return (epoch_us + int((flash / "origin").read_text())) * 1000


@contextmanager
def _subscriber(host: str, port: int, *topics: str) -> Iterator[queue.SimpleQueue[Arrival]]:
    """Run the subscriber; its arrivals come through the queue."""
    command = [sys.executable, "-m", "scripts.benches.alarm_watch", host, str(port), *topics]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    out = process.stdout
    try:
        if out.readline().strip() != READY:
            raise RuntimeError("the subscriber did not come about")
        arrivals: queue.SimpleQueue[Arrival] = queue.SimpleQueue()

        def gather() -> None:
            for line in out:
                came, offset, topic, payload = line.split()
                arrivals.put(Arrival(int(came), int(offset), topic, bytes.fromhex(payload)))

        threading.Thread(target=gather, daemon=True).start()
        yield arrivals
    finally:
        process.kill()
        process.wait()


def at(some: list[float], percent: int) -> float:
    """Return a percentile."""
    return float(np.percentile(some, percent)) if some else float("nan")
