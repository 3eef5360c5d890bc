"""The virtual box's sensors: what its board module describes and what a trip must play.

Chips of the kind that the real boxes carry: a ±16 g accelerometer of 0.488 mg a count (LIS3DH class),
four load cells behind 24-bit converters (HX711), a ±20 kPa gauge pressure transducer in the tank, and
a climate chip that gives hundredths.
"""

from __future__ import annotations

from dataclasses import dataclass

GRAVITY_MPS2 = 9.80665  # standard gravity, CGPM 1901
ACCEL_MPS2_PER_COUNT = 0.488e-3 * GRAVITY_MPS2
LOAD_KG_PER_COUNT = 1e-5
PRESSURE_PA_PER_COUNT = 0.625
CLIMATE_PER_COUNT = 0.01

INT16_MAX = 2**15 - 1
INT24_MAX = 2**23 - 1

MOUNT_UP = (0.0, 0.0, 1.0)
"""Which way is up in the accelerometer's axes when the box stands level."""


@dataclass(frozen=True, slots=True)
class VirtualStream:
    """One sensor: counts are signed, `scale` is the number of `unit` in one count."""

    name: str
    axes: tuple[str, ...]
    unit: str
    scale: float
    rate_hz: int
    sample_bits: int
    full_scale: float | None


STREAMS = (
    VirtualStream(
        "accel", ("x", "y", "z"), "mps2", ACCEL_MPS2_PER_COUNT, 1000, 16, INT16_MAX * ACCEL_MPS2_PER_COUNT
    ),
    VirtualStream(
        "load", ("fl", "fr", "rl", "rr"), "kg", LOAD_KG_PER_COUNT, 80, 24, INT24_MAX * LOAD_KG_PER_COUNT
    ),
    VirtualStream("pressure", ("p",), "Pa", PRESSURE_PA_PER_COUNT, 50, 16, INT16_MAX * PRESSURE_PA_PER_COUNT),
    VirtualStream("temperature", ("t",), "degC", CLIMATE_PER_COUNT, 1, 16, None),
    VirtualStream("humidity", ("h",), "percent", CLIMATE_PER_COUNT, 1, 16, None),
)
