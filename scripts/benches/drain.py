"""A backlog through mosquitto at QoS 1: the agent's uplink, out of the outbox, beside bare paho-mqtt.

Both send the same payloads, with the same window of unacknowledged messages, on MQTT 5, to the same broker,
each in a process of its own, by turns; the ratio is the median of the turns'. paho has its payloads in memory
and keeps nothing; the uplink reads them from the card, and each leaves the outbox after its PUBACK. What is
timed is from the connection to the last PUBACK; the outbox is opened, and paho has its payloads made, before.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from agent.embedded_broker import EmbeddedBroker
from agent.outbox import Outbox
from agent.records import Kind, Record
from agent.uplink import BrokerConfig, Uplink
from scripts.benches.figures import Figure

HOST = "127.0.0.1"
RECORDS = 20_000
ROUNDS = 7
WINDOW = BrokerConfig().inflight_max
PAYLOAD = b'{"v":1,"box":"bench","boot":"0000000000000000","seq":%d,"body":"' + b"x" * 250 + b'"}'
TOPIC = "cargobox/1/bench/bench/features"
PROMISED = 0.8
PATIENCE_S = 300.0


def bench(_: argparse.Namespace) -> list[Figure]:
    """Measure."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with Outbox(folder / "filled") as box:
            for first in range(0, RECORDS, 1000):
                box.put([_record(seq) for seq in range(first, first + 1000)])
        with EmbeddedBroker(prefer="mosquitto") as broker:
            turns = [_turn(folder, broker.port, peer_first=k % 2 == 1) for k in range(ROUNDS)]
    own, peer = zip(*turns, strict=True)
    rates = [RECORDS / run["wall_s"] for run in own]
    return [
        Figure("drain, records a second", statistics.median(rates), "1/s"),
        Figure(
            "drain, rate to bare paho's",
            statistics.median(b["wall_s"] / a["wall_s"] for a, b in turns),
            "",
            peer=f"{RECORDS / statistics.median(run['wall_s'] for run in peer):,.0f} 1/s",
            at_least=PROMISED,
        ),
        Figure("drain, slowest turn to bare paho's", min(b["wall_s"] / a["wall_s"] for a, b in turns), ""),
        Figure(
            "drain, processor time a record",
            1e6 * statistics.median(run["cpu_s"] for run in own) / RECORDS,
            "us",
            peer=f"bare paho {1e6 * statistics.median(run['cpu_s'] for run in peer) / RECORDS:.0f} us",
        ),
    ]


def _record(seq: int) -> Record:
    return Record(Kind.FEATURES, "0" * 16, seq, TOPIC, PAYLOAD % seq)


def _turn(folder: Path, port: int, *, peer_first: bool) -> tuple[dict[str, float], dict[str, float]]:
    shutil.rmtree(folder / "outbox", ignore_errors=True)
    shutil.copytree(folder / "filled", folder / "outbox")
    runs: dict[str, dict[str, float]] = {}
    for who in ("own", "peer")[:: -1 if peer_first else 1]:
        command = [sys.executable, "-m", "scripts.benches.drain", who, str(port), str(folder / "outbox")]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=Path(__file__).parents[2])
        runs[who] = json.loads(done.stdout)
    return runs["own"], runs["peer"]


def own(port: int, folder: Path) -> dict[str, float]:
    """Drain an outbox by the uplink."""
    began: list[tuple[float, float]] = []

    def changed(state: str, _: object) -> None:
        if state == "connected":
            began.append((time.perf_counter(), time.process_time()))

    with Outbox(folder) as box:
        config = BrokerConfig(host=HOST, port=port)
        uplink = Uplink(
            config, box, fleet="bench", box="bench", boot="b", software="0", on_change=changed, announce=False
        )
        uplink.start()
        while box.waiting():  # asking costs less than a callback a record would
            time.sleep(0.002)
        ended = time.perf_counter(), time.process_time()
        uplink.stop()
    return {"wall_s": ended[0] - began[0][0], "cpu_s": ended[1] - began[0][1]}


def _receive_maximum(port: int) -> int:
    """Return the broker's own bound: to exceed it is against MQTT 5.0, 4.9, and paho does not look."""
    said: list[int] = []
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.on_connect = lambda *words: said.append(getattr(words[-1], "ReceiveMaximum", WINDOW))
    client.connect(HOST, port)
    while not said:
        client.loop()
    client.disconnect()
    return said[0]


def peer(port: int) -> dict[str, float]:
    """Publish the same by bare paho."""
    payloads = [PAYLOAD % seq for seq in range(RECORDS)]
    connected, done = threading.Event(), threading.Event()
    left = [RECORDS]

    def published(*_: object) -> None:
        left[0] -= 1
        if not left[0]:
            done.set()

    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.max_inflight_messages_set(min(WINDOW, _receive_maximum(port)))
    client.on_connect = lambda *_: connected.set()
    client.on_publish = published
    client.connect(HOST, port)
    client.loop_start()
    connected.wait(PATIENCE_S)
    began = time.perf_counter(), time.process_time()
    for payload in payloads:
        client.publish(TOPIC, payload, qos=1)
    done.wait(PATIENCE_S)
    ended = time.perf_counter(), time.process_time()
    client.disconnect()
    client.loop_stop()
    return {"wall_s": ended[0] - began[0], "cpu_s": ended[1] - began[1]}


if __name__ == "__main__":
    _who, _port, _folder = sys.argv[1:]
    print(json.dumps(own(int(_port), Path(_folder)) if _who == "own" else peer(int(_port))))
