"""A sensor of the board that fails: its fault among its samples, and gaps that add up to the sample."""

from __future__ import annotations

import json
import math
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from agent.blocks import NS_PER_S, Block, FaultKind, FaultPhase, SensorFault, Silence
from agent.pipeline import Item, Pipeline
from agent.records import Head
from agent.sources.serial_box import SerialBox
from firmware_bridge.describe import BoardStream, Description
from firmware_bridge.reception import Samples
from firmware_bridge.refill import OVERFLOW
from firmware_bridge.status import Counters

MS = 1_000_000
TURN_NS = 50 * MS
LOG_NS = 5 * MS  # the board's word is ahead of its samples by less than a turn
FAST = BoardStream("accel", ("x",), "mps2", 0.005, 100.0, 16, 160.0)
SLOW = BoardStream("temperature", ("t",), "degC", 0.01, 1.0, 16, None)
WORDS = "reading its identity: 0x00, expected 0xE5"


@dataclass
class FailingBoard:
    """Two sensors; that of `failing` fails from `spans` on; each turn takes 50 ms.

    ``log_lost``: the word that it works again never comes. ``joined``: others had it running before, so that
    the first sample that comes of each stream is counted as the first. ``rate``: of the sensor that
    fails, to its nominal one, by which the board counts what is missing. ``behind``: so many turns samples
    take longer than the board's word, which goes ahead of them.
    """

    spans: list[tuple[float, float]]
    end_s: float
    failing: str = "accel"
    log_lost: bool = False
    joined: bool = False
    rate: float = 1.0
    behind: int = 0
    words: dict[float, str] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)
    counters: Counters = field(default_factory=Counters)
    port_name: str = "failing"
    now_ns: int = 10 * NS_PER_S
    quiet: bool = False
    waiting: bool = False
    _taken: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("accel", "temperature"), 0))
    _shift: dict[str, int] = field(default_factory=dict)
    _given: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("accel", "temperature"), 0))
    _on_their_way: list[list[Samples]] = field(default_factory=list)

    def open(self) -> Description:
        return Description("1", "b", "0", "power-on", 1, 0, 32, None, (FAST, SLOW))

    def close(self) -> None:
        self.stop.set()

    def vouched_ns(self, _stream: str) -> int:
        return self.now_ns - self.behind * TURN_NS

    def fails_at(self, time_ns: int) -> bool:
        return any(10 + a <= time_ns / NS_PER_S < 10 + b for a, b in self.spans)

    def read(self, _timeout_s: float, _idle: Callable[[float], object]) -> list[Samples]:
        self.now_ns += TURN_NS
        if self.now_ns >= (10 + self.end_s) * NS_PER_S:
            self.stop.set()
        batch = []
        for stream in (FAST, SLOW):
            mine = stream.name == self.failing
            period_ns = stream.period_ns / (self.rate if mine else 1.0)
            begin = self._taken[stream.name]
            end = math.ceil((self.now_ns - 10 * NS_PER_S) / period_ns)
            self._taken[stream.name] = end
            if mine:
                good = [k for k in range(begin, end) if not self.fails_at(round(10e9 + k * period_ns))]
                begin, end = (good[0], good[-1] + 1) if good else (end, end)
            if end > begin:
                batch.append(self._samples(stream, begin, end, period_ns))
        self._say()
        self._on_their_way.append(batch)
        return self._on_their_way.pop(0) if len(self._on_their_way) > self.behind else []

    def _samples(self, stream: BoardStream, begin: int, end: int, period_ns: float) -> Samples:
        missing, self._given[stream.name] = begin - self._given[stream.name], end
        if self.joined and stream.name not in self._shift:
            self._shift[stream.name], missing = -begin, 0
        # what the board counts while a sensor fails is counted by the nominal rate
        shift = self._shift.get(stream.name, 0) + int(missing / self.rate) - missing
        self._shift[stream.name] = shift
        reason = OVERFLOW if missing else ""
        first = begin + shift
        values = np.zeros((end - begin, 1), np.int16)
        time_ns = round(10e9 + begin * period_ns)
        return Samples(stream, first, time_ns, values, reason, period_ns)

    def _say(self) -> None:
        """Its word comes in the turn in which the sensor fails, and in that of its first sample."""
        second = (self.now_ns - LOG_NS) / NS_PER_S - 10
        failing = self.fails_at(self.now_ns - LOG_NS)
        told = self.failing in self.counters.faults
        words = next((w for since, w in reversed(self.words.items()) if second >= since), WORDS)
        if failing:
            self.counters.faults[self.failing] = words
        elif told and not self.log_lost:
            del self.counters.faults[self.failing]


def items_of(board: FailingBoard, monkeypatch: pytest.MonkeyPatch) -> list[Item]:
    monkeypatch.setattr("agent.sources.serial_box.time.monotonic_ns", lambda: board.now_ns)
    source = SerialBox("failing")
    source.link = board  # type: ignore[assignment]  # has of a Link what a source uses
    source.open()
    return list(source.items(board.stop))


def faults_of(items: list[Item]) -> list[SensorFault]:
    return [i for i in items if isinstance(i, SensorFault)]


def check_order(items: list[Item], stream: str = "accel") -> None:
    """Hold each word against what `SensorFault` promises."""
    newest_ns = silent_ns = -1
    over_ns = None
    for item in items:
        if isinstance(item, SensorFault):
            assert item.at_ns > newest_ns and item.at_ns >= silent_ns, (item, newest_ns, silent_ns)
            newest_ns = item.at_ns - 1
            over_ns = item.at_ns if item.phase is FaultPhase.END else None
        elif isinstance(item, Block) and item.stream == stream:
            assert item.start_ns > newest_ns, (item.start_ns, newest_ns)
            assert over_ns in (None, item.start_ns), "an end comes right before the first sample after it"
            newest_ns, over_ns = item.last_ns, None
        elif isinstance(item, Silence) and item.stream == stream:
            silent_ns = item.until_ns


