"""Whether a sensor still measures: its value does not move, or stays at the end of its range, for too long.

A single sample at the end of the range is a shock; it is marked and handed on. A value that stays there, or
stays exactly where it is, is no measurement, and is held back until it moves.
"""

from __future__ import annotations

import numpy as np

from agent.blocks import NS_PER_S, FaultKind, Quality, QualityFlags
from agent.sources.drivers.base import ChipStream, Counts

SATURATED_NS = 2 * NS_PER_S  # no shock and no braking lasts so long
PAUSE_PERIODS = 2  # without a sample for longer than this: it was not sampled meanwhile


class LifeSign:
    """Follows the values of one stream."""

    def __init__(self, stream: ChipStream) -> None:
        self._rails = stream.rails
        self._still_ns = None if stream.still_s is None else round(stream.still_s * NS_PER_S)
        self._pause_ns = round(PAUSE_PERIODS * NS_PER_S / stream.spec.rate_hz)
        self._last: list[float] | None = None
        self._fed_ns = 0
        self._moved_ns = 0
        self._inside_ns: int | None = None
        self.quality: QualityFlags | None = None

    def feed(self, values: Counts, first_ns: int, last_ns: int) -> FaultKind | None:
        """Take consecutive samples (n, axes); return what is wrong with the newest, if anything.

        ``quality`` is then that of these samples: (n,), or None where all are good.
        """
        pause_ns = first_ns - self._fed_ns
        self._fed_ns = last_ns
        if self._last is not None and pause_ns > self._pause_ns:
            # a time in which nobody looked is none in which it stood still
            self._moved_ns += pause_ns
            if self._inside_ns is not None:
                self._inside_ns += pause_ns
        newest = values[-1].tolist()
        # numpy takes longer for the one sample of a chip without a FIFO than for a hundred
        if newest != self._last or (len(values) > 1 and bool((values != newest).any())):
            self._moved_ns = last_ns
            self._last = newest
        self.quality = None
        if self._rails is not None:
            low, high = self._rails
            if self._inside_ns is None:
                self._inside_ns = first_ns
            if len(values) == 1:
                least, most = min(newest), max(newest)
            else:
                least, most = values.min(), values.max()
            if low < least and most < high:
                self._inside_ns = last_ns
            else:
                beyond = ((values <= low) | (values >= high)).any(axis=1)
                self.quality = np.where(beyond, np.uint8(Quality.SATURATED), np.uint8(Quality.GOOD))
                if not beyond.all():
                    self._inside_ns = last_ns
                elif last_ns - self._inside_ns > SATURATED_NS:
                    return FaultKind.SATURATED  # it stands still there as well, and this says more
        if self._still_ns is not None and last_ns - self._moved_ns > self._still_ns:
            return FaultKind.STUCK_VALUE
        return None
