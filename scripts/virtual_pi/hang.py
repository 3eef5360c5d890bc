"""The service hangs, in the guest: what the watchdog does of it, and whether all that waited still leaves.

python -m scripts.virtual_pi.hang     as root; prints one line a finding, ends with 1 where one is wrong

Two ways to hang: the whole process (SIGSTOP), and one thread of it alone, held by ptrace(2), while all others
go on: the way in which drivers hang. The agent is installed by `cargobox service install`, sandbox and all.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from agent.beats import WORK_S
from scripts.virtual_pi.service import CONFIGURATION, UNIT, Service
from tests.live.watcher import Watcher

WALL = 0x40000000  # linux/wait.h: threads, too
PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_CONT = 0x4206, 0x4207, 7  # linux/ptrace.h
PAUSE = threading.Event()  # never set: nothing tells of what systemd, or a held thread, does
LOOK_S, TRIES = 0.25, 100
WAITING = {"7", "23", "202", "230", "232", "270", "271", "281"}
"""poll, select, futex, clock_nanosleep, epoll_wait, pselect6, ppoll, epoll_pwait: proc_pid_syscall(5)."""
WATCHDOG_S = 30.0
PATIENCE_S = 240.0
PORT = 1883
AGENT = """
[box]
id = "virtual-pi"
[source.serial]
port = "/dev/ttyS1"
"""


def until(what: str, condition: Callable[[], bool], patience_s: float = PATIENCE_S) -> float:
    """Wait for it and return how long that took; there is no event for what systemd does."""
    began_s = time.monotonic()
    while not condition():
        if time.monotonic() - began_s > patience_s:
            raise TimeoutError(what)
        PAUSE.wait(LOOK_S)
    return time.monotonic() - began_s


@contextlib.contextmanager
def held(process: int, name: str) -> Iterator[None]:
    """Hold one thread of a process that sleeps, while its others go on."""
    task = task_of(process, name)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)

    def trace(request: int) -> None:
        if libc.ptrace(request, int(task.name), None, None) < 0:
            raise OSError(ctypes.get_errno(), "ptrace")

    trace(PTRACE_SEIZE)
    trace(PTRACE_INTERRUPT)
    # one that is held with the interpreter's lock in its hand holds all others, too: that is the other test
    for _ in range(TRIES):
        os.waitpid(int(task.name), WALL)
        if waits_in_the_kernel(task):
            break
        trace(PTRACE_CONT)
        PAUSE.wait(LOOK_S)
        trace(PTRACE_INTERRUPT)
    else:
        raise TimeoutError(f"{name} is never held without the interpreter's lock")
    # its end has to be taken note of by us, or else the process does not end for systemd, either
    threading.Thread(target=_reap, args=(int(task.name),), daemon=True).start()
    yield


def task_of(process: int, name: str) -> Path:
    """Return the thread of this name."""
    for task in Path(f"/proc/{process}/task").iterdir():
        if (task / "comm").read_text().strip() == name[:15]:
            return task
    raise LookupError(name)


def waits_in_the_kernel(task: Path) -> bool:
    """Return whether a thread was held in a call that waits: Python lets go of its lock for those."""
    return (task / "syscall").read_text().split()[0] in WAITING


def _reap(task: int) -> None:
    with contextlib.suppress(ChildProcessError):
        while not os.WIFSIGNALED(os.waitpid(task, WALL)[1]):
            pass


def cured(service: Service, before: int, watcher: Watcher) -> float:
    """Wait until systemd has begun the agent anew and records of the new one arrive; return the seconds."""
    count = service.state().restarts
    took_s = until("a new process", lambda: service.state().process not in (0, before))
    until("readiness", lambda: service.state().sub == "running")
    seen = len(watcher.messages)
    until("records of the new one", lambda: len(watcher.messages) > seen)
    print(f"  begun anew after {took_s:.0f} s (restarts {count} -> {service.state().restarts}), and draining")
    return took_s


def waiting() -> int:
    """Return how many records wait."""
    words = ["/opt/cargobox/bin/cargobox", "outbox", "stats", "--config", str(CONFIGURATION), "--json"]
    return int(
        json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)["waiting"]
    )


def main() -> int:
    """Do it all."""
    with Service(AGENT) as service, Watcher(PORT) as watcher:
        state = service.state()
        print(f"installed and started: {state.active} ({state.words})")
        try:
            until("the first records", lambda: len(watcher.messages) > 0, 60)
        except TimeoutError:
            subprocess.run(
                "journalctl --no-pager -o cat -u 'cargobox*' -n 40; systemctl --no-pager status 'cargobox*'",
                shell=True,
                check=False,
            )
            raise
        print(f"  {len(watcher.messages)} records have come through the sandbox")
        for line in subprocess.run(
            ["systemd-analyze", "security", UNIT, "--no-pager"], check=False, capture_output=True, text=True
        ).stdout.splitlines()[-1:]:
            print(f"  {line.strip()}")
        scheduling = subprocess.run(
            ["grep", "-h", "realtime", f"/proc/{state.process}/limits"], check=False, capture_output=True
        ).stdout.decode()
        print(f"  {re.sub(' +', ' ', scheduling.strip())}")
        print("the whole process stands still (SIGSTOP):")
        os.kill(state.process, signal.SIGSTOP)
        cured(service, state.process, watcher)
        state = service.state()
        print("one thread stands still (ptrace), the source's:")
        with held(state.process, "source"):
            took_s = cured(service, state.process, watcher)
        said = [line for line in service.journal(400).splitlines() if "has hung" in line]
        print(f"  {said[0] if said else 'NOTHING WAS SAID'}")
        until("an empty outbox", lambda: waiting() < 20)
        print(f"  {waiting()} records wait")
        return 0 if said and took_s > WORK_S else 1


if __name__ == "__main__":
    sys.exit(main())
