"""Replays of what is damaged, or mistaken for something else, or cannot be written; and stopped ones."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import numpy as np
import pytest

from agent.blocks import Block, RegularClock
from agent.log_info import LogInfo
from agent.recorder.mcap_writer import McapRecorder
from agent.streams import TABLE
from agent.timebase import TimeMark, TimeQuality
from calibration.certificate import Certificate
from tests.commands.refusal import refused
from tests.live.processes import Running, cargobox, command

SECOND_NS = 1_000_000_000
MAP = """
[time]
column = "time"
format = "s"
[streams.accel]
columns = ["x", "y", "z"]
unit = "g"
full_scale = 16
"""


def write_log(path: Path, seconds: int = 10) -> Path:
    """Record a box at rest."""
    spec = TABLE["accel"]
    clock = RegularClock(0, SECOND_NS, 1_000_000_000)
    rng = np.random.default_rng(5)
    with McapRecorder(
        path, LogInfo(box="b", boot="0123456789abcdef", software="0.1", streams=(spec,))
    ) as recorder:
        recorder.write(TimeMark(SECOND_NS, 10**18, TimeQuality.SYNCED))
        for first in range(0, 1000 * seconds, 250):
            values = rng.normal((0.0, 0.0, 9.81), 0.05, (250, 3)).astype(np.float32)
            recorder.write(Block("accel", first, clock, values))
    return path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return write_log(tmp_path / "trip.mcap")


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    """A CSV log with its map beside it."""
    (tmp_path / "map.toml").write_text(MAP)
    path = tmp_path / "trip.csv"
    path.write_text(
        "time,x,y,z\n" + "".join(f"{i / 100:.2f},0.01,0.02,{1 + i % 3 / 100}\n" for i in range(1000))
    )
    return path


def nothing_finished(folder: Path) -> bool:
    """Whether nothing in a folder looks like the result of a replay that was done."""
    return not list(folder.glob("**/records.jsonl")) and not list(folder.glob("**/summary.json"))


def test_a_map_that_names_a_missing_column(csv: Path, tmp_path: Path) -> None:
    mapped = tmp_path / "map.toml"
    mapped.write_text(MAP.replace('"y"', '"yy"'))
    told = refused("replay", csv, "--map", mapped, "--out", tmp_path / "out", status=2)
    assert "'yy'" in told.got
    assert "time, x, y, z" in told.expected
    assert nothing_finished(tmp_path)


def test_a_map_with_a_mistake(csv: Path, tmp_path: Path) -> None:
    mapped = tmp_path / "map.toml"
    mapped.write_text(MAP.replace("unit", "unti"))
    told = refused("replay", csv, "--map", mapped, "--out", tmp_path / "out", status=2)
    assert "'unti'" in told.got
    assert "did you mean 'unit'" in told.got
    assert "--map" in refused("replay", csv, "--out", tmp_path / "out", status=2).remedy


@pytest.mark.parametrize("keep", [0.4, 0.9, 0.999])
def test_a_recording_cut_in_the_middle(log: Path, tmp_path: Path, keep: float) -> None:
    data = log.read_bytes()
    cut = tmp_path / "cut.mcap"
    cut.write_bytes(data[: int(len(data) * keep)])
    done = cargobox("replay", cut, "--out", tmp_path / "out", "--json")
    lost = keep < 0.99  # of the last part only the index is gone
    assert done.end() == int(lost), done.err
    document = done.document
    assert document["damaged"] is lost
    assert ("expected a whole log. What could be read was replayed" in done.err) is lost
    assert 0 < document["samples"] <= 10_000
    assert (document["samples"] < 10_000) is lost
    assert any("damaged" in note for note in document["notes"]), document["notes"]
    assert any("damaged" in line for line in done.err.splitlines()), done.err
    lines = (tmp_path / "out" / "records.jsonl").read_bytes().splitlines()
    assert len(lines) == sum(document["records"].values()), "what could be read was replayed"


def test_a_csv_cut_in_the_middle(csv: Path, tmp_path: Path) -> None:
    csv.write_bytes(csv.read_bytes()[:-9])
    done = cargobox("replay", csv, "--map", tmp_path / "map.toml", "--out", tmp_path / "out", "--json")
    assert done.end() == 1, done.err
    assert done.document["samples"] == 999
    assert any("cut short" in note for note in done.document["notes"]), done.document["notes"]


def test_logs_that_are_not_what_they_are_called(log: Path, csv: Path, tmp_path: Path) -> None:
    out, mapped = tmp_path / "out", tmp_path / "map.toml"
    told = refused("replay", csv.rename(tmp_path / "text.mcap"), "--out", out, status=1)
    assert "an MCAP file" in told.expected
    told = refused("replay", log.rename(tmp_path / "binary.csv"), "--map", mapped, "--out", out, status=1)
    assert "text in rows" in told.expected
    (tmp_path / "empty.mcap").touch()
    assert refused("replay", tmp_path / "empty.mcap", "--out", out, status=1).got == "an empty file"
    (tmp_path / "trip.wav").touch()
    assert "'.wav'" in refused("replay", tmp_path / "trip.wav", "--out", out, status=2).got
    told = refused("replay", tmp_path / "txet.mcap", "--out", out, status=2)
    assert told.got == "no such file (did you mean 'text.mcap'?)"
    assert nothing_finished(tmp_path)


def test_a_folder_that_cannot_be_written(log: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/none")):
        told = refused("replay", log, "--out", out, status=1)
        assert str(out) in told.got + told.doing
    full = refused("replay", log, "--out", out, "--config", tmp_path / "none.toml", status=2)
    assert full.got == "No such file or directory"


def test_one_bad_log_among_several(log: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.mcap"
    bad.write_bytes(b"no recording at all")
    other = write_log(tmp_path / "other.mcap", seconds=3)
    out = tmp_path / "out"
    done = cargobox("replay", log, bad, other, tmp_path / "none.mcap", "--out", out, "--json")
    assert done.end() == 1
    assert len(done.out.splitlines()) == 1
    document = done.document
    assert [Path(name).name for name in document["logs"]] == ["trip.mcap", "other.mcap"], "the rest is done"
    assert [Path(name).name for name in document["failed"]] == ["bad.mcap", "none.mcap"]
    assert document["samples"] == 13_000
    assert document == json.loads((out / "summary.json").read_text())
    assert {p.parent.name for p in out.glob("*/records.jsonl")} == {"trip", "other"}
    assert "an MCAP file" in done.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_a_replay_that_is_stopped(number: signal.Signals, log: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with Running(command("replay", log, "--out", out, "--speed", 0.1)) as replay:
        while not (out / "records.jsonl.part").exists():
            assert replay.process.poll() is None, replay.err
        assert replay.end(number) == 130, replay.err
    assert nothing_finished(tmp_path)
    assert "holds no finished result" in replay.err


# -- certificates ----------------------------------------------------------------------------------


def certificate(axes: int) -> bytes:
    identity = tuple(tuple(float(i == j) for j in range(axes)) for i in range(axes))
    return Certificate(
        stream="accel", gain=identity, bias=(0.1,) * axes, method="six positions", made_at="2026-01-01"
    ).to_json()


def config_with(folder: Path, *names: str) -> Path:
    path = folder / "box.toml"
    path.write_text(f"[certificates]\nfiles = {list(names)}\n")
    return path


def test_certificates_that_do_not_fit(log: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (tmp_path / "two.json").write_bytes(certificate(2))
    (tmp_path / "three.json").write_bytes(certificate(3))
    (tmp_path / "again.json").write_bytes(certificate(3))
    (tmp_path / "cut.json").write_bytes(certificate(3)[:-20])

    def told_of(*names: str) -> tuple[str, str]:
        told = refused("replay", log, "--out", out, "--config", config_with(tmp_path, *names), status=2)
        return told.got, told.expected

    got, expected = told_of("two.json")
    assert "2" in got
    assert "3" in expected
    assert told_of("none.json")[0] == "No such file or directory"
    assert "cargobox-certificate/1" in told_of("cut.json")[1]
    got, expected = told_of("three.json", "again.json")
    assert "three.json" in got
    assert "again.json" in got
    assert expected == "one a stream"
    assert nothing_finished(tmp_path)
    good = cargobox("replay", log, "--out", out, "--config", config_with(tmp_path, "three.json"))
    assert good.end() == 0, good.err
