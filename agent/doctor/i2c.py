"""The I2C buses of this computer: which answer, at which addresses, and which chips usually sit there.

Looks as i2cdetect(8) does: a quick write, or a read where a write could change something (0x30-0x37 and
0x50-0x5F: EEPROMs). Addresses: UM10204, table 4: 0x00-0x07 and 0x78-0x7F are reserved.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from agent.doctor.finding import Area, Finding, Patient, State
from agent.doctor.ports import may_open

DEV = Path("/dev")
NAMES = Path("/sys/class/i2c-dev")
FIRST, LAST = 0x08, 0x77
READ_ONLY = (*range(0x30, 0x38), *range(0x50, 0x60))
STUCK_AFTER = 3  # time-outs in a row: a line is held down, and each further address costs a second
NOBODY = frozenset({errno.ENXIO, errno.EREMOTEIO, errno.EIO})

# graphics and mainboard: a stranger has no business there, and the first take seconds
FOREIGN = re.compile(r"hdmi|ddc|dpdc|i915|nvidia|amdgpu|radeon|smbus|vc4", re.IGNORECASE)

# chips of cargo boxes and of the boards that people put beside them; from their data sheets
CHIPS: dict[int, str] = {
    0x18: "LIS3DH",
    0x19: "LIS3DH",
    0x1D: "ADXL345, ADXL355",
    0x20: "MCP23017",
    0x27: "LCD, PCF8574",
    0x28: "BNO055, HSC pressure",
    0x29: "VL53L0X",
    0x2A: "NAU7802",
    0x36: "MAX17048",
    0x3C: "SSD1306 display",
    0x40: "INA219, SHT21, HTU21D",
    0x44: "SHT4x, SHT3x",
    0x45: "SHT4x, SHT3x",
    0x48: "ADS1115",
    0x49: "ADS1115",
    0x50: "EEPROM",
    0x53: "ADXL345, ADXL355",
    0x57: "EEPROM of a DS3231 board",
    0x5C: "LPS22, AM2320",
    0x5D: "LPS22",
    0x62: "SCD4x",
    0x68: "DS3231 clock, MPU-6050",
    0x69: "MPU-6050",
    0x6A: "LSM6DS",
    0x6B: "LSM6DS",
    0x76: "BME280, BMP280",
    0x77: "BME280, BMP280",
}


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


def scan(bus: Bus, stopped: Callable[[], bool] = lambda: False) -> Scan:
    """Ask at every address who is there."""
    seen = Scan()
    timeouts = 0
    for address in range(FIRST, LAST + 1):
        if stopped():
            break
        try:
            if address in READ_ONLY:
                bus.read_byte(address)
            else:
                bus.write_quick(address)
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


def check(patient: Patient) -> Iterator[Finding]:
    """Look at every bus that the kernel offers."""
    buses = sorted(DEV.glob("i2c-*"), key=lambda path: (len(path.name), path.name))
    if not buses:
        yield Finding(
            Area.I2C,
            State.SKIPPED,
            "buses",
            "this computer offers none",
            "Nothing to do if all sensors are on the microcontroller. Else, on a Raspberry Pi: "
            "`sudo raspi-config nonint do_i2c 0`",
        )
    for bus in buses:
        yield _look_at(bus, patient)


def _look_at(device: Path, patient: Patient) -> Finding:
    name = _name(device)
    subject = f"{device} ({name})" if name else str(device)
    if FOREIGN.search(name):
        return Finding(Area.I2C, State.SKIPPED, subject, "it belongs to graphics or mainboard")
    if not may_open(str(device)):
        return Finding(
            Area.I2C,
            State.WARNING,
            subject,
            "permission denied",
            "`sudo usermod -aG i2c $USER`, then log in again; or look as root.",
        )
    from smbus2 import SMBus

    try:
        with contextlib.closing(SMBus(str(device))) as bus:
            seen = scan(bus, patient.stop.is_set)
    except OSError as error:
        seen = Scan(error=error.strerror or os.strerror(error.errno or 0))
    return judge(subject, seen)


def judge(subject: str, seen: Scan) -> Finding:
    """Return in words what a scan found."""
    figures = {"found": [f"0x{a:02X}" for a in seen.found], "taken": [f"0x{a:02X}" for a in seen.taken]}
    if seen.stuck:
        return Finding(
            Area.I2C,
            State.WRONG,
            subject,
            "time-outs: SDA or SCL is held down",
            "Pull the sensors off one by one until it answers; look for a short, and for 3.3 V and ground at "
            "each.",
            figures,
        )
    if seen.error:
        return Finding(
            Area.I2C, State.WRONG, subject, seen.error, "`dmesg | grep -i i2c` tells more.", figures
        )
    words = [f"0x{a:02X} {_chip(a)}" for a in seen.found]
    words += [f"0x{a:02X} {_chip(a)}, which a driver of the kernel uses" for a in seen.taken]
    if not words:
        return Finding(
            Area.I2C,
            State.OK,
            subject,
            "nobody answers",
            "If a sensor should: look at SDA, SCL, 3.3 V and ground.",
            figures,
        )
    return Finding(Area.I2C, State.OK, subject, "; ".join(words), "", figures)


def _chip(address: int) -> str:
    return f"(usually {CHIPS[address]})" if address in CHIPS else "(unknown)"


def _name(device: Path) -> str:
    try:
        return (NAMES / device.name / "name").read_text().strip()
    except OSError:
        return ""
