"""The path of commands, fuzzed: whatever comes, nothing is done and nothing breaks.

Two ways: through judge and desk with what hypothesis thinks of, and through a real mosquitto into an agent's
uplink, whose records must arrive all the while.
"""

from __future__ import annotations

import contextlib
import json
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import paho.mqtt.client as mqtt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion

from agent.orders import Desk, Done, Order, Refusal
from agent.orders.bucket import Bucket
from agent.orders.form import MOST_BYTES
from agent.outbox import Outbox
from agent.records import Kind
from tests.orders.signing import KEY_ID, OTHER, judge, mark, signed
from tests.outbox.samples import record
from tests.uplink.brokers import HOST, PATIENCE_S, Mosquitto, Subscriber
from tests.uplink.conftest import MakeUplink, mosquitto, outbox, start_uplink, subscribe
from tests.uplink.watch import Watch

__all__ = ["mosquitto", "outbox", "start_uplink", "subscribe"]  # fixtures

GOOD = signed(7)
DEEP = b'{"v":1,"key":"' + b"0" * 16 + b'","sig":"' + b"A" * 86 + b'==","order":' + b"[" * 3900
DEEP_SIGNED = signed(9, args={"a": json.loads("[" * 400 + "]" * 400)})

json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
envelopes = st.fixed_dictionaries(
    {},
    optional={
        "v": json_like | st.just(1),
        "key": json_like | st.just(KEY_ID),
        "order": json_like | st.just(json.loads(GOOD)["order"]),
        "sig": json_like | st.just(json.loads(GOOD)["sig"]).map(lambda sig: sig[::-1]),
        "more": json_like,
    },
)
spoiled = st.tuples(st.integers(0, len(GOOD) - 1), st.integers(1, 255)).map(
    lambda at: GOOD[: at[0]] + bytes([GOOD[at[0]] ^ at[1]]) + GOOD[at[0] + 1 :]
)
cut = st.integers(0, len(GOOD) - 1).map(lambda at: GOOD[:at])
anything = st.binary(max_size=600) | envelopes.map(lambda e: json.dumps(e).encode()) | spoiled | cut


@given(payload=anything, verb=st.sampled_from(["status", "flush", "restart", "", "../status", "#"]))
@example(payload=DEEP, verb="status")
@example(payload=b"[" * MOST_BYTES, verb="status")
@example(payload=DEEP_SIGNED, verb="status")
@example(payload=b'{"v":1,"key":"\\ud800"}', verb="status")
@example(payload=GOOD + b" " * MOST_BYTES, verb="status")
def test_nothing_but_the_order_itself_is_obeyed(payload: bytes, verb: str) -> None:
    with TemporaryDirectory() as folder:
        try:
            key, order = judge(Path(folder)).judge(verb, payload, retained=False, now=mark())
        except Refusal as refusal:
            assert refusal.reason and not (Path(folder) / "orders.json").exists()
        else:  # as a change of white space or of a letter's case in base64's last digit might leave it
            assert (key, order.counter, verb) == (KEY_ID, 7, "status"), payload
            assert json.loads(payload)["order"] == json.loads(GOOD)["order"]


class Doing:
    """A desk whose verbs count what they do."""

    def __init__(self, folder: Path) -> None:
        self.done: list[Order] = []
        self.desk = Desk(
            judge(folder),
            dict.fromkeys(("status", "flush", "restart"), self._do),
            fleet="fleet",
            box="box",
            boot="b",
            software="0",
            clock=mark,
            looks=Bucket(1e6, 1000),
        )
        self.desk.start()

    def _do(self, order: Order) -> Done:
        self.done.append(order)
        return Done({"counter": order.counter})


@pytest.fixture
def doing(tmp_path: Path) -> Iterator[Doing]:
    made = Doing(tmp_path)
    yield made
    made.desk.stop()


class Attacker:
    """A client that the broker lets publish whatever it likes, each acknowledged before it goes on."""

    def __init__(self, port: int) -> None:
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self.client.max_queued_messages_set(0)
        self.client.connect(HOST, port)
        self.client.loop_start()

    def send(self, payload: bytes, verb: str = "status", *, qos: int = 1, retain: bool = False) -> None:
        info = self.client.publish(f"cargobox/1/fleet/box/cmd/{verb}", payload, qos=qos, retain=retain)
        info.wait_for_publish(PATIENCE_S)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def answers(subscriber: Subscriber) -> list[dict[str, object]]:
    return [json.loads(m.payload) for m in list(subscriber.messages) if m.topic.endswith("/answer")]


