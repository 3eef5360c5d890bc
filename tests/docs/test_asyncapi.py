"""docs/asyncapi.yaml describes what really leaves the box: every payload of a trip is held against it."""

from __future__ import annotations

import itertools
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from agent.blocks import Block, FaultKind, FaultPhase, Quality, RegularClock, SensorFault, Silence
from agent.commands.subscriber import PROTOCOLS, Subscriber
from agent.commands.words import words_of
from agent.detection import DetectorSettings
from agent.detection.finding import EventType
from agent.detection.harsh import HarshSettings
from agent.detection.humidity import HumiditySettings
from agent.detection.temperature import TemperatureSettings
from agent.embedded_broker import EmbeddedBroker
from agent.health import Monitor, Reporter, Surroundings
from agent.orders.judge import REASONS
from agent.orders.settings import Verb
from agent.outbox import Outbox
from agent.pipeline import Item, Pipeline
from agent.records import TOPIC_ROOT, Head, Kind, Record, Severity, as_json, decode, encode, topic_of
from agent.reduction import COARSER, UploadSettings
from agent.restamping import Step
from agent.streams import TABLE, StreamSpec, Unit
from agent.timebase import TimeMark, TimeQuality
from agent.uplink import BrokerConfig, Uplink
from agent.uplink.topics import command_topic, status_topic
from calibration.certificate import Certificate
from calibration.thermal_tracking import Trust
from firmware_bridge.virtual.streams import MOUNT_UP
from firmware_bridge.virtual.trip import Trip
from tests.docs.contract import document, fault_of, resolve
from tests.docs.harsh_ride import harsh_items
from tests.docs.rough_ride import rough_items
from tests.docs.wet_trip import WET, WET_STREAMS, wet_items
from tests.house.tree import TOP

HEAD = Head(box="box-7", boot="0123456789abcdef", software="0.1.0")
NOT_YET = {Kind.SNIPPET}
NO_RECORDS = {"status", "order", "answer"}
TRIP_S = 75
ODD_STREAMS = ("accel", "gyro", "load", "temperature", "humidity", "air_pressure", "lid", "leak")
Payload = dict[str, Any]


def trip_blocks() -> Iterator[Block]:
    """A trip as its box would send it, second by second, with a piece lost on the cable."""
    trip = Trip(seed=1)
    clocks = {s.name: RegularClock.of_rate(s.rate_hz) for s in trip.streams}
    for second in range(TRIP_S):
        for stream in trip.streams:
            values = trip.second(second)[stream.name]
            block = Block(stream.name, second * stream.rate_hz, clocks[stream.name], values)
            if second == 33 and stream.name == "accel":
                rest = block.cut(400, len(block))
                yield block.cut(0, 363)
                yield Block(rest.stream, rest.first, rest.clock, rest.values, None, "cable")
            else:
                yield block


def trip_specs() -> list[StreamSpec]:
    return [
        StreamSpec(
            name=s.name,
            axes=s.axes,
            unit=Unit(s.unit),
            rate_hz=s.rate_hz,
            sample_bits=s.sample_bits,
            kind=TABLE[s.name].kind,
            scale=s.scale,
            full_scale=s.full_scale,
        )
        for s in Trip().streams
    ]


def run(pipeline: Pipeline, items: Iterator[Item]) -> list[Record]:
    """Push, finish, and give the records."""
    pipeline.push(TimeMark(0, 1_780_000_000_000_000_000, TimeQuality.SYNCED))
    records = [record for item in items for record in pipeline.push(item)]
    return records + pipeline.finish()


def odd_items() -> Iterator[Item]:
    """What the trip has not: zeros, an impact beyond full scale, an empty scale, sensors that fail."""
    rate_hz, seconds = 200, 40
    t = np.arange(seconds * rate_hz) / rate_hz
    accel = np.zeros((len(t), 3), np.float32)
    accel[:, 2] = 9.8
    accel[(t > 3) & (t < 6)] = 0.0
    accel[(t > 12) & (t < 12.4)] = 0.2
    impact = (t >= 12.4) & (t < 12.43)
    accel[impact] = 100.0
    quality = np.where(impact, np.uint8(Quality.SATURATED), np.uint8(0))
    yield from holed(Block("accel", 0, RegularClock.of_rate(rate_hz), accel, quality), rate_hz)
    yield from holed(Block("gyro", 0, RegularClock.of_rate(rate_hz), accel), rate_hz)
    yield from holed(Block("load", 0, RegularClock.of_rate(1), np.zeros((seconds, 4), np.float32)), 1)
    for name in ("temperature", "humidity"):
        value = np.where(np.arange(seconds) > 8, -3.0, 50.0)[:, None].astype(np.float32)
        yield from holed(Block(name, 0, RegularClock.of_rate(1), value), 1)
    for name, level, rate in (("air_pressure", 101_325.0, 1), ("lid", 1.0, 10), ("leak", 3.3, 10)):
        values = np.full((seconds * rate, 1), level, np.float32)
        yield from holed(Block(name, 0, RegularClock.of_rate(rate), values), rate)
    yield from faults()


