"""Leak: the rope gets wet, the air in the box damp, or a sealed pack loses its pressure. One event for all.

Three watches, each with a source of its own:

* `rope.py`: the voltage of a sensing rope leaves its dry level;
* `damp.py`: more water is in the air than before, and neither a door nor the temperature has brought it;
* `pack.py`: the overpressure of a sealed pack falls, and no weather, climb or cold explains it.

What one sensor says is held against what another said last, but not when that is long ago: a descent is no
leak because the barometer has died.

Major from one watch that is sure, critical from two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from agent.blocks import NS_PER_S, SiBlock
from agent.detection.context import Context, ContextWatch
from agent.detection.damp import DampWatch
from agent.detection.finding import EventType, Finding, Value
from agent.detection.leak_settings import LeakSettings
from agent.detection.pack import PackWatch
from agent.detection.plausible import DEGC, PASCAL, Plausible
from agent.detection.rope import RopeWatch
from agent.detection.track import LASTING_S, Track
from agent.hops import Hops
from agent.records import Severity

HOP_NS = 500_000_000
ROPE, HUMIDITY, TEMPERATURE, PRESSURE, AIR = "leak", "humidity", "temperature", "pressure", "air_pressure"
LID = "lid"
FEEDS = (ROPE, HUMIDITY, TEMPERATURE, PRESSURE, AIR)
STALE_NS = 60 * NS_PER_S
STALE_PERIODS = 3  # of a sensor that is read more rarely than that


class LeakDetector:
    """Watches those of `FEEDS` that there are; the rope, or temperature and humidity, or the pressure."""

    def __init__(
        self, settings: LeakSettings, streams: Sequence[str], context: ContextWatch | None = None
    ) -> None:
        self._settings = settings
        self._context = context
        self._latest: dict[str, tuple[int, float]] = {}
        self._stale_ns: dict[str, int] = {}
        self._blind: Counter[tuple[str, str]] = Counter()
        # of other sensors, against which the pack's pressure is held
        self._raw_degc: tuple[int, float] | None = None
        self._beside = {TEMPERATURE: Plausible(DEGC), AIR: Plausible(PASCAL)}
        damp, pack = {HUMIDITY, TEMPERATURE} <= {*streams}, {PRESSURE, AIR} <= {*streams}
        self._rope = RopeWatch(settings) if ROPE in streams else None
        self._damp = DampWatch(settings, door_told=LID in streams) if damp else None
        self._pack = PackWatch(settings) if pack else None
        used = {
            ROPE,
            *((HUMIDITY, TEMPERATURE) if damp else ()),
            *((PRESSURE, AIR, TEMPERATURE) if pack else ()),
        }
        self.streams: tuple[str, ...] = tuple(name for name in FEEDS if name in used and name in streams)
        self._hops = {name: Hops(HOP_NS) for name in self.streams}
        self._watches = [w for w in (self._rope, self._damp, self._pack) if w is not None]
        self._track = Track(
            EventType.LEAK, self.streams, update_s=LASTING_S, cool_down_s=settings.cool_down_s
        )
        self._dry_ns: int | None = None
        self._said: dict[str, Value] = {}

    @property
    def watches(self) -> bool:
        """Whether there is anything to watch with."""
        return bool(self._watches)

    def notes(self) -> Sequence[str]:
        """Say for how long which watch was blind."""
        said = [
            f"leak: the {watch} was not judged for {hops} values: no {name} that could be believed"
            for (watch, name), hops in self._blind.items()
        ]
        return said if self._damp is None else [*said, *self._damp.notes()]

    def feed(self, block: SiBlock) -> Sequence[Finding]:
        """Take samples; time decides."""
        self._stale_ns[block.stream] = max(STALE_NS, STALE_PERIODS * block.period_ns)
        self._hops[block.stream].feed(block)
        return ()

    def advance(self, horizon_ns: int) -> Sequence[Finding]:
        """Judge the hops that are complete."""
        rows: dict[int, dict[str, float]] = {}
        for name, hops in self._hops.items():
            run = hops.advance(horizon_ns)
            if run is not None:
                for hop, value in zip(run.index.tolist(), run.mean[:, 0].tolist(), strict=True):
                    rows.setdefault(hop, {})[name] = value
        found: list[Finding] = []
        for hop in sorted(rows):
            self._take((hop + 1) * HOP_NS, rows[hop])
            finding = self._judge((hop + 1) * HOP_NS)
            if finding is not None:
                found.append(finding)
        return found

    def _take(self, time_ns: int, row: dict[str, float]) -> None:
        if self._rope is not None and ROPE in row:
            self._rope.step(time_ns, row[ROPE])
        if self._damp is not None and TEMPERATURE in row:
            self._raw_degc = time_ns, row[TEMPERATURE]
        for name, plausible in self._beside.items():
            if name in row and plausible.step(time_ns, row[name]):
                self._latest[name] = time_ns, row[name]
        if self._damp is not None and HUMIDITY in row:
            if self._raw_degc is None or self._old(time_ns, TEMPERATURE, self._raw_degc[0]):
                self._blind["humidity", TEMPERATURE] += 1
            else:
                door = self._context is not None and self._context.at(time_ns) is Context.DOOR_OPEN
                self._damp.step(time_ns, self._raw_degc[1], row[HUMIDITY], door=door)
        if self._pack is not None and PRESSURE in row:
            self._weigh_pack(self._pack, time_ns, row[PRESSURE])

    def _weigh_pack(self, pack: PackWatch, time_ns: int, pressure_pa: float) -> None:
        """Hold it against air and temperature, each where there is one to be had."""
        for name in (AIR, TEMPERATURE):
            if name in self.streams and (
                name not in self._latest or self._old(time_ns, name, self._latest[name][0])
            ):
                self._blind["pressure", name] += 1
                return
        degc = self._latest[TEMPERATURE][1] if TEMPERATURE in self._latest else None
        pack.step(time_ns, pressure_pa, self._latest[AIR][1], degc)

    def _old(self, time_ns: int, name: str, measured_ns: int) -> bool:
        return time_ns - measured_ns > self._stale_ns[name]

    def _judge(self, time_ns: int) -> Finding | None:
        wet = [watch for watch in self._watches if watch.since_ns is not None]
        if not wet and not self._track.active:
            return None
        sure = sum(watch.severity >= Severity.MAJOR for watch in wet)
        severity = Severity.CRITICAL if sure > 1 else max((w.severity for w in wet), default=Severity.MINOR)
        if wet:
            self._said = {"by": "+".join(watch.name for watch in wet)}
            for watch in wet:
                self._said |= watch.values()
        if not self._track.active:
            if not self._track.ready(time_ns):
                return None
            self._dry_ns = None
            start_ns = min(watch.since_ns for watch in wet if watch.since_ns is not None)
            return self._track.start(time_ns, start_ns, severity, self._said)
        if wet:
            self._dry_ns = None
            return self._track.update(time_ns, severity, self._said)
        if self._dry_ns is None:
            self._dry_ns = time_ns
        if time_ns - self._dry_ns < self._settings.release_s * NS_PER_S:
            return None
        return self._track.end(time_ns, self._dry_ns, self._track.severity, self._said)
