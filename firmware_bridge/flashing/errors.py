"""What can go wrong while firmware is put on a board.

FlashError                  the board, its flash or the tools
├── RefusedError            this board or this version: nothing was changed
├── VanishedError           the board went away, or stopped answering in mid-sentence
└── TrialError              the new program did not answer; the old one is back
"""

from __future__ import annotations

from firmware_bridge.errors import LinkError


class FlashError(LinkError):
    """The firmware could not be put on the board."""


class RefusedError(FlashError):
    """This board, or this version, is refused; nothing was changed."""


class VanishedError(FlashError):
    """The board went away or stopped answering; the same command again goes on from there."""


class TrialError(FlashError):
    """The new program did not answer, and was not kept."""

    traceback: str = ""
    """What ended it, as MicroPython says it; empty where nothing is known."""
