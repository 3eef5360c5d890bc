"""A cable that brings nothing at all: every stream is declared silent, and what is missing adds up."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from agent.alignment import Aligner
from agent.blocks import Block, Silence
from agent.gaps import GapWatch
from agent.sources.serial_box import SerialBox
from firmware_bridge.continuity import Continuity
from firmware_bridge.describe import BoardStream, Description
from firmware_bridge.link import Link
from firmware_bridge.reception import Samples
from firmware_bridge.refill import CABLE
from firmware_bridge.status import Counters
from firmware_bridge.virtual import VirtualBox
from tests.bridge.cable import cable

MS = 1_000_000
S = 1_000 * MS
FAST = BoardStream("accel", ("x",), "mps2", 0.005, 100.0, 16, 160.0)
SLOW = BoardStream("temperature", ("t",), "degC", 0.01, 1.0, 16, None)
STREAMS = (FAST, SLOW)


@dataclass
class TimedLink:
    """A board that is there from `spans` to `spans` of its own clock's seconds; every read takes 50 ms."""

    spans: list[tuple[int, int]]
    end_s: int
    reboots: bool = False
    rustles: bool = False  # bytes come, though no samples do
    stop: threading.Event = field(default_factory=threading.Event)
    port_name: str = "timed"
    now_ns: int = 0
    quiet: bool = True
    waiting: bool = False
    counters: Counters = field(default_factory=Counters)
    _place: list[Continuity] = field(default_factory=lambda: [Continuity(s) for s in STREAMS])
    _next: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("accel", "temperature"), 0))
    _zero: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("accel", "temperature"), 0))
    _span: int = 0
    _back: set[str] = field(default_factory=set)  # streams that came again
    _vouched_ns: int = 0

    def open(self) -> Description:
        return Description("1", "b", "0", "power-on", 1, 0, 32, None, STREAMS)

    def close(self) -> None:
        self.stop.set()

    def vouched_ns(self, _stream: str) -> int:
        return self._vouched_ns

    def read(self, _timeout_s: float, _idle: Callable[[float], object]) -> list[Samples]:
        before_ns, self.now_ns = self.now_ns, self.now_ns + 50 * MS
        if self.now_ns >= self.end_s * S:
            self.stop.set()
        span = next((n for n, (a, b) in enumerate(self.spans) if a * S <= before_ns < b * S), None)
        self.quiet = span is None and not self.rustles
        if span is None:
            return []
        self._vouched_ns = self.now_ns
        if span != self._span:
            self._span = span
            if self.reboots:
                for place in self._place:
                    place.begin_session(reason=CABLE, counts_from_zero=True)
                self._zero = {s.name: -(-before_ns // round(s.period_ns)) for s in STREAMS}
        batch = []
        for stream, place in zip(STREAMS, self._place, strict=True):
            period_ns = round(stream.period_ns)
            first = -(-before_ns // period_ns)
            count = -(-self.now_ns // period_ns) - first
            if not count:
                continue
            came_back = CABLE if span and stream.name not in self._back else ""
            placed = place.place(first - self._zero[stream.name], count, first * period_ns, came_back)
            assert placed is not None
            values = np.zeros((count, 1), np.int16)
            batch.append(Samples(stream, placed.first, first * period_ns, values, placed.missing_reason))
            if span:
                self._back.add(stream.name)
        return batch


def run(link: TimedLink, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, Block | Silence]]:
    """Return what the source gave, each with the time at which it did."""
    monkeypatch.setattr("agent.sources.serial_box.time.monotonic_ns", lambda: link.now_ns)
    source = SerialBox("timed")
    source.link = link  # type: ignore[assignment]  # has of a Link what a source uses
    source.open()
    return [(link.now_ns, i) for i in source.items(link.stop) if isinstance(i, Block | Silence)]


@pytest.mark.parametrize("reboots", [False, True], ids=["same session", "reboot"])
def test_an_hour_without_a_cable_is_told_by_the_minute_and_adds_up(
    reboots: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = TimedLink([(0, 70), (3670, 3700)], 3700, reboots)
    aligner, watch = Aligner([s.name for s in STREAMS]), GapWatch()
    told: Counter[str] = Counter()
    records: Counter[str] = Counter()
    jumps: Counter[str] = Counter()
    ends: dict[str, int] = defaultdict(int)
    told_before_ns = 0
    for now_ns, item in run(link, monkeypatch):
        aligner.push(item)
        gaps = []
        for block in aligner.take():
            gaps += watch.before(block)
            jumps[block.stream] += block.first - ends[block.stream]
            ends[block.stream] = block.end
            assert abs(block.start_ns - block.first * round(block.period_ns)) < MS, "its true time and index"
        gaps += watch.silence(aligner.horizon_ns)
        for gap in gaps:
            told[gap.stream] += gap.samples
            records[gap.stream] += 1
            if now_ns < 3670 * S:
                told_before_ns = max(told_before_ns, gap.end_ns)
    assert told_before_ns > 3500 * S, "told while there is no cable"
    assert told == jumps
    assert jumps == {"accel": 360_000, "temperature": 3600}
    assert all(59 <= n <= 62 for n in records.values()), records


def test_silence_is_said_once_a_second_and_a_second_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    said = [
        (now_ns, i)
        for now_ns, i in run(TimedLink([(0, 10)], 20), monkeypatch)
        if isinstance(i, Silence) and i.until_ns > 10 * S
    ]
    for stream in STREAMS:
        mine = [(now_ns, i.until_ns) for now_ns, i in said if i.stream == stream.name]
        assert 12 * S < mine[0][0] <= 12 * S + 200 * MS
        assert 7 <= len(mine) <= 8
        assert all(S <= now_ns - until_ns <= S + 100 * MS for now_ns, until_ns in mine)


def test_a_board_that_never_begins_is_silent_too(monkeypatch: pytest.MonkeyPatch) -> None:
    items = [i for _, i in run(TimedLink([], 5), monkeypatch)]
    assert {i.stream for i in items} == {"accel", "temperature"}


def test_nothing_is_silent_while_something_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    items = run(TimedLink([(0, 2)], 20, rustles=True), monkeypatch)
    assert not [i for now_ns, i in items if isinstance(i, Silence) and now_ns > 3 * S]


def test_what_is_older_than_that_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    link = TimedLink([(0, 2), (10, 12)], 12)
    source = SerialBox("timed")
    source.link = link  # type: ignore[assignment]  # as above
    source.open()
    monkeypatch.setattr("agent.sources.serial_box.time.monotonic_ns", lambda: link.now_ns)
    blocks = []
    until_ns = 0
    plain = link.read

    def read(timeout_s: float, idle: Callable[[float], object]) -> list[Samples]:
        batch = plain(timeout_s, idle)
        if batch and batch[0].first == 1000:  # those from 7.5 s on were on their way all that time
            return [Samples(FAST, 750, 7500 * MS, np.zeros((255, 1), np.int16), "")]
        return batch

    monkeypatch.setattr(link, "read", read)
    for item in source.items(link.stop):
        if isinstance(item, Silence) and item.stream == "accel":
            until_ns = item.until_ns
        elif isinstance(item, Block) and item.stream == "accel" and item.first >= 300:
            blocks.append(item)
    assert blocks[0].missing_reason == "late"
    assert until_ns <= blocks[0].start_ns < until_ns + round(FAST.period_ns)


def test_late_samples_before_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    link = TimedLink([], 6)
    plain = link.read

    def read(timeout_s: float, idle: Callable[[float], object]) -> list[Samples]:
        plain(timeout_s, idle)
        at_5_s = link.now_ns == 5 * S
        return [Samples(FAST, 0, S, np.zeros((3, 1), np.int16), "")] if at_5_s else []

    monkeypatch.setattr(link, "read", read)
    assert not [i for _, i in run(link, monkeypatch) if isinstance(i, Block)]


def test_a_link_tells_whether_anything_came(quick_box: VirtualBox, tmp_path: Path) -> None:
    with cable(tmp_path / "host-port", quick_box.port) as between:
        link = Link(str(tmp_path / "host-port"))
        link.open()
        quiet = []
        while not link.read(0.05):
            pass
        quiet.append(link.quiet)
        between.spoil = lambda _: [b"\x01"]  # no end of a frame ever
        link.read(0.05)
        assert link.read(0.05) == []
        quiet.append(link.quiet)
        between.spoil = lambda _: []
        for _ in range(20):
            link.read(0.05)
        quiet.append(link.quiet)
        assert quiet == [False, False, True], "bytes count, though they be no samples"
        link.close()