def piped(items: list[Item]) -> tuple[Pipeline, list[dict[str, Any]]]:
    source = SerialBox("x")
    source.link = FailingBoard([], 0)  # type: ignore[assignment]  # as above
    pipeline = Pipeline(source.open(), head=Head("b", "0" * 16, "t"), fleet="f")
    records = [r for item in items for r in pipeline.push(item)] + pipeline.finish()
    return pipeline, [json.loads(r.payload) for r in records]


def gaps_and_jumps(items: list[Item]) -> tuple[Counter[str], Counter[str], set[str]]:
    """Return what was told to be missing before the last sample, what is, and the reasons."""
    ends: Counter[str] = Counter()
    jumps: Counter[str] = Counter()
    for item in items:
        if isinstance(item, Block):
            jumps[item.stream] += item.first - ends[item.stream]
            ends[item.stream] = item.end
    told: Counter[str] = Counter()
    reasons = set()
    for payload in piped(items)[1]:
        if "reason" in payload and payload["first"] < ends[payload["stream"]]:
            told[payload["stream"]] += payload["last"] - payload["first"] + 1
            reasons.add(payload["reason"])
    return told, jumps, reasons


@pytest.mark.parametrize("log_lost", [False, True])
@pytest.mark.parametrize("failing", ["accel", "temperature"])
def test_a_fault_begins_and_ends_among_its_samples(
    failing: str, log_lost: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = items_of(FailingBoard([(5.02, 9.4)], 20, failing, log_lost), monkeypatch)
    start, end = faults_of(items)
    check_order(items, failing)
    assert (start.phase, end.phase, start.kind, start.got) == ("start", "end", FaultKind.BOARD, WORDS)
    assert start.stream == failing and start.streams == (failing,) and failing in start.sensor
    assert 15.0 < start.at_ns / NS_PER_S < 15.15, start
    first_after_s = {"accel": 19.4, "temperature": 20.0}[failing]
    assert end.at_ns / NS_PER_S == pytest.approx(first_after_s, abs=0.011)
    told, jumps, reasons = gaps_and_jumps(items)
    assert told == +jumps and jumps[failing] == {"accel": 438, "temperature": 4}[failing], (told, jumps)
    assert reasons == {"board"}
    last = [p.get("type", p.get("reason")) for p in piped(items)[1] if p.get("end") and p["t"] == p["end"]]
    assert last == ["sensor_fault", "board"], (
        "at its first sample: the event ends, then what was missing is told"
    )


def test_other_words_are_an_update_and_the_same_again_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    board = FailingBoard([(5, 9)], 12, words={0: "a", 6: "b", 7: "b"})
    faults = faults_of(items_of(board, monkeypatch))
    assert [(f.phase.value, f.got) for f in faults] == [("start", "a"), ("update", "b"), ("end", "b")]


def test_it_may_fail_again(monkeypatch: pytest.MonkeyPatch) -> None:
    for log_lost in (False, True):
        items = items_of(FailingBoard([(5, 6), (8, 9.5)], 12, log_lost=log_lost), monkeypatch)
        check_order(items)
        pipeline, _ = piped(items)
        assert dict(pipeline.tally.events) == {"sensor_fault": 2}


def test_its_word_goes_ahead_of_the_samples_of_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a tenth of a second: they come before the fault all the same, and do not end it."""
    items = items_of(FailingBoard([(5.02, 9.4)], 12, behind=2), monkeypatch)
    check_order(items)
    assert [f.phase.value for f in faults_of(items)] == ["start", "end"]
    before = [i for i in items[: items.index(faults_of(items)[0])] if isinstance(i, Block)]
    assert max(b.end for b in before if b.stream == "accel") == 502


def test_what_is_no_stream_stays_a_line_of_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    board = FailingBoard([], 3)
    board.counters.faults["config 2"] = "reading sensors[1]: 3, expected a pin"
    assert not faults_of(items_of(board, monkeypatch))


@pytest.mark.parametrize("joined", [False, True], ids=["from the start", "joined later"])
@pytest.mark.parametrize("failing", ["accel", "temperature"])
def test_a_sensor_that_is_missing_from_the_start_adds_up(
    failing: str, joined: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The board counts from the beginning of its session; or, where that was before ours, not at all."""
    items = items_of(FailingBoard([(-1, 200)], 210, failing, joined=joined), monkeypatch)
    start, end = faults_of(items)
    check_order(items, failing)
    assert start.at_ns / NS_PER_S < 10.2 and end.at_ns / NS_PER_S == pytest.approx(210, abs=0.011)
    told, jumps, reasons = gaps_and_jumps(items)
    rate_hz = {"accel": 100, "temperature": 1}[failing]
    assert told[failing] == jumps[failing], (told, jumps)
    assert abs(jumps[failing] - 200 * rate_hz) <= max(1, rate_hz // 5), jumps
    assert reasons == {"board"}


@pytest.mark.parametrize("rate", [0.95, 1.0, 1.05])
def test_minutes_of_a_sensor_with_an_oscillator_of_its_own_add_up(
    rate: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pipeline reckons by the sensor's rate as it was, the board by the nominal one."""
    items = items_of(FailingBoard([(100, 531)], 550, rate=rate), monkeypatch)
    check_order(items)
    told, jumps, _ = gaps_and_jumps(items)
    assert told["accel"] == jumps["accel"], (told, jumps)
    assert abs(jumps["accel"] - 43_100) < 2500, jumps
