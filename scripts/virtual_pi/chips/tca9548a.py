"""TCA9548A: Texas Instruments' data sheet SCPS207, revision F; control register in 8.5.4 and table 2.

One register, whose bit n connects channel n; several at once are allowed. The last byte written counts, from
the STOP on. A chip behind a channel hears nothing while the channel is off.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from scripts.virtual_pi.chips.base import Chip


class Tca9548a(Chip):
    """The multiplexer, and the `channels` with the chips that are behind it."""

    default_address = 0x70
    axes = 1

    def __init__(
        self,
        *,
        now_ns: Callable[[], int],
        address: int | None = None,
        channels: Mapping[int, Sequence[Chip]] | None = None,
    ) -> None:
        self.channels = {number: list(chips) for number, chips in (channels or {}).items()}
        super().__init__(now_ns=now_ns, address=address)

    def reset(self) -> None:
        """All channels off."""
        self.control = 0
        self._written: int | None = None

    def behind(self) -> list[Chip]:
        """Return the chips that are connected now."""
        if self.absent or not self.control:
            return []
        return [chip for n, chips in self.channels.items() if self.control >> n & 1 for chip in chips]

    def take(self, data: bytes) -> bool:
        """Take the control register."""
        if data:
            self._written = data[-1]
        return True

    def give(self, count: int) -> bytes:
        """Give the control register."""
        return bytes((self.control if self.identity is None else self.identity,)) * count

    def stop(self) -> None:
        """Connect what was written."""
        if self._written is not None:
            self.control, self._written = self._written, None
