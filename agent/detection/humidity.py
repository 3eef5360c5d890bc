"""Humidity: out of its band, or changing faster than the goods may.

What a leak does to it is in `leak.py`.
"""

from __future__ import annotations

import msgspec

from agent.detection.band import Band
from agent.detection.plausible import PERCENT
from agent.ranges import NotNegative, Positive


class HumiditySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The band in % relative humidity. None: no limit on that side."""

    enabled: bool = True
    low_percent: float | None = None
    high_percent: float | None = None
    hysteresis_percent: NotNegative = 3.0
    hold_s: NotNegative = 1.5
    """Outside for so long is an event, general at first ..."""
    major_after_s: NotNegative = 1.5
    """... major after so long ..."""
    critical_beyond_percent: NotNegative = 15.0
    critical_after_s: NotNegative = 1.5
    """... and critical when farther outside than that for so long."""
    release_s: NotNegative = 1.5
    rate_percent_per_min: Positive | None = None
    """Changing faster than this is an event, general."""
    rate_window_s: Positive = 120.0
    cool_down_s: NotNegative = 0.0

    def band(self) -> Band:
        """Return it as the detector reads it."""
        return Band(
            low=self.low_percent,
            high=self.high_percent,
            hysteresis=self.hysteresis_percent,
            hold_s=self.hold_s,
            major_after_s=self.major_after_s,
            critical_after_s=self.critical_after_s,
            release_s=self.release_s,
            critical_beyond=self.critical_beyond_percent,
            rate_per_min=self.rate_percent_per_min,
            rate_window_s=self.rate_window_s,
            cool_down_s=self.cool_down_s,
            unit="percent",
            rate_unit="percent_per_min",
            limits=PERCENT,
        )
