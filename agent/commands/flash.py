"""Put the firmware on the board: found, written beside what runs, tried, and kept once it has answered.

The program that was on the board stays until the new one has described itself, and comes back if it does
not. Pulled at any moment, the board answers as before or waits at its prompt; the same command again goes on.
Exit status: 0 done or nothing to do, 1 it did not work, 2 bad usage.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from agent.errors import UsageError
from firmware_bridge import ports
from firmware_bridge.flashing import base_image
from firmware_bridge.flashing.errors import TrialError
from firmware_bridge.flashing.finding import Place, only_board
from firmware_bridge.flashing.flasher import Flasher, Wishes
from firmware_bridge.flashing.repl import Repl

BAR_WIDTH = 40
BACK_S = 30.0


class _Bar:
    """Lines for people on stderr, and on a terminal a bar below them; in a pipe the lines alone."""

    def __init__(self) -> None:
        self._is_shown = False
        self._last = ""

    def say(self, words: str) -> None:
        """Print a line."""
        self.clear()
        print(words, file=sys.stderr, flush=True)

    def show(self, part: float) -> None:
        """Move the bar."""
        if not sys.stderr.isatty():
            return
        width = min(BAR_WIDTH, shutil.get_terminal_size().columns - 8)
        done = int(part * width)
        bar = f"\r[{'#' * done}{'.' * (width - done)}] {part:4.0%}"
        if bar != self._last:
            self._last, self._is_shown = bar, True
            print(bar, end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the bar away."""
        if self._is_shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._is_shown, self._last = False, ""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--port", metavar="PORT", help="serial port; without it, the one board there is")
    parser.add_argument("--list", action="store_true", help="only show the ports, and what each probably is")
    parser.add_argument(
        "--board-config",
        type=Path,
        metavar="FILE",
        help="the board's configuration (JSON), put on it as well",
    )
    parser.add_argument(
        "--base-image",
        type=Path,
        metavar="FILE",
        help="MicroPython for the board (.uf2 or .bin), put on it first",
    )
    parser.add_argument("--force", action="store_true", help="also the same version again, or an older one")
    parser.add_argument(
        "--remove",
        metavar="NAME",
        action="append",
        default=[],
        help="remove a file that is not ours from a flash that is full; may be given again",
    )
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")


def run(args: argparse.Namespace) -> int:
    """Flash; raises in four parts what is wrong."""
    if args.list:
        _list(as_json=args.json)
        return 0
    config = None if args.board_config is None else _board_config(args.board_config)
    bar = _Bar()
    try:
        port = args.port
        if args.base_image is not None:
            port = _put_base_image(args.base_image, port, bar)
        flasher = Flasher(
            Place(port or only_board()), Wishes(args.force, config, tuple(args.remove)), bar.say, bar.show
        )
        report = flasher.flash()
    except TrialError as error:
        if error.traceback:
            bar.say(error.traceback)
        raise
    except KeyboardInterrupt:
        bar.say(
            "interrupted: the board runs what it ran before, or the new program on trial, "
            "or waits at its prompt. The same command again goes on."
        )
        raise
    finally:
        bar.clear()
    if args.json:
        print(json.dumps(dataclasses.asdict(report)))
    return 0


def _board_config(path: Path) -> bytes:
    """Return the file's bytes, once it is sure that they are one JSON object."""
    try:
        data = path.read_bytes()
        if not isinstance(json.loads(data), dict):
            raise ValueError("it is no object")
    except (OSError, ValueError) as error:
        raise UsageError(
            f"reading the board's configuration {path}",
            got=getattr(error, "strerror", None) or str(error),
            expected="a JSON object, as docs/boards.md describes it",
            remedy="Correct the file, or leave --board-config out: the board keeps what it has.",
        ) from error
    return data


def _put_base_image(path: Path, port: str | None, bar: _Bar) -> str | None:
    """Put MicroPython on the board; return its port, None where that is still to be found."""
    image = base_image.read_image(path)
    if image.offset is not None:
        port = port or only_board()
    elif not ports.bootsel_boards() and (port is not None or ports.likely_boards()):
        port = port or only_board()
        bar.say(f"{port}: asking the board to show its drive")
        with Repl(port) as repl:
            repl.boot("machine.bootloader()")
    base_image.put(image, port, bar.say, bar.show)
    bar.say(f"MicroPython for {image.chip} is on the board")
    return _once_back(port)


def _once_back(port: str | None) -> str:
    """Return the port of the board when it has booted."""
    if port is not None:
        return Place(port, BACK_S).wait()
    return only_board(BACK_S)


def _list(*, as_json: bool) -> None:
    found = ports.list_ports()
    waiting = ports.bootsel_boards()
    if as_json:
        document: dict[str, Any] = {
            "ports": [dataclasses.asdict(port) for port in found],
            "bootsel": [dataclasses.asdict(board) for board in waiting],
        }
        print(json.dumps(document))
        return
    for port in found:
        mark = "*" if port.likely else " "
        number = f", serial number {port.serial_number}" if port.serial_number else ""
        print(f"{mark} {port.name}\n      {port.kind}{f' ({port.usb_id})' if port.usb_id else ''}{number}")
    for board in waiting:
        print(f"* {board.drive or 'no drive yet'}\n      {board.kind}: needs --base-image")
    if not found and not waiting:
        print("no serial port, and no board that waits for a base image")
