"""Drop: free fall, and the height that it implies.

A falling box weighs nothing: its specific force is near zero in every direction, whatever its
attitude, so no mounting need be known. Below half of gravity for 180 ms means 16 cm of fall; a hump taken
too fast throws a box for up to 150 ms. It must also be nearly weightless for most of that time, and still
be so: what is shaken by hand or bounces on springs sinks to its lightest and comes back. And what was
pressed down right before, on average of 0.2 s, is thrown and not dropped: it must fly for longer, or land
hard. The height is that of a fall from rest, h = g·t²/2.

A sensor that repeats one sample is stuck, or dead and gives zeros, and proves nothing. But an impact right
after the lightness proves that it was a fall, also of a box that spins or is shaken as it falls. What the
impact was is measured as a shock would be.

What bounces within the settling time belongs to the drop that it bounced from. That a fall is critical is
known a quarter of a second after its alarm, when whoever is to come comes already: its end says so, and a
second alarm of each fall would cost a log of nothing but drops more than it may send.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from agent.blocks import NS_PER_S, Quality, SiBlock
from agent.detection.claims import Claims
from agent.detection.fall import Fall, Lightness, changed_from, implied_height_m
from agent.detection.finding import EventType, Finding, Value
from agent.detection.pulse import squared_size
from agent.detection.sample_detector import SampleDetector
from agent.ranges import NotNegative, Part, Positive
from agent.records import Severity
from calibration.gravity import STANDARD_GRAVITY_MPS2

SAMPLES_A_FALL = 4  # fewer in the shortest fall, and its length is a guess
CHANGES, CHANGED_PART = 3, 0.1  # samples unlike the one before, of a sensor that works: its noise
LANDING_MPS2 = 2.5 * STANDARD_GRAVITY_MPS2
STILL_LANDING_MPS2 = 1.6 * STANDARD_GRAVITY_MPS2  # after no change at all: a dead sensor comes back to rest
LANDING_NS = 30_000_000
PRESSED_MPS2 = 1.25 * STANDARD_GRAVITY_MPS2  # mean of a floor that comes up; a box that is held has 1 g
HELD_MPS2 = 0.5 * STANDARD_GRAVITY_MPS2
BEFORE_NS = 200_000_000


class DropSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Levels are of the magnitude of specific force."""

    enabled: bool = True
    below_mps2: Positive = 0.5 * STANDARD_GRAVITY_MPS2
    deep_mps2: Positive = 0.3 * STANDARD_GRAVITY_MPS2
    deep_part: Part = 0.85
    """So much of a fall is this deep: weightless from the release on, but for the sensor's bias and some
    spin."""
    min_fall_s: Positive = 0.18
    sure_fall_s: Positive = 0.30
    """A fall of this length need not be deep: it is 44 cm, and a box may spin."""
    max_fall_s: Positive = 1.5
    """Longer is no fall (11 m) but a sensor that gives zeros."""
    bridge_s: NotNegative = 0.005
    bridge_mps2: Positive = 1.2 * STANDARD_GRAVITY_MPS2
    """An interruption this short, with no impact in it, does not end a fall (1 kHz and faster)."""
    rebound_s: NotNegative = 0.06
    settle_s: Positive = 0.6
    major_height_m: Positive = 0.12
    """Less than the shortest fall that counts: every fall that is sure is major from its start."""
    critical_height_m: Positive = 0.8


