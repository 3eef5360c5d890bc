"""Slosh: how high the liquid in the tank rises at its walls, against the freeboard.

The surface is simulated as it is pushed: a sum of standing waves along each side of the tank, of which
only the odd ones (1, 3, 5) answer a push, each an oscillator towards its share 8/(nπ)² of the straight,
tilted surface that a lasting push makes (linear theory; F. T. Dodge, The new "dynamic behavior of liquids
in moving containers", SwRI 2000, chapter 1, after NASA SP-106, chapter 2). What is slow thereby gives the
quasi-static rise L/2·tan θ, which reaches the freeboard F where tan θ = 2·F/L; what keeps time with a wave
grows far beyond it.

Each wave is stepped exactly from hop to hop for a push that is constant within one (50 ms: 15 hops in a
period of 1.3 Hz), so that it cannot drift or blow up: the deviation w of a wave from where it is pushed to
turns and decays as w·exp((-ζω + iω·√(1-ζ²))·t), and a change of the push is a step of w.

Linear theory knows no highest wave, a liquid does: a standing wave of length λ breaks when its crest stands
0.141·λ·tanh(kh) high (W. G. Penney and A. T. Price, Phil. Trans. R. Soc. A 244 (1952), 254, for deep water;
with depth as M. Miche, Annales des Ponts et Chaussées 114 (1944)), and what is pushed into it beyond goes
into foam (O. M. Faltinsen and A. N. Timokha, Sloshing, Cambridge 2009, chapters 1 and 4). So no wave is
higher than that, but for a freeboard that is: what breaks at a wall runs up it, nobody knows how far, so
linear theory goes on up to what is critical, to be safe. And a surface that leans until it lays the bottom
dry is a wedge of the same volume.

The damping that is assumed, 1.5 % of critical, lies between what the liquid's own viscosity makes in a
smooth tank (G. N. Mikishev and N. Y. Dorozhkin's 0.79·√(ν/√(R³g)) in NASA SP-106, chapter 4: 0.1 % for water
and R = 0.4 m, 1 % for a sauce of 100 mm²/s) and what baffles make (6 % and more). It matters little on a
road, which seldom pushes for more than a few periods in time.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Sequence
from typing import Literal

import msgspec

from agent.blocks import NS_PER_S, SiBlock
from agent.detection.finding import EventType, Finding, Value
from agent.detection.track import Track
from agent.detection.upright import HOP_NS, Upright
from agent.hops import Hops
from agent.mounting import Vector, across
from agent.ranges import NotNegative, Part, Positive
from agent.records import Severity
from agent.tank import slosh_frequencies_hz
from calibration.gravity import STANDARD_GRAVITY_MPS2

MODES = (1, 3, 5)
HIGHEST_CREST = 0.141  # of a standing wave's length, in deep water
SHARES = tuple(8.0 / (n * math.pi) ** 2 for n in MODES)
LOWPASS_S = 1.0  # of what presses the liquid down: the mean of a bump is gravity
LEAST_DOWN_MPS2, MOST_DOWN_MPS2 = 0.5 * STANDARD_GRAVITY_MPS2, 1.5 * STANDARD_GRAVITY_MPS2
MOST_SLOPE = math.tan(math.radians(75.0))
STILL_AGAIN_HOPS = round(60 * NS_PER_S / HOP_NS)  # after a hole of this length nothing is known of the waves
LEAN_PART = 0.8
AXES = "xyz"
UPRIGHT = 0.714  # cosine to up beyond which an axis points up rather than along


class SloshSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The tank, and how much of its freeboard a rise may take. Parts are of the freeboard."""

    enabled: bool = True
    length_m: Positive | None = None
    width_m: Positive | None = None
    """None: as wide as it is long."""
    fill_m: Positive | None = None
    freeboard_m: Positive | None = None
    length_axis: Literal["x", "y", "z"] = "x"
    damping: Part = 0.015
    minor_part: Part = 0.7
    general_part: Part = 0.85
    major_part: Positive = 1.0
    """It spills; more, where sides, depth or freeboard are not well known."""
    critical_part: Positive = 1.5
    end_below: Part = 0.5
    release_s: NotNegative = 10.0
    cool_down_s: NotNegative = 30.0
    """After an event none begins for so long that is less than major."""


def highest_crest_m(side_m: float, fill_m: float, mode: int = 1) -> float:
    """Return how high the crest of a wave along a side can stand before it breaks."""
    return HIGHEST_CREST * 2 * side_m / mode * math.tanh(mode * math.pi * fill_m / side_m)


