"""A bus with models of chips on it, an `I2cBus` that samples them, and what came of it.

The same tests run on two rigs: at the SMBus boundary with simulated time, anywhere; and on a real kernel
bus in real time, in the virtual Pi (`kernel_rig.py`).
"""

from __future__ import annotations

import gc
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from agent.blocks import Block, FaultPhase, SensorFault, Silence
from agent.gaps import Gap, GapWatch
from agent.sources.drivers.base import ChipSettings
from agent.sources.i2c_bus import I2cBus
from agent.sources.i2c_port import Bus
from scripts.virtual_pi.chips.base import Chip
from tests.i2c.simulated_bus import SimClock, SimulatedBus

NS_PER_S = 1_000_000_000
Item = Any


class Rig(Protocol):
    """A bus that can be broken in every way."""

    simulated: bool
    path: str
    speed_hz: int
    latency_ms: float

    def put(self, chips: Iterable[Chip]) -> None:
        """Solder these to the bus."""

    def now_ns(self) -> int: ...
    def wait(self, due_ns: int, stop: threading.Event) -> None: ...
    def open_bus(self, path: str, timeout_ms: int) -> Bus: ...
    def pull(self) -> None: ...
    def plug(self) -> None: ...
    def hold_down(self) -> None: ...
    def let_go(self) -> None: ...
    def hold_up(self, for_ns: int) -> None: ...


class SimulatedRig:
    """In front of the models, in simulated time; threads wake up to `late_ns` late."""

    simulated = True
    path = "/dev/i2c-9"
    speed_hz = 400_000
    latency_ms = 10.0

    def __init__(self, late_ns: int = 200_000, seed: int = 1) -> None:
        self.clock = SimClock(1_000 * NS_PER_S, late_ns=late_ns, seed=seed)
        self.bus = SimulatedBus(self.clock, [], speed_hz=self.speed_hz)
        self.bus.timeout_ns = 50_000_000

    def put(self, chips: Iterable[Chip]) -> None:
        self.bus.wire.chips[:] = list(chips)
        self.clock.advance(50_000_000)  # they have been powered for a while

    def now_ns(self) -> int:
        return self.clock.now_ns()

    def wait(self, due_ns: int, stop: threading.Event) -> None:
        self.clock.wait_until(due_ns)

    def open_bus(self, path: str, timeout_ms: int) -> Bus:
        return self.bus.open(path)

    def pull(self) -> None:
        self.bus.gone = True

    def plug(self) -> None:
        self.bus.gone = False

    def hold_down(self) -> None:
        self.bus.stuck = True

    def let_go(self) -> None:
        self.bus.stuck = False

    def hold_up(self, for_ns: int) -> None:
        self.clock.advance(for_ns)


@dataclass(slots=True)
class Sample:
    """One sample as it was handed on."""

    index: int
    time_ns: int
    values: tuple[float, ...]
    quality: int
    handed_ns: int


@dataclass(slots=True)
class Taken:
    """What an `I2cBus` gave."""

    bus: I2cBus
    rig: Rig
    begun_ns: int
    zero_ns: int
    """When the seconds of the script begin."""
    items: list[Item] = field(default_factory=list)
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    faults: list[SensorFault] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    handed_ns: list[int] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    """Samples of each stream."""

    def kinds(self) -> list[str]:
        """Return the faults as phase and kind, in their order."""
        return [f"{fault.phase.value} {fault.kind.value}" for fault in self.faults]

    def missing(self, stream: str) -> int:
        """Return how many samples the gap records of a stream name."""
        return sum(gap.samples for gap in self.gaps if gap.stream == stream)

    def reasons(self, stream: str) -> set[str]:
        """Return the reasons of a stream's gaps."""
        return {gap.reason for gap in self.gaps if gap.stream == stream}


Step = tuple[float, Callable[[], object]]


