"""Liquid in an upright rectangular tank: at which frequencies it sloshes.

f_n² = (n·π·g/L)·tanh(n·π·h/L)/(4π²) for waves along a side of length L, filled to the height h: linear
theory of an ideal liquid, H. N. Abramson (ed.), The Dynamic Behavior of Liquids in Moving Containers,
NASA SP-106 (1966), chapter 2; R. A. Ibrahim, Liquid Sloshing Dynamics, Cambridge 2005. A push along the tank
drives the odd modes only, which lift one side and lower the other; baffles and waves as high as the liquid
is deep shift them by some per cent.

Settings, not state: numbers in, numbers out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from calibration.gravity import STANDARD_GRAVITY_MPS2

MODES = (1, 2, 3)


def slosh_frequencies_hz(length_m: float, depth_m: float, modes: Sequence[int] = MODES) -> tuple[float, ...]:
    """Return the natural frequency of each mode of waves along `length_m`.

    Raises ValueError where a length, a depth or a mode is not positive.
    """
    if not (length_m > 0 and depth_m > 0 and all(n > 0 for n in modes)):
        raise ValueError(
            f"slosh frequencies of a tank {length_m:g} m long, {depth_m:g} m deep, modes {list(modes)}: "
            "expected positive numbers"
        )
    numbers = [n * math.pi / length_m for n in modes]
    return tuple(
        math.sqrt(k * STANDARD_GRAVITY_MPS2 * math.tanh(k * depth_m)) / (2 * math.pi) for k in numbers
    )
