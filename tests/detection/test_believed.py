"""A slow sensor of whose readings none can be believed for ten minutes is said to fail, once, and its end."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import numpy as np
import pytest

from agent.blocks import NS_PER_S, Block, FaultKind, FaultPhase, RegularClock, SiBlock
from agent.detection.believed import Believed, Word
from agent.pipeline import Pipeline
from agent.records import Head, Kind
from agent.streams import TABLE

COLD, LEAPT = 5.0, 47.25
REST = 5.0 + 0.01 * (np.arange(300) % 3)


def readings(*parts: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.concatenate([np.atleast_1d(np.asarray(p, np.float32)) for p in parts])


def told(values: Any, stream: str = "temperature", period_s: float = 1.0, step: int = 1 << 30) -> list[Word]:
    believed, out = Believed(TABLE.values()), list[Word]()
    times = np.round(np.arange(len(values)) * period_s * NS_PER_S).astype(np.int64)
    columns = np.asarray(values, np.float32)[:, None]
    for a in range(0, len(values), step):
        part = slice(a, a + step)
        out += believed.feed(SiBlock(stream, a, times[part], round(period_s * NS_PER_S), columns[part]))
    return out


def brief(words: list[Word]) -> list[tuple[float, float, str, str]]:
    return [
        (w.decided_ns / NS_PER_S, w.fault.at_ns / NS_PER_S, w.fault.phase.value, w.fault.kind.value)
        for w in words
    ]


def test_a_leap_to_what_never_moves_is_a_fault_after_ten_minutes_said_once() -> None:
    values = readings(REST, np.full(5000, LEAPT), REST)
    words = told(values)
    assert brief(words) == [(900, 300, "start", "stuck_value"), (5300, 5300, "end", "stuck_value")]
    start = words[0].fault
    assert start.got == "exactly 47.25 degC, for 10 minutes, after 5.02", start
    assert start.streams == ("temperature",) and "move" in start.expected, start
    assert told(values, step=7) == words == told(values, step=901)


@pytest.mark.parametrize(
    "values",
    [
        readings(REST, np.full(595, LEAPT), REST),
        readings(REST, LEAPT + 0.01 * (np.arange(5000) % 3)),  # it was carried into the sun
        readings(REST, np.full(500, LEAPT), LEAPT + 0.01, np.full(4000, LEAPT)),  # believed: it moves
        readings(np.full(20_000, COLD)),  # constant without a leap: a fridge, and a coarse sensor
        readings(REST, np.full(20, -127.0), REST, np.full(20, 85.0), REST),
    ],
)
def test_what_is_no_fault(values: Any) -> None:
    assert not told(values), brief(told(values))


@pytest.mark.parametrize(
    ("stream", "values", "kind"),
    [
        ("temperature", np.full(700, -127.0), FaultKind.STUCK_VALUE),
        ("temperature", np.where(np.arange(700) % 2, -127.0, 200.0), FaultKind.BAD_DATA),
        ("humidity", readings(40.0 + 0.1 * (np.arange(100) % 2), np.full(700, 99.5)), FaultKind.STUCK_VALUE),
        ("air_pressure", np.full(700, 0.0), FaultKind.STUCK_VALUE),
    ],
)
def test_readings_that_are_none_from_the_start(stream: str, values: Any, kind: FaultKind) -> None:
    (word,) = told(values, stream)
    assert (word.fault.phase, word.fault.kind) == (FaultPhase.START, kind), word


def test_one_that_is_read_every_five_minutes_needs_ten_readings() -> None:
    words = told(np.full(40, -127.0), period_s=300.0)
    assert brief(words) == [(2700, 0, "start", "stuck_value")]


@pytest.mark.parametrize("step", [1, 10_000])
def test_the_record_is_general_and_ends(step: int) -> None:
    spec = msgspec.structs.replace(TABLE["temperature"], rate_hz=1.0)
    pipeline = Pipeline([spec], head=Head(box="b", boot="0" * 16, software="t"), fleet="f")
    counts = np.round(readings(REST, np.full(1000, LEAPT), REST) / spec.scale).astype(np.int16)[:, None]
    whole = Block("temperature", 0, RegularClock.of_rate(1.0), counts)
    records = [
        r for a in range(0, len(whole), step) for r in pipeline.push(whole.cut(a, min(len(whole), a + step)))
    ]
    records += pipeline.finish()
    bodies = [json.loads(r.payload) for r in records if r.kind in (Kind.EVENT, Kind.ALARM)]
    said = [(b["id"], b["phase"], b["severity"], b["values"]["fault"]) for b in bodies]
    assert said == [
        ("sensor_fault-1", "start", 2, "stuck_value"),
        ("sensor_fault-1", "end", 2, "stuck_value"),
    ], said
    assert bodies[1]["values"]["lasted_s"] == 1000.0 and bodies[0]["streams"] == ["temperature"]
