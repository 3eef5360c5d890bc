"""What a user installs holds every file that the program needs, and no tests."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from agent import __version__
from tests.house.tree import PACKAGES, copy_to, project_files

SHIPPED = (".py", ".typed", ".html", ".css", ".js")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Build the wheel from a copy of the project."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    copy_to(source, list(project_files()))
    command = [sys.executable, "-m", "pip", "wheel", "--no-index", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*command, "--wheel-dir", str(out), str(source)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = out.iterdir()
    return zipfile.ZipFile(built)


def test_the_wheel_holds_every_file_of_the_packages(wheel: zipfile.ZipFile) -> None:
    wanted = {
        path.as_posix() for path in project_files() if path.parts[0] in PACKAGES and path.suffix in SHIPPED
    }
    missing = wanted - set(wheel.namelist())
    assert not missing, f"not in the wheel: {sorted(missing)}; is an __init__.py or package_data missing?"


def test_the_wheel_brings_the_firmware(wheel: zipfile.ZipFile) -> None:
    for name in ("firmware_bridge/wire.py", "firmware_bridge/firmware/main.py"):
        assert name in wheel.namelist(), f"{name} is not in the wheel: `flash` would have nothing to copy"


def test_the_wheel_holds_nothing_else(wheel: zipfile.ZipFile) -> None:
    tops = {PurePosixPath(name).parts[0] for name in wheel.namelist()}
    expected = {*PACKAGES, f"cargobox_agent-{__version__}.dist-info"}
    assert tops == expected, f"the wheel's top holds {sorted(tops)}, expected {sorted(expected)}"


def test_the_wheel_says_what_it_is(wheel: zipfile.ZipFile) -> None:
    info = Path(f"cargobox_agent-{__version__}.dist-info")
    metadata = wheel.read(str(info / "METADATA")).decode()
    for line in (
        "Name: cargobox-agent",
        f"Version: {__version__}",
        "License-Expression: Apache-2.0",
        "Requires-Python: >=3.11",
    ):
        assert f"\n{line}\n" in metadata, f"METADATA does not say {line!r}:\n{metadata[:600]}"
    assert "cargobox = agent.cli:main" in wheel.read(str(info / "entry_points.txt")).decode()
