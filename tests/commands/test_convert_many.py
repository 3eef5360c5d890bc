"""`cargobox convert --to`: many logs into a folder, what is done already, and which channel is taken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from agent.blocks import Block, RegularClock
from agent.cli import main
from agent.commands import convert_many
from agent.commands.convert_one import Task, Wish, convert
from agent.log_info import LogInfo
from agent.recorder.bag_writer import Ros1Recorder
from agent.streams import TABLE
from tests.logs.damaging import write
from tests.logs.reading import read, recording
from tests.logs.trips import drive


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Three logs, one of them cut, and one that is none; a table without a map."""
    folder = tmp_path / "logs"
    (folder / "vans").mkdir(parents=True)
    write(folder / "a.mcap", ".mcap", drive(0.2))
    write(folder / "vans" / "b.csv", ".csv", drive(0.2))
    write(folder / "vans" / "cut.mcap", ".mcap", drive(8.0))
    whole = (folder / "vans" / "cut.mcap").read_bytes()
    (folder / "vans" / "cut.mcap").write_bytes(whole[: len(whole) * 3 // 4])
    (folder / "broken.mcap").write_bytes(b"no recording at all")
    (folder / "labels.csv").write_text("a,b\n1,2\n")
    return folder


def told(*words: object, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any], str]:
    status = main(["convert", *map(str, words), "--json"])
    out, err = capsys.readouterr()
    return status, json.loads(out), err


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_damaged_log_is_told_of_and_the_rest_goes_on(
    logs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "out"
    status, document, err = told(logs, out, "--to", "csv", capsys=capsys)
    assert status == 1
    names = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    tables = {"a", "vans/b", "vans/cut"}
    assert names == {f"{n}.{s}" for n in tables for s in ("csv", "toml")} | {"converted.jsonl"}
    assert [Path(name).stem for name in document["failed"]] == ["broken", "cut"]
    assert [left.partition(":")[0] for left in document["left_out"]] == [str(logs / "labels.csv")]
    assert err.count("error: ") == 2 and "4 logs, 2 with errors" in err
    for one in document["logs"].values():
        assert one["verified"] == one["samples"] > 0, one
    got, wanted = read(out / "a.csv", out / "a.toml"), read(logs / "a.mcap")
    assert got.lanes["accel"].index == wanted.lanes["accel"].index


def test_resume_leaves_what_is_done_and_touches_nothing_else(
    logs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    told(logs, out, "--to", "bag", capsys=capsys)
    before = contents(out)
    status, document, _ = told(logs, out, "--to", "bag", capsys=capsys)
    assert status == 2 and "a.bag, which is there already, and 2 more" in document["error"]["got"]
    (out / "a.bag").unlink()
    status, document, _ = told(logs, out, "--to", "bag", "--resume", capsys=capsys)
    assert status == 1
    assert {Path(name).stem: one["resumed"] for name, one in document["logs"].items()} == {
        "a": False,
        "b": True,
        "cut": True,
    }
    assert [Path(name).stem for name in document["failed"]] == ["broken", "cut"], "still told"
    # the log is another now; the other result was changed by someone; a third was there before
    (logs / "a.mcap").unlink()
    write(logs / "a.mcap", ".mcap", drive(0.3))
    (out / "vans" / "b.bag").write_bytes(before["vans/b.bag"][:-1])
    write(logs / "z.mcap", ".mcap", drive(0.2))
    (out / "z.bag").write_bytes(b"somebody's")
    kept = contents(out)
    status, document, _ = told(logs, out, "--to", "bag", "--resume", capsys=capsys)
    assert [Path(name).stem for name in document["failed"]] == ["a", "broken", "z", "b", "cut"]
    assert contents(out) == kept, "nothing is replaced unasked"
    status, document, _ = told(logs, out, "--to", "bag", "--resume", "--force", capsys=capsys)
    assert {Path(name).stem: one["resumed"] for name, one in document["logs"].items()} == {
        "a": False,
        "b": False,
        "cut": True,
        "z": False,
    }
    assert len(read(out / "a.bag").lanes["accel"].index) == 300


def test_a_result_that_was_not_verified_is_not_done(
    logs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    told(logs / "a.mcap", out, "--to", "mcap", "--no-verify", capsys=capsys)
    assert told(logs / "a.mcap", out, "--to", "mcap", "--no-verify", "--resume", capsys=capsys)[0] == 0
    status, document, _ = told(logs / "a.mcap", out, "--to", "mcap", "--resume", capsys=capsys)
    assert status == 1 and "not verified" in next(iter(document["failed"].values()))


def test_stopped_it_leaves_nothing_half_and_resume_does_the_others(
    logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"

    def stopping(task: Task, wish: Wish, *hooks: Any) -> dict[str, Any]:
        def stop(part: float) -> None:
            if task.log.stem == "b" and part > 0.3:
                raise KeyboardInterrupt

        return convert(task, wish, stop, *hooks[1:])

    with monkeypatch.context() as patch:
        patch.setattr(convert_many, "convert", stopping)
        assert main(["convert", str(logs), str(out), "--to", "mcap"]) == 130
    assert "--resume does the others" in capsys.readouterr().err
    assert sorted(contents(out)) == ["a.mcap", "converted.jsonl"]
    _, document, _ = told(logs, out, "--to", "mcap", "--resume", capsys=capsys)
    assert {Path(name).stem: one["resumed"] for name, one in document["logs"].items()} == {
        "a": True,
        "b": False,
        "cut": False,
    }


def test_many_want_a_format_and_a_folder_that_is_not_theirs(
    logs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(tmp_path)
    refused = (
        ("--to", [logs, tmp_path / "out"]),
        ("--to", [f"{logs}/*.mcap", tmp_path / "out"]),
        ("--to", [logs / "a.mcap", logs / "vans" / "cut.mcap", tmp_path / "out.csv"]),
        ("--resume", [logs / "a.mcap", tmp_path / "out.csv", "--resume"]),
        ("the folder of the logs itself", [logs, logs, "--to", "mcap"]),
        ("a file of this name", [logs, logs / "a.mcap", "--to", "mcap"]),
        ("--take", [logs / "a.mcap", tmp_path / "out", "--to", "mcap", "--take", "accel=8"]),
        (
            "the streams of this log have their names",
            [logs / "a.mcap", tmp_path / "o.csv", "--take", "accel=8"],
        ),
        ("'akzel=8'", [logs / "a.mcap", tmp_path / "o.csv", "--take", "akzel=8"]),
        ("said before", [logs / "a.mcap", tmp_path / "o.csv", "--take", "accel=8", "--take", "accel=9"]),
    )
    for words, arguments in refused:
        assert main(["convert", *map(str, arguments)]) == 2, arguments
        assert words in capsys.readouterr().err, arguments
    assert contents(tmp_path) == before


def test_a_map_that_the_log_is_read_by_is_not_written_over(tmp_path: Path) -> None:
    table, made = tmp_path / "t.csv", tmp_path / "made.csv"
    write(table, ".csv", drive(0.2))
    table.with_suffix(".toml").rename(tmp_path / "made.toml")
    before = contents(tmp_path)
    status = main(["convert", str(table), str(made), "--map", str(tmp_path / "made.toml"), "--force"])
    assert status == 2 and contents(tmp_path) == before


# -- which channel, which topic ---------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["8", "100g pe acceleration"])
def test_the_channel_that_a_person_chose_takes_the_name(tmp_path: Path, which: str) -> None:
    log = recording("endaq-ide/endaq-python_Cloud_Test_000000.IDE")
    out = tmp_path / "out.mcap"
    assert main(["convert", str(log), str(out), "--take", f"accel={which}"]) == 0
    ruled, chosen = read(log), read(out)
    assert chosen.lanes["accel"].array.tobytes() == ruled.lanes["accel_8"].array.tobytes()
    assert chosen.lanes["accel_80"].array.tobytes() == ruled.lanes["accel"].array.tobytes()
    watched = {spec.name: spec.watch for spec in chosen.specs if spec.name.startswith("accel")}
    assert watched == {"accel": False, "accel_80": False}, "a piezo does not feel gravity, chosen or not"


def test_a_channel_that_is_not_there_is_told_with_those_that_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = recording("endaq-ide/endaq-python_Cloud_Test_000000.IDE")
    assert main(["convert", str(log), str(tmp_path / "o.mcap"), "--take", "accel=9"]) == 1
    assert "80 (" in (err := capsys.readouterr().err) and "8 (100g PE Acceleration)" in err
    assert main(["convert", str(log), str(tmp_path / "o.mcap"), "--take", "load=9"]) == 1
    assert "a log that measures load" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_topic_that_a_person_chose_takes_the_name(tmp_path: Path) -> None:
    log = recording("imu-rosbags/phidgets_imu_upside_down.bag")
    ruled = read(log)
    assert ruled.source.identity.box is None
    topic = next(spec.sensor for spec in ruled.specs if spec.name == "accel").removeprefix("topic ")
    out = tmp_path / "out.mcap"
    assert main(["convert", str(log), str(out), "--take", f"accel={topic}"]) == 0
    assert read(out).lanes["accel"].index == ruled.lanes["accel"].index
    assert main(["convert", str(log), str(tmp_path / "o.mcap"), "--take", "accel=/elsewhere"]) == 1


def test_of_two_topics_the_shorter_can_be_chosen(tmp_path: Path) -> None:
    """A bag of others, made of two of ours: their notes left away."""
    from rosbags.rosbag1 import Reader, Writer

    spec = msgspec.structs.replace(TABLE["accel"], scale=1.0, offset=0.0)
    mixed = tmp_path / "mixed.bag"
    with Writer(mixed) as writer:
        for topic, count in (("/long", 300), ("/short", 200)):
            one = tmp_path / f"{topic[1:]}.bag"
            info = LogInfo(box="b", boot="0" * 16, software="1", streams=(spec,))
            with Ros1Recorder(one, info) as recorder:
                values = np.full((count, 3), count, np.float32)
                recorder.write(Block("accel", 0, RegularClock(0, 10**9, 10**9), values))
            with Reader(one) as reader:
                for connection, stamp_ns, data in reader.messages():
                    if connection.topic.endswith("/accel"):
                        known = [c for c in writer.connections if c.topic == topic]
                        to = (
                            known[0]
                            if known
                            else writer.add_connection(
                                topic,
                                connection.msgtype,
                                msgdef=connection.msgdef.data,
                                md5sum=connection.digest,
                            )
                        )
                        writer.write(to, stamp_ns, data)
    assert float(read(mixed).lanes["accel"].array[0, 0]) == 300.0
    assert main(["convert", str(mixed), str(tmp_path / "o.mcap"), "--take", "accel=/short"]) == 0
    lanes = read(tmp_path / "o.mcap").lanes
    assert {name: float(lane.array[0, 0]) for name, lane in lanes.items()} == {
        "accel": 200.0,
        "accel_long": 300.0,
    }


@pytest.mark.parametrize(("to", "renamed"), [("mcap", 1), ("csv", 1), ("csv", 2), ("ros2", 0)])
def test_killed_while_a_result_takes_its_name_resume_goes_on(
    logs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    to: str,
    renamed: int,
) -> None:
    """After none, one or both of a table and its map; what is left of it lies there as after `kill -9`."""
    out, real = tmp_path / "out", Path.replace
    names: list[Path] = []

    def killing(self: Path, target: Path) -> Path:
        if len(names) == renamed:
            raise KeyboardInterrupt
        names.append(Path(target))
        moved = real(self, target)
        if len(names) == renamed and renamed == 1 + (to == "csv"):
            raise KeyboardInterrupt
        return moved

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killing)
        patch.setattr("shutil.rmtree", lambda *_, **__: None)
        patch.setattr("os.getpid", lambda: 1 << 30)
        assert main(["convert", str(logs / "a.mcap"), str(out), "--to", to]) == 130
    assert [path for path in out.iterdir() if path.name.startswith(".")], "what a kill leaves"
    capsys.readouterr()
    status, document, err = told(logs / "a.mcap", out, "--to", to, "--resume", capsys=capsys)
    assert status == 0, err
    (one,) = document["logs"].values()
    done = renamed == 1 + (to == "csv")
    assert one["resumed"] == done
    if not done:
        assert not [path for path in out.iterdir() if path.name.startswith(".")], "nothing is left of it"
