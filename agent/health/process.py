"""The agent as the kernel sees it: memory and share of the processors (proc(5))."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agent.health.probe import text_of


def used_s() -> float:
    """Return the processor time of all threads so far."""
    times = os.times()
    return times.user + times.system


class Process:
    """`root`: where /proc is."""

    name = "process"

    def __init__(self, now_s: float, root: Path = Path("/"), cpu_s: Callable[[], float] = used_s) -> None:
        self._begun_s = self._looked_s = now_s
        self._proc = root / "proc"
        self._cpu_s = cpu_s
        self._used_s = cpu_s()

    def look(self, now_s: float) -> Mapping[str, Any]:
        """Return ``up_s``, ``cpu_part`` of one processor since last asked, ``memory_bytes`` in use."""
        cpu_s, passed_s = self._cpu_s(), now_s - self._looked_s
        told: dict[str, Any] = {"up_s": round(now_s - self._begun_s)}
        if passed_s > 0:
            told["cpu_part"] = round((cpu_s - self._used_s) / passed_s, 3)
        self._looked_s, self._used_s = now_s, cpu_s
        pages = (text_of(self._proc / "self/statm") or "").split()
        if len(pages) > 1:
            told["memory_bytes"] = int(pages[1]) * os.sysconf("SC_PAGE_SIZE")
        up = (text_of(self._proc / "uptime") or "").split()
        if up:
            told["machine_up_s"] = round(float(up[0]))
        return told
