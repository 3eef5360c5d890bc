"""Buses for the process that serves them in the virtual Pi (``scripts.virtual_pi.bus_process``)."""

from __future__ import annotations

import time
from collections.abc import Callable

from scripts.virtual_pi.chips.ads1115 import Ads1115
from scripts.virtual_pi.chips.adxl345 import Adxl345
from scripts.virtual_pi.chips.adxl355 import Adxl355
from scripts.virtual_pi.chips.base import Chip
from scripts.virtual_pi.chips.bme280 import Bme280
from scripts.virtual_pi.chips.lis3dh import Lis3dh
from scripts.virtual_pi.chips.nau7802 import Nau7802
from scripts.virtual_pi.chips.sht4x import Sht4x
from scripts.virtual_pi.chips.tca9548a import Tca9548a
from scripts.virtual_pi.chips.wire import Wire

ACCEL_PPM, LOAD_PPM = 15_000.0, -21_000.0
"""Their oscillators are as far off as real ones."""


def box_chips(now_ns: Callable[[], int] = time.monotonic_ns) -> list[Chip]:
    """Return the chips of a box: accelerometer, load cell, air, pressure transducer."""
    return [
        Adxl345(now_ns=now_ns, rate_error_ppm=ACCEL_PPM),
        Nau7802(now_ns=now_ns, rate_error_ppm=LOAD_PPM),
        Bme280(now_ns=now_ns),
        Ads1115(now_ns=now_ns),
    ]


def box() -> Wire:
    """Solder them to one bus."""
    return Wire(box_chips())


def other() -> Wire:
    """Return what sits on a second bus: another accelerometer, and the air outside."""
    now_ns = time.monotonic_ns
    return Wire([Lis3dh(now_ns=now_ns), Sht4x(now_ns=now_ns)])


def box_with_a_wrong_chip() -> Wire:
    """Return the same, but with an ADXL355 at the ADXL345's address, and more behind a multiplexer."""
    now_ns = time.monotonic_ns
    accel, *others = box_chips()
    wrong = Adxl355(now_ns=now_ns, address=accel.address)
    behind = Tca9548a(now_ns=now_ns, channels={3: [Sht4x(now_ns=now_ns)]})
    return Wire([wrong, *others, behind])
