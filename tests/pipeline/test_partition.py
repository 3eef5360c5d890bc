"""The way samples are cut into blocks, and which stream's block came first, never changes a result."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.blocks import Block, ListedClock, Quality, RegularClock, Silence
from agent.detection import DetectorSettings
from agent.detection.humidity import HumiditySettings
from agent.detection.slosh import SloshSettings
from agent.detection.temperature import TemperatureSettings
from agent.pipeline import Item, Pipeline
from agent.records import Head, Record
from agent.reduction import UploadSettings
from agent.streams import TABLE
from agent.timebase import TimeMark, TimeQuality
from calibration.certificate import Certificate, TemperatureTerm

GRAVITY_MPS2 = 9.80665
NAMES = ("accel", "load", "pressure", "temperature", "humidity")
LENGTH_S = 24
RATES_HZ = {"accel": 200, "load": 80, "pressure": 50, "temperature": 1, "humidity": 1}


def eventful_samples(seed: int = 5) -> dict[str, Block]:
    """One long block a stream: a tilt, a drop, a shift, a swing, an excursion, and samples missing."""
    rng = np.random.default_rng(seed)
    out: dict[str, Block] = {}
    for name in NAMES:
        n = LENGTH_S * RATES_HZ[name]
        t = np.arange(n) / RATES_HZ[name]
        axes = len(TABLE[name].axes)
        v = rng.normal(0, 0.02, (n, axes))
        if name == "accel":
            angle = np.where((t > 4) & (t < 11), np.radians(38), 0.0)
            v[:, 0] += GRAVITY_MPS2 * np.sin(angle)
            v[:, 2] += GRAVITY_MPS2 * np.cos(angle)
            v[(t > 14) & (t < 14.35)] *= 0.05
            v[(t >= 14.35) & (t < 14.37)] += 60
        elif name == "load":
            pressing = np.where((t > 4) & (t < 11), np.cos(np.radians(38)), 1.0)[:, None]
            v += pressing * np.where(t[:, None] < 17, [10, 10, 10, 10], [16, 4, 16, 4])
        elif name == "pressure":
            v[:, 0] += 5000 + np.where((t > 12) & (t < 13), 3000 * np.sin(9 * t), 0)
        elif name == "temperature":
            v[:, 0] += np.where(t > 9, 11.0, 5.0)
        else:
            v[:, 0] += 50
        first_ns = 7_000_000 + 1_300_000 * len(out)
        clock = RegularClock.of_rate(RATES_HZ[name] * 1.00013, anchor_ns=first_ns)
        quality = np.zeros(n, np.uint8)
        quality[n // 2] = Quality.LATE
        out[name] = Block(name, 0, clock, v.astype(np.float32), quality)
    return out


WHOLE = eventful_samples()
CERTIFICATES = (
    Certificate(
        stream="accel",
        gain=((1.01, 0.002, 0.0), (0.0, 0.99, -0.001), (0.0, 0.0, 1.002)),
        bias=(0.05, -0.02, 0.1),
        temperature=TemperatureTerm(
            reference_degc=20.0,
            bias_per_degc=(0.001, 0.002, -0.003),
            bias_per_degc2=(1e-5, -2e-5, 3e-5),
            bias_per_degc_per_s=(0.1, 0.2, -0.3),
            lag_s=3.0,
        ),
        standard_uncertainty=0.02,
        high_degc=8.0,  # passed in the middle, by the sensor, which lags behind
        method="test",
        made_at="2026-01-01T00:00:00Z",
    ),
    Certificate(
        stream="load",
        gain=tuple(tuple(1.0 if i == j else 0.001 for j in range(4)) for i in range(4)),
        bias=(0.1, -0.1, 0.0, 0.2),
        standard_uncertainty=0.02,
        capacity=60.0,
        verification_interval=0.2,
        method="test",
        made_at="2026-01-01T00:00:00Z",
        valid_until="2026-05-01",  # which it is by the second mark
    ),
)
# the platform's own weight taken off: nearly empty, until something is put on two of its corners
EMPTY = (msgspec.structs.replace(CERTIFICATES[1], bias=(9.93, 10.05, 10.02, 9.96)),)
NOT_FOLLOWED = (msgspec.structs.replace(EMPTY[0], capacity=None),)
MARKS = (
    TimeMark(0, 1_770_000_000_000_000_000, TimeQuality.UNSET),
    TimeMark(9_000_000_000, 1_780_000_000_000_000_000, TimeQuality.SYNCED),
)


def pipeline(certificates: Sequence[Certificate] = CERTIFICATES) -> Pipeline:
    band = TemperatureSettings(low_degc=2.0, high_degc=8.0)
    return Pipeline(
        [TABLE[n] for n in NAMES],
        head=Head(box="b", boot="0" * 16, software="t"),
        fleet="f",
        detectors=DetectorSettings(
            temperature=band,
            humidity=HumiditySettings(high_percent=75.0),
            slosh=SloshSettings(length_m=0.4, fill_m=0.2, freeboard_m=0.5),
        ),
        upload=UploadSettings(batch_s=4, budget=0.5),  # so that there are some records
        certificates=certificates,
    )


def run(items: list[Item], certificates: Sequence[Certificate] = CERTIFICATES) -> list[Record]:
    p = pipeline(certificates)
    for mark in MARKS:
        p.push(mark)
    records = [r for item in items for r in p.push(item)]
    return records + p.finish()


def with_hole(blocks: dict[str, Block]) -> dict[str, list[Block]]:
    """Take samples 995 to 1037 of the accelerometer away, as a cable would: over the turn of a second."""
    out = {name: [block] for name, block in blocks.items()}
    accel = blocks["accel"]
    rest = accel.cut(1037, len(accel))
    out["accel"] = [
        accel.cut(0, 995),
        Block(rest.stream, rest.first, rest.clock, rest.values, rest.quality, "cable"),
    ]
    return out


ALL = [b for blocks in with_hole(WHOLE).values() for b in blocks]
REFERENCE = run([*ALL])
EMPTY_REFERENCE = run([*ALL], EMPTY)


def test_reference_has_every_event_once() -> None:
    p = pipeline()
    for blocks in with_hole(WHOLE).values():
        p.push(*blocks)
    p.finish()
    expected = {"tilt": 1, "drop": 1, "load_shift": 1, "pressure": 1, "temperature": 1}
    assert dict(p.tally.events) == expected, p.tally
    assert p.tally.gaps == 1 and p.tally.missing["accel"] == 42, p.tally
    assert [r.seq for r in REFERENCE] == list(range(len(REFERENCE)))


def test_reference_is_followed_and_judged() -> None:
    """So that what follows tries it: every part of the temperature term, the zero, each way to doubt."""
    p = pipeline()
    p.push(*MARKS, *ALL)
    p.finish()
    bodies = [json.loads(r.payload) for r in REFERENCE]
    said = {(*b.get("streams", ["features"]), b.get("trust")) for b in bodies}
    wanted = {("pressure", None), ("accel", "trusted"), ("accel", "degraded"), ("load", "accel", "degraded")}
    assert said >= wanted, said
    features = [b["trust"] for b in bodies if "columns" in b]
    assert features[0] == "trusted" and features[-1] == "degraded", features
    assert "outside" in p.trust["accel"][1], p.trust
    followed, plain = totals(EMPTY_REFERENCE), totals(run([*ALL], NOT_FOLLOWED))
    assert abs(followed[20]) < abs(plain[20]), f"the zero was not followed: {followed} and {plain}"


def totals(records: list[Record]) -> list[float]:
    bodies = [json.loads(r.payload) for r in records]
    return [total for b in bodies if "columns" in b for total in b["columns"]["load_total_kg"]]


@st.composite
def interleavings(draw: st.DrawFn) -> list[Item]:
    """Cut each stream anywhere, and mix the streams in any order that keeps each one's own."""
    lanes: list[list[Item]] = []
    for blocks in with_hole(WHOLE).values():
        lane: list[Item] = []
        for block in blocks:
            cuts = draw(st.lists(st.integers(0, len(block)), max_size=12))
            # small blocks around one place: where states change, a cut may fall on any sample
            centre = draw(st.integers(0, len(block)))
            cuts += [min(len(block), centre + i) for i in range(6)]
            edges = sorted({0, *cuts, len(block)})
            lane += [block.cut(a, b) for a, b in itertools.pairwise(edges)]
        lanes.append(lane)
    items: list[Item] = []
    while lanes:
        lane = lanes[draw(st.integers(0, len(lanes) - 1))]
        items.append(lane.pop(0))
        lanes = [x for x in lanes if x]
    return items


