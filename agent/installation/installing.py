"""Installing and removing the service: which files, written how, and which words of systemctl(1) follow.

With a root other than "/" only files are written: into an image, or to look at them.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.config import Config, load_config
from agent.errors import UsageError
from agent.installation.units import (
    BROKER_SERVICE,
    BROKER_SOCKET,
    UNIT,
    Plan,
    agent_unit,
    broker_service,
    broker_socket,
    user,
)
from agent.uplink.settings import FROM_SYSTEMD
from firmware_bridge.errors import FourPartError

UNITS = Path("/etc/systemd/system")
SYSUSERS = Path("/etc/sysusers.d/cargobox.conf")
WANTED = {UNIT: "multi-user.target.wants", BROKER_SOCKET: "sockets.target.wants"}
KEPT = (Path("/var/lib/cargobox"), Path("/var/cache/cargobox"))
HIDDEN = (Path("/home"), Path("/root"), Path("/tmp"), Path("/var/tmp"))  # from a service, by its sandbox
GROUPS = ("dialout", "i2c")
FILE_MODE = 0o644
ON_BOARD = re.compile(r"/dev/(ttyS|ttyAMA)\d+")

Run = Callable[[Sequence[str]], None]


@dataclass(frozen=True, slots=True)
class Change:
    """A file and what it is to hold; None: it goes."""

    path: Path
    text: str | None
    before: str | None

    @property
    def word(self) -> str:
        """What becomes of it."""
        if self.text == self.before:
            return "as it is"
        return "removed" if self.text is None else "new" if self.before is None else "changed"


def run_aloud(words: Sequence[str]) -> None:
    """Run a command of systemd's. Raises FourPartError where it fails."""
    try:
        done = subprocess.run(words, check=False, capture_output=True, text=True)
    except OSError as error:
        raise _failed(words, str(error)) from error
    if done.returncode:
        raise _failed(words, (done.stderr or done.stdout).strip() or f"status {done.returncode}")


def _failed(words: Sequence[str], got: str) -> FourPartError:
    return FourPartError(
        f"running `{' '.join(words)}`",
        got=got.rstrip("."),
        expected="that systemd does it",
        remedy="`journalctl -u cargobox -n 50` may say more; all files are written, try the same again.",
    )


def under(root: Path, path: Path) -> Path:
    """Return where `path` is in the tree at `root`."""
    return root / path.relative_to("/") if path.is_absolute() else root / path


def plan_for(root: Path, program: Path, configuration: Path, *, direct: bool, systemd: int) -> Plan:
    """Return what the units depend on, of the configuration in the tree. Raises ConfigError, UsageError."""
    for what, path in (("--program", program), ("--config", configuration)):
        _check_place(what, path)
    found = under(root, program)
    if root == Path("/") and not os.access(found, os.X_OK):
        raise UsageError(
            "installing the service",
            got=f"no program at {program}",
            expected="the agent as it was installed",
            remedy="Say where it is: --program /opt/cargobox/bin/cargobox.",
        )
    config = load_config(under(root, configuration))
    return Plan(
        program=program,
        configuration=configuration,
        host=config.broker.host,
        port=config.broker.port,
        groups=tuple(group for group in GROUPS if group in _groups(root)),
        devices=devices_of(config),
        credentials=credentials_of(config, configuration.parent),
        direct=direct,
        systemd=systemd,
    )


def _check_place(what: str, path: Path) -> None:
    if path.is_absolute() and not any(path.is_relative_to(hidden) for hidden in HIDDEN):
        return
    raise UsageError(
        "installing the service",
        got=f"{what} {path}",
        expected="an absolute path, not within a home or a folder for temporary files, which no service sees",
        remedy="Install the agent in /opt/cargobox and its configuration as /etc/cargobox/cargobox.toml.",
    )


