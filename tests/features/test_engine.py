"""Features are what the raw samples give, at any span, however the samples came and the rows were merged."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.blocks import NS_PER_S, Block, RegularClock, SiBlock
from agent.features.engine import Features
from agent.features.table import Layout, Merge, Table
from agent.pipeline import Pipeline
from agent.records import Head
from agent.streams import TABLE

F64 = npt.NDArray[np.float64]
LAYOUT = Layout({"a": (Merge.SUM, 2), "b": (Merge.MIN, 1), "c": (Merge.MAX, 3)})
RATES_HZ = {"accel": 1000, "load": 80, "pressure": 50, "temperature": 1, "lid": 10, "leak": 10}
SECONDS = 130


def road(name: str) -> F64:
    """Samples of one stream: (n, axes), as float32 holds them."""
    rng = np.random.default_rng(sum(map(ord, name)))
    n, axes = SECONDS * RATES_HZ[name], len(TABLE[name].axes)
    at = {"accel": 3.0, "load": 20.0, "pressure": 2000.0, "temperature": 5.0, "lid": 0.5, "leak": 2.0}[name]
    values = at + 0.3 * rng.standard_normal((n, axes)) * np.linspace(0.2, 2.0, n)[:, None]
    return values.astype(np.float32).astype(np.float64)


def blocks(name: str, cuts: list[int]) -> list[SiBlock]:
    values = road(name).astype(np.float32)
    times_ns = RegularClock.of_rate(RATES_HZ[name]).times_ns(0, len(values))
    edges = sorted({0, len(values), *(c % len(values) for c in cuts)})
    period_ns = NS_PER_S // RATES_HZ[name]
    return [SiBlock(name, a, times_ns[a:b], period_ns, values[a:b]) for a, b in itertools.pairwise(edges)]


def table_of(cuts: list[int], names: tuple[str, ...] = tuple(RATES_HZ)) -> Table:
    features = Features([TABLE[name] for name in names])
    tables = []
    for name in names:
        for block in blocks(name, cuts):
            features.feed(block)
    for horizon_s in (1, 2, 40, 41, SECONDS + 1):
        if (table := features.advance(horizon_s * NS_PER_S)) is not None:
            tables.append(table)
    return Table.joined(tables)


WHOLE = table_of([])


def oracle(name: str, span: int, k: int) -> F64:
    """The samples of the k-th window of `span` seconds: (n, axes)."""
    rate = RATES_HZ[name] * span
    return road(name)[k * rate : (k + 1) * rate]


@pytest.mark.parametrize("span", [1, 10, 60])
def test_columns_are_those_of_the_raw_samples(span: int) -> None:
    features = Features([TABLE[name] for name in RATES_HZ])
    columns = features.told(WHOLE.before(120).merged(span))["columns"]
    for k in range(120 // span):
        accel = oracle("accel", span, k)
        about = accel - accel.mean(axis=0)
        rms, peak = np.sqrt((about**2).mean(axis=0)), np.abs(about).max(axis=0)
        for i, axis in enumerate("xyz"):
            said = {
                what: columns[f"accel_{what}"][axis][k] for what in ("rms_mps2", "peak_mps2", "mean_mps2")
            }
            truth = {"rms_mps2": rms[i], "peak_mps2": peak[i], "mean_mps2": accel.mean(axis=0)[i]}
            for what, value in truth.items():
                digit = 0.01 if what == "peak_mps2" else 0.001
                assert abs(said[what] - value) <= 0.501 * digit, f"{what} {axis} {k}: {said[what]}, {value}"
            assert columns["accel_crest"][axis][k] == pytest.approx(peak[i] / rms[i], abs=0.0501)
        cells = oracle("load", span, k).mean(axis=0)
        assert columns["load_total_kg"][k] == pytest.approx(cells.sum(), abs=0.00501)
        right = (cells[1] + cells[3] - cells[0] - cells[2]) / cells.sum()
        assert columns["load_centre_right"][k] == pytest.approx(right, abs=0.000501)
        swing = np.ptp(oracle("pressure", span, k))
        assert columns["pressure_swing_pa"][k] == pytest.approx(swing, abs=0.501)
        assert columns["temperature_degc"][k] == pytest.approx(
            oracle("temperature", span, k).mean(), abs=0.00501
        )
        assert columns["leak_min_v"][k] == pytest.approx(oracle("leak", span, k).min(), abs=0.000501)


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, 130_000), max_size=20))
def test_however_samples_were_cut_the_sums_are_the_same_to_the_last_bit(cuts: list[int]) -> None:
    table = table_of(cuts)
    assert np.array_equal(table.index, WHOLE.index)
    for merge in Merge:
        assert np.array_equal(table.cells[merge], WHOLE.cells[merge], equal_nan=True), merge


def test_the_spectrum_of_a_record_is_that_of_all_its_seconds() -> None:
    """Parseval: what is between 1 and 447 Hz of white noise is that part of its variance."""
    features = Features([TABLE["accel"]])
    for block in blocks("accel", []):
        features.feed(block)
    table = features.advance(SECONDS * NS_PER_S)
    assert table is not None
    told = features.told(table.after(20))["spectrum_db"]["accel"]
    for i, axis in enumerate("xyz"):
        power = sum(10 ** (level / 10) for level in told[axis]) * 1e-12
        samples = road("accel")[20_000:, i]
        expected = samples.var() * (446.7 - 0.891) / 500
        assert power == pytest.approx(expected, rel=0.05), f"{axis}: {power:.4f} of {expected:.4f} m²/s⁴"
    fine = [features.told(part)["spectrum_db"]["accel"]["x"] for part in (table.before(60), table.after(60))]
    assert fine[0] != fine[1], "it does not follow the road"


def test_a_stream_that_is_silent_leaves_nulls_and_one_that_never_came_no_column() -> None:
    specs = [TABLE["accel"], TABLE["pressure"], TABLE["humidity"]]
    p = Pipeline(specs, head=Head("b", "0", "t"), fleet="f")
    accel, pressure = (
        Block(name, 0, RegularClock.of_rate(RATES_HZ[name]), road(name)[: rate_s * RATES_HZ[name]])
        for name, rate_s in (("accel", 10), ("pressure", 4))
    )
    records = p.push(accel, pressure) + p.finish()
    payloads: list[dict[str, Any]] = [json.loads(r.payload) for r in records if r.kind == "features"]
    columns = payloads[0]["columns"]
    assert [v is None for v in columns["pressure_mean_pa"]] == [False] * 4 + [True] * 6, columns
    assert None not in columns["accel_rms_mps2"]["x"] and "humidity_percent" not in columns


rows = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 2**31)), unique_by=lambda r: r[0], max_size=30)


@settings(max_examples=60, deadline=None)
@given(rows=rows.map(sorted), cuts=st.lists(st.integers(0, 45), max_size=4), span=st.sampled_from([1, 3, 10]))
def test_tables_merge_to_the_same_in_any_grouping(
    rows: list[tuple[int, int]], cuts: list[int], span: int
) -> None:
    if not rows:
        return
    table = LAYOUT.empty(np.array([k for k, _ in rows]))
    for i, (_, seed) in enumerate(rows):
        for name, (_, width) in LAYOUT.names.items():
            table[name][i] = np.random.default_rng(seed).integers(-50, 50, width)
    edges = [0, *sorted(cuts), 100]
    parts = [table.after(a).before(b).merged(span) for a, b in itertools.pairwise(edges)]
    merged = Table.joined([part for part in parts if len(part)]).merged(span)
    groups = sorted({k // span for k, _ in rows})
    assert merged.index.tolist() == [g * span for g in groups]
    for i, group in enumerate(groups):
        mine = [j for j, (k, _) in enumerate(rows) if k // span == group]
        assert merged["a"][i].tolist() == table["a"][mine].sum(axis=0).tolist()
        assert merged["b"][i].tolist() == table["b"][mine].min(axis=0).tolist()
        assert merged["c"][i].tolist() == table["c"][mine].max(axis=0).tolist()
