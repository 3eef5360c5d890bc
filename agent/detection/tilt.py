"""Sustained tilt: the angle between the low-passed specific force and the box's up axis.

The low-passed direction of specific force is where a liquid's surface settles, so it is the right
quantity for cargo even when part of it is braking; a brake of 0.3 g looks like 17°, stays under the
level of 30° (0.58 g sideways) and does not last 5 s.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from agent.blocks import NS_PER_S, SiBlock
from agent.detection.finding import EventType, Finding
from agent.detection.hold import Hold, Turn
from agent.hops import Hops
from agent.mounting import RestReference, Vector, angle_between_deg
from agent.ranges import Angle, NotNegative, Positive
from agent.records import Phase, Severity

HOP_NS = 50_000_000


class TiltSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``level_deg`` for longer than ``hold_s`` is an event; it ends ``hysteresis_deg`` below."""

    enabled: bool = True
    level_deg: Angle = 30.0
    hold_s: NotNegative = 5.0
    hysteresis_deg: NotNegative = 4.0
    release_s: NotNegative = 1.0
    lowpass_s: Positive = 0.4
    """Time constant of the low-pass."""
    critical_deg: Angle = 60.0


class TiltDetector:
    """Watches one accelerometer stream. `up` None: learned from the first rest."""

    def __init__(self, settings: TiltSettings, up: Vector | None, stream: str = "accel") -> None:
        self.streams: tuple[str, ...] = (stream,)
        self._settings = settings
        self._up = up
        self._reference = RestReference()
        self._hops = Hops(HOP_NS)
        self._hold = Hold(round(settings.hold_s * NS_PER_S), round(settings.release_s * NS_PER_S))
        self._force: list[float] | None = None
        self._last_hop = 0
        self._count = 0
        self._largest_deg = 0.0
        self._start_ns = 0

    @property
    def up(self) -> Vector | None:
        """Which way is up in the sensor's axes, as far as known."""
        return self._up if self._up is not None else self._reference.up

    def notes(self) -> Sequence[str]:
        """Say why tilt is not watched, if it is not."""
        if self.up is not None:
            return ()
        if self._reference.odd_deg is None:
            return ("tilt: not watched: the box never rested, and [mounting] up is not set",)
        return (
            f"tilt: not watched: at rest the sensor stood {self._reference.odd_deg:.0f}° off every axis, so "
            "which way is up is not known; set [mounting] up",
        )

    def feed(self, block: SiBlock) -> Sequence[Finding]:
        """Take samples; time decides."""
        self._hops.feed(block)
        return ()

    def advance(self, horizon_ns: int) -> Sequence[Finding]:
        """Judge the hops that are complete."""
        run = self._hops.advance(horizon_ns)
        if run is None:
            return ()
        found: list[Finding] = []
        for hop, mean in zip(run.index.tolist(), run.mean.tolist(), strict=True):
            self._lowpass(hop, mean)
            if self._up is None and not self._reference.decided:
                self._reference.step(mean)
            if (up := self.up) is not None:
                finding = self._judge((hop + 1) * HOP_NS, up)
                if finding is not None:
                    found.append(finding)
        return found

    def _lowpass(self, hop: int, mean: list[float]) -> None:
        if self._force is None:
            self._force = mean
        else:
            gain = 1.0 - math.exp(-(hop - self._last_hop) * HOP_NS / NS_PER_S / self._settings.lowpass_s)
            self._force = [f + gain * (m - f) for f, m in zip(self._force, mean, strict=True)]
        self._last_hop = hop

    def _judge(self, time_ns: int, up: Vector) -> Finding | None:
        assert self._force is not None
        s = self._settings
        angle_deg = angle_between_deg(self._force, up)
        was_active = self._hold.active
        turn = self._hold.step(
            time_ns, on=angle_deg > s.level_deg, off=angle_deg < s.level_deg - s.hysteresis_deg
        )
        if self._hold.since_ns is None:
            self._largest_deg = 0.0
        elif not was_active or turn is not Turn.ENDED:
            self._largest_deg = max(self._largest_deg, angle_deg)
        if turn is Turn.NONE:
            return None
        if turn is Turn.STARTED:
            self._count += 1
            self._start_ns = self._hold.since_ns or time_ns
            return self._finding(time_ns, Phase.START, None)
        finding = self._finding(time_ns, Phase.END, self._hold.until_ns)
        self._hold.rearm()
        self._largest_deg = 0.0
        return finding

    def _finding(self, decided_ns: int, phase: Phase, end_ns: int | None) -> Finding:
        critical = self._largest_deg >= self._settings.critical_deg
        return Finding(
            decided_ns=decided_ns,
            type=EventType.TILT,
            number=self._count,
            phase=phase,
            start_ns=self._start_ns,
            end_ns=end_ns,
            severity=Severity.CRITICAL if critical else Severity.MAJOR,
            values={"angle_deg": round(self._largest_deg, 1), "level_deg": self._settings.level_deg},
            streams=self.streams,
        )
