"""A load cell with hidden errors that come from warmth, and the chamber in which it is tried."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]

FINE_S = 10.0  # the truth is computed on a grid finer than it is measured


@dataclass(frozen=True, slots=True)
class HiddenCell:
    """What the fit does not know. Kilograms, seconds, °C; a cell of 100 kg.

    ``air_lag_s``: of the steel behind the air, whose temperature is measured. ``gauge_lag_s``: of the gauges
    behind the steel. ``creep_kg``: of what was put on at the start, which goes on for some ``creep_s``,
    faster when warm. ``play_degc``: a friction in the mounting, by which the zero lags behind the temperature
    whatever the time: true hysteresis, of which no lag and no rate know.
    """

    slope_kg: float = 0.02
    bend_kg: float = 1.5e-4
    rate_kg_s: float = 25.0
    air_lag_s: float = 2400.0
    gauge_lag_s: float = 300.0
    creep_kg: float = 0.05
    creep_s: float = 1500.0
    play_degc: float = 0.5
    noise_kg: float = 0.004
    thermometer_noise_degc: float = 0.05

    def zero_kg(self, air_degc: F64, step_s: float) -> F64:
        """Return what the empty cell shows, (n,), for air at steps of `step_s`."""
        steel = _lagged(air_degc, self.air_lag_s, step_s)
        gauge = _lagged(steel, self.gauge_lag_s, step_s)
        rate = np.gradient(steel, step_s)
        delta = _play(gauge, self.play_degc) - 20.0
        time_s = np.cumsum(np.full(len(air_degc), step_s) * (1.0 + 0.01 * (gauge - 20.0)))
        creep = self.creep_kg * -np.expm1(-time_s / self.creep_s)
        return self.slope_kg * delta + self.bend_kg * delta**2 + self.rate_kg_s * rate + creep


@dataclass(frozen=True, slots=True)
class Soak:
    """What a session in the chamber leaves: (n,) each; ``true_kg`` what lies on the cell, always."""

    t_s: F64
    temperature_degc: F64
    reading_kg: F64
    drift_kg: F64


def chamber(stops_degc: Sequence[float], *, hold_s: float, ramp_degc_per_s: float) -> F64:
    """Air temperature at steps of FINE_S: a hold at each stop, ramps between them."""
    parts = [np.full(int(hold_s / FINE_S), stops_degc[0])]
    for begin, end in itertools.pairwise(stops_degc):
        steps = max(1, int(abs(end - begin) / ramp_degc_per_s / FINE_S))
        parts += [np.linspace(begin, end, steps, endpoint=False), np.full(int(hold_s / FINE_S), end)]
    return np.concatenate(parts)


def soak(cell: HiddenCell, air_degc: F64, *, seed: int, every_s: float = 30.0, load_kg: float = 20.0) -> Soak:
    """Measure a cell in that air every `every_s` seconds."""
    rng = np.random.default_rng(seed)
    drift = cell.zero_kg(air_degc, FINE_S)
    pick = np.arange(0, len(air_degc), int(every_s / FINE_S))
    return Soak(
        t_s=np.asarray(pick * FINE_S, np.float64),
        temperature_degc=air_degc[pick] + rng.normal(0.0, cell.thermometer_noise_degc, len(pick)),
        reading_kg=load_kg + drift[pick] + rng.normal(0.0, cell.noise_kg, len(pick)),
        drift_kg=drift[pick],
    )


def hysteresis_kg(temperature_degc: F64, values_kg: F64) -> float:
    """Return the widest gap between what is read on the way up and on the way down, at like temperatures.

    `temperature_degc` goes up once and down once. Means over bins of 5 °C.
    """
    rising = np.arange(len(temperature_degc)) <= int(np.argmax(temperature_degc))
    bins = np.floor(temperature_degc / 5.0)
    gaps = []
    for number in np.unique(bins):
        up, down = values_kg[(bins == number) & rising], values_kg[(bins == number) & ~rising]
        if len(up) > 2 and len(down) > 2:
            gaps.append(abs(float(up.mean() - down.mean())))
    return max(gaps)


def _lagged(values: F64, lag_s: float, step_s: float) -> F64:
    share = float(-np.expm1(-step_s / lag_s))
    out = np.empty_like(values)
    state = float(values[0])
    for i, value in enumerate(values.tolist()):
        state += share * (value - state)
        out[i] = state
    return out


def _play(values: F64, width: float) -> F64:
    """Follow `values` with a backlash of ±width/2 (the play operator of hysteresis models)."""
    out = np.empty_like(values)
    state = float(values[0])
    for i, value in enumerate(values.tolist()):
        state = min(max(state, value - width / 2.0), value + width / 2.0)
        out[i] = state
    return out
