"""One low-pass for streams of different rates: a smooth kernel, read off at common points of time.

The kernel is cos⁴ of `SUPPORT_S`: −3 dB at 1.9 Hz, nothing but side lobes under −47 dB beyond 6 Hz, a
fifth of the 30 Hz at which a platform on load cells swings (its own deflection at full load, 0.3 mm, says so:
√(g/δ)/2π). Each sample weighs by its own time, so that streams of different rates, with clocks that do
not fit each other, come out alike: F. J. Harris, Proc. IEEE 66 (1978) 51 (the window), E. A. Nadaraya,
Theory Probab. Appl. 9 (1964) 141 (the weighted mean).

A window of one second has `POINTS` points, whose kernels end where the window does: nothing outside it
has a say in what is found of it.

The kernel is a sum of three cosines, and begins and ends on a grid of `STEP_S`. So a sample is multiplied by
five numbers, once, and all points, and their derivatives, come of the sums over the steps.
"""

from __future__ import annotations

import math

import numpy as np

from agent.features.table import F64, I64

WINDOW_S = 1.0
SUPPORT_S = 0.5
STEP_S = 0.05
POINTS = round((WINDOW_S - SUPPORT_S) / STEP_S) + 1
POINTS_S: F64 = SUPPORT_S / 2 + STEP_S * np.arange(POINTS, dtype=np.float64)
STEPS = round(WINDOW_S / STEP_S)
_OMEGA = 2 * math.pi / SUPPORT_S
_COS1, _SIN1 = np.cos(_OMEGA * POINTS_S), np.sin(_OMEGA * POINTS_S)
_COS2, _SIN2 = np.cos(2 * _OMEGA * POINTS_S), np.sin(2 * _OMEGA * POINTS_S)


def lowpassed(
    windows: int, step: I64, times_s: F64, counts: F64, values: list[F64], *, orders: int = 0
) -> list[list[F64]]:
    """Return the `values` of windows at the points, then their derivatives by time, up to the third.

    ``step``: (n,), rising: the window of each sample × `STEPS` + the step in it; ``times_s``: (n,) from its
    window's start; ``counts``: (n,) what each counts for; ``values``: an array (n,) a signal. Returned is a
    list an order, with an array (windows, points) a signal, in units of the values, and of these a second, a
    second squared, and so on.
    """
    first = _OMEGA * times_s
    waves = (None, np.cos(first), np.sin(first), np.cos(2 * first), np.sin(2 * first))
    starts = np.flatnonzero(np.concatenate(([True], step[1:] != step[:-1])))
    places = step[starts]
    sums = np.zeros((1 + len(values), len(waves), windows * STEPS))
    for i, weighted in enumerate([counts, *(counts * row for row in values)]):
        for j, wave in enumerate(waves):
            column = weighted if wave is None else weighted * wave
            sums[i, j, places] = np.add.reduceat(column, starts)
    plain, *signals = _over_kernels(sums.reshape(*sums.shape[:2], windows, STEPS))
    whole = _value(plain)
    with np.errstate(invalid="ignore", divide="ignore"):
        smooth = [_value(signal) / whole for signal in signals]
        out = [smooth]
        for derivative in (_first, _second, _third)[:orders]:
            # about the value itself: on samples the sum of a derivative's weights is not quite nothing
            own = derivative(plain)
            pairs = zip(signals, smooth, strict=True)
            out.append([(derivative(signal) - value * own) / whole for signal, value in pairs])
    return out


def _over_kernels(sums: F64) -> F64:
    """Sums over the steps that the kernel of each point covers: (…, steps) to (…, points)."""
    two = sums[..., :-1] + sums[..., 1:]
    four = two[..., :-2] + two[..., 2:]
    eight = four[..., :-4] + four[..., 4:]
    return np.asarray(eight[..., :POINTS] + two[..., 8 : 8 + POINTS])


# The kernel is (1 + cos ω·d)², d from the point to the sample, written out; and its derivatives by the point.
def _value(sums: F64) -> F64:
    ones, cos1, sin1, cos2, sin2 = sums
    out: F64 = 1.5 * ones + 2.0 * (_COS1 * cos1 + _SIN1 * sin1) + 0.5 * (_COS2 * cos2 + _SIN2 * sin2)
    return out


def _first(sums: F64) -> F64:
    _, cos1, sin1, cos2, sin2 = sums
    out: F64 = -2 * _OMEGA * (_SIN1 * cos1 - _COS1 * sin1) - _OMEGA * (_SIN2 * cos2 - _COS2 * sin2)
    return out


def _second(sums: F64) -> F64:
    _, cos1, sin1, cos2, sin2 = sums
    out: F64 = -2 * _OMEGA**2 * (_COS1 * cos1 + _SIN1 * sin1 + _COS2 * cos2 + _SIN2 * sin2)
    return out


def _third(sums: F64) -> F64:
    _, cos1, sin1, cos2, sin2 = sums
    out: F64 = 2 * _OMEGA**3 * (_SIN1 * cos1 - _COS1 * sin1) + 4 * _OMEGA**3 * (_SIN2 * cos2 - _COS2 * sin2)
    return out


def _likeness() -> F64:
    """How alike white noise is at two points, after the low-pass: (points, points), 1 on the diagonal."""
    fine_s = np.arange(0.0, WINDOW_S, 0.0025)
    distance = POINTS_S[:, None] - fine_s[None, :]
    kernel = np.where(np.abs(distance) < SUPPORT_S / 2, (1 + np.cos(_OMEGA * distance)) ** 2, 0.0)
    rows = [[float(np.add.reduce(a * b)) for b in kernel] for a in kernel]
    likeness = np.array(rows)
    return np.asarray(likeness / likeness[POINTS // 2, POINTS // 2], dtype=np.float64)


LIKENESS = _likeness()
