"""What the kernel says of its clock: adjtimex(2), ntp_adjtime(3), linux/timex.h.

Every time service tells the kernel: systemd-timesyncd and ntpd by themselves, chrony where it has
``rtcsync``, which Debian's own configuration sets. Who sets the date by hand takes the word back.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

TIME_ERROR = 5  # linux/timex.h: not synchronised
STA_UNSYNC = 0x0040


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
