"""An outbox, an uplink on it, and brokers for it, gone when the test is over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.outbox import Outbox
from agent.uplink import BrokerConfig, Uplink
from tests.uplink.brokers import Mosquitto, ScriptedBroker, Subscriber

MakeUplink = Callable[..., Uplink]


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with Outbox(tmp_path / "outbox", commit_window_s=0) as box:
        yield box


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Callable[..., Mosquitto]]:
    """Starts brokers that are gone when the test is over."""
    started: list[Mosquitto] = []

    def start(*lines: str) -> Mosquitto:
        started.append(Mosquitto(tmp_path, *lines))
        return started[-1]

    yield start
    for broker in started:
        broker.kill()


@pytest.fixture
def subscribe() -> Iterator[Callable[..., Subscriber]]:
    made: list[Subscriber] = []

    def make(broker: Mosquitto, **credentials: str) -> Subscriber:
        made.append(Subscriber(broker.port, **credentials))
        return made[-1]

    yield make
    for subscriber in made:
        subscriber.close()


@pytest.fixture
def scripted() -> Iterator[Callable[..., ScriptedBroker]]:
    made: list[ScriptedBroker] = []

    def make(**script: Any) -> ScriptedBroker:
        made.append(ScriptedBroker(**script))
        return made[-1]

    yield make
    for broker in made:
        broker.close()


@pytest.fixture
def start_uplink(outbox: Outbox) -> Iterator[MakeUplink]:
    made: list[Uplink] = []

    def start(config: BrokerConfig, queue: Outbox = outbox, **more: Any) -> Uplink:
        uplink = Uplink(config, queue, fleet="fleet", box="box", boot="b", software="0.1", **more)
        made.append(uplink)
        uplink.start()
        return uplink

    yield start
    for uplink in made:
        uplink.stop()
