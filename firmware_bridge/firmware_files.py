"""Which files make up the firmware of each kind of board, and where they lie in its flash.

/main.py        the launcher: chooses a slot
/a/ /b/         a program each: program.py, wire.py, board.py, ... (or .mpy)
"""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
LAUNCHER = HERE / "firmware" / "main.py"
SLOTS = ("a", "b")

_COMMON = {
    "program.py": HERE / "firmware" / "program.py",
    "description.py": HERE / "firmware" / "description.py",
    "ring.py": HERE / "firmware" / "ring.py",
    "wire.py": HERE / "wire.py",
}
_SENSORS = (
    "__init__ base registers fifo adxl345 lis3dh climate bme280 sht4x analog switch hx711"  # a file each
)
_SENSOR_FILES = {
    f"sensors/{name}.py": HERE / "firmware" / "sensors" / f"{name}.py" for name in _SENSORS.split()
}
_REAL_BOARD = {
    name: HERE / "firmware" / name
    for name in ("board_common.py", "outputs.py", "packing.py", "settings.py", "wiring.py")
} | _SENSOR_FILES
_BOARD = {
    "linux": {"board.py": HERE / "virtual" / "board.py"},
    "rp2": _REAL_BOARD
    | {
        "board.py": HERE / "firmware" / "board_rp2.py",
        "sensors/hx711_pio.py": HERE / "firmware" / "sensors" / "hx711_pio.py",
    },
    "esp32": _REAL_BOARD | {"board.py": HERE / "firmware" / "board_esp32.py"},
}


def program_files(platform: str) -> dict[str, Path]:
    """Return path within the slot → source, for a board whose ``sys.platform`` is `platform`.

    Raises KeyError where there is no firmware for it.
    """
    return {**_COMMON, **_BOARD[platform]}


def platforms() -> tuple[str, ...]:
    """Return the platforms for which there is firmware."""
    return tuple(_BOARD)


def version_number(version: str) -> tuple[int, ...]:
    """Return a version as something that compares; () for none."""
    return tuple(int(part) for part in re.findall(r"\d+", version))


def shipped_version() -> str:
    """Return the version of the firmware that comes with this program."""
    text = _COMMON["program.py"].read_text(encoding="utf-8")
    found = re.search(r'^FIRMWARE_VERSION = "([^"]+)"', text, re.MULTILINE)
    assert found is not None
    return found[1]
