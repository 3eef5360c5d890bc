"""Many logs: folders and globs, maps, workers that die, what is done already, and sweeps."""

from __future__ import annotations

import csv as csv_files
import json
import os
import signal
from collections.abc import Collection
from pathlib import Path

import pytest

from agent.cli import main
from agent.config import load_config
from agent.errors import ConfigError, UsageError
from agent.replay.selection import select
from agent.replay.sweep import combinations, parse_settings
from calibration.certificate import Certificate
from tests.live.processes import Running, cargobox, children_of, command, ends
from tests.replay.making import results, write_log

MAP = '[time]\ncolumn = "t"\nformat = "s"\n[streams.accel]\ncolumns = ["x", "y", "z"]\nunit = "g"\n'


def write_csv(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("t,x,y,z\n" + "".join(f"{i / 100:.2f},0,0,1\n" for i in range(500)))
    return path


def here(*arguments: object) -> int:
    """Run `replay` in this process, for what needs none of its own."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    try:
        return main(["replay", *map(str, arguments)])
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


# -- which logs ------------------------------------------------------------------------------------------


def test_a_folder_a_glob_and_their_maps(tmp_path: Path) -> None:
    trips, maps = tmp_path / "trips", tmp_path / "maps"
    maps.mkdir()
    for name in ("vans.toml", "named.toml"):
        (maps / name).write_text(MAP)
    write_csv(trips / "vans" / "a.csv")
    write_csv(trips / "b" / "named.csv")
    write_csv(trips / "b" / "beside.csv").with_suffix(".toml").write_text(MAP)
    write_csv(trips / "b" / "labels.csv")
    write_csv(trips / ".hidden" / "no.csv")
    write_csv(trips / "out" / "sweep.csv")
    for name in ("z.mcap", "b/z.mcap", "vans/notes.txt"):
        (trips / name).touch()
    found = select([trips], out=trips / "out", maps=maps)
    of = {str(one.folder): one.map_path and str(one.map_path.relative_to(tmp_path)) for one in found.logs}
    assert of == {
        "z": None,
        "b/beside": "trips/b/beside.toml",
        "b/named": "maps/named.toml",
        "b/z": None,
        "vans/a": "maps/vans.toml",
    }, of
    assert [left.partition(":")[0] for left in found.left_out] == [str(trips / "b" / "labels.csv")]
    globbed = select([trips / "**" / "*.csv"], out=trips / "out", maps=maps)
    assert [str(one.folder) for one in globbed.logs] == ["b/beside", "b/named", "vans/a"]
    both = select([trips / "b", trips / "vans"], out=trips / "out", maps=maps)
    assert [str(one.folder) for one in both.logs] == ["b/beside", "b/named", "b/z", "vans/a"]
    assert select([trips / "z.mcap"], out=tmp_path, maps=None).single
    twice = select([trips / "z.mcap", trips / "b" / "z.mcap"], out=tmp_path, maps=None)
    assert [str(one.folder) for one in twice.logs] == ["z", "z-2"]


@pytest.mark.parametrize("word", ["empty", "none", "none/*.mcap", "only"])
def test_nothing_to_replay(word: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write_csv(tmp_path / "only" / "table.csv")
    told = "a .csv without a map" if word == "only" else "no log"
    with pytest.raises(UsageError, match=told):
        select([tmp_path / word], out=tmp_path / "out", maps=None)


# -- workers ----------------------------------------------------------------------------------------------


def test_two_workers_give_the_bytes_of_one_and_resume_leaves_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trips = tmp_path / "trips"
    for k in (0, 2, 3):
        write_log(trips / f"trip-{k}.mcap", seed=k)
    (trips / "trip-1b.mcap").write_bytes(b"no recording at all")
    whole = (trips / "trip-2.mcap").read_bytes()
    (trips / "trip-2.mcap").write_bytes(whole[: len(whole) * 2 // 3])
    one, two = tmp_path / "one", tmp_path / "two"
    assert here(trips, "--out", one) == 1
    alone = capsys.readouterr().err
    both = cargobox("replay", trips, "--out", two, "--json", "--workers", 2)
    assert both.end() == 1, both.err
    assert results(one) == results(two)
    assert [Path(name).stem for name in both.document["failed"]] == ["trip-1b", "trip-2"]
    assert [line for line in both.err.splitlines() if line.startswith("error")] == [
        line for line in alone.splitlines() if line.startswith("error")
    ]
    # again: only what changed, and what is not whole, is done
    write_log(trips / "trip-0.mcap", seed=9)
    records = two / "trip-3" / "records.jsonl"
    worn = bytearray(records.read_bytes())
    worn[len(worn) // 2] ^= 1
    records.write_bytes(worn)
    before = {path: path.stat().st_mtime_ns for path in two.rglob("records.jsonl")}
    again = cargobox("replay", trips, "--out", two, "--json", "--workers", 2, "--resume")
    assert again.end() == 1, again.err
    after = {path: path.stat().st_mtime_ns for path in two.rglob("records.jsonl")}
    changed = sorted(path.parent.name for path in after if after[path] != before[path])
    assert changed == ["trip-0", "trip-3"], changed
    assert [Path(name).stem for name in again.document["failed"]] == ["trip-1b", "trip-2"], "still told"
    assert here(trips, "--out", one) == 1
    assert results(one) == results(two)
    # other settings are another result
    for told in (False, True):
        capsys.readouterr()
        given = ("--out", two / "trip-3", "--resume", "--set", "box.id=x")
        assert here(trips / "trip-3.mcap", *given) == 0
        assert ("done before" in capsys.readouterr().err) is told


def worker_at(replay: Running, part: Path, but: Collection[int] = ()) -> int:
    """Return the process that writes `part`, once there is one, `but` for those that are dying already."""
    while True:
        assert replay.process.poll() is None, replay.err
        for pid in children_of(replay.process.pid).difference(but):
            try:
                if any(os.readlink(fd) == str(part) for fd in Path(f"/proc/{pid}/fd").iterdir()):
                    return pid
            except OSError:
                continue  # gone meanwhile


def test_a_log_that_kills_workers_is_given_up_and_the_rest_goes_on(tmp_path: Path) -> None:
    trips, out = tmp_path / "trips", tmp_path / "out"
    deadly = write_log(trips / "a-deadly.mcap", seconds=20, seed=1)
    for k in range(2):
        write_log(trips / f"trip-{k}.mcap", seed=k)
    line = command("replay", trips, "--out", out, "--workers", 2, "--json", "--speed", 10)
    with Running(line) as replay:
        dead: list[int] = []
        for _ in range(3):
            dead.append(worker_at(replay, out / "a-deadly" / "records.jsonl.part", but=dead))
            os.kill(dead[-1], signal.SIGKILL)
        assert replay.end() == 1, replay.err
    assert len(replay.document["logs"]) == 2, replay.err
    (told,) = replay.document["failed"].values()
    assert f"replaying {deadly}: 3 workers died at it; the last one was killed by SIGKILL" in told


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=lambda n: n.name)
def test_workers_end_with_the_one_who_sent_them(number: signal.Signals, tmp_path: Path) -> None:
    trips, out = tmp_path / "trips", tmp_path / "out"
    for k in range(3):
        write_log(trips / f"trip-{k}.mcap", seed=k)
    with Running(command("replay", trips, "--out", out, "--workers", 2, "--speed", 0.01)) as replay:
        for k in range(2):
            worker_at(replay, out / f"trip-{k}" / "records.jsonl.part")
        with ends(children_of(replay.process.pid)):
            status = replay.end(number)
    assert status == (130 if number is signal.SIGINT else -signal.SIGKILL), replay.err
    assert not list(out.rglob("summary.json")) and not list(out.rglob("records.jsonl"))
    if number is signal.SIGINT:
        assert "0 of 3 are done and nothing is half" in replay.err, replay.err
        assert not list(out.rglob("*.part"))


# -- settings, certificates, sweeps ----------------------------------------------------------------------


def test_a_trip_under_another_calibration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trip = write_log(tmp_path / "trip.mcap")
    given = Certificate(
        stream="accel",
        gain=((2.0, 0.0, 0.0), (0.0, 2.0, 0.0), (0.0, 0.0, 2.0)),
        bias=(0.0, 0.0, 0.0),
        method="six positions",
        made_at="2026-01-01",
    )
    (tmp_path / "new.json").write_bytes(given.to_json())
    assert here(trip, "--out", tmp_path / "plain") == 0
    assert here(trip, "--out", tmp_path / "out", "--certificate", tmp_path / "new.json") == 0
    lines = (tmp_path / "out" / "records.jsonl").read_text().splitlines()
    assert all(json.loads(line)["payload"]["cal"] == given.hash for line in lines)
    assert lines != (tmp_path / "plain" / "records.jsonl").read_text().splitlines()
    capsys.readouterr()
    assert here(trip, "--out", tmp_path / "z", *["--certificate", tmp_path / "new.json"] * 2) == 2
    assert "two for stream 'accel'" in capsys.readouterr().err


def test_keys_with_dots_change_the_configuration() -> None:
    told = parse_settings(
        ["detect.tilt.levels.2.angle_deg=25", "cargo.profile=vaccines", "detect.temperature.high_degc=9"]
    )
    config = load_config(None, told)
    plain = load_config(None, {"cargo.profile": "vaccines"})
    assert [level.angle_deg for level in config.detect.tilt.levels] == [15.0, 17.0, 25, 60.0]
    assert config.detect.temperature.high_degc == 9 != plain.detect.temperature.high_degc
    assert config.detect.temperature.low_degc == plain.detect.temperature.low_degc is not None
    for wrong, got in (
        ("detect.tilt.levels.9.angle_deg=1", "'9' as a place"),
        ("box.id.name=x", "id as a table"),
        ("detect.tilt.level=1", "a key 'level'"),
    ):
        with pytest.raises(ConfigError, match=got):
            load_config(None, parse_settings(["box.id=b", wrong]))
    for wrong in ("detect", "=3", "a..b=3", "a.b="):
        with pytest.raises(UsageError, match="expected KEY=VALUE"):
            parse_settings([wrong])


def test_the_points_of_a_grid() -> None:
    grid = combinations(["a.b=0.1:0.3:0.1", "c.b=x,y", "d=[1,2],[3]"])
    assert len(grid) == 12
    assert [point.values["a.b"] for point in grid[::4]] == [0.1, 0.2, 0.3], "decimals, not sums"
    assert dict(grid[0].values) == {"a.b": 0.1, "c.b": "x", "d": [1, 2]}
    assert str(grid[0].folder) == "a.b=0.1,c.b=x,d=_1,_2_"
    assert [point.values["k"] for point in combinations(["k=20:10:-5"])] == [20, 15, 10]
    assert len({point.folder for point in grid}) == 12
    for wrong in ("k=1:2:0", "k=2:1:1", "k=1:1e9:1", "k=,", "k"):
        with pytest.raises(UsageError):
            combinations([wrong])
    with pytest.raises(UsageError, match="k twice"):
        combinations(["k=1", "k=2"])


def test_a_sweep_is_what_single_replays_are(tmp_path: Path) -> None:
    trips, out = tmp_path / "trips", tmp_path / "out"
    for k in range(2):
        write_log(trips / f"trip-{k}.mcap", seed=k)
    key = "detect.shock.enabled"
    done = cargobox("replay", trips, "--out", out, "--sweep", f"{key}=true,false", "--json")
    assert done.end() == 0, done.err
    assert done.document == json.loads((out / "sweep.json").read_bytes())
    low, high = done.document["combinations"]
    assert low["events"] != high["events"], f"{low['events']} and {high['events']}"
    with (out / "sweep.csv").open() as file:
        table = list(csv_files.DictReader(file))
    assert [(row[key], Path(row["log"]).stem) for row in table] == [
        (value, name) for value in ("true", "false") for name in ("", "trip-0", "trip-1")
    ]
    assert {row["failed"] for row in table} == {"0"}, "counts, of a single log, too"
    assert "enabled  log" in done.err
    assert here(trips, "--out", tmp_path / "single", "--set", f"{key}=false") == 0
    assert results(out / "enabled=false") == results(tmp_path / "single")
    assert here(trips, "--out", tmp_path / "z", "--sweep", "detect.shock.peak_mps2=20,900") == 2
    assert not (tmp_path / "z").exists(), "refused before anything is done"