@settings(max_examples=50, deadline=None)
@given(interleavings())
def test_any_partition_and_interleaving_gives_the_same_bytes(items: list[Item]) -> None:
    records = run(items)
    assert [(r.seq, r.topic, r.payload) for r in records] == [(r.seq, r.topic, r.payload) for r in REFERENCE]


@settings(max_examples=20, deadline=None)
@given(interleavings())
def test_nor_does_it_change_how_the_zero_is_followed(items: list[Item]) -> None:
    records = run(items, EMPTY)
    assert [r.payload for r in records] == [r.payload for r in EMPTY_REFERENCE]


@pytest.mark.parametrize("size", [2, 7, 64, 4096])
def test_equal_blocks_of_any_size(size: int) -> None:
    lanes = {
        name: [b.cut(i, min(i + size, len(b))) for b in blocks for i in range(0, len(b), size)]
        for name, blocks in with_hole(WHOLE).items()
    }
    blocks = sorted(
        (b for lane in lanes.values() for b in lane), key=lambda b: (b.start_ns, NAMES.index(b.stream))
    )
    assert [r.payload for r in run([*blocks])] == [r.payload for r in REFERENCE]


@settings(max_examples=12, deadline=None)
@given(st.integers(20, 900), st.integers(5, 2000))
def test_listed_times_and_silence(step: int, accel_size: int) -> None:
    """Irregular times promise nothing; the source's word drives the pipeline instead."""

    def items(step_ns: int, size: int) -> list[Item]:
        out: list[Item] = []
        for name in ("accel", "temperature"):
            b = WHOLE[name]
            clock = ListedClock(0, b.times_ns() + 3 * (np.arange(len(b)) % 5), b.clock.period_ps)
            out += [Block(name, i, clock, b.values[i : i + size]) for i in range(0, len(b), size)]
        ends = range(0, LENGTH_S * 10**9, step_ns)
        marks: list[Item] = [Silence(n, t) for t in ends for n in ("accel", "temperature")]
        key: dict[int, tuple[int, int]] = {}
        for x in [*out, *marks]:
            if isinstance(x, Block):
                key[id(x)] = (x.last_ns, 0)
            elif isinstance(x, Silence):  # it must come after the samples that it speaks of
                spoken_of = [b for b in out if isinstance(b, Block) and b.start_ns < x.until_ns]
                key[id(x)] = (max((b.last_ns for b in spoken_of), default=0), 1)
        return sorted([*out, *marks], key=lambda x: key[id(x)])

    def records(step_ns: int, size: int) -> list[bytes]:
        p = Pipeline([TABLE["accel"], TABLE["temperature"]], head=Head("b", "0", "t"), fleet="f")
        got = [r.payload for item in items(step_ns, size) for r in p.push(item)]
        return got + [r.payload for r in p.finish()]

    assert records(step * 10**7, accel_size) == records(10**9, 4096)


def test_a_hole_amid_a_harsh_push() -> None:
    """What ends with the hole is told after it, as its gap is: a box that listens knows no sooner."""
    n, rate_hz = 20 * 200, 200
    t = np.arange(n) / rate_hz
    v = np.random.default_rng(2).normal(0, 0.05, (n, 3))
    v[:, 2] += GRAVITY_MPS2
    v[(t > 6) & (t < 14), 0] -= 0.55 * GRAVITY_MPS2
    whole = Block("accel", 0, RegularClock.of_rate(rate_hz), v.astype(np.float32))
    parts = whole.cut(0, 1650), whole.cut(1850, n)

    def records(size: int) -> list[bytes]:
        p = Pipeline([TABLE["accel"]], head=Head("b", "0", "t"), fleet="f")
        blocks = [b.cut(i, min(i + size, len(b))) for b in parts for i in range(0, len(b), size)]
        lots = [blocks] if size == n else [[b] for b in blocks]
        got = [r.payload for lot in lots for r in p.push(*lot)]
        assert p.tally.events["harsh_brake"] == 1, p.tally
        return got + [r.payload for r in p.finish()]

    assert records(n) == records(3) == records(20) == records(211)
