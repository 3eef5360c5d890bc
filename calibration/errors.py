"""What goes wrong in this room, in the four parts that every error of the project has."""

from __future__ import annotations


class CalibrationError(Exception):
    """Something about a calibration is wrong, in four parts.

    Same four parts as ``firmware_bridge.errors.FourPartError``; this package imports neither.
    """

    def __init__(self, doing: str, *, got: str, expected: str, remedy: str) -> None:
        super().__init__(f"{doing}: {got}, expected {expected}. {remedy}")
        self.doing = doing
        self.got = got
        self.expected = expected
        self.remedy = remedy


class CertificateError(CalibrationError):
    """A certificate cannot be read, or belongs to something else."""


class CalibrationRefused(CalibrationError):
    """What was measured is not enough, or not good enough, to calibrate by."""


class SessionError(CalibrationError):
    """The raw session of a calibration cannot be read, or not be written."""
