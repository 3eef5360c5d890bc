"""What systemd wants to hear of a service with ``Type=notify`` (sd_notify(3)); silence elsewhere."""

from __future__ import annotations

import os
import socket


def notify(state: str) -> bool:
    """Send `state` (READY=1, WATCHDOG=1, STOPPING=1, STATUS=…); return whether anybody listens."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return False
    address = "\0" + path[1:] if path.startswith("@") else path
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.sendto(state.encode(), address)
    except OSError:
        return False  # the manager went away; nothing of ours depends on it
    return True


def watchdog_s() -> float | None:
    """Return how often to send WATCHDOG=1: half of what the unit allows, None where it has no watchdog."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    watched = os.environ.get("WATCHDOG_PID", "")
    if not microseconds.isdigit() or (watched and watched != str(os.getpid())):
        return None
    return int(microseconds) / 2e6


def notified() -> bool:
    """Return whether systemd hears us: it has started this, and would again."""
    return bool(os.environ.get("NOTIFY_SOCKET"))
