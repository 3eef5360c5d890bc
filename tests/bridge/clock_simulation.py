"""The way of a sample's time, in simulation: a truth, what a cable and a query make of it, and what we say.

``python -m tests.bridge.clock_simulation`` prints the table of figures.

The truth is the host's clock. The board's counter drifts against it, the sensor's oscillator against both.
A frame of 3 ms brings the ticks of its first sample as the board saw it: late by up to 200 µs, one in a
hundred by 50 ms more. A ping is under way for up to 200 µs each way, one in a hundred for 50 ms more.
"""

from __future__ import annotations

import heapq
import itertools
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from agent.blocks import RegularClock
from agent.sources.stream_clock import StreamClock
from firmware_bridge.clock import TickClock
from firmware_bridge.continuity import REBOOT, Continuity
from firmware_bridge.describe import BoardStream
from firmware_bridge.sensor_clock import SensorClock

F64 = npt.NDArray[np.float64]
Profile = Callable[[F64], F64]

NS_PER_S = 1_000_000_000
FRAME_S = 0.003
PING_S = 1.0
START_NS = 1_000 * NS_PER_S
GRID_S = 0.01
SETTLED_S = 60.0  # figures count from here


def constant(ppm: float) -> Profile:
    return lambda t: np.full(len(t), ppm * 1e-6)


def ramp(ppm: float, by_ppm: float, *, from_s: float, over_s: float) -> Profile:
    return lambda t: (ppm + by_ppm * np.clip((t - from_s) / over_s, 0, 1)) * 1e-6


def swing(ppm: float, by_ppm: float, *, period_s: float) -> Profile:
    return lambda t: (ppm + by_ppm * np.sin(2 * np.pi * t / period_s)) * 1e-6


@dataclass(frozen=True)
class World:
    """What is true, and how badly it is seen."""

    rate_hz: float = 3200.0
    duration_s: float = 600.0
    board: Profile = field(default_factory=lambda: constant(200.0))
    sensor: Profile = field(default_factory=lambda: constant(23_000.0))
    jitter_us: float = 200.0
    outliers: float = 0.01
    outlier_us: float = 50_000.0
    tick_bits: int = 32
    first_ticks: int = 12_345
    reboots_s: tuple[float, ...] = ()
    pauses_s: tuple[float, ...] = ()
    pause_s: float = 1.0
    fifo: bool = False
    """The board only knows how many samples wait when it looks; it reckons back with the nominal rate."""
    unheard_s: tuple[float, float] | None = None
    """No ping is answered between these."""
    seed: int = 1


@dataclass(frozen=True)
class Frame:
    came_s: float
    session: int
    index: int
    count: int
    ticks: int
    true_s: F64


@dataclass(frozen=True)
class Ping:
    came_s: float
    session: int
    sent_s: float
    came_ticks: int
    left_ticks: int


@dataclass
class Trace:
    """A piece of a stream's final times, and the truth."""

    clock: RegularClock
    first: int
    end: int
    true_s: list[F64]

    def times_ns(self) -> npt.NDArray[np.int64]:
        return self.clock.times_ns(self.first, self.end - self.first)


def _came_s(event: Frame | Ping) -> float:
    return event.came_s


