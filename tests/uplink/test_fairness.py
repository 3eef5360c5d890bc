"""After a long time offline: alarms, how the box is now, and live records between those that wait."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable

import pytest

from agent.outbox import Outbox
from agent.records import Kind
from agent.uplink import BrokerConfig, Uplink
from agent.uplink.allowance import Allowance
from agent.uplink.pump import CAUTIOUS
from agent.uplink.window import RESERVED_MAX
from tests.outbox.samples import record, records
from tests.uplink.brokers import HOST, PATIENCE_S, Mosquitto, ScriptedBroker, Subscriber

Start = Callable[..., Mosquitto]
Subscribe = Callable[..., Subscriber]
MakeUplink = Callable[..., Uplink]
WAITING = 20_000


def holds(subscriber: Subscriber, seq: int) -> bool:
    return any(b'"seq":%d,' % seq in message.payload for message in subscriber.messages[-6000:])


@pytest.mark.broker
def test_live_records_come_between_a_backlog_of_hours(
    mosquitto: Start, subscribe: Subscribe, outbox: Outbox, start_uplink: MakeUplink
) -> None:
    broker = mosquitto()
    subscriber = subscribe(broker)
    outbox.put([*records(range(3), Kind.ALARM), *records(range(3, WAITING))])
    outbox.put([record(WAITING, Kind.HEALTH), record(WAITING + 1)])
    outbox.flush()
    uplink = start_uplink(broker.config())
    behind = []
    for live in range(WAITING + 2, WAITING + 12):
        subscriber.wait(lambda live=live: len(subscriber.messages) > 500 * (live - WAITING - 1))  # type: ignore[misc]
        outbox.put([record(live)])
        outbox.flush()
        sent = uplink.stats().published
        subscriber.wait(lambda live=live: holds(subscriber, live))  # type: ignore[misc]
        at = subscriber.seqs().index(live)
        if at < WAITING:  # on a busy machine the backlog may be gone before the last live ones are put
            behind.append(at - sent)
    seqs = subscriber.seqs()
    assert behind, "the backlog was gone too soon for this test"
    assert seqs[:3] == [0, 1, 2], f"alarms first: {seqs[:6]}"
    assert sorted(seqs[3:5]) == [WAITING, WAITING + 1], f"then how the box is now: {seqs[:8]}"
    assert max(behind) <= 120, (
        f"records that came before each live one although they were behind it: {behind}"
    )
    backlog = [seq for seq in seqs[5:] if seq < WAITING]
    assert backlog == sorted(backlog), "the backlog in its order"
    outbox.put(records(range(WAITING + 12, WAITING + 2000)))
    subscriber.wait(lambda: len(subscriber.messages) == 1 + WAITING + 2000)
    live_ones = [seq for seq in subscriber.seqs() if seq >= WAITING + 2]
    assert live_ones == sorted(live_ones), "live ones in theirs"
    uplink.stop(drain_s=PATIENCE_S)
    assert outbox.waiting() == 0


def test_while_more_live_records_wait_than_can_be_sent_the_backlog_has_a_fourth(
    outbox: Outbox, start_uplink: MakeUplink
) -> None:
    began = threading.Event()

    def on_publish(broker: ScriptedBroker, packet_id: int, _payload: bytes) -> None:
        if not began.is_set():
            began.set()
            outbox.put(records(range(2000, 4000)))
            outbox.flush()
        broker.puback(packet_id)

    outbox.put(records(range(2000)))
    outbox.flush()
    broker = ScriptedBroker(on_publish=on_publish)
    uplink = start_uplink(BrokerConfig(host=HOST, port=broker.port))
    came = [json.loads(broker.next_published()[1])["seq"] for _ in range(900)]
    uplink.stop()
    broker.close()
    old = [seq for seq in came[300:] if seq < 2000]  # behind what was on the way before the live ones came
    assert 0.2 <= len(old) / len(came[300:]) <= 0.3, f"{len(old)} of {len(came[300:])} are the backlog's"


@pytest.mark.broker
def test_a_limit_of_the_backlog_holds_up_neither_alarms_nor_live_records(
    mosquitto: Start, subscribe: Subscribe, outbox: Outbox, start_uplink: MakeUplink
) -> None:
    broker = mosquitto()
    subscriber = subscribe(broker)
    outbox.put(records(range(1000)))
    outbox.flush()
    size_bytes = record(500).published_bytes
    uplink = start_uplink(broker.config(backlog_bytes_a_second=20.0 * size_bytes))
    began_s = time.monotonic()
    subscriber.wait(lambda: len(subscriber.messages) > 21 + RESERVED_MAX)
    outbox.put([record(1000), record(1001, Kind.ALARM)])
    subscriber.wait(lambda: {1000, 1001} <= set(subscriber.seqs()))
    took_s = time.monotonic() - began_s
    came = len(subscriber.seqs())
    # the two that are live, the newest of the backlog, a second at once, and one batch on credit
    assert came <= 3 + 20 * (took_s + 1) + RESERVED_MAX + CAUTIOUS, f"{came} in {took_s:.2f} s"
    assert came < 500, "the live ones were not behind it"
    assert outbox.waiting() > 0
    uplink.stop()


def test_an_allowance_is_as_its_rate_and_owes_what_was_too_much() -> None:
    allowance = Allowance(100.0)
    assert allowance.may(0.0)
    allowance.spend(150)
    assert not allowance.may(0.0)
    assert allowance.due_s(0.0) == pytest.approx(0.51)
    assert not allowance.may(0.4) and allowance.may(0.6)
    assert allowance.may(1000.0)
    allowance.spend(101)
    assert not allowance.may(1000.0), "it saves up one second's worth and no more"
    assert Allowance(0.0).may(0.0) and Allowance(0.0).due_s(5.0) == 5.0
