"""Vibration beyond what the packaging was tested for.

The level is the overall r.m.s. acceleration of all three axes together, which no mounting changes, over
`window_s`; of each half second the mean is taken away, so that gravity, braking and a box that is
turned do not count, and what is left is about 1 Hz up to half the sensor's rate. The default limit is the
highest truck level of ASTM D4169, 0.73 g (I; the usual II is 0.52 g, III 0.37 g): beyond it no packaging was
tested. The floors of trams and buses give 0.05 g.

What it did to the cargo adds up as its energy does: the dose is the time at the limit that had as much.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import msgspec
import numpy as np

from agent.blocks import NS_PER_S, SiBlock
from agent.detection.finding import EventType, Finding, Value
from agent.detection.track import Track, silent_ns
from agent.hops import HopRun, Hops
from agent.ranges import NotNegative, Part, Positive
from agent.records import Severity

HOP_NS = 500_000_000  # as that of agent.detection.context: summed up once for both
HOPS_PER_S = NS_PER_S // HOP_NS
LEAST_SAMPLES = 16  # in a hop: 32 Hz
UNIT = 1e-6  # (m/s²)²: whole numbers of it add up to the same in any order
SHOCK_FACTOR = 3.0
"""A hop counts as this many times the limit at most: what is stronger and short is a shock."""
LEAST_PART = 0.8  # of a window that must have been seen


class VibrationSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """More than `limit_mps2` r.m.s. over `window_s` is an event; `major_factor` times it, long, is major."""

    enabled: bool = True
    limit_mps2: Positive = 7.16  # 0.73 g
    window_s: Positive = 30.0
    end_below: Part = 0.8
    """Part of the limit at which it ends."""
    major_factor: Positive = 2.0
    major_s: Positive = 60.0
    cool_down_s: NotNegative = 60.0


class VibrationDetector:
    """Watches one accelerometer stream."""

    def __init__(self, settings: VibrationSettings, stream: str = "accel") -> None:
        self.streams: tuple[str, ...] = (stream,)
        self._settings = settings
        self._hops = Hops(HOP_NS)
        self._window = _Window(settings.window_s)
        self._long = _Window(settings.major_s)
        self._track = Track(EventType.VIBRATION, self.streams, cool_down_s=settings.cool_down_s)
        self._worst = 0.0
        self._energy = 0
        self._too_slow_hops = 0
        self._last_hop = 0

    def notes(self) -> Sequence[str]:
        """Say whether parts of the data were sampled too slowly."""
        if not self._too_slow_hops:
            return ()
        return (
            f"vibration: {self._too_slow_hops / HOPS_PER_S:.0f} s of {self.streams[0]} were sampled too "
            f"slowly to see it: at least {LEAST_SAMPLES * HOPS_PER_S} Hz is needed",
        )

    def feed(self, block: SiBlock) -> Sequence[Finding]:
        """Take samples; time decides."""
        self._hops.feed(block)
        return ()

    def advance(self, horizon_ns: int) -> Sequence[Finding]:
        """Judge the hops that are complete."""
        run = self._hops.advance(horizon_ns)
        found: list[Finding] = []
        if run is not None:
            self._take(run, found)
        self._silent(horizon_ns, found)
        return found

    def _take(self, run: HopRun, found: list[Finding]) -> None:
        most = (SHOCK_FACTOR * self._settings.limit_mps2) ** 2
        with np.errstate(invalid="ignore"):
            power = (run.squares / run.count[:, None] - run.mean * run.mean).sum(axis=1).clip(0.0, most)
        known = np.isfinite(power)  # one sample that is no number spoils its hop, and nothing else
        units = np.rint(np.where(known, power, 0.0) / UNIT).astype(np.int64)
        for hop, count, mean_square, good in zip(
            run.index.tolist(), run.count.tolist(), units.tolist(), known.tolist(), strict=True
        ):
            self._silent(hop * HOP_NS, found)
            self._last_hop = hop
            if count < LEAST_SAMPLES:
                self._too_slow_hops += 1
            elif good:
                self._window.take(hop, mean_square)
                self._long.take(hop, mean_square)
                self._judge(hop, mean_square, found)

    def _silent(self, now_ns: int, found: list[Finding]) -> None:
        """End the event where nothing has come for too long before `now_ns`."""
        end_ns = (self._last_hop + 1) * HOP_NS
        if self._track.active and now_ns >= (decided_ns := silent_ns(end_ns)):
            rms_mps2 = self._window.rms()
            found.append(self._track.end(decided_ns, end_ns, Severity.GENERAL, self._values(rms_mps2)))

    def _judge(self, hop: int, mean_square: int, found: list[Finding]) -> None:
        s, track = self._settings, self._track
        rms_mps2 = self._window.rms()
        time_ns = (hop + 1) * HOP_NS
        if not track.active:
            if rms_mps2 > s.limit_mps2 and track.ready(time_ns):
                start_ns = self._window.first_above(s.limit_mps2**2) * HOP_NS
                self._worst, self._energy = rms_mps2, self._window.total
                found.append(track.start(time_ns, start_ns, self._severity(), self._values(rms_mps2)))
            return
        self._energy += mean_square
        self._worst = max(self._worst, rms_mps2)
        if rms_mps2 < s.end_below * s.limit_mps2:
            found.append(track.end(time_ns, time_ns, Severity.GENERAL, self._values(rms_mps2)))
        elif (finding := track.update(time_ns, self._severity(), self._values(rms_mps2))) is not None:
            found.append(finding)

    def _severity(self) -> Severity:
        far_mps2 = self._settings.major_factor * self._settings.limit_mps2
        return Severity.MAJOR if self._long.rms() > far_mps2 else Severity.GENERAL

    def _values(self, rms_mps2: float) -> dict[str, Value]:
        limit_mps2 = self._settings.limit_mps2
        return {
            "rms_mps2": round(rms_mps2, 2),
            "worst_mps2": round(self._worst, 2),
            "limit_mps2": round(limit_mps2, 2),
            "dose_s": round(self._energy * UNIT / HOPS_PER_S / limit_mps2**2, 1),
        }


class _Window:
    """The mean squares of the last hops; it says nothing before most of it was seen."""

    def __init__(self, seconds: float) -> None:
        self._hops = max(1, round(seconds * HOPS_PER_S))
        self._held: deque[tuple[int, int]] = deque()
        self.total = 0
        """Sum of the mean squares, in `UNIT`."""

    def first_above(self, mean_square: float) -> int:
        """Return the oldest hop in it of more than that, in (m/s²)²; by rounding there may be none."""
        return next((hop for hop, units in self._held if units * UNIT > mean_square), self._held[0][0])

    def take(self, hop: int, mean_square: int) -> None:
        """Take the next hop, and forget what is too old."""
        self._held.append((hop, mean_square))
        self.total += mean_square
        while self._held[0][0] <= hop - self._hops:
            self.total -= self._held.popleft()[1]

    def rms(self) -> float:
        """Return the root of their mean; 0 where too little was seen."""
        if len(self._held) < LEAST_PART * self._hops:
            return 0.0
        return math.sqrt(self.total * UNIT / len(self._held))
