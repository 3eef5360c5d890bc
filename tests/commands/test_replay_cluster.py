"""Replays on a Dask cluster of this machine: a real scheduler, real workers, and one of them killed."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands.refusal import refused
from tests.live.processes import Running, cargobox, command
from tests.replay.making import results, write_log

pytest.importorskip("distributed", reason="the extra `cluster` is not installed")

DASK = [sys.executable, "-m", "dask"]


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """The address of a scheduler."""
    line = [*DASK, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--no-show"]
    with Running(line) as process:
        told = process.wait_line(r"Scheduler at:\s+tcp://")
        yield re.search(r"tcp://\S+", told)[0]  # type: ignore[index]
        process.end(signal.SIGTERM)


def worker(address: str, other: Path | None = None) -> Running:
    """Start a worker of one thread, and no nanny: what is dead stays dead."""
    line = [*DASK, "worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard"]
    if other is not None:  # software that it finds before ours
        return Running(line, cwd=other, PYTHONPATH=str(other))
    return Running(line)


def registered(process: Running) -> Running:
    process.wait_line(r"Registered to:")
    return process


def test_a_worker_killed_half_way_changes_nothing(scheduler: str, tmp_path: Path) -> None:
    """It dies while it is in the middle of a log; the other does that again, and the bytes are the same."""
    trips = tmp_path / "trips"
    logs = [write_log(trips / f"trip-{k}.mcap", seed=k, seconds=4) for k in range(4)]
    (trips / "bad.mcap").write_bytes(b"no recording at all")
    alone = cargobox("replay", trips, "--out", tmp_path / "alone", "--json")
    assert alone.end() == 1, alone.err
    out = tmp_path / "many"
    with worker(scheduler) as first, worker(scheduler) as second:
        registered(first), registered(second)
        # at 4 × real time each log takes a second, so that whoever writes a part is in the middle of it
        line = command("replay", trips, "--cluster", scheduler, "--speed", 4, "--out", out, "--json")
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


def test_workers_of_other_software_are_refused(scheduler: str, tmp_path: Path) -> None:
    trip = write_log(tmp_path / "trip.mcap")
    other = tmp_path / "other"
    (other / "agent" / "replay").mkdir(parents=True)
    (other / "agent" / "__init__.py").write_text("")
    (other / "agent" / "replay" / "__init__.py").write_text("")
    (other / "agent" / "replay" / "software.py").write_text("def software():\n    return 'cargobox 0.0.1'\n")
    with worker(scheduler, other) as process:
        registered(process)
        told = refused("replay", trip, "--cluster", scheduler, "--out", tmp_path / "out", status=2)
    assert "has cargobox 0.0.1" in told.got, told
    assert "start the workers anew" in told.remedy


def test_ctrl_c_ends_what_the_workers_do(scheduler: str, tmp_path: Path) -> None:
    trip = write_log(tmp_path / "trip.mcap")
    out = tmp_path / "out"
    with worker(scheduler) as process:
        registered(process)
        line = command("replay", trip, "--cluster", scheduler, "--speed", 0.01, "--out", out)
        with Running(line) as replay:
            while not list(out.glob("records.jsonl.*.part")):
                assert replay.process.poll() is None, replay.err
            assert replay.end(signal.SIGINT) == 130, replay.err
        assert "nothing is half" in replay.err, replay.err
        while list(out.glob("*.part")):  # the worker looks once a second whether it is still wanted
            assert process.process.poll() is None
    assert not list(out.iterdir())


def test_a_cluster_that_is_not_there(tmp_path: Path) -> None:
    trip = write_log(tmp_path / "trip.mcap")
    for address in ("localhost", "tcp://127.0.0.1"):
        told = refused("replay", trip, "--cluster", address, "--out", tmp_path / "out", status=2)
        assert "dask scheduler" in told.remedy, told
    assert not (tmp_path / "out").exists()
