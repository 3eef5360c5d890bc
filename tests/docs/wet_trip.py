"""A trip on which it gets wet: the tank slops over; the rope, the air and the pack say so; it turns cold."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from agent.blocks import Block, RegularClock
from agent.detection import DetectorSettings
from agent.detection.humidity import HumiditySettings
from agent.detection.slosh import SloshSettings
from agent.detection.temperature import TemperatureSettings

WET_STREAMS = ("accel", "leak", "temperature", "humidity", "pressure", "air_pressure")
WET = DetectorSettings(
    slosh=SloshSettings(length_m=0.4, fill_m=0.2, freeboard_m=0.1),
    temperature=TemperatureSettings(low_degc=-20.0, high_degc=60.0, rate_degc_per_min=2.0),
    humidity=HumiditySettings(low_percent=5.0, high_percent=95.0, rate_percent_per_min=5.0),
)
SECONDS = 700
RATES_HZ = {"accel": 20, "leak": 10, "pressure": 10}


def wet_items() -> Iterator[Block]:
    """Yield a block a stream."""
    for name in WET_STREAMS:
        rate_hz = RATES_HZ.get(name, 1)
        t = np.arange(SECONDS * rate_hz) / rate_hz
        values = _values(name, t)
        clock = RegularClock.of_rate(rate_hz)
        yield Block(name, 0, clock, np.asarray(values, np.float32).reshape(len(t), -1))


def _values(name: str, t: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    later = np.clip((t - 200) / 120, 0, 1)
    if name == "accel":
        sway = 2.0 * np.sin(2 * np.pi * 1.338 * t) * ((t > 20) & (t < 30))
        return np.stack([sway, 0 * t, 0 * t + 9.8], axis=1)
    if name == "leak":
        return np.where(t > 450, 1.0, 3.3)
    if name == "temperature":
        return np.asarray(20 + 0.01 * np.sin(t) + 6 * np.clip((t - 600) / 60, 0, 1))
    if name == "humidity":
        return np.asarray(40 + 0.05 * np.sin(t) + 40 * later)
    return np.asarray(15_000 - 8_000 * later if name == "pressure" else 0 * t + 101_325)
