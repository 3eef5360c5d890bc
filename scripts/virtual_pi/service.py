"""The agent as a systemd service, in the guest: installed as docs/operators.md says, and watched.

python -m scripts.virtual_pi.service CONFIGURATION     installs it, starts it, prints how it stands
"""

from __future__ import annotations

import argparse
import dataclasses
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from firmware_bridge.errors import FourPartError
from scripts.virtual_pi.paths import VENV

UNIT = "cargobox.service"
UNIT_FILE = Path("/etc/systemd/system") / UNIT
CONFIGURATION = Path("/etc/cargobox/cargobox.toml")
LEFT_BEHIND = ("/var/lib/cargobox",)
START_TIMEOUT_S = 60
LAST_LINES = 100
JOURNAL_LINES = 40


@dataclass(frozen=True, slots=True)
class State:
    """How the service stands, in systemd's words."""

    active: str
    sub: str
    result: str
    process: int
    restarts: int
    words: str


class Service:
    """The agent with this configuration; a context manager that starts it, with a broker, and ends both."""

    def __init__(self, configuration: str, *, drop_in: str = "") -> None:
        self._configuration = configuration
        self._drop_in = drop_in

    def __enter__(self) -> Self:
        self.install()
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            print(f"what the service said last:\n{self.journal(LAST_LINES)}")
        self.stop()

    def install(self) -> None:
        """Write the unit and the configuration; forget what an earlier one left."""
        extra = UNIT_FILE.with_name(f"{UNIT}.d") / "virtual-pi.conf"
        for path, text in ((extra, self._drop_in), (CONFIGURATION, self._configuration)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        installed = subprocess.run(
            [VENV / "bin/cargobox", "service", "install", "--config", CONFIGURATION],
            check=False,
            capture_output=True,
            text=True,
        )
        if installed.returncode:
            raise FourPartError(
                "installing the service",
                got=installed.stderr.strip(),
                expected="status 0",
                remedy="Its words stand above.",
            )
        subprocess.run(["systemctl", "stop", UNIT], check=True)
        subprocess.run(["rm", "-rf", *LEFT_BEHIND], check=True)
        subprocess.run(["systemctl", "reset-failed", UNIT], check=False, stderr=subprocess.DEVNULL)

    def start(self) -> None:
        """Start the broker and the agent; return when the agent says that it is ready."""
        began_s = time.monotonic()
        words = ["timeout", str(START_TIMEOUT_S), "systemctl", "start", "mosquitto.service", UNIT]
        finished = subprocess.run(words, check=False, capture_output=True, text=True)
        if finished.returncode:
            raise FourPartError(
                f"starting {UNIT}",
                got=f"status {finished.returncode} after {time.monotonic() - began_s:.0f} s, "
                f"{self.state()}\n{self.journal()}\n",
                expected="that it says READY",
                remedy="Its journal stands above.",
            )

    def stop(self) -> None:
        """End the agent in order, then the broker."""
        subprocess.run(["systemctl", "stop", UNIT], check=True)
        subprocess.run(["systemctl", "stop", "mosquitto.service"], check=True)

    def state(self) -> State:
        """Return how it stands now."""
        names = "ActiveState,SubState,Result,MainPID,NRestarts,StatusText"
        shown = subprocess.run(
            ["systemctl", "show", UNIT, "--property", names], check=True, capture_output=True, text=True
        ).stdout
        of = dict(line.split("=", 1) for line in shown.splitlines())
        return State(
            active=of["ActiveState"],
            sub=of["SubState"],
            result=of["Result"],
            process=int(of["MainPID"]),
            restarts=int(of["NRestarts"]),
            words=of["StatusText"],
        )

    def journal(self, lines: int = JOURNAL_LINES) -> str:
        """Return what it said last."""
        words = ["journalctl", "--unit", UNIT, "--no-pager", "--output", "cat", "--lines", str(lines)]
        return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def main() -> int:
    """Install and start it, and leave it running."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("configuration", type=Path)
    arguments = parser.parse_args()
    service = Service(arguments.configuration.read_text(encoding="utf-8"))
    try:
        service.install()
        service.start()
    except FourPartError as error:
        print(error, file=sys.stderr)
        return 1
    for name, value in dataclasses.asdict(service.state()).items():
        print(f"{name:9} {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