def sample(
    rig: Rig,
    chips: Sequence[ChipSettings],
    *,
    seconds: float | None = None,
    until: Callable[[Taken], bool] | None = None,
    script: Sequence[Step] = (),
    from_first: bool = False,
    **options: Any,
) -> Taken:
    """Sample `chips` for so long, or until a condition; do each step of `script` at its second.

    `from_first`: seconds count from the first sample, and not from the beginning.
    """
    bus = I2cBus(
        rig.path,
        [(one.make(), one.address, one.mux, one.channel) for one in chips],
        speed_hz=rig.speed_hz,
        open_bus=rig.open_bus,
        now_ns=rig.now_ns,
        wait=rig.wait,
        **{"latency_ms": rig.latency_ms, **options},
    )
    bus.open()
    taken = Taken(bus, rig, rig.now_ns(), rig.now_ns())
    steps = sorted(script, key=lambda step: step[0])
    stop = threading.Event()
    gc.disable()  # all that is kept here for later would be looked through again and again, for a second each
    try:
        for item in _with_ticks(bus, stop, rig):
            if from_first and not taken.counts:
                taken.zero_ns = rig.now_ns()
            passed_s = (rig.now_ns() - taken.zero_ns) / NS_PER_S
            while steps and passed_s >= steps[0][0]:
                steps.pop(0)[1]()
            if item is not None:
                now_ns = rig.now_ns()
                taken.items.append(item)
                taken.handed_ns.append(now_ns)
                if isinstance(item, Block):
                    taken.counts[item.stream] += len(item)
                elif isinstance(item, SensorFault):
                    taken.faults.append(item)
            assert rig.now_ns() - taken.begun_ns < 900 * NS_PER_S, f"not one sample: {taken.kinds()}"
            if (seconds is not None and passed_s >= seconds) or (until is not None and until(taken)):
                break
    finally:
        gc.enable()
        bus.close()
    _sort_out(taken)
    return taken


def _with_ticks(bus: I2cBus, stop: threading.Event, rig: Rig) -> Iterator[Item]:
    """Give what the bus gives, and None now and then even if it gives nothing."""
    waited = rig.wait
    pending: list[None] = []

    def tick(due_ns: int, stop: threading.Event) -> None:
        waited(due_ns, stop)
        pending.append(None)

    bus._wait = tick
    for item in bus.items(stop):
        yield item
        if pending:
            pending.clear()
            yield None


def _sort_out(taken: Taken) -> None:
    """Take apart what came; not while it comes, since the virtual Pi has no time to spare."""
    watch = GapWatch()
    for item, handed_ns in zip(taken.items, taken.handed_ns, strict=True):
        if not isinstance(item, Block):
            continue
        taken.gaps += watch.before(item)
        quality = np.zeros(len(item), np.uint8) if item.quality is None else item.quality
        taken.samples.setdefault(item.stream, []).extend(
            Sample(item.first + i, int(time_ns), tuple(values.tolist()), int(flags), handed_ns)
            for i, (time_ns, values, flags) in enumerate(
                zip(item.times_ns(), item.values, quality, strict=True)
            )
        )


def check_order(taken: Taken) -> None:
    """Hold what came against the contract of a source: order, silences kept, faults in their place."""
    next_index: dict[str, int] = {}
    last_ns: dict[str, int] = {}
    silent_ns: dict[str, int] = {}
    open_faults: dict[tuple[str, ...], SensorFault] = {}
    for item in taken.items:
        if isinstance(item, Silence):
            silent_ns[item.stream] = max(silent_ns.get(item.stream, 0), item.until_ns)
        elif isinstance(item, Block):
            name = item.stream
            assert item.first >= next_index.get(name, 0), f"{name}: {item.first} twice"
            jumped = item.first > next_index.get(name, 0)
            assert not jumped or item.missing_reason, f"{name}: {item.first}: a jump without a reason"
            assert item.start_ns >= silent_ns.get(name, 0), f"{name}: a sample before a silence's end"
            assert item.start_ns > last_ns.get(name, -1), f"{name}: time goes back at {item.first}"
            next_index[name], last_ns[name] = item.end, item.last_ns
        elif isinstance(item, SensorFault):
            key = item.streams
            if item.phase is FaultPhase.START:
                assert key not in open_faults, f"a second start: {item}"
                open_faults[key] = item
            else:
                assert key in open_faults, f"no start before {item}"
                assert item.at_ns >= open_faults[key].at_ns, f"it ends before it begins: {item}"
                if item.phase is FaultPhase.END:
                    del open_faults[key]
            assert item.at_ns >= last_ns.get(item.stream, 0), f"before the last sample: {item}"
            assert item.at_ns >= silent_ns.get(item.stream, 0), f"before a silence's end: {item}"


def check_sum(taken: Taken, stream: str) -> None:
    """The gaps add up exactly to what the index says is missing."""
    samples = taken.samples[stream]
    missing = samples[-1].index + 1 - len(samples)
    assert taken.missing(stream) == missing, f"gaps name {taken.missing(stream)}, the index {missing}"
