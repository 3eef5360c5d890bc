"""Jobs on a Dask.distributed cluster: ``dask scheduler`` somewhere, ``dask worker tcp://…`` on each machine.

What travels is the name of a function and JSON, nothing of ours is pickled. Logs, maps and results are files
that all see under the same path; before anything is done each worker is asked whether it sees the folder of
the results and has the same software.

The scheduler does a dead worker's jobs again elsewhere. A job on whose workers died too often is given up by
it (``distributed.scheduler.allowed-failures``), and with it whatever else waited on those workers; so
those that it gave up are tried once more, one at a time, and only one that fails alone has failed.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import queue
import socket
import threading
import time
import uuid
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from agent.errors import FourPartError, UsageError
from agent.replay.batch import Bar, Hears
from agent.replay.job import Job, Outcome, Told, outcome_of, run_remotely
from agent.replay.runner import Interrupted
from agent.replay.software import software

Client = Any  # distributed's classes; most of their methods have no types
Future = Any

LOOK_S = 0.2  # for a Ctrl-C, while nothing comes
WORKERS_LOOKED_AT_S = 2.0
RESULT_S = 30.0
START = "Start one: `dask scheduler`, and on each machine `dask worker tcp://HOST:8786 --nthreads 1`."
# what each worker is asked, by a function that every Python has
ASKED = "__import__('agent.replay.software', fromlist=['software']).software()"
SEEN = "__import__('os').path.exists({path!r})"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long is waited for what is not there.

    ``workers_s``: as machines take to boot again, or people to notice.
    """

    connect_s: float = 10.0
    workers_s: float = 60.0


PATIENCE = Patience()


class Cluster:
    """Those who listen to a scheduler at `address`. It is a `Hand` (``batch.py``)."""

    def __init__(self, address: str, out: Path, patience: Patience | None = None) -> None:
        self._address = address
        self._out = out
        self._patience = patience or PATIENCE

    def __call__(self, jobs: Sequence[Job], stop: threading.Event, hears: Hears, bar: Bar) -> None:
        """Do them; when this returns, or raises, nothing is written any more."""
        patience = self._patience
        with _connected(self._address, patience.connect_s) as client, _lease(self._out) as lease:
            asked = _Asked(client, self._address, str(lease), patience.workers_s, stop)
            asked.check()
            here = [place for place, job in enumerate(jobs) if not Path(job.log).exists()]
            for place in here:  # nobody sees it: the words for that are the same everywhere
                hears(place, outcome_of(jobs[place]))
            travelling = {
                place: msgspec.json.encode(_travelling(job, lease))
                for place, job in enumerate(jobs)
                if place not in here
            }
            suspects = []
            for place, outcome in asked.done(travelling):
                if outcome is None:
                    suspects.append(place)
                else:
                    hears(place, outcome)
            for place in sorted(suspects):
                for _, outcome in asked.done({place: travelling[place]}):
                    hears(place, outcome or Outcome(error=_deadly(jobs[place])))


def _travelling(job: Job, lease: Path) -> Job:
    """Return the job with paths that do not hang on our folder."""
    return msgspec.structs.replace(
        job,
        log=str(Path(job.log).absolute()),
        out=str(Path(job.out).absolute()),
        map_path=str(Path(job.map_path).absolute()) if job.map_path else None,
        lease=str(lease),
        software=software(),
    )


