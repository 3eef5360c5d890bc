"""Harsh braking, acceleration and turning: free of heading and of mounting, from the specific force alone.

Three ways in which a vehicle is driven hard, each by the level force of `level_force`, low-passed at 2 Hz:

* a peak: 0.40 g in two means of 100 ms by direction, confirmed by size. Thresholds in use: braking
  0.38-0.45 g, corners 0.38-0.56 g, both for at least 100 ms;
* a long push: 8.3 m/s (30 km/h) gained in one go at never less than 0.22 g. An engine gives less than brakes
  and tyres do, so thresholds of acceleration in use are 0.25-0.37 g, and it is its length that tells it;
* 0.50 g by size alone, mean of 0.7 s, where the axes are not the box's own: a telephone's "up" follows a long
  bend, so that by direction most of it is lost.

In the box's own axes a long push counts only where it is known to point forward: braking at a brisk 0.3 g for
as long as a red light wants is ordinary driving. What kind it is: a turn where the gyroscope sees the vehicle
turn, or the force is across forward; else braking or acceleration along forward. Until forward is known, it
is the box frame's (x forward, y left, z up: ISO 8855). In axes that do not turn with the vehicle a bend is
told by the force's own turning, a long push without a peak is taken for acceleration, all else for braking.
In both cases ``direction_known`` is false, the type the likelier one, and the direction not said.

No box that is only tilted is pushed (its size stays g), none that is lifted or set down (it is along its up).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Literal

import msgspec

from agent.blocks import NS_PER_S, SiBlock
from agent.detection.context import Context, ContextWatch
from agent.detection.finding import EventType, Finding, Value
from agent.detection.forward import ForwardLearner, Frame
from agent.detection.harsh_manoeuvre import PAUSE_HOPS, STIR, Account, Way
from agent.detection.level_force import HOP_NS, HOP_S, LevelForce
from agent.detection.track import Track, silent_ns
from agent.detection.yaw import YawHistory
from agent.hops import HopRun, Hops
from agent.mounting import Vector
from agent.ranges import NotNegative, Positive
from agent.records import Severity
from calibration.gravity import STANDARD_GRAVITY_MPS2

AGREE = 0.25  # so much of the squared force by direction its size must confirm; a slope of 10 % takes half
AGREE_SO_FAR = 0.4  # and so much of all of it since it began: who walks with a leaning box bobs about g
LIFT_G = 0.15  # more along up than this is a bump or a hand, not a manoeuvre
LIGHT_G, HEAVY_G = 0.8, 1.5  # nor was a vehicle lighter or heavier just before: a hand, a fall, an impact
SMOOTH_HOPS = 7
RECENT_HOPS = 40
LONGEST_HOPS = 60  # nothing that is decided now began earlier
SETTLE_HOPS = 30  # what began sooner may be the sensor's own error: nothing is known yet of its size at rest
ONSET = 0.01  # g²: 0.1 g by direction at least, whatever the size says
ONSET_BY_SIZE = 0.04
BY_DIRECTION_PART = 0.5  # a push of seconds that keeps so much of its force by direction is in axes that stay
BY_HAND = (Context.HANDLING, Context.LOADING)
ON_THE_ROAD = (Context.DRIVING, Context.UNKNOWN)
SLOWEST_NS = 105_000_000


class HarshSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Levels are of the level part of the specific force after a low-pass of 2 Hz."""

    enabled: bool = True
    forward: Literal["auto", "x", "-x", "y", "-y", "z", "-z"] = "auto"
    """Which of the sensor's axes points forward; "auto": learned from stops and starts."""
    level_mps2: Positive = 0.40 * STANDARD_GRAVITY_MPS2
    hold_s: NotNegative = 0.2
    push_mps2: Positive = 0.22 * STANDARD_GRAVITY_MPS2
    push_delta_v_mps: Positive = 8.3
    by_size_mps2: Positive = 0.50 * STANDARD_GRAVITY_MPS2
    extreme_mps2: Positive = 6.864655
    """0.70 g, an emergency: for `extreme_s`, and it is major."""
    extreme_s: NotNegative = 0.5
    release_mps2: Positive = 0.20 * STANDARD_GRAVITY_MPS2
    release_s: NotNegative = 1.0
    cool_down_s: NotNegative = 0.0

    @property
    def told_forward(self) -> Vector | None:
        """Forward in the sensor's axes, if it was told."""
        if self.forward == "auto":
            return None
        sign = -1.0 if self.forward.startswith("-") else 1.0
        x, y, z = (sign if axis == self.forward[-1] else 0.0 for axis in "xyz")
        return (x, y, z)


