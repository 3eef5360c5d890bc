"""TCA9548A, a switch from one bus to eight: Texas Instruments SCPS207, revision F.

Addresses: table 1. It has one register and no number for it: section 8.5.4 and table 2 (one bit a channel;
a channel is connected after the STOP).
"""

from __future__ import annotations

from typing import ClassVar

from agent.blocks import FaultKind
from agent.sources.drivers.base import BusCost, ChipError, Place, wrong_chip

NONE = 0x00  # table 2: no channel, as after power-up
LAST_CHANNEL = 0x80  # a switch of four or two channels, and the PCA9547, have no such bit


class Tca9548a:
    """The multiplexer. It keeps nothing here: whoever owns the bus remembers what is selected."""

    chip: ClassVar[str] = "TCA9548A"
    addresses: ClassVar[tuple[int, ...]] = tuple(range(0x70, 0x78))
    select_cost: ClassVar[BusCost] = BusCost(2, 4)
    """What `select` costs, and `deselect` too."""

    @classmethod
    def identify(cls, place: Place) -> None:
        """Raise `ChipError` (WRONG_CHIP) unless what is written can be read, in all eight bits.

        It has no identity register. To a chip with registers that sits there instead (BME280, PCA9685) the
        byte written is but the number of the register to be read. What was selected is selected again.
        """
        kept = place.read(1)[0]
        try:
            for pattern in (NONE, LAST_CHANNEL):
                place.write(pattern)
                found = place.read(1)[0]
                if found != pattern:
                    raise wrong_chip(
                        "writing its one register and reading it back",
                        got=f"0x{found:02X}",
                        expected=f"0x{pattern:02X}, as it was written (TCA9548A, eight channels)",
                    )
        finally:
            place.write(kept)

    @classmethod
    def select(cls, place: Place, channel: int) -> None:
        """Connect `channel` and no other. Raises `ChipError`."""
        cls._set(place, 1 << channel)

    @classmethod
    def deselect(cls, place: Place) -> None:
        """Connect no channel. Raises `ChipError`."""
        cls._set(place, NONE)

    @staticmethod
    def _set(place: Place, channels: int) -> None:
        place.write(channels)
        found = place.read(1)[0]
        if found != channels:
            raise ChipError(
                FaultKind.REGISTERS,
                f"selecting a channel of the multiplexer at 0x{place.address:02X}",
                got=f"0x{found:02X}",
                expected=f"0x{channels:02X}, as it was written",
            )
