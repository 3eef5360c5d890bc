"""docs/asyncapi.yaml describes what really leaves the box: every payload of a trip is held against it."""

from __future__ import annotations

import itertools
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from agent.blocks import FaultKind
from agent.commands.subscriber import PROTOCOLS, Subscriber
from agent.commands.words import words_of
from agent.detection.finding import EventType
from agent.embedded_broker import EmbeddedBroker
from agent.orders.judge import REASONS
from agent.orders.settings import Verb
from agent.outbox import Outbox
from agent.records import TOPIC_ROOT, Kind, Record, Severity, as_json, decode, encode, topic_of
from agent.reduction import COARSER
from agent.timebase import TimeQuality
from agent.uplink import BrokerConfig, Uplink
from agent.uplink.topics import command_topic, status_topic
from calibration.thermal_tracking import Trust
from tests.docs.contract import document, fault_of, resolve
from tests.docs.every_trip import HEAD, every_record
from tests.house.tree import TOP

NO_RECORDS = {"status", "order", "answer"}
Payload = dict[str, Any]


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return every_record()


@pytest.fixture(scope="module")
def payloads(records: list[Record]) -> list[tuple[str, Payload]]:
    return [(record.kind.value, decode(record.payload)) for record in records]


def test_every_payload_is_as_described(payloads: list[tuple[str, Payload]]) -> None:
    faults = [fault for kind, payload in payloads if (fault := fault_of(kind, payload))]
    assert not faults, f"{len(faults)} of {len(payloads)} payloads, the first: {faults[:3]}"


def test_every_payload_is_the_same_in_messagepack(records: list[Record]) -> None:
    for record in records:
        document = decode(record.payload)
        packed = encode(document, "msgpack")
        assert as_json(packed) == as_json(record.payload), document


def test_the_trips_show_all_that_is_described(payloads: list[tuple[str, Payload]]) -> None:
    kinds = Counter(kind for kind, _ in payloads)
    assert set(kinds) == set(document()["channels"]) - NO_RECORDS, kinds
    schemas = document()["components"]["schemas"]
    described = {rule["if"]["properties"]["type"]["const"] for rule in schemas["Event"]["allOf"][1:-1]}
    events = [payload for kind, payload in payloads if kind in {"alarm", "event"}]
    assert {event["type"] for event in events} == described
    said = {(event["type"], key) for event in events for key in event["values"]}
    known = {
        (kind, key)
        for kind in described
        for key in schemas[f"{kind.title().replace('_', '')}Values"]["properties"]
    }
    assert said == known
    columns = {key for kind, p in payloads if kind == "features" for key in p["columns"]}
    assert columns == set(schemas["Columns"]["properties"])
    assert any("at" in payload for kind, payload in payloads if kind == "features")


def test_the_sample_of_a_drop_is_that_of_the_trip(payloads: list[tuple[str, Payload]]) -> None:
    """Its figures follow from the settings, so that a page must not keep older ones."""
    drops = [p for _, p in payloads if p.get("type") == "drop"]
    start, end = (next(p["values"] for p in drops if p["phase"] == phase) for phase in ("start", "end"))
    messages = document()["components"]["messages"]
    said = [messages[kind]["examples"][0]["payload"]["values"] for kind in ("alarm", "event")]
    assert said == [start, end]
    page = (TOP / "docs/operators.md").read_text(encoding="utf-8")
    for words in (f"drop begins: {words_of(start)};", f"drop is over: {words_of(end)};"):
        assert words in page, words
    assert f'"values":{as_json(encode(start)).decode()}' in page


def test_the_trips_show_what_is_trusted_and_what_is_not(payloads: list[tuple[str, Payload]]) -> None:
    said = Counter((kind, payload.get("trust")) for kind, payload in payloads if "cal" in payload)
    assert {("features", "degraded"), ("features", "trusted"), ("features", None)} <= set(said), said
    assert {state for kind, state in said if kind in {"alarm", "event"}} >= {"trusted", "degraded"}, said


