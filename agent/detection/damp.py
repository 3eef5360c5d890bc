"""Damp air: water in the box that neither a door nor the temperature has brought.

Relative humidity rises when it gets colder, with the same water in the air; so the dew point must rise,
too (Magnus formula over water, WMO-No. 8, annex 4.B). The dew point rises when cartons are warmed, which
give off water until their relative humidity is what it was; so both must rise, above what they slowly
follow. And air that comes in by a door brings its temperature along, at once, and is soon gone or dried
again, where a puddle goes on evaporating: what has fallen back by a third while it was doubted was no
leak, and neither is what a change of temperature of the same minutes came with.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from agent.blocks import NS_PER_S
from agent.detection.finding import Value
from agent.detection.leak_settings import LeakSettings
from agent.detection.plausible import DEGC, PERCENT, Plausible
from agent.records import Severity

BACK_PART = 0.67
SETTLE_S = 30.0
MIXED_DEGC = 2.0  # air of elsewhere: a puddle of the box's own temperature cools its air by less


def dew_point_degc(temperature_degc: float, humidity_percent: float) -> float:
    """Return the temperature at which this air would be saturated."""
    part = max(humidity_percent, 0.1) / 100
    gamma = math.log(part) + 17.62 * temperature_degc / (243.12 + temperature_degc)
    return 243.12 * gamma / (17.62 - gamma)


class DampWatch:
    """Judges temperature and humidity together. ``since_ns``: since when water comes in, if it does."""

    name = "humidity"

    def __init__(self, settings: LeakSettings, *, door_told: bool = False) -> None:
        self.since_ns: int | None = None
        self.severity = Severity.GENERAL
        self._settings = settings
        # where a contact tells of every door, what rises behind closed ones needs no long look
        self._major_s = settings.damp_hold_s if door_told else settings.damp_major_s
        self._degc_plausible = Plausible(DEGC)
        self._percent_plausible = Plausible(PERCENT)
        self._base: Sequence[float] | None = None  # %, dew point, temperature
        self._last_ns = self._first_ns = 0
        self._closed_ns: int | None = None
        self._rising_ns: int | None = None
        self._peak_percent = 0.0
        self._now = (0.0, 0.0)
        self._blind_ns = 0

    def notes(self) -> list[str]:
        """Say for how long it did not look, and why."""
        if not self._blind_ns:
            return []
        return [
            f"leak: the air was not judged for {self._blind_ns / NS_PER_S:.0f} s: it does not look for "
            f"{self._settings.damp_door_s:.0f} s after a door, "
            f"or after {MIXED_DEGC:g} °C of warming or cooling"
        ]

    def step(self, time_ns: int, temperature_degc: float, humidity_percent: float, *, door: bool) -> None:
        """Take a pair of values, and whether a door is open."""
        good = self._degc_plausible.step(time_ns, temperature_degc)
        if not self._percent_plausible.step(time_ns, humidity_percent) or not good:
            return
        s = self._settings
        here = (humidity_percent, dew_point_degc(temperature_degc, humidity_percent), temperature_degc)
        if self._base is None:
            self._base, self._last_ns, self._first_ns = here, time_ns, time_ns
            return
        step_s = (time_ns - self._last_ns) / NS_PER_S
        self._last_ns = time_ns
        if door:
            self._closed_ns = time_ns + round(s.damp_door_s * NS_PER_S)
        if self._closed_ns is not None:
            if time_ns < self._closed_ns:
                self._blind_ns += round(step_s * NS_PER_S)
                self._clear()
                return
            self._closed_ns, self._base = None, here  # what the door has brought is how it is now
        percent, dew_degc, warmer_degc = (h - b for h, b in zip(here, self._base, strict=True))
        self._now = percent, dew_degc
        if self.since_ns is None and abs(warmer_degc) >= MIXED_DEGC:
            self._closed_ns = time_ns + round(s.damp_door_s * NS_PER_S)
            return
        if self.since_ns is not None:
            if percent < BACK_PART / 2 * s.damp_percent:
                self._clear()
            else:
                self._weigh(time_ns, percent)
            return
        if percent > s.damp_percent and dew_degc > s.damp_dew_degc:
            self._rise(time_ns, percent)
            return
        if self._rising_ns is not None and percent < BACK_PART * self._peak_percent:
            self._rising_ns = None
        # at first it settles quickly; while in doubt it waits
        settling = (time_ns - self._first_ns) / NS_PER_S < SETTLE_S
        follow_s = 5.0 if settling else s.damp_follow_s
        if self._rising_ns is None or settling:
            gain = 1.0 - math.exp(-step_s / follow_s)
            quick = 1.0 - math.exp(-step_s / (follow_s / 6))  # drying is no leak: the least counts
            self._base = [
                b + (quick if h < b else gain) * (h - b) for b, h in zip(self._base, here, strict=True)
            ]

    def _rise(self, time_ns: int, percent: float) -> None:
        if self._rising_ns is None:
            self._rising_ns, self._peak_percent = time_ns, percent
        self._peak_percent = max(self._peak_percent, percent)
        if percent < BACK_PART * self._peak_percent:  # it airs: begin again, if it rises again
            self._rising_ns = None
        elif time_ns - self._rising_ns >= self._settings.damp_hold_s * NS_PER_S:
            self.since_ns, self.severity = self._rising_ns, Severity.GENERAL
            self._weigh(time_ns, percent)

    def _weigh(self, time_ns: int, percent: float) -> None:
        s = self._settings
        assert self.since_ns is not None
        lasts_s = (time_ns - self.since_ns) / NS_PER_S
        self._peak_percent = max(self._peak_percent, percent)
        stays = percent >= max(s.damp_major_percent, BACK_PART * self._peak_percent)
        if lasts_s >= self._major_s and stays:
            self.severity = Severity.MAJOR

    def _clear(self) -> None:
        self.since_ns = self._rising_ns = None

    def values(self) -> dict[str, Value]:
        """Return what there is to say of it."""
        percent, dew_degc = self._now
        return {"humidity_rise_percent": round(percent, 1), "dew_point_rise_degc": round(dew_degc, 1)}
