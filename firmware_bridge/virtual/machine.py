"""What the virtual board with a prompt adds to MicroPython's ``machine``: reset, its cause, a watchdog.

The unix port's own module has none of these. They are words on a pipe to ``repl_board.py``, which holds
the power switch; ``boot_rom.py`` puts this module in the place of the built-in one.
"""

import os
import time

from umachine import *  # noqa: F403 - what the built-in module has stays

PWRON_RESET = 1
HARD_RESET = 2
WDT_RESET = 3
SOFT_RESET = 5

FEED_MS = 20  # a program feeds each turn; the parent need not wake as often

_control = open(int(os.getenv("CARGOBOX_CONTROL")), "wb", 0)  # noqa: SIM115 - lives as long as the board


def tell(word):
    """Send one word to whoever holds the power switch."""
    _control.write(word + "\n")


def stand_still():
    """Wait for the power to go."""
    while True:
        time.sleep(1)


def reset():
    """Boot anew, as after pressing the button."""
    tell("reset")
    stand_still()


def reset_cause():
    """Return why the board booted."""
    return int(os.getenv("CARGOBOX_RESET_CAUSE"))


class WDT:
    """A watchdog: cannot be stopped, and resets the board when it was not fed for `timeout` ms."""

    def __init__(self, id=0, timeout=5000):
        tell(f"watchdog {timeout}")
        self._fed_ms = time.ticks_ms()

    def feed(self):
        """Keep the board from being reset for another while."""
        now_ms = time.ticks_ms()
        if time.ticks_diff(now_ms, self._fed_ms) >= FEED_MS:
            self._fed_ms = now_ms
            tell("fed")
