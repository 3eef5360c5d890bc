"""Which files make up the firmware of each kind of board, and where they lie in its flash.

    /main.py        the launcher: chooses a slot
    /a/ /b/         a program each: program.py, wire.py, board.py, ... (or .mpy)
"""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent
LAUNCHER = HERE / "firmware" / "main.py"
SLOTS = ("a", "b")

_COMMON = {"program.py": HERE / "firmware" / "program.py", "wire.py": HERE / "wire.py"}
_BOARD = {"linux": {"board.py": HERE / "virtual" / "board.py"}}


def program_files(platform: str) -> dict[str, Path]:
    """Return path within the slot → source, for a board whose ``sys.platform`` is `platform`.

    Raises KeyError where there is no firmware for it.
    """
    return {**_COMMON, **_BOARD[platform]}
