"""A board to flash, and releases of the firmware to put on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_bridge.virtual.box import Interpreter
from firmware_bridge.virtual.repl_board import ReplBoard
from tests.flash.releases import NEW, OLD, Releases, flash

WATCHDOG_SPEED = 4.0  # its 8 s are 2 then


def plugged(folder: Path, image: bytes = b"", cut_at_write: int | None = None) -> ReplBoard:
    """Return a board that has this in its flash."""
    if not Interpreter.MICROPYTHON.available:
        pytest.skip("no MicroPython for this machine (the extra demo has it for x86-64)")
    (folder / "board").mkdir(exist_ok=True)
    if image:
        (folder / "board" / "flash.img").write_bytes(image)
    return ReplBoard(
        folder / "port", folder / "board", watchdog_speed=WATCHDOG_SPEED, cut_at_write=cut_at_write
    )


@pytest.fixture
def board(tmp_path: Path) -> Iterator[ReplBoard]:
    """A board as it comes from the shop: MicroPython, and nothing in its flash."""
    with plugged(tmp_path) as board:
        yield board


@pytest.fixture(scope="session")
def old_image(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The flash of a board that runs the old version, started by an older launcher."""
    folder = tmp_path_factory.mktemp("old")
    with pytest.MonkeyPatch.context() as patch, plugged(folder) as board:
        Releases(folder / "release", patch).ship_with_older_launcher(OLD)
        flash(board)
        return board.image.read_bytes()


@pytest.fixture
def with_old(tmp_path: Path, old_image: bytes, releases: Releases) -> Iterator[ReplBoard]:
    """A board on which the old version runs; the new one is about to come."""
    releases.ship(NEW)
    with plugged(tmp_path, old_image) as board:
        yield board


@pytest.fixture
def releases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Releases:
    """What `cargobox flash` is to put on it."""
    return Releases(tmp_path / "release", monkeypatch)
