"""Settings of the leak detector and its three watches."""

from __future__ import annotations

import msgspec

from agent.ranges import NotNegative, Part, Positive


class LeakSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``rope_*``: of the rope's voltage; ``damp_*``: of the air; ``pack_*``: of a sealed pack."""

    enabled: bool = True
    rope_change_v: Positive = 0.5
    """Farther from its dry level than this, either way, is wet."""
    rope_wet_above_v: float | None = None
    rope_wet_below_v: float | None = None
    rope_broken_above_v: float | None = None
    rope_short_below_v: float | None = None
    rope_hold_s: NotNegative = 2.0
    rope_follow_s: Positive = 1800.0
    damp_percent: Positive = 12.0
    damp_dew_degc: Positive = 3.0
    damp_major_percent: Positive = 20.0
    damp_hold_s: NotNegative = 120.0
    damp_major_s: NotNegative = 300.0
    """Doors are shut by then, and a third of what they let in is gone."""
    damp_follow_s: Positive = 1800.0
    damp_door_s: NotNegative = 300.0
    pack_least_pa: Positive = 3000.0
    """With less overpressure than this it is no sealed pack."""
    pack_general_part: Part = 0.15
    pack_major_part: Part = 0.3
    pack_hold_s: NotNegative = 20.0
    release_s: NotNegative = 30.0
    cool_down_s: NotNegative = 0.0
