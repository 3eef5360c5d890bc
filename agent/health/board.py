"""The computer: its temperature, and whether its supply is too weak.

Temperature: /sys/class/thermal (Documentation/driver-api/thermal/sysfs-api.rst). Supply: the driver
raspberrypi-hwmon (Documentation/hwmon/raspberrypi-hwmon.rst), or else what ``vcgencmd get_throttled`` says
(raspberrypi.com/documentation/computers/os.html#get_throttled).
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agent.health.probe import number_of, text_of

PROCESSORS = ("cpu-thermal", "soc-thermal", "bcm2835_thermal", "x86_pkg_temp")
VOLTAGE_DRIVER = "rpi_volt"
UNDERVOLTAGE, THROTTLED = 1 << 0, 1 << 2
ASK_S = 5.0


def ask_firmware() -> str | None:
    """Return the answer of the Pi's own firmware, ``throttled=0x50005``; None where there is none."""
    command = shutil.which("vcgencmd")
    if command is None:
        return None
    try:
        done = subprocess.run(
            [command, "get_throttled"], capture_output=True, text=True, timeout=ASK_S, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


class Board:
    """`root`: where /sys is."""

    name = "board"

    def __init__(self, root: Path = Path("/"), ask: Callable[[], str | None] = ask_firmware) -> None:
        self._thermal = root / "sys/class/thermal"
        self._hwmon = root / "sys/class/hwmon"
        self._ask = ask

    def look(self, _now_s: float) -> Mapping[str, Any]:
        """Return ``temperature_degc``, ``undervoltage``, ``throttled``."""
        told: dict[str, Any] = {}
        if (temperature_degc := self._temperature_degc()) is not None:
            told["temperature_degc"] = temperature_degc
        for folder in sorted(self._hwmon.glob("hwmon*")):
            if text_of(folder / "name") == VOLTAGE_DRIVER:
                alarm = number_of(folder / "in0_lcrit_alarm")
                if alarm is not None:
                    return {**told, "undervoltage": bool(alarm)}
        return told | _throttled(self._ask())

    def _temperature_degc(self) -> float | None:
        zones = {text_of(zone / "type"): zone for zone in sorted(self._thermal.glob("thermal_zone*"))}
        zone = next((zones[name] for name in PROCESSORS if name in zones), None) or next(
            iter(zones.values()), None
        )
        millidegrees = None if zone is None else number_of(zone / "temp")
        return None if millidegrees is None else round(millidegrees / 1000, 1)


def _throttled(answer: str | None) -> dict[str, bool]:
    try:
        bits = int((answer or "").partition("=")[2], 16)
    except ValueError:
        return {}
    return {"undervoltage": bool(bits & UNDERVOLTAGE), "throttled": bool(bits & THROTTLED)}
