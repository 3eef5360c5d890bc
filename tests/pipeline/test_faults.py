"""Faults of sensors through the pipeline: any cut and any order of the streams, live or recorded."""

from __future__ import annotations

import io
import itertools
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcap.reader import make_reader

import agent
from agent.blocks import (
    NS_PER_S,
    Block,
    FaultKind,
    FaultPhase,
    RegularClock,
    SensorFault,
    Silence,
)
from agent.config import BoxSettings, Config
from agent.log_info import LogInfo
from agent.pipeline import Item, Pipeline
from agent.recorder.mcap_writer import McapRecorder
from agent.records import Head, Record, as_json, decode
from agent.reduction import UploadSettings
from agent.replay.runner import ReplayOptions, replay_log
from agent.snippets import SnippetSettings
from agent.streams import TABLE
from agent.timebase import TimeMark, TimeQuality
from tests.snippets.cached import cached_coder

NAMES = ("accel", "temperature", "humidity", "leak")
RATES_HZ = {"accel": 50, "temperature": 1, "humidity": 1, "leak": 10}
CLOCKS = {
    name: RegularClock.of_rate(rate_hz, anchor_ns=7_000_000 * (1 + i))
    for i, (name, rate_hz) in enumerate(RATES_HZ.items())
}
LENGTH_S = 260
CLIMATE = ("temperature", "humidity")
BUS = "bus i2c-1"
BOOT = "0123456789abcdef"
Piece = tuple[int, int, str]


def word(second: float, phase: str, kind: str, sensor: str, streams: tuple[str, ...], got: str = "") -> Item:
    at_ns = round(second * NS_PER_S)
    return SensorFault(
        streams[0], at_ns, FaultPhase(phase), FaultKind(kind), sensor, streams, got, "an answer"
    )


def samples(name: str, begin_s: int, end_s: int, reason: str = "") -> Block:
    first, end = begin_s * RATES_HZ[name], end_s * RATES_HZ[name]
    values = (np.arange(first, end) % 7)[:, None] * np.ones((1, len(TABLE[name].axes)))
    return Block(name, first, CLOCKS[name], values.astype(np.int16), None, reason)


def lanes() -> dict[str, list[Item]]:
    """What each stream brings: a sensor pulled, one missing from the start, one that falls silent."""
    everything = {name: list[Item]() for name in NAMES}
    everything["accel"] = [
        samples("accel", 0, 20),
        word(20.0, "start", "nack", "ADXL345", ("accel",), "no answer"),
        word(20.3, "update", "timeout", "ADXL345", ("accel",), "nothing in 25 ms"),
        *(Silence("accel", s * NS_PER_S) for s in range(21, 150, 3)),
        word(150.0, "end", "timeout", "ADXL345", ("accel",)),
        samples("accel", 150, 200, "timeout"),
        word(200.0, "start", "stuck_bus", BUS, ("accel", "leak")),
        word(201.0, "end", "stuck_bus", BUS, ("accel", "leak")),
        samples("accel", 201, LENGTH_S, "stuck_bus"),
    ]
    # found between two samples, when the thermometer's next is promised already
    everything["temperature"] = [
        samples("temperature", 0, 30),
        word(29.4, "start", "bad_data", "SHT4x", CLIMATE, "CRC 0x5A"),
        word(29.6, "end", "bad_data", "SHT4x", CLIMATE),
        samples("temperature", 30, 70),
        word(69.5, "start", "registers", "SHT4x", CLIMATE),
        word(69.5, "end", "registers", "SHT4x", CLIMATE),
        samples("temperature", 70, 240),
        word(240.1, "start", "missing", "SHT4x", CLIMATE),
        *(Silence("temperature", s * NS_PER_S) for s in range(241, LENGTH_S)),
    ]
    everything["humidity"] = [
        samples("humidity", 0, 30),
        samples("humidity", 30, 240),
        *(Silence("humidity", s * NS_PER_S) for s in range(241, LENGTH_S)),
    ]
    everything["leak"] = [
        word(0.0, "start", "missing", "ADS1115", ("leak",)),
        *(Silence("leak", s * NS_PER_S) for s in range(1, 131)),
        word(131.0, "end", "missing", "ADS1115", ("leak",)),
        samples("leak", 131, 200, "missing"),
        samples("leak", 201, LENGTH_S, "stuck_bus"),
    ]
    return everything


