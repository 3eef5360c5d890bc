"""The firmware's own modules, loaded into CPython as a board has them: side by side, in no package."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest

import firmware_bridge
from firmware_bridge import wire

FIRMWARE = Path(firmware_bridge.__file__).parent / "firmware"
WIRE = Path(wire.__file__)


def load(name: str, **beside: types.ModuleType) -> types.ModuleType:
    """Return a module of the firmware; `beside`: what it finds next to it besides wire."""
    module = types.ModuleType(name)
    with pytest.MonkeyPatch.context() as patch:
        for other, found in {"wire": wire, **beside}.items():
            patch.setitem(sys.modules, other, found)
        path = FIRMWARE / f"{name}.py"
        exec(compile(path.read_text(encoding="utf-8"), path, "exec"), module.__dict__)
    return module
