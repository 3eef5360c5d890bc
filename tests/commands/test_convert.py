"""`cargobox convert`: what comes out, what is refused, and what is left behind when it fails."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agent import ros_messages
from agent.blocks import FaultKind, FaultPhase, SensorFault
from agent.cli import main
from agent.commands import convert_one
from agent.commands.convert_check import Reckoning
from agent.commands.convert_one import Task
from agent.sources import bag_log
from tests.logs.damaging import write
from tests.logs.reading import assert_same, read
from tests.logs.trips import drive


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "trip.mcap"
    write(path, ".mcap", drive(0.4))
    return path


@pytest.mark.parametrize("name", ["out.csv", "out.mcap", "out.bag", "out", "out/"])
def test_there_and_back_is_the_same_log(
    log: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / name
    assert main(["convert", str(log), f"{tmp_path}/{name}", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["verified"] == document["samples"] == 432
    back = tmp_path / "back.mcap"
    assert main(["convert", str(out), str(back)]) == 0
    got, wanted = read(back), read(log)
    kept = wanted.specs if out.suffix == ".mcap" else tuple(s for s in wanted.specs if s.name in wanted.lanes)
    assert got.specs == kept
    assert kept == wanted.specs or "temperature: no sample" in " ".join(document["notes"])
    assert got.source.identity.boot == wanted.source.identity.boot
    if out.suffix == ".csv":  # periods to the picosecond have no column
        for stream, lane in got.lanes.items():
            same = wanted.lanes[stream]
            assert (lane.index, lane.times_ns) == (same.index, same.times_ns)
            assert lane.array.tobytes() == same.array.tobytes()
    else:
        assert_same(got.lanes, wanted.lanes)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == sorted(
        {"trip.mcap", "back.mcap", out.name, *(["out.toml"] if out.suffix == ".csv" else [])}
    )


def test_a_bag_holds_the_name_that_it_was_given(log: Path, tmp_path: Path) -> None:
    assert main(["convert", str(log), str(tmp_path / "out")]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["metadata.yaml", "out.mcap"]
    assert "path: out.mcap" in (tmp_path / "out" / "metadata.yaml").read_text()


def test_nothing_is_overwritten_unless_asked(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("out.csv", "out.bag", "out"):
        out = tmp_path / name
        assert main(["convert", str(log), str(out)]) == 0
        assert main(["convert", str(log), str(out)]) == 2
        assert "--force" in capsys.readouterr().err
        assert main(["convert", str(log), str(out), "--force"]) == 0
    other = tmp_path / "photographs"
    other.mkdir()
    assert main(["convert", str(log), str(other), "--force"]) == 2
    assert other.is_dir()


@pytest.mark.parametrize("name", ["out.ide", "out.db3", "out.csvv", "nowhere/out.csv"])
def test_what_cannot_be_written_is_refused_before_anything_is_read(
    log: Path, tmp_path: Path, name: str
) -> None:
    assert main(["convert", str(log), str(tmp_path / name)]) == 2
    assert [path.name for path in tmp_path.iterdir()] == [log.name]


def test_a_failure_leaves_nothing_behind(log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(_: object) -> float:
        raise KeyboardInterrupt

    for name in ("out.csv", "out.mcap", "out.bag", "out"):
        with monkeypatch.context() as patch:
            patch.setattr(convert_one, "verify", lambda *_: stop(None))
            assert main(["convert", str(log), str(tmp_path / name)]) == 130
    assert [path.name for path in tmp_path.iterdir()] == [log.name]


def test_a_difference_found_on_reading_back_keeps_the_file_from_being(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = convert_one.verify

    def verify(part: Path, task: Task, went_in: Reckoning, on_progress: Callable[[float], None]) -> int:
        part.write_bytes(part.read_bytes().replace(b",1,", b",2,", 1))
        return real(part, task, went_in, on_progress)

    monkeypatch.setattr(convert_one, "verify", verify)
    assert main(["convert", str(log), str(tmp_path / "out.csv")]) == 1
    assert "differs" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [log.name]


def test_what_a_format_has_no_word_for_is_said_and_strict_refuses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trip = drive(0.2)
    last_ns = 5_300_000_000
    fault = SensorFault(
        "accel", last_ns, FaultPhase.START, FaultKind.NACK, "ADXL345", ("accel",), "nothing", "an answer"
    )
    path = tmp_path / "trip.mcap"
    write(path, ".mcap", type(trip)(trip.specs, (*trip.items, fault)))
    assert main(["convert", str(path), str(tmp_path / "out.csv")]) == 0
    assert "1 words on sensors that fail have no place in CSV" in capsys.readouterr().err
    assert main(["convert", str(path), str(tmp_path / "strict.csv"), "--strict"]) == 1
    assert not (tmp_path / "strict.csv").exists()


def test_a_damaged_log_is_converted_as_far_as_it_goes(log: Path, tmp_path: Path) -> None:
    whole, cut = tmp_path / "trip.csv", tmp_path / "cut.csv"
    assert main(["convert", str(log), str(whole)]) == 0
    cut.write_bytes(whole.read_bytes()[:9000])
    whole.with_suffix(".toml").rename(cut.with_suffix(".toml"))
    assert main(["convert", str(cut), str(tmp_path / "out.mcap")]) == 1
    got, wanted = read(tmp_path / "out.mcap").lanes["accel"], read(log).lanes["accel"]
    n = len(got.times_ns)
    assert 100 < n < 400
    assert got.array.tobytes() == wanted.array[:n].tobytes()


@pytest.mark.parametrize(("package", "suffix"), [("rosbags.typesys", ".bag"), ("idelib", ".ide")])
def test_a_missing_extra_is_said_in_plain_words(
    log: Path,
    tmp_path: Path,
    package: str,
    suffix: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / f"trip{suffix}"
    if suffix == ".bag":
        assert main(["convert", str(log), str(path)]) == 0
    else:
        path.write_bytes(bytes.fromhex("1a45dfa3"))
    bag_log._store.cache_clear()
    ros_messages.typestore.cache_clear()
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["convert", str(path), str(tmp_path / "out.mcap")]) == 2
    assert "the extra 'engineer'" in capsys.readouterr().err