class _Asked:
    """What is asked of the cluster while it is there."""

    def __init__(
        self, client: Client, address: str, lease: str, workers_s: float, stop: threading.Event
    ) -> None:
        self._client = client
        self._address = address
        self._lease = lease
        self._workers_s = workers_s
        self._stop = stop
        self._looked_s = 0.0
        self._worked_s = time.monotonic()

    def check(self) -> None:
        """See that there are workers, with our software, who see the folder of the results."""
        while not self._workers():
            self._look()
            self._stop.wait(LOOK_S)
        said = self._client.run(eval, ASKED, on_error="return")
        for worker, version in sorted(said.items()):
            if version != software():
                has = version if isinstance(version, str) else f"no agent to replay with ({version})"
                raise UsageError(
                    f"asking the workers at {self._address}",
                    got=f"the worker {worker} has {has}",
                    expected=software(),
                    remedy="Install the same version on every machine, and start the workers anew.",
                )
        for worker, sees in sorted(self._client.run(eval, SEEN.format(path=self._lease)).items()):
            if sees is not True:
                raise UsageError(
                    f"asking the workers at {self._address}",
                    got=f"the worker {worker} does not see {self._lease}",
                    expected="every worker to see the logs and the folder of the results under one path",
                    remedy="Put both on a file system that all share (NFS, SMB), mounted at the same place.",
                )

    def done(self, travelling: dict[int, bytes]) -> Iterator[tuple[int, Outcome | None]]:
        """Yield the place and the outcome of each; None for one that the scheduler gave up."""
        from distributed import KilledWorker

        finished: queue.SimpleQueue[Any] = queue.SimpleQueue()
        batch = uuid.uuid4().hex
        places: dict[str, int] = {}
        futures: dict[str, Future] = {}
        for place, data in travelling.items():
            future = self._client.submit(run_remotely, data, key=f"replay-{batch}-{place}", pure=False)
            places[future.key], futures[future.key] = place, future
            future.add_done_callback(finished.put)
        while futures:
            try:
                future = finished.get(timeout=LOOK_S)
            except queue.Empty:
                self._look()
                continue
            place = places[future.key]
            try:
                data = future.result(timeout=RESULT_S)
            except KilledWorker:
                yield place, None
            except TimeoutError:  # its worker is gone, and the result with it: it is being done again
                future.add_done_callback(finished.put)
                self._look()
                continue
            except Exception as error:
                self._look()
                if future.cancelled():
                    raise self._lost() from error
                got = f"{type(error).__name__}: {error}"
                told = Told(f"replaying on {self._address}", got, "an outcome", "Look at the worker's log.")
                yield place, Outcome(error=told)
            else:
                outcome = msgspec.json.decode(data, type=Outcome)
                if outcome.interrupted:
                    raise Interrupted
                yield place, outcome
            del futures[future.key]
            future.release()
        if self._stop.is_set():
            raise Interrupted

    def _workers(self) -> int:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return len(self._client.scheduler_info(n_workers=-1)["workers"])

    def _look(self) -> None:
        """See whether somebody wants to stop, and whether anybody still works."""
        if self._stop.is_set():
            raise Interrupted
        now_s = time.monotonic()
        if now_s - self._looked_s < min(WORKERS_LOOKED_AT_S, self._workers_s / 2):
            return
        self._looked_s = now_s
        if self._client.status != "running":
            raise self._lost()
        try:
            workers = self._workers()
        except OSError as error:
            raise self._lost() from error
        if workers:
            self._worked_s = now_s
        elif now_s - self._worked_s > self._workers_s:
            raise FourPartError(
                f"replaying on {self._address}",
                got=f"no worker for {self._workers_s:.0f} s",
                expected="at least one that listens to this scheduler",
                remedy=f"{START} Then go on with --resume: what is finished is not done again.",
            )

    def _lost(self) -> FourPartError:
        return FourPartError(
            f"replaying on {self._address}",
            got="the scheduler is gone",
            expected="one that stays until all logs are done",
            remedy=f"{START} Then go on with --resume: what is finished is not done again.",
        )


@contextlib.contextmanager
def _connected(address: str, patience_s: float) -> Iterator[Client]:
    """Yield a client, and nothing of what it would say on stderr."""
    distributed: Any = importlib.import_module("distributed")
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in {"distributed", "tornado"}:
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    # a client that could not be begun would wait for its end, too, and complain, when it is collected
    kind: Any = type("Client", (distributed.Client,), {"__del__": lambda _: None})
    try:
        parts = urlsplit(address)
        if not parts.scheme or not parts.hostname or not parts.port:
            raise ValueError("no address of a scheduler")
        if parts.scheme == "tcp":  # with TLS it is the client that speaks first
            _hears_somebody(parts.hostname, parts.port, patience_s)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of versions that differ: those that matter are looked at
            client = kind(address, timeout=patience_s, set_as_default=False)
    except Exception as error:  # whatever answers there may be no scheduler at all
        raise UsageError(
            "reaching the cluster",
            got=f"{address}: {str(error) or type(error).__name__}",
            expected=f"a scheduler that answers within {patience_s:.0f} s, as tcp://HOST:8786",
            remedy=START,
        ) from error
    try:
        _check_distributed(client, address)
        yield client
    finally:
        client.close(timeout=patience_s)


def _hears_somebody(host: str, port: int, patience_s: float) -> None:
    """See that who takes the call also speaks, as a scheduler does first. Raises OSError.

    A client of distributed would wait for ever, and so would the end of the process.
    """
    with socket.create_connection((host, port), patience_s) as line:
        if not line.recv(1):
            raise ConnectionError("whoever took the call hung up without a word")


def _check_distributed(client: Client, address: str) -> None:
    """Refuse another version of distributed: what its parts say to each other is theirs to change."""
    versions = client.get_versions(check=False)
    mine = versions["client"]["packages"]["distributed"]
    others = {f"the scheduler at {address}": versions["scheduler"], **versions["workers"]}
    for who, has in others.items():
        theirs = (has or {}).get("packages", {}).get("distributed")
        if theirs != mine:
            raise UsageError(
                "asking the cluster for its version",
                got=f"{who} has distributed {theirs}",
                expected=f"distributed {mine}, as here",
                remedy="Install requirements/cluster.txt of this version on every machine.",
            )


@contextlib.contextmanager
def _lease(out: Path) -> Iterator[Path]:
    """Yield a file in `out` that is there for as long as somebody wants the results."""
    out.mkdir(parents=True, exist_ok=True)
    lease = out.absolute() / f".wanted-{uuid.uuid4().hex}"
    lease.touch(exist_ok=False)
    try:
        yield lease
    finally:
        lease.unlink(missing_ok=True)


def _deadly(job: Job) -> Told:
    return Told(
        f"replaying {job.name}",
        "its worker died again and again, also when it was the only log",
        "a log that a worker can replay",
        "Look at the workers' logs and memory limits (--memory-limit). The other logs went on.",
    )
