"""Temperature and humidity excursions: a value that leaves its band for longer than it may.

One machine for both. MKT and the like are features for the customer's file and never clear an
excursion; what counts here is the band, the time outside, and the farthest value. The default times are
no whole seconds: with samples one second apart, a hair of the clock would decide at which it begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from agent.blocks import NS_PER_S, SiBlock
from agent.detection.finding import EventType, Finding
from agent.detection.hold import Hold, Turn
from agent.ranges import NotNegative
from agent.records import Phase, Severity


class TemperatureSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The band in °C. None: no limit on that side."""

    enabled: bool = True
    low_degc: float | None = None
    high_degc: float | None = None
    hysteresis_degc: NotNegative = 0.5
    hold_s: NotNegative = 1.5
    release_s: NotNegative = 1.5
    critical_beyond_degc: NotNegative = 2.0
    """Farther outside than this is critical."""

    def band(self) -> Band:
        """Return it as the detector reads it."""
        return Band(
            self.low_degc,
            self.high_degc,
            self.hysteresis_degc,
            self.hold_s,
            self.release_s,
            self.critical_beyond_degc,
            "degc",
        )


class HumiditySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The band in % relative humidity. None: no limit on that side."""

    enabled: bool = True
    low_percent: float | None = None
    high_percent: float | None = None
    hysteresis_percent: NotNegative = 3.0
    hold_s: NotNegative = 1.5
    release_s: NotNegative = 1.5
    critical_beyond_percent: NotNegative = 15.0
    """Farther outside than this is critical."""

    def band(self) -> Band:
        """Return it as the detector reads it."""
        return Band(
            self.low_percent,
            self.high_percent,
            self.hysteresis_percent,
            self.hold_s,
            self.release_s,
            self.critical_beyond_percent,
            "percent",
        )


@dataclass(frozen=True, slots=True)
class Band:
    """A band of a slow value; ``unit`` ends the names of the figures that are said of it."""

    low: float | None
    high: float | None
    hysteresis: float
    hold_s: float
    release_s: float
    critical_beyond: float
    unit: str


class BandDetector:
    """Watches one axis of a slow stream."""

    def __init__(self, settings: Band, event_type: EventType, stream: str) -> None:
        self.streams: tuple[str, ...] = (stream,)
        self._type = event_type
        self._settings = settings
        self._hold = Hold(round(settings.hold_s * NS_PER_S), round(settings.release_s * NS_PER_S))
        self._count = 0
        self._start_ns = 0
        self._farthest = 0.0

    def notes(self) -> Sequence[str]:
        """Say that there is no band, where there is none."""
        unit = self._settings.unit
        if self._settings.low is None and self._settings.high is None:
            keys = f"low_{unit} or high_{unit}"
            return (f"{self._type}: not watched: no band set; set [detect.{self._type}] {keys}",)
        return ()

    def advance(self, horizon_ns: int) -> Sequence[Finding]:
        """Samples decide."""
        return ()

    def feed(self, block: SiBlock) -> Sequence[Finding]:
        """Judge each sample."""
        found: list[Finding] = []
        for time_ns, value in zip(block.times_ns.tolist(), block.values[:, 0].tolist(), strict=True):
            finding = self._judge(time_ns, value)
            if finding is not None:
                found.append(finding)
        return found

    def _judge(self, time_ns: int, value: float) -> Finding | None:
        beyond = self._beyond(value)
        turn = self._hold.step(time_ns, on=beyond > 0, off=beyond < -self._settings.hysteresis)
        if self._hold.since_ns is None:
            return None
        if self._hold.since_ns == time_ns or beyond > self._beyond(self._farthest):
            self._farthest = value
        if turn is Turn.NONE:
            return None
        if turn is Turn.STARTED:
            self._count += 1
            self._start_ns = self._hold.since_ns
            return self._finding(time_ns, Phase.START, None)
        finding = self._finding(time_ns, Phase.END, self._hold.until_ns)
        self._hold.rearm()
        return finding

    def _beyond(self, value: float) -> float:
        """How far outside the band; negative inside, by the distance to the nearer limit."""
        s = self._settings
        sides = [s.low - value] if s.low is not None else []
        if s.high is not None:
            sides.append(value - s.high)
        return max(sides, default=-1.0e9)

    def _finding(self, decided_ns: int, phase: Phase, end_ns: int | None) -> Finding:
        s = self._settings
        far = self._beyond(self._farthest) >= s.critical_beyond
        limits = {f"low_{s.unit}": s.low, f"high_{s.unit}": s.high}
        return Finding(
            decided_ns=decided_ns,
            type=self._type,
            number=self._count,
            phase=phase,
            start_ns=self._start_ns,
            end_ns=end_ns,
            severity=Severity.CRITICAL if far else Severity.MAJOR,
            values={
                f"farthest_{s.unit}": round(self._farthest, 2),
                **{k: v for k, v in limits.items() if v is not None},
            },
            streams=self.streams,
        )
