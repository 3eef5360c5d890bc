"""A day on the road: bad roads, stops, and a minute of harm in every hour.

The virtual trip's physics throughout (ASTM D4169 truck vibration, assurance level I, 0.73 g rms); only which
minute is which is planned here. In each hour one minute is the demo's, with a harm of every kind, and after
three hours of driving the truck stands still for 45 minutes.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.virtual.motion import slide_share
from firmware_bridge.virtual.road import SAMPLE_RATE_HZ
from firmware_bridge.virtual.script import LEG_S, Leg, Script, plan_leg
from firmware_bridge.virtual.trip import Trip

LEGS_AN_HOUR = 3600 // LEG_S
DRIVE_LEGS = 180  # driving and rest periods: Regulation (EC) No 561/2006, article 7: 45 min after 4.5 h
STOP_LEGS = 45
INCIDENT_LEG = 20  # of each hour

Minute = Literal["incident", "road", "stop"]


class DayTrip(Trip):
    """A trip whose minutes are driven, stood or suffered by plan. `incidents` False: none is suffered."""

    def __init__(self, seed: int = 1, *, incidents: bool = True, road_level: str = "I") -> None:
        super().__init__(seed, script="road", road_level=road_level)
        self._incidents = incidents

    def minute(self, number: int) -> Minute:
        """Say what leg `number` is."""
        if self._incidents and number % LEGS_AN_HOUR == self._incident_leg(number // LEGS_AN_HOUR):
            return "incident"
        return "road" if number % (DRIVE_LEGS + STOP_LEGS) < DRIVE_LEGS else "stop"

    def _incident_leg(self, hour: int) -> int:
        # the load slides to the right in even legs and back in odd ones
        return INCIDENT_LEG + hour % 2

    def _plan(self, number: int) -> Leg:
        scripts: dict[Minute, Script] = {"incident": "demo", "road": "road", "stop": "none"}
        return plan_leg(self.seed, number, scripts[self.minute(number)], self.tank.slosh_hz)

    def _centre_y_m(self, second: int, samples: int) -> NDArray[np.float64]:
        number, into_leg = divmod(second, LEG_S)
        hour, leg = divmod(number, LEGS_AN_HOUR)
        shifts = hour + (leg > self._incident_leg(hour)) if self._incidents else 0
        start_y_m = self.cradle.shift_m / 2 * (1 if shifts % 2 == 0 else -1)
        shift = self._leg(number).shift
        if shift is None:
            return np.full(samples, start_y_m)
        time_s = into_leg + 1 + np.arange(-samples, 0) / SAMPLE_RATE_HZ
        return start_y_m + shift.direction * self.cradle.shift_m * slide_share(shift, time_s)
