"""Which port the board is on, of those that are there, and under which name it came back after a reset."""

from __future__ import annotations

import errno
import os
import time

from firmware_bridge import ports
from firmware_bridge.errors import PortError
from firmware_bridge.flashing.errors import RefusedError, VanishedError
from firmware_bridge.port import Port

BACK_S = 15.0  # a reset, and the USB enumeration of a slow hub
BUSY_S = 5.0
LOOK_S = 0.05


class Place:
    """Where a board is plugged in: a port, and what the board can be known again by.

    `back_s`: how long its port may be away after a reset.
    """

    def __init__(self, port: str, back_s: float = BACK_S) -> None:
        self.port = port
        self.back_s = back_s
        self._known = ports.identity(port)

    def now(self) -> str | None:
        """Return the port under which the board is there now; None while it is not."""
        if self._known is None:
            return self.port if os.path.exists(self.port) else None
        return ports.find_again(self._known)

    def wait(self) -> str:
        """Return the port as soon as the board is there; raise `VanishedError`."""
        deadline_s = time.monotonic() + self.back_s
        while (port := self.now()) is None:
            if time.monotonic() > deadline_s:
                raise VanishedError(
                    f"board on {self.port}",
                    got=f"its port did not come back in {self.back_s:.0f} s",
                    expected="the same board again after its reset",
                    remedy="Unplug it, plug it in again, and give the same command once more: "
                    "it goes on from there.",
                )
            time.sleep(LOOK_S)  # there is no event for a name under /dev
        return port


def take_port(name: str) -> Port:
    """Open a port, waiting for whoever looks at it first: ModemManager does when a board appears anew."""
    deadline_s = time.monotonic() + BUSY_S
    while True:
        try:
            return Port(name)
        except PortError as error:
            busy = getattr(error.__cause__, "errno", None) in (errno.EAGAIN, errno.EBUSY)
            if not busy or time.monotonic() > deadline_s:
                raise
            time.sleep(LOOK_S)


def only_board(timeout_s: float = 0.0) -> str:
    """Return the port of the one board that is plugged in; raise `RefusedError` for none or several."""
    deadline_s = time.monotonic() + timeout_s
    while not (boards := ports.likely_boards()) and time.monotonic() < deadline_s:
        time.sleep(LOOK_S)
    if len(boards) == 1:
        return boards[0].name
    if boards:
        found = "; ".join(f"{board.name} ({board.kind})" for board in boards)
        raise RefusedError(
            "looking for the board",
            got=f"{len(boards)} that may be it: {found}",
            expected="one",
            remedy="Say which with --port, or unplug the others.",
        )
    raise RefusedError(
        "looking for the board",
        got=f"no port that has a board behind it; there is: {ports.describe_ports()}",
        expected="a board with MicroPython on USB",
        remedy="Plug it in with a cable that carries data, or name its port with --port. A new board "
        "needs MicroPython first: --base-image (docs/installers.md).",
    )
