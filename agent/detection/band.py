"""A slow value that leaves its band for longer than it may, or changes faster: temperature, humidity.

What counts is the band, the time outside, and the farthest value; a mean over the trip, such as the mean
kinetic temperature, never clears an excursion. Brief ones are general, longer ones major, far ones critical.
Values that are no measurement (`plausible.py`) neither begin nor end anything.

The default times are no whole seconds: with samples one second apart, a hair of the clock would decide at
which it begins.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from agent.blocks import NS_PER_S, SiBlock
from agent.detection.finding import EventType, Finding, Value
from agent.detection.hold import Hold, Turn
from agent.detection.plausible import Limits, Plausible
from agent.detection.track import LASTING_S, Track
from agent.records import Severity

NO_LIMIT = 1.0e9
MILLIONTHS = 1_000_000


@dataclass(frozen=True, slots=True)
class Band:
    """A band of a slow value; ``unit`` and ``rate_unit`` end the names of the figures that are said of it."""

    low: float | None
    high: float | None
    hysteresis: float
    hold_s: float
    major_after_s: float
    critical_after_s: float
    release_s: float
    critical_beyond: float
    rate_per_min: float | None
    rate_window_s: float
    cool_down_s: float
    unit: str
    rate_unit: str
    limits: Limits
    freezing: float | None = None
    """At or below this it is critical, however near the band's edge."""

    @property
    def lowest(self) -> float | None:
        """The lower limit: the band's, or else where it freezes."""
        return self.low if self.low is not None else self.freezing


class BandDetector:
    """Watches one axis of a slow stream."""

    def __init__(self, settings: Band, event_type: EventType, stream: str) -> None:
        self.streams: tuple[str, ...] = (stream,)
        self._type = event_type
        self._settings = settings
        self._hold = Hold(round(settings.hold_s * NS_PER_S), round(settings.release_s * NS_PER_S))
        self._critical = Hold(round(settings.critical_after_s * NS_PER_S), 0)
        self._plausible = Plausible(settings.limits)
        self._rate = _Rate(settings.rate_window_s) if settings.rate_per_min is not None else None
        self._track = Track(event_type, self.streams, update_s=LASTING_S, cool_down_s=settings.cool_down_s)
        self._major_ns = round(settings.major_after_s * NS_PER_S)
        self._farthest = 0.0
        self._outside_ns: int | None = None
        self._fastest = 0.0

    @property
    def _watches(self) -> bool:
        s = self._settings
        return not (s.lowest is None and s.high is None and s.rate_per_min is None)

    def notes(self) -> Sequence[str]:
        """Say that there is no band, where there is none; and what was no measurement."""
        unit, said = self._settings.unit, []
        if not self._watches:
            keys = f"low_{unit} or high_{unit}"
            said.append(f"{self._type}: not watched: no band set; set [detect.{self._type}] {keys}")
        elif self._settings.high is None and self._settings.rate_per_min is None:
            said.append(f"{self._type}: no upper limit set; set [detect.{self._type}] high_{unit}")
        if self._plausible.refused:
            said.append(f"{self._type}: {self._plausible.refused} values were no measurement, and left out")
        return said

    def advance(self, horizon_ns: int) -> Sequence[Finding]:
        """Samples decide."""
        return ()

    def feed(self, block: SiBlock) -> Sequence[Finding]:
        """Judge each sample."""
        found: list[Finding] = []
        for time_ns, value in zip(block.times_ns.tolist(), block.values[:, 0].tolist(), strict=True):
            if self._plausible.step(time_ns, value) and self._watches:
                finding = self._judge(time_ns, value)
                if finding is not None:
                    found.append(finding)
        return found

    def _judge(self, time_ns: int, value: float) -> Finding | None:
        s = self._settings
        beyond = self._beyond(value)
        rate = self._rate.step(time_ns, value) if self._rate is not None else 0.0
        fast = s.rate_per_min is not None and abs(rate) > s.rate_per_min
        calm = s.rate_per_min is None or abs(rate) < 0.7 * s.rate_per_min
        turn = self._hold.step(time_ns, on=beyond > 0 or fast, off=beyond < -s.hysteresis and calm)
        far = beyond >= s.critical_beyond or (s.freezing is not None and value <= s.freezing)
        self._critical.step(time_ns, on=far, off=not far)
        if beyond < -s.hysteresis or (beyond <= 0 and not self._hold.active):
            self._outside_ns = None
        elif beyond > 0 and self._outside_ns is None:
            self._outside_ns = time_ns
        if self._hold.since_ns is None:
            return None
        if self._hold.since_ns == time_ns:
            self._farthest, self._fastest = value, 0.0
        elif beyond > self._beyond(self._farthest):
            self._farthest = value
        if fast and abs(rate) > abs(self._fastest):
            self._fastest = rate
        if turn is Turn.ENDED:
            ended_ns = self._hold.until_ns or time_ns
            self._hold.rearm()
            if not self._track.active:  # held back by the cool-down
                return None
            return self._track.end(time_ns, ended_ns, self._track.severity, self._values(ended_ns))
        if not self._hold.active:
            return None
        severity = self._severity(time_ns)
        if self._track.active:
            return self._track.update(time_ns, severity, self._values(time_ns))
        if not self._track.ready(time_ns):
            return None
        return self._track.start(time_ns, self._hold.since_ns, severity, self._values(time_ns))

    def _severity(self, time_ns: int) -> Severity:
        if self._critical.active:
            return Severity.CRITICAL
        if self._outside_ns is not None and time_ns - self._outside_ns >= self._major_ns:
            return Severity.MAJOR
        return Severity.GENERAL

    def _beyond(self, value: float) -> float:
        """How far outside the band; negative inside, by the distance to the nearer limit."""
        s = self._settings
        sides = [s.lowest - value] if s.lowest is not None else []
        if s.high is not None:
            sides.append(value - s.high)
        return max(sides, default=-NO_LIMIT)

    def _values(self, until_ns: int) -> dict[str, Value]:
        s = self._settings
        limits = {f"low_{s.unit}": s.lowest, f"high_{s.unit}": s.high}
        said: dict[str, Value] = {f"farthest_{s.unit}": round(self._farthest, 2)}
        said |= {k: v for k, v in limits.items() if v is not None}
        if self._fastest:
            said[f"rate_{s.rate_unit}"] = round(self._fastest, 2)
        said["lasted_s"] = round((until_ns - (self._hold.since_ns or self._track.start_ns)) / NS_PER_S, 1)
        return said


