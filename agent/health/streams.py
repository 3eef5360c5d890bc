"""What came of each stream since it was last asked, and what is missing: from the pipeline's count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from agent.streams import StreamSpec
from agent.tally import Tally


class Streams:
    """Rates are of samples that came through the pipeline, over the time between two looks."""

    name = "rates"

    def __init__(
        self, streams: Callable[[], Iterable[StreamSpec]], tally: Callable[[], Tally], now_s: float
    ) -> None:
        self._streams, self._tally = streams, tally
        self._samples: Counter[str] = Counter()
        self._missing: Counter[str] = Counter()
        self._looked_s = now_s

    def look(self, now_s: float) -> Mapping[str, Any]:
        """Return, a stream each, ``rate_hz``, ``nominal_hz`` and ``missing`` since the last time."""
        tally, passed_s = self._tally(), now_s - self._looked_s
        samples, missing = Counter(tally.samples), Counter(tally.missing)
        told = {
            spec.name: {
                "rate_hz": float(f"{max(0, samples[spec.name] - self._samples[spec.name]) / passed_s:.4g}"),
                "nominal_hz": spec.rate_hz,
                "missing": max(0, missing[spec.name] - self._missing[spec.name]),
            }
            for spec in self._streams()
            if passed_s > 0
        }
        self._samples, self._missing, self._looked_s = samples, missing, now_s
        return told
