"""Recordings that others made, through the pipeline: what happened is said once, and nothing is invented."""

from __future__ import annotations

import csv
import json
import math
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from agent.blocks import NS_PER_S, Block
from agent.config import Config
from agent.correction import Correction
from agent.drift import GravityWatch, Second
from agent.hops import Hops
from agent.replay.runner import ReplayOptions, Summary, replay_log
from agent.sources.log_file import open_log
from calibration.certificate import Certificate

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
MAPS = ROOT / "docs" / "maps"

pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason="the folder of recordings, ../shared/data, is not here"
)


def replayed(name: str, map_name: str, out: Path, **options: Any) -> tuple[Summary, list[dict[str, Any]]]:
    """Replay a recording; return its summary and payloads."""
    summary = replay_log(
        DATA / name, out, Config(), ReplayOptions(map_path=MAPS / f"{map_name}.toml", **options)
    )
    lines = (out / "records.jsonl").read_text().splitlines()
    return summary, [json.loads(line)["payload"] for line in lines]


def unix_s(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def drops_of(payloads: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the ends of the drops, each with its start and end as numbers."""
    return [
        {**p, "from_s": unix_s(p["start"]), "to_s": unix_s(p["end"])}
        for p in payloads
        if p.get("type") == "drop" and p["phase"] == "end"
    ]


def labels_of(file: str) -> list[dict[str, str]]:
    with (DATA / "fragile-goods-box" / "labels_derived.csv").open() as text:
        return [row for row in csv.DictReader(text) if row["file"] == file]


@pytest.mark.parametrize(("name", "count"), [("dropped_box", 20), ("rough_handling", 5)])
def test_every_labelled_fall_is_one_drop_and_none_besides(name: str, count: int, tmp_path: Path) -> None:
    summary, payloads = replayed(f"fragile-goods-box/{name}.csv", "fragile-goods-box", tmp_path)
    drops, labels = drops_of(payloads), labels_of(f"{name}.csv")
    assert summary["events"]["drop"] == len(drops) == len(labels) == count
    for label in labels:
        begin_s, end_s = unix_s(label["freefall_start"]), unix_s(label["freefall_end"])
        mine = [d for d in drops if d["from_s"] <= end_s and d["to_s"] >= begin_s]
        assert len(mine) == 1, (label, mine)
        if label["implied_height_m"]:
            implied_m = float(label["implied_height_m"])
            assert mine[0]["values"]["height_m"] == pytest.approx(implied_m, abs=0.1), label


def test_a_quiet_trip_in_a_boot_has_no_event(tmp_path: Path) -> None:
    summary, _ = replayed("fragile-goods-box/car_trip_0921.csv", "fragile-goods-box", tmp_path)
    assert summary["events"] == {}, summary["events"]
    assert any("too slowly" in note for note in summary["notes"]), summary["notes"]


def test_late_rows_are_put_right_and_are_no_gaps(tmp_path: Path) -> None:
    summary, _ = replayed("fragile-goods-box/dropped_box.csv", "fragile-goods-box", tmp_path)
    assert summary["input"]["late_rows"] == 1424
    assert (summary["gaps"], summary["missing_samples"]) == (0, 0)


@pytest.mark.parametrize("name", [p.name for p in sorted((DATA / "transit-vibration").glob("*.csv"))])
def test_trams_and_buses_raise_nothing(name: str, tmp_path: Path) -> None:
    summary, _ = replayed(f"transit-vibration/{name}", "transit-vibration", tmp_path)
    assert summary["events"] == {}, summary["events"]
    assert summary["upload_ratio"] <= 0.07, summary["upload_ratio"]


@pytest.mark.parametrize("trip", ["17", "20"])
def test_brisk_driving_is_no_tilt_and_no_drop(trip: str, tmp_path: Path) -> None:
    summary, _ = replayed(f"driver-behavior/{trip}/acelerometro_terra.csv", "driver-behavior", tmp_path)
    of_driving = {"harsh_brake", "harsh_acceleration", "harsh_turn", "bump"}
    assert summary["events"].keys() <= of_driving, summary["events"]
    assert summary["upload_ratio"] <= 0.20, summary["upload_ratio"]


@pytest.mark.parametrize("block_samples", [1, 37, 5000])
def test_the_size_of_blocks_changes_no_byte(block_samples: int, tmp_path: Path) -> None:
    log = "fragile-goods-box/rough_handling.csv"
    replayed(log, "fragile-goods-box", tmp_path / "a")
    replayed(log, "fragile-goods-box", tmp_path / "b", block_samples=block_samples)
    first, second = ((tmp_path / x / "records.jsonl").read_bytes() for x in "ab")
    assert first == second and first.count(b"\n") > 10


@pytest.mark.parametrize(
    ("name", "map_name", "rest_s", "level_mps2"),
    [
        ("transit-vibration/L3_StnVinohrady_Riazanska.csv", "transit-vibration", 30, 10.152),
        ("transit-vibration/L9_Postova_KralovskeUdolie.csv", "transit-vibration", 0, 0.0),
        ("container-motion/samples.csv", "container-motion", 80, 9.755),
    ],
)
def test_an_accelerometer_is_held_against_gravity_only_where_the_vehicle_stands(
    name: str, map_name: str, rest_s: int, level_mps2: float
) -> None:
    """Seconds that are taken for rest agree with each other to 1 mg: not one of them is of the road."""
    source = open_log(DATA / name, map_path=MAPS / f"{map_name}.toml")
    spec = next(spec for spec in source.open() if spec.name == "accel")
    identity = tuple(tuple(float(i == j) for j in range(3)) for i in range(3))
    given = Certificate(
        stream="accel",
        gain=identity,
        bias=(0.0, 0.0, 0.0),
        standard_uncertainty=0.01,
        method="none",
        made_at="2026-01-01T00:00:00Z",
    )
    watch, hops = GravityWatch(spec, given), Hops(NS_PER_S)
    correction = Correction([spec])
    for item in source.items():
        if isinstance(item, Block) and item.stream == "accel":
            hops.feed(correction.apply(item))
    run = hops.advance(1 << 62)
    assert run is not None
    variance = run.squares / run.count[:, None] - run.mean**2
    rest = [
        math.hypot(*mean)
        for index, count, mean, var in zip(run.index, run.count, run.mean, variance, strict=True)
        if watch._at_rest(Second((int(index) + 1) * NS_PER_S, int(count), mean.tolist(), var.tolist()))
    ]
    assert len(rest) == rest_s, f"{len(rest)} s of rest in {len(run)} s"
    if rest:
        off = max(abs(level - level_mps2) for level in rest)
        assert off < 0.01, f"at rest it reads {min(rest):.3f} to {max(rest):.3f} m/s²"