MARKS: tuple[TimeMark, ...] = (
    TimeMark(0, 1_770_000_000_000_000_000, TimeQuality.UNSET),
    TimeMark(90_000_000_000, 1_780_000_000_000_000_000, TimeQuality.SYNCED),
)


def pipeline() -> Pipeline:
    head = Head(box="box", boot=BOOT, software=agent.__version__)
    specs = [TABLE[n] for n in NAMES]
    return Pipeline(specs, head=head, fleet="default", snippets=SnippetSettings(), coder=cached_coder)


def run(items: list[Item], at_once: int = 1) -> list[Record]:
    p = pipeline()
    records = [r for i in range(0, len(items), at_once) for r in p.push(*items[i : i + at_once])]
    return records + p.finish()


def in_turn(size: int = 10**9) -> list[Item]:
    """Every stream to its end, one after the other, in blocks of `size`; the marks first."""
    return [*MARKS, *(piece for lane in lanes().values() for item in lane for piece in cut(item, size))]


def cut(item: Item, size: int) -> list[Item]:
    if not isinstance(item, Block):
        return [item]
    return [item.cut(i, min(i + size, len(item))) for i in range(0, len(item), size)]


def by_time(size: int) -> list[Item]:
    """As a live source gives it: block for block, by time."""

    def when_ns(item: Item) -> int:
        if isinstance(item, Block):
            return item.last_ns
        if isinstance(item, SensorFault):
            return item.at_ns
        return item.until_ns if isinstance(item, Silence) else item.box_ns

    keyed: list[tuple[int, int, Item]] = [(m.box_ns, -1, m) for m in MARKS]
    for rank, lane in enumerate(lanes().values()):
        newest_ns = -1
        for item in (piece for whole in lane for piece in cut(whole, size)):
            newest_ns = max(newest_ns, when_ns(item))  # the order within a stream is kept
            keyed.append((newest_ns, rank, item))
    return [item for _, _, item in sorted(keyed, key=lambda k: k[:2])]


REFERENCE = run(in_turn())


def payloads(records: list[Record]) -> list[bytes]:
    return [as_json(r.payload) for r in records]


def test_the_events_of_the_reference() -> None:
    p = pipeline()
    p.push(*in_turn())
    p.finish()
    assert dict(p.tally.events) == {"sensor_fault": 6}, p.tally
    said: list[dict[str, Any]] = [decode(r.payload) for r in REFERENCE]
    events = [x for x in said if x.get("type") == "sensor_fault"]
    brief = [(e["id"], e["phase"], e["values"]["fault"], e["severity"]) for e in events]
    assert brief == [
        ("sensor_fault-1", "start", "missing", 2),
        ("sensor_fault-2", "start", "nack", 2),
        ("sensor_fault-2", "update", "timeout", 2),
        ("sensor_fault-3", "start", "bad_data", 2),
        ("sensor_fault-3", "end", "bad_data", 2),
        ("sensor_fault-4", "start", "registers", 1),
        ("sensor_fault-4", "end", "registers", 1),
        ("sensor_fault-1", "end", "missing", 2),
        ("sensor_fault-2", "end", "timeout", 2),
        ("sensor_fault-5", "start", "stuck_bus", 2),
        ("sensor_fault-5", "end", "stuck_bus", 2),
        ("sensor_fault-6", "start", "missing", 2),  # and no end: the log ends before
    ], brief
    lasted_s = {e["id"]: e["values"]["lasted_s"] for e in events if e["phase"] == "end"}
    assert lasted_s == {
        "sensor_fault-1": 131.0,
        "sensor_fault-2": 130.0,
        "sensor_fault-3": 0.2,
        "sensor_fault-4": 0.0,
        "sensor_fault-5": 1.0,
    }
    assert events[9]["streams"] == ["accel", "leak"]
    assert (events[1]["values"]["got"], events[1]["values"]["expected"]) == ("no answer", "an answer")
    assert [r.seq for r in REFERENCE] == list(range(len(REFERENCE)))


