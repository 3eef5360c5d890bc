"""Files of /proc and /sys as a Raspberry Pi 4 has them (kernel 6.1), laid out below a folder."""

from __future__ import annotations

from pathlib import Path

PI_4 = {
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "51121\n",
    "sys/class/hwmon/hwmon0/name": "cpu_thermal\n",
    "sys/class/hwmon/hwmon0/temp1_input": "51121\n",
    "sys/class/hwmon/hwmon1/name": "rpi_volt\n",
    "sys/class/hwmon/hwmon1/in0_lcrit_alarm": "0\n",
    "proc/self/statm": "14112 9033 3010 704 0 7420 0\n",
    "proc/uptime": "5025.27 18422.76\n",
}


def lay_out(folder: Path, files: dict[str, str] = PI_4) -> Path:
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return folder
