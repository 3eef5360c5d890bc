"""Somebody floods the topics of orders: records leave and are answered, and orders are heard again."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from agent.outbox import Outbox
from agent.records import Kind
from agent.uplink import Uplink, shield
from agent.uplink.ear import Heard
from scripts.benches import flood
from tests.outbox.samples import record
from tests.uplink.brokers import PATIENCE_S, Mosquitto

pytestmark = pytest.mark.broker

ALARMS = 300
"""More than may be on the way unanswered."""
SOON_S = 5.0
"""Behind a flood on the line answers took half a minute."""


class Ear:
    """Counts, and does nothing."""

    topics: Sequence[str] = ("cargobox/1/fleet/box/cmd/status",)
    most_at_once = 16

    def __init__(self) -> None:
        self.flooded = threading.Event()
        self.order = threading.Event()
        self.passed_over = 0

    def hear(self, message: Heard, acknowledge: Callable[[], object]) -> None:
        if message.payload == b"order":
            self.order.set()
        acknowledge()

    def missed(self, count: int) -> None:
        self.passed_over += count
        self.flooded.set()

    def connected(self, say: Callable[[str, bytes], None]) -> None: ...

    def answered(self, refusal: str | None) -> None: ...

    def disconnected(self) -> None: ...


@contextlib.contextmanager
def flooding(port: int) -> Iterator[None]:
    stop = threading.Event()
    line = flood.connected(port)
    (piece, _), *_ = flood.joined([flood.publish("box", "status", b"x" * 200, 0, "fleet")] * 200)

    def run() -> None:
        while not stop.is_set():
            line.sendall(piece)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        line.close()


def test_records_are_answered_while_somebody_floods_us_and_orders_are_heard_again(
    mosquitto: Callable[..., Mosquitto],
    outbox: Outbox,
    start_uplink: Callable[..., Uplink],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(shield, "DEAF_MIN_S", 2 * SOON_S)
    broker, ear, all_there = mosquitto(), Ear(), threading.Event()
    uplink = start_uplink(broker.config(), ear=ear)
    with flooding(broker.port):
        assert ear.flooded.wait(PATIENCE_S)
        for seq in range(ALARMS):
            outbox.put([record(seq, Kind.ALARM)])
        for _ in range(round(SOON_S / 0.05)):
            if outbox.waiting() == 0:
                break
            all_there.wait(0.05)
        assert outbox.waiting() == 0, f"{outbox.waiting()} of {ALARMS} are not answered: {uplink.stats()}"
    assert ear.passed_over > 100
    assert "somebody floods the topics of orders" in caplog.text
    line = flood.connected(broker.port)
    for _ in range(100):
        line.sendall(flood.publish("box", "status", b"order", 1, "fleet"))
        if ear.order.wait(0.2):
            break
    assert ear.order.is_set(), "no order is heard any more"
    line.close()
