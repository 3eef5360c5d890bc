"""Lays the firmware of a kind of board out as it lies in the board's flash: PLATFORM FOLDER."""

from __future__ import annotations

import filecmp
import shutil
import sys
from pathlib import Path

from firmware_bridge.firmware_files import LAUNCHER, program_files


def lay_out(platform: str, folder: Path) -> None:
    """Copy what differs, so that mypy need not look at what has not changed; remove the rest."""
    files = {LAUNCHER.name: LAUNCHER, **program_files(platform)}
    for name, source in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists() or not filecmp.cmp(source, target, shallow=False):
            shutil.copyfile(source, target)
    for path in folder.rglob("*.py"):
        if str(path.relative_to(folder)) not in files:
            path.unlink()


if __name__ == "__main__":
    lay_out(sys.argv[1], Path(sys.argv[2]))
