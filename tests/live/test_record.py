"""`cargobox record`: the box alone, without the agent."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from firmware_bridge.virtual import VirtualBox
from firmware_bridge.virtual.streams import STREAMS
from firmware_bridge.virtual.trip import Trip
from tests.bridge.cable import cable
from tests.live.processes import Running, cargobox, command
from tests.live.setting import LaterTrip
from tests.live.thief import Thief

pytestmark = pytest.mark.board


def test_a_recording_replays_the_same_twice(tmp_path: Path) -> None:
    log = tmp_path / "trip.mcap"
    with VirtualBox(LaterTrip(18), tmp_path / "port", tmp_path / "board") as box:
        line = ["record", "--port", box.port, "--out", log, "--seconds", 4, "--json"]
        done = cargobox(*line)
        assert done.end() == 0, done.err
        kept = log.read_bytes()
        again = cargobox(*line)
        assert again.end() == 2, "a recording is never written over"
        assert "a file of this name" in again.err
        assert log.read_bytes() == kept
    document = done.document
    assert document["missing_samples"] == 0
    assert 4 <= document["duration_s"] < 5
    assert set(document["streams"]) == {s.name for s in STREAMS}
    assert document["bytes"] == len(kept)
    outs = [tmp_path / "once", tmp_path / "twice", tmp_path / "cut"]
    for out, more in zip(outs, ([], [], ["--block-samples", 33]), strict=True):
        replayed = cargobox("replay", log, "--out", out, *more)
        assert replayed.end() == 0, replayed.err
    texts = {(out / "records.jsonl").read_bytes() for out in outs}
    assert len(texts) == 1, "two replays, and one at another block size, are byte-identical"
    summary = json.loads((outs[0] / "summary.json").read_text())
    assert summary["events"]["drop"] == 1
    assert summary["samples"] == document["samples"]


def test_ctrl_c_ends_it_with_a_whole_log(tmp_path: Path) -> None:
    log = tmp_path / "trip.mcap"
    with (
        VirtualBox(Trip(script="none"), tmp_path / "port", tmp_path / "board") as box,
        Running(command("record", "--port", box.port, "--out", log, "--json")) as record,
    ):
        while not (log.exists() and log.stat().st_size):
            assert record.process.poll() is None, record.err
        assert record.end(signal.SIGINT) == 0, record.err
    replayed = cargobox("replay", log, "--out", tmp_path / "out", "--json")
    assert replayed.end() == 0, replayed.err
    assert replayed.document["samples"] == record.document["samples"]
    assert not [note for note in replayed.document["notes"] if "ended properly" in note]


def test_missing_samples_are_found_and_said_from_the_very_first_on(tmp_path: Path) -> None:
    thief = Thief(from_frame=1)
    with (
        VirtualBox(Trip(script="none"), tmp_path / "far", tmp_path / "board") as box,
        cable(tmp_path / "near", box.port) as between,
    ):
        between.spoil = thief
        line = ["--port", tmp_path / "near", "--out", tmp_path / "trip.mcap", "--seconds", 5]
        done = cargobox("record", *line, "--json")
    assert done.end() == 1, "it ran, and found something wrong"
    missing = {name: s["missing"] for name, s in done.document["streams"].items() if s["missing"]}
    assert missing == {"accel": sum(count for _, count in thief.stolen)}


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with VirtualBox(Trip(script="none"), tmp_path / "port", tmp_path / "board") as box:
        done = cargobox("record", "--port", box.port, "--out", tmp_path / "none" / "trip.mcap", "--json")
    assert done.end() == 1
    assert done.document["error"]["got"] == "No such file or directory"
