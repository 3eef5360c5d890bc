"""Features computed again, straight from the raw counts of a trip, in float64: what a record must say.

Knows nothing of how the agent sums and merges: it takes all samples of a row's window at once. A value agrees
when it is the oracle's to the last digit that its column prints, or to three digits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.blocks import NS_PER_S
from agent.streams import StreamSpec
from firmware_bridge.virtual.trip import Trip

F64 = npt.NDArray[np.float64]
Oracle = Callable[[F64, F64], F64]
"""Of the window's samples, (n, axes), and those of the second before it: the value of each axis."""

SLACK = 1e-6  # relative: samples are float32
DIGITS = 5e-3  # half of the third digit
ACCEL_HZ = 1000
ROWS_LOOKED_AT = 2  # of each record that was drawn


@dataclass(slots=True)
class Differences:
    """What was compared so far, and what did not agree."""

    compared: int = 0
    found: int = 0
    worst: str = ""
    worst_size: float = 0.0
    unchecked: set[str] = field(default_factory=set)


def compare(
    trip: Trip,
    specs: Sequence[StreamSpec],
    body: Mapping[str, Any],
    wall_ns: int,
    told_s: int,
    dice: np.random.Generator,
    differences: Differences,
) -> None:
    """Compute some rows of a features record again.

    `wall_ns`: the wall's time when the trip began; `told_s`: seconds of the trip that records before this
    one told of, which a longer window does not tell again.
    """
    oracles = {name: (spec, oracle) for spec in specs for name, oracle in oracles_of(spec).items()}
    first_s, span_s = start_s(body, wall_ns), body["window_s"]
    for row in dice.choice(body["n"], size=min(ROWS_LOOKED_AT, body["n"]), replace=False).tolist():
        begin_s = first_s + (body["at"][row] if "at" in body else row) * span_s
        seconds = [trip.second(k) for k in range(max(begin_s, told_s), begin_s + span_s)]
        raw = {s.name: np.concatenate([second[s.name] for second in seconds]) * s.scale for s in specs}
        lead_s = max(begin_s, told_s) - 1
        lead = trip.second(lead_s) if lead_s >= 0 else {s.name: np.empty((0, len(s.axes))) for s in specs}
        differences.unchecked.update(body.keys() & {"spectrum_db"})
        for name, column in body["columns"].items():
            if name not in oracles:
                differences.unchecked.add(name)
                continue
            spec, oracle = oracles[name]
            before: F64 = np.asarray(lead[spec.name] * spec.scale, np.float64)
            wanted = np.atleast_1d(oracle(raw[spec.name], before))
            said = list(column.values()) if isinstance(column, dict) else [column]
            for axis, (values, want) in enumerate(zip(said, wanted.tolist(), strict=True)):
                where = f"{name}[{axis}] of second {begin_s}, {span_s} s"
                _judge(values, row, want, where, differences)


def start_s(body: Mapping[str, Any], wall_ns: int) -> int:
    """Return the second of the trip with which a features record begins."""
    unix_us = round(datetime.fromisoformat(body["start"]).timestamp() * 1e6)
    return round((unix_us * 1000 - wall_ns) / NS_PER_S)


def oracles_of(spec: StreamSpec) -> dict[str, Oracle]:
    """Return, by the name of the column, what it is of a window's samples."""
    name, unit = spec.name, spec.unit.value.lower()
    found: dict[str, Oracle] = {
        f"{name}_mean_{unit}": lambda v, _: v.mean(axis=0),
        f"{name}_rms_{unit}": lambda v, _: v.std(axis=0),
        f"{name}_peak_{unit}": lambda v, _: np.abs(v - v.mean(axis=0)).max(axis=0),
        f"{name}_crest": lambda v, _: np.abs(v - v.mean(axis=0)).max(axis=0) / v.std(axis=0),
        f"{name}_swing_{unit}": lambda v, _: v.max(axis=0) - v.min(axis=0),
        f"{name}_total_{unit}": lambda v, _: np.asarray(v.mean(axis=0).sum()),
        f"{name}_{unit}": lambda v, _: v.mean(axis=0),
        f"{name}_kinetic_{unit}": lambda v, _: _kinetic_degc(v),
    }
    if spec.rate_hz == ACCEL_HZ:
        found[f"{name}_jerk_mps3"] = _jerk_mps3
    return found


def _kinetic_degc(degc: F64) -> F64:
    """Haynes' mean of samples that count alike; ΔH 83.144 kJ/mol."""
    activation_k = 83_144 / 8.314462618
    aged = np.exp(-activation_k / (degc + 273.15)).mean(axis=0)
    return np.asarray(-activation_k / np.log(aged) - 273.15)


def _jerk_mps3(values: F64, lead: F64) -> F64:
    """The steepest straight line, by least squares, through ten means of 50 ms, that ends in the window."""
    hop = ACCEL_HZ // 20
    every = np.concatenate((lead[len(lead) % hop :][-9 * hop :], values))
    means = every.reshape(-1, hop, every.shape[1]).mean(axis=1)
    times_s = np.arange(10) * hop / ACCEL_HZ
    slopes = [np.polyfit(times_s, means[i : i + 10], 1)[0] for i in range(len(means) - 9)]
    return np.asarray(np.linalg.norm(slopes, axis=1).max())


def _judge(
    values: Sequence[float | None], row: int, want: float, where: str, differences: Differences
) -> None:
    said = values[row]
    decimals = max((len(str(v).partition(".")[2]) for v in values if v is not None), default=0)
    allowed = max(0.5 * 10.0**-decimals, DIGITS * abs(want)) + SLACK * max(1.0, abs(want))
    off = math.inf if said is None else abs(said - want)
    differences.compared += 1
    if off > allowed:
        differences.found += 1
        if off / allowed > differences.worst_size:
            differences.worst_size = off / allowed
            differences.worst = f"{where}: said {said}, is {want:.6g}"
