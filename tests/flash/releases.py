"""Versions of the firmware that never were, and flashing them as the verb does."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from firmware_bridge import firmware_files
from firmware_bridge.describe import Description
from firmware_bridge.flashing import building
from firmware_bridge.flashing.finding import Place
from firmware_bridge.flashing.flasher import Flasher, Report, Wishes
from firmware_bridge.flashing.greeting import ask_for_prompt, greet
from firmware_bridge.flashing.repl import Repl
from firmware_bridge.flashing.slots import Slots
from firmware_bridge.link import Link
from firmware_bridge.virtual.repl_board import ReplBoard

OLD, NEW = "3.0.0", "3.1.0"
BACK_S = 0.3  # a board that was unplugged in a test does not come back by itself


class Releases:
    """What the program that flashes believes to belong to it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._monkeypatch = monkeypatch

    def ship_with_older_launcher(self, version: str) -> None:
        """Let `version` be shipped with a launcher that is not quite today's."""
        self.ship(version)
        path = self._folder / "main.py"
        path.write_bytes(firmware_files.LAUNCHER.read_bytes().replace(b"DOOR_MS = 3000", b"DOOR_MS = 3001"))
        assert path.read_bytes() != firmware_files.LAUNCHER.read_bytes()
        self._monkeypatch.setattr(building, "LAUNCHER", path)

    def ship(self, version: str, *, first_line: str = "") -> None:
        """Let `version` be the shipped firmware: the real one, with a line before all others."""
        files = dict(firmware_files.program_files("linux"))
        text = files["program.py"].read_text(encoding="utf-8")
        text = re.sub(r'^FIRMWARE_VERSION = ".*"$', f'FIRMWARE_VERSION = "{version}"', text, flags=re.M)
        path = self._folder / version / "program.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{first_line}\n{text}", encoding="utf-8")
        files["program.py"] = path
        self._monkeypatch.setattr(building, "program_files", lambda platform: files)
        self._monkeypatch.setattr(firmware_files, "shipped_version", lambda: version)


def flash(
    board: ReplBoard,
    *,
    force: bool = False,
    config: bytes | None = None,
    remove: tuple[str, ...] = (),
    say: Callable[[str], object] = lambda _: None,
    progress: Callable[[float], object] = lambda _: None,
) -> Report:
    """Flash as `cargobox flash` does."""
    return Flasher(Place(board.port, BACK_S), Wishes(force, config, remove), say, progress).flash()


def described(board: ReplBoard) -> Description:
    """Return what the program on the board says of itself."""
    greeting = greet(board.port, 10.0)
    assert greeting.description is not None, f"no description, but {greeting.heard!r}; it said {board.said!r}"
    return greeting.description


def streams(board: ReplBoard) -> bool:
    """Return whether samples come."""
    link = Link(board.port)
    try:
        link.open()
        return any(link.read(0.2) for _ in range(100))
    finally:
        link.close()


@contextlib.contextmanager
def prompt(board: ReplBoard) -> Iterator[Repl]:
    """The board's raw prompt, whatever runs; it boots afterwards."""
    if greet(board.port).is_ours:
        assert ask_for_prompt(board.port)
    with Repl(board.port) as repl:
        Slots(repl)  # which takes the marker away
        yield repl


def power_cycle(board: ReplBoard) -> None:
    """Pull the cable and put it back."""
    board.unplug()
    board.plug()
