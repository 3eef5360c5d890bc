"""Trouble is said once when it begins and once when it is over; the record has it as long as it lasts."""

from __future__ import annotations

import dataclasses
import itertools
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from agent.beats import Beat
from agent.health import Monitor, Reporter, Surroundings
from agent.health.timing import AT_LEAST_S, PART, Timing
from agent.outbox import Outbox
from agent.pipeline import Pipeline
from agent.records import Head, decode
from agent.restamping import Step
from agent.streams import TABLE
from agent.tally import Tally
from agent.timebase import TimeMark, TimeQuality, measure_mark
from agent.uplink import BrokerConfig, Uplink

WELL: dict[str, dict[str, Any]] = {
    "board": {"temperature_degc": 51.1, "undervoltage": False},
    "queue": {"dropped": 0, "set_aside": 4, "damaged": 0, "card_refuses": False, "card_life_years": 30.0},
    "disk": {"free_bytes": 20 << 30},
    "link": {"connected": True},
    "rates": {"accel": {"rate_hz": 998.0, "nominal_hz": 1000.0, "missing": 5}},
    "cable": {"frames": 20_000, "lost": 0, "disconnects": 0},
    "buses": {"i2c-1": {"transfers": 3600, "refused": 2}},
}


class Given:
    """A probe that says what it is told to."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.told: Mapping[str, Any] = WELL[name]

    def look(self, _now_s: float) -> Mapping[str, Any]:
        return self.told


class Box:
    """A monitor whose probes and clock are in our hands."""

    def __init__(self) -> None:
        self.probes = {name: Given(name) for name in WELL}
        self.mark = TimeMark(0, 0, TimeQuality.SYNCED)
        self.steps: list[Step] = []
        around = Surroundings(
            directory=Path(),
            outbox=lambda: pytest.fail("not asked"),
            uplink=lambda: pytest.fail("not asked"),
            streams=tuple,
            tally=Tally,
            firmware=str,
            clock_steps=lambda: self.steps,
        )
        self.monitor = Monitor(around, 0.0, probes=self.probes.values(), mark=lambda: self.mark)
        self.now_s = 0.0

    def look(self, **given: Mapping[str, Any]) -> tuple[list[str], bool]:
        for name, probe in self.probes.items():
            probe.told = {**WELL[name], **given.get(name, {})}
        self.now_s += 60.0
        body, turned = self.monitor.look(self.now_s)
        assert body["since_s"] == 60.0
        return body["troubles"], turned


BAD: dict[str, tuple[dict[str, Mapping[str, Any]], str]] = {
    "undervoltage": ({"board": {"undervoltage": True}}, "undervoltage: the supply"),
    "throttled": ({"board": {"throttled": True}}, "slowed itself down"),
    "hot": ({"board": {"temperature_degc": 82.4}}, "at 82 °C"),
    "card": ({"queue": {"card_refuses": True, "in_memory": 7}}, "7 records are in memory only"),
    "set aside": ({"queue": {"set_aside": 5}}, "1 record refused by"),
    "damaged": ({"queue": {"damaged": 2}}, "2 records not to be read"),
    "wear": ({"queue": {"card_life_years": 0.7}}, "worn out in 0.7 years"),
    "disk": ({"disk": {"free_bytes": 42_000_000}}, "42 MB are free"),
    "link": ({"link": {"connected": False}}, "not connected"),
    "silent": ({"rates": {"accel": {"rate_hz": 0.0, "nominal_hz": 1e3, "missing": 0}}}, "accel is silent"),
    "slow": (
        {"rates": {"accel": {"rate_hz": 600.0, "nominal_hz": 1e3, "missing": 0}}},
        "600 Hz instead of 1000",
    ),
    "refused": (
        {"link": {"connected": False, "last_error": "connecting: refused, expected more. Do so."}},
        "not connected to the broker: connecting: refused",
    ),
    "cable": ({"cable": {"frames": 20_000, "lost": 6, "disconnects": 0}}, "6 frames were lost"),
    "cable pulled": ({"cable": {"frames": 20_000, "lost": 0, "disconnects": 2}}, "broke 2 times"),
    "bus": ({"buses": {"i2c-1": {"transfers": 7200, "refused": 90}}}, "i2c-1: 88 of 3600 transfers failed"),
    "lossy": (
        {"rates": {"accel": {"rate_hz": 950.0, "nominal_hz": 1e3, "missing": 3000}}},
        "lost 3000 samples",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_and_good_again(what: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    given, words = BAD[what]
    box = Box()
    box.look()
    assert box.look() == ([], False)
    said, turned = box.look(**given)
    assert turned and len(said) == 1 and words in said[0], said
    if what not in (
        "set aside",
        "damaged",
        "cable",
        "cable pulled",
        "bus",
    ):  # those are told when they happen
        assert box.look(**given) == (said, False)
    told = [r for r in caplog.records if r.levelno == logging.WARNING and words in r.getMessage()]
    assert len(told) == 1, [r.getMessage() for r in caplog.records]
    box.look(**given)
    caplog.clear()
    said, _ = box.look()
    assert said == []


def test_what_is_over_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    box = Box()
    box.look(board={"undervoltage": True})
    assert box.look() == ([], True)
    assert [r.levelname for r in caplog.records] == ["WARNING", "INFO"]
    assert "no longer: undervoltage" in caplog.text


def test_records_that_were_dropped_are_counted_since_the_last_look() -> None:
    box = Box()
    assert box.look(queue={"dropped": 3})[0] == ["3 records not kept: the outbox is full"]
    assert box.look(queue={"dropped": 3})[0] == []
    assert box.look(queue={"dropped": 10})[0] == ["7 records not kept: the outbox is full"]


def test_a_certificate_that_runs_out_is_trouble(caplog: pytest.LogCaptureFixture) -> None:
    box = Box()
    said: list[str] = []
    around = dataclasses.replace(box.monitor._around, credentials=lambda _: ({}, said))
    box.monitor = Monitor(around, 0.0, probes=box.probes.values(), mark=lambda: box.mark)
    assert box.look()[0] == []
    said.append("the box's own certificate expires in 7 days")
    assert box.look() == (said, True) and said[0] in caplog.text
    said[0] = "the box's own certificate expires in 6 days"
    assert box.look() == (said, False), "said once"


def test_a_clock_that_was_never_set_and_then_is() -> None:
    box = Box()
    box.mark = TimeMark(0, 0, TimeQuality.UNSET)
    assert box.look()[0] == ["the clock was never set"]
    box.mark = TimeMark(0, 10**18, TimeQuality.SYNCED)
    assert box.look() == ([], True)
    box.steps = [Step(first=0, last=41, step_s=1.5e9)]
    assert box.look() == ([], True), "the step is news, once"
    assert box.look() == ([], False)
    body, _ = box.monitor.look(1e6)
    assert body["clock_steps"] == [{"first": 0, "last": 41, "step_s": 1.5e9}]


def test_a_box_that_measures_little_tells_rarely() -> None:
    """A quarter of the budget pays for 400 bytes every twenty-three minutes."""
    timing, told, raw_bytes = Timing(0.2, 0.0), [], 0.0
    for minute in range(1, 601):
        raw_bytes += 60 * 6.0  # three streams of 2 bytes a second
        if timing.due(minute * 60.0, raw_bytes, news=False):
            told.append(minute)
            timing.told(minute * 60.0, raw_bytes, 400)
    spent = 400 * len(told)
    assert spent <= PART * 0.2 * raw_bytes + 400, f"{spent} of {0.2 * raw_bytes:.0f} bytes"
    gaps_s = [60 * (b - a) for a, b in itertools.pairwise(told)]
    assert max(gaps_s) <= AT_LEAST_S, gaps_s
    assert timing.due(600 * 60.0, raw_bytes, news=True), "news at any price"


def test_a_box_that_measures_much_tells_each_time() -> None:
    timing = Timing(0.2, 0.0)
    for minute in range(1, 60):
        assert timing.due(minute * 60.0, minute * 60 * 6000.0, news=False)
        timing.told(minute * 60.0, minute * 60 * 6000.0, 900)


def test_a_real_record_of_a_real_agent(tmp_path: Path) -> None:
    """Everything asked of the real parts, numbered by the real pipeline; each key is there."""
    pipeline = Pipeline([TABLE["accel"]], head=Head("box-7", "0" * 16, "0.1.0"), fleet="north")
    pipeline.push(measure_mark())
    with Outbox(tmp_path / "outbox") as outbox:
        uplink = Uplink(BrokerConfig(), outbox, fleet="north", box="box-7", boot="0" * 16, software="0.1.0")
        around = Surroundings(
            directory=tmp_path,
            outbox=outbox.stats,
            uplink=uplink.stats,
            streams=lambda: pipeline.streams,
            tally=lambda: pipeline.tally,
            firmware=lambda: "0.2.0",
            clock_steps=list,
        )
        monitor = Monitor(around, time.monotonic() - 60)
        raw_bytes = itertools.count(1e9, 1e9)
        reporter = Reporter(monitor, every_s=60.0, budget=0.2, raw_bytes=raw_bytes.__next__)
        begun_s = time.monotonic()
        reporter.measure()
        took_s = time.monotonic() - begun_s
        (record,) = reporter.records(pipeline.health)
        outbox.put([record])
        reporter.measure()
        (again,) = reporter.records(pipeline.health)
    document = decode(record.payload)
    assert {"process", "disk", "queue", "link", "rates", "versions", "troubles"} <= set(document), document
    assert document["troubles"] == ["not connected to the broker", "accel is silent"] or (
        "the clock was never set" in document["troubles"]
    )
    assert "oldest_s" not in document["queue"] and decode(again.payload)["queue"]["oldest_s"] <= 1
    assert (record.seq, again.seq) == (0, 1)
    assert record.published_bytes < 1500, record.payload
    assert took_s < 5.0, took_s


class Broken:
    name = "board"

    def look(self, _now_s: float) -> Mapping[str, Any]:
        raise RuntimeError("no such luck")


def test_what_cannot_be_measured_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    box = Box()
    box.monitor = Monitor(
        Surroundings(Path(), lambda: None, lambda: None, tuple, Tally, str, list),  # type: ignore[arg-type,return-value]
        0.0,
        probes=[Broken()],
    )
    reporter = Reporter(box.monitor, every_s=60.0, budget=0.2, raw_bytes=lambda: 0.0)
    reporter.measure()
    assert "health: cannot be measured" in caplog.text
    assert reporter.records(lambda *_: pytest.fail("nothing was found")) == []


def test_it_measures_as_often_as_it_is_told_and_is_heard_of() -> None:
    import threading

    stop, looked, beat = threading.Event(), [0], Beat()
    box = Box()
    reporter = Reporter(box.monitor, every_s=0.01, budget=0.2, raw_bytes=lambda: 0.0)

    def measure() -> None:
        looked[0] += 1
        if looked[0] == 3:
            stop.set()

    reporter.measure = measure  # type: ignore[method-assign]
    thread = threading.Thread(target=reporter.run, args=(stop, beat))
    thread.start()
    thread.join(20)
    assert not thread.is_alive() and looked == [3]
