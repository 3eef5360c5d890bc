"""A measured figure, its peer, and what was promised of it."""

from __future__ import annotations

import dataclasses
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """``at_least`` and ``at_most`` are promises; ``peer`` says what a ratio is to."""

    name: str
    value: float
    unit: str
    peer: str = ""
    at_least: float | None = None
    at_most: float | None = None

    @property
    def kept(self) -> bool:
        """Whether the promise, if there is one, was kept."""
        low, high = self.at_least, self.at_most
        return (low is None or self.value >= low) and (high is None or self.value <= high)

    def __str__(self) -> str:
        promise = ""
        if self.at_least is not None:
            promise = f"  (at least {self.at_least:g}: {'kept' if self.kept else 'NOT REACHED'})"
        if self.at_most is not None:
            promise = f"  (at most {self.at_most:g}: {'kept' if self.kept else 'NOT REACHED'})"
        peer = f"  [{self.peer}]" if self.peer else ""
        return f"{self.name:44} {self.value:>12,.4g} {self.unit}{peer}{promise}"

    def as_dict(self) -> dict[str, Any]:
        """Return it for ``--json``."""
        return {**dataclasses.asdict(self), "kept": self.kept}


def median_s(work: Callable[[], object], runs: int = 3) -> float:
    """Return the median duration of `work` in seconds."""
    durations = []
    for _ in range(runs):
        began_s = time.perf_counter()
        work()
        durations.append(time.perf_counter() - began_s)
    return statistics.median(durations)


def cpu_s(pid: int) -> float:
    """Return the processor time that all threads of a process have used, in seconds.

    From schedstat, which counts nanoseconds: the ticks of ``/proc/PID/stat`` mislead where work comes in
    short bursts that keep step with the timer (proc(5)).
    """
    total_ns = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total_ns += int((task / "schedstat").read_text().split()[0])
    return total_ns / 1e9


def resident_mib(pid: int) -> float:
    """Return a process's resident memory in MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
