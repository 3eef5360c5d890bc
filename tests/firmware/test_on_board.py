"""The drivers and board modules on the real MicroPython, against models of the chips.

Each file in ``on_board`` is a program for MicroPython; each function in it that begins with
``scenario_`` is a test here.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import firmware_bridge
from firmware_bridge.firmware_files import program_files

pytest.importorskip("micropython_unix", reason="this machine has no build of MicroPython")

PROGRAMS = Path(__file__).parent / "on_board"
BENCH = Path(firmware_bridge.__file__).parent / "virtual"
PREFIX = "scenario_"


def scenarios() -> list[tuple[str, str]]:
    found = []
    for program in sorted(PROGRAMS.glob("*.py")):
        for node in ast.parse(program.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith(PREFIX):
                found.append((program.name, node.name.removeprefix(PREFIX)))
    return found


@pytest.fixture(scope="session")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Both boards' files, as they lie in a slot, and the bench; `board` is not among them by that name."""
    slot = tmp_path_factory.mktemp("slot")
    for platform in ("rp2", "esp32"):
        for name, source in program_files(platform).items():
            target = slot / name.replace("board.py", f"board_{platform}.py")
            if name == "board_common.py":
                target = slot / name
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(source.read_bytes())
    bench = tmp_path_factory.mktemp("bench")
    for source in (*BENCH.glob("machine_*.py"), *BENCH.glob("chips/*.py")):
        target = bench / source.relative_to(BENCH)
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(source.read_bytes())
    return f"{slot}:{bench}:{PROGRAMS}"


@pytest.mark.board
@pytest.mark.parametrize(("program", "scenario"), scenarios())
def test_on_micropython(program: str, scenario: str, path: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "micropython_unix", "-X", "heapsize=4M", str(PROGRAMS / program), scenario],
        cwd=tmp_path,
        env={**os.environ, "MICROPYPATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and done.stdout.rstrip().endswith("done"), (
        f"{scenario}: exit status {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    )
