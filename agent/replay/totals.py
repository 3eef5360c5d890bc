"""The summary of many logs: those that were done, those that failed, and their sums."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.replay.runner import Summary


@dataclass(slots=True)
class Totals:
    """What came of the logs, by name, in the order in which they were asked for."""

    done: dict[str, Summary] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    """The error of each log that could not be read, or not wholly."""


def together(totals: Totals) -> dict[str, Any]:
    """Return what ``summary.json`` of many says."""
    summaries = totals.done.values()
    events: Counter[str] = Counter()
    for summary in summaries:
        events.update(summary["events"])

    def of_all(key: str) -> Any:
        return sum(summary[key] for summary in summaries)

    raw, published = of_all("raw_bytes"), of_all("published_bytes")
    return {
        "logs": totals.done,
        "failed": totals.failed,
        "duration_s": round(of_all("duration_s"), 6),
        "wall_s": round(of_all("wall_s"), 3),
        "samples": of_all("samples"),
        "gaps": of_all("gaps"),
        "missing_samples": of_all("missing_samples"),
        "raw_bytes": raw,
        "published_bytes": published,
        "upload_ratio": round(published / raw, 6) if raw else 0.0,
        "events": dict(sorted(events.items())),
    }


def without_times(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return a summary less what depends on how fast the machine was."""
    kept = {key: value for key, value in summary.items() if key not in {"wall_s", "realtime_factor"}}
    if "logs" in kept:
        kept["logs"] = {name: without_times(one) for name, one in kept["logs"].items()}
    return kept
