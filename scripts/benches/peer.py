"""A package of others, in an environment of its own for the time of a bench: no dependency of ours."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any


def say(text: str) -> None:
    """Print a line beside the figures."""
    print(f"  {text}", file=sys.stderr)


class Peer:
    """`requirement` as pip has it, installed into `folder`; says once why it is not there."""

    def __init__(self, folder: Path, requirement: str) -> None:
        self.folder = folder
        self._requirement = requirement
        self._python = folder / "peer" / "bin" / "python"
        self.there = self._install(folder / "peer")

    def run(self, program: str, *arguments: str) -> dict[str, Any] | None:
        """Run a program there; return the JSON document that it prints last, None where it fails."""
        if not self.there:
            return None
        command = [str(self._python), "-c", program, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            say(
                f"{self._requirement} failed: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}"
            )
            return None
        result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return result

    def _install(self, folder: Path) -> bool:
        venv.create(folder, with_pip=True)
        command = [str(self._python), "-m", "pip", "install", "--quiet", self._requirement]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            say(f"skipped: {self._requirement} cannot be installed here: {reason}")
        return done.returncode == 0
