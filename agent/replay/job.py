"""One log as a piece of work that any process can do: in this one, in another, on another machine.

A job travels as JSON and so does what came of it, so that nothing of ours is pickled. Files travel by
their paths: whoever does the job must see them under the same name.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from agent.certificates import Certificates
from agent.config import Config
from agent.errors import FourPartError
from agent.records import Record
from agent.replay.runner import (
    RECORDS_FILE,
    SUMMARY_FILE,
    Interrupted,
    ReplayOptions,
    Summary,
    replay_log,
)
from agent.replay.settings import replayed_part
from agent.replay.software import software
from calibration.certificate import parse_certificate
from calibration.errors import CalibrationError, CertificateError

LEASE_LOOKED_AT_S = 1.0


class Told(msgspec.Struct, frozen=True):
    """An error in four parts."""

    doing: str
    got: str
    expected: str
    remedy: str

    @classmethod
    def of(cls, error: FourPartError | CalibrationError) -> Told:
        """Return the parts of an error."""
        return cls(error.doing, error.got, error.expected, error.remedy)

    def __str__(self) -> str:
        return str(FourPartError(self.doing, got=self.got, expected=self.expected, remedy=self.remedy))


class CarriedCertificates(msgspec.Struct, frozen=True):
    """Certificates by content: files that the configuration names need not be where the job is done."""

    named: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    damaged: tuple[Told, ...] = ()

    @classmethod
    def of(cls, certificates: Certificates) -> CarriedCertificates:
        """Return them ready to travel."""
        return cls(
            tuple(c.to_json().decode() for c in certificates.named),
            tuple(c.to_json().decode() for c in certificates.kept),
            tuple(Told.of(error) for error in certificates.damaged),
        )

    def unpacked(self) -> Certificates:
        """Return them as they were."""
        return Certificates(
            tuple(parse_certificate(text.encode()) for text in self.named),
            tuple(parse_certificate(text.encode()) for text in self.kept),
            tuple(
                CertificateError(t.doing, got=t.got, expected=t.expected, remedy=t.remedy)
                for t in self.damaged
            ),
        )


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A log to replay into a folder. ``lease``: a file; once it is gone, nobody wants the result any more."""

    name: str
    log: str
    out: str
    config: Config
    certificates: CarriedCertificates
    map_path: str | None = None
    block_samples: int | None = None
    speed: float | None = None
    resume: bool = False
    lease: str = ""
    software: str = ""

    @property
    def options(self) -> ReplayOptions:
        """How to replay."""
        return ReplayOptions(Path(self.map_path) if self.map_path else None, self.block_samples, self.speed)


class Outcome(msgspec.Struct, frozen=True):
    """What came of a job: its summary, or why there is none. ``resumed``: it had been done before."""

    summary: Summary | None = None
    error: Told | None = None
    resumed: bool = False
    interrupted: bool = False
    trace: str = ""
    """Where the software failed, if it was its fault."""


def do(
    job: Job,
    *,
    stop: threading.Event | None = None,
    on_progress: Callable[[float], None] = lambda _: None,
    on_records: Callable[[Sequence[Record]], None] = lambda _: None,
    attempt: str = "",
) -> Outcome:
    """Do a job. Raises what `replay_log` does."""
    fingerprint = fingerprint_of(job)
    if job.resume and fingerprint and (done := _done_before(Path(job.out), fingerprint)) is not None:
        return Outcome(done, resumed=True)
    summary = replay_log(
        Path(job.log),
        Path(job.out),
        job.config,
        job.options,
        stop=stop,
        on_progress=on_progress,
        on_records=on_records,
        certificates=job.certificates.unpacked(),
        fingerprint=fingerprint,
        attempt=attempt,
    )
    return Outcome(summary)


def outcome_of(
    job: Job,
    *,
    stop: threading.Event | None = None,
    on_progress: Callable[[float], None] = lambda _: None,
    on_records: Callable[[Sequence[Record]], None] = lambda _: None,
    attempt: str = "",
) -> Outcome:
    """Do a job among many: whatever is wrong with it is said and keeps nobody from doing the others."""
    try:
        return do(job, stop=stop, on_progress=on_progress, on_records=on_records, attempt=attempt)
    except Interrupted:
        return Outcome(interrupted=True)
    except Exception as error:  # whatever it is, the others are done
        told, is_ours = told_of(error, f"replaying {job.name}", "replayed")
        return Outcome(error=told, trace=traceback.format_exc() if is_ours else "")