def test_the_gaps_add_up_to_the_jumps_and_say_why() -> None:
    gaps = [g for r in REFERENCE if "reason" in (g := decode(r.payload))]
    missing: Counter[tuple[str, str]] = Counter()
    for gap in gaps:
        missing[gap["stream"], gap["reason"]] += gap["last"] - gap["first"] + 1
    ends = {key: n for key, n in missing.items() if key[0] in CLIMATE}
    assert missing["accel", "timeout"] == 130 * 50, missing
    assert missing["accel", "stuck_bus"] == 50, missing
    assert missing["leak", "missing"] == 1310, missing
    assert missing["leak", "stuck_bus"] == 10, missing
    assert set(ends) == {("temperature", "missing"), ("humidity", "missing")}, missing
    assert all(15 <= n <= 20 for n in ends.values()), missing
    told_in_advance = [g for g in gaps if g["stream"] == "leak" and g["reason"] == "missing"]
    assert len(told_in_advance) == 3, "two minutes, and the rest at the first sample"


@st.composite
def interleavings(draw: st.DrawFn) -> list[Item]:
    """Cut each stream anywhere, and mix the streams in any order that keeps each one's own."""
    waiting: list[list[Item]] = []
    for lane in lanes().values():
        pieces: list[Item] = []
        for item in lane:
            if not isinstance(item, Block):
                pieces.append(item)
                continue
            cuts = draw(st.lists(st.integers(0, len(item)), max_size=4))
            # few samples before a fault and after it
            edges = sorted({0, *cuts, min(2, len(item)), max(0, len(item) - 2), len(item)})
            pieces += [item.cut(a, b) for a, b in itertools.pairwise(edges)]
        waiting.append(pieces)
    items: list[Item] = [*MARKS]
    while waiting:
        lane = waiting[draw(st.integers(0, len(waiting) - 1))]
        count = draw(st.integers(1, 30))
        items += lane[:count]
        del lane[:count]
        waiting = [x for x in waiting if x]
    return items


@settings(max_examples=60, deadline=None)
@given(interleavings())
def test_any_partition_and_interleaving_gives_the_same_bytes(items: list[Item]) -> None:
    assert payloads(run(items)) == payloads(REFERENCE)


@pytest.mark.parametrize("size", [1, 7, 500])
@pytest.mark.parametrize("at_once", [1, 64])
def test_as_a_source_gives_it(size: int, at_once: int) -> None:
    assert payloads(run(by_time(size), at_once)) == payloads(REFERENCE)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a live source gave in short blocks, recorded beside the pipeline."""
    path = tmp_path_factory.mktemp("recording") / "log.mcap"
    specs = tuple(TABLE[n] for n in NAMES)
    with McapRecorder(
        path, LogInfo(box="box", boot=BOOT, software="0", streams=specs), chunk_bytes=3000
    ) as recorder:
        for item in by_time(3):
            recorder.write(item)
    return path


@pytest.mark.parametrize("block_samples", [None, 1, 37, 5000])
def test_a_replay_gives_the_same_bytes_as_live(
    recording: Path, block_samples: int | None, tmp_path: Path
) -> None:
    options = ReplayOptions(block_samples=block_samples)
    config = Config(box=BoxSettings(id="box"), upload=UploadSettings(encoding="json"))
    summary = replay_log(recording, tmp_path, config, options)
    lines = (tmp_path / "records.jsonl").read_bytes().splitlines()
    got = [line.partition(b'"payload":')[2][:-1] for line in lines]
    assert got == payloads(REFERENCE)
    assert summary["events"] == {"sensor_fault": 6}
    assert not summary["damaged"]


def test_a_recording_that_lost_a_part_is_replayed_to_its_end(recording: Path, tmp_path: Path) -> None:
    """A start without an end, an end without a start: whatever chunk is lost, no word is misread."""
    data = recording.read_bytes()
    summary = make_reader(io.BytesIO(data)).get_summary()
    assert summary is not None
    sensors = {"ADXL345", "SHT4x", "ADS1115", BUS}
    alone = 0
    for chunk in summary.chunk_indexes:
        damaged = bytearray(data)
        damaged[chunk.chunk_start_offset + chunk.chunk_length - 5] ^= 0xFF
        path = tmp_path / "damaged.mcap"
        path.write_bytes(damaged)
        told = replay_log(path, tmp_path, Config(), ReplayOptions())
        assert told["damaged"] and 4 <= told["events"]["sensor_fault"] <= 6, told["events"]
        lines = (tmp_path / "records.jsonl").read_text().splitlines()
        events = [p for line in lines if (p := json.loads(line)["payload"]).get("type") == "sensor_fault"]
        assert {e["values"]["sensor"] for e in events} <= sensors
        started = {e["id"] for e in events if e["phase"] == "start"}
        alone += sum(e["phase"] == "end" and e["id"] not in started for e in events)
    assert alone > 0, "the test needs a start that was lost"
