"""The check of the firmware against MicroPython's types bites: what a board does not have is reported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.firmware_layout import lay_out
from tests.house.tree import TOP

PLATFORMS = ("rp2", "esp32")
# The file of the layout, what it says, what it shall say, and what the report must contain.
MISTAKES = {
    "a name that a pin has not": (
        "wiring.py",
        "machine.Pin.PULL_DOWN",
        "machine.Pin.PULL_DWN",
        'has no attribute "PULL_DWN"',
    ),
    "a clock of CPython": (
        "sensors/switch.py",
        "time.ticks_us()",
        "time.perf_counter()",
        'no attribute "perf_counter"',
    ),
    "arguments in the wrong places": (
        "sensors/registers.py",
        "def read(self, register: int) -> int:",
        "def read(self) -> int:",
        "Too many arguments",
    ),
    "a watchdog's argument": (
        "board_common.py",
        "machine.WDT(timeout=",
        "machine.WDT(time_out=",
        'Unexpected keyword argument "time_out"',
    ),
}


@pytest.fixture(scope="module", params=PLATFORMS)
def checked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A layout that passes, and the cache of that."""
    platform: str = request.param
    if not (Path(sys.prefix) / f"typings-{platform}").exists():
        pytest.skip("scripts/stubs has not fetched the types")
    folder = tmp_path_factory.mktemp(platform)
    lay_out(platform, folder / "layout")
    assert mypy(platform, folder) == ""
    return platform, folder


def mypy(platform: str, folder: Path) -> str:
    """Return the errors that scripts/stubs would report."""
    types = Path(sys.prefix) / f"typings-{platform}"
    options = ("--config-file", str(TOP / "scripts" / "stubs.ini"), "--custom-typeshed-dir", str(types))
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "--cache-dir", str(folder / "cache"), "."],
        cwd=folder / "layout",
        env={**os.environ, "MYPYPATH": str(types)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout if done.returncode else ""


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_reported(mistake: str, checked: tuple[str, Path]) -> None:
    platform, folder = checked
    name, right, wrong, report = MISTAKES[mistake]
    path = folder / "layout" / name
    text = path.read_text(encoding="utf-8")
    assert right in text
    path.write_text(text.replace(right, wrong), encoding="utf-8")
    try:
        said = mypy(platform, folder)
    finally:
        path.write_text(text, encoding="utf-8")
    assert report in said, f"{platform}, {mistake}: the report does not say {report!r}:\n{said}"
