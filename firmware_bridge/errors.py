"""What every error of this project looks like: four parts, in plain words.

FourPartError               what was being done, what came, what was expected, what to do
└── LinkError               the serial port or the board behind it
    ├── PortError           the port cannot be opened, is busy, or went away
    └── ProtocolError       something answers, and it is not our firmware
"""

from __future__ import annotations


class FourPartError(Exception):
    """An error that says what was being done, what came, what was expected and what to do about it.

    Printed as ``doing: got, expected EXPECTED. REMEDY``.
    """

    def __init__(self, doing: str, *, got: str, expected: str, remedy: str) -> None:
        super().__init__(f"{doing}: {got}, expected {expected}. {remedy}")
        self.doing = doing
        self.got = got
        self.expected = expected
        self.remedy = remedy


class LinkError(FourPartError):
    """The serial port or the board behind it does not do what it must."""


class PortError(LinkError):
    """The port cannot be opened, is in use by another program, or went away."""


class ProtocolError(LinkError):
    """Something answers on the port, and it is not the firmware that this host speaks to."""
