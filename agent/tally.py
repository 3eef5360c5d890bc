"""Tally: what has gone through the pipeline so far, counted for its summary and for its health."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from agent.blocks import NS_PER_S


@dataclass(slots=True)
class Tally:
    """What has gone through so far."""

    samples: Counter[str] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)
    gaps: int = 0
    withheld_snippets: int = 0
    raw_bytes: float = 0.0
    published_bytes: int = 0
    published: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    first_ns: int | None = None
    last_ns: int | None = None

    @property
    def upload_ratio(self) -> float:
        """Published bytes per raw byte."""
        return self.published_bytes / self.raw_bytes if self.raw_bytes else 0.0

    @property
    def duration_s(self) -> float:
        """From the first sample to the last."""
        if self.first_ns is None or self.last_ns is None:
            return 0.0
        return (self.last_ns - self.first_ns) / NS_PER_S

    def streams(self) -> dict[str, dict[str, int]]:
        """Return what came and what is missing, a stream each."""
        return {name: {"samples": n, "missing": self.missing[name]} for name, n in self.samples.items()}

    def as_dict(self) -> dict[str, Any]:
        """Return the figures that every summary has."""
        return {
            "duration_s": round(self.duration_s, 6),
            "samples": sum(self.samples.values()),
            "gaps": self.gaps,
            "missing_samples": sum(self.missing.values()),
            "raw_bytes": round(self.raw_bytes),
            "published_bytes": self.published_bytes,
            "upload_ratio": round(self.upload_ratio, 6),
            "events": dict(sorted(self.events.items())),
            "records": dict(sorted(self.published.items())),
            "withheld_snippets": self.withheld_snippets,
        }
