"""Detectors: one file each, a small state machine from blocks to events. No clock, no file, no thread."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from agent.detection.band import BandDetector, BandSettings
from agent.detection.drop import DropDetector, DropSettings
from agent.detection.finding import Detector, EventType
from agent.detection.load_shift import LoadShiftDetector, LoadShiftSettings
from agent.detection.mounting import Vector
from agent.detection.pressure import PressureDetector, PressureSettings
from agent.detection.tilt import TiltDetector, TiltSettings

__all__ = ["DetectorSettings", "make_detectors"]


class DetectorSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[detect.*]`` of the configuration: one table a detector."""

    tilt: TiltSettings = TiltSettings()
    drop: DropSettings = DropSettings()
    load_shift: LoadShiftSettings = LoadShiftSettings()
    pressure: PressureSettings = PressureSettings()
    temperature: BandSettings = BandSettings(hysteresis=0.5)
    humidity: BandSettings = BandSettings(hysteresis=3.0, major_beyond=15.0)


def make_detectors(
    settings: DetectorSettings, streams: Collection[str], mount_up: Vector | None
) -> tuple[Detector, ...]:
    """Build the detectors whose streams exist, most urgent first."""
    made: list[Detector] = []
    if "accel" in streams:
        if settings.drop.enabled:
            made.append(DropDetector(settings.drop))
        if settings.tilt.enabled:
            made.append(TiltDetector(settings.tilt, mount_up))
    if "load" in streams and settings.load_shift.enabled:
        motion = "accel" if "accel" in streams else None
        made.append(LoadShiftDetector(settings.load_shift, motion_stream=motion))
    if "pressure" in streams and settings.pressure.enabled:
        made.append(PressureDetector(settings.pressure))
    if "temperature" in streams and settings.temperature.enabled:
        made.append(BandDetector(settings.temperature, EventType.TEMPERATURE, "temperature"))
    if "humidity" in streams and settings.humidity.enabled:
        made.append(BandDetector(settings.humidity, EventType.HUMIDITY, "humidity"))
    return tuple(made)
