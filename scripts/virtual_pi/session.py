"""``scripts/virtual_pi/run``, ``suite`` and ``shell``: the machine for the length of one command."""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from firmware_bridge.errors import FourPartError
from firmware_bridge.virtual import VirtualBox
from firmware_bridge.virtual.trip import Trip
from scripts.virtual_pi import project
from scripts.virtual_pi.machine import Options, VirtualPi, qemu_command
from scripts.virtual_pi.paths import PROJECT, VENV, Cache
from scripts.virtual_pi.serial_cable import SerialCable
from scripts.virtual_pi.steps import say

SUITE = "tests/i2c"
A_DAY_S = 86_400.0
LONGEST_TEST_S = 1800
ENVIRONMENT = {
    "CARGOBOX_VIRTUAL_PI_GUEST": "1",
    "PATH": f"{VENV}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "PYTHONPATH": str(PROJECT),
    "PYTHONUNBUFFERED": "1",
    "HOME": "/var/tmp",
    "LANG": "C.UTF-8",
}


@contextlib.contextmanager
def booted(options: Options, *, seed: int) -> Iterator[VirtualPi]:
    """Give a machine with the project as it is now, and a virtual box on its second serial port."""
    cache = Cache.default()
    with tempfile.TemporaryDirectory(prefix="virtual-pi-") as scratch:
        tar = Path(scratch) / "project.tar"
        project.pack(cache, tar)
        say("booting the virtual Pi …")
        with VirtualPi(cache, tar, options) as pi:
            say(f"  {pi.boot_s:.0f} s")
            port = Path(scratch) / "box"
            with (
                VirtualBox(Trip(seed=seed), port, Path(scratch) / "board"),
                SerialCable(str(port), pi.serial),
            ):
                yield pi


def run(command: str | Sequence[str], options: Options, *, seed: int, timeout_s: float) -> int:
    """Run a command in the guest, its output live; return its status."""
    with booted(options, seed=seed) as pi:
        text = command if isinstance(command, str) else shlex.join(command)
        finished = pi.run(
            f"cd {PROJECT} && {text}",
            timeout_s=timeout_s,
            environment=ENVIRONMENT,
            on_output=_show,
        )
    return finished.status if finished.status >= 0 else 128 - finished.status


def shell(options: Options) -> None:
    """Become the machine, its console at this terminal."""
    cache = Cache.default()
    scratch = Path(tempfile.mkdtemp(prefix="virtual-pi-"))
    tar = scratch / "project.tar"
    project.pack(cache, tar)
    say("booting the virtual Pi; Ctrl-A X takes its power away, `systemctl poweroff` shuts it down")
    words = qemu_command(cache, options, tar, "mon:stdio")
    # nobody is at the other end of the port that brings commands
    words += ["-device", "virtio-serial-pci", "-chardev", "null,id=porter"]
    words += ["-device", "virtserialport,chardev=porter,name=porter"]
    os.execvp(words[0], words)


def _show(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _end(number: int, _frame: object) -> None:
    sys.exit(128 + number)


def _parser() -> argparse.ArgumentParser:
    machine = argparse.ArgumentParser(add_help=False)
    machine.add_argument("--cpus", type=int, default=2, help="processors of the machine (default: 2)")
    parser = argparse.ArgumentParser(prog="scripts/virtual_pi/…", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    run_ = verbs.add_parser("run", parents=[machine], help="run one command in the guest, as root")
    run_.add_argument("--seed", type=int, default=1, help="which trip the virtual box plays (default: 1)")
    run_.add_argument(
        "--timeout", type=float, default=A_DAY_S, metavar="S", help="kill the command after so long"
    )
    run_.add_argument("command", nargs=argparse.REMAINDER, help="words, or one word for the guest's shell")
    verbs.add_parser("suite", add_help=False, help=f"run pytest {SUITE} in the guest; arguments are pytest's")
    verbs.add_parser("shell", parents=[machine], help="boot, and show its console")
    return parser


def main() -> int:
    """Run, test or show; the exit status is the command's own."""
    arguments, rest = _parser().parse_known_args()
    signal.signal(signal.SIGTERM, _end)
    try:
        if arguments.verb == "shell":
            shell(Options(cpus=arguments.cpus))
        if arguments.verb == "suite":
            chosen = any(word.startswith("tests/") for word in rest)
            # ten minutes of sampling are no hang
            patient = ["-p", "no:cacheprovider", "-o", f"faulthandler_timeout={LONGEST_TEST_S}"]
            words = ["pytest", *patient, *([] if chosen else [SUITE]), *rest]
            return run(words, Options(), seed=1, timeout_s=A_DAY_S)
        words = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
        if not words:
            _parser().error("run needs a command")
        command = words[0] if len(words) == 1 else words
        return run(command, Options(cpus=arguments.cpus), seed=arguments.seed, timeout_s=arguments.timeout)
    except FourPartError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
