"""One low-pass for streams of different rates: a smooth kernel, read off at common points of time.

The kernel is cos⁴ of `SUPPORT_S`: −3 dB at 1.9 Hz, nothing but side lobes under −47 dB beyond 6 Hz, a
fifth of the 30 Hz at which a platform on load cells swings (its own deflection at full load, 0.3 mm, says so:
√(g/δ)/2π). Each sample weighs by its own time, so that streams of different rates, with clocks that do
not fit each other, come out alike: F. J. Harris, Proc. IEEE 66 (1978) 51 (the window), E. A. Nadaraya,
Theory Probab. Appl. 9 (1964) 141 (the weighted mean).

A window of one second has `POINTS` points, whose kernels end where the window does: nothing outside it
has a say in what is found of it.
"""

from __future__ import annotations

import math

import numpy as np

from agent.hops import F64

WINDOW_S = 1.0
SUPPORT_S = 0.5
STEP_S = 0.05
POINTS = round((WINDOW_S - SUPPORT_S) / STEP_S) + 1
POINTS_S: F64 = SUPPORT_S / 2 + STEP_S * np.arange(POINTS, dtype=np.float64)
_OMEGA = 2 * math.pi / SUPPORT_S


def lowpassed(times_s: F64, counts: F64, values: F64, *, orders: int = 0) -> list[F64]:
    """Return the `values` at the points, then their derivatives by time, up to the third.

    ``times_s``: (n,) from the window's start; ``counts``: (n,) what each counts for; ``values``:
    (signals, n). Each of what is returned is (signals, points), in units of the values, and of these a
    second, a second squared, and so on.
    """
    distance = POINTS_S[:, None] - times_s[None, :]
    inside = np.abs(distance) < SUPPORT_S / 2
    cosine = np.where(inside, np.cos(_OMEGA * distance), -1.0)
    weight = (1 + cosine) * (1 + cosine) * counts
    whole = np.add.reduce(weight, axis=1)
    smooth = np.stack([np.add.reduce(weight * row, axis=1) / whole for row in values])
    out = [smooth]
    if not orders:
        return out
    sine = np.where(inside, np.sin(_OMEGA * distance), 0.0)
    derivatives = (
        -2 * _OMEGA * sine * (1 + cosine),
        -2 * _OMEGA**2 * (1 + cosine) * (2 * cosine - 1),
        2 * _OMEGA**3 * sine * (1 + 4 * cosine),
    )
    # about the value itself: on samples the sum of a derivative's weights is not quite nothing
    about = [counts * (row[None, :] - own[:, None]) for row, own in zip(values, smooth, strict=True)]
    for kernel in derivatives[:orders]:
        out.append(np.stack([np.add.reduce(kernel * row, axis=1) / whole for row in about]))
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
