"""Replays on a Dask cluster of this machine: a real scheduler, real workers, and one of them killed."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.processes import Running, cargobox, command
from tests.replay.dask_here import registered, scheduler, worker
from tests.replay.making import results, write_log

pytest.importorskip("distributed", reason="the extra `cluster` is not installed")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The address of a scheduler."""
    with scheduler() as (found, _):
        yield found


def test_a_worker_killed_half_way_changes_nothing(address: str, tmp_path: Path) -> None:
    """It dies while it is in the middle of a log; the other does that again, and the bytes are the same."""
    trips = tmp_path / "trips"
    logs = [write_log(trips / f"trip-{k}.mcap", seed=k, seconds=4) for k in range(4)]
    (trips / "bad.mcap").write_bytes(b"no recording at all")
    alone = cargobox("replay", trips, "--out", tmp_path / "alone", "--json")
    assert alone.end() == 1, alone.err
    out = tmp_path / "many"
    with worker(address) as first, worker(address) as second:
        registered(first), registered(second)
        # at 4 × real time each log takes a second, so that whoever writes a part is in the middle of it
        line = command("replay", trips, "--cluster", address, "--speed", 4, "--out", out, "--json")
        with Running(line) as replay:
            part = f"*/records.jsonl.*-{first.process.pid}-*.part"
            while not list(out.glob(part)):
                assert replay.process.poll() is None, f"it ended, and no {part}: {replay.err}"
            first.kill()
            assert replay.end() == 1, replay.err
        assert second.process.poll() is None
    assert results(out) == results(tmp_path / "alone")
    assert len(replay.document["logs"]) == len(logs) == 4
    assert list(replay.document["failed"]) == [str(trips / "bad.mcap")]
    assert "Traceback" not in replay.err, replay.err
    told = [line.partition(":")[0] for line in replay.err.splitlines() if line.startswith(str(trips))]
    assert told == [str(log) for log in logs], "in the order of the logs"
    assert "distributed" not in replay.err, f"Dask's own words: {replay.err}"
    assert not list(out.glob(".wanted*"))


def test_ctrl_c_ends_what_the_workers_do_and_resume_goes_on(address: str, tmp_path: Path) -> None:
    """One log is done and one is in work; with --resume the first one is left as it is."""
    trips, out = tmp_path / "trips", tmp_path / "out"
    for k in range(2):
        write_log(trips / f"trip-{k}.mcap", seed=k)
    both = ("replay", trips, "--cluster", address, "--out", out)
    with registered(worker(address)) as process:
        line = command("replay", trips / "trip-0.mcap", "--cluster", address, "--out", out / "trip-0")
        with Running(line) as first:
            assert first.end() == 0, first.err
        done_ns = (out / "trip-0" / "records.jsonl").stat().st_mtime_ns
        with Running(command(*both, "--speed", 0.01, "--resume")) as replay:
            while not list(out.glob("trip-1/records.jsonl.*.part")):
                assert replay.process.poll() is None, replay.err
            assert replay.end(signal.SIGINT) == 130, replay.err
        assert "1 of 2 are done and nothing is half; --resume" in replay.err, replay.err
        while list(out.rglob("*.part")):  # the worker looks once a second whether it is still wanted
            assert process.process.poll() is None
        assert not list((out / "trip-1").iterdir())
        with Running(command(*both, "--resume")) as again:
            assert again.end() == 0, again.err
    assert (out / "trip-0" / "records.jsonl").stat().st_mtime_ns == done_ns
    assert cargobox("replay", trips, "--out", tmp_path / "alone").end() == 0
    assert results(out) == results(tmp_path / "alone")
