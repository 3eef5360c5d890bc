"""Times as a CSV log writes them, to nanoseconds: exact, and by the column where they are all alike."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.sources.csv_map import TimeFormat

Ints = npt.NDArray[np.int64]

_SHORTEST_ISO = len("2019-03-24")  # numpy would also read "now" and "2019" as dates
_YEARS = frozenset(map(str, range(1900, 2116)))
_FARTHEST_NS = 1 << 62  # the year 2116; beyond it a time is in other units than the map says


def parse_times(
    texts: list[str], form: TimeFormat, decimal: str = "."
) -> tuple[Ints, npt.NDArray[np.bool_] | None, bool]:
    """Return times as (n,) int64 ns, which could not be read (None: all could), and if a zone is untold."""
    if form is TimeFormat.ISO8601:
        return _parse_iso(texts)
    tick_ns = form.tick_ns
    texts = [text.strip() for text in texts]
    if decimal != ".":
        texts = [text.replace(decimal, ".") for text in texts]
    places = {len(text) - text.find(".") - 1 if "." in text else 0 for text in texts}
    if len(places) == 1 and tick_ns % (per_tick := 10 ** min(places.pop(), 18)) == 0:
        with contextlib.suppress(ValueError, OverflowError):
            counts = np.fromiter((int(text.replace(".", "", 1)) for text in texts), np.int64, len(texts))
            if np.abs(counts).max() < _FARTHEST_NS // (tick_ns // per_tick):
                return counts * (tick_ns // per_tick), None, False
    times = np.zeros(len(texts), np.int64)
    bad = np.zeros(len(texts), np.bool_)
    for i, text in enumerate(texts):
        whole, point, part = text.partition(".")
        try:
            # whole and part apart: a float of today's seconds is right to 240 ns only
            if point and part.isdigit() and whole.removeprefix("-").isdigit():
                fraction = round(float(f"0.{part}") * tick_ns)
                time_ns = int(whole) * tick_ns + (-fraction if whole.startswith("-") else fraction)
            else:
                time_ns = round(float(text) * tick_ns)
            bad[i] = abs(time_ns) >= _FARTHEST_NS
            times[i] = 0 if bad[i] else time_ns
        except (ValueError, OverflowError):
            bad[i] = True
    return times, bad if bad.any() else None, False


def _parse_iso(texts: list[str]) -> tuple[Ints, npt.NDArray[np.bool_] | None, bool]:
    suffix = "Z" if texts[0].endswith("Z") else "+00:00"
    zoned = {text[-len(suffix) :] for text in texts} == {suffix}
    if zoned and min(map(len, texts)) > _SHORTEST_ISO + len(suffix):
        with contextlib.suppress(ValueError):
            fast: npt.NDArray[Any] = np.array([t[: -len(suffix)] for t in texts], dtype="datetime64[ns]")
            # numpy wraps years beyond 2262 around without a word
            if not np.isnat(fast).any() and {text[:4] for text in texts} <= _YEARS:
                return fast.astype(np.int64), None, False
    times = np.zeros(len(texts), np.int64)
    bad = np.zeros(len(texts), np.bool_)
    naive = False
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    for i, text in enumerate(texts):
        try:
            when = datetime.fromisoformat(text.strip().replace(",", "."))
        except ValueError:
            bad[i] = True
            continue
        if when.tzinfo is None:
            naive = True
            when = when.replace(tzinfo=UTC)
        if not 1900 <= when.year < 2116:
            bad[i] = True
            continue
        since = when - epoch
        times[i] = ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1000
    return times, bad if bad.any() else None, naive
