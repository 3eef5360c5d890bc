"""A box unplugged, reset or frozen under a running agent, and a cable that loses frames of one stream."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from firmware_bridge.virtual import VirtualBox
from firmware_bridge.virtual.streams import STREAMS
from firmware_bridge.virtual.trip import Trip
from tests.bridge.cable import cable
from tests.live.broker import LastingBroker
from tests.live.processes import cargobox
from tests.live.rough_ride import Hole, RoughRide
from tests.live.setting import write_config
from tests.live.thief import Thief
from tests.live.watcher import Watcher

pytestmark = [pytest.mark.broker, pytest.mark.board]


def missing(holes: list[Hole]) -> int:
    return sum(last - first + 1 for first, last, _ in holes)


@pytest.mark.slow
def test_every_missing_sample_is_told_of(rough_ride: RoughRide) -> None:
    told = rough_ride.told()
    recorded, samples, ends = rough_ride.recorded()
    for stream in STREAMS:
        holes = told.get(stream.name, [])
        inside = [hole for hole in holes if hole[0] < ends[stream.name]]
        assert inside == recorded.get(stream.name, []), f"{stream.name}: as the index jumps, with the reason"
        after = [hole for hole in holes if hole not in inside]
        assert {reason for _, _, reason in after} <= {"silent"}, f"{stream.name} had not come back: {after}"
    document = rough_ride.document
    assert dict(samples) == {name: s["samples"] for name, s in document["streams"].items()}
    assert document["gaps"] == sum(len(holes) for holes in told.values())
    assert document["missing_samples"] == sum(missing(holes) for holes in told.values())
    for stream in STREAMS:
        lost_s = missing(told.get(stream.name, [])) / stream.rate_hz
        accel_s = missing(told["accel"]) / 1000
        assert abs(lost_s - accel_s) <= 3 / stream.rate_hz + 0.1, f"{stream.name}: {lost_s} s of {accel_s} s"


@pytest.mark.slow
def test_each_reason_is_the_true_one(rough_ride: RoughRide) -> None:
    reasons = [reason for _, _, reason in rough_ride.told()["accel"]]
    assert reasons[:2] == ["cable", "reboot"], reasons
    assert len(reasons) >= 3
    assert rough_ride.document["failure"] is None
    assert "Traceback" not in rough_ride.words


@pytest.mark.slow
def test_no_event_is_made_of_a_hole(rough_ride: RoughRide) -> None:
    started = {
        m.body["type"]
        for m in rough_ride.records.values()
        if m.kind in {"alarm", "event"} and m.body["phase"] == "start"
    }
    # the drop, its surge and the warm yard; from the 31st second of the trip on the load may slide. Where a
    # hole swallows the fall, its impact is all that was felt
    may = {"drop", "shock", "pressure", "temperature", "load_shift", "humidity"}
    assert {"drop"} <= started <= may, started


@pytest.mark.slow
@pytest.mark.parametrize("block_samples", [None, 50])
def test_the_replay_is_the_live_run_again_for_all_that(
    rough_ride: RoughRide, block_samples: int | None, tmp_path: Path
) -> None:
    more = [] if block_samples is None else ["--block-samples", block_samples]
    done = cargobox("replay", rough_ride.log, "--config", rough_ride.config, "--out", tmp_path, *more)
    assert done.end() == 0, done.err
    again = [json.loads(line)["payload"] for line in (tmp_path / "records.jsonl").open()]
    assert again == [m.body for m in rough_ride.records.values()]


@pytest.mark.parametrize("from_frame", [1, 100])
def test_frames_lost_of_one_stream_hurt_no_other(
    from_frame: int, tmp_path: Path, broker: LastingBroker, watcher: Watcher
) -> None:
    thief = Thief(from_frame)
    with (
        VirtualBox(Trip(script="none"), tmp_path / "far", tmp_path / "board") as box,
        cable(tmp_path / "near", box.port) as between,
    ):
        between.spoil = thief
        config = write_config(tmp_path, port=tmp_path / "near", broker_port=broker.port)
        agent = cargobox("run", "--config", config, "--seconds", 5, "--json")
        assert agent.end() == 0, agent.err
    watcher.until_records(agent.document["boot"], sum(agent.document["records"].values()))
    (gap,) = (m.body for m in watcher.of("gap"))
    first, count = thief.stolen[0][0], sum(count for _, count in thief.stolen)
    assert (gap["stream"], gap["first"], gap["last"]) == ("accel", first, first + count - 1), gap
    assert gap["reason"] == "cable"
    document = agent.document
    assert (document["gaps"], document["missing_samples"]) == (1, count)


@pytest.mark.parametrize("from_frame", [1, 100])
def test_frames_that_are_lost_once_are_missed_by_nobody(
    from_frame: int, tmp_path: Path, broker: LastingBroker
) -> None:
    thief = Thief(from_frame, again=False)
    with (
        VirtualBox(Trip(script="none"), tmp_path / "far", tmp_path / "board") as box,
        cable(tmp_path / "near", box.port) as between,
    ):
        between.spoil = thief
        config = write_config(tmp_path, port=tmp_path / "near", broker_port=broker.port)
        agent = cargobox("run", "--config", config, "--seconds", 3, "--json")
        assert agent.end() == 0, agent.err
    assert len(thief.stolen) == 20
    document = agent.document
    assert (document["gaps"], document["missing_samples"]) == (0, 0)
    assert document["streams"]["accel"]["samples"] > 1500
