"""The archive: parts gathered one by one, each whatever becomes of the others, cleaned and bounded."""

from __future__ import annotations

import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

import agent
from agent.certificates import at_hand
from agent.config import Config, load_config
from agent.errors import ConfigError, FourPartError
from agent.installation.standing import log_lines, standing
from agent.outbox.inspect import iter_waiting, outbox_stats
from agent.records import as_json
from agent.support.secrets import SECRET_KEY, TAKEN_OUT, Blackener, of_configuration, of_files
from agent.uplink.credentials import SECRET_KEYS, expiries, located

LOG_LINES = 500
MOST_RECORDS = 1000
PART_BYTES = 1 << 20  # of a longer part the end is kept: a log's end is what counts
DOCTOR_S = 90.0
README = """What is in here, gathered by `cargobox support`:

versions.json       the agent, its packages, Python, kernel
configuration.json  as the agent understands it, with its defaults; names and secrets are taken out
doctor.json         what `cargobox doctor` finds
service.json        how the service stands
outbox.json         what waits for the broker: how much, not what
certificates.json   heads of the sensors' certificates; until when those of the uplink are good
system.json         disk, memory, boot id, how long it has run
log.txt             the last words of the service's log
records.jsonl       records that wait, only with --with-data

Passwords, keys and all that looks like one are taken out. Read it before you send it.
"""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is told of. ``error``: why there is no configuration, if there is none."""

    path: Path | None
    config: Config | None
    error: str = ""


def subject_of(path: Path | None) -> Subject:
    """Return the configuration, or why it cannot be read."""
    try:
        return Subject(path, load_config(path))
    except ConfigError as error:
        return Subject(path, None, str(error))


def blackener_for(subject: Subject) -> Blackener:
    """Return what takes out the secrets of this configuration."""
    secrets: list[str] = []
    if subject.path is not None:
        try:
            text = subject.path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            text = ""
        secrets += of_configuration(text)
    if subject.config is not None:
        broker = subject.config.broker
        files = []
        for key in SECRET_KEYS:
            if getattr(broker, key):
                try:
                    files.append(located(broker, key))
                except FourPartError:
                    continue  # systemd keeps it; nobody here can read it
        secrets += of_files(files)
        secrets.append(broker.username)
    return Blackener(secret for secret in secrets if secret)


def write_archive(out: Path, subject: Subject, *, with_data: bool, doctor: bool = True) -> list[str]:
    """Write all parts to `out`; return their names. Raises OSError."""
    clean = blackener_for(subject)
    parts: dict[str, Callable[[], Any]] = {
        "versions.json": versions,
        "configuration.json": lambda: configuration(subject),
        "service.json": lambda: standing(_outbox(subject)).as_dict(),
        "outbox.json": lambda: outbox_stats(_outbox(subject) or Path()),
        "certificates.json": lambda: certificates(subject),
        "system.json": lambda: system(_outbox(subject)),
        "log.txt": lambda: "\n".join(log_lines(LOG_LINES)) or "no journal here, or no right to read it",
    }
    if doctor:
        parts["doctor.json"] = lambda: doctor_says(subject)
    if with_data:
        parts["records.jsonl"] = lambda: "\n".join(records(subject))
    stem = out.name.removesuffix(".gz").removesuffix(".tar")
    descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
            _add(archive, f"{stem}/README.txt", README)
            for name, gather in parts.items():
                _add(archive, f"{stem}/{name}", clean(_text(gather)))
    except BaseException:
        out.unlink()  # a part of an archive looks like a whole one
        raise
    return ["README.txt", *parts]


def _text(gather: Callable[[], Any]) -> str:
    try:
        found = gather()
    except Exception as error:  # a box that needs a bug report may be broken in any way
        found = {"error": str(error) or type(error).__name__}
    return found if isinstance(found, str) else json.dumps(found, indent=1, default=str)


def _add(archive: tarfile.TarFile, name: str, text: str) -> None:
    data = text.encode()[-PART_BYTES:]
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime, entry.mode = len(data), int(time.time()), 0o600
    archive.addfile(entry, io.BytesIO(data))


def _outbox(subject: Subject) -> Path | None:
    return None if subject.config is None else Path(subject.config.outbox.directory)


def versions() -> dict[str, Any]:
    """Return what runs here."""
    packages = {found.metadata["Name"]: found.version for found in metadata.distributions()}
    return {
        "cargobox": agent.__version__,
        "python": sys.version,
        "kernel": platform.release(),
        "machine": platform.machine(),
        "packages": dict(sorted(packages.items())),
    }


def configuration(subject: Subject) -> Any:
    """Return the configuration without what sounds like a secret; why there is none, where there is none."""
    if subject.config is None:
        return {"error": subject.error}
    return _without_secrets(msgspec.to_builtins(subject.config))


def _without_secrets(part: Any) -> Any:
    if isinstance(part, dict):
        return {
            key: TAKEN_OUT
            if isinstance(value, str) and value and _is_secret(str(key))
            else _without_secrets(value)
            for key, value in part.items()
        }
    return [_without_secrets(value) for value in part] if isinstance(part, list | tuple) else part


def _is_secret(key: str) -> bool:
    return key == "username" or (bool(SECRET_KEY.search(key)) and not key.endswith("_file"))


def doctor_says(subject: Subject) -> Any:
    """Return what the doctor finds, in a process of its own: whatever becomes of it, we go on."""
    words = [sys.executable, "-m", "agent.cli", "doctor", "--json", "--seconds", "1"]
    if subject.path is not None:
        words += ["--config", str(subject.path)]
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=DOCTOR_S)
    return json.loads(done.stdout) if done.stdout else {"error": done.stderr}


def certificates(subject: Subject) -> dict[str, Any]:
    """Return the heads of certificates: whose and until when, and no figures."""
    if subject.config is None:
        return {}
    found = at_hand(subject.config)
    heads = ("format", "stream", "sensor", "unit", "method", "made_at", "valid_until", "software")
    return {
        "sensors": [{key: getattr(one, key) for key in heads} for one in (*found.named, *found.kept)],
        "damaged": [str(error) for error in found.damaged],
        "uplink": [{"key": one.key, "until": one.day} for one in expiries(subject.config.broker)],
    }


def system(outbox: Path | None) -> dict[str, Any]:
    """Return how the machine is."""
    found: dict[str, Any] = {"kernel": " ".join(platform.uname()[i] for i in (0, 2, 3, 4))}
    files: Mapping[str, str] = {
        "boot_id": "/proc/sys/kernel/random/boot_id",
        "uptime": "/proc/uptime",
        "load": "/proc/loadavg",
        "memory": "/proc/meminfo",
        "release": "/etc/os-release",
        "model": "/proc/device-tree/model",
    }
    for name, path in files.items():
        try:
            found[name] = Path(path).read_text(encoding="utf-8", errors="replace").strip("\0\n")
        except OSError:
            continue
    for place in {Path("/"), outbox} - {None}:
        assert place is not None
        there = next(path for path in (place, *place.parents) if path.exists())
        found[f"disk of {place}"] = shutil.disk_usage(there)._asdict()
    return found


def records(subject: Subject) -> Iterator[str]:
    """Give the records that wait, the oldest first, at most so many."""
    outbox = _outbox(subject)
    if outbox is not None:
        for waiting in islice(iter_waiting(outbox), MOST_RECORDS):
            yield as_json(waiting.payload).decode()
