"""Snippets take what is left of the upload budget: never more, and nothing of what features take."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from agent.blocks import Block, RegularClock
from agent.health.monitor import Monitor, Surroundings
from agent.pipeline import Pipeline
from agent.records import Head, Kind, Record, decode
from agent.reduction import UploadSettings
from agent.snippets import SnippetSettings
from agent.snippets.coding import RAW, Coded, Values, raw_bytes
from agent.streams import TABLE
from agent.tally import Tally

RATE_HZ = 1000
LENGTH_S = 240
GENEROUS = SnippetSettings(
    major_before_s=20.0, major_after_s=40.0, critical_before_s=20.0, critical_after_s=40.0
)


class _AsItIs:
    """Codes nothing, since it is not the codec that is looked at here."""

    def __init__(self, values: Values) -> None:
        self._coded = Coded(RAW, raw_bytes(values))

    def ready(self) -> bool:
        return True

    def result(self) -> Coded:
        return self._coded


def ride(snippets: SnippetSettings | None, budget: float = 0.2) -> tuple[Pipeline, list[Record]]:
    """Four minutes of a road, with a hard blow twice a minute."""
    pipeline = Pipeline(
        [TABLE["accel"]],
        head=Head("b", "0" * 16, "t"),
        fleet="f",
        upload=UploadSettings(budget=budget),
        snippets=snippets,
        coder=_AsItIs,
    )
    n = LENGTH_S * RATE_HZ
    values = np.random.default_rng(2).normal((0, 0, 9.81), 0.4, (n, 3))
    for second in range(15, LENGTH_S, 30):
        at = second * RATE_HZ
        values[at : at + 20, 2] += 250 * np.sin(np.pi * np.arange(20) / 20)
    given = values.astype(np.float32)
    clock = RegularClock.of_rate(RATE_HZ)
    records = [
        record
        for first in range(0, n, 5000)
        for record in pipeline.push(Block("accel", first, clock, given[first : first + 5000]))
    ]
    return pipeline, records + pipeline.finish()


def test_features_go_as_they_would_without_and_the_budget_holds() -> None:
    _, without = ride(None)
    pipeline, records = ride(GENEROUS)
    tally = pipeline.tally

    def features(of: list[Record]) -> list[tuple[str, int, int]]:
        told = [decode(r.payload) for r in of if r.kind is Kind.FEATURES]
        return [(one["t"], one["window_s"], one["n"]) for one in told]

    assert tally.published["snippet"], tally
    assert tally.withheld_snippets, f"nothing was scarce: {tally}"
    assert tally.upload_ratio <= 0.2, tally.upload_ratio
    assert features(records) == features(without)
    kinds = [r.kind for r in records]
    first = kinds.index(Kind.SNIPPET)
    assert Kind.FEATURES in kinds[:first], "a snippet ahead of all features"


def test_features_that_wait_come_before_snippets() -> None:
    """With hardly enough for them: what is owed to rows that wait, and kept for events, is not given away."""

    def rows(of: list[Record]) -> list[tuple[int, int]]:
        told = [decode(r.payload) for r in of if r.kind is Kind.FEATURES]
        return [(one["window_s"], one["n"]) for one in told]

    short = SnippetSettings(
        major_before_s=0.15, major_after_s=0.15, critical_before_s=0.15, critical_after_s=0.15
    )
    for budget in (0.03, 0.04):
        _, without = ride(None, budget)
        pipeline, records = ride(short, budget)
        assert rows(records) == rows(without), budget
        assert pipeline.tally.published["snippet"], f"{budget}: none went at all"


def test_what_stays_at_home_is_told_by_health_and_summary() -> None:
    pipeline, _ = ride(GENEROUS, budget=0.06)
    withheld = pipeline.tally.as_dict()["withheld_snippets"]
    assert withheld and pipeline.tally.upload_ratio <= 0.06, pipeline.tally
    nobody: dict[str, Any] = dict.fromkeys(("directory", "outbox", "uplink", "streams", "firmware"))
    around = Surroundings(
        **nobody,
        tally=lambda: pipeline.tally,
        clock_steps=list,
    )
    body, _ = Monitor(around, 0.0, probes=()).look(60.0)
    assert body["withheld_snippets"] == withheld
    quiet = Monitor(replace(around, tally=Tally), 0.0, probes=())
    assert "withheld_snippets" not in quiet.look(60.0)[0]