class Simulation:
    """What comes out of a `World`, in the order in which the host hears of it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.chance = np.random.default_rng(world.seed)
        self.grid_s = np.arange(0.0, world.duration_s + 2 * GRID_S, GRID_S)
        self.ticks_us = self._integral(1 + world.board(self.grid_s)) * 1e6
        speed = (1 + world.sensor(self.grid_s)) * world.rate_hz
        for pause_s in world.pauses_s:
            speed[(self.grid_s >= pause_s) & (self.grid_s < pause_s + world.pause_s)] = 1e-9
        self.taken = self._integral(speed)

    def events(self) -> Iterator[Frame | Ping]:
        edges = [0.0, *self.world.reboots_s, self.world.duration_s]
        for session, (begin_s, end_s) in enumerate(itertools.pairwise(edges)):
            boots_s = begin_s + (1.0 if session else 0.0)
            heard: tuple[Iterator[Frame | Ping], ...] = (
                self._pings(session, boots_s, end_s),
                self._frames(session, boots_s + 0.2, end_s),
            )
            yield from heapq.merge(*heard, key=_came_s)

    def _integral(self, speed: F64) -> F64:
        return np.concatenate([[0.0], np.cumsum((speed[1:] + speed[:-1]) / 2 * GRID_S)])

    def _ticks(self, session: int, at_s: F64) -> npt.NDArray[np.int64]:
        whole = np.interp(at_s, self.grid_s, self.ticks_us).astype(np.int64)
        return (whole + self.world.first_ticks + session * 987_654_321) % (1 << self.world.tick_bits)

    def _late_s(self, count: int) -> F64:
        late_us = self.chance.uniform(0, self.world.jitter_us, count)
        late_us += np.where(self.chance.random(count) < self.world.outliers, self.world.outlier_us, 0.0)
        return late_us * 1e-6

    def _pings(self, session: int, begin_s: float, end_s: float) -> Iterator[Frame | Ping]:
        sync_s = begin_s + 0.02 * np.arange(1, 6)
        sent_s = np.concatenate([sync_s, np.arange(begin_s + 0.2, end_s - 0.2, PING_S)])
        if self.world.unheard_s is not None:
            sent_s = sent_s[(sent_s < self.world.unheard_s[0]) | (sent_s >= self.world.unheard_s[1])]
        came_s = sent_s + self._late_s(len(sent_s))
        left_s = came_s + 30e-6
        answered_s = left_s + self._late_s(len(sent_s))
        came, left = self._ticks(session, came_s), self._ticks(session, left_s)
        pings = (
            Ping(float(a), session, float(s), int(c), int(e))
            for a, s, c, e in zip(answered_s, sent_s, came, left, strict=True)
        )
        yield from sorted(pings, key=_came_s)

    def _frames(self, session: int, begin_s: float, end_s: float) -> Iterator[Frame | Ping]:
        begin, end = np.interp([begin_s, end_s], self.grid_s, self.taken)
        numbers = np.arange(np.ceil(begin), np.floor(end))
        true_s = np.interp(numbers, self.taken, self.grid_s)
        looks_s = np.arange(begin_s, end_s, FRAME_S)
        cuts = np.unique(np.searchsorted(true_s, looks_s))
        firsts = cuts[:-1]
        late_s = self._late_s(len(firsts))
        if self.world.fifo:
            # the newest has just come, or up to a period ago: late again
            looked_s = looks_s[np.searchsorted(looks_s, true_s[cuts[1:] - 1], side="right")]
            back_us = np.round((np.diff(cuts) - 1) * 1e6 / self.world.rate_hz).astype(np.int64)
            seen = (self._ticks(session, looked_s + late_s) - back_us) % (1 << self.world.tick_bits)
        else:
            seen = self._ticks(session, true_s[firsts] + late_s)
        for first, upto, ticks in zip(firsts.tolist(), cuts[1:].tolist(), seen.tolist(), strict=True):
            came_s = float(true_s[upto - 1]) + 0.004
            yield Frame(came_s, session, first - int(firsts[0]), upto - first, ticks, true_s[first:upto])


class Host:
    """Tick clock, continuity, sensor clock and stream clock, wired as the link and the source do it."""

    def __init__(self, rate_hz: float, tick_bits: int) -> None:
        self.stream = BoardStream("accel", ("x",), "mps2", 1.0, rate_hz, 16, None)
        self.tick_bits = tick_bits
        self.ticks = TickClock(tick_bits)
        self.continuity = Continuity(self.stream)
        self.sensor = SensorClock(1e6 / rate_hz)
        self.clock = StreamClock(round(1e12 / rate_hz))
        self.last_ns: int | None = None
        self.session = 0

    def ping(self, ping: Ping) -> None:
        self._begin(ping.session)
        sent_ns, answered_ns = in_ns(ping.sent_s), in_ns(ping.came_s)
        self.ticks.add_ping(sent_ns, ping.came_ticks, ping.left_ticks, answered_ns)

    def frame(self, frame: Frame) -> tuple[int, RegularClock] | None:
        ticks_us = self.ticks.unwrap(frame.ticks, in_ns(frame.came_s))
        raw_ns = self.ticks.host_ns(ticks_us)
        place = self.continuity.place(frame.index, frame.count, raw_ns)
        if place is None:
            return None
        self.sensor.add(place.first, frame.count, ticks_us)
        clock = self.clock.follow(
            place.first,
            self.ticks.host_ns(self.sensor.ticks_us(place.first)),
            self.sensor.period_us * self.ticks.ns_per_us,
            jumped=place.missing_reason != "",
            last_ns=self.last_ns,
        )
        self.last_ns = clock.time_ns(place.first + frame.count - 1)
        return place.first, clock

    def _begin(self, session: int) -> None:
        if session != self.session:
            self.session = session
            self.ticks = TickClock(self.tick_bits)
            self.sensor.restart()
            self.continuity.begin_session(reason=REBOOT, counts_from_zero=True)


def in_ns(at_s: float) -> int:
    return START_NS + round(at_s * 1e9)


@dataclass(frozen=True)
class Result:
    """Errors of all samples' times, said - true; and of three simpler ways."""

    host: Host
    true_s: F64
    errors_us: F64
    least_step_ns: int
    clocks: int
    frames: int
    own_ticks_us: F64
    """Frames' first samples: their own ticks through the tick clock."""
    last_ping_us: F64
    """Frames' first samples: their own ticks, the last ping's offset."""
    counted_us: F64
    """Frames' first samples: the first one's time and the nominal period."""

    @property
    def settled_us(self) -> F64:
        return self.errors_us[self.true_s >= SETTLED_S]

    @property
    def sigma_us(self) -> float:
        return float(np.std(self.settled_us))

    @property
    def bias_us(self) -> float:
        return float(np.mean(self.settled_us))

    @property
    def worst_us(self) -> float:
        return float(np.max(np.abs(self.settled_us)))

    def worst_between_us(self, begin_s: float, end_s: float) -> float:
        return float(np.max(np.abs(self.errors_us[(self.true_s >= begin_s) & (self.true_s < end_s)])))

    def settling_s(self, within_us: float = 100.0) -> float:
        """When an error was beyond `within_us` for the last time in the first minute."""
        beyond = (np.abs(self.errors_us) > within_us) & (self.true_s < SETTLED_S)
        return float(self.true_s[beyond].max() - self.true_s[0]) if beyond.any() else 0.0

    def __str__(self) -> str:
        return (
            f"σ {self.sigma_us:.1f} µs, bias {self.bias_us:+.1f} µs, worst {self.worst_us:.1f} µs, settled "
            f"within 100 µs after {self.settling_s():.1f} s, {self.clocks} clocks in {self.frames} frames"
        )


