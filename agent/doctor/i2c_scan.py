"""Who answers on an I2C bus, and at which addresses.

Looks as i2cdetect(8) does: a quick write, or a read where a write could change something (0x30-0x37 and
0x50-0x5F: EEPROMs). An adapter that knows no quick write (CP2112, FT260) reads everywhere.
Addresses: UM10204, table 4: 0x00-0x07 and 0x78-0x7F are reserved.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Protocol

FIRST, LAST = 0x08, 0x77
READ_ONLY = (*range(0x30, 0x38), *range(0x50, 0x60))
STUCK_AFTER = 3  # time-outs in a row: a line is held down, and each further address costs a second
MOST = 64  # more do not answer on any real bus: SDA is held down, which reads as an answer at each address
NOBODY = frozenset({errno.ENXIO, errno.EREMOTEIO, errno.EIO})


class Bus(Protocol):
    """What of ``smbus2.SMBus`` is used here; both raise OSError where nobody answers."""

    def write_quick(self, i2c_addr: int) -> None:
        """Address a chip to write, and write nothing."""

    def read_byte(self, i2c_addr: int) -> int:
        """Read one byte from a chip."""


@dataclass(slots=True)
class Scan:
    """What answered on a bus."""

    found: list[int] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)
    """Addresses at which a driver of the kernel sits: somebody is there, and has been spoken for."""
    stuck: bool = False
    error: str = ""
    remedy: str = ""

    @property
    def usable(self) -> bool:
        """Whether what answered can be believed."""
        return not self.stuck and not self.error and not self.everywhere

    @property
    def everywhere(self) -> bool:
        """Whether somebody seems to be at every address."""
        return len(self.found) > MOST


def scan(
    bus: Bus, stopped: Callable[[], bool] = lambda: False, addresses: Collection[int] = range(FIRST, LAST + 1)
) -> Scan:
    """Ask at every one of the `addresses` who is there."""
    seen = Scan()
    timeouts = 0
    quick = True
    for address in addresses:
        if stopped():
            break
        try:
            if quick and address not in READ_ONLY:
                quick = _is_quick(bus, address)
            if not quick or address in READ_ONLY:
                bus.read_byte(address)
        except OSError as error:
            if error.errno == errno.EBUSY:
                seen.taken.append(address)
            elif error.errno in (errno.ETIMEDOUT, errno.EAGAIN):
                timeouts += 1
                if timeouts >= STUCK_AFTER:
                    seen.stuck = True
                    break
                continue
            elif error.errno not in NOBODY:
                seen.error = error.strerror or str(error)
                break
            timeouts = 0
            continue
        timeouts = 0
        seen.found.append(address)
    return seen


def _is_quick(bus: Bus, address: int) -> bool:
    """Ask who is there by a quick write; return whether the bus can do that. Raises OSError: nobody."""
    try:
        bus.write_quick(address)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        return False
    return True
