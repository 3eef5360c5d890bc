"""Detectors: one file each, a small state machine from blocks to events. No clock, no file, no thread."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from agent.detection.band import BandDetector
from agent.detection.bump import BumpDetector, BumpSettings
from agent.detection.claims import Claims
from agent.detection.context import ContextWatch
from agent.detection.drop import DropDetector, DropSettings
from agent.detection.finding import Detector, EventType
from agent.detection.harsh import HarshDetector, HarshSettings
from agent.detection.humidity import HumiditySettings
from agent.detection.leak import LeakDetector
from agent.detection.leak_settings import LeakSettings
from agent.detection.load_shift import LoadShiftDetector, LoadShiftSettings
from agent.detection.pressure import PressureDetector, PressureSettings
from agent.detection.shock import ShockDetector, ShockSettings
from agent.detection.slosh import SloshDetector, SloshSettings
from agent.detection.temperature import TemperatureSettings
from agent.detection.tilt import TiltDetector, TiltSettings
from agent.detection.vibration import VibrationDetector, VibrationSettings
from agent.mounting import Vector
from agent.streams import StreamSpec

__all__ = ["ContextWatch", "DetectorSettings", "make_detectors"]

XYZ = 3
CELLS = 4


class DetectorSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[detect.*]`` of the configuration: one table a detector."""

    tilt: TiltSettings = TiltSettings()
    drop: DropSettings = DropSettings()
    shock: ShockSettings = ShockSettings()
    bump: BumpSettings = BumpSettings()
    vibration: VibrationSettings = VibrationSettings()
    slosh: SloshSettings = SloshSettings()
    harsh: HarshSettings = HarshSettings()
    load_shift: LoadShiftSettings = LoadShiftSettings()
    pressure: PressureSettings = PressureSettings()
    leak: LeakSettings = LeakSettings()
    temperature: TemperatureSettings = TemperatureSettings()
    humidity: HumiditySettings = HumiditySettings()


def make_detectors(
    settings: DetectorSettings,
    specs: Iterable[StreamSpec],
    mount_up: Vector | None,
    context: ContextWatch | None = None,
) -> tuple[Detector, ...]:
    """Build the detectors that these streams allow, most urgent first.

    A stream of other axes than a detector reads (a scale of two cells, say) is left alone. ``context``
    tells those that ask what is going on around the box.
    """
    axes = {spec.name: len(spec.axes) for spec in specs}
    motion = axes.get("accel") == XYZ
    made: list[Detector] = []
    drops, shocks = Claims(), Claims()  # who fills one comes before who asks it
    if motion and settings.drop.enabled:
        made.append(DropDetector(settings.drop, drops))
    if motion and settings.shock.enabled:
        made.append(ShockDetector(settings.shock, drops, shocks))
    if motion and settings.bump.enabled:
        made.append(BumpDetector(settings.bump, (drops, shocks), context))
    if motion and settings.vibration.enabled:
        made.append(VibrationDetector(settings.vibration))
    if motion and settings.tilt.enabled:
        gyro = "gyro" if axes.get("gyro") == XYZ else None
        made.append(TiltDetector(settings.tilt, mount_up, gyro_stream=gyro))
    if motion and settings.slosh.enabled:
        made.append(SloshDetector(settings.slosh, mount_up))
    if motion and settings.harsh.enabled:
        gyro = "gyro" if axes.get("gyro") == XYZ else None
        made.append(HarshDetector(settings.harsh, gyro_stream=gyro, context=context))
    if axes.get("load") == CELLS and settings.load_shift.enabled:
        made.append(
            LoadShiftDetector(
                settings.load_shift, motion_stream="accel" if motion else None, context=context, up=mount_up
            )
        )
    if axes.get("pressure") == 1 and settings.pressure.enabled:
        made.append(PressureDetector(settings.pressure))
    leak = LeakDetector(settings.leak, [name for name, k in axes.items() if k == 1], context)
    if leak.watches and settings.leak.enabled:
        made.append(leak)
    if axes.get("temperature") == 1 and settings.temperature.enabled:
        made.append(BandDetector(settings.temperature.band(), EventType.TEMPERATURE, "temperature"))
    if axes.get("humidity") == 1 and settings.humidity.enabled:
        made.append(BandDetector(settings.humidity.band(), EventType.HUMIDITY, "humidity"))
    return tuple(made)
