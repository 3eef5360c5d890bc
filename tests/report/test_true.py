"""A page says nothing that its log does not: another log, another begin, a record that ended long before."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest

from agent.blocks import SiBlock
from agent.cli import main
from agent.report.climate import temperature_record
from agent.report.document import document_of
from agent.report.grid import Grid
from agent.report.packing import unpacked_values
from agent.report.panels import Line, Panel, panels_of_samples
from agent.report.samples import Samples
from agent.report.trip import Event, Trip
from agent.report.words import duration, facts, headline, story
from agent.streams import TABLE
from agent.timebase import TimeQuality
from tests.report.trips import replayed, write_log


@pytest.fixture(scope="module")
def trip(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Replay the small trip: 14:01:30 to 14:02:29.99."""
    return replayed(tmp_path_factory.mktemp("true"))


def copied(trip: tuple[Path, Path, Path], tmp_path: Path) -> Path:
    out = tmp_path / "out"
    shutil.copytree(trip[0], out)
    return out


def story_of(out: Path) -> str:
    found = re.search(r"<header>.*?</header>", (out / "report.html").read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found[0]


def another_log(log: Path, log_map: Path) -> None:
    log.write_text(log.read_text().replace("75.1250", "35.1250"))


def another_map(log: Path, log_map: Path) -> None:
    log_map.write_text(log_map.read_text().replace('up = "z"', 'up = "-z"'))


@pytest.mark.parametrize("change", [another_log, another_map])
def test_the_lines_of_another_log_are_refused(
    trip: tuple[Path, Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[Path, Path], None],
) -> None:
    out = copied(trip, tmp_path)
    log, log_map = (Path(shutil.copy(path, tmp_path)) for path in trip[1:])
    words = ["report", str(out), "--log", str(log), "--map", str(log_map)]
    assert main(words) == 0, "the same log elsewhere is the same log"
    written = (out / "report.html").read_bytes()
    change(log, log_map)
    assert main(words) == 1
    assert "another log, or the same under another map" in capsys.readouterr().err
    assert (out / "report.html").read_bytes() == written
    summary = json.loads((out / "summary.json").read_text())
    (out / "summary.json").write_text(json.dumps(summary | {"log": str(log), "map": str(log_map)}))
    assert main(["report", str(out)]) == 0, "the log that was not named is not needed"
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "another log" in page and "of the features that went up" in page


def test_begin_and_end_are_those_of_the_samples(trip: tuple[Path, Path, Path], tmp_path: Path) -> None:
    """A window of a feature begins before the first sample, and where it is long, long before."""
    out = copied(trip, tmp_path)
    text = (out / "records.jsonl").read_text()
    early = text.replace('"start":"2026-05-12T14:01:30.000000Z"', '"start":"2026-05-12T14:01:20.000000Z"')
    assert early != text, "no window begins with the trip"
    (out / "records.jsonl").write_text(early.replace('"window_s":1,', '"window_s":10,'))
    assert main(["report", str(out)]) == 0
    assert "14:01:30 to 14:02:29 UTC" in story_of(out), story_of(out)
    summary = json.loads((out / "summary.json").read_text())
    (out / "summary.json").write_text(json.dumps(summary | {"log": str(tmp_path / "gone")}))
    assert main(["report", str(out)]) == 0
    said = re.search(r"about 14:01:(\d\d) to 14:02:(\d\d) UTC", story_of(out))
    assert said is not None, story_of(out)
    assert 20 <= int(said[1]) <= 30


def test_a_thermometer_that_stops_is_told_everywhere(tmp_path: Path) -> None:
    log, log_map = write_log(tmp_path)
    rows = log.read_text().splitlines()
    stops = [row if i < 2000 else row.rpartition(",")[0] + "," for i, row in enumerate(rows)]
    log.write_text("\n".join(stops) + "\n")
    out = tmp_path / "out"
    assert main(["replay", str(log), "--map", str(log_map), "--out", str(out), "--report"]) == 0
    assert story_of(out).count("covers 20 s of 60 s") == 2, story_of(out)
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "14:01:50 to 14:02:29" in page
    shaded = re.search(r'\["temperature",([\d.]+),([\d.]+),"not told"\]', page)
    assert shaded is not None, "it is not shaded"
    assert [float(at_s) for at_s in shaded.groups()] == pytest.approx([20.0, 59.99], abs=0.1)


def test_a_line_is_broken_at_a_hole_and_not_where_a_log_is_slower() -> None:
    slow, fast = np.arange(36) * 0.5, 18.0 + np.arange(2000) * 0.1
    fast = fast[(fast < 100.0) | (fast > 101.0)]
    times_s = np.concatenate((slow, fast))
    panel = Panel("A", "m", "a", times_s, 0.1, [Line("a", np.ones(len(times_s)))])
    trip = Trip(Path(), {"duration_s": 250.0})
    document = document_of(trip, [panel], {}, None)
    values = unpacked_values(document["panels"][0]["lines"][0]["low"])
    assert np.flatnonzero(np.isnan(values)).tolist() == [36 + 820]
    assert [gap[0] for gap in document["gaps"]] == ["a"], "it ends 32 s before the trip"


def test_what_a_thermometer_did_not_see_is_told() -> None:
    times_s = np.arange(100.0, 118.0)
    record = temperature_record("t", times_s, np.full(18, 5.0), 2.0, 8.0, (40.0, 255.0))
    assert record is not None
    assert record.gaps == ((40.0, 100.0), (118.0, 255.0))
    assert record.covers == "covers 18 s of 3 min 35 s"
    assert record.words().endswith("; its record covers 18 s of 3 min 35 s")
    whole = temperature_record("t", times_s, np.full(18, 5.0), 2.0, 8.0, (99.0, 119.0))
    assert whole is not None and whole.gaps == () and "record" not in whole.words()


def event(kind: str, end_s: float | None, **values: float) -> Event:
    return Event("e", kind, 10.0, end_s, 3, dict(values), (), "parked", "trusted", alarm=True)


def test_an_event_that_is_not_over_is_told_as_far_as_it_is_known() -> None:
    said = dict(facts(event("temperature", None, farthest_degc=9.0, lasted_s=9.0)))
    assert said == {"farthest": "9 °C", "outside for": "9.0 s so far, when last told"}
    assert dict(facts(event("temperature", 20.0, lasted_s=9.0))) == {"outside for": "9.0 s"}


def test_a_load_shift_says_how_far_and_not_how_much() -> None:
    shift = event("load_shift", 11.0, moved=0.184, load_kg=60.0)
    assert headline(shift) == "centre moved by 18.4 %"
    trip = Trip(Path(), {"duration_s": 60.0}, events=[shift])
    trip.qualities["synced"] = 1
    assert "60 kg" not in story(trip) and "moved by 18.4 %" in story(trip)
    assert dict(facts(shift)) == {"centre moved by": "18.4 % of half the platform", "load": "60 kg"}


def test_a_load_keeps_its_lowest_and_highest_sample() -> None:
    grid = Grid({"load": TABLE["load"]}, 0.1)
    cells = np.full((8, 4), 10.0, np.float32)
    cells[3] = [100.0, 80.0, 75.0, 80.0]
    grid.take(SiBlock("load", 0, np.arange(8) * 12_500_000, 12_500_000, cells))
    sums = grid.sums()["load"]
    samples = Samples(
        specs=(TABLE["load"],),
        step_s=0.1,
        offset_s=0.0,
        quality=TimeQuality.SYNCED,
        span_s=None,
        up=None,
        sums={"load": sums},
        clips={},
        left_out=0,
        certificates=(),
        temperatures={},
    )
    (line,) = panels_of_samples(samples, {})[0].lines
    assert line.high is not None
    assert (line.low.tolist(), line.high.tolist()) == ([40.0], [335.0])


def test_minutes_have_their_seconds_while_they_are_few() -> None:
    said = [duration(s) for s in (119, 120, 215, 599.4, 600)]
    assert said == ["119 s", "2 min", "3 min 35 s", "9 min 59 s", "10 min"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"duration_s": None}, {"raw_bytes": "<script>"}, {"published_bytes": [1]}, {"streams": "no"},
        {"streams": {"accel": "no"}}, {"streams": {"accel": {"samples": "2026-01-01"}}}, {"notes": 3},
        {"upload_ratio": "much"}, {"missing_samples": {}}, {"duration_s": -1}, {"duration_s": 1e300},
        {"log": 7},
    ],
)  # fmt: skip
def test_a_summary_of_other_kinds_is_refused_in_words(
    trip: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: dict[str, Any]
) -> None:
    out = copied(trip, tmp_path)
    summary = json.loads((out / "summary.json").read_text())
    (out / "summary.json").write_text(json.dumps(summary | wrong))
    assert main(["report", str(out)]) == 1
    said = capsys.readouterr().err
    assert "summary.json" in said and "Replay the log again" in said


