"""A leak-sensing rope: a pair of wires whose resistance falls where water bridges them, read as a voltage.

Which way the voltage goes depends on the wiring, so without a word from the installer any lasting change
from the dry level counts; the dry level is what it was at first, and follows what age and damp do to it
over hours. With an end-of-line resistor a broken wire and a short leave the range in which water can bring
it (the usual four-state loop of alarm technology); where those limits are told, they are said as what they
are, and are no alarm.
"""

from __future__ import annotations

import math

from agent.blocks import NS_PER_S
from agent.detection.finding import Value
from agent.detection.hold import Hold
from agent.detection.leak_settings import LeakSettings
from agent.records import Severity

HOP_S = 0.5
FIRST_HOPS = 6  # 3 s, whose middle value is the dry level at first
BACK_PART = 0.6  # it is dry again when this much nearer


class RopeWatch:
    """Judges hop means of the rope's voltage. ``since_ns``: since when it is wet or faulty; None: dry."""

    name = "rope"

    def __init__(self, settings: LeakSettings) -> None:
        self.since_ns: int | None = None
        self.severity = Severity.MAJOR
        self._settings = settings
        hold_ns = round(settings.rope_hold_s * NS_PER_S)
        self._wet = Hold(hold_ns, hold_ns)
        self._first: list[float] = []
        self._dry_v: float | None = None
        self._now_v = 0.0
        self._state = "wet"
        self._gain = 1.0 - math.exp(-HOP_S / settings.rope_follow_s)

    def step(self, time_ns: int, volts: float) -> None:
        """Take the mean of one hop."""
        if not math.isfinite(volts):
            return
        self._now_v = volts
        s = self._settings
        if self._dry_v is None:
            self._first.append(volts)
            if len(self._first) == FIRST_HOPS:
                self._dry_v = sorted(self._first)[FIRST_HOPS // 2]
        state, back = self._judge(volts)
        on = state != ""
        self._wet.step(time_ns, on=on, off=not on and back)
        if on:
            self._state = state
        if self._wet.active:
            self.since_ns = self.since_ns if self.since_ns is not None else self._wet.since_ns
            self.severity = Severity.MAJOR if self._state == "wet" else Severity.GENERAL
            return
        if self.since_ns is not None:
            self._wet.rearm()
        self.since_ns = None
        if self._dry_v is not None and not on and abs(volts - self._dry_v) < s.rope_change_v / 2:
            self._dry_v += self._gain * (volts - self._dry_v)

    def _judge(self, volts: float) -> tuple[str, bool]:
        """Return what it is, empty for dry; and whether it is far enough from that to be over."""
        s = self._settings
        if s.rope_broken_above_v is not None and volts > s.rope_broken_above_v:
            return "broken", False
        if s.rope_short_below_v is not None and volts < s.rope_short_below_v:
            return "short", False
        if s.rope_wet_above_v is not None and volts > s.rope_wet_above_v:
            return "wet", False
        if s.rope_wet_below_v is not None and volts < s.rope_wet_below_v:
            return "wet", False
        told = s.rope_wet_above_v is not None or s.rope_wet_below_v is not None
        if told or self._dry_v is None:
            return "", True
        away_v = abs(volts - self._dry_v)
        return ("wet" if away_v > s.rope_change_v else "", away_v < BACK_PART * s.rope_change_v)

    def values(self) -> dict[str, Value]:
        """Return what there is to say of it."""
        said: dict[str, Value] = {"rope": self._state, "rope_v": round(self._now_v, 3)}
        if self._dry_v is not None:
            said["rope_dry_v"] = round(self._dry_v, 3)
        return said
