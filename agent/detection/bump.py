"""Bump: the road throws the box up or lets it fall once: a pothole, a sill, a hump taken too fast.

Along gravity a bump changes the magnitude of the specific force by all that it is, across it hardly, so no
mounting need be known. It is smoothed over 20 ms: a body on its springs and its axle's hop (1 to 2 Hz, 9 to
13 Hz; Gillespie, Fundamentals of Vehicle Dynamics, chapter 5) pass, rattling does not. A bump stands out
from its road: five times the deviation of the last ten seconds, which noise does not pass in an hour. Its
peak counts and the speed that it gives: at 1 g beside gravity loose cargo leaves the floor; a knock has no
speed. Bumps close together are one event. What hands, a blow or a fall do to a box is no bump.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import msgspec
import numpy as np

from agent.blocks import NS_PER_S, SiBlock, TimesNs
from agent.detection.claims import Claims
from agent.detection.context import Context, ContextWatch
from agent.detection.finding import EventType, Finding, Value
from agent.detection.pulse import squared_size
from agent.detection.track import Track
from agent.hops import F64
from agent.ranges import NotNegative, Positive
from agent.records import Severity

CHUNK_NS = 500_000_000
BIN_NS = 10_000_000
BIN_S = BIN_NS / NS_PER_S
SMOOTH_BINS = 2
SLOWEST_NS = 25_000_000  # 40 Hz: of a bump of 50 ms, two samples
ROAD_CHUNKS = 20
ROAD_FACTOR = 5.0
LEAST_CHUNKS = 4  # before, the road is not known
CARRIED = 36  # bins: what a swing that a chunk cuts is seen again with, and what is smoothed
LATER_NS = 300_000_000
"""So long after its end a chunk is judged: by then a fall that began in it is known."""
LOBE_PART = 0.3
LONGEST_S = 0.3  # of a swing: half a cycle at 1.7 Hz
SHARP_S = 0.12  # what is slower and not hard is a body's heave on its springs: they do their work
BESIDE, SWING_PART = 5, 0.2  # samples, and the part of the peak that one of them must have
APART_NS = 400_000_000  # closer together, it is the ringing of one bump
NO_BUMP = (Context.HANDLING, Context.LOADING, Context.DOOR_OPEN)


class BumpSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Levels are vertical, beside gravity, smoothed over 20 ms."""

    enabled: bool = True
    level_mps2: Positive = 5.9  # 0.6 g
    hard_mps2: Positive = 8.3
    """Of 1 g, smoothing leaves so much at an axle's 13 Hz."""
    delta_v_mps: NotNegative = 0.2
    """Speed that it gives; less is a knock."""
    quiet_s: Positive = 5.0
    """Bumps closer together are one event."""


