"""The cable pulled at any moment of a flash: the board answers with its old program, or can be flashed again.

The moments are found, not listed: a first run counts what the host sends and what the board writes into its
flash; then it is run again and again, and cut at one of them each time. All of them take minutes; by default
some, of every kind, chosen by a seed. ``CARGOBOX_CUTS=all`` takes all of them, a number takes another seed.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest
import serial

from firmware_bridge.errors import FourPartError
from firmware_bridge.flashing.greeting import greet
from firmware_bridge.port import Port
from firmware_bridge.virtual.repl_board import ReplBoard
from tests.flash.conftest import plugged
from tests.flash.releases import NEW, OLD, Releases, described, flash, power_cycle

pytestmark = [pytest.mark.board, pytest.mark.slow]

CUTS = os.environ.get("CARGOBOX_CUTS", "1")
SENT_CUTS, WRITE_CUTS = 10, 10
INTERNALS = {"read_until", "wrapped", "_in_words", "__enter__", "__exit__", "send"}


class Sent:
    """Counts what the host sends, and does something before the chosen one."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.kinds: list[str] = []
        """For each, which line of the flashing code is behind it."""
        self.act_at = -1
        self.act: Callable[[], None] = lambda: None
        for kind in (serial.Serial, Port):
            self._wrap(patch, kind)

    def _wrap(self, patch: pytest.MonkeyPatch, kind: type[serial.Serial] | type[Port]) -> None:
        write = kind.write

        def wrapped(port: object, data: bytes) -> object:
            if len(self.kinds) == self.act_at:
                self.act()
            self.kinds.append(_who_sends())
            return write(port, data)  # type: ignore[arg-type]

        patch.setattr(kind, "write", wrapped)


def _who_sends() -> str:
    """Return the callers in the flashing code, but for those that stand between all of them."""
    frame: FrameType | None = sys._getframe(2)
    names = []
    while frame is not None:
        if "flashing" in frame.f_code.co_filename and frame.f_code.co_name not in INTERNALS:
            names.append(f"{frame.f_code.co_name} {frame.f_locals.get('path', '')}:{frame.f_lineno}")
        frame = frame.f_back
    return " < ".join(names[:2])


def chosen(kinds: list[str], count: int) -> list[int]:
    """Return where to cut: at the last, and a sample of the rest with as many kinds as there is room for."""
    if CUTS == "all":
        return list(range(len(kinds)))
    dice = random.Random(int(CUTS))
    order = list(range(len(kinds)))
    dice.shuffle(order)
    first_of_kind = {kinds[at]: at for at in reversed(order)}
    rare = sorted(first_of_kind.values(), key=lambda at: kinds.count(kinds[at]))
    return sorted({len(kinds) - 1, *rare[: count // 2], *order[: count // 2]})


def check(board: ReplBoard, before: str, where: str) -> None:
    """The board is as it was before, or is flashed; and another flash succeeds and stays."""
    greeting = greet(board.port, 10.0)
    if before and greeting.at_prompt:
        power_cycle(board)  # the marker for the prompt is used once: from then on the old program runs
        greeting = greet(board.port, 10.0)
        assert greeting.description is not None, f"{where}: {greeting.heard!r}"
    if greeting.description is not None:
        assert greeting.description.firmware in (before, NEW), f"{where}: {greeting.description}"
        # on trial: it was cut while the mark was being used up, so that this boot used it
        assert greeting.description.firmware == NEW or not greeting.description.trial, where
    else:
        assert greeting.at_prompt, f"{where}: {greeting.heard!r}, and it said {board.said[-300:]!r}"
    report = flash(board)
    assert report.firmware == NEW, f"{where}: {report}"
    power_cycle(board)
    about = described(board)
    assert (about.firmware, about.trial) == (NEW, False), f"{where}: {about}"


def cut_flash(board: ReplBoard, where: str) -> None:
    """Flash, expecting that it fails in words or had done all before."""
    try:
        flash(board)
    except FourPartError as error:
        assert len(error.remedy) > 20, f"{where}: {error}"


@pytest.mark.parametrize("before", ["", OLD], ids=["first", "upgrade"])
def test_pulled_whatever_the_host_sends(
    before: str, tmp_path: Path, old_image: bytes, releases: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    releases.ship(NEW)
    image = old_image if before else b"\xff" * len(old_image)
    with plugged(tmp_path, image) as board, pytest.MonkeyPatch.context() as patch:
        sent = Sent(patch)
        flash(board)
    assert len(set(sent.kinds)) > 10, sent.kinds
    for at in chosen(sent.kinds, SENT_CUTS):
        where = f"pulled before sending {at} of {len(sent.kinds)} ({sent.kinds[at]})"
        with plugged(tmp_path, image) as board:
            with pytest.MonkeyPatch.context() as patch:
                pulled = Sent(patch)
                pulled.act_at, pulled.act = at, board.unplug
                cut_flash(board, where)
            board.unplug()
            board.plug()
            check(board, before, where)


@pytest.mark.parametrize("before", ["", OLD], ids=["first", "upgrade"])
def test_power_cut_in_mid_write(before: str, tmp_path: Path, old_image: bytes, releases: Releases) -> None:
    releases.ship(NEW)
    image = old_image if before else b"\xff" * len(old_image)
    with plugged(tmp_path, image) as board:
        flash(board)
        writes = board.writes
    assert writes > 50, writes
    for at in chosen(["write"] * writes, WRITE_CUTS):
        where = f"cut in write {at} of {writes}"
        with plugged(tmp_path, image, at) as board:
            cut_flash(board, where)
            board.unplug()
            board.plug()
            check(board, before, where)
