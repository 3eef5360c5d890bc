"""`encoding = "auto"`: JSON while the hour's budget bears it, then MessagePack for what is no alarm."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from agent.blocks import NS_PER_S, Block, RegularClock
from agent.detection import DetectorSettings
from agent.pipeline import Pipeline
from agent.records import Head, Kind, Record, decode, is_compact
from agent.reduction import UploadSettings, _Ledger
from agent.streams import TABLE

RATE_HZ, SECONDS = 100, 60
FALLS_S = (3, *range(20, 58, 2))


def thrown_about() -> Block:
    """A box at 100 Hz that falls once early, and later every other second; each time it lands."""
    t = np.arange(SECONDS * RATE_HZ) / RATE_HZ
    accel = np.zeros((len(t), 3), np.float32)
    accel[:, 2] = 9.8
    for at_s in FALLS_S:
        accel[(t >= at_s) & (t < at_s + 0.4)] = 0.1
        accel[(t >= at_s + 0.4) & (t < at_s + 0.42)] = 90.0
    return Block("accel", 0, RegularClock.of_rate(RATE_HZ), accel)


def records(upload: UploadSettings, cuts: int = 1) -> list[Record]:
    pipeline = Pipeline(
        [TABLE["accel"]],
        head=Head("box", "0" * 16, "t"),
        fleet="f",
        upload=upload,
        detectors=DetectorSettings(),
    )
    return [*_pushed(pipeline, cuts), *pipeline.finish()]


def _pushed(pipeline: Pipeline, cuts: int) -> Iterator[Record]:
    block = thrown_about()
    edges = np.linspace(0, len(block), cuts + 1).astype(int).tolist()
    for begin, end in itertools.pairwise(edges):
        yield from pipeline.push(block.cut(begin, end))


def said_by(records: list[Record]) -> list[dict[str, Any]]:
    """Return what alarms and events say; their numbers depend on how many features went between."""
    return [{**decode(r.payload), "seq": None} for r in records if r.kind is not Kind.FEATURES]


def test_what_is_no_alarm_is_packed_when_json_would_pass_the_budget() -> None:
    said = records(UploadSettings())
    alarms, others = ([r for r in said if (r.kind is Kind.ALARM) == alarm] for alarm in (True, False))
    events = [r for r in others if r.kind is Kind.EVENT]
    assert not any(is_compact(r.payload) for r in alarms), "an alarm is for everybody"
    assert not any(is_compact(r.payload) for r in said if r.kind is Kind.FEATURES)
    forms = [is_compact(r.payload) for r in events]
    assert not forms[0], "before the first batch nobody knows what there is to spend"
    assert sum(forms) > len(forms) / 2, f"{sum(forms)} of {len(forms)} are packed"
    strict = records(UploadSettings(encoding="json"))
    assert not any(is_compact(r.payload) for r in strict)
    assert said_by(said) == said_by(strict), "the form is all that differs"
    bytes_auto, bytes_json = (
        sum(r.published_bytes for r in rs if r.kind is Kind.EVENT) for rs in (said, strict)
    )
    assert bytes_auto < 0.6 * bytes_json, f"{bytes_auto} of {bytes_json} bytes"


@pytest.mark.parametrize("cuts", [7, 450])
def test_the_form_does_not_depend_on_blocks(cuts: int) -> None:
    assert [r.payload for r in records(UploadSettings(), cuts)] == [
        r.payload for r in records(UploadSettings())
    ]


def test_a_budget_that_bears_it_leaves_all_in_json() -> None:
    said = records(UploadSettings(budget=1.0))
    assert said and not any(is_compact(r.payload) for r in said)


def test_health_is_for_everybody_however_little_is_left() -> None:
    pipeline = Pipeline([TABLE["accel"]], head=Head("box", "0" * 16, "t"), fleet="f", upload=UploadSettings())
    said = pipeline.push(thrown_about())
    assert any(is_compact(r.payload) for r in said), "the budget bears all"
    assert not is_compact(pipeline.health(SECONDS * NS_PER_S, {"note": "x" * 2000}).payload)


def test_msgpack_is_for_all() -> None:
    assert all(is_compact(r.payload) for r in records(UploadSettings(encoding="msgpack")))


def test_the_budget_of_the_hour_bears_what_it_has_beside_alarms_that_may_come() -> None:
    """Half of so small a budget is kept for them."""
    ledger = _Ledger(UploadSettings(budget=0.5))
    assert ledger.bears(10**6, 0), "nothing was earned yet, and nobody knows what will be"
    ledger.earn(1000.0, 0)
    assert ledger.bears(250, 9) and not ledger.bears(251, 9)
    ledger.spend(100, 9)
    assert ledger.bears(150, 10) and not ledger.bears(151, 10)
    ledger.earn(1000.0, 1800)
    assert ledger.bears(400, 1800) and not ledger.bears(401, 1800)
    assert not ledger.bears(151, 3605), (
        "what was earned more than an hour ago is gone, what was spent since is not"
    )
    assert ledger.bears(250, 3610) and not ledger.bears(251, 3610)
