"""How far a certified stream can be trusted, over time: the state that its records carry.

* ``trusted``: inside what the certificate was made for;
* ``degraded``: outside its range of temperature, the temperature not known, the certificate expired, or its
  drift in doubt;
* ``not trusted``: the sensor contradicts what its certificate says of its uncertainty, by far.

States change at samples and are asked for before a time, so neither how samples are cut nor which stream
came first can change an answer.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

from agent.timebase import TimeMark, TimeQuality
from calibration.certificate import Certificate
from calibration.thermal_tracking import Trust

NS_PER_DAY = 86_400_000_000_000
WARN_DAYS = 30
HYSTERESIS_DEGC = 0.5  # a thermometer's noise must not make a state flicker
_RANK = {Trust.TRUSTED: 0, Trust.DEGRADED: 1, Trust.NOT_TRUSTED: 2}


def worst(states: Iterable[Trust]) -> Trust:
    """Return the worst of `states`; trusted where there are none."""
    return max(states, key=_RANK.__getitem__, default=Trust.TRUSTED)


class Timeline:
    """The states of one stream, each from a sample's time on; trusted before the first."""

    def __init__(self) -> None:
        self._from_ns: list[int] = []
        self._states: list[Trust] = []
        self.changes = 0
        self.reason = ""
        """Why the present state is not "trusted", in words."""

    @property
    def state(self) -> Trust:
        """The present one."""
        return self._states[-1] if self._states else Trust.TRUSTED

    def set(self, time_ns: int, state: Trust, reason: str) -> None:
        """From the sample of `time_ns` on it is `state`."""
        self.reason = reason
        if state is not self.state:
            self._from_ns.append(time_ns)
            self._states.append(state)
            self.changes += 1

    def before(self, time_ns: int) -> Trust:
        """Return the state that holds right before `time_ns`."""
        i = bisect_left(self._from_ns, time_ns)
        return self._states[i - 1] if i else Trust.TRUSTED

    def worst_within(self, start_ns: int, end_ns: int) -> Trust:
        """Return the worst of start_ns ≤ time < end_ns."""
        first, last = bisect_left(self._from_ns, start_ns), bisect_left(self._from_ns, end_ns)
        return worst([self.before(start_ns + 1), *self._states[first:last]])

    def forget_before(self, time_ns: int) -> None:
        """Drop the states that were over at `time_ns`."""
        keep = max(0, bisect_left(self._from_ns, time_ns) - 1)
        del self._from_ns[:keep], self._states[:keep]

    def __len__(self) -> int:
        return len(self._from_ns)


class TemperatureRange:
    """Whether the sensor is as warm as its certificate asks for. `stale_ns`: older is not known."""

    def __init__(self, certificate: Certificate, stale_ns: int) -> None:
        term = certificate.temperature
        parts = (certificate,) if term is None else (certificate, term)
        lows = [part.low_degc for part in parts if part.low_degc is not None]
        highs = [part.high_degc for part in parts if part.high_degc is not None]
        # a session's own range, and that over which its drift is known besides
        self._low, self._high = min(lows, default=None), max(highs, default=None)
        self.needed = term is not None or self._low is not None or self._high is not None
        self._stale_ns = stale_ns
        self._outside = False

    def why_not(self, sensor_degc: float | None, age_ns: int) -> str:
        """Return what is against it; empty where nothing is. `age_ns`: of the temperature, or of the wait."""
        if not self.needed:
            return ""
        if sensor_degc is None or age_ns > self._stale_ns:
            return "" if age_ns <= self._stale_ns else "its temperature is not known"
        margin = HYSTERESIS_DEGC if self._outside else 0.0
        below = self._low is not None and sensor_degc < self._low + margin
        above = self._high is not None and sensor_degc > self._high - margin
        self._outside = below or above
        if not self._outside:
            return ""
        limits = f"{_number(self._low)} to {_number(self._high)} °C"
        return f"at {sensor_degc:.1f} °C it is outside of {limits}, for which the certificate holds"


def _number(value: float | None) -> str:
    return "any" if value is None else f"{value:g}"


def expired(certificate: Certificate, time_ns: int, mark: TimeMark) -> bool:
    """Return whether it had run out at box time `time_ns`; a clock that was never set proves nothing."""
    until_ns = certificate.valid_until_ns
    return (
        until_ns is not None
        and mark.quality is not TimeQuality.UNSET
        and time_ns + mark.offset_ns >= until_ns
    )


def days_left(certificate: Certificate, wall_ns: int) -> int | None:
    """Return the whole days until it expires, negative afterwards; None where it never does."""
    until_ns = certificate.valid_until_ns
    return None if until_ns is None else (until_ns - wall_ns) // NS_PER_DAY


def expiry_words(certificate: Certificate, wall_ns: int) -> str:
    """Return a warning where it expires within `WARN_DAYS` or has expired; else nothing."""
    left = days_left(certificate, wall_ns)
    if left is None or left > WARN_DAYS:
        return ""
    until = certificate.valid_until
    if left < 0:
        return f"certificate {certificate.hash} for {certificate.stream} expired: it was valid until {until}"
    days = "day" if left == 1 else "days"
    return f"certificate {certificate.hash} for {certificate.stream} expires in {left} {days}, on {until}"
