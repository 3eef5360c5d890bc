"""How far a count of successes can be trusted: 95 % intervals, exact.

Clopper and Pearson, Biometrika 26 (1934): the shares under which so few, or so many, would come up with a
chance of 2.5 %. Found by bisection of the binomial sum, which needs no table of the beta function.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

TAIL = 0.025


def interval(hits: int, trials: int) -> tuple[float, float]:
    """Return the 95 % interval of a share of which `hits` of `trials` were seen."""
    if trials == 0:
        return 0.0, 1.0
    low = 0.0 if hits == 0 else _solved(lambda p: 1 - _at_most(hits - 1, trials, p) - TAIL)
    high = 1.0 if hits == trials else _solved(lambda p: TAIL - _at_most(hits, trials, p))
    return low, high


def _solved(rising: Callable[[float], float]) -> float:
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < 0 else (low, middle)
    return (low + high) / 2


def _at_most(hits: int, trials: int, share: float) -> float:
    """Return the chance of at most `hits` of `trials`."""
    if share <= 0:
        return 1.0
    if share >= 1:
        return 1.0 if hits >= trials else 0.0
    log_share, log_other = math.log(share), math.log1p(-share)
    total = 0.0
    for k in range(hits + 1):
        ways = math.lgamma(trials + 1) - math.lgamma(k + 1) - math.lgamma(trials - k + 1)
        total += math.exp(ways + k * log_share + (trials - k) * log_other)
    return min(1.0, total)


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value that so many of 100 do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]
