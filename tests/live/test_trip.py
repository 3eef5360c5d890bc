"""A trip through the whole agent: what a subscriber behind a real broker sees of it, and that it is all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent import __version__
from agent.commands.demo_judge import SaidEvent, judge
from agent.commands.subscriber import unix_s
from agent.records import as_json, publish_size_bytes
from firmware_bridge.virtual.trip import Trip
from tests.live.journey import TRIP_S, Journey
from tests.live.processes import cargobox
from tests.live.setting import BOX

pytestmark = [pytest.mark.broker, pytest.mark.board, pytest.mark.slow]


def begun_s(journey: Journey) -> float:
    """When the trip began: the first second of features begins with the first sample's."""
    first = next(m.body for m in journey.messages if m.kind == "features")
    return unix_s(first["start"])


def events(journey: Journey) -> list[dict[str, Any]]:
    return [m.body for m in journey.records.values() if m.kind in {"alarm", "event"}]


def said(journey: Journey) -> list[SaidEvent]:
    """The starts of events, in seconds of the trip, as the demo's judge takes them."""
    zero_s = begun_s(journey)
    return [
        SaidEvent(
            type=e["type"],
            id=e["id"],
            start_s=unix_s(e["start"]) - zero_s,
            severity=e["severity"],
            values=e["values"],
            said_s=unix_s(e["t"]) - zero_s,
            delivered_ms=0.0,
        )
        for e in events(journey)
        if e["phase"] == "start"
    ]


def test_every_record_arrives_once_and_says_whose_it_is(journey: Journey) -> None:
    records, document = journey.records, journey.document
    assert list(records) == list(range(sum(document["records"].values())))
    assert journey.duplicates == 0, f"{journey.duplicates} came twice though nothing was wrong"
    assert document["waiting"] == 0
    assert document["acknowledged"] == len(records)
    assert document["failure"] is None
    for seq, message in records.items():
        body = message.body
        head = {k: body[k] for k in ("v", "box", "boot", "seq", "sw")}
        assert head == {"v": 1, "box": BOX, "boot": document["boot"], "seq": seq, "sw": __version__}
        assert body["tq"] in {"synced", "holdover"}
        assert body["cal"]
        assert message.topic == f"cargobox/1/default/{BOX}/{message.kind}"
        assert (message.qos, message.retain) == (1, False), f"{seq}: QoS {message.qos}"


def test_the_trips_events_each_once_and_none_besides(journey: Journey) -> None:
    judged, unexplained = judge(Trip(seed=1).truth(TRIP_S), said(journey), TRIP_S)
    wrong = [(one.happening.what, one.verdict) for one in judged if not one.right]
    assert not wrong, wrong
    assert not unexplained, unexplained
    expected = {"tilt": 1, "drop": 1, "pressure": 1, "temperature": 1}
    assert journey.document["events"] == expected, "both accounts agree"
    (drop,) = (h for h in Trip(seed=1).truth(TRIP_S) if h.kind == "drop")
    (dropped,) = (e for e in events(journey) if e["type"] == "drop" and e["phase"] == "end")
    fell_m = dropped["values"]["height_m"]
    assert abs(fell_m - drop.values["height_m"]) < 0.1, f"{fell_m} m, truth {drop.values['height_m']:.2f} m"


def test_the_upload_is_counted_to_the_byte(journey: Journey) -> None:
    sent_bytes = sum(publish_size_bytes(m.topic, m.payload) for m in journey.records.values())
    document = journey.document
    assert document["published_bytes"] == sent_bytes
    assert document["upload_ratio"] == pytest.approx(sent_bytes / document["raw_bytes"], abs=1e-6)
    assert document["upload_ratio"] <= 0.20, document["upload_ratio"]
    seconds = document["duration_s"]
    assert TRIP_S - 1 < seconds < TRIP_S + 1.5
    expected_bytes = seconds * (1000 * 3 * 2 + 80 * 4 * 3 + 50 * 2 + 2 + 2)
    assert document["raw_bytes"] == pytest.approx(expected_bytes, rel=0.01), "by the width of each sensor"
    assert (document["gaps"], document["missing_samples"]) == (0, 0)


def test_the_status_tells_a_newcomer_how_it_is(journey: Journey) -> None:
    (online,) = journey.retained_before
    assert online.retain
    assert online.body["state"] == "online"
    assert online.body["boot"] == journey.document["boot"]
    (offline,) = journey.retained_after
    assert offline.retain
    assert offline.body["state"] == "offline"
    assert offline.body["reason"] == "stopped", "the last will was not needed"
    states = [m.body["state"] for m in journey.messages if m.kind == "status"]
    assert states == ["online", "offline"]


@pytest.mark.parametrize("block_samples", [None, 7, 1000])
def test_a_replay_of_the_recording_is_the_live_run_again(
    journey: Journey, block_samples: int | None, tmp_path: Path
) -> None:
    more = [] if block_samples is None else ["--block-samples", block_samples]
    done = cargobox("replay", journey.log, "--config", journey.config, "--out", tmp_path, *more)
    assert done.end() == 0, done.err
    lines = (tmp_path / "records.jsonl").read_bytes().splitlines()
    live = [
        b'{"topic":%s,"qos":1,"payload":%s}' % (json.dumps(m.topic).encode(), as_json(m.payload))
        for m in journey.records.values()
    ]
    assert len(lines) == len(live)
    for seq, (again, was) in enumerate(zip(lines, live, strict=True)):
        assert again == was, f"record {seq} differs"
    summary = json.loads((tmp_path / "summary.json").read_text())
    for key in ("boot", "duration_s", "gaps", "raw_bytes", "published_bytes", "upload_ratio", "events"):
        assert summary[key] == journey.document[key], key
