"""A broker that was restarted has no subscriber for a while: what it then takes must not be lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agent.outbox import Outbox
from agent.records import Kind
from agent.uplink import BrokerConfig, Uplink
from tests.outbox.samples import record, records
from tests.uplink.brokers import HOST, PATIENCE_S, Mosquitto, ScriptedBroker, Subscriber
from tests.uplink.watch import Watch

NOBODY = 0x10  # PUBACK: No matching subscribers (MQTT 5.0, 3.4.2.1)

Script = Callable[..., ScriptedBroker]
MakeUplink = Callable[..., Uplink]


def config(port: int, **more: Any) -> BrokerConfig:
    quick = {"reconnect_min_s": 0.02, "reconnect_max_s": 0.05, "unheard_pause_s": 0.02}
    return BrokerConfig(**{"host": HOST, "port": port, **quick, **more})


def after_a_failure(
    broker: ScriptedBroker, outbox: Outbox, start_uplink: MakeUplink, **more: Any
) -> tuple[Uplink, Watch]:
    """Return an uplink on its second connection: the first one was lost."""
    watch = Watch()
    uplink = start_uplink(config(broker.port, **more), on_change=watch)
    watch.connected()
    broker.hang_up()
    watch.connected(2)
    return uplink, watch


def test_what_nobody_heard_is_offered_again_oldest_first(
    scripted: Script, outbox: Outbox, start_uplink: MakeUplink
) -> None:
    unheard: list[bytes] = []
    heard: list[bytes] = []

    def answer(broker: ScriptedBroker, packet: int, payload: bytes) -> None:
        listens = len(unheard) >= 12
        (heard if listens else unheard).append(payload)
        broker.puback(packet, 0 if listens else NOBODY)

    broker = scripted(on_publish=answer)
    uplink, _ = after_a_failure(broker, outbox, start_uplink)
    outbox.put(records(range(5)))
    uplink.stop(drain_s=PATIENCE_S)
    assert (outbox.waiting(), uplink.stats().acknowledged) == (0, 5)
    assert heard == [record(seq).payload for seq in range(5)]
    assert set(unheard[5:]) == {record(0).payload}, "one is enough to see whether somebody came"


def test_an_alarm_does_not_wait_for_those_who_do_not_listen_to_features(
    scripted: Script, outbox: Outbox, start_uplink: MakeUplink
) -> None:
    broker = scripted()
    after_a_failure(broker, outbox, start_uplink, unheard_pause_s=3600.0)
    outbox.put([record(0)])
    broker.puback(broker.next_published()[0], NOBODY)
    outbox.put([record(1, Kind.ALARM)])
    packet, payload = broker.next_published()
    assert payload == record(1, Kind.ALARM).payload
    broker.puback(packet)


@pytest.mark.parametrize("wait_s", [0.0, 300.0])
def test_without_a_failure_or_after_the_wait_it_counts_as_delivered(
    scripted: Script, outbox: Outbox, start_uplink: MakeUplink, wait_s: float
) -> None:
    broker = scripted(on_publish=lambda b, packet, _: b.puback(packet, NOBODY))
    if wait_s:  # a first connection: nobody was cut off
        uplink = start_uplink(config(broker.port, unheard_wait_s=wait_s))
    else:
        uplink, _ = after_a_failure(broker, outbox, start_uplink, unheard_wait_s=wait_s)
    outbox.put(records(range(3)))
    uplink.stop(drain_s=PATIENCE_S)
    assert (outbox.waiting(), uplink.stats().acknowledged) == (0, 3)


@pytest.mark.broker
def test_a_subscriber_that_comes_back_after_the_agent_misses_nothing(
    mosquitto: Callable[..., Mosquitto],
    subscribe: Callable[..., Subscriber],
    outbox: Outbox,
    start_uplink: MakeUplink,
) -> None:
    broker = mosquitto()
    subscriber = subscribe(broker)
    watch = Watch()
    uplink = start_uplink(broker.config(unheard_pause_s=0.02), on_change=watch)
    watch.connected()
    broker.kill()
    outbox.put([*records(range(50)), record(50, Kind.ALARM)])
    broker.start()
    watch.connected(2)
    outbox.put(records(range(51, 60)))
    subscriber.connect()
    subscriber.wait(lambda: len(set(subscriber.seqs())) == 60)
    uplink.stop(drain_s=PATIENCE_S)
    assert outbox.waiting() == 0
