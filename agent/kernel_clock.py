"""The kernel's clocks, and what it says of them: adjtimex(2), ntp_adjtime(3), linux/timex.h.

The door through which the agent asks for the date, so that a test can stand in for a kernel whose clock was
never set, or jumps.

Every time service tells the kernel: systemd-timesyncd and ntpd by themselves, chrony where it has
``rtcsync``, which Debian's own configuration sets. Who sets the date by hand takes the word back.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from pathlib import Path

TIME_ERROR = 5  # linux/timex.h: not synchronised
STA_UNSYNC = 0x0040
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")  # random(4)


class Timex(ctypes.Structure):
    """``struct timex`` of linux/timex.h, as far as it is read here; the kernel wants all of its room."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("room", ctypes.c_byte * 256),
    )


def _adjtimex(about: Timex) -> int:
    return int(ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(about)))


def kernel_state(ask: Callable[[Timex], int] = _adjtimex) -> tuple[bool, int] | None:
    """Return whether the kernel's clock is disciplined, and how wrong it may be (µs); None if unknown."""
    about = Timex()
    try:
        result = ask(about)
    except (OSError, AttributeError):
        return None
    if result < 0:
        return None
    return result != TIME_ERROR and not about.status & STA_UNSYNC, int(about.maxerror)


def box_ns() -> int:
    """Return the time of the clock that never jumps: CLOCK_MONOTONIC, from the start of the kernel."""
    return time.monotonic_ns()


def wall_ns() -> int:
    """Return what the kernel holds for the date, right or wrong: CLOCK_REALTIME."""
    return time.time_ns()


def kernel_boot(path: Path = BOOT_ID) -> str:
    """Return which boot of the kernel this is, through which `box_ns` goes on; empty: not known."""
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
