"""The broker of the demo: either program, with our uplink, and gone when its parent is."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.embedded_broker import EmbeddedBroker, Program, available
from agent.errors import BrokerError
from agent.outbox import Outbox
from agent.records import Kind
from agent.uplink import BrokerConfig, Uplink
from tests.outbox.samples import record, records
from tests.uplink.brokers import PATIENCE_S, Subscriber

MakeUplink = Callable[..., Uplink]


@pytest.fixture(params=["mosquitto", "amqtt"])
def program(request: pytest.FixtureRequest) -> Program:
    chosen: Program = request.param
    if chosen not in available():
        pytest.skip(f"{chosen} is not installed")
    return chosen


def test_records_alarms_and_status_pass(program: Program, outbox: Outbox, start_uplink: MakeUplink) -> None:
    with EmbeddedBroker(prefer=program) as broker:
        subscriber = Subscriber(broker.port)
        config = BrokerConfig(host=broker.host, port=broker.port, protocol=broker.protocol)
        uplink = start_uplink(config)
        for first in range(0, 200, 10):
            outbox.put([*records(range(first, first + 9)), record(first + 9, Kind.ALARM)])
        subscriber.wait(lambda: len(set(subscriber.seqs())) == 200)
        late = Subscriber(broker.port)
        late.wait(lambda: "online" in late.states())
        uplink.stop(drain_s=PATIENCE_S)
        late.wait(lambda: late.states()[-1:] == ["offline"])
        assert outbox.waiting() == 0
        for client in (subscriber, late):
            client.close()
        ended = os.pidfd_open(broker.pid or 0)
    assert select.select([ended], [], [], PATIENCE_S)[0], "its process is gone"
    os.close(ended)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_with_its_parent(program: Program, how: signal.Signals) -> None:
    script = f"""
from agent.embedded_broker import EmbeddedBroker
broker = EmbeddedBroker(prefer={program!r})
broker.start()
print(broker.pid, flush=True)
input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as parent:
        assert parent.stdout is not None
        ended = os.pidfd_open(int(parent.stdout.readline()))
        parent.send_signal(how)
    assert select.select([ended], [], [], PATIENCE_S)[0], "the broker outlived its parent"
    os.close(ended)


def test_without_any_broker_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.embedded_broker.available", list)
    with pytest.raises(BrokerError, match="pip install"):
        EmbeddedBroker()
