"""Where a board is now: USB may give its port another name each time that it is plugged in."""

from __future__ import annotations

from firmware_bridge import ports
from firmware_bridge.status import another_board


class Whereabouts:
    """The board that was first found on the port `name`."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._identity: ports.SerialPort | None = None

    def find(self) -> str:
        """Return the name of its port now. Raises `PortError` where another board is in its place."""
        if self._identity is None or self._identity.serial_number is None:
            return self._name
        found = ports.find_again(self._identity)
        if found is None and ports.identity(self._name) is not None:
            raise another_board(self._name, self._identity.serial_number)
        return found or self._name

    def opened(self, name: str) -> None:
        """The port `name` was opened: from now on it is this board that counts, whatever its name."""
        if self._identity is None:
            self._identity = ports.identity(name)