@pytest.mark.broker
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_through_a_real_broker(
    protocol: str,
    doing: Doing,
    mosquitto: Callable[..., Mosquitto],
    subscribe: Callable[..., Subscriber],
    outbox: Outbox,
    start_uplink: MakeUplink,
) -> None:
    before = set(threading.enumerate())
    broker = mosquitto("max_queued_messages 0")
    subscriber, attacker = subscribe(broker), Attacker(broker.port)
    attacker.send(signed(3), "flush", retain=True)  # waits for the box to come
    watch = Watch()
    uplink = start_uplink(broker.config(protocol=protocol), ear=doing.desk, on_change=watch)
    watch.connected(1)
    for counter in range(1, 10):  # until it has subscribed, the broker keeps nothing for it
        attacker.send(signed(counter))
        with contextlib.suppress(AssertionError):
            subscriber.wait(lambda: bool(answers(subscriber)), 1.0)
            break
    chance = random.Random(7)
    captured = signed(10)
    attacker.send(captured)
    subscriber.wait(lambda: any(a["counter"] == 10 for a in answers(subscriber)))
    bad = [
        b"", b"{", DEEP, DEEP_SIGNED, captured, signed(9), signed(11, box="other"), signed(12, key=OTHER),
        signed(13, issued=1, expires=2), signed(14, verb="restart"), b"x" * 200_000,
    ]  # fmt: skip
    for step in range(12):
        outbox.put([record(2 * step), record(2 * step + 1, Kind.ALARM if step % 5 == 0 else Kind.EVENT)])
        for payload in (*bad, chance.randbytes(chance.randrange(300))):
            attacker.send(payload, qos=chance.randrange(2))
    attacker.send(signed(99), retain=False)
    subscriber.wait(lambda: any(a["counter"] == 99 for a in answers(subscriber)))
    subscriber.wait(lambda: sorted(seqs(subscriber)) == list(range(24)))
    attacker.close()
    uplink.stop(drain_s=PATIENCE_S)
    counts, stats = doing.desk.counts, uplink.stats()
    assert [o.counter for o in doing.done if o.counter >= 10] == [10, 99], (doing.done, counts)
    assert (stats.refused, stats.reconnects) == (0, 0), (stats, counts)
    assert {"malformed", "replayed", "address", "unknown_key"} <= set(counts), counts
    told = [a for a in answers(subscriber) if not a["done"]]
    assert 0 < len(told) <= 12, f"{len(told)} refusals were answered"
    left = [thread.name for thread in threading.enumerate() if thread not in before]
    of_the_test = 2  # its broker's and its subscriber's
    assert len(left) <= of_the_test, f"threads are left: {left}"


def seqs(subscriber: Subscriber) -> list[int]:
    kinds = ("/status", "/answer")
    said = [m for m in list(subscriber.messages) if not m.topic.endswith(kinds) and "/cmd/" not in m.topic]
    return [Subscriber.body(m)["seq"] for m in said]


@pytest.mark.broker
def test_answers_wait_for_the_connection(
    doing: Doing,
    mosquitto: Callable[..., Mosquitto],
    subscribe: Callable[..., Subscriber],
    start_uplink: MakeUplink,
) -> None:
    class Word:
        topic, payload, qos, retained = "cargobox/1/fleet/box/cmd/status", signed(1), 1, False

    acknowledged = threading.Event()
    doing.desk.hear(Word, acknowledged.set)
    assert acknowledged.wait(PATIENCE_S) and len(doing.done) == 1
    broker = mosquitto()
    subscriber = subscribe(broker)
    start_uplink(broker.config(), ear=doing.desk)
    subscriber.wait(lambda: [a["counter"] for a in answers(subscriber)] == [1])
    (answer,) = answers(subscriber)
    assert answer["done"] and answer["result"] == {"counter": 1} and answer["key"] == KEY_ID


def test_a_verb_that_breaks_is_told_and_breaks_nothing(tmp_path: Path) -> None:
    def broken(_: Order) -> Done:
        raise RuntimeError("a secret")

    said: list[bytes] = []
    heard = threading.Event()
    desk = Desk(
        judge(tmp_path), {"status": broken}, fleet="fleet", box="box", boot="b", software="0", clock=mark
    )
    desk.start()

    def say(_topic: str, payload: bytes) -> None:
        said.append(payload)
        heard.set()

    class Word:
        topic, payload, qos, retained = "cargobox/1/fleet/box/cmd/status", signed(1), 1, False

    desk.connected(say)
    desk.hear(Word, lambda: None)
    assert heard.wait(PATIENCE_S)
    desk.stop()
    answer = json.loads(said[0])
    assert (answer["done"], answer["reason"], answer["got"]) == (False, "failed", "RuntimeError")
