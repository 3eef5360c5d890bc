"""A sample that is no number is told as missing, and blinds nothing that comes after it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from agent.blocks import Block, RegularClock
from agent.correction import NOT_A_NUMBER, NumbersOnly
from agent.detection import DetectorSettings
from agent.pipeline import Pipeline
from agent.records import Head, Record
from agent.streams import TABLE

GRAVITY_MPS2 = 9.80665
CELLS_KG = np.where(np.arange(60 * 80)[:, None] < 40 * 80, [10.0, 10, 10, 10], [16.0, 4, 16, 4])


def blocks(*bad: tuple[str, int, float]) -> dict[str, Block]:
    """A load that shifts at 40 s; these samples of these streams are no numbers."""
    rng = np.random.default_rng(4)
    accel = np.tile([0.0, 0.0, GRAVITY_MPS2], (60 * 200, 1))
    given = {"accel": (accel, 200.0), "load": (CELLS_KG.copy(), 80.0)}
    out = {}
    for name, (still, rate_hz) in given.items():
        values = still + rng.normal(0, 0.02, still.shape)
        for stream, index, value in bad:
            if stream == name:
                values[index, 0] = value
        out[name] = Block(name, 0, RegularClock.of_rate(rate_hz), values.astype(np.float32))
    return out


def run(given: dict[str, Block], size: int | None = None) -> tuple[Pipeline, list[Record]]:
    p = Pipeline(
        [TABLE[name] for name in given],
        head=Head(box="b", boot="0" * 16, software="t"),
        fleet="f",
        detectors=DetectorSettings(),
        mount_up=(0.0, 0.0, 1.0),
    )
    records = []
    for block in given.values():
        step = size or len(block)
        for begin in range(0, len(block), step):
            records += p.push(block.cut(begin, min(len(block), begin + step)))
    return p, records + p.finish()


def kinds(records: list[Record], kind: str) -> list[dict[str, object]]:
    return [json.loads(r.payload) for r in records if r.kind == kind]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("stream", ["load", "accel"])
def test_one_sample_that_is_no_number_blinds_nothing(stream: str, value: float) -> None:
    p, records = run(blocks((stream, 801, value)))
    assert p.tally.events["load_shift"] == 1, p.tally.events
    (gap,) = kinds(records, "gap")
    assert (gap["stream"], gap["first"], gap["last"]) == (stream, 801, 801), gap
    assert gap["reason"] == NOT_A_NUMBER, gap
    assert f"{stream}: 1 samples were no numbers, and left out" in p.notes(), p.notes()


def test_where_blocks_are_cut_changes_nothing() -> None:
    bad = [("load", i, np.nan) for i in (0, 1, 79, 80, 800, 802, 803, 4799)]
    bad += [("accel", i, np.inf) for i in (300, 301, 302, 400)]
    whole = [r.payload for r in run(blocks(*bad))[1]]
    for size in (1, 7, 80, 200, 803):
        if size > 1:
            assert [r.payload for r in run(blocks(*bad), size)[1]] == whole, size
    told = [json.loads(p) for p in whole if b'"gap"' in p or b"not_a_number" in p]
    missing = sum(g["last"] - g["first"] + 1 for g in told if g.get("reason") == NOT_A_NUMBER)
    assert missing == len(bad) - 1, f"the last of all has nobody after it: {told}"


def test_what_is_left_keeps_its_index_and_integers_are_not_looked_at() -> None:
    numbers = NumbersOnly()
    clock = RegularClock.of_rate(1.0)
    values = np.array([[1.0], [np.nan], [np.nan], [4.0]], np.float32)
    parts = numbers.parts(Block("temperature", 7, clock, values))
    assert [(b.first, len(b), b.missing_reason) for b in parts] == [(7, 1, ""), (10, 1, NOT_A_NUMBER)]
    assert numbers.taken_out == {"temperature": 2}
    whole = Block("lid", 0, clock, np.ones((3, 1), np.int16))
    assert numbers.parts(whole) == [whole]