class Waves:
    """The waves along one side of the tank; a push and what they answer are slopes, rises parts of them.

    ``least_m``: up to this height no wave is held back, even where it would break.
    """

    def __init__(self, side_m: float, fill_m: float, damping: float, least_m: float = 0.0) -> None:
        self.half_m = side_m / 2
        self._fill_m = fill_m
        self._slope = 0.0
        # how far each may deviate until its crest breaks
        self._breaks = [
            max(least_m, highest_crest_m(side_m, fill_m, n)) / (self.half_m * share)
            for n, share in zip(MODES, SHARES, strict=True)
        ]
        self._turn: list[complex] = []
        self._step: list[complex] = []
        self._waves = [0j] * len(MODES)
        decay = math.sqrt(max(1e-9, 1.0 - damping * damping))
        for natural_hz in slosh_frequencies_hz(side_m, fill_m, MODES):
            omega = 2 * math.pi * natural_hz
            self._turn.append(cmath.exp(complex(-damping * omega, omega * decay) * HOP_NS / NS_PER_S))
            self._step.append(complex(1.0, -damping / decay))

    def step(self, slope: float, hops: int) -> float:
        """Push towards `slope` for `hops`; return the rise at the walls in m, either wall's sign."""
        change = slope - self._slope
        self._slope = slope
        turns = self._turn if hops == 1 else [t**hops for t in self._turn]
        (a, b, c), (p, q, r), (u, v, w) = self._waves, turns, self._step
        a, b, c = (a - u * change) * p, (b - v * change) * q, (c - w * change) * r
        most = self._breaks
        if abs(a) > most[0] or abs(b) > most[1] or abs(c) > most[2]:
            a, b, c = (z * min(1.0, m / max(abs(z), m)) for z, m in zip((a, b, c), most, strict=True))
        self._waves = [a, b, c]
        waves = SHARES[0] * a.real + SHARES[1] * b.real + SHARES[2] * c.real
        return self.lean_m() + self.half_m * waves

    def lean_m(self) -> float:
        """Return what of the rise is the tilted surface alone; where it lays the bottom dry, of the wedge."""
        lean_m = self.half_m * self._slope
        if abs(lean_m) <= self._fill_m:
            return lean_m
        wedge_m = math.sqrt(4 * self._fill_m * abs(lean_m)) - self._fill_m
        return math.copysign(wedge_m, lean_m)

    def rest(self, slope: float) -> None:
        """Forget the waves: the surface stands straight, as the push of now would leave it."""
        self._slope, self._waves = slope, [0j] * len(MODES)


