"""Jobs in processes of this machine: one log at a time in each, JSON over their pipes.

They are fresh interpreters and no forks, so that they share nothing. A worker that dies takes nothing with
it but its own log, which is done again by another; one at which `MOST_DEATHS` have died is given up. A worker
whose parent is gone sees the end of its input, and stops.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import selectors
import signal
import subprocess
import sys
import threading
from collections import Counter, deque
from collections.abc import Sequence
from typing import IO

import msgspec

from agent.errors import FourPartError
from agent.replay.batch import Bar, Hears
from agent.replay.job import Job, Outcome, Told, outcome_of
from agent.replay.runner import Interrupted

MOST_DEATHS = 3
LOOK_S = 0.2  # for a Ctrl-C, while nothing comes
LEAVE_S = 10.0  # for what a worker is in the middle of; then it is killed
PROGRESS_STEP = 0.02
READY = "ready"


class Workers:
    """So many processes. It is a `Hand` (``batch.py``)."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __call__(self, jobs: Sequence[Job], stop: threading.Event, hears: Hears, bar: Bar) -> None:
        """Do them; whatever happens, no worker is left behind."""
        shift = _Shift(jobs, hears, bar)
        try:
            for _ in range(min(self._count, len(jobs))):
                shift.hire()
            while shift.left:
                if stop.is_set():
                    raise Interrupted
                shift.turn()
        finally:
            shift.end()


class _Shift:
    """The workers at work: who has which job, which wait, and at which how many died."""

    def __init__(self, jobs: Sequence[Job], hears: Hears, bar: Bar) -> None:
        self.left = len(jobs)
        self._jobs = jobs
        self._hears = hears
        self._bar = bar
        self._waiting = deque(range(len(jobs)))
        self._deaths: Counter[int] = Counter()
        self._team: list[_Worker] = []
        self._selector = selectors.DefaultSelector()

    def hire(self) -> None:
        worker = _Worker()
        self._team.append(worker)
        self._selector.register(worker.out, selectors.EVENT_READ, worker)

    def turn(self) -> None:
        """Hear what they say, for a moment, and give work to those who have none."""
        for key, _ in self._selector.select(LOOK_S):
            worker: _Worker = key.data
            for told in worker.read():
                self._hear(worker, told)
            if worker.gone:
                self._selector.unregister(worker.out)
                self._team.remove(worker)
                self._replace(worker)
        for worker in self._team:
            if worker.ready and worker.place is None and self._waiting:
                place = self._waiting.popleft()
                worker.give(place, self._jobs[place])

    def end(self) -> None:
        self._selector.close()
        for worker in self._team:
            worker.dismiss()
        for worker in self._team:
            worker.bury()

    def _hear(self, worker: _Worker, told: Outcome | float | str) -> None:
        if told == READY:
            worker.ready = True
            return
        place = worker.place
        assert place is not None, f"a worker without a job said {told!r}"
        if isinstance(told, Outcome):
            worker.place = None
            self.left -= 1
            self._hears(place, told)
        else:
            self._bar(place, float(told))

    def _replace(self, worker: _Worker) -> None:
        """See to what a dead worker leaves."""
        status = worker.bury()
        if not worker.ready:
            raise _cannot_start(status)
        place = worker.place
        if place is not None:
            self._deaths[place] += 1
            if self._deaths[place] < MOST_DEATHS:
                self._waiting.appendleft(place)
            else:
                self.left -= 1
                self._hears(place, Outcome(error=_deadly(self._jobs[place], status)))
        if self._waiting:
            self.hire()


class _Worker:
    """The near end of one."""

    def __init__(self) -> None:
        program = (
            "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
            "from agent.replay.workers import work; work()"
        )
        self._process = subprocess.Popen(
            [sys.executable, "-c", program, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,  # a Ctrl-C on the terminal is for us; we tell them
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._in: IO[bytes] = self._process.stdin
        self.out: IO[bytes] = self._process.stdout
        self._begun = b""
        self.place: int | None = None
        self.ready = False
        self.gone = False

    def give(self, place: int, job: Job) -> None:
        self.place = place
        with contextlib.suppress(BrokenPipeError):  # its death shows at its other pipe
            self._in.write(msgspec.json.encode(job) + b"\n")
            self._in.flush()

    def read(self) -> list[Outcome | float | str]:
        data = os.read(self.out.fileno(), 1 << 16)
        self.gone = not data
        *lines, self._begun = (self._begun + data).split(b"\n")
        return [_decoded(line) for line in lines]

    def dismiss(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._in.close()

    def bury(self) -> int:
        self.dismiss()
        try:
            status = self._process.wait(LEAVE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        self.out.close()
        return status


def _decoded(line: bytes) -> Outcome | float | str:
    kind, told = msgspec.json.decode(line)
    return msgspec.convert(told, Outcome) if kind == "outcome" else told


def _ended(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    return f"was killed by {signal.Signals(-status).name}"


def _deadly(job: Job, status: int) -> Told:
    return Told(
        f"replaying {job.name}",
        f"{MOST_DEATHS} workers died at it; the last one {_ended(status)}",
        "a log that a worker can replay",
        "Look whether the machine ran out of memory (`dmesg`), and replay it alone. The other logs went on.",
    )


def _cannot_start(status: int) -> FourPartError:
    return FourPartError(
        "starting a worker",
        got=f"a process that {_ended(status)} before it was ready",
        expected="one that is ready to replay",
        remedy="What it said stands above. Without --workers the logs are replayed in this process.",
    )


# -- the far end ------------------------------------------------------------------------------------------


def work() -> None:
    """Do jobs from stdin, one a line, until it ends; say on stdout what came of them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever else prints must not be taken for an answer
    stop = threading.Event()
    jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()

    def listen() -> None:
        for line in sys.stdin.buffer:
            jobs.put(msgspec.json.decode(line, type=Job))
        stop.set()
        jobs.put(None)

    def tell(kind: str, what: object) -> None:
        out.write(msgspec.json.encode((kind, what)) + b"\n")
        out.flush()

    threading.Thread(target=listen, name="jobs", daemon=True).start()
    with contextlib.suppress(BrokenPipeError):
        tell("state", READY)
        while (job := jobs.get()) is not None and not stop.is_set():
            said = 0.0

            def progress(part: float) -> None:
                nonlocal said
                if part >= said + PROGRESS_STEP:
                    said = part
                    tell("progress", float(part))

            outcome = outcome_of(job, stop=stop, on_progress=progress)
            if not outcome.interrupted:
                tell("outcome", outcome)
