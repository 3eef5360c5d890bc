"""Drop: free fall, and the height that it implies.

A falling box weighs nothing: its specific force is near zero in every direction, whatever its
attitude, so no mounting need be known. Below half of gravity for 150 ms means at least 11 cm of fall,
which no suspension gives. The height is that of a fall from rest, h = g·t²/2.

What bounces within the settling time belongs to the drop that it bounced from.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import msgspec
import numpy as np
import numpy.typing as npt

from agent.blocks import NS_PER_S, Quality, SiBlock
from agent.detection.falls import Falls
from agent.detection.finding import EventType, Finding, Value
from agent.ranges import NotNegative, Part, Positive
from agent.records import Phase, Severity

GRAVITY_MPS2 = 9.80665  # standard gravity, CGPM 1901
SAMPLES_A_FALL = 4  # fewer in the shortest fall, and its length is a guess


class DropSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Levels are of the magnitude of specific force."""

    enabled: bool = True
    below_mps2: Positive = 0.5 * GRAVITY_MPS2
    deep_mps2: Positive = 0.3 * GRAVITY_MPS2
    deep_part: Part = 0.7
    """So much of a fall is this deep: weightless from the release on, but for the sensor's bias and some
    spin. A box that is shaken by hand or hops over a hump sinks to its lightest and comes back."""
    min_fall_s: Positive = 0.15
    sure_fall_s: Positive = 0.30
    """A fall of this length need not be deep: it is 44 cm, and a box may spin."""
    max_fall_s: Positive = 1.5
    """Longer is no fall (11 m) but a sensor that gives zeros."""
    bridge_s: NotNegative = 0.005
    bridge_mps2: Positive = 1.2 * GRAVITY_MPS2
    """An interruption this short, with no impact in it, does not end a fall (1 kHz and faster)."""
    rebound_s: NotNegative = 0.06
    settle_s: Positive = 0.6
    major_height_m: Positive = 0.25
    critical_height_m: Positive = 0.8


@dataclass(slots=True)
class _Run:
    """A time of lightness that may be, or is, a fall."""

    start_ns: int
    last_ns: int
    period_ns: int
    samples: int = 0
    deep: int = 0

    @property
    def fall_ns(self) -> int:
        # n samples below, one period apart, were below for n periods on average
        return self.last_ns - self.start_ns + self.period_ns


@dataclass(slots=True)
class _Event:
    number: int
    start_ns: int
    falls_ns: list[int] = field(default_factory=list)
    end_ns: int = 0
    peak_squared: float = 0.0
    saturated: bool = False


