"""Lines to draw over a trip's time: from the samples of its log, or, without one, from its features."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.mounting import RestReference
from agent.report.grid import Sums
from agent.report.samples import Samples
from agent.report.trip import Trip, features_of, seconds_of
from agent.streams import StreamClass, StreamSpec, Unit

F64 = npt.NDArray[np.float64]
SECOND = 1.0


@dataclass(slots=True)
class Line:
    """One line, or, with ``high``, a band from ``low`` to ``high``."""

    label: str
    low: F64
    high: F64 | None = None


@dataclass(slots=True)
class Panel:
    """One quantity over the trip. ``times_s`` since 1970, rising; ``step_s``: how long a row is."""

    title: str
    unit: str
    stream: str
    times_s: F64
    step_s: float
    lines: list[Line]
    band: tuple[float | None, float | None] = (None, None)
    from_zero: bool = False
    digits: int = 2
    about: str = ""
    rank: int = field(default=9)


Band = tuple[float | None, float | None]


def panels_of_samples(samples: Samples, bands: Mapping[str, Band]) -> list[Panel]:
    """Return the panels of a log; ``bands`` by unit."""
    panels: list[Panel] = []
    for spec in samples.specs:
        sums = samples.sums.get(spec.name)
        if sums is None:
            continue
        times_s: F64 = np.asarray((sums.index + 0.5) * samples.step_s + samples.offset_s, np.float64)
        if spec.unit is Unit.MPS2 and len(spec.axes) == 3:
            panels += _motion(spec, sums, times_s, samples)
        elif spec.unit is Unit.RADPS and len(spec.axes) == 3:
            turn = Line("fastest turn", np.degrees(sums.high[:, -1]))
            panels.append(
                Panel(
                    "Rotation",
                    "°/s",
                    spec.name,
                    times_s,
                    samples.step_s,
                    [turn],
                    from_zero=True,
                    digits=1,
                    rank=3,
                )
            )
        else:
            panels.append(_plain(spec, sums, times_s, samples.step_s, bands))
    return sorted(panels, key=lambda panel: panel.rank)


def _motion(spec: StreamSpec, sums: Sums, times_s: F64, samples: Samples) -> list[Panel]:
    per_second = max(1, round(SECOND / samples.step_s))
    mean, variance = _about_the_second(sums, per_second)
    shaking = Panel(
        "Vibration",
        "m/s²",
        spec.name,
        times_s,
        samples.step_s,
        [Line("r.m.s. of a second", np.sqrt(np.maximum(variance, 0.0)))],
        from_zero=True,
        about="How strongly it shakes, all axes together, beside gravity.",
        rank=1,
    )
    force = Panel(
        "Acceleration",
        "m/s²",
        spec.name,
        times_s,
        samples.step_s,
        [Line("lowest to highest", sums.low[:, -1], sums.high[:, -1])],
        from_zero=True,
        digits=1,
        about="Total acceleration: 9.8 m/s² at rest, near 0 in free fall, a spike at an impact.",
        rank=0,
    )
    panels = [force, shaking]
    up = samples.up or _seen_up(sums, samples.step_s)
    if up is not None:
        panels.append(
            Panel(
                "Tilt",
                "°",
                spec.name,
                times_s,
                samples.step_s,
                [Line("from upright", angles_deg(mean, up))],
                from_zero=True,
                digits=0,
                about="Angle from upright, mean of a second."
                + ("" if samples.up else " Upright is how it stood at its first rest."),
                rank=2,
            )
        )
    return panels


def _about_the_second(sums: Sums, per_second: int) -> tuple[F64, F64]:
    """Return each row's mean and summed variance, of the whole second that it lies in: (n, 3), (n,)."""
    group = sums.index // per_second
    at = np.flatnonzero(np.concatenate(([True], group[1:] != group[:-1])))
    lengths = np.diff(at, append=len(group))
    count = np.add.reduceat(sums.count, at)[:, None]
    mean = np.add.reduceat(sums.total[:, :3], at, axis=0) / count
    square = np.add.reduceat(sums.squares[:, :3], at, axis=0) / count
    variance = (square - mean**2).sum(axis=1)
    return np.repeat(mean, lengths, axis=0), np.repeat(variance, lengths)


def _seen_up(sums: Sums, step_s: float) -> tuple[float, float, float] | None:
    """Return which way was up at the first rest, as detectors see it; None where nothing rested square."""
    reference = RestReference()
    for row in (sums.total[:, :3] / sums.count[:, None]).tolist():
        reference.step(row)
        if reference.decided:
            return reference.up
    return None


def angles_deg(vectors: F64, up: Sequence[float]) -> F64:
    """Return how far each of (n, 3) points from `up`, a unit vector; NaN where it points nowhere."""
    length = np.sqrt((vectors**2).sum(axis=1))
    along = vectors[:, 0] * up[0] + vectors[:, 1] * up[1] + vectors[:, 2] * up[2]
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = np.clip(along / length, -1.0, 1.0)
    return np.where(length > 1.0, np.degrees(np.arccos(cosine)), np.nan)


