"""Clusters that are not there, not whole, or go away: said in four parts, and nothing is taken for done."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands.refusal import refused
from tests.commands.test_replay_many import here
from tests.live.processes import PATIENCE_S, Running, command
from tests.replay.making import results, write_log

pytest.importorskip("distributed", reason="the extra `cluster` is not installed")

from agent.replay import cluster
from agent.replay.software import software
from tests.replay.dask_here import registered, scheduler, worker


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The address of a scheduler that has no workers but those of a test."""
    with scheduler() as (found, _):
        yield found


@pytest.fixture(autouse=True)
def known_anew() -> None:
    """Let this process know its own source as the workers do that a test starts, and not as it was before."""
    software.cache_clear()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait a second for what is waited for a minute."""
    monkeypatch.setattr(cluster, "PATIENCE", cluster.Patience(connect_s=1.0, workers_s=1.0))


def told(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one error that was told in this process."""
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert ", expected " in line and ". " in line, line
    return line


@pytest.mark.usefixtures("hasty")
def test_a_scheduler_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No address, a port without anybody, and one with somebody who says nothing."""
    trip = write_log(tmp_path / "trip.mcap")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            nobody = closed.getsockname()[1]
        for wrong in (
            "localhost",
            "tcp://127.0.0.1",
            "tcp://127.0.0.1:nowhere",
            f"tcp://127.0.0.1:{nobody}",
            f"tcp://127.0.0.1:{silent.getsockname()[1]}",
        ):
            assert here(trip, "--cluster", wrong, "--out", tmp_path / "out") == 2
            line = told(capsys)
            assert wrong in line and "answers within 1 s" in line and "`dask scheduler`" in line, line
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("hasty")
def test_a_cluster_without_workers(address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trip, out = write_log(tmp_path / "trip.mcap"), tmp_path / "out"
    assert here(trip, "--cluster", address, "--out", out) == 1
    line = told(capsys)
    assert "no worker for 1 s" in line and "`dask worker" in line and "--resume" in line, line
    assert not list(out.iterdir()), "not even its own mark is left"


@pytest.mark.usefixtures("hasty")
def test_the_last_worker_dies_and_resume_goes_on(
    address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trips, out = two_trips(tmp_path)
    over = threading.Event()
    with registered(worker(address)) as only:

        def kill_in_the_middle() -> None:
            while not list(out.glob("trip-1/*.part")) and not over.is_set():
                pass
            only.kill()

        killer = threading.Thread(target=kill_in_the_middle)
        killer.start()
        try:
            assert here(trips, "--cluster", address, "--out", out, "--speed", 4) == 1
        finally:
            over.set()
            killer.join(PATIENCE_S)
    assert "no worker for 1 s" in told(capsys)
    assert_only_the_first_is_done(out)
    with registered(worker(address)):
        assert here(trips, "--cluster", address, "--out", out, "--resume") == 0
    assert_as_alone(trips, out, tmp_path)


def test_the_scheduler_is_lost_and_resume_goes_on(address: str, tmp_path: Path) -> None:
    """Its worker still goes on for a moment, and must not finish what nobody waits for any more."""
    trips, out = two_trips(tmp_path)
    with (
        scheduler() as (mortal, process),
        registered(worker(mortal)),
        Running(command("replay", trips, "--cluster", mortal, "--out", out, "--speed", 4)) as replay,
    ):
        while not list(out.glob("trip-1/*.part")):
            assert replay.process.poll() is None, replay.err
        process.kill()
        assert replay.end() == 1, replay.err
    assert "the scheduler is gone, expected" in replay.err and "--resume" in replay.err, replay.err
    assert "Traceback" not in replay.err and "distributed" not in replay.err, replay.err
    assert_only_the_first_is_done(out)
    with registered(worker(address)):
        assert here(trips, "--cluster", address, "--out", out, "--resume") == 0
    assert_as_alone(trips, out, tmp_path)


def two_trips(folder: Path) -> tuple[Path, Path]:
    """Write two logs that at 4 × real time take a second; return their folder, and one for the results."""
    for k in range(2):
        write_log(folder / "trips" / f"trip-{k}.mcap", seed=k, seconds=4)
    return folder / "trips", folder / "out"


def assert_only_the_first_is_done(out: Path) -> None:
    done = [path.parent.name for path in out.rglob("summary.json")]
    assert done == ["trip-0"], f"neither of the second nor of all is there a summary: {done}"
    assert [path.parent.name for path in out.rglob("records.jsonl")] == ["trip-0"]


def assert_as_alone(trips: Path, out: Path, folder: Path) -> None:
    assert here(trips, "--out", folder / "alone") == 0
    assert results(out) == results(folder / "alone")


def test_workers_that_do_not_see_the_files(address: str, tmp_path: Path) -> None:
    """A path that means something else to each process stands for a folder that is not shared."""
    mine = tmp_path / "mine"
    trip = write_log(mine / "trip.mcap")
    own = Path("/proc/self/cwd")
    with registered(worker(address)):
        line = ("replay", trip, "--cluster", address, "--out", own / "out")
        unseen = refused(*line, status=2, cwd=mine)
        assert "does not see /proc/self/cwd/out/.wanted-" in unseen.got and "NFS" in unseen.remedy, unseen
        assert not (mine / "out" / "records.jsonl").exists()
        line = ("replay", own / "trip.mcap", "--cluster", address, "--out", tmp_path / "out")
        with Running(command(*line), cwd=mine) as replay:
            assert replay.end() == 1, replay.err
    assert "sees no /proc/self/cwd/trip.mcap, expected every worker to see the logs" in replay.err, replay.err
    assert not (tmp_path / "out" / "records.jsonl").exists()


def test_workers_of_other_versions_are_refused(address: str, tmp_path: Path) -> None:
    """One with another agent, one with another Python, one with another version of distributed."""
    trip, out = write_log(tmp_path / "trip.mcap"), tmp_path / "out"
    old = tmp_path / "old" / "agent" / "replay"
    old.mkdir(parents=True)
    for package in (old.parent, old):
        (package / "__init__.py").write_text("")
    (old / "software.py").write_text("def software():\n    return 'cargobox 0.0.1'\n")
    others = {
        "has cargobox 0.0.1": old.parents[1],
        "Python 3.7": begun_with(
            tmp_path / "python", "import platform; platform.python_version_tuple = lambda: ('3', '7', '1')"
        ),
        "has distributed 2019.1.0": begun_with(
            tmp_path / "dask",
            "from importlib import metadata as m; told = m.version; "
            "m.version = lambda name: '2019.1.0' if name == 'distributed' else told(name)",
        ),
    }
    for got, folder in others.items():
        with registered(worker(address, folder)):
            unlike = refused("replay", trip, "--cluster", address, "--out", out, status=2)
            assert got in unlike.got and "on every machine" in unlike.remedy, unlike
    assert not list(out.rglob("*.json*"))


def begun_with(folder: Path, line: str) -> Path:
    """Return a folder of which Python, when it starts with it in its path, first does that line."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(line + "\n")
    (folder / "agent").symlink_to(Path(cluster.__file__).parents[1])
    (folder / "calibration").symlink_to(Path(cluster.__file__).parents[2] / "calibration")
    (folder / "firmware_bridge").symlink_to(Path(cluster.__file__).parents[2] / "firmware_bridge")
    return folder