class DropDetector:
    """Watches one accelerometer stream. `falls`: where it says when a drop is known."""

    def __init__(self, settings: DropSettings, falls: Falls | None = None, stream: str = "accel") -> None:
        self.streams: tuple[str, ...] = (stream,)
        self._falls = falls or Falls()
        self._settings = settings
        self._below_squared = np.float32(settings.below_mps2**2)
        self._deep_squared = np.float32(settings.deep_mps2**2)
        self._min_ns = round(settings.min_fall_s * NS_PER_S)
        self._sure_ns = round(settings.sure_fall_s * NS_PER_S)
        self._max_ns = round(settings.max_fall_s * NS_PER_S)
        self._bridge_ns = round(settings.bridge_s * NS_PER_S)
        self._bridge_squared = np.float32(settings.bridge_mps2**2)
        self._rebound_ns = round(settings.rebound_s * NS_PER_S)
        self._settle_ns = round(settings.settle_s * NS_PER_S)
        self._run: _Run | None = None
        self._event: _Event | None = None
        self._stuck = False
        self._count = 0
        self._too_slow_ns = 0
        self._last_ns = 0

    def notes(self) -> Sequence[str]:
        """Say whether parts of the data were sampled too slowly to see a fall."""
        if not self._too_slow_ns:
            return ()
        return (
            f"drop: {self._too_slow_ns / NS_PER_S:.0f} s of {self.streams[0]} were sampled too slowly "
            f"to see a fall of {self._settings.min_fall_s} s",
        )

    def advance(self, horizon_ns: int) -> Sequence[Finding]:
        """Samples decide a drop; time alone does not."""
        return ()

    def feed(self, block: SiBlock) -> Sequence[Finding]:
        """Take samples; return starts (the fall is sure) and ends (it has settled)."""
        if block.period_ns * SAMPLES_A_FALL > self._min_ns:
            self._too_slow_ns += len(block) * block.period_ns
            return self._interrupted(int(block.times_ns[0]))
        found: list[Finding] = []
        v = block.values
        squared = v[:, 0] * v[:, 0] + v[:, 1] * v[:, 1] + v[:, 2] * v[:, 2]
        below = squared < self._below_squared
        before_ns, self._last_ns = self._last_ns, int(block.times_ns[-1])
        if self._run is None and self._event is None and not below.any():
            self._stuck = False
            return found
        pauses = self._pauses(block, before_ns)
        for begin, end in itertools.pairwise((*sorted({0, *pauses}), len(block))):
            if begin in pauses:
                found.extend(self._interrupted(int(block.times_ns[begin])))
            for light, first, last in _segments(below[begin:end]):
                judge = self._light if light else self._heavy
                found.extend(judge(block, squared, begin + first, begin + last))
        return found

    def _pauses(self, block: SiBlock, before_ns: int) -> list[int]:
        """Return the positions before which so much is missing that a fall is not known to go on."""
        steps_ns = np.diff(block.times_ns, prepend=before_ns)
        return np.flatnonzero(steps_ns > self._bridge_ns + 2 * block.period_ns).tolist()

    def _interrupted(self, time_ns: int) -> list[Finding]:
        """Samples before `time_ns` are missing: what was falling is not known to fall still."""
        run, event = self._run, self._event
        self._run = None
        if event is None:
            return []
        if run is not None and (not event.falls_ns or run.fall_ns >= self._rebound_ns):
            event.falls_ns.append(run.fall_ns)
            event.end_ns = run.last_ns + run.period_ns
        return [self._finish(time_ns)]

    def _light(
        self, block: SiBlock, squared: npt.NDArray[np.float32], begin: int, end: int
    ) -> Iterator[Finding]:
        if self._stuck:
            return
        times = block.times_ns[begin:end]
        deep = squared[begin:end] < self._deep_squared
        run = self._run
        if run is None:
            run = self._run = _Run(int(times[0]), int(times[0]), block.period_ns)
        if self._event is None:
            s = self._settings
            span = times - run.start_ns + block.period_ns
            deep_so_far = run.deep + np.cumsum(deep)
            so_far = run.samples + np.arange(1, len(times) + 1)
            sure = (span >= self._min_ns) & (deep_so_far >= s.deep_part * so_far) | (span >= self._sure_ns)
            if sure.any():
                decided = int(np.argmax(sure))
                self._count += 1
                self._event = _Event(self._count, run.start_ns)
                self._falls.known(int(times[decided]))
                yield self._finding(
                    int(times[decided]), Phase.START, Severity.MAJOR, fall_ns=int(span[decided]), end_ns=None
                )
        run.samples += len(times)
        run.deep += int(np.count_nonzero(deep))
        run.last_ns = int(times[-1])
        if run.fall_ns > self._max_ns:
            limit = run.start_ns + self._max_ns - block.period_ns
            decided_ns = int(times[int(np.searchsorted(times, limit, side="right"))])
            self._run, self._stuck = None, True
            if self._event is not None:
                self._event.end_ns = decided_ns
                self._event.falls_ns.append(self._max_ns)
                yield self._finish(decided_ns, implausible=True)

    def _heavy(
        self, block: SiBlock, squared: npt.NDArray[np.float32], begin: int, end: int
    ) -> Iterator[Finding]:
        self._stuck = False
        times = block.times_ns[begin:end]
        run, event = self._run, self._event
        closed = 0  # position from which the lightness is known to be over
        if run is not None:
            # over when it has been heavy for longer than the bridge, or hit something
            over = (times > run.last_ns + self._bridge_ns) | (squared[begin:end] > self._bridge_squared)
            closed = int(np.argmax(over)) if over.any() else len(times)
            if closed < len(times):
                self._run = None
                shortest_ns = self._rebound_ns if event is not None and event.falls_ns else 0
                if event is not None and run.fall_ns >= shortest_ns:
                    event.falls_ns.append(run.fall_ns)
                    event.end_ns = run.last_ns + run.period_ns
        if event is None:
            return
        settled = len(times)
        if self._run is None:
            settled = max(closed, int(np.searchsorted(times, event.end_ns + self._settle_ns, side="left")))
        watched = slice(begin, min(end, begin + settled))
        event.peak_squared = max(event.peak_squared, float(squared[watched].max(initial=0.0)))
        if block.quality is not None:
            event.saturated |= bool((block.quality[watched] & Quality.SATURATED).any())
        if settled < len(times):
            yield self._finish(int(times[settled]))

    def _finish(self, decided_ns: int, *, implausible: bool = False) -> Finding:
        event = self._event
        assert event is not None
        self._falls.over(decided_ns)
        fall_ns = max(event.falls_ns, default=0)
        height_m = _height_m(fall_ns)
        severity = Severity.GENERAL
        if height_m >= self._settings.major_height_m:
            severity = Severity.MAJOR
        if height_m >= self._settings.critical_height_m:
            severity = Severity.CRITICAL
        if implausible:
            severity = Severity.MINOR
        finding = self._finding(decided_ns, Phase.END, severity, fall_ns=fall_ns, end_ns=event.end_ns)
        values: dict[str, Value] = dict(finding.values)
        values["peak_mps2"] = round(float(np.sqrt(event.peak_squared)), 1)
        if event.saturated:
            values["peak_saturated"] = True
        if len(event.falls_ns) > 1:
            values["rebounds"] = len(event.falls_ns) - 1
        if implausible:
            values["implausible"] = True
        self._event = None
        return replace(finding, values=values)

    def _finding(
        self, decided_ns: int, phase: Phase, severity: Severity, *, fall_ns: int, end_ns: int | None
    ) -> Finding:
        event = self._event
        assert event is not None
        return Finding(
            decided_ns=decided_ns,
            type=EventType.DROP,
            number=event.number,
            phase=phase,
            start_ns=event.start_ns,
            end_ns=end_ns,
            severity=severity,
            values={"fall_s": round(fall_ns / NS_PER_S, 3), "height_m": round(_height_m(fall_ns), 2)},
            streams=self.streams,
        )


def _height_m(fall_ns: int) -> float:
    """Height of a fall from rest of this duration."""
    return 0.5 * GRAVITY_MPS2 * (fall_ns / NS_PER_S) ** 2


def _segments(mask: npt.NDArray[np.bool_]) -> Iterator[tuple[bool, int, int]]:
    """Yield (value, begin, end) of each run of equal values."""
    edges = [0, *(np.flatnonzero(mask[1:] != mask[:-1]) + 1).tolist(), len(mask)]
    for begin, end in itertools.pairwise(edges):
        yield bool(mask[begin]), begin, end