def _plain(spec: StreamSpec, sums: Sums, times_s: F64, step_s: float, bands: Mapping[str, Band]) -> Panel:
    title, unit, factor, digits, rank = _quantity(spec)
    load = spec.kind is StreamClass.LOAD
    channel, where = (-1, ", on all cells") if load else (0, "")
    low, high = sums.low[:, channel] * factor, sums.high[:, channel] * factor
    line = Line(f"lowest to highest{where}", low, high)
    if sums.count.max() <= 1:
        line = Line(f"measured{where}", high)
    return Panel(
        title,
        unit,
        spec.name,
        times_s,
        step_s,
        [line],
        bands.get(unit, (None, None)),
        digits=digits,
        rank=rank,
    )


def _quantity(spec: StreamSpec) -> tuple[str, str, float, int, int]:
    """Return title, unit, factor to it, digits and place of a stream that is no motion."""
    title = spec.name.replace("_", " ").capitalize()
    match spec.unit:
        case Unit.KG:
            return title, "kg", 1.0, 1, 4
        case Unit.DEGC:
            return title, "°C", 1.0, 1, 5
        case Unit.PERCENT:
            return title, "%", 1.0, 0, 6
        case Unit.PA:
            return title, "kPa", 0.001, 2, 7
        case Unit.STATE:
            return f"{title} closed", "", 1.0, 0, 8
        case _:
            return title, spec.unit.value, 1.0, 2, 8


# column of a features record → title, unit, label, factor, from zero, digits, rank
_COLUMNS: Mapping[str, tuple[str, str, str, float, bool, int, int]] = {
    "accel_peak_mps2": ("Acceleration", "m/s²", "peak of the worst axis", 1.0, True, 1, 0),
    "accel_rms_mps2": ("Vibration", "m/s²", "r.m.s., all axes", 1.0, True, 2, 1),
    "accel_mean_mps2": ("Tilt", "°", "from the first attitude", 1.0, True, 0, 2),
    "gyro_peak_radps": ("Rotation", "°/s", "peak of the worst axis", 180 / math.pi, True, 1, 3),
    "load_mass_kg": ("Load", "kg", "weighed", 1.0, False, 1, 4),
    "load_total_kg": ("Load on the cells", "kg", "mean", 1.0, False, 1, 4),
    "temperature_degc": ("Temperature", "°C", "mean", 1.0, False, 1, 5),
    "humidity_percent": ("Humidity", "%", "mean", 1.0, False, 0, 6),
    "pressure_mean_pa": ("Pressure", "kPa", "mean", 0.001, False, 2, 7),
    "air_pressure_pa": ("Air pressure", "kPa", "mean", 0.001, False, 2, 7),
    "lid_closed": ("Lid closed", "", "part of the time", 1.0, True, 2, 8),
}


def panels_of_features(trip: Trip, bands: Mapping[str, Band]) -> list[Panel]:
    """Return the panels of what went up: coarser than the log, and nothing where the budget was short."""
    rows: dict[str, list[F64]] = defaultdict(list)
    first: list[float] | None = None
    for said in features_of(trip):
        window_s, start_s, count = float(said["window_s"]), seconds_of(said["start"]), int(said["n"])
        at = said.get("at") or range(count)
        for column, given in said["columns"].items():
            if column not in _COLUMNS:
                continue
            if column == "accel_mean_mps2" and isinstance(given, Mapping):
                vectors = np.array([_numbers(axis) for axis in given.values()]).T
                if first is None:
                    first = _unit(vectors)
                told = np.full(count, np.nan) if first is None else angles_deg(vectors, first)
            else:
                told = _combined(given, squares="rms" in column)
            times_s = start_s + (np.array(at, np.float64) + 0.5) * window_s
            rows[column].append(np.stack((times_s, told, np.full(count, window_s))))
    return sorted((_panel(column, given, bands) for column, given in rows.items()), key=lambda p: p.rank)


def _panel(column: str, rows: Sequence[F64], bands: Mapping[str, Band]) -> Panel:
    title, unit, label, factor, from_zero, digits, rank = _COLUMNS[column]
    table = np.concatenate(rows, axis=1)
    times_s, values, steps_s = table[:, np.argsort(table[0], kind="stable")]
    return Panel(
        title,
        unit,
        column.partition("_")[0],
        times_s,
        float(np.max(steps_s)),
        [Line(label, values * factor)],
        bands.get(unit, (None, None)),
        from_zero,
        digits,
        rank=rank,
    )


def _numbers(given: Any) -> list[float]:
    return [math.nan if value is None else float(value) for value in given]


def _unit(vectors: F64) -> list[float] | None:
    for row in vectors.tolist():
        length = math.hypot(*row)
        if math.isfinite(length) and length > 1.0:
            return [value / length for value in row]
    return None


def _combined(given: Any, *, squares: bool) -> F64:
    """Return one number a row: of axes, the root of the summed squares, or the largest."""
    if not isinstance(given, Mapping):
        return np.array(_numbers(given))
    axes = np.array([_numbers(axis) for axis in given.values()])
    return np.asarray(np.sqrt((axes**2).sum(axis=0)) if squares else axes.max(axis=0), dtype=np.float64)
