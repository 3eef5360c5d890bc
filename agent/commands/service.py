"""The agent as a service of systemd: begun at each boot, watched, in a sandbox, with a user of its own.

`install` writes the units for the configuration and starts them; again after an upgrade or another broker.
`remove` ends it and keeps what it has stored. `status` says how it stands; exit status 1: something is wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path

from agent.config import load_config
from agent.errors import ConfigError, UsageError
from agent.installation.installing import (
    KEPT,
    SYSUSERS,
    UNITS,
    Change,
    check_right,
    disable,
    enable,
    installed,
    plan_for,
    removed,
    run_aloud,
    under,
    write,
)
from agent.installation.standing import Standing, output_of, standing
from agent.installation.units import CONFIGURATION, PROGRAM, UNIT

OLDEST_SYSTEMD = 252  # Debian 12, Raspberry Pi OS of 2023


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-verbs."""
    parser.add_argument("what", choices=("install", "remove", "status"))
    parser.add_argument(
        "--config", type=Path, metavar="FILE", default=CONFIGURATION, help=f"default: {CONFIGURATION}"
    )
    parser.add_argument(
        "--program", type=Path, metavar="PATH", help="install: the agent, as the unit calls it"
    )
    parser.add_argument("--direct", action="store_true", help="install: let the agent itself see the network")
    parser.add_argument(
        "--root", type=Path, metavar="DIR", default=Path("/"), help="a tree instead of this system"
    )
    parser.add_argument("--dry-run", action="store_true", help="show what would be done, and do nothing")
    parser.add_argument(
        "--purge", action="store_true", help="remove: what is stored, too; it cannot be had back"
    )
    parser.add_argument("--json", action="store_true", help="status: one JSON document on stdout")


def run(args: argparse.Namespace) -> int:
    """Do what was asked; 1 when something is wrong."""
    _check(args)
    if args.what == "status":
        return _status(args)
    if args.what == "install":
        return _install(args)
    return _remove(args)


def _check(args: argparse.Namespace) -> None:
    of_one = {"--purge": "remove", "--direct": "install", "--program": "install", "--json": "status"}
    for option, what in of_one.items():
        if getattr(args, option.strip("-").replace("-", "_")) and args.what != what:
            raise UsageError(
                "reading the command line",
                got=f"service {args.what} with {option}",
                expected=f"{option} with service {what} only",
                remedy="Drop it.",
            )


def _install(args: argparse.Namespace) -> int:
    program = args.program or _this_program()
    plan = plan_for(args.root, program, args.config, direct=args.direct, systemd=_systemd())
    changes = installed(plan, args.root)
    _show(changes, texts=args.dry_run)
    for name, path in plan.credentials.items():
        print(f"credential {name}, read by root from {path}")
    if args.dry_run:
        print("nothing was changed")
        return 0
    check_right(args.root, UNITS / UNIT)
    enable(args.root, plan, changed=write(changes, args.root))
    where = "" if args.root == Path("/") else f" in {args.root}, to begin with its next boot"
    print(f"the service is installed{where}; `cargobox service status` says how it stands")
    return 0


def _remove(args: argparse.Namespace) -> int:
    changes = removed(args.root)
    stored = [path for path in KEPT if under(args.root, path).exists()]
    _show(changes, texts=False)
    if args.purge:
        for path in stored:
            print(f"{path}: removed, with all that is in it")
    if args.dry_run:
        print("nothing was changed")
        return 0
    check_right(args.root, SYSUSERS)
    disable(args.root, changes)
    write(changes, args.root)
    if args.root == Path("/"):
        run_aloud(["systemctl", "daemon-reload"])
    if args.purge:
        for path in stored:
            shutil.rmtree(under(args.root, path))
    elif stored:
        print(f"{KEPT[0]} stays, with what has not been sent; --purge removes it")
    print(f"the service is removed; {args.config} and the user cargobox stay")
    return 0


def _status(args: argparse.Namespace) -> int:
    try:
        outbox = Path(load_config(args.config).outbox.directory)
    except ConfigError:
        outbox = None  # the service has its own words for that
    found = standing(outbox)
    if args.json:
        print(json.dumps(found.as_dict()))
    else:
        for line in in_words(found):
            print(line)
    return 1 if found.trouble else 0


def in_words(found: Standing) -> list[str]:
    """Return how the service stands, line by line."""
    waiting = found.unseen if found.waiting is None else f"{found.waiting:,} records"
    restarts = f", begun anew {found.restarts} times" if found.restarts else ""
    lines = [
        f"  service    {found.active}{f' since {found.since}' if found.since else ''}{restarts}",
        f"  says       {found.words or '-'}",
        f"  waiting    {waiting}",
    ]
    lines += [f"  WRONG      {words}" for words in found.trouble]
    if found.log:
        lines += ["  log", *(f"    {line}" for line in found.log)]
    return lines


def _show(changes: tuple[Change, ...], *, texts: bool) -> None:
    for change in changes:
        print(f"{change.path}: {change.word}")
        if texts and change.text is not None:
            print("".join(f"    {line}\n" for line in change.text.splitlines()), end="")


def _this_program() -> Path:
    """Return the agent as a unit should call it: by the name that stays over upgrades, where it has it."""
    if os.access(PROGRAM, os.X_OK):
        return PROGRAM
    return Path(sys.prefix) / "bin" / "cargobox"


def _systemd() -> int:
    """Return the version of systemd here; the oldest that is served where it does not say."""
    words = (output_of(["systemctl", "--version"]) or "").split()
    return int(words[1]) if len(words) > 1 and words[1].isdigit() else OLDEST_SYSTEMD
