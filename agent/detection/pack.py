"""A sealed pack that loses its pressure, slowly: a leak that no swing shows.

Its absolute pressure follows its temperature (ideal gas, constant volume); what the gauge shows against
the air outside follows the weather and the altitude as well. What is missing beyond both is lost. A gauge
that reads near zero stands on a vented tank, which has nothing to lose; one that reads near an atmosphere
is absolute, and says nothing without the air's own pressure beside it.
"""

from __future__ import annotations

import math

from agent.blocks import NS_PER_S
from agent.detection.finding import Value
from agent.detection.hold import Hold
from agent.detection.leak_settings import LeakSettings
from agent.records import Severity

ABSOLUTE_PART = 0.75  # of the air outside: what shows more at first is absolute, and no gauge
ZERO_K = 273.15
LOWPASS_S = 5.0
SETTLE_S = 20.0
IN_DOUBT = 0.5  # of what the temperature explains: the gas is not as warm as the thermometer


class PackWatch:
    """Judges the pack's pressure. ``since_ns``: since when too much is lost; None: tight, or not sealed."""

    name = "pressure"

    def __init__(self, settings: LeakSettings) -> None:
        self.since_ns: int | None = None
        self.severity = Severity.GENERAL
        self._settings = settings
        self._lost = Hold(round(settings.pack_hold_s * NS_PER_S), 0)
        self._smooth_pa: float | None = None
        self._absolute = False
        self._base: tuple[float, float, float | None] | None = None  # absolute, over, temperature
        self._first_ns = self._last_ns = 0
        self._part = self._loss_pa = 0.0

    def step(self, time_ns: int, pressure_pa: float, air_pa: float | None, degc: float | None) -> None:
        """Take the means of one hop; the air's pressure and the temperature as last known."""
        if not math.isfinite(pressure_pa) or air_pa is None or not math.isfinite(air_pa):
            return
        if degc is not None and not math.isfinite(degc):
            return
        if self._smooth_pa is None:
            self._smooth_pa, self._first_ns = pressure_pa, time_ns
        else:
            step_s = (time_ns - self._last_ns) / NS_PER_S
            self._smooth_pa += (1.0 - math.exp(-step_s / LOWPASS_S)) * (pressure_pa - self._smooth_pa)
        self._last_ns = time_ns
        if self._base is None:
            self._absolute = self._smooth_pa > ABSOLUTE_PART * air_pa
        absolute_pa = self._smooth_pa if self._absolute else self._smooth_pa + air_pa
        over_pa = absolute_pa - air_pa
        if self._base is None:
            if time_ns - self._first_ns >= SETTLE_S * NS_PER_S:
                self._base = absolute_pa, over_pa, degc
            return
        base_pa, base_over_pa, base_degc = self._base
        if over_pa > base_over_pa and absolute_pa > base_pa:
            self._base = absolute_pa, over_pa, degc  # filled, or warmer: more to lose
            base_pa, base_over_pa, base_degc = self._base
        if base_over_pa < self._settings.pack_least_pa:
            return
        warmth = 1.0 if degc is None or base_degc is None else (degc + ZERO_K) / (base_degc + ZERO_K)
        expected_pa = base_pa * warmth - air_pa
        doubt_pa = IN_DOUBT * base_pa * abs(warmth - 1.0)
        self._loss_pa = expected_pa - over_pa - doubt_pa
        self._part = self._loss_pa / base_over_pa
        self._judge(time_ns)

    def _judge(self, time_ns: int) -> None:
        s = self._settings
        lost = self._part > s.pack_general_part
        self._lost.step(time_ns, on=lost, off=self._part < 0.7 * s.pack_general_part)
        if not self._lost.active:
            if self.since_ns is not None:
                self._lost.rearm()
            self.since_ns, self.severity = None, Severity.GENERAL
            return
        self.since_ns = self.since_ns if self.since_ns is not None else self._lost.since_ns
        if self._part > s.pack_major_part:
            self.severity = Severity.MAJOR

    def values(self) -> dict[str, Value]:
        """Return what there is to say of it."""
        return {"lost_pa": round(self._loss_pa), "lost_part": round(self._part, 3)}
