"""Detectors: one file each, a small state machine from blocks to events. No clock, no file, no thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

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

__all__ = ["ContextWatch", "DetectorSettings", "make_detectors", "not_made"]

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


@dataclass(frozen=True, slots=True)
class _Hand:
    """What a detector may be made of."""

    settings: DetectorSettings
    axes: Mapping[str, int]
    mount_up: Vector | None
    context: ContextWatch | None
    drops: Claims = field(default_factory=Claims)
    shocks: Claims = field(default_factory=Claims)

    @property
    def accel(self) -> str | None:
        """The accelerometer, where it has three axes."""
        return "accel" if self.axes.get("accel") == XYZ else None

    @property
    def gyro(self) -> str | None:
        """The gyroscope, where it has three axes."""
        return "gyro" if self.axes.get("gyro") == XYZ else None


@dataclass(frozen=True, slots=True)
class _Plan:
    """How a detector is made: ``name`` is its key in `DetectorSettings`, ``needs`` are words for people."""

    name: str
    needs: str
    fits: Callable[[_Hand], bool]
    make: Callable[[_Hand], Detector]


def _moves(hand: _Hand) -> bool:
    return hand.accel is not None


def _one_of(name: str) -> Callable[[_Hand], bool]:
    return lambda hand: hand.axes.get(name) == 1


def _leak(hand: _Hand) -> LeakDetector:
    return LeakDetector(hand.settings.leak, [name for name, k in hand.axes.items() if k == 1], hand.context)


ACCEL = "an accelerometer of three axes (stream accel)"
# most urgent first; who fills `drops` or `shocks` comes before who asks it
PLANS: tuple[_Plan, ...] = (
    _Plan("drop", ACCEL, _moves, lambda of: DropDetector(of.settings.drop, of.drops)),
    _Plan("shock", ACCEL, _moves, lambda of: ShockDetector(of.settings.shock, of.drops, of.shocks)),
    _Plan(
        "bump", ACCEL, _moves, lambda of: BumpDetector(of.settings.bump, (of.drops, of.shocks), of.context)
    ),
    _Plan("vibration", ACCEL, _moves, lambda of: VibrationDetector(of.settings.vibration)),
    _Plan("tilt", ACCEL, _moves, lambda of: TiltDetector(of.settings.tilt, of.mount_up, gyro_stream=of.gyro)),
    _Plan("slosh", ACCEL, _moves, lambda of: SloshDetector(of.settings.slosh, of.mount_up)),
    _Plan(
        "harsh",
        ACCEL,
        _moves,
        lambda of: HarshDetector(of.settings.harsh, gyro_stream=of.gyro, context=of.context),
    ),
    _Plan(
        "load_shift",
        "four load cells (stream load)",
        lambda of: of.axes.get("load") == CELLS,
        lambda of: LoadShiftDetector(
            of.settings.load_shift, motion_stream=of.accel, context=of.context, up=of.mount_up
        ),
    ),
    _Plan(
        "pressure",
        "a tank's gauge (stream pressure)",
        _one_of("pressure"),
        lambda of: PressureDetector(of.settings.pressure),
    ),
    _Plan(
        "leak",
        "a rope (stream leak), temperature and humidity, or pressure and air_pressure",
        lambda of: bool(_leak(of).watches),
        _leak,
    ),
    _Plan(
        "temperature",
        "a thermometer (stream temperature)",
        _one_of("temperature"),
        lambda of: BandDetector(of.settings.temperature.band(), EventType.TEMPERATURE, "temperature"),
    ),
    _Plan(
        "humidity",
        "a hygrometer (stream humidity)",
        _one_of("humidity"),
        lambda of: BandDetector(of.settings.humidity.band(), EventType.HUMIDITY, "humidity"),
    ),
)


def _hand(
    settings: DetectorSettings,
    specs: Iterable[StreamSpec],
    mount_up: Vector | None,
    context: ContextWatch | None,
) -> _Hand:
    return _Hand(settings, {spec.name: len(spec.axes) for spec in specs}, mount_up, context)


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
    hand = _hand(settings, specs, mount_up, context)
    return tuple(
        plan.make(hand) for plan in PLANS if getattr(settings, plan.name).enabled and plan.fits(hand)
    )


def not_made(settings: DetectorSettings, specs: Iterable[StreamSpec]) -> tuple[str, ...]:
    """Say, as a detector's own notes do, which `make_detectors` does not build, and why."""
    hand = _hand(settings, specs, None, None)
    said = []
    for plan in PLANS:
        if not getattr(settings, plan.name).enabled:
            said.append(f"{plan.name}: not watched: [detect.{plan.name}] enabled is false")
        elif not plan.fits(hand):
            said.append(f"{plan.name}: not watched: no stream for it; it needs {plan.needs}")
    return tuple(said)
