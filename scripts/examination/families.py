"""Every family of scenes, by being imported; and all kinds in a fixed order."""

from __future__ import annotations

from scripts.examination import (
    climate,
    driving,
    falling,
    impacts,
    leaking,
    liquid,
    loading,
    odd_sensors,
    pressing,
    shaking,
    tilting,
)
from scripts.examination.scene import KINDS

__all__ = ["FAMILIES", "KINDS"]

FAMILIES = (
    tilting,
    falling,
    impacts,
    driving,
    shaking,
    liquid,
    loading,
    pressing,
    climate,
    leaking,
    odd_sensors,
)
