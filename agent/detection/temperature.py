"""Temperature: out of its band, frozen, or changing faster than the goods may.

Bands and times by profile: WHO Technical Report Series 961, annex 9, and WHO PQS E006 for vaccines (freeze
alarm at −0.5 °C). The thermometer's own lag makes every time late, never early.
"""

from __future__ import annotations

import msgspec

from agent.detection.band import Band
from agent.detection.plausible import DEGC
from agent.ranges import NotNegative, Positive


class TemperatureSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The band in °C. None: no limit on that side."""

    enabled: bool = True
    low_degc: float | None = None
    high_degc: float | None = None
    freezing_degc: float | None = None
    """At or below it is critical."""
    hysteresis_degc: NotNegative = 0.5
    hold_s: NotNegative = 1.5
    """Outside for so long is an event, general at first ..."""
    major_after_s: NotNegative = 1.5
    """... major after so long ..."""
    critical_beyond_degc: NotNegative = 2.0
    critical_after_s: NotNegative = 1.5
    """... and critical when farther outside than that for so long."""
    release_s: NotNegative = 1.5
    rate_degc_per_min: Positive | None = None
    """Changing faster than this is an event, general."""
    rate_window_s: Positive = 120.0
    cool_down_s: NotNegative = 0.0

    def band(self) -> Band:
        """Return it as the detector reads it."""
        return Band(
            low=self.low_degc,
            high=self.high_degc,
            hysteresis=self.hysteresis_degc,
            hold_s=self.hold_s,
            major_after_s=self.major_after_s,
            critical_after_s=self.critical_after_s,
            release_s=self.release_s,
            critical_beyond=self.critical_beyond_degc,
            rate_per_min=self.rate_degc_per_min,
            rate_window_s=self.rate_window_s,
            cool_down_s=self.cool_down_s,
            unit="degc",
            rate_unit="degc_per_min",
            limits=DEGC,
            freezing=self.freezing_degc,
        )
