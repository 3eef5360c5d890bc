"""A digest of features: a few figures a column, for golden replays, which keep no features."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np

from agent.compare.features import Windows
from agent.compare.rules import Rules

DIGITS = 7
NS_PER_S = 1_000_000_000


def digest(payloads: Iterable[bytes]) -> dict[str, Any]:
    """Return what the features of a run come to: seconds by width, and each column's n, mean, spread, ends.

    Of spectra, the same of all levels of an axis. Raises what `Windows.read` raises.
    """
    seconds: dict[str, int] = {}
    columns: dict[str, list[Any]] = {}
    for payload in payloads:
        windows = Windows.read(payload, Rules())
        width = f"{windows.width_ns / NS_PER_S:g}"
        seconds[width] = seconds.get(width, 0) + len(windows.at)
        for name, values in windows.flat.items():
            columns.setdefault(name, []).extend(values)
        for stream, axes in msgspec.json.decode(
            windows.spectrum, type=dict[str, dict[str, list[Any]]]
        ).items():
            for axis, levels in axes.items():
                columns.setdefault(f"spectrum_db.{stream}.{axis}", []).extend(levels)
    return {"windows": seconds, **{name: _figures(values) for name, values in sorted(columns.items())}}


def _figures(values: list[Any]) -> dict[str, float]:
    known = np.array([value for value in values if isinstance(value, int | float)], np.float64)
    if not len(known):
        return {"n": 0}
    figures = {"mean": known.mean(), "spread": known.std(), "least": known.min(), "most": known.max()}
    return {"n": len(known), **{k: float(f"{float(v):.{DIGITS}g}") for k, v in figures.items()}}