def told_of(error: Exception, doing: str, done: str) -> tuple[Told, bool]:
    """Say what is wrong with one log among many, and whether that is a fault of ours.

    `done`: what becomes of a log that is sound: "replayed".
    """
    if isinstance(error, FourPartError | CalibrationError):
        return Told.of(error), False
    if isinstance(error, OSError):
        what = f"{error.filename}: " if error.filename else ""
        return Told(
            doing,
            got=f"{what}{error.strerror or error}",
            expected="a log and a folder that this user may read and write, with room for what is written",
            remedy="Check their permissions and the free space (`df -h`).",
        ), False
    return Told(
        doing,
        got=f"{type(error).__name__}: {error}",
        expected=f"a log that is {done} or refused in words",
        remedy="This is a fault of the software: send it with the log to whoever looks after it.",
    ), True


def run_remotely(data: bytes) -> bytes:
    """Do a job in a process of a cluster: JSON in, JSON out."""
    job = msgspec.json.decode(data, type=Job)
    return msgspec.json.encode(_remote_outcome(job))


def _remote_outcome(job: Job) -> Outcome:
    host = f"the worker on {socket.gethostname()} (process {os.getpid()})"
    if job.software != software():
        got = f"{host} has {software()}"
        remedy = "Install the same version everywhere, and start the workers anew."
        return Outcome(error=Told(f"replaying {job.name}", got, job.software, remedy))
    if not os.path.exists(job.lease):
        return Outcome(interrupted=True)
    for path in (job.log, *([job.map_path] if job.map_path else [])):
        if not os.path.exists(path):
            got = f"{host} sees no {path}"
            expected = "every worker to see the logs and maps under the same path"
            remedy = "Put them on a file system that all share (NFS, SMB), mounted at the same place."
            return Outcome(error=Told(f"replaying {job.name}", got, expected, remedy))
    stop = threading.Event()
    attempt = f".{socket.gethostname()}-{os.getpid()}-{time.monotonic_ns()}"
    with _watched(job.lease, stop):
        return outcome_of(job, stop=stop, attempt=attempt)


@contextlib.contextmanager
def _watched(lease: str, stop: threading.Event) -> Iterator[None]:
    """Set `stop` once the lease is gone: whoever asked has stopped, and wants nothing written any more."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(LEASE_LOOKED_AT_S):
            if not os.path.exists(lease):
                stop.set()
                return

    thread = threading.Thread(target=watch, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


# -- what was done before ------------------------------------------------------------------------------


def fingerprint_of(job: Job) -> str:
    """Return a digest of all that a result depends on; empty where the log cannot be read."""
    digest = hashlib.sha256()
    try:
        for path in (job.log, job.map_path):
            digest.update((content_of(Path(path)) if path else "none").encode() + b"\n")
    except OSError:
        return ""
    digest.update(msgspec.json.encode([replayed_part(job.config), job.certificates, software()]))
    return digest.hexdigest()


def content_of(path: Path) -> str:
    """Return a digest of a file, or of all files in a folder that is one log."""
    if not path.is_dir():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    digest = hashlib.sha256()
    for below in sorted(path.rglob("*")):
        if below.is_file():
            digest.update(f"{below.relative_to(path)}\0{content_of(below)}\n".encode())
    return digest.hexdigest()


def _done_before(out: Path, fingerprint: str) -> Summary | None:
    """Return the summary that stands in `out`, if it is of the same and its records are as written."""
    try:
        summary = json.loads((out / SUMMARY_FILE).read_bytes())
        if not isinstance(summary, dict) or summary.get("fingerprint") != fingerprint:
            return None
        return summary if content_of(out / RECORDS_FILE) == summary.get("records_sha256") else None
    except (OSError, ValueError):  # of whoever wrote there
        return None