class _Rate:
    """Change a minute: the mean of the newer half of a window less that of the older half.

    Sums are carried along in whole nanoseconds and millionths, so that they are exact however long they run.
    """

    def __init__(self, window_s: float) -> None:
        self._window_ns = round(window_s * NS_PER_S)
        self._old, self._new = _Half(), _Half()

    def step(self, time_ns: int, value: float) -> float:
        """Take a value; return the rate, 0 while the window is not full."""
        old, new = self._old, self._new
        new.append(time_ns, round(value * MILLIONTHS))
        while old.pairs and old.pairs[0][0] <= time_ns - self._window_ns:
            old.popleft()
        while not old.pairs and new.pairs[0][0] <= time_ns - self._window_ns:
            new.popleft()
        begin_ns = (old.pairs or new.pairs)[0][0]
        # the middle only moves on: what is in the older half stays there
        while 2 * new.pairs[0][0] < begin_ns + time_ns:
            old.append(*new.popleft())
        if len(old.pairs) + len(new.pairs) < 4 or time_ns - begin_ns < 0.8 * self._window_ns:
            return 0.0
        apart_ns = new.mean_ns() - old.mean_ns()
        return (new.mean() - old.mean()) / MILLIONTHS / (apart_ns / NS_PER_S / 60)


class _Half:
    """Half of a window, with its sums."""

    def __init__(self) -> None:
        self.pairs: deque[tuple[int, int]] = deque()
        self._sum_ns = self._sum = 0

    def append(self, time_ns: int, millionths: int) -> None:
        self.pairs.append((time_ns, millionths))
        self._sum_ns += time_ns
        self._sum += millionths

    def popleft(self) -> tuple[int, int]:
        time_ns, millionths = pair = self.pairs.popleft()
        self._sum_ns -= time_ns
        self._sum -= millionths
        return pair

    def mean_ns(self) -> float:
        return self._sum_ns / len(self.pairs)

    def mean(self) -> float:
        return self._sum / len(self.pairs)
