"""The service tells how it does in the one sequence, and puts times right when the clock is set."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from agent.blocks import NS_PER_S, Block, RegularClock
from agent.config import Config, HealthSettings, OutboxSettings
from agent.pipeline import Item
from agent.records import Kind, Record, decode
from agent.service import Service
from agent.streams import TABLE, StreamSpec
from agent.timebase import TimeMark, TimeQuality
from agent.uplink import BrokerConfig

TRUE_NS = 1_780_000_000 * NS_PER_S
PATIENCE_S = 30.0


class LateClock:
    """A tank that swings at the start; the clock is set when the test says so."""

    mount_up: tuple[float, float, float] | None = None
    firmware = "0.3.0"

    def __init__(self) -> None:
        self.set_clock = threading.Event()

    def open(self) -> tuple[StreamSpec, ...]:
        return (TABLE["pressure"],)

    def items(self, stop: threading.Event) -> Iterator[Item]:
        yield TimeMark(0, 0, TimeQuality.UNSET)
        values = np.full((500, 1), 5000.0, np.float32)
        values[50:] += 4500.0
        yield Block("pressure", 0, RegularClock.of_rate(TABLE["pressure"].rate_hz), values)
        self.set_clock.wait(PATIENCE_S)
        yield TimeMark(20 * NS_PER_S, TRUE_NS, TimeQuality.SYNCED)
        stop.wait()

    def close(self) -> None:
        """Close without a word."""


def test_health_and_a_late_clock(tmp_path: Path) -> None:
    told, heard = threading.Event(), threading.Event()
    made: list[Record] = []

    def hear(records: Sequence[Record]) -> None:
        made.extend(records)
        if any(r.urgent for r in records):
            heard.set()
        if any("clock_steps" in decode(r.payload) for r in records if r.kind is Kind.HEALTH):
            told.set()

    config = Config(
        outbox=OutboxSettings(directory=str(tmp_path / "outbox")),
        broker=BrokerConfig(port=1),  # nobody there: all waits
        health=HealthSettings(every_s=1.0),
    )
    source = LateClock()
    service = Service(config, source, on_records=hear)
    service.start()
    try:
        assert heard.wait(PATIENCE_S), made
        source.set_clock.set()
        assert told.wait(PATIENCE_S), [r.payload for r in made if r.kind is Kind.HEALTH]
        service.outbox.flush()
        waiting = {decode(p.payload)["seq"]: decode(p.payload) for p in service.queue.take(100, timeout_s=0)}
    finally:
        service.stop(drain_s=0.0)
    assert [r.seq for r in made] == list(range(len(made)))
    health = decode(next(r for r in reversed(made) if r.kind is Kind.HEALTH).payload)
    assert health["versions"]["firmware"] == "0.3.0" and "process" in health, health
    assert health["clock_steps"][0]["first"] == 0
    assert health["clock_steps"][0]["step_s"] == TRUE_NS / NS_PER_S
    alarm = next(r for r in made if r.urgent)
    assert decode(alarm.payload)["t"].startswith("1970-01-01T00:00:01")
    assert waiting[alarm.seq]["tq"] == "restamped"
    assert waiting[alarm.seq]["t"].startswith("2026-05-28T20:26:41"), waiting[alarm.seq]