class DropDetector(SampleDetector):
    """Watches one accelerometer stream. `drops`: where it says which are known."""

    def __init__(self, settings: DropSettings, drops: Claims | None = None, stream: str = "accel") -> None:
        super().__init__(EventType.DROP, stream)
        self._drops = drops or Claims()
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
        self._run: Lightness | None = None
        self._landed: Lightness | None = None
        """Light for long enough, but not weightless: an impact right after it would prove a fall."""
        self._event: Fall | None = None
        self._stuck = False
        self._recent: deque[SiBlock] = deque()  # before the newest
        self._newest: SiBlock | None = None
        # the last bit of the root must not miss it
        self._major_ns = (
            math.ceil(math.sqrt(2 * settings.major_height_m / STANDARD_GRAVITY_MPS2) * NS_PER_S) + 1
        )
        self._too_slow_ns = 0

    def notes(self) -> Sequence[str]:
        """Say whether parts of the data were sampled too slowly to see a fall."""
        if not self._too_slow_ns:
            return ()
        return (
            f"drop: {self._too_slow_ns / NS_PER_S:.0f} s of {self.streams[0]} were sampled too slowly "
            f"to see a fall of {self._settings.min_fall_s} s",
        )

    def _take(self, block: SiBlock) -> Sequence[Finding]:
        """Return starts (the fall is sure), updates (it is worse) and ends (it has settled)."""
        if block.period_ns * SAMPLES_A_FALL > self._min_ns:
            self._too_slow_ns += len(block) * block.period_ns
            return self._cut_off(int(block.times_ns[0]))
        found: list[Finding] = []
        self._forget(block)
        squared = squared_size(block)
        below = squared < self._below_squared
        before_ns = self._last_ns
        idle = self._run is None and self._event is None and self._landed is None
        if idle and not below.any():
            self._stuck = False
            return found
        firsts, lasts = self._long_enough(block, np.flatnonzero(below))
        pauses = self._pauses(block, before_ns)
        edges = np.union1d(np.flatnonzero(below[1:] != below[:-1]) + 1, (*pauses, len(block)))
        at = 0
        while at < len(block):
            if idle and not self._stuck:
                which = int(np.searchsorted(lasts, at))
                at = max(at, int(firsts[which])) if which < len(firsts) else len(block)
                if at == len(block):
                    break
            if at in pauses:
                found.extend(self._cut_off(int(block.times_ns[at])))
            end = int(edges[np.searchsorted(edges, at, side="right")])
            judge = self._light if below[at] else self._heavy
            found.extend(judge(block, squared, at, end))
            at = end
            idle = self._run is None and self._event is None and self._landed is None
        return found

    def _forget(self, block: SiBlock) -> None:
        """Keep what came before for as long as somebody may ask for it."""
        recent, oldest_ns = self._recent, int(block.times_ns[0]) - BEFORE_NS - self._max_ns
        if self._newest is not None:
            recent.append(self._newest)
        while recent and int(recent[0].times_ns[-1]) < oldest_ns:
            recent.popleft()
        self._newest = block

    def _long_enough(
        self, block: SiBlock, light: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return first and last position of what may be, or begin, a fall: most is far too short."""
        if not len(light):
            return light, light
        times = block.times_ns[light]
        bridge_ns = self._bridge_ns + 2 * block.period_ns
        breaks = np.flatnonzero(np.diff(times) > bridge_ns)
        first, last = np.concatenate(([0], breaks + 1)), np.concatenate((breaks, [len(light) - 1]))
        lasted_ns = times[last] - times[first] + 2 * block.period_ns
        kept = lasted_ns >= self._min_ns
        kept[-1] |= block.times_ns[-1] - times[-1] <= bridge_ns
        return light[first[kept]], light[last[kept]]

    def _pauses(self, block: SiBlock, before_ns: int) -> list[int]:
        """Return the positions before which so much is missing that a fall is not known to go on."""
        steps_ns = np.diff(block.times_ns, prepend=before_ns)
        return np.flatnonzero(steps_ns > self._bridge_ns + 2 * block.period_ns).tolist()

    def _cut_off(self, decided_ns: int) -> list[Finding]:
        """Samples before `decided_ns` are missing: what was falling is not known to fall still."""
        run, event = self._run, self._event
        self._run = self._landed = None
        if event is None:
            return []
        if run is not None and (not event.falls_ns or run.fall_ns >= self._rebound_ns):
            event.falls_ns.append(run.fall_ns)
            event.end_ns = run.last_ns + run.period_ns
        return [self._finish(decided_ns)]

    def _light(
        self, block: SiBlock, squared: npt.NDArray[np.float32], begin: int, end: int
    ) -> Iterator[Finding]:
        if self._stuck:
            return
        times = block.times_ns[begin:end]
        deep = squared[begin:end] < self._deep_squared
        run = self._run
        if run is None:
            run = self._run = Lightness(int(times[0]), int(times[0]), block.period_ns)
        before = self._event is not None
        changed = changed_from(block.values[begin:end], run.newest)
        run.newest = block.values[end - 1]
        if self._event is None:
            s = self._settings
            span = times - run.start_ns + block.period_ns
            deep_so_far = run.deep + np.cumsum(deep)
            so_far = run.samples + np.arange(1, len(times) + 1)
            likely = (span + block.period_ns // 2 >= self._min_ns) & (deep_so_far >= s.deep_part * so_far)
            moving = run.changes + np.cumsum(changed) >= np.maximum(CHANGES, CHANGED_PART * so_far)
            sure = (likely & deep | (span >= self._sure_ns)) & moving
            if sure.any():
                before_mps2 = self._before_mps2(block, run.start_ns)
                if before_mps2 > PRESSED_MPS2:
                    sure &= span >= self._sure_ns
                sure &= before_mps2 > HELD_MPS2
            if sure.any():
                decided = int(np.argmax(sure))
                yield self._start(int(times[decided]), run.start_ns, int(span[decided]))
        if self._event is not None:
            begun = 0 if before else decided
            yield from self._worse(times[begun:], run)
        run.changes += int(np.count_nonzero(changed))
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

    def _before_mps2(self, block: SiBlock, start_ns: int) -> float:
        """Return the mean magnitude right before a time.

        Springs that throw a box up have pressed it down; a sensor that does not feel gravity (one made for
        vibration) felt nothing then, either.
        """
        blocks = [*self._recent, block]
        times = np.concatenate([b.times_ns for b in blocks])
        sizes = np.concatenate([np.sqrt(squared_size(b)) for b in blocks])
        first, last = np.searchsorted(times, (start_ns - BEFORE_NS, start_ns))
        return float(sizes[first:last].astype(np.float64).mean()) if last > first else 0.0

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
                fell = event is None and self._min_ns <= run.fall_ns <= self._max_ns
                if fell and self._before_mps2(block, run.start_ns) > HELD_MPS2:
                    self._landed = run
                shortest_ns = self._rebound_ns if event is not None and event.falls_ns else 0
                if event is not None and run.fall_ns >= shortest_ns:
                    event.falls_ns.append(run.fall_ns)
                    event.end_ns = run.last_ns + run.period_ns
        if self._landed is not None:
            yield from self._land(block, squared, begin, end)
            event = self._event
        if event is None:
            return
        settled = len(times)
        if self._run is None:
            settled = max(closed, int(np.searchsorted(times, event.end_ns + self._settle_ns, side="left")))
        watched = slice(begin, min(end, begin + settled))
        event.feel(block, squared, watched)
        event.peak_squared = max(event.peak_squared, float(squared[watched].max(initial=0.0)))
        if block.quality is not None:
            event.saturated |= bool((block.quality[watched] & Quality.SATURATED).any())
        if settled < len(times):
            yield self._finish(int(times[settled]))

    def _land(
        self, block: SiBlock, squared: npt.NDArray[np.float32], begin: int, end: int
    ) -> Iterator[Finding]:
        """See whether an impact shows that what was no more than light has fallen."""
        run, times = self._landed, block.times_ns[begin:end]
        assert run is not None
        ended_ns = run.last_ns + run.period_ns
        until_ns = ended_ns + max(LANDING_NS, 2 * run.period_ns)
        still = run.changes < max(CHANGES, CHANGED_PART * run.samples)
        level_mps2 = STILL_LANDING_MPS2 if still else LANDING_MPS2
        hard = (squared[begin:end] > level_mps2**2) & (times <= until_ns)
        if hard.any():
            self._landed = None
            yield self._start(int(times[int(np.argmax(hard))]), run.start_ns, run.fall_ns)
            assert self._event is not None
            self._event.falls_ns.append(run.fall_ns)
            self._event.end_ns = ended_ns
        elif times[-1] > until_ns:
            self._landed = None

    def _start(self, decided_ns: int, start_ns: int, fall_ns: int) -> Finding:
        self._event = Fall(start_ns)
        self._drops.known(decided_ns)
        return self._track.start(decided_ns, start_ns, self._severity(fall_ns), _values(fall_ns))

    def _severity(self, fall_ns: int) -> Severity:
        height_m = implied_height_m(fall_ns)
        if height_m >= self._settings.critical_height_m:
            return Severity.CRITICAL
        return Severity.MAJOR if height_m >= self._settings.major_height_m else Severity.GENERAL

    def _worse(self, times: npt.NDArray[np.int64], run: Lightness) -> Iterator[Finding]:
        """Say so with the sample with which the fall becomes major; that it is critical, its end says."""
        if self._track.severity >= Severity.MAJOR:
            return
        at = int(np.searchsorted(times, run.start_ns + self._major_ns - run.period_ns, side="left"))
        if at < len(times):
            fall_ns = int(times[at]) - run.start_ns + run.period_ns
            update = self._track.update(int(times[at]), self._severity(fall_ns), _values(fall_ns))
            yield from () if update is None else (update,)

    def _finish(self, decided_ns: int, *, implausible: bool = False) -> Finding:
        event = self._event
        assert event is not None
        self._drops.over(decided_ns)
        fall_ns = max(event.falls_ns, default=0)
        severity = Severity.MINOR if implausible else self._severity(fall_ns)
        values = _values(fall_ns)
        values["peak_mps2"] = round(float(np.sqrt(event.peak_squared)), 1)
        event.close()
        if event.impact is not None:
            values["delta_v_mps"] = round(event.impact.delta_v_mps, 2)
            values["duration_s"] = round(event.impact.duration_s, 4)
        if event.saturated:
            values["peak_saturated"] = True
        if len(event.falls_ns) > 1:
            values["rebounds"] = len(event.falls_ns) - 1
        if implausible:
            values["implausible"] = True
        self._event = None
        return self._track.end(decided_ns, event.end_ns, severity, values)


def _values(fall_ns: int) -> dict[str, Value]:
    return {"fall_s": round(fall_ns / NS_PER_S, 3), "height_m": round(implied_height_m(fall_ns), 2)}