class SloshDetector:
    """Watches one accelerometer stream for one tank. `up` None: learned."""

    def __init__(self, settings: SloshSettings, up: Vector | None, stream: str = "accel") -> None:
        self.streams: tuple[str, ...] = (stream,)
        self._settings = settings
        self._upright = Upright(up)
        self._hops = Hops(HOP_NS)
        self._track = Track(EventType.SLOSH, self.streams, cool_down_s=settings.cool_down_s)
        self._freeboard_m = settings.freeboard_m or 0.0
        self._sides: tuple[Waves, Waves] | None = None
        if settings.length_m and settings.fill_m and settings.freeboard_m:
            width_m = settings.width_m or settings.length_m
            least_m = settings.critical_part * self._freeboard_m
            self._sides = (
                Waves(settings.length_m, settings.fill_m, settings.damping, least_m),
                Waves(width_m, settings.fill_m, settings.damping, least_m),
            )
        self._parts = (
            (settings.critical_part, Severity.CRITICAL),
            (settings.major_part, Severity.MAJOR),
            (settings.general_part, Severity.GENERAL),
            (settings.minor_part, Severity.MINOR),
        )
        self._release_ns = round(settings.release_s * NS_PER_S)
        self._up: Vector | None = None
        self._across: tuple[Vector, Vector] | None = None
        self._down_mps2: float | None = None
        self._last_hop: int | None = None
        self._slopes = (0.0, 0.0)
        self._highest_m = self._lean_m = 0.0
        self._high_ns = 0
        self._too_slow_ns = 0

    def notes(self) -> Sequence[str]:
        """Say what is missing of the tank, or of the mounting."""
        if self._sides is None:
            return (
                "slosh: not watched: the tank is not known; set [detect.slosh] length_m, fill_m and "
                'freeboard_m, or [cargo] profile = "liquid-food"',
            )
        if self._too_slow_ns:
            return (
                f"slosh: {self._too_slow_ns / NS_PER_S:.0f} s of {self.streams[0]} were sampled too slowly "
                "for the waves of a tank",
            )
        why_not = self._upright.why_not()
        return (f"slosh: not watched: {why_not}",) if why_not else ()

    def feed(self, block: SiBlock) -> Sequence[Finding]:
        """Take samples; time decides."""
        if block.period_ns > HOP_NS:
            self._too_slow_ns += len(block) * block.period_ns
        elif self._sides is not None:
            self._hops.feed(block)
        return ()

    def advance(self, horizon_ns: int) -> Sequence[Finding]:
        """Move the liquid through the hops that are complete, and judge how high it stands."""
        run = self._hops.advance(horizon_ns)
        if run is None or self._sides is None:
            return ()
        found: list[Finding] = []
        least_m = self._settings.end_below * self._freeboard_m
        for hop, mean in zip(run.index.tolist(), run.mean.tolist(), strict=True):
            self._upright.step(hop, mean)
            if (up := self._upright.up) is None:
                continue
            if up is not self._up:
                self._up, self._last_hop = up, None
                self._across = along_and_across(up, self._settings.length_axis)
            rise_m = self._move(hop, mean)
            if self._track.active or rise_m >= least_m:
                finding = self._judge((hop + 1) * HOP_NS, rise_m)
                if finding is not None:
                    found.append(finding)
        return found

    def _move(self, hop: int, mean: list[float]) -> float:
        """Return how high the liquid stands at the end of a hop, in the corner where it is highest."""
        assert self._sides is not None and self._across is not None and self._up is not None
        x, y, z = mean
        up = self._up
        down_mps2 = x * up[0] + y * up[1] + z * up[2]
        hops = 1 if self._last_hop is None else hop - self._last_hop
        unknown = self._last_hop is None or hops > STILL_AGAIN_HOPS
        self._last_hop = hop
        if x * x + y * y + z * z >= LEAST_DOWN_MPS2 * LEAST_DOWN_MPS2:  # else it floats, and leans nowhere
            gain = 1.0 - math.exp(-hops * HOP_NS / NS_PER_S / LOWPASS_S) if hops != 1 else GAIN
            before = down_mps2 if self._down_mps2 is None else self._down_mps2
            self._down_mps2 = before + gain * (down_mps2 - before)
            presses = min(MOST_DOWN_MPS2, max(LEAST_DOWN_MPS2, self._down_mps2))
            (a, b, c), (d, e, f) = self._across
            self._slopes = (
                min(MOST_SLOPE, max(-MOST_SLOPE, (x * a + y * b + z * c) / presses)),
                min(MOST_SLOPE, max(-MOST_SLOPE, (x * d + y * e + z * f) / presses)),
            )
        along, across_it = self._sides
        if unknown:
            along.rest(self._slopes[0])
            across_it.rest(self._slopes[1])
        return abs(along.step(self._slopes[0], hops)) + abs(across_it.step(self._slopes[1], hops))

    def _judge(self, time_ns: int, rise_m: float) -> Finding | None:
        assert self._sides is not None
        part = rise_m / self._freeboard_m
        severity = next((s for least, s in self._parts if part >= least), None)
        if not self._track.active:
            if severity is None or not (severity >= Severity.MAJOR or self._track.ready(time_ns)):
                return None
            self._highest_m = rise_m
            self._high_ns = time_ns
            self._lean_m = sum(abs(side.lean_m()) for side in self._sides)
            return self._track.start(time_ns, time_ns, severity, self._values())
        if rise_m > self._highest_m:
            self._highest_m = rise_m
            self._lean_m = sum(abs(side.lean_m()) for side in self._sides)
        if part >= self._settings.end_below:
            self._high_ns = time_ns
        if time_ns - self._high_ns >= self._release_ns:
            return self._track.end(time_ns, self._high_ns, self._track.severity, self._values())
        return self._track.update(time_ns, severity or self._track.severity, self._values())

    def _values(self) -> dict[str, Value]:
        leans = self._lean_m >= LEAN_PART * self._highest_m
        return {
            "rise_m": round(self._highest_m, 3),
            "freeboard_m": self._freeboard_m,
            "by": "lean" if leans else "resonance",
        }


GAIN = 1.0 - math.exp(-HOP_NS / NS_PER_S / LOWPASS_S)


def along_and_across(up: Vector, length_axis: str) -> tuple[Vector, Vector]:
    """Return the directions along the tank's length and width: level, and square to each other.

    The length lies along that axis of the sensor, or along the next one where that axis points up.
    """
    axis = AXES.index(length_axis)
    return across(up, axis if abs(up[axis]) < UPRIGHT else (axis + 1) % 3)