def test_a_record_cut_short_is_told_without_a_programs_words(
    trip: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = copied(trip, tmp_path)
    data = (out / "records.jsonl").read_bytes()
    (out / "records.jsonl").write_bytes(data[: len(data) - 40])
    assert main(["report", str(out)]) == 1
    said = capsys.readouterr().err
    assert "a record that is none of ours" in said and "Error(" not in said, said
    (out / "records.jsonl").write_text('{"topic":"cargobox/1/a/b/event","payload":{}}\n')
    assert main(["report", str(out)]) == 1
    assert "a record that is none of ours: no 't'" in capsys.readouterr().err


def test_the_limits_of_an_event_that_are_no_numbers_are_no_limits(
    trip: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    out = copied(trip, tmp_path)
    text = (out / "records.jsonl").read_text()
    odd = re.sub(r'"(low|high)_degc":[\d.]+', r'"\1_degc":"x"', text)
    assert odd != text, "no event says its limits"
    (out / "records.jsonl").write_text(odd)
    (out / "settings.json").unlink()
    assert main(["report", str(out)]) == 0


def test_a_pdf_without_its_extra_is_refused_before_anything_is_written(
    trip: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = copied(trip, tmp_path)
    for name in [name for name in sys.modules if name.startswith(("agent.report.pdf", "reportlab"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("agent.report.pdf", raising=False)
    monkeypatch.setitem(sys.modules, "reportlab", None)
    for folder in (out, tmp_path):
        assert main(["report", str(folder), "--pdf"]) == 2
        assert not (folder / "report.html").exists(), "a page was written, and not told of"
    assert not (out / "report.html").exists()


def test_every_link_of_a_sweep_over_several_logs_leads_to_a_page(tmp_path: Path) -> None:
    log, log_map = write_log(tmp_path)
    other = tmp_path / "other.csv"
    other.write_text("\n".join(log.read_text().splitlines()[:3000]) + "\n")
    out = tmp_path / "out"
    words = ["replay", str(log), str(other), "--map", str(log_map), "--out", str(out), "--report"]
    assert main([*words, "--sweep", "detect.drop.min_fall_s=0.1,0.3"]) == 0
    links = re.findall(r'href="([^"#]+)"', (out / "report.html").read_text(encoding="utf-8"))
    assert len(links) == 8, links
    dead = [link for link in links if not (out / unquote(link)).is_file()]
    assert not dead, dead
