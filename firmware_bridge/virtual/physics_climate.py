"""The air in the box: temperature and moisture lag behind the yard when the doors are open.

Two first-order lags in each state of the doors and of the cooling, solved exactly from one change to
the next. Relative humidity follows from vapour pressure and temperature: as cooling comes back, the
moist air that came in is made cold before the coil can dry it, and the humidity climbs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

BAND_LOW_DEGC = 2.0  # the goods' band: vaccines, 2 to 8 °C
BAND_HIGH_DEGC = 8.0
HUMIDITY_LIMIT_PERCENT = 75.0

COLD_DEGC = 5.0  # what the cooling aims at
COLD_LAG_S = 18.0
YARD_LAG_S = 80.0  # doors open: air of the yard creeps in
MOIST_LAG_S = 50.0
DRY_HPA = 4.36  # what the cold coil leaves in the air: 50 % at 5 °C
DRY_LAG_S = 6.0


@dataclass(frozen=True, slots=True)
class Air:
    """State of the air in the box."""

    temperature_degc: float
    vapour_hpa: float

    @property
    def humidity_percent(self) -> float:
        """Relative humidity; what is beyond saturation has fallen out as dew."""
        return min(100.0, 100 * self.vapour_hpa / saturation_hpa(self.temperature_degc))


@dataclass(frozen=True, slots=True)
class ClimatePlan:
    """When, within one leg, the doors open and close and the coil is cold enough to dry the air."""

    open_s: float
    close_s: float
    dry_s: float
    yard_degc: float
    yard_hpa: float


START_AIR = Air(COLD_DEGC, DRY_HPA)


def saturation_hpa(temperature_degc: float) -> float:
    """Saturation vapour pressure over water (Magnus formula, WMO-No. 8, annex 4.B)."""
    return 6.112 * math.exp(17.62 * temperature_degc / (243.12 + temperature_degc))


def air_at(plan: ClimatePlan | None, start: Air, until_s: float) -> Air:
    """State of the air `until_s` into a leg that began with `start`; without a plan all stays shut."""
    air, now_s = start, 0.0
    changes = [(math.inf, False, True)]
    if plan is not None:
        changes = [
            (plan.open_s, False, True),
            (plan.close_s, True, False),
            (plan.dry_s, False, False),
            *changes,
        ]
    for change_s, is_open, is_dry in changes:
        span_s = min(change_s, until_s) - now_s
        if span_s <= 0:
            break
        now_s += span_s
        if is_open and plan is not None:
            air = Air(
                _lag(air.temperature_degc, plan.yard_degc, span_s / YARD_LAG_S),
                _lag(air.vapour_hpa, plan.yard_hpa, span_s / MOIST_LAG_S),
            )
        else:
            air = Air(
                _lag(air.temperature_degc, COLD_DEGC, span_s / COLD_LAG_S),
                _lag(air.vapour_hpa, DRY_HPA, span_s / DRY_LAG_S) if is_dry else air.vapour_hpa,
            )
    return air


def _lag(value: float, target: float, time_constants: float) -> float:
    return target + (value - target) * math.exp(-time_constants)
