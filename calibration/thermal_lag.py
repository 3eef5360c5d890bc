"""The temperature of a sensor, which follows that of the thermometer beside it with a lag.

``T_c' = (T − T_c)/lag``: a body of one heat capacity behind one thermal resistance (Newton's law of cooling).
Its rate of change, (T − T_c)/lag, is the gradient that makes a load cell read differently while it warms and
while it cools: a heat flow bends the spring element and parts its gauges' temperatures. It needs no
difference of noisy readings.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
# Beyond these no thermometer of a box measures: -127 °C is what a DS18B20's driver says when it is unplugged.
COLDEST_DEGC, HOTTEST_DEGC = -100.0, 150.0


def is_measured(temperature_degc: float) -> bool:
    """Whether a thermometer can have measured that; NaN and what stands for "no answer" was not."""
    return COLDEST_DEGC <= temperature_degc <= HOTTEST_DEGC


class LaggedTemperature:
    """T_c and dT_c/dt, sample by sample; exact for a temperature that holds between samples.

    ``lag_s`` 0: T_c is the temperature itself, and the rate 0.
    """

    def __init__(self, lag_s: float) -> None:
        self.lag_s = lag_s
        self._lagged_degc: float | None = None
        self._input_degc: float | None = None

    @property
    def input_degc(self) -> float | None:
        """The last temperature given; None before the first."""
        return self._input_degc

    def step(self, dt_s: float, temperature_degc: float) -> tuple[float, float]:
        """Go on by `dt_s`, at the end of which `temperature_degc` is measured: (T_c °C, dT_c/dt °C/s).

        What was measured before held until then. The first sample sets T_c, since nothing tells how warm the
        sensor was before. A `dt_s` that is not positive changes only what holds from now on.
        """
        held, lagged = self._input_degc, self._lagged_degc
        self._input_degc = temperature_degc
        if held is None or lagged is None or self.lag_s <= 0.0:
            self._lagged_degc = temperature_degc
            return temperature_degc, 0.0
        if dt_s > 0.0:
            lagged = held + (lagged - held) * math.exp(-dt_s / self.lag_s)
        self._lagged_degc = lagged
        return lagged, (temperature_degc - lagged) / self.lag_s


def lagged_temperature(t_s: F64, temperature_degc: F64, lag_s: float) -> tuple[F64, F64]:
    """Return T_c and dT_c/dt, (n,) each, of a whole record, as `LaggedTemperature` gives them by samples."""
    tracker = LaggedTemperature(lag_s)
    steps_s = np.diff(t_s, prepend=t_s[:1])
    pairs = [
        tracker.step(dt, degc) for dt, degc in zip(steps_s.tolist(), temperature_degc.tolist(), strict=True)
    ]
    both = np.array(pairs, np.float64).reshape(-1, 2)
    return both[:, 0], both[:, 1]
