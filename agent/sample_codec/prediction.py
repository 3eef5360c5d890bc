"""What the next sample will be, learnt from the samples before it by both sides alike.

Linear prediction from the axis's own past, from the recent past of the other axes, and from those of them
that are already known of the same instant. The coefficients are not sent: block by block both sides fit them
anew to all that is known so far (backward adaptation, ITU-T G.728; by least squares as in T. Wu, "OLS" of
G. Ulacha and R. Stasinski, doi:10.1515/eletel-2015-0029), as a Bayesian would, beginning with "as the sample
before" and trusting far lags less (the Minnesota prior of R. Litterman, 1986). So a piece of 50 samples pays
for no coefficients, and one of 10,000 has many.

Both sides must find the very same coefficients on any machine. Sums of products are whole numbers below
2^53, hence exact in whatever order a library adds them; the solver uses elementwise +, -, *, / only; and
coefficients are rounded to 2^-14 before they predict.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

COEFFICIENT_BITS = 14
_MOST_COEFFICIENT = float(8 << COEFFICIENT_BITS)
VALUE_BITS = 27  # of a sample from its offset: with 64 coefficients of 17 bits, sums stay below 2^53
FIT_BITS = 18  # in fitting: squares of 32,768 samples stay below 2^53
MOST_ROWS = 1 << 15
MOST_LINKED_AXES = 6  # more axes are predicted each by itself
_PRIOR = 0.5  # weight of the prior: of so many samples with one spread for a value
_FIRST_FIT, _LONGEST_BLOCK = 6, 128

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Order:
    """``own``: samples of the same axis; ``cross``: of each other axis, besides the same instant's."""

    own: int
    cross: int


ORDERS = (Order(2, 1), Order(8, 2), Order(16, 4), Order(32, 4))


def fit_rows(rows: int) -> list[int]:
    """Return at which rows the coefficients are fitted anew; ends with `rows`."""
    at, fits = _FIRST_FIT, []
    while at < rows:
        fits.append(at)
        at += min(_LONGEST_BLOCK, at // 5 + 3)
    return [*fits, rows]


class Predictor:
    """The coefficients for `axes` axes, from what is known so far.

    ``spread``: (axes,) a magnitude of each axis's differences, as all were told.
    ``weights``: (axes, reach) float64 whole numbers in 2^-14: sample (t, a) is predicted by the product
    with the `reach` numbers before it, where samples lie as t * axes + a.
    """

    def __init__(self, axes: int, order: Order, spread: Floats) -> None:
        linked = axes if axes <= MOST_LINKED_AXES else 1
        cross = order.cross if linked > 1 else 0
        self.reach = max(order.own, cross) * axes + axes - 1
        columns, lags, absent, sources = [], [], [], []
        for axis in range(axes):
            before = [lag * axes for lag in range(1, order.own + 1)]
            far = [float(lag) for lag in range(1, order.own + 1)]
            gone = [False] * order.own
            source = [axis] * order.own
            for other in range(axes) if linked > 1 else ():
                if other == axis:
                    continue
                for lag in range(cross + 1):
                    ahead = lag * axes + axis - other  # how many numbers before it
                    before.append(max(ahead, 1))
                    far.append(float(max(lag, 1)))
                    gone.append(ahead < 1)
                    source.append(other)
            columns.append([self.reach - number for number in before])
            lags.append(far)
            absent.append(gone)
            sources.append(source)
        self._columns = np.array(columns)
        self._absent = np.array(absent)
        size = self._columns.shape[1]
        penalty = _PRIOR * np.array(lags) * spread[np.array(sources)] * spread[np.array(sources)]
        self._gram = np.zeros((axes, size, size))
        self._gram[:, np.arange(size), np.arange(size)] = penalty
        self._moment = np.zeros((axes, size))
        self._moment[:, 0] = penalty[:, 0]  # the prior: as the sample before
        self._axes = axes
        self.weights = np.zeros((axes, self.reach))
        self._spread_out(np.eye(1, size).repeat(axes, axis=0))

    def learn(self, windows: Floats, rows: slice, values: Floats, damping: Floats) -> None:
        """Fit anew: `windows` (n * axes, reach), `values` (n * axes,) as fitted, of which `rows` are new."""
        for axis in range(self._axes):
            here = slice(rows.start * self._axes + axis, rows.stop * self._axes, self._axes)
            known = windows[here][:, self._columns[axis]]
            known[:, self._absent[axis]] = 0.0
            known = np.floor(known * damping[:, axis, None])
            self._gram[axis] += known.T @ known
            self._moment[axis] += np.floor(values[here] * damping[:, axis]) @ known
        self._spread_out(_solve(self._gram, self._moment))

    def _spread_out(self, solution: Floats) -> None:
        whole = np.rint(solution * (1 << COEFFICIENT_BITS))
        whole = np.clip(np.nan_to_num(whole), -_MOST_COEFFICIENT, _MOST_COEFFICIENT)
        whole[self._absent] = 0.0
        self.weights[:] = 0.0
        for axis in range(self._axes):
            self.weights[axis, self._columns[axis][~self._absent[axis]]] = whole[axis][~self._absent[axis]]


def _solve(gram: Floats, moment: Floats) -> Floats:
    """Solve the positive definite systems (axes, k, k) for (axes, k) by Gauss's elimination."""
    left = np.concatenate([gram, moment[:, :, None]], axis=2)
    size = gram.shape[1]
    for i in range(size - 1):
        factor = left[:, i + 1 :, i] / left[:, i, i, None]
        left[:, i + 1 :, i + 1 :] -= factor[:, :, None] * left[:, i, None, i + 1 :]
    solution = left[:, :, size].copy()
    for i in range(size - 1, -1, -1):
        solution[:, i] /= left[:, i, i]
        solution[:, :i] -= left[:, :i, i] * solution[:, i, None]
    return solution
