"""When to try again: exponential back-off with full jitter.

A fleet that loses its broker must not come back in step. Full jitter (a delay drawn evenly between
nothing and the bound) clears such a crowd with the least work: M. Brooker, "Exponential Backoff And
Jitter", AWS Architecture Blog, 2015.
"""

from __future__ import annotations

from collections.abc import Callable

MAX_DOUBLINGS = 32  # beyond it the bound is reached anyway, and 2**n would only grow


class Backoff:
    """Gives the delay before each next attempt. `random` returns numbers in [0, 1)."""

    def __init__(self, min_s: float, max_s: float, random: Callable[[], float]) -> None:
        self._min_s = min_s
        self._max_s = max_s
        self._random = random
        self._failures = 0

    def next_s(self) -> float:
        """Return how long to wait now; the bound doubles each time, up to the maximum."""
        bound_s = min(self._max_s, self._min_s * 2.0 ** min(self._failures, MAX_DOUBLINGS))
        self._failures += 1
        return bound_s * self._random()

    def reset(self) -> None:
        """Begin again at the minimum."""
        self._failures = 0