def faults() -> Iterator[Item]:
    """Then the leak rope is gone for two minutes, in two ways; and in each way for a moment."""
    for second, phase, kind in (
        (41, FaultPhase.START, FaultKind.MISSING),
        (110, FaultPhase.UPDATE, FaultKind.NACK),
    ):
        yield word(phase, kind, second * 10**9)
        yield Silence("leak", (second + 60) * 10**9)
    yield word(FaultPhase.END, FaultKind.NACK, 170 * 10**9)
    for i, kind in enumerate(FaultKind):
        yield word(FaultPhase.START, kind, (171 + i) * 10**9)
        yield word(FaultPhase.END, kind, (171 + i) * 10**9 + 1)


def word(phase: FaultPhase, kind: FaultKind, at_ns: int) -> SensorFault:
    sensor, got = "ADS1115 at i2c-1 0x48", "no answer"
    return SensorFault("leak", at_ns, phase, kind, sensor, ("leak",), got, "an answer")


def holed(block: Block, rate_hz: int) -> Iterator[Block]:
    """Leave seconds 22 to 26 out, as a reboot of the board would."""
    rest = block.cut(26 * rate_hz, len(block))
    yield block.cut(0, 22 * rate_hz)
    yield Block(rest.stream, rest.first, rest.clock, rest.values, rest.quality, "reboot")


def told_health(pipeline: Pipeline) -> list[Record]:
    """Two records of the health of this machine: on the first look, and when the clock has been set."""
    steps: list[Step] = []
    with tempfile.TemporaryDirectory() as folder, Outbox(Path(folder)) as outbox:
        uplink = Uplink(BrokerConfig(), outbox, fleet="north", box="box-7", boot=HEAD.boot, software="0.1.0")
        around = Surroundings(
            directory=Path(folder),
            outbox=outbox.stats,
            uplink=uplink.stats,
            streams=lambda: pipeline.streams,
            tally=lambda: pipeline.tally,
            firmware=lambda: "0.1.0",
            clock_steps=lambda: steps,
        )
        reporter = Reporter(Monitor(around, 0.0), every_s=60.0, budget=0.2, raw_bytes=lambda: 1e9)
        reporter.measure()
        said = reporter.records(pipeline.health)
        outbox.put(said)
        steps.append(Step(first=0, last=11, step_s=1.5))
        reporter.measure()
        return said + reporter.records(pipeline.health)


@pytest.fixture(scope="module")
def records() -> list[Record]:
    """All records of a trip, of an odd recording, and of one that is short of budget."""
    band = DetectorSettings(
        temperature=TemperatureSettings(low_degc=2.0, high_degc=8.0),
        humidity=HumiditySettings(high_percent=75.0),
    )
    trip = Pipeline(
        trip_specs(),
        head=HEAD,
        fleet="north",
        detectors=band,
        mount_up=MOUNT_UP,
        certificates=[
            Certificate(
                stream="accel",
                gain=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
                bias=(0.0, 0.0, 0.0),
                standard_uncertainty=0.01,
                method="m",
                made_at="2026-01-01T00:00:00Z",
                valid_until="2026-05-28T20:27:00Z",  # 40 s into the trip
            )
        ],
    )
    odd = Pipeline(
        [TABLE[name] for name in ODD_STREAMS],
        head=HEAD,
        fleet="north",
        detectors=DetectorSettings(
            temperature=TemperatureSettings(low_degc=0.0), humidity=HumiditySettings(low_percent=5.0)
        ),
    )
    short = Pipeline(trip_specs(), head=HEAD, fleet="north", upload=UploadSettings(budget=0.02))
    harsh = Pipeline(
        [TABLE[name] for name in ("accel", "gyro")],
        head=HEAD,
        fleet="north",
        detectors=DetectorSettings(harsh=HarshSettings(forward="x")),
    )
    rough = Pipeline([TABLE["accel"]], head=HEAD, fleet="north")
    said = run(trip, trip_blocks()) + run(odd, odd_items()) + run(short, trip_blocks())
    said += told_health(trip)
    wet = Pipeline([TABLE[name] for name in WET_STREAMS], head=HEAD, fleet="north", detectors=WET)
    return said + run(harsh, harsh_items()) + run(rough, rough_items()) + run(wet, wet_items())


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
    assert set(channels) == {kind.value for kind in Kind if kind not in NOT_YET} | NO_RECORDS


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
