"""A Dask cluster on this machine, as its documentation starts it: a scheduler, workers of one thread."""

from __future__ import annotations

import contextlib
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.live.processes import Running

DASK = [sys.executable, "-m", "dask"]


@contextlib.contextmanager
def scheduler() -> Iterator[tuple[str, Running]]:
    """Yield the address of a scheduler, and its process."""
    line = [*DASK, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--no-show"]
    with Running(line) as process:
        told = re.search(r"tcp://\S+", process.wait_line(r"Scheduler at:\s+tcp://"))
        assert told is not None
        yield told[0], process
        if process.process.poll() is None:
            process.end(signal.SIGTERM)


def worker(address: str, other: Path | None = None) -> Running:
    """Start a worker of one thread, and no nanny: what is dead stays dead."""
    line = [*DASK, "worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard"]
    if other is not None:  # software that it finds before ours
        return Running(line, cwd=other, PYTHONPATH=str(other))
    return Running(line)


def registered(process: Running) -> Running:
    """Wait until the scheduler knows of a worker."""
    process.wait_line(r"Registered to:")
    return process