class HarshDetector:
    """Watches an accelerometer, with a gyroscope where there is one; asks `context` if it is there."""

    def __init__(
        self,
        settings: HarshSettings,
        *,
        stream: str = "accel",
        gyro_stream: str | None = None,
        context: ContextWatch | None = None,
    ) -> None:
        self.streams: tuple[str, ...] = (stream,) if gyro_stream is None else (stream, gyro_stream)
        self._settings = settings
        self._stream = stream
        self._hops = Hops(HOP_NS)
        self._yaw = None if gyro_stream is None else YawHistory()
        self._context = context
        self._force = LevelForce()
        self._forward = ForwardLearner(settings.told_forward)
        self._frame = Frame()
        self._tracks = {
            kind: Track(kind, self.streams, cool_down_s=settings.cool_down_s)
            for kind in (EventType.HARSH_BRAKE, EventType.HARSH_ACCELERATION, EventType.HARSH_TURN)
        }
        self._open: Track | None = None
        self._level = (settings.level_mps2 / STANDARD_GRAVITY_MPS2) ** 2
        self._push = (settings.push_mps2 / STANDARD_GRAVITY_MPS2) ** 2
        self._by_size = (settings.by_size_mps2 / STANDARD_GRAVITY_MPS2) ** 2
        self._extreme = (settings.extreme_mps2 / STANDARD_GRAVITY_MPS2) ** 2
        self._release = (settings.release_mps2 / STANDARD_GRAVITY_MPS2) ** 2
        self._hold_hops = max(1, math.ceil(settings.hold_s / HOP_S - 1e-9))
        self._extreme_hops = max(1, math.ceil(settings.extreme_s / HOP_S - 1e-9))
        self._release_hops = max(1, math.ceil(settings.release_s / HOP_S - 1e-9))
        self._too_slow_ns = 0
        self._last_hop = 0
        self._excess: deque[float] = deque(maxlen=SMOOTH_HOPS)
        self._leaning: deque[float] = deque(maxlen=SMOOTH_HOPS)
        self._sizes: deque[float] = deque(maxlen=RECENT_HOPS)
        self._across: deque[float] = deque(maxlen=RECENT_HOPS)
        self._quiet = True
        self._settled_hop: int | None = None
        self._seen_by_size = self._seen_by_direction = 0.0
        self._clear()

    def _clear(self) -> None:
        """Nothing is going on."""
        self._plain, self._both = Account(), Account()  # by direction; by whichever measure shows more
        self._mine = self._both
        self._peak_hops = self._extreme_run = 0
        self._push_mps = self._push_by_size = self._push_by_direction = 0.0
        self._way = Way()

    def notes(self) -> Sequence[str]:
        """Say whether parts of the data were sampled too slowly."""
        if not self._too_slow_ns:
            return ()
        return (
            f"harsh driving: {self._too_slow_ns / NS_PER_S:.0f} s of {self._stream} were sampled too slowly, "
            "with less than 10 a second, to see a manoeuvre",
        )

    def feed(self, block: SiBlock) -> Sequence[Finding]:
        """Take samples; time decides."""
        if block.stream != self._stream:
            if self._yaw is not None:
                self._yaw.feed(block)
        elif block.period_ns > SLOWEST_NS:
            self._too_slow_ns += len(block) * block.period_ns
        else:
            self._hops.feed(block)
        return ()

    def advance(self, horizon_ns: int) -> Sequence[Finding]:
        """Judge the hops that are complete."""
        run = self._hops.advance(horizon_ns)
        found: list[Finding] = []
        if run is not None:
            self._take(run, found)
        self._silent(horizon_ns, found)
        if self._yaw is not None:
            self._yaw.forget_before(horizon_ns)
        return found

    def _take(self, run: HopRun, found: list[Finding]) -> None:
        force, forward, step = self._force, self._forward, self._step
        swings = (run.high - run.low).max(axis=1).tolist()
        for hop, mean, swing in zip(run.index.tolist(), run.mean.tolist(), swings, strict=True):
            if not math.isfinite(swing):
                continue  # a sample that is no number: as if the hop were missing
            self._silent(hop * HOP_NS, found)
            self._last_hop = hop
            if not force.step(hop, mean, swing):
                self._cut(hop, found)
            forward.step(mean, force.still_hops)
            if force.ready:
                if self._settled_hop is None:
                    self._settled_hop = hop + SETTLE_HOPS
                step(hop, found)

    def _silent(self, now_ns: int, found: list[Finding]) -> None:
        """End the manoeuvre where nothing has come for too long before `now_ns`."""
        if self._open is None:
            return
        decided_ns = silent_ns((self._last_hop + 1) * HOP_NS)
        if now_ns >= decided_ns:
            self._finish(decided_ns // HOP_NS, found)
            self._clear()

    def _cut(self, hop: int, found: list[Finding]) -> None:
        self._forward.cut()
        self._excess.clear()
        self._leaning.clear()
        if self._open is not None:
            self._finish(hop + 1, found)  # it is known only now that there was a hole
        self._clear()

    def _step(self, hop: int, found: list[Finding]) -> None:
        force = self._force
        excess, across = force.excess, force.across
        self._excess.append(excess)
        self._leaning.append(across)
        self._sizes.append(force.size)
        self._across.append(across)
        if self._quiet and excess < STIR and across < STIR:
            return
        smooth = sum(self._excess) / SMOOTH_HOPS
        self._confirm(excess, across)
        agrees = excess >= AGREE * across and abs(force.along - 1.0) <= LIFT_G
        confirmed = across if agrees else 0.0
        level = max(confirmed, min(excess, smooth) if smooth >= self._push else 0.0)
        if self._on_the_road(hop, hop):
            self._frame.step(sum(self._leaning) / SMOOTH_HOPS, smooth)
        self._follow(hop, level, smooth, across, confirmed)
        if self._open is not None:
            self._go_on(hop, level, found)
        elif self._both.since is not None:
            self._decide(hop, smooth, found)
        self._quiet = self._both.since is None and smooth < STIR

    def _confirm(self, excess: float, across: float) -> None:
        if across < STIR:
            self._seen_by_size = self._seen_by_direction = 0.0
        else:
            self._seen_by_size += excess
            self._seen_by_direction += across

    def _follow(self, hop: int, level: float, smooth: float, across: float, confirmed: float) -> None:
        """Keep the accounts of the manoeuvre, if there is one."""
        keep = self._open is not None
        self._both.step(hop, level, keep=keep, last_from=self._release)
        self._plain.step(hop, confirmed, keep=keep, last_from=self._release)
        if self._plain.since is None and not keep:
            self._way = Way()
        elif confirmed >= STIR:
            self._way.look(*self._force.level())
        self._peak_hops = self._peak_hops + 1 if confirmed >= self._level else 0
        self._extreme_run = self._extreme_run + 1 if confirmed >= self._extreme else 0
        if smooth >= self._push:
            self._push_mps += math.sqrt(smooth) * HOP_S * STANDARD_GRAVITY_MPS2
            self._push_by_size += smooth
            self._push_by_direction += across
        else:
            self._push_mps = self._push_by_size = self._push_by_direction = 0.0

    def _decide(self, hop: int, smooth: float, found: list[Finding]) -> None:
        by_peak = (
            self._peak_hops >= self._hold_hops
            and self._seen_by_size >= AGREE_SO_FAR * self._seen_by_direction
        )
        by_push = self._push_mps >= self._settings.push_delta_v_mps
        by_size = smooth >= self._by_size
        if not (by_peak or by_push or by_size):
            return
        self._mine = self._plain if by_peak else self._both
        if self._by_hand(hop) or min(self._sizes) < LIGHT_G or max(self._sizes) > HEAVY_G:
            return
        if not by_peak:
            if self._since(hop) < (self._settled_hop or hop) or not self._on_the_road(hop, self._since(hop)):
                return
            if max(self._across) < (ONSET_BY_SIZE if by_size else ONSET):
                return
        kind = self._kind(hop, by_peak=by_peak, by_size=by_size)
        if not by_peak and not self._may_without_peak(kind, by_push=by_push, by_size=by_size):
            return
        self._begin(kind, hop, found)

    def _may_without_peak(self, kind: EventType, *, by_push: bool, by_size: bool) -> bool:
        if self._axes_stay():
            return by_push and kind is EventType.HARSH_ACCELERATION and self._way.known
        return by_size or (by_push and kind is not EventType.HARSH_TURN)

    def _axes_stay(self) -> bool:
        """Whether the axes are the box's own, by all that was seen, or by what this push shows."""
        return self._frame.fixed or self._push_by_direction > BY_DIRECTION_PART * self._push_by_size

    def _by_hand(self, hop: int) -> bool:
        if self._context is None:
            return False
        before = self._context.at((self._since(hop) - PAUSE_HOPS) * HOP_NS)
        if before in BY_HAND:
            return True
        # a manoeuvre may itself look like a hand: who was driving is driving
        return before is not Context.DRIVING and self._context.at((hop + 1) * HOP_NS) in BY_HAND

    def _on_the_road(self, hop: int, since: int) -> bool:
        if self._context is None:
            return True
        now, before = self._context.at((hop + 1) * HOP_NS), self._context.at((since - PAUSE_HOPS) * HOP_NS)
        return now in ON_THE_ROAD or before is Context.DRIVING

    def _kind(self, hop: int, *, by_peak: bool, by_size: bool) -> EventType:
        """Say what it is, and note which way it went."""
        up = self._force.up
        turning = None
        if self._yaw is not None:
            turning = self._yaw.between(self._since(hop) * HOP_NS, (hop + 1) * HOP_NS, up)
        return self._way.kind(
            up,
            self._forward,
            self._frame,
            turning,
            gyro=self._yaw is not None,
            axes_stay=by_peak or self._axes_stay(),
            brief=by_peak or by_size,
        )

    def _begin(self, kind: EventType, hop: int, found: list[Finding]) -> None:
        decided_ns = (hop + 1) * HOP_NS
        track = self._tracks[kind]
        if not track.ready(decided_ns):
            return
        self._mine.since = self._since(hop)
        self._open = track
        found.append(track.start(decided_ns, self._mine.since * HOP_NS, self._severity(), self._values()))

    def _since(self, hop: int) -> int:
        """Return the hop with which the manoeuvre began that is decided now."""
        return max(hop if self._mine.since is None else self._mine.since, hop - LONGEST_HOPS)

    def _severity(self) -> Severity:
        return Severity.MAJOR if self._extreme_run >= self._extreme_hops else Severity.GENERAL

    def _go_on(self, hop: int, level: float, found: list[Finding]) -> None:
        track = self._open
        assert track is not None
        if level < self._release:
            if hop - self._both.last >= self._release_hops:
                self._finish(hop + 1, found)
                self._clear()
            return
        update = track.update((hop + 1) * HOP_NS, self._severity(), self._values())
        if update is not None:
            found.append(update)

    def _finish(self, hop: int, found: list[Finding]) -> None:
        track = self._open
        assert track is not None
        self._open = None
        end_ns = max((self._both.last + 1) * HOP_NS, track.start_ns)
        found.append(track.end(hop * HOP_NS, end_ns, track.severity, self._values()))

    def _values(self) -> dict[str, Value]:
        mine = self._mine
        first = mine.since if mine.since is not None else mine.last
        return {
            "peak_mps2": round(math.sqrt(mine.peak) * STANDARD_GRAVITY_MPS2, 2),
            "duration_s": round((self._both.last + 1 - first) * HOP_S, 1),
            "delta_v_mps": round(mine.delta_v_mps, 1),
            "direction": self._way.said,
            "direction_known": self._way.known,
        }
