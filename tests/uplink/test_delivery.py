"""Through a real broker: everything arrives, alarms first, and with no hole after any outage."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.outbox import Outbox
from agent.outbox.inspect import iter_waiting
from agent.records import Kind
from agent.uplink import BrokerConfig, Uplink
from tests.outbox.samples import record, records
from tests.uplink.brokers import HOST, PATIENCE_S, Mosquitto, ScriptedBroker, Subscriber
from tests.uplink.watch import Watch

pytestmark = pytest.mark.broker

Start = Callable[..., Mosquitto]
Subscribe = Callable[..., Subscriber]
MakeUplink = Callable[..., Uplink]


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_everything_arrives_as_it_was_put_in(
    mosquitto: Start, subscribe: Subscribe, outbox: Outbox, start_uplink: MakeUplink, protocol: str
) -> None:
    broker = mosquitto()
    subscriber = subscribe(broker)
    outbox.put(records(range(500)))
    uplink = start_uplink(broker.config(protocol=protocol))
    outbox.put([record(500, Kind.ALARM), record(501)])
    subscriber.wait(lambda: len(subscriber.messages) == 503)
    assert sorted(subscriber.seqs()) == list(range(502))
    by_seq = {Subscriber.body(m).get("seq"): m for m in subscriber.messages}
    assert by_seq[500].payload == record(500).payload
    assert by_seq[500].topic == "cargobox/1/fleet/box/alarm"
    uplink.stop(drain_s=PATIENCE_S)
    stats = uplink.stats()
    assert outbox.waiting() == 0
    assert (stats.acknowledged, stats.refused, stats.inflight) == (502, 0, 0)
    assert stats.published_bytes == sum(record(s, k).published_bytes for s, k in _kinds(502, {500}))


def _kinds(count: int, alarms: set[int]) -> list[tuple[int, Kind]]:
    return [(seq, Kind.ALARM if seq in alarms else Kind.FEATURES) for seq in range(count)]


def test_the_status_topic_tells_online_stopped_and_lost(
    mosquitto: Start, subscribe: Subscribe, start_uplink: MakeUplink, tmp_path: Path
) -> None:
    broker = mosquitto()
    subscriber = subscribe(broker)
    start_uplink(broker.config())
    subscriber.wait(lambda: subscriber.states() == ["online"])
    late = subscribe(broker)
    late.wait(lambda: late.states() == ["online"])
    assert late.messages[0].retain, "who comes later is told, too"
    body = Subscriber.body(late.messages[0])
    assert (body["box"], body["boot"], body["sw"]) == ("box", "b", "0.1")

    program = f"""
from pathlib import Path
from agent.outbox import Outbox
from agent.uplink import BrokerConfig, Uplink
config = BrokerConfig(host="127.0.0.1", port={broker.port})
uplink = Uplink(config, Outbox(Path({str(tmp_path / "other")!r})), fleet="fleet", box="two", boot="c",
    software="0.1", on_change=lambda state, error: print(state, flush=True))