def devices_of(config: Config) -> tuple[str, ...]:
    """Return the classes of devices that may be opened: always the same, and a serial port without USB."""
    serial = config.source.serial
    named = ON_BOARD.fullmatch(serial.port) if serial is not None else None
    return (*Plan().devices, named[1]) if named is not None else Plan().devices


def credentials_of(config: Config, folder: Path) -> dict[str, Path]:
    """Return the credentials that the configuration names: each is read by root from a file beside it."""
    broker = config.broker
    named = (broker.password_file, broker.ca_file, broker.cert_file, broker.key_file)
    names = [name.removeprefix(FROM_SYSTEMD) for name in named if name.startswith(FROM_SYSTEMD)]
    return {name: folder / name for name in names}


def _groups(root: Path) -> set[str]:
    try:
        lines = under(root, Path("/etc/group")).read_text(encoding="utf-8").splitlines()
    except OSError:
        return set(GROUPS)
    return {line.partition(":")[0] for line in lines}


def installed(plan: Plan, root: Path) -> tuple[Change, ...]:
    """Return the files of the service."""
    texts: dict[Path, str | None] = {SYSUSERS: user(), UNITS / UNIT: agent_unit(plan)}
    texts[UNITS / BROKER_SOCKET] = None if plan.direct else broker_socket()
    texts[UNITS / BROKER_SERVICE] = None if plan.direct else broker_service(plan)
    return _changes(texts, root)


def removed(root: Path) -> tuple[Change, ...]:
    """Return the same files, to be taken away."""
    paths = (UNITS / UNIT, UNITS / BROKER_SOCKET, UNITS / BROKER_SERVICE, SYSUSERS)
    return _changes(dict.fromkeys(paths), root)


def _changes(texts: dict[Path, str | None], root: Path) -> tuple[Change, ...]:
    changes = (Change(path, text, _read(under(root, path))) for path, text in texts.items())
    return tuple(change for change in changes if not (change.text is None and change.before is None))


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def check_right(root: Path, path: Path) -> None:
    """Raise FourPartError where this user may not write there."""
    here = under(root, path).parent
    while not here.exists():
        here = here.parent
    if not os.access(here, os.W_OK):
        raise FourPartError(
            "changing the service",
            got=f"no right to write in {here}",
            expected="root, to whom services belong",
            remedy="Run it with sudo; --dry-run shows what it would do without it.",
        )


def write(changes: Iterable[Change], root: Path) -> bool:
    """Make the changes, each file whole or not at all; return whether there were any."""
    changed = False
    for change in changes:
        if change.text == change.before:
            continue
        changed, path = True, under(root, change.path)
        if change.text is None:
            path.unlink()
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        part.write_text(change.text, encoding="utf-8")
        part.chmod(FILE_MODE)
        os.replace(part, path)
    return changed


def enable(root: Path, plan: Plan, *, changed: bool, run: Run = run_aloud) -> None:
    """Let systemd know, now and at each boot; an agent that runs begins anew with what has changed."""
    units = [UNIT] if plan.direct else [BROKER_SOCKET, UNIT]
    if root != Path("/"):
        for unit in units:
            link = under(root, UNITS / WANTED[unit] / unit)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(UNITS / unit)
        return
    run(["systemd-sysusers", str(SYSUSERS)])
    run(["systemctl", "daemon-reload"])
    run(["systemctl", "enable", *units])
    if changed and not plan.direct:
        run(["systemctl", "stop", UNIT, BROKER_SERVICE, BROKER_SOCKET])
    # restart, also where no file has changed: an upgrade changes what the program's path leads to
    run(["systemctl", "restart", *units])


def disable(root: Path, changes: Sequence[Change], run: Run = run_aloud) -> None:
    """End the service before its files go."""
    if root != Path("/"):
        for unit, folder in WANTED.items():
            under(root, UNITS / folder / unit).unlink(missing_ok=True)
        return
    units = [change.path.name for change in changes if change.path.parent == UNITS]
    if units:
        run(["systemctl", "disable", "--now", *units])
