"""What a sensor at rest feels: gravity where it stands, and how well that is known.

Normal gravity on the ellipsoid by Somigliana's closed formula with the constants of WGS 84 (NGA.STND.0036,
2014, eq. 4-1), brought to height by the second-order series (eq. 4-3). What mountains and the rocks below
add is left out: it rarely passes 1 mm/s².
"""

from __future__ import annotations

import math
from dataclasses import dataclass

STANDARD_GRAVITY_MPS2 = 9.80665  # CGPM 1901
EQUATOR_MPS2 = 9.7803253359  # WGS 84
SOMIGLIANA_K = 0.00193185265241  # WGS 84
ECCENTRICITY2 = 0.00669437999014  # WGS 84
FLATTENING = 1 / 298.257223563  # WGS 84
SEMI_MAJOR_M = 6_378_137.0  # WGS 84
ROTATION_M = 0.00344978650684  # WGS 84: ω²a²b/GM

# From the equator (9.780) to a pole (9.832) at sea level, rectangular: 0.026/√3 (JCGM 100:2008, 4.3.7).
ANYWHERE_STANDARD_MPS2 = 0.0153
# Gravity anomalies: 1 mm/s² either way, rectangular.
ANOMALY_STANDARD_MPS2 = 0.001 / math.sqrt(3)
FREE_AIR_PER_S2 = 3.086e-6  # what a metre of height takes away


@dataclass(frozen=True, slots=True)
class Gravity:
    """Local gravity in m/s² and its standard uncertainty (type B), with where the figure is from."""

    mps2: float = STANDARD_GRAVITY_MPS2
    standard_mps2: float = ANYWHERE_STANDARD_MPS2
    source: str = "standard gravity; the place is not known"

    @property
    def told_mps2(self) -> float | None:
        """It, where the place is known; else None."""
        return None if self.mps2 == STANDARD_GRAVITY_MPS2 else self.mps2


def local_gravity(latitude_deg: float, height_m: float = 0.0, *, height_standard_m: float = 50.0) -> Gravity:
    """Return gravity at a latitude and a height above the sea (WGS 84).

    Raises ValueError for a latitude beyond ±90° or a height where no vehicle stands.
    """
    if not (-90.0 <= latitude_deg <= 90.0 and -1000.0 <= height_m <= 10_000.0):
        raise ValueError(f"no place on the ground: latitude {latitude_deg}°, height {height_m} m")
    sin2 = math.sin(math.radians(latitude_deg)) ** 2
    ground = EQUATOR_MPS2 * (1 + SOMIGLIANA_K * sin2) / math.sqrt(1 - ECCENTRICITY2 * sin2)
    h = height_m / SEMI_MAJOR_M
    mps2 = ground * (1 - 2 * (1 + FLATTENING + ROTATION_M - 2 * FLATTENING * sin2) * h + 3 * h * h)
    standard_mps2 = math.hypot(ANOMALY_STANDARD_MPS2, FREE_AIR_PER_S2 * height_standard_m)
    return Gravity(mps2, standard_mps2, f"WGS 84 at latitude {latitude_deg:g}°, {height_m:g} m")
