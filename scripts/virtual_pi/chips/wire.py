"""The two wires: which chips hear a message, and what several answers at once become (UM10204, 3.1)."""

from __future__ import annotations

from collections.abc import Iterable

from scripts.virtual_pi.chips.base import Chip


class Wire:
    """Chips on one bus; a multiplexer among them (a chip with `behind`) lets others hear."""

    def __init__(self, chips: Iterable[Chip] = ()) -> None:
        self.chips = list(chips)
        self._addressed: list[Chip] = []

    def heard_by(self, address: int) -> list[Chip]:
        """Return the chips that hear this address now."""
        heard: list[Chip] = []
        _reach(self.chips, address, heard)
        return heard

    def write(self, address: int, data: bytes) -> bool:
        """Send one write message; False when nobody acknowledged."""
        chips = self.heard_by(address)
        self._addressed += chips
        acknowledged = [chip.write(data) for chip in chips]
        return any(acknowledged)

    def read(self, address: int, count: int) -> bytes | None:
        """Ask for one read message; a 0 of any chip wins on the wire, None when nobody acknowledged."""
        chips = self.heard_by(address)
        self._addressed += chips
        answers = [answer for chip in chips if (answer := chip.read(count)) is not None]
        if len(answers) < 2:
            return answers[0] if answers else None
        together = int.from_bytes(b"\xff" * count)
        for answer in answers:
            together &= int.from_bytes(answer)
        return together.to_bytes(count)

    def stop(self) -> None:
        """Send the STOP that ends what was said since the last one."""
        addressed, self._addressed = self._addressed, []
        for chip in addressed:
            chip.stop()


def _reach(chips: Iterable[Chip], address: int, heard: list[Chip]) -> None:
    for chip in chips:
        if chip.address == address:
            heard.append(chip)
        if chip.behind is not None:
            _reach(chip.behind(), address, heard)
