"""200 logs on two workers against one, and on a Dask cluster of which a worker is killed.

Each log is two minutes of the demo's trip with a seed of its own. The promise is that all give the same
bytes; the speed-up is what the machine's cores are worth, so have nothing else to do on them. Where the extra
`cluster` is installed, the same logs then go to a scheduler and two workers of this machine, with a nanny
each as Dask's documentation starts them, and one of them is killed (SIGKILL) when half of the logs are done.

    python -m scripts.benches.replay_many --logs 20 --seconds 60
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent.log_info import LogInfo
from agent.recorder.mcap_writer import McapRecorder
from agent.replay.totals import without_times
from firmware_bridge.virtual.trip import Trip
from scripts.benches.figures import Figure
from scripts.benches.replay import CONFIG, record, specs_of

TOP = Path(__file__).resolve().parents[2]
LOGS = 200
SECONDS = 120
PATIENCE_S = 60.0
MOST_NAMED = 20


def write_logs(folder: Path, count: int, seconds: int) -> None:
    """Write the logs; their trips repeat after 20, their boots never."""
    folder.mkdir()
    for k in range(count):
        trip = Trip(seed=k % 20)
        path = folder / f"trip-{k:03}.mcap"
        recorder = McapRecorder(
            path, LogInfo(box="bench", boot=f"{k:016x}", software="bench", streams=tuple(specs_of(trip)))
        )
        record(recorder, trip, seconds)


def command(logs: Path, out: Path, config: Path, *more: str) -> list[str]:
    """Return the replay of all logs."""
    line = [sys.executable, "-m", "agent.cli", "replay", str(logs), "--out", str(out)]
    return [*line, "--config", str(config), *more]


def timed(line: list[str]) -> float:
    """Run it and return how long it took."""
    began_s = time.monotonic()
    subprocess.run(line, check=True, stderr=subprocess.DEVNULL, cwd=TOP)
    return time.monotonic() - began_s


def differences(left: Path, right: Path) -> list[str]:
    """Return which files of results differ, or are in one folder only; times of the run aside."""
    names = {str(p.relative_to(top)) for top in (left, right) for p in top.rglob("*.json*")}
    return sorted(name for name in names if _content(left / name) != _content(right / name))


def alike(what: str, left: Path, right: Path, count: int) -> Figure:
    """Return how many files differ, and say which; none at all is no agreement either."""
    unlike = differences(left, right)
    compared = len(list(right.rglob("records.jsonl")))
    if compared != count:
        raise RuntimeError(f"{compared} results in {right.name}, expected {count}")
    for name in unlike[:MOST_NAMED]:
        print(f"  differs: {right.name}/{name}", file=sys.stderr, flush=True)
    return Figure(f"{what}, files that differ", len(unlike), f"of {compared} logs", at_most=0)


def _content(path: Path) -> Any:
    if not path.exists():
        return None
    if path.suffix == ".jsonl":
        return path.read_bytes()
    return _without_digests(without_times(json.loads(path.read_bytes())))


def _without_digests(summary: dict[str, Any]) -> dict[str, Any]:
    """Leave out the digest of the source, so that it may be edited while this runs."""
    logs = {name: _without_digests(one) for name, one in summary.get("logs", {}).items()}
    return {**{key: value for key, value in summary.items() if key != "fingerprint"}, "logs": logs}


@contextlib.contextmanager
def cluster() -> Iterator[tuple[str, list[int]]]:
    """Yield the address of a scheduler, and the processes of its two workers (not of their nannies)."""
    dask = [sys.executable, "-m", "dask"]
    with contextlib.ExitStack() as stack:
        line = [*dask, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--no-show"]
        scheduler = stack.enter_context(_running(line))
        address = _said(scheduler, r"Scheduler at:\s+(tcp://\S+)")
        pids = []
        for _ in range(2):
            line = [*dask, "worker", address, "--nthreads", "1", "--no-dashboard"]
            nanny = stack.enter_context(_running(line))
            _said(nanny, r"(Registered to:)")
            pids.append(nanny.pid)
        yield address, pids


@contextlib.contextmanager
def _running(line: list[str]) -> Iterator[subprocess.Popen[str]]:
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(line, stdout=log, stderr=log, text=True, cwd=TOP) as process,
    ):
        process.said = log  # type: ignore[attr-defined]
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _said(process: subprocess.Popen[str], pattern: str) -> str:
    """Wait until a process has said something, and return that."""
    until_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < until_s:
        if found := re.search(pattern, _all(process)):
            return found[1]
        time.sleep(0.05)
    raise RuntimeError(f"a process never said {pattern}: {_all(process)[-2000:]}")


def _all(process: subprocess.Popen[str]) -> str:
    log = process.said  # type: ignore[attr-defined]
    return os.pread(log.fileno(), 1 << 20, 0).decode()


def _children(task: Path) -> list[str]:
    return (task / "children").read_text().split()


def worker_of(nanny: int) -> int:
    """Return the process that a nanny watches: the one of its children that works."""
    children = [pid for task in Path(f"/proc/{nanny}/task").iterdir() for pid in _children(task)]
    lines = {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children}
    return next(pid for pid, line in lines.items() if b"resource_tracker" not in line)


def on_cluster(logs: Path, out: Path, config: Path, count: int) -> float:
    """Replay on a cluster, kill a worker when half is done, and return how long it took."""
    with cluster() as (address, nannies):
        began_s = time.monotonic()
        line = command(logs, out, config, "--cluster", address)
        with _running(line) as replay:
            while len(list(out.glob("*/summary.json"))) < count // 2:
                assert replay.poll() is None, "it ended before half was done"
                time.sleep(0.05)
            victim = worker_of(nannies[0])
            os.kill(victim, signal.SIGKILL)
            done = len(list(out.glob("*/summary.json")))
            print(f"  worker {victim} killed at {done} of {count} logs", file=sys.stderr, flush=True)
            if replay.wait():
                errors = re.findall(r"^error.*", _all(replay), re.MULTILINE)
                raise RuntimeError(f"status {replay.returncode}: {errors[:3]}")
        return time.monotonic() - began_s


def bench(args: argparse.Namespace) -> list[Figure]:
    """Measure."""
    count, seconds = args.logs or LOGS, args.seconds or SECONDS
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        logs, config = folder / "logs", folder / "cargobox.toml"
        config.write_text(CONFIG)
        write_logs(logs, count, seconds)
        one_s = _told("one process", timed(command(logs, folder / "one", config)))
        two_s = _told("2 workers", timed(command(logs, folder / "two", config, "--workers", "2")))
        peer = f"one process, {count} logs of {seconds} s in {one_s:.1f} s"
        figures = [
            Figure("replay of many, speed-up of 2 workers", one_s / two_s, "×", peer),
            alike("replay of many", folder / "one", folder / "two", count),
        ]
        if importlib.util.find_spec("distributed") is None:
            print("  no cluster: the extra `cluster` is not installed", file=sys.stderr)
            return figures
        dask_s = _told("the cluster", on_cluster(logs, folder / "dask", config, count))
        return [
            *figures,
            Figure("replay on a cluster of 2, one killed, speed-up", one_s / dask_s, "×", peer),
            alike("replay on a cluster", folder / "one", folder / "dask", count),
        ]


def _told(who: str, took_s: float) -> float:
    """Say at once how long it took: all of it takes minutes."""
    print(f"  {who}: {took_s:.1f} s", file=sys.stderr, flush=True)
    return took_s


def main() -> int:
    """Run it by hand."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--logs", type=int, default=LOGS, help=f"how many (default: {LOGS})")
    parser.add_argument("--seconds", type=int, default=SECONDS, help=f"length of each (default: {SECONDS})")
    figures = bench(parser.parse_args())
    for figure in figures:
        print(f"  {figure}")
    return 0 if all(figure.kept for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
