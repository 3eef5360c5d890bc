"""What the tests of the doctor share: patients, and findings by their subject."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent.config import BoxSettings, Config, OutboxSettings
from agent.doctor import Area, Finding, Patient, State
from agent.uplink import BrokerConfig
from tests.house.tree import TOP


def patient(folder: Path, *, serial: Path | str | None = None, **broker: Any) -> Patient:
    config = Config(
        box=BoxSettings(id="box-7", fleet="north"),
        outbox=OutboxSettings(directory=str(folder / "outbox")),
        broker=BrokerConfig(**broker),
    )
    return Patient(folder / "box.toml", config, port=None if serial is None else str(serial))


# An interpreter below /root may not be read by nobody: a codec is looked up when it is first asked for.
AS_NOBODY = """
import codecs, os, sys
from agent import cli
from agent.commands import doctor, run
for codec in ("ascii", "idna", "latin-1", "utf-8", "utf-8-sig", "utf-16", "cp437"):
    codecs.lookup(codec)
os.setgroups([]); os.setgid(65534); os.setuid(65534)
sys.exit(cli.main(sys.argv[1:]))
"""


def as_nobody(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a verb as a user without rights. Only root can; all is imported before the rights are dropped."""
    command = [sys.executable, "-c", AS_NOBODY, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(TOP)}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


@contextmanager
def public_folder() -> Iterator[Path]:
    """Yield a folder that everybody may enter, which pytest's are not."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def only(found: Iterable[Finding]) -> Finding:
    findings = list(found)
    assert len(findings) == 1, findings
    return findings[0]


def about(found: Iterable[Finding], subject: str) -> Finding:
    findings = list(found)
    fitting = [f for f in findings if f.subject.startswith(subject)]
    assert len(fitting) == 1, f"{len(fitting)} findings on {subject!r} among {findings}"
    return fitting[0]


def states(found: Iterable[Finding], area: Area | None = None) -> set[State]:
    return {f.state for f in found if area is None or f.area is area}
