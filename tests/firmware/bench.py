"""Running a program of ``on_board`` on the real MicroPython, with the firmware and models of its chips."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import firmware_bridge
from firmware_bridge.firmware_files import program_files

PROGRAMS = Path(__file__).parent / "on_board"
VIRTUAL = Path(firmware_bridge.__file__).parent / "virtual"


def lay_out_bench(folder: Path) -> None:
    """Copy what stands in for the board and its chips."""
    for source in (*VIRTUAL.glob("machine_*.py"), *VIRTUAL.glob("chips/*.py")):
        target = folder / source.relative_to(VIRTUAL)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())


def lay_out_slot(platform: str, folder: Path, board: str = "board.py") -> None:
    """Copy a board's files as they lie in its flash; `board`: another name for that module."""
    for name, source in program_files(platform).items():
        target = folder / (board if name == "board.py" else name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())


def run(program: str, *arguments: str, path: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    return subprocess.run(
        [sys.executable, "-m", "micropython_unix", "-X", "heapsize=4M", PROGRAMS / program, *arguments],
        cwd=cwd,
        env={**os.environ, "MICROPYPATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
