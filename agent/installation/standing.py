"""How the service stands: what systemd says, what waits, and the last words of the log."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agent.errors import FourPartError
from agent.installation.units import UNIT
from agent.outbox.inspect import outbox_stats

PROPERTIES = (
    "LoadState,ActiveState,SubState,Result,StatusText,StateChangeTimestamp,NRestarts,MainPID,MemoryCurrent"
)
LOG_LINES = 5
PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True)
class Standing:
    """All of it; ``trouble`` in words, empty where nothing is wrong."""

    active: str
    since: str
    words: str
    """What the agent last said of itself."""
    process: int
    restarts: int
    waiting: int | None
    """Records that wait for the broker; None where that cannot be seen."""
    unseen: str
    """Why it cannot, in words; empty where it can."""
    log: tuple[str, ...]
    trouble: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it as a JSON document."""
        return asdict(self)


def output_of(words: Sequence[str]) -> str | None:
    """Return what a command prints; None where it cannot be run or fails."""
    try:
        done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=PATIENCE_S)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def log_lines(lines: int) -> list[str]:
    """Return the last words of the service's log; none where there is no journal, or no right to read it."""
    said = output_of(["journalctl", "-u", UNIT, "-n", str(lines), "--no-pager", "-o", "short-iso", "-q"])
    return [] if said is None else said.splitlines()


def standing(outbox: Path | None) -> Standing:
    """Look at the service."""
    shown = output_of(["systemctl", "show", UNIT, "--property", PROPERTIES])
    waiting, unseen = waiting_in(outbox)
    return judged(shown, waiting, log_lines(LOG_LINES), unseen)


def judged(shown: str | None, waiting: int | None, log: Sequence[str], unseen: str = "") -> Standing:
    """Return what systemd's words (`systemctl show`; None: it does not answer) come to."""
    pairs = (line.partition("=") for line in (shown or "").splitlines())
    of = {key: value for key, _, value in pairs}
    active, result = of.get("ActiveState", "unknown"), of.get("Result", "")
    trouble = []
    if shown is None:
        trouble.append("systemd does not answer here")
    elif of.get("LoadState") == "not-found":
        active = "not installed"
        trouble.append("it is not installed: `sudo cargobox service install`")
    elif active != "active":
        trouble.append(f"it is {active} ({of.get('SubState', '')})")
    if result not in ("", "success"):
        trouble.append(WHY.get(result, f"it last ended with {result}"))
    words = of.get("StatusText", "")
    if words.startswith(("waiting", "hangs")):
        trouble.append(words)
    return Standing(
        active=active,
        since=of.get("StateChangeTimestamp", ""),
        words=words,
        process=int(of.get("MainPID") or 0),
        restarts=int(of.get("NRestarts") or 0),
        waiting=waiting,
        unseen=unseen,
        log=tuple(log),
        trouble=tuple(trouble),
    )


WHY = {
    "watchdog": "it hung, and was ended by the watchdog",
    "oom-kill": "it took more memory than it may, and was ended by the kernel",
    "exit-code": "it ended with an error: its log says which",
    "start-limit-hit": "it was begun anew too often",
    "timeout": "it did not begin, or did not end, in time",
}


def waiting_in(outbox: Path | None) -> tuple[int | None, str]:
    """Return how many records wait in an outbox; None, and why in words, where that cannot be seen."""
    if outbox is None:
        return None, "not known: the configuration that names the outbox cannot be read"
    try:
        os.stat(outbox)
        return int(outbox_stats(outbox)["waiting"]), ""
    except (FileNotFoundError, NotADirectoryError):
        return None, f"nothing: there is no outbox yet at {outbox}"
    except (OSError, FourPartError):
        return None, "not to be seen by this user"