def test_columns_are_as_long_as_they_say(payloads: list[tuple[str, Payload]]) -> None:
    for kind, payload in payloads:
        if kind != "features":
            continue
        columns = payload["columns"].values()
        lists = [c for column in columns for c in (column.values() if isinstance(column, dict) else [column])]
        assert {len(c) for c in lists} == {payload["n"]}, payload
        assert len(payload.get("at", range(payload["n"]))) == payload["n"], payload


def test_topics_are_those_of_the_channels(records: list[Record]) -> None:
    channels = document()["channels"]
    for name, channel in channels.items():
        if name == "order":
            assert channel["address"].format(fleet="north", box="box-7", verb="flush") == command_topic(
                "north", "box-7", "flush"
            )
            assert set(channel["parameters"]["verb"]["enum"]) == set(get_args(Verb))
            continue
        address = channel["address"].format(fleet="north", box="box-7")
        assert address == (
            status_topic("north", "box-7") if name == "status" else topic_of("north", "box-7", name)
        )
        assert address.startswith(TOPIC_ROOT)
        assert set(channel["parameters"]) == {"fleet", "box"}
    assert {r.topic for r in records} == {
        topic_of("north", "box-7", name) for name in channels if name not in NO_RECORDS
    }
    assert set(channels) == {kind.value for kind in Kind} | NO_RECORDS


def test_words_are_those_of_the_code() -> None:
    schemas = document()["components"]["schemas"]
    assert schemas["OrderReason"]["enum"] == list(REASONS)
    assert schemas["EventType"]["enum"] == [e.value for e in EventType]
    assert schemas["TimeQuality"]["enum"] == [q.value for q in TimeQuality]
    assert schemas["Severity"]["enum"] == [int(s) for s in Severity]
    assert schemas["Trust"]["enum"] == [t.value for t in Trust]
    assert schemas["FaultKind"]["enum"] == [k.value for k in FaultKind]
    assert schemas["Features"]["properties"]["window_s"]["enum"] == list(COARSER)


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        yield from (str(v) for k, v in part.items() if k == "$ref")
    for value in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from references(value)


def test_references_lead_somewhere() -> None:
    found = set(references(document()))
    assert all(resolve(reference) is not None for reference in found)
    named = {f"#/components/schemas/{name}" for name in document()["components"]["schemas"]}
    assert named <= found, f"described and never used: {named - found}"
    sent = {operation["channel"]["$ref"].rsplit("/", 1)[1] for operation in document()["operations"].values()}
    assert sent == set(document()["channels"])


def test_examples_are_as_described() -> None:
    for name, message in document()["components"]["messages"].items():
        if name.endswith("Packed"):
            continue  # the same documents: test_encodings.py
        assert message["examples"], name
        for example in message["examples"]:
            assert not (fault := fault_of(name, example["payload"])), f"example {example['name']!r}: {fault}"


