"""Records that the rim asks for, health and gaps of the outbox: in the one sequence, and paid for."""

from __future__ import annotations

import json

import numpy as np

from agent.blocks import NS_PER_S, Block, RegularClock
from agent.pipeline import Pipeline
from agent.records import Head, Kind
from agent.reduction import UploadSettings
from agent.streams import TABLE
from agent.timebase import TimeMark, TimeQuality
from tests.docs.every_trip import trip_blocks, trip_specs

HEAD = Head(box="box-7", boot="0123456789abcdef", software="0.1.0")
WALL_NS = 1_780_000_000_000_000_000
LOST = {
    "kind": "features",
    "of": "fedcba9876543210",
    "first": 5,
    "last": 90,
    "seqs": [[5, 90]],
    "reason": "outbox_full",
}


def test_what_is_told_takes_its_place_in_the_sequence() -> None:
    pipeline = Pipeline(trip_specs(), head=HEAD, fleet="north")
    pipeline.push(TimeMark(0, WALL_NS, TimeQuality.SYNCED))
    records = []
    for i, block in enumerate(trip_blocks()):
        records += pipeline.push(block)
        if i % 50 == 7:
            records.append(pipeline.health(i * NS_PER_S, {"troubles": []}))
            records.append(pipeline.dropped(i * NS_PER_S, LOST))
    records += pipeline.finish()
    assert [record.seq for record in records] == list(range(len(records)))
    told = [json.loads(r.payload) for r in records if r.kind is Kind.HEALTH]
    assert len(told) >= 5 and told[0]["t"] == "2026-05-28T20:26:47.000000Z", told[0]
    assert told[0]["cal"] == "none" and "trust" not in told[0] and told[0]["troubles"] == []
    gaps = [json.loads(r.payload) for r in records if r.kind is Kind.GAP]
    assert sum(gap.get("of") == LOST["of"] and gap["seqs"] == [[5, 90]] for gap in gaps) == len(told)
    assert pipeline.tally.published["health"] == len(told)
    assert pipeline.tally.published_bytes == sum(r.published_bytes for r in records)


def test_the_budget_pays_for_it() -> None:
    """Features give way to it; and a clock far ahead of the samples does not make the budget forget them."""

    def spent(*, told: bool, note: str = "") -> dict[str, int]:
        pipeline = Pipeline(trip_specs(), head=HEAD, fleet="north", upload=UploadSettings())
        kinds = {"features": 0, "health": 0}
        for block in trip_blocks():
            records = pipeline.push(block)
            if told and block.stream == "accel":
                records.append(pipeline.health(10**15, {"note": note}))
            for record in records:
                if record.kind.value in kinds:
                    kinds[record.kind.value] += record.published_bytes
        return kinds

    without, beside = spent(told=False), spent(told=True, note="x" * 2000)
    assert beside["health"] > 100_000, beside
    assert beside["features"] < without["features"], (beside, without)
    short = spent(told=True)
    assert short["features"] > 0.8 * without["features"], (short, without)


def test_a_record_knows_what_its_times_were_made_with() -> None:
    for quality in TimeQuality:
        pipeline = Pipeline([TABLE["pressure"]], head=HEAD, fleet="north", upload=UploadSettings(budget=1.0))
        pipeline.push(TimeMark(0, 42, quality))
        block = Block("pressure", 0, RegularClock.of_rate(50), np.full((600, 1), 5000.0, np.float32))
        records = [*pipeline.push(block), *pipeline.finish(), pipeline.health(0, {})]
        said = {record.unsure_ns for record in records}
        assert said == {None if quality is TimeQuality.SYNCED else 42}, (quality, said)
        assert {r.kind for r in records} >= {Kind.FEATURES, Kind.HEALTH}
