"""The drivers and board modules on the real MicroPython, against models of the chips.

Each file in ``on_board`` is a program for MicroPython; each function in it that begins with
``scenario_`` is a test here.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.firmware.bench import PROGRAMS, run

PREFIX = "scenario_"


def scenarios() -> list[tuple[str, str]]:
    found = []
    for program in sorted(PROGRAMS.glob("*.py")):
        for node in ast.parse(program.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith(PREFIX):
                found.append((program.name, node.name.removeprefix(PREFIX)))
    return found


@pytest.mark.board
@pytest.mark.parametrize(("program", "scenario"), scenarios())
def test_on_micropython(program: str, scenario: str, path: str, tmp_path: Path) -> None:
    done = run(program, scenario, path=path, cwd=tmp_path)
    # a program that fails prints why, and its exit status is 0 all the same
    assert done.returncode == 0 and done.stdout.rstrip().endswith("done"), (
        f"{scenario}: exit status {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    )
