"""Snippets at the receiver: saved by `listen`, opened by `replay`; whatever else comes is told and left."""

from __future__ import annotations

import errno
import json
import os
import tracemalloc
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
from agent.snippet_files import (
    MOST_HELD_BYTES,
    MOST_PART_BYTES,
    MOST_PARTS,
    SnippetReader,
    save,
    snippets_of,
)
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
        {"rate_hz": 0},
        {"rate_hz": float("inf")},
        {"scale": float("nan")},
        {"sample_bits": 10**6},
        {"of": "../../etc"},
        {"events": "x" * (MOST_PART_BYTES + 1)},
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


def test_one_that_is_damaged_takes_no_other_with_it(
    payloads: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At the end, when what has come of each is saved; and within one, of which the other parts are good."""
    good = next(one for one in payloads if one["parts"] == 1 and one["n"] > 10)
    waiting = [parted({**good, "id": f"snippet-{n}"}, 1, 2) for n in (901, 902, 903)]
    waiting[0]["data"] = "zz"
    whole = [parted({**good, "id": "snippet-904"}, n, 3) for n in (1, 2, 3)]
    for number, one in enumerate((*waiting, *whole)):
        one["seq"] = number
    whole[1]["runs"] = 7
    whole[2]["stream"] = "elsewhere"
    file = tmp_path / "records.jsonl"
    file.write_text("".join(json.dumps({"topic": "", "payload": one}) + "\n" for one in (*waiting, *whole)))
    assert main(["listen", "--snippets", str(tmp_path / "out"), str(file)]) == 1
    said = capsys.readouterr().err
    names = sorted(path.name.split("_")[2] for path in (tmp_path / "out").iterdir())
    assert names == ["snippet-902", "snippet-903", "snippet-904"], said
    assert said.count("error: ") == 1 and "2 of its parts did not come" in said, said


def test_samples_of_an_earlier_start_are_saved_as_its_own(
    payloads: list[dict[str, Any]], tmp_path: Path
) -> None:
    good = next(one for one in payloads if one["parts"] == 1)
    (snippet,) = SnippetReader().take({**good, "of": "f" * 16})
    path = save(snippet, tmp_path)
    assert path is not None and good["boot"] in path.name
    log = open_log(path)
    log.open()
    assert log.identity.boot == "f" * 16


def test_a_box_that_floods_fills_no_memory(payloads: list[dict[str, Any]]) -> None:
    """Whoever may publish may send any number of parts of snippets that are never complete."""
    good = next(one for one in payloads if one["parts"] == 1)
    reader, given = SnippetReader(), 0
    flood = {**good, "noise": "x" * (1 << 20)}
    tracemalloc.start()
    for part in range(1, 45):
        for number in range(3):
            flood["noise"] = f"{part}{number}" + "x" * (1 << 20)
            given += len(reader.take({**parted(flood, part, MOST_PARTS), "id": f"snippet-{number}"}))
    assert tracemalloc.get_traced_memory()[1] < 1.5 * MOST_HELD_BYTES
    tracemalloc.stop()
    assert given >= 1, "what has come of them is given, and not dropped"


def test_a_disk_that_is_full_costs_the_snippet_and_not_the_listening(
    payloads: list[dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    first, second, third = (
        {**payloads[0], "id": f"snippet-{number}", "seq": number} for number in (901, 902, 903)
    )
    file = tmp_path / "records.jsonl"
    lines = [{"topic": "", "payload": parted(one, 1, 1)} for one in (first, second, third)]
    file.write_text("".join(json.dumps(one) + "\n" for one in lines))
    write = os.pwrite
    full: list[int] = []

    def pwrite(fd: int, data: bytes, offset: int) -> int:
        if "snippet-902" in os.readlink(f"/proc/self/fd/{fd}"):
            full.append(offset)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(fd, data, offset)

    monkeypatch.setattr(os, "pwrite", pwrite)
    assert main(["listen", "--snippets", str(tmp_path / "out"), str(file)]) == 1
    said = capsys.readouterr()
    assert full and "No space left" in said.err and said.err.count("saved ") == 2, said.err
    assert {path.name.split("_")[2] for path in (tmp_path / "out").iterdir()} == {
        "snippet-901",
        "snippet-903",
    }


def test_a_payload_says_the_same_in_json(payloads: list[dict[str, Any]]) -> None:
    assert all(decode(json.dumps(one).encode()) == one for one in payloads)
