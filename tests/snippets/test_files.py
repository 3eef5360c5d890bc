"""Snippets at the receiver: saved by `listen`, opened by `replay`; whatever else comes is told and left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.blocks import Block
from agent.cli import main
from agent.errors import PayloadError
from agent.pipeline import Pipeline
from agent.records import Head, Kind, decode
from agent.reduction import UploadSettings
from agent.replay.runner import line_of
from agent.snippet_files import SnippetReader, save, snippets_of
from agent.snippets import SnippetSettings
from agent.sources.log_file import open_log
from agent.timebase import TimeMark
from tests.docs.every_trip import run, trip_blocks, trip_specs
from tests.snippets.cached import cached_coder

BOX = Head(box="box-7", boot="0123456789abcdef", software="0.1.0")


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trip's records, as a replay writes them."""
    pipeline = Pipeline(
        trip_specs(),
        head=BOX,
        fleet="north",
        upload=UploadSettings(budget=0.5),
        snippets=SnippetSettings(),
        coder=cached_coder,
    )
    path = tmp_path_factory.mktemp("trip") / "records.jsonl"
    path.write_bytes(b"".join(line_of(record) for record in run(pipeline, trip_blocks())))
    return path


@pytest.fixture(scope="module")
def payloads(records: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in records.read_text().splitlines()]
    return [one["payload"] for one in lines if one["topic"].endswith(Kind.SNIPPET.value)]


def test_what_is_saved_is_what_the_sensor_gave(
    records: Path, payloads: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["listen", "--snippets", str(tmp_path), str(records)]) == 0
    said = capsys.readouterr()
    assert f"saved {tmp_path}" in said.err and "samples of accel" in said.out, said.err
    files = sorted(tmp_path.glob("*.mcap"))
    assert len(files) == len({one["id"] for one in payloads}) > 0
    wanted: dict[str, list[Block]] = {}
    for block in trip_blocks():
        wanted.setdefault(block.stream, []).append(block)
    for file in files:
        log = open_log(file)
        (spec,) = log.open()
        items = list(log.items())
        blocks = [item for item in items if isinstance(item, Block)]
        marks = [item for item in items if isinstance(item, TimeMark)]
        assert marks and marks[0].offset_ns == 1_780_000_000_000_000_000, marks
        values = np.concatenate([block.values for block in blocks])
        index = np.concatenate([np.arange(block.first, block.end) for block in blocks])
        times_ns = np.concatenate([block.times_ns() for block in blocks])
        whole = wanted[spec.name]
        where = np.isin(np.concatenate([np.arange(b.first, b.end) for b in whole]), index)
        assert values.dtype == whole[0].values.dtype
        assert np.array_equal(values, np.concatenate([b.values for b in whole])[where])
        assert np.array_equal(times_ns, np.concatenate([b.times_ns() for b in whole])[where])
        assert spec.scale == next(s.scale for s in trip_specs() if s.name == spec.name)
    again = main(["listen", "--snippets", str(tmp_path), str(records)])
    assert again == 0 and "saved" not in capsys.readouterr().err, "what is there is left"


def test_replay_opens_it(payloads: list[dict[str, Any]], tmp_path: Path) -> None:
    snippet = next(one for one in snippets_of(payloads) if one.spec.name == "accel")
    path = save(snippet, tmp_path)
    assert path is not None
    assert main(["replay", str(path), "--out", str(tmp_path / "again")]) in (0, 1)
    summary = json.loads((tmp_path / "again" / "summary.json").read_text())
    assert summary["samples"] == sum(len(block) for block in snippet.blocks), summary
    assert summary["box"] == "box-7"


def parted(payload: dict[str, Any], number: int, of: int) -> dict[str, Any]:
    return {**payload, "part": number, "parts": of}


def test_parts_come_in_any_order_and_more_than_once(payloads: list[dict[str, Any]]) -> None:
    reader, one = SnippetReader(), payloads[0]
    assert not reader.take(parted(one, 2, 2)) and not reader.take(parted(one, 2, 2))
    (whole,) = reader.take(parted(one, 1, 2))
    assert (whole.missing_parts, sum(len(b) for b in whole.blocks)) == (0, 2 * one["n"])
    assert not reader.take(parted(one, 1, 3))
    (rest,) = reader.rest()
    assert rest.missing_parts == 2


@pytest.mark.parametrize(
    "change",
    [
        {"box": "../../etc"},
        {"boot": "a/b"},
        {"id": "snippet-1/../x"},
        {"stream": ".."},
        {"part": 2},
        {"parts": 10**9},
        {"part": "one"},
        {"n": 10**12},
        {"n": 1},
        {"axes": []},
        {"dtype": "object"},
        {"codec": "pickle"},
        {"data": "zz"},
        {"data": ""},
        {"data": "00" * 40},
        {"runs": []},
        {"runs": [{"first": 0, "n": -5, "period_ps": 1, "since": 0, "after_ns": 0}]},
        {"runs": [{"first": 0, "n": 5}]},
        {"runs": 7},
        {"box_s": 10**30},
        {"runs": [{"first": 10**18, "n": 11, "period_ps": 1, "since": 0, "after_ns": 0}]},
        {"runs": [{"first": 0, "n": 11, "period_ps": 10**12, "since": 10**15, "after_ns": 0}]},
        {"runs": [{"first": 0, "n": 11, "period_ps": 10**12, "times_ns": [0, 5, 3]}]},
        {"start": "yesterday"},
        {"unit": "furlong"},
        {"flagged": {"at": [10**9], "flags": [1]}},
        {"flagged": {"at": [0], "flags": [999]}},
    ],
    ids=str,
)
def test_what_is_none_is_told_and_left(
    change: dict[str, Any], payloads: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = next(one for one in payloads if one["parts"] == 1 and one["n"] > 10)
    wrong = {**good, **change}
    with pytest.raises(PayloadError):
        SnippetReader().take(wrong)
    file = tmp_path / "records.jsonl"
    topic = "cargobox/1/north/box-7/snippet"
    file.write_text("".join(json.dumps({"topic": topic, "payload": one}) + "\n" for one in (wrong, good)))
    folder = tmp_path / "snippets"
    main(["listen", "--snippets", str(folder), str(file)])
    capsys.readouterr()
    assert {path.parent for path in tmp_path.rglob("*.mcap*")} <= {folder}


def test_a_payload_says_the_same_in_json(payloads: list[dict[str, Any]]) -> None:
    assert all(decode(json.dumps(one).encode()) == one for one in payloads)
