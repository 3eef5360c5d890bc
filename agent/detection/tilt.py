"""Sustained tilt: the angle between the low-passed specific force and the box's up axis, by levels.

The low-passed direction of specific force is where a liquid's surface settles, so it is the right quantity
for cargo even when part of it is braking. Each level lasts longer than a vehicle can pretend it: 30° for 5
s is 0.58 g held over 100 km/h, 60° for 1 s is 1.7 g.

Where there is a gyroscope, a complementary filter (R. Mahony et al., IEEE Trans. Autom. Control 53 (2008)
1203) carries the direction of gravity along with the box's own rotation. Force that turns while the box
does not is a brake, as long as no brake could have lasted longer, or a bend, for as long as the box turns
about the upright.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from agent.blocks import NS_PER_S, SiBlock
from agent.detection.finding import EventType, Finding, Value
from agent.detection.gyro import GravityCarrier
from agent.detection.track import LASTING_S, Track, silent_ns
from agent.detection.upright import HOP_NS, Upright
from agent.hops import HopRun, Hops
from agent.mounting import Vector, angle_between_deg
from agent.ranges import Angle, NotNegative, Positive
from agent.records import Severity
from calibration.gravity import STANDARD_GRAVITY_MPS2

LIGHT_MPS2, HEAVY_MPS2 = 0.5 * STANDARD_GRAVITY_MPS2, 1.5 * STANDARD_GRAVITY_MPS2
"""Outside of these a hop is a fall, an impact or a sensor at its end: it points nowhere."""
LIGHT_SQUARED, HEAVY_SQUARED = LIGHT_MPS2**2, HEAVY_MPS2**2
LOST_HOPS = round(1.0 * NS_PER_S / HOP_NS)
HOLE_HOPS = round(0.5 * NS_PER_S / HOP_NS)
"""After a hole longer than this it is not known what was in between, so nothing has lasted over it."""
BRAKE_MPS = 28.0  # 100 km/h: no brake takes away more


class TiltLevel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Farther than ``angle_deg`` for ``hold_s``: an event of this severity, 1 minor to 4 critical."""

    angle_deg: Angle
    hold_s: NotNegative
    severity: Severity


LEVELS = (
    TiltLevel(angle_deg=15.0, hold_s=60.0, severity=Severity.MINOR),
    TiltLevel(angle_deg=17.0, hold_s=30.0, severity=Severity.GENERAL),
    TiltLevel(angle_deg=30.0, hold_s=5.0, severity=Severity.MAJOR),
    TiltLevel(angle_deg=60.0, hold_s=1.0, severity=Severity.CRITICAL),
)


class TiltSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One event for all levels; it ends ``hysteresis_deg`` below the lowest, for ``release_s``."""

    enabled: bool = True
    levels: tuple[TiltLevel, ...] = LEVELS
    hysteresis_deg: NotNegative = 2.0
    release_s: NotNegative = 1.0
    cool_down_s: NotNegative = 0.0
    lowpass_s: Positive = 0.4
    """Time constant of the low-pass."""
    gyro_s: Positive = 8.0
    """Time constant with which a gyroscope's word is led back to the force's."""

    @property
    def alarm_deg(self) -> float:
        """The least angle that can be an alarm; 180 where none can."""
        return min((v.angle_deg for v in self.levels if v.severity >= Severity.MAJOR), default=180.0)


class TiltDetector:
    """Watches one accelerometer stream, and a gyroscope's if told. `up` None: learned."""

    def __init__(
        self,
        settings: TiltSettings,
        up: Vector | None,
        stream: str = "accel",
        gyro_stream: str | None = None,
    ) -> None:
        self.streams: tuple[str, ...] = (stream,) if gyro_stream is None else (stream, gyro_stream)
        self._settings = settings
        self._upright = Upright(up)
        self._levels = tuple(sorted(settings.levels, key=lambda level: level.angle_deg))
        self._holds_ns = [round(level.hold_s * NS_PER_S) for level in self._levels]
        self._lowest_deg = min((v.angle_deg for v in self._levels), default=180.0)
        self._release_ns = round(settings.release_s * NS_PER_S)
        self._gain = 1.0 - math.exp(-HOP_NS / NS_PER_S / settings.lowpass_s)
        # nothing is skipped where a level is beyond 90°: there the square would not tell before from behind
        self._reject = math.cos(math.radians(min(89.0, max(0.0, self._lowest_deg - settings.hysteresis_deg))))
        self._hops = Hops(HOP_NS)
        self._gyro_hops = Hops(HOP_NS) if gyro_stream is not None else None
        self._carrier = GravityCarrier(settings.gyro_s) if gyro_stream is not None else None
        self._track = Track(
            EventType.TILT, self.streams, update_s=LASTING_S, cool_down_s=settings.cool_down_s
        )
        self._force: list[float] | None = None
        self._last_hop = 0
        self._spacing_hops = 1  # from hop to hop, usually: a slow stream does not have all
        self._lost_hops = 0
        self._since_ns: list[int | None] = [None] * len(self._levels)
        self._below_ns: int | None = None
        self._largest_deg = self._level_deg = 0.0

    @property
    def up(self) -> Vector | None:
        """Which way is up in the sensor's axes, as far as known."""
        return self._upright.up

    def notes(self) -> Sequence[str]:
        """Say why tilt is not watched, if it is not."""
        why_not = self._upright.why_not()
        return (f"tilt: not watched: {why_not}",) if why_not else ()

    def feed(self, block: SiBlock) -> Sequence[Finding]:
        """Take samples; time decides."""
        if block.stream == self.streams[0]:
            self._hops.feed(block)
        elif self._gyro_hops is not None:
            self._gyro_hops.feed(block)
        return ()

    def advance(self, horizon_ns: int) -> Sequence[Finding]:
        """Judge the hops that are complete."""
        run = self._hops.advance(horizon_ns)
        turned = self._gyro_hops.advance(horizon_ns) if self._gyro_hops is not None else None
        found: list[Finding] = []
        if run is not None:
            self._take(run, turned, found)
        self._silent(horizon_ns, found)
        return found

    def _take(self, run: HopRun, turned: HopRun | None, found: list[Finding]) -> None:
        rates = dict(zip(turned.index.tolist(), turned.mean.tolist(), strict=True)) if turned else {}
        if self._carrier is None and self._upright.settled and not self._track.active:
            begin = self._skip(run.index.tolist(), run.mean.tolist())
        else:
            begin = 0
        if begin == len(run):
            return
        for hop, mean in zip(run.index.tolist()[begin:], run.mean.tolist()[begin:], strict=True):
            self._silent(hop * HOP_NS, found)
            self._bridge(hop)
            force = self._lowpass(hop, mean)
            if not self._upright.settled:
                self._upright.step(hop, mean)
            up = self._upright.up
            if self._carrier is not None:
                self._carrier.step(hop, mean, force, rates.get(hop))
            if up is None or self._lost_hops >= LOST_HOPS:
                continue
            if not self._track.active and self._largest_deg == 0.0 and self._stands(force, up):
                continue
            finding = self._judge((hop + 1) * HOP_NS, angle_between_deg(force, up), up)
            if finding is not None:
                found.append(finding)

    def _silent(self, now_ns: int, found: list[Finding]) -> None:
        """End the event where nothing has come for too long before `now_ns`."""
        end_ns = (self._last_hop + 1) * HOP_NS
        if self._track.active and now_ns >= (decided_ns := silent_ns(end_ns)):
            found.append(self._track.end(decided_ns, end_ns, self._track.severity, self._values(())))
            self._forget()

    def _bridge(self, hop: int) -> None:
        """Forget since when it leans, or stands again, if a hole is before this hop."""
        steps = hop - self._last_hop
        if steps > HOLE_HOPS and steps > 2 * self._spacing_hops:
            self._below_ns = None
            self._since_ns = [None] * len(self._levels)
            self._forget()
        self._spacing_hops = max(1, min(steps, 2 * self._spacing_hops))

    def _stands(self, force: list[float], up: Vector) -> bool:
        """Whether it is nearer to upright than any level asks for."""
        x, y, z = force
        along = x * up[0] + y * up[1] + z * up[2]
        return along > 0 and along * along >= self._reject * self._reject * (x * x + y * y + z * z)

    def _skip(self, index: list[int], means: list[list[float]]) -> int:
        """Low-pass the hops in which nothing can happen, and return how many they are.

        It is what the longer way does, for what nearly always is: upright, no hop missing, none too light.
        """
        up = self._upright.up
        if self._force is None or up is None or self._lost_hops or self._largest_deg != 0.0:
            return 0
        (fx, fy, fz), (ux, uy, uz), gain = self._force, up, self._gain
        limit, last = self._reject * self._reject, self._last_hop
        done = 0
        for hop, (x, y, z) in zip(index, means, strict=True):
            if hop != last + 1 or not LIGHT_SQUARED <= x * x + y * y + z * z <= HEAVY_SQUARED:
                break
            nx, ny, nz = fx + gain * (x - fx), fy + gain * (y - fy), fz + gain * (z - fz)
            along = nx * ux + ny * uy + nz * uz
            if along <= 0 or along * along < limit * (nx * nx + ny * ny + nz * nz):
                break
            fx, fy, fz, last = nx, ny, nz, hop
            done += 1
        if done:
            self._force, self._last_hop, self._spacing_hops = [fx, fy, fz], last, 1
        return done

    def _lowpass(self, hop: int, mean: list[float]) -> list[float]:
        x, y, z = mean
        size = x * x + y * y + z * z
        force = self._force
        if not LIGHT_SQUARED <= size <= HEAVY_SQUARED:
            self._lost_hops += hop - self._last_hop
            self._last_hop = hop
            if self._lost_hops >= LOST_HOPS:
                self._forget()
            return force or mean
        if force is None or self._lost_hops >= LOST_HOPS:
            self._force = force = mean
        else:
            steps = hop - self._last_hop
            gain = (
                self._gain
                if steps == 1
                else 1.0 - math.exp(-steps * HOP_NS / NS_PER_S / self._settings.lowpass_s)
            )
            a, b, c = force
            self._force = force = [a + gain * (x - a), b + gain * (y - b), c + gain * (z - c)]
        self._last_hop, self._lost_hops = hop, 0
        return force

    def _forget(self) -> None:
        """What was about to become an event is not known to go on."""
        if not self._track.active:
            self._since_ns = [None] * len(self._levels)
            self._largest_deg = 0.0

    def _judge(self, time_ns: int, angle_deg: float, up: Vector) -> Finding | None:
        reached: list[int] = []
        for i, level in enumerate(self._levels):
            since_ns = self._since_ns[i]
            if angle_deg > level.angle_deg:
                since_ns = self._since_ns[i] = time_ns if since_ns is None else since_ns
            elif angle_deg <= level.angle_deg - self._settings.hysteresis_deg:
                self._since_ns[i] = None
                continue
            if (
                since_ns is not None
                and time_ns - since_ns >= self._holds_ns[i]
                and not self._is_motion(level.angle_deg, time_ns - since_ns, up)
            ):
                reached.append(i)
        waiting = any(since_ns is not None for since_ns in self._since_ns)
        if not self._track.active:
            self._largest_deg = max(self._largest_deg, angle_deg) if waiting else 0.0
            if not reached or not self._track.ready(time_ns):
                return None
            start_ns = min(s for i in reached if (s := self._since_ns[i]) is not None)
            self._below_ns = None
            return self._track.start(time_ns, start_ns, self._worst(reached), self._values(reached))
        self._largest_deg = max(self._largest_deg, angle_deg)
        if angle_deg > self._lowest_deg - self._settings.hysteresis_deg:
            self._below_ns = None
            return self._track.update(time_ns, self._worst(reached), self._values(reached))
        if self._below_ns is None:
            self._below_ns = time_ns
        if time_ns - self._below_ns < self._release_ns:
            return None
        finding = self._track.end(time_ns, self._below_ns, self._worst(reached), self._values(reached))
        self._largest_deg = 0.0
        return finding

    def _is_motion(self, level_deg: float, lasts_ns: int, up: Vector) -> bool:
        """Whether the gyroscope saw the box turn less far, and driving can explain the force."""
        carrier = self._carrier
        if carrier is None or not carrier.known:
            return False
        if carrier.angle_deg(up) > level_deg - self._settings.hysteresis_deg:
            return False
        sideways_mps2 = STANDARD_GRAVITY_MPS2 * math.tan(math.radians(min(level_deg, 80.0)))
        return carrier.in_a_bend or lasts_ns < BRAKE_MPS / sideways_mps2 * NS_PER_S

    def _worst(self, reached: Sequence[int]) -> Severity:
        return max((self._levels[i].severity for i in reached), default=self._track.severity)

    def _values(self, reached: Sequence[int]) -> dict[str, Value]:
        if reached:
            self._level_deg = self._levels[reached[-1]].angle_deg
        return {"angle_deg": round(self._largest_deg, 1), "level_deg": self._level_deg}