Spoil = Callable[[Payload], Any]
WRONG: dict[str, tuple[str, Spoil, str]] = {
    "a head without boot": ("event", lambda p: p.pop("boot"), "boot"),
    "a negative seq": ("gap", lambda p: p.update(seq=-1), "minimum"),
    "a seq as text": ("features", lambda p: p.update(seq="7"), "integer"),
    "a time without a zone": ("event", lambda p: p.update(t=p["t"][:-1]), "match"),
    "a time quality of another word": ("gap", lambda p: p.update(tq="good"), "good"),
    "a certificate that is no hash": ("event", lambda p: p.update(cal="mine", trust="trusted"), "mine"),
    "a certificate that nobody knows whether to trust": ("gap", lambda p: p.pop("trust"), "trust"),
    "trust in no certificate": ("gap", lambda p: p.update(cal="none"), "not allow"),
    "trust of another word": ("gap", lambda p: p.update(trust="some"), "some"),
    "an event of no known type": ("event", lambda p: p.update(type="theft"), "theft"),
    "an end without its time": ("event", lambda p: p.update(end=None, phase="end"), "None"),
    "an alarm that ends something": ("alarm", lambda p: p.update(phase="end", end=p["t"]), "start"),
    "an alarm that is minor": ("alarm", lambda p: p.update(severity=1), "1"),
    "a fault of no known kind": ("sensor_fault", lambda p: p["values"].update(fault="tired"), "tired"),
    "a value without its unit": ("alarm", lambda p: p["values"].update(height=1.0), "height"),
    "values of another type": ("alarm", lambda p: p.update(values={"swing_kpa": 2.0}), ""),
    "a key that nobody described": ("features", lambda p: p.update(mood="fine"), "mood"),
    "a column of text": ("features", lambda p: p["columns"].update(load_total_kg=["60"]), "60"),
    "a column of no known feature": ("features", lambda p: p["columns"].update(load_kg=[1.0]), "load_kg"),
    "a window that is no step": ("features", lambda p: p.update(window_s=7), "7"),
    "health without troubles": ("health", lambda p: p.pop("troubles"), "troubles"),
    "a figure of the queue that nobody described": (
        "health",
        lambda p: p["queue"].update(depth=1),
        "depth",
    ),
    "a rate without its nominal": ("health", lambda p: p["rates"]["accel"].pop("nominal_hz"), "nominal_hz"),
    "a snippet without its samples": ("snippet", lambda p: p.pop("data"), "data"),
    "a run that nobody described": ("snippet", lambda p: p["runs"][0].update(at=1), "at"),
    "a gap without a reason": ("gap", lambda p: p.update(reason=""), ""),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_payload_is_refused(what: str, payloads: list[tuple[str, Payload]]) -> None:
    kind, spoil, word = WRONG[what]
    good = next(payload for k, payload in payloads if kind in (k, payload.get("type")))
    kind = "event" if kind == good.get("type") else kind
    wrong: Payload = json.loads(json.dumps(good))
    spoil(wrong)
    fault = fault_of(kind, wrong)
    assert fault and word in fault, f"{what}: {fault or 'not refused'}"


def test_a_payload_under_another_kind_is_refused(payloads: list[tuple[str, Payload]]) -> None:
    samples = dict(payloads)  # the last of each kind
    pairs = list(itertools.permutations(samples, 2))
    let_pass = {(kind, name) for kind, name in pairs if not fault_of(name, samples[kind])}
    assert let_pass <= {("alarm", "event")}, let_pass  # an alarm is an event


@pytest.mark.broker
def test_status_of_a_real_connection(tmp_path: Path) -> None:
    """Online; pushed out by another client, so that the broker says the last will; again; stopped."""
    heard: list[Payload] = []

    def hear(kind: str, payload: Mapping[str, Any], _arrived_s: float) -> None:
        if kind == "status":
            heard.append(dict(payload))

    with EmbeddedBroker() as broker, Outbox(tmp_path) as outbox:
        config = BrokerConfig(
            host=broker.host, port=broker.port, protocol=broker.protocol, client_id="one", reconnect_min_s=0.1
        )
        subscriber = Subscriber(broker.host, broker.port, broker.protocol, "north", hear)
        uplink = Uplink(config, outbox, fleet="north", box="box-7", boot=HEAD.boot, software=HEAD.software)
        other = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="one", protocol=PROTOCOLS[broker.protocol])
        with subscriber:
            uplink.start()
            _until(lambda: len(heard) == 1, heard)
            other.connect(broker.host, broker.port)
            other.loop_start()
            _until(lambda: len(heard) >= 2, heard)
            other.loop_stop()
            _until(lambda: len(heard) >= 3, heard)
            uplink.stop(1.0)
            _until(lambda: len(heard) >= 4, heard)
    said = [(payload["state"], payload.get("reason")) for payload in heard]
    assert said == [
        ("online", None),
        ("offline", "connection lost"),
        ("online", None),
        ("offline", "stopped"),
    ]
    assert not [fault for payload in heard if (fault := fault_of("status", payload))]
    for wrong in ({"state": "asleep"}, {"reason": "stopped"}, {"seq": 1}, {"v": 2}):
        assert fault_of("status", {**heard[0], **wrong}), wrong


def _until(done: Callable[[], bool], heard: list[Payload]) -> None:
    until_s = time.monotonic() + 20
    while not done():
        assert time.monotonic() < until_s, f"within 20 s only {heard}"
        time.sleep(0.01)