def run(world: World) -> Result:
    host = Host(world.rate_hz, world.tick_bits)
    traces: list[Trace] = []
    frames: list[tuple[float, int, int, int]] = []
    ping_offset_ns = first_ns = 0
    for event in Simulation(world).events():
        if isinstance(event, Ping):
            host.ping(event)
            left = host.ticks.unwrap(event.left_ticks, in_ns(event.came_s))
            ping_offset_ns = (in_ns(event.sent_s) + in_ns(event.came_s)) // 2 - left * 1000
            continue
        placed = host.frame(event)
        if placed is None:
            continue
        first, clock = placed
        ticks_us = host.ticks.unwrap(event.ticks, in_ns(event.came_s))
        true_ns = in_ns(float(event.true_s[0]))
        own_ns = host.ticks.host_ns(ticks_us)
        first_ns = first_ns or own_ns
        counted_ns = first_ns + round(first * 1e9 / world.rate_hz)
        frames.append(
            (
                event.true_s[0],
                own_ns - true_ns,
                ticks_us * 1000 + ping_offset_ns - true_ns,
                counted_ns - true_ns,
            )
        )
        if not (traces and traces[-1].clock is clock and traces[-1].end == first):
            traces.append(Trace(clock, first, first, []))
        traces[-1].true_s.append(event.true_s)
        traces[-1].end += event.count
    times_ns = np.concatenate([trace.times_ns() for trace in traces])
    true_s = np.concatenate([part for trace in traces for part in trace.true_s])
    simple = np.array([row for row in frames if row[0] >= SETTLED_S]).reshape(-1, 4).T / 1000
    return Result(
        host=host,
        true_s=true_s,
        errors_us=((times_ns - START_NS) - true_s * 1e9) / 1000,
        least_step_ns=int(np.diff(times_ns).min()),
        clocks=len({id(trace.clock) for trace in traces}),
        frames=len(frames),
        own_ticks_us=simple[1],
        last_ping_us=simple[2],
        counted_us=simple[3],
    )


BOARDS: dict[str, Profile] = {
    "steady 200 ppm": constant(200.0),
    "200 → 180 ppm in 3 min": ramp(200.0, -20.0, from_s=200.0, over_s=180.0),
    "190 ± 10 ppm in 10 min": swing(190.0, 10.0, period_s=600.0),
    "−200 → −180 ppm in 3 min": ramp(-200.0, 20.0, from_s=200.0, over_s=180.0),
}
STEP_S = 200.0
STEPS: dict[str, Profile] = {
    "200 → 220 ppm in 1 s": ramp(200.0, 20.0, from_s=STEP_S, over_s=1.0),  # no crystal does that
}
SENSORS: dict[float, Profile] = {
    3200.0: ramp(23_000.0, 200.0, from_s=100.0, over_s=300.0),
    320.0: ramp(-70_000.0, 500.0, from_s=100.0, over_s=300.0),
    80.0: ramp(70_000.0, -500.0, from_s=100.0, over_s=300.0),
}
SEEDS = (1, 2, 3)


def main() -> None:
    """Print the table that docs quote."""
    print("µs; from one minute on, 10 minutes, worst of three seeds")
    print(
        f"{'board':26} {'rate':>6} {'σ':>6} {'bias':>7} {'worst':>7} {'settled':>8} {'clocks':>7}"
        f" | {'own ticks':>16} | {'last ping':>18} | {'counted':>12}"
    )
    for name, board in (BOARDS | STEPS).items():
        for rate_hz, sensor in SENSORS.items():
            results = [run(World(rate_hz=rate_hz, board=board, sensor=sensor, seed=s)) for s in SEEDS]
            worst = max(results, key=lambda r: r.sigma_us)
            bias_us = max((r.bias_us for r in results), key=abs)
            own, ping = worst.own_ticks_us, worst.last_ping_us
            print(
                f"{name:26} {rate_hz:6.0f} {worst.sigma_us:6.1f} {bias_us:+7.1f}"
                f" {max(r.worst_us for r in results):7.1f} {max(r.settling_s() for r in results):6.1f} s"
                f" {max(r.clocks for r in results):7d} | σ {own.std():7.1f} {abs(own).max():7.0f}"
                f" | σ {ping.std():8.1f} {abs(ping).max():8.0f} | {abs(worst.counted_us).max():12.0f}"
            )
            sys.stdout.flush()


if __name__ == "__main__":
    main()
