"""Pressure swing: the largest less the smallest pressure within a window, beyond a limit.

In a tank it is the liquid that slams; in a sealed pack, a climb or a leak. A slow change of the
weather or of altitude stays far below the limit within one window.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import msgspec

from agent.blocks import NS_PER_S, SiBlock
from agent.detection.finding import EventType, Finding
from agent.detection.hold import Hold, Turn
from agent.hops import Hops
from agent.ranges import Part, Positive
from agent.records import Phase, Severity

HOP_NS = 100_000_000


class PressureSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``swing_pa`` peak to peak within ``window_s`` is an event."""

    enabled: bool = True
    swing_pa: Positive = 2000.0
    window_s: Positive = 5.0
    end_below: Part = 0.7
    """It ends when the swing is below this part of the limit."""
    critical_factor: Positive = 2.0


class PressureDetector:
    """Watches one pressure stream."""

    def __init__(self, settings: PressureSettings, stream: str = "pressure") -> None:
        self.streams: tuple[str, ...] = (stream,)
        self._settings = settings
        self._hops = Hops(HOP_NS)
        self._window_hops = max(1, round(settings.window_s * NS_PER_S / HOP_NS))
        # of the window: what nothing later is beyond, so that the first is the extreme
        self._lows: deque[tuple[int, float]] = deque()
        self._highs: deque[tuple[int, float]] = deque()
        self._hold = Hold(0, 0)
        self._count = 0
        self._start_ns = 0
        self._largest_pa = 0.0

    def notes(self) -> Sequence[str]:
        """Nothing to say: it always watches."""
        return ()

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
        for hop, low, high in zip(
            run.index.tolist(), run.low[:, 0].tolist(), run.high[:, 0].tolist(), strict=True
        ):
            finding = self._judge((hop + 1) * HOP_NS, self._swing_pa(hop, low, high))
            if finding is not None:
                found.append(finding)
        return found

    def _swing_pa(self, hop: int, low: float, high: float) -> float:
        """Take the next hop; return the swing within the window that ends with it."""
        lows, highs, oldest = self._lows, self._highs, hop - self._window_hops
        if math.isfinite(low) and math.isfinite(high):
            while lows and lows[-1][1] >= low:
                lows.pop()
            lows.append((hop, low))
            while highs and highs[-1][1] <= high:
                highs.pop()
            highs.append((hop, high))
        while lows and lows[0][0] <= oldest:
            lows.popleft()
        while highs and highs[0][0] <= oldest:
            highs.popleft()
        return highs[0][1] - lows[0][1] if lows and highs else 0.0

    def _judge(self, time_ns: int, swing_pa: float) -> Finding | None:
        s = self._settings
        turn = self._hold.step(time_ns, on=swing_pa > s.swing_pa, off=swing_pa < s.end_below * s.swing_pa)
        if self._hold.active:
            self._largest_pa = max(self._largest_pa, swing_pa)
        if turn is Turn.NONE:
            return None
        if turn is Turn.STARTED:
            self._count += 1
            self._start_ns = time_ns
            return self._finding(time_ns, Phase.START, None)
        # what made the swing is as old as the window
        end_ns = max(self._start_ns, time_ns - self._window_hops * HOP_NS)
        finding = self._finding(time_ns, Phase.END, end_ns)
        self._hold.rearm()
        self._largest_pa = 0.0
        return finding

    def _finding(self, decided_ns: int, phase: Phase, end_ns: int | None) -> Finding:
        critical = self._largest_pa >= self._settings.critical_factor * self._settings.swing_pa
        return Finding(
            decided_ns=decided_ns,
            type=EventType.PRESSURE,
            number=self._count,
            phase=phase,
            start_ns=self._start_ns,
            end_ns=end_ns,
            severity=Severity.CRITICAL if critical else Severity.MAJOR,
            values={"swing_pa": round(self._largest_pa), "limit_pa": self._settings.swing_pa},
            streams=self.streams,
        )
