"""The page of a trip says what happened, needs nothing else, and takes nobody's markup."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.cli import main
from agent.config import Config
from agent.errors import FourPartError
from agent.report import write_report
from agent.report.packing import unpacked_values
from agent.report.trip import read_trip
from tests.report.trips import CONFIG, FALL_S, HOSTILE, RATE_HZ, accel_mps2, made_hostile, replayed


@pytest.fixture(scope="module")
def trip(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Replay the small trip and report on it."""
    out, log, log_map = replayed(tmp_path_factory.mktemp("trip"))
    write_report(out, log=log, map_path=log_map, config=CONFIG)
    return out, log, log_map


def page_of(out: Path) -> str:
    return (out / "report.html").read_text(encoding="utf-8")


def data_of(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    document: dict[str, Any] = json.loads(found[1])
    return document


class _Markup(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_story_says_what_happened(trip: tuple[Path, Path, Path]) -> None:
    found = re.search(r"<h1[^>]*>(.*?)</h1>", page_of(trip[0]))
    assert found is not None
    story = found[1]
    for part in (
        "On 12 May 2026",
        "60 s",
        "2 drops",
        "0.86 m",
        "14:01:50",
        "outside 2 to 8 °C",
        "uploaded",
        "gap",
    ):
        assert part in story or (part == "14:01:50" and "14:02:10" in story), f"{part!r} is not in: {story}"


def test_an_incident_has_its_samples_at_full_rate(trip: tuple[Path, Path, Path]) -> None:
    document = data_of(page_of(trip[0]))
    drop = next(event for event in document["events"] if event["type"] == "drop")
    clip = next(clip for clip in drop["clips"] if clip["stream"] == "accel")
    values = np.column_stack([unpacked_values(packed) for packed in clip["values"]])
    first = round((document["t0"] + drop["start"] + clip["start"] - document["t0"]) * RATE_HZ)
    expected = np.array([accel_mps2((first + i) / RATE_HZ) for i in range(len(values))])
    worst = float(np.abs(values - expected).max())
    assert len(values) > (1.5 + FALL_S) * RATE_HZ
    assert worst < 0.003, f"samples in the page are off by up to {worst:.4f} m/s²"
    facts = dict(drop["facts"])
    assert facts["height of fall"] == "0.86 m" or facts["height of fall"].endswith(" m"), facts
    assert "g, mostly along +z" in facts["largest sample"], facts
    assert "from upright, +z up" in facts["stood before"], facts


def test_the_timeline_is_broken_where_samples_are_missing(trip: tuple[Path, Path, Path]) -> None:
    document = data_of(page_of(trip[0]))
    assert any(stream == "accel" for stream, *_ in document["gaps"]), document["gaps"]
    panel = next(panel for panel in document["panels"] if panel["title"] == "Acceleration")
    values = unpacked_values(panel["lines"][0]["high"])
    assert np.isnan(values).any(), "the line goes on over the hole"
    assert {panel["title"] for panel in document["panels"]} >= {
        "Acceleration",
        "Vibration",
        "Tilt",
        "Temperature",
    }
    temperature = next(panel for panel in document["panels"] if panel["unit"] == "°C")
    assert temperature["band"] == [2.0, 8.0]


def test_the_page_needs_nothing_else(trip: tuple[Path, Path, Path]) -> None:
    page = page_of(trip[0])
    for tag, attributes in _Markup(page).tags:
        assert tag not in {"link", "img", "iframe", "object", "embed", "base"}, tag
        for name in ("src", "href", "style"):
            value = attributes.get(name) or "#"
            assert value.startswith("#"), f"{tag} {name}={value}"
        assert not [name for name in attributes if name.startswith("on")], attributes
    policy = next(a["content"] for t, a in _Markup(page).tags if t == "meta" and "http-equiv" in a)
    assert policy is not None
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy


def test_nothing_that_has_a_name_becomes_markup(trip: tuple[Path, Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "hostile"
    shutil.copytree(trip[0], out)
    made_hostile(out)
    write_report(out, log=trip[1], map_path=trip[2], config=CONFIG)
    page, plain = page_of(out), page_of(trip[0])
    assert "onerror" in page, "the names are not in the page at all"
    markup = _Markup(page)
    assert not [tag for tag, attributes in markup.tags if tag == "img" or "onerror" in attributes]
    assert page.count("<script") == plain.count("<script"), "a name opened a script"
    assert "\u202e" not in page, "a name turns the direction of its line"
    assert HOSTILE not in page


def test_without_its_log_the_lines_are_of_the_features(trip: tuple[Path, Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "away"
    shutil.copytree(trip[0], out)
    summary = json.loads((out / "summary.json").read_text())
    summary["log"] = str(tmp_path / "gone.csv")
    (out / "summary.json").write_text(json.dumps(summary))
    write_report(out)
    document = data_of(page_of(out))
    assert {p["title"] for p in document["panels"]} >= {"Vibration", "Temperature"}
    assert all(not event["clips"] for event in document["events"])
    assert "no longer there" in page_of(out)


def test_a_folder_that_is_no_trip_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(FourPartError, match=r"records\.jsonl"):
        write_report(tmp_path)
    assert main(["report", str(tmp_path / "nowhere")]) == 2


@pytest.mark.parametrize(
    "text", ["", "{", '{"topic":"a","qos":1}\n', '{"topic":"cargobox/1/a/b/event","payload":{}}\n']
)
def test_a_damaged_folder_is_refused_in_words(
    trip: tuple[Path, Path, Path], tmp_path: Path, text: str
) -> None:
    out = tmp_path / "out"
    shutil.copytree(trip[0], out)
    (out / "records.jsonl").write_text(text)
    if not text:
        assert read_trip(out).events == []
        write_report(out)
        return
    with pytest.raises(FourPartError, match="Replay the log again"):
        read_trip(out)


def test_the_verb_writes_it(trip: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    out, log, log_map = trip
    assert main(["report", str(out), "--log", str(log), "--map", str(log_map), "--json"]) == 0
    written = json.loads(capsys.readouterr().out)["written"]
    assert written[0]["file"] == str(out / "report.html")
    assert 60_000 < written[0]["bytes"] < 400_000, written


def test_clips_are_bounded(
    trip: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(trip[0], out)
    monkeypatch.setattr("agent.report.clips.MOST_CLIP_NUMBERS", 2000)
    write_report(out, log=trip[1], map_path=trip[2], config=Config())
    kept = [event for event in data_of(page_of(out))["events"] if event["clips"]]
    assert sum(event["type"] == "drop" for event in kept) == 1, "room for one of the two drops"
    assert "without samples at full rate" in page_of(out), "what was left out is not said"