uplink.start()
input()
uplink.stop(1)
"""
    for ending, reason in ((signal.SIGKILL, "connection lost"), (None, "stopped")):
        before = len(subscriber.messages)
        with subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        ) as agent:
            assert agent.stdout is not None and agent.stdin is not None
            assert [agent.stdout.readline().strip() for _ in range(2)] == ["connecting", "connected"]
            subscriber.wait(lambda before=before: len(subscriber.messages) == before + 1)  # type: ignore[misc]
            if ending is not None:
                agent.send_signal(ending)
            else:
                agent.communicate("\n")
        subscriber.wait(lambda before=before: len(subscriber.messages) == before + 2)  # type: ignore[misc]
        late = subscribe(broker)
        late.wait(lambda late=late: len(late.messages) == 2)  # type: ignore[misc]
        (last,) = (Subscriber.body(m) for m in late.messages if b'"two"' in m.payload)
        assert last == Subscriber.body(subscriber.messages[-1]), "retained"
        assert (last["box"], last["state"], last["reason"]) == ("two", "offline", reason)


def test_a_broker_killed_again_and_again_leaves_no_hole(
    mosquitto: Start, subscribe: Subscribe, outbox: Outbox, start_uplink: MakeUplink
) -> None:
    broker = mosquitto()
    subscriber = subscribe(broker)
    gate = threading.Event()  # a subscriber without a session misses what comes before it is back
    gate.set()

    def wait_for_the_subscriber() -> float:
        assert gate.wait(PATIENCE_S)
        return 0.0

    uplink = start_uplink(broker.config(), random=wait_for_the_subscriber)
    count = 0
    for outage in range(3):
        outbox.put(records(range(count, count + 1500)))
        count += 1500
        subscriber.wait(lambda outage=outage: len(set(subscriber.seqs())) > 1500 * outage + 300)  # type: ignore[misc]
        gate.clear()
        broker.kill()
        outbox.put([record(count, Kind.ALARM)])
        count += 1
        broker.start()
        subscriber.connect()
        gate.set()
    subscriber.wait(lambda: len(set(subscriber.seqs())) == count)
    uplink.stop(drain_s=PATIENCE_S)
    assert outbox.waiting() == 0
    twice = [seq for seq, times in Counter(subscriber.seqs()).items() if times > 1]
    assert len(twice) <= 3 * 100, "only what was in flight may come twice"
    assert uplink.stats().reconnects >= 3


def test_alarms_overtake_a_backlog(
    mosquitto: Start, subscribe: Subscribe, outbox: Outbox, start_uplink: MakeUplink
) -> None:
    broker = mosquitto()
    subscriber = subscribe(broker)
    outbox.put(records(range(15_000)))
    uplink = start_uplink(broker.config())
    behind = []
    for alarm in range(15_000, 15_005):
        subscriber.wait(lambda alarm=alarm: len(subscriber.messages) > 300 * (alarm - 14_999))  # type: ignore[misc]
        outbox.put([record(alarm, Kind.ALARM)])
        sent = uplink.stats().published
        subscriber.wait(lambda alarm=alarm: alarm in subscriber.seqs())  # type: ignore[misc]
        behind.append(subscriber.seqs().index(alarm) - sent)
    assert len(subscriber.seqs()) < 15_000, "the backlog was still there"
    assert max(behind) <= 40, f"records that came before each alarm although they were behind it: {behind}"


def test_stop_without_a_broker_returns_and_keeps_all(
    mosquitto: Start, outbox: Outbox, start_uplink: MakeUplink, tmp_path: Path
) -> None:
    broker = mosquitto()
    broker.kill()
    watch = Watch()
    outbox.put(records(range(10)))
    uplink = start_uplink(broker.config(reconnect_min_s=3600.0, reconnect_max_s=3600.0), on_change=watch)
    assert "connection refused" in str(watch.error())
    uplink.stop(drain_s=3600.0)  # waiting would be in vain
    assert uplink.state == "stopped"
    outbox.flush()
    assert [w.seq for w in iter_waiting(tmp_path / "outbox")] == list(range(10))


def test_two_agents_with_one_name_are_told_of_each_other(
    mosquitto: Start, outbox: Outbox, start_uplink: MakeUplink, tmp_path: Path
) -> None:
    """Mosquitto 2.0 closes the older connection without a word."""
    broker = mosquitto()
    watches = Watch(), Watch()
    slower = {"reconnect_min_s": 0.02, "reconnect_max_s": 10.0, "unheard_wait_s": 0.0}
    with Outbox(tmp_path / "second") as second:
        first = start_uplink(broker.config(**slower), on_change=watches[0], random=lambda: 1.0)
        watches[0].connected()
        began_s = time.monotonic()
        other = start_uplink(broker.config(**slower), second, on_change=watches[1], random=lambda: 1.0)
        for watch in watches:  # both are told
            error = watch.error(3)
            assert "'box'" in error.doing and "a second agent" in error.got, str(error)
            assert "[box] id" in error.remedy, str(error)
        took_s = time.monotonic() - began_s
        stats = first.stats(), other.stats()
        assert all(s.taken_over >= 1 and s.connections <= 6 for s in stats), stats
        assert took_s >= 0.02 + 0.04, f"{took_s} s: each time they stay away for longer"
        second.put(records(range(3)))
        outbox.put(records(range(3, 6)))
        other.stop(drain_s=PATIENCE_S)
        first.stop(drain_s=PATIENCE_S)
        stats = first.stats(), other.stats()
        assert sum(s.connections for s in stats) < 20, f"no tight loop: {stats}"


def test_a_broker_that_says_who_took_the_place(
    scripted: Callable[..., ScriptedBroker], start_uplink: MakeUplink
) -> None:
    broker = scripted()
    watch = Watch()
    config = BrokerConfig(host=HOST, port=broker.port, taken_over_pause_s=0.05)
    uplink = start_uplink(config, on_change=watch, random=lambda: 1.0)
    for times in range(1, 4):
        watch.connected(times)
        began_s = time.monotonic()
        broker.disconnect(0x8E)  # Session taken over (MQTT 5.0, 3.14.2.1)
        error = watch.error(times)
        assert "another client connected under this one's name, 'cargobox-box'" in error.got, str(error)
        watch.connected(times + 1)
        away_s = time.monotonic() - began_s
        assert away_s >= 0.05 * 2 ** (times - 1), f"away for {away_s} s"
    assert uplink.stats().taken_over == 3
