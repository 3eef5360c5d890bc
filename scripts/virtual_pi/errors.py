"""What goes wrong with the virtual Pi, in the house's four parts."""

from __future__ import annotations

from firmware_bridge.errors import FourPartError


class VirtualPiError(FourPartError):
    """The machine could not be built or booted, or does not answer."""
