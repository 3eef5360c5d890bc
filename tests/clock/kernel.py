"""A kernel whose date can be set, in the place of this machine's: the rest of it stays what it is."""

from __future__ import annotations

import secrets

import pytest

from agent import kernel_clock
from agent.blocks import NS_PER_S

START_NS = 1_780_000_000 * NS_PER_S  # 2026-05-28 20:26:40 UTC: when the box of a test was switched on
SINCE_1970_S = START_NS // NS_PER_S


class Kernel:
    """Box time goes on as the test drives; `offset_ns` is what the date is wrong or right by."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, offset_ns: int, synced: bool = False) -> None:
        self.box_ns = 20 * NS_PER_S  # the time that a Pi takes to start
        self.true_ns = START_NS
        """The offset that is right: wall time of box time 0."""
        self.offset_ns, self.synced = offset_ns, synced
        self.boot = secrets.token_hex(16)
        monkeypatch.setattr(kernel_clock, "box_ns", lambda: self.box_ns)
        monkeypatch.setattr(kernel_clock, "wall_ns", lambda: self.box_ns + self.offset_ns)
        monkeypatch.setattr(kernel_clock, "kernel_state", lambda: (self.synced, 1000))
        monkeypatch.setattr(kernel_clock, "kernel_boot", lambda: self.boot)

    def jump_s(self, seconds: float) -> None:
        """Set the date by hand, which takes the kernel's word on it back (`ntp_adjtime`)."""
        self.offset_ns += round(seconds * NS_PER_S)
        self.synced = False

    def synchronise(self) -> None:
        """A time server has spoken."""
        self.offset_ns, self.synced = self.true_ns, True

    def reboot(self, off_s: int, *, offset_ns: int) -> None:
        """Off for so long; then its own clock begins again, and the date is what it is."""
        self.true_ns += self.box_ns + off_s * NS_PER_S - 20 * NS_PER_S
        self.box_ns = 20 * NS_PER_S
        self.offset_ns, self.synced = offset_ns, False
        self.boot = secrets.token_hex(16)