class BumpDetector:
    """Watches one accelerometer stream. `others`: what takes a bump's place."""

    def __init__(
        self,
        settings: BumpSettings,
        others: Sequence[Claims] = (),
        context: ContextWatch | None = None,
        stream: str = "accel",
    ) -> None:
        self.streams: tuple[str, ...] = (stream,)
        self._settings = settings
        self._others = others
        self._context = context
        self._track = Track(EventType.BUMP, self.streams)
        self._blocks: deque[SiBlock] = deque()
        self._begun = 0  # samples of the first block that are judged
        self._judged_ns = 0
        self._before: F64 = np.empty(0)  # the last bins of the chunk before
        self._road: deque[tuple[int, float, float]] = deque(maxlen=ROAD_CHUNKS)  # bins, sum, sum of squares
        self._cut = False
        self._bumps = 0
        self._peak_mps2 = self._delta_v_mps = 0.0
        self._last_ns = 0
        self._too_slow_ns = 0

    def notes(self) -> Sequence[str]:
        """Say whether parts of the data were sampled too slowly."""
        if not self._too_slow_ns:
            return ()
        return (
            f"bump: {self._too_slow_ns / NS_PER_S:.0f} s of {self.streams[0]} were sampled too slowly "
            f"to see one: at least {NS_PER_S / SLOWEST_NS:.0f} Hz is needed",
        )

    def feed(self, block: SiBlock) -> Sequence[Finding]:
        """Take samples; time decides."""
        if block.period_ns > SLOWEST_NS:
            self._too_slow_ns += len(block) * block.period_ns
        else:
            self._blocks.append(block)
        return ()

    def advance(self, horizon_ns: int) -> Sequence[Finding]:
        """Judge the chunks that are complete, and past which it is known whether a fall followed."""
        limit_ns = (horizon_ns - LATER_NS) // CHUNK_NS * CHUNK_NS
        found: list[Finding] = []
        if self._blocks and int(self._blocks[0].times_ns[self._begun]) < limit_ns:
            self._judge(*self._taken(limit_ns), found)
        if limit_ns > self._judged_ns:
            self._judged_ns = limit_ns
            self._settle(limit_ns + LATER_NS, found)
        return found

    def _taken(self, limit_ns: int) -> tuple[TimesNs, F64, int]:
        """Return time and magnitude of each sample before `limit_ns`, and their spacing."""
        period_ns, times, sizes = self._blocks[0].period_ns, [], []
        while self._blocks and int(self._blocks[0].times_ns[self._begun]) < limit_ns:
            block, begin = self._blocks[0], self._begun
            end = int(np.searchsorted(block.times_ns, limit_ns, side="left"))
            times.append(block.times_ns[begin:end])
            sizes.append(np.sqrt(squared_size(block)[begin:end]).astype(np.float64))
            if end < len(block):
                self._begun = end
                break
            self._begun = 0
            self._blocks.popleft()
        if len(times) == 1:
            return times[0], sizes[0], period_ns
        return np.concatenate(times), np.concatenate(sizes), period_ns

    def _judge(self, times_ns: TimesNs, sizes: F64, period_ns: int, found: list[Finding]) -> None:
        grid = np.arange(int(times_ns[0]) // BIN_NS, int(times_ns[-1]) // BIN_NS + 1)
        edges = np.searchsorted(times_ns, grid * BIN_NS, side="left")
        filled = np.diff(edges, append=len(times_ns)) > 0
        starts, bin_ns = edges[filled], grid[filled] * BIN_NS
        means = np.add.reduceat(sizes, starts) / np.diff(starts, append=len(times_ns))
        fine = period_ns <= BIN_NS
        raw = np.concatenate((self._before if len(self._before) else means[:1].repeat(CARRIED), means))
        self._before = raw[-CARRIED:]
        smooth = (raw[1:] + raw[:-1]) / SMOOTH_BINS if fine else raw[1:]
        carried = CARRIED - 1
        now = smooth[carried:]
        chunks = bin_ns // CHUNK_NS
        edges = np.concatenate(([0], np.flatnonzero(chunks[1:] != chunks[:-1]) + 1))
        ends = np.concatenate((edges[1:], [len(chunks)]))
        sums = np.add.reduceat(now, edges)
        squares = np.add.reduceat(now * now, edges)
        highs, lows = np.maximum.reduceat(now, edges), np.minimum.reduceat(now, edges)
        step_s = (BIN_NS if fine else period_ns) / NS_PER_S
        for chunk, begin, end, total, square, high, low in zip(
            chunks[edges].tolist(),
            edges.tolist(),
            ends.tolist(),
            sums.tolist(),
            squares.tolist(),
            highs.tolist(),
            lows.tolist(),
            strict=True,
        ):
            until_ns = (chunk + 1) * CHUNK_NS
            self._settle(until_ns + LATER_NS, found)
            # a swing that begins or ends in this chunk is as wide as it is high
            if self._cut or high - low > self._settings.level_mps2:
                level_mps2, base_mps2 = self._stands_out(total / (end - begin))
                moved = smooth[begin : end + carried] - base_mps2
                self._look(moved, int(bin_ns[end - 1]), step_s, level_mps2, until_ns, found)
            self._road.append((end - begin, total, square))

    def _stands_out(self, here_mps2: float) -> tuple[float, float]:
        """Return the level above which something stands out from the road, and what the road is about."""
        count = sum(n for n, _, _ in self._road)
        if len(self._road) < LEAST_CHUNKS:
            return math.inf, here_mps2
        mean = sum(s for _, s, _ in self._road) / count
        variance = sum(q for _, _, q in self._road) / count - mean * mean
        return max(self._settings.level_mps2, ROAD_FACTOR * math.sqrt(max(0.0, variance))), mean

    def _look(
        self, moved: F64, last_ns: int, step_s: float, level_mps2: float, until_ns: int, found: list[Finding]
    ) -> None:
        """Judge the largest swing of a chunk and of the tenth of a second before it."""
        sizes = np.abs(moved)
        top = int(sizes.argmax())
        peak_mps2 = float(sizes[top])
        bump_ns = last_ns - round((len(moved) - 1 - top) * step_s * NS_PER_S)
        lobe = moved * math.copysign(1.0, moved[top]) >= LOBE_PART * peak_mps2
        begin, end = top, top + 1
        while begin > 0 and lobe[begin - 1]:
            begin -= 1
        while end < len(lobe) and lobe[end]:
            end += 1
        delta_v_mps = float(sizes[begin:end].sum()) * step_s
        self._cut = end == len(lobe)
        if self._cut:  # and goes on: the next chunk shows all of it
            return
        if peak_mps2 <= level_mps2 or delta_v_mps < self._settings.delta_v_mps:
            return
        if begin == 0 or (end - begin) * step_s > LONGEST_S or self._spike(sizes, begin, end, step_s):
            return  # no swing but a force that stays, or one sample that is wrong
        context = Context.UNKNOWN if self._context is None else self._context.at(bump_ns)
        if context in NO_BUMP:
            return
        if any(other.between(bump_ns, until_ns + LATER_NS) for other in self._others):
            return
        hard = peak_mps2 >= self._settings.hard_mps2
        if not hard and (end - begin) * step_s > SHARP_S:
            return
        again = self._track.active and bump_ns - self._last_ns <= APART_NS
        self._bumps = (self._bumps if self._track.active else 0) + (not again)
        self._last_ns = max(self._last_ns, bump_ns)
        before = (self._peak_mps2, self._delta_v_mps) if self._track.active else (0.0, 0.0)
        self._peak_mps2, self._delta_v_mps = max(before[0], peak_mps2), max(before[1], delta_v_mps)
        self._tell(until_ns + LATER_NS, bump_ns, Severity.GENERAL if hard else Severity.MINOR, found)

    @staticmethod
    def _spike(sizes: F64, begin: int, end: int, step_s: float) -> bool:
        """Whether it may be a single sample; where samples are few, what swings back about it counts, too."""
        if step_s <= BIN_S:
            return end - begin <= SMOOTH_BINS
        about = np.concatenate((sizes[max(0, begin - BESIDE) : begin], sizes[end : end + BESIDE]))
        return end - begin < 2 and bool(about.max(initial=0.0) < SWING_PART * sizes[begin])

    def _tell(self, decided_ns: int, bump_ns: int, severity: Severity, found: list[Finding]) -> None:
        if not self._track.active:
            found.append(self._track.start(decided_ns, bump_ns, severity, self._values()))
        elif (finding := self._track.update(decided_ns, severity, self._values())) is not None:
            found.append(finding)

    def _settle(self, until_ns: int, found: list[Finding]) -> None:
        """End the event where nothing more came for long enough before `until_ns`."""
        if not self._track.active:
            return
        due_ns = self._last_ns + round(self._settings.quiet_s * NS_PER_S)
        decided_ns = -(-due_ns // CHUNK_NS) * CHUNK_NS + LATER_NS
        if until_ns >= decided_ns:
            found.append(self._track.end(decided_ns, self._last_ns, self._track.severity, self._values()))

    def _values(self) -> dict[str, Value]:
        said: dict[str, Value] = {
            "peak_mps2": round(self._peak_mps2, 1),
            "delta_v_mps": round(self._delta_v_mps, 2),
        }
        if self._bumps > 1:
            said["bumps"] = self._bumps
        return said
