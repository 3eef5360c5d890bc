"""The part of a certificate that every fit gives alike: gain and bias as rows, method, budget, temperatures.

What the mathematics cannot know (who made it, from which file, until when it holds) is added by whoever
keeps it.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from calibration.certificate import Certificate, UncertaintyTerm

F64 = npt.NDArray[np.float64]


class Fit(Protocol):
    """true = gain · (measured − bias)."""

    @property
    def gain(self) -> F64:
        """(axes, axes)."""

    @property
    def bias(self) -> F64:
        """(axes,)."""


def certificate_of(
    fit: Fit,
    *,
    stream: str,
    unit: str,
    method: str,
    uncertainty: tuple[UncertaintyTerm, ...],
    standard_uncertainty: float,
    made_at: str,
    low_degc: float | None = None,
    high_degc: float | None = None,
) -> Certificate:
    """Return the certificate of a fit, to which the caller adds what only its kind of sensor has."""
    return Certificate(
        stream=stream,
        unit=unit,
        gain=tuple(tuple(float(value) for value in row) for row in fit.gain),
        bias=tuple(float(value) for value in fit.bias),
        method=method,
        uncertainty=uncertainty,
        standard_uncertainty=standard_uncertainty,
        low_degc=low_degc,
        high_degc=high_degc,
        made_at=made_at,
    )
