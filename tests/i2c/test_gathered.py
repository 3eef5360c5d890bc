"""Single cells become one stream: no cell shifted in time, every missing point counted, however it is cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.blocks import Block, FaultKind, FaultPhase, Quality, RegularClock, SensorFault, Silence
from agent.gaps import GapWatch
from agent.sources.gathered import Gathered, Item

RATE_HZ = 80.0
START_NS = 7_000_000_123
GRID = RegularClock.of_rate(RATE_HZ, anchor_ns=START_NS)
CELLS = ("fl", "fr", "rl")


@dataclass(frozen=True)
class Outage:
    """Samples `first` to `end` of a cell never came; told as a fault, as silence, or only by the index."""

    first: int
    end: int
    reason: FaultKind
    told: bool
    silent: bool


@dataclass
class Cell:
    """What one chip really does: `values` at times of its own, with pieces missing."""

    name: str
    clock: RegularClock
    values: list[int]
    outages: list[Outage] = field(default_factory=list)
    saturated: frozenset[int] = frozenset()

    @property
    def stream(self) -> str:
        return f"load.{self.name}"

    def is_lost(self, index: int) -> bool:
        return any(o.first <= index < o.end for o in self.outages)

    def items(self) -> list[Item]:
        """Say it all, in pieces as long as they can be."""
        said: list[Item] = []
        begin, reason = 0, ""
        for outage in [*self.outages, None]:
            end = len(self.values) if outage is None else outage.first
            said += self._block(begin, end, reason)
            if outage is None:
                break
            at_ns = self.clock.time_ns(max(outage.first, begin)) if outage.first else START_NS
            if outage.told:
                said.append(self._fault(FaultPhase.START, at_ns, outage))
            last_ns = self.clock.time_ns(outage.end) - 1
            if outage.silent:
                middle_ns = (at_ns + last_ns) // 2
                said += [Silence(self.stream, middle_ns), Silence(self.stream, last_ns)]
            if outage.told and outage.end < len(self.values):
                said.append(self._fault(FaultPhase.END, self.clock.time_ns(outage.end), outage))
            begin, reason = outage.end, outage.reason.value
        return said

    def _block(self, begin: int, end: int, reason: str) -> list[Item]:
        if end <= begin:
            return []
        flags = np.array([1 if i in self.saturated else 0 for i in range(begin, end)], np.uint8)
        values = np.array(self.values[begin:end], np.int32)[:, None]
        return [Block(self.stream, begin, self.clock, values, flags if flags.any() else None, reason)]

    def _fault(self, phase: FaultPhase, at_ns: int, outage: Outage) -> SensorFault:
        return SensorFault(self.stream, at_ns, phase, outage.reason, f"NAU7802 {self.name}", (self.stream,))

    def at(self, time_ns: int) -> tuple[int, int] | None:
        """Return value and flags at a time, by exact fractions; None where there are no neighbours."""
        index = self.clock.count_before(0, time_ns + 1) - 1
        if index < 0 or index >= len(self.values) or self.is_lost(index):
            return None
        before_ns = self.clock.time_ns(index)
        if before_ns == time_ns:
            return self.values[index], int(index in self.saturated)
        if index + 1 >= len(self.values) or self.is_lost(index + 1):
            return None
        part = Fraction(time_ns - before_ns, self.clock.time_ns(index + 1) - before_ns)
        exact = self.values[index] + part * (self.values[index + 1] - self.values[index])
        flags = index in self.saturated or index + 1 in self.saturated
        return int((exact + Fraction(1, 2)) // 1), int(flags)


def cells_of(seed: int, *, samples: int = 70) -> list[Cell]:
    random = Random(seed)
    cells = []
    for name in CELLS[: random.randint(1, 3)]:
        period_ps = round(1e12 / RATE_HZ * random.uniform(0.93, 1.07))
        clock = RegularClock(0, START_NS + random.randint(0, 20_000_000), period_ps)
        values = [random.randint(-(1 << 23), (1 << 23) - 1) for _ in range(samples)]
        outages = []
        first = random.randint(0, 30)
        for _ in range(random.randint(0, 3)):
            end = first + random.randint(1, 15)
            kind = random.choice([FaultKind.NACK, FaultKind.OVERFLOW, FaultKind.MISSING])
            outages.append(Outage(first, end, kind, random.random() < 0.7, random.random() < 0.7))
            first = end + random.randint(1, 12)
        saturated = frozenset(random.sample(range(samples), 3))
        cells.append(Cell(name, clock, values, [o for o in outages if o.end < samples - 2], saturated))
    return cells


def cut(items: Sequence[Item], random: Random) -> list[Item]:
    """Cut the blocks anywhere."""
    pieces: list[Item] = []
    for item in items:
        rest = item
        while isinstance(rest, Block) and len(rest) > 1 and random.random() < 0.8:
            at = random.randint(1, len(rest) - 1)
            pieces.append(rest.cut(0, at))
            rest = rest.cut(at, len(rest))
        pieces.append(rest)
    return pieces


def run(cells: Sequence[Cell], random: Random | None = None) -> list[Item]:
    """Say it all in turn, or cut and mixed at random."""
    gathered = Gathered("load", [c.name for c in cells], RATE_HZ, start_ns=START_NS)
    queues = [c.items() if random is None else cut(c.items(), random) for c in cells]
    out: list[Item] = []
    while any(queues):
        queue = next(q for q in queues if q) if random is None else random.choice([q for q in queues if q])
        out += gathered.push(queue.pop(0))
    return out + gathered.finish()


def normal(items: Sequence[Item]) -> list[object]:
    """What was said, sample by sample: without the cuts, and without silences."""
    said: list[object] = []
    for item in items:
        if isinstance(item, SensorFault):
            said.append(item)
        elif isinstance(item, Block):
            flags = np.zeros(len(item), np.uint8) if item.quality is None else item.quality
            for i, (time_ns, row) in enumerate(zip(item.times_ns(), item.values, strict=True)):
                reason = item.missing_reason if i == 0 else ""
                said.append((item.first + i, int(time_ns), tuple(map(int, row)), int(flags[i]), reason))
    return said


def samples(items: Sequence[Item]) -> dict[int, tuple[tuple[int, ...], int]]:
    """Return time → values and flags."""
    return {s[1]: (s[2], s[3] & 1) for s in normal(items) if isinstance(s, tuple)}


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 1 << 32))
def test_each_point_has_what_exact_fractions_give(seed: int) -> None:
    cells = cells_of(seed)
    end_ns = min(c.clock.time_ns(len(c.values) - 1) for c in cells)
    expected = {}
    for point in range(GRID.count_before(0, end_ns + 1)):
        rows = [c.at(GRID.time_ns(point)) for c in cells]
        known = [row for row in rows if row is not None]
        if len(known) == len(rows):
            flags = max(flag for _, flag in known)
            expected[GRID.time_ns(point)] = (tuple(value for value, _ in known), flags)
    assert samples(run(cells)) == expected


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 1 << 32), order=st.integers(0, 1 << 32))
def test_cuts_and_turns_change_nothing(seed: int, order: int) -> None:
    cells = cells_of(seed)
    assert normal(run(cells, Random(order))) == normal(run(cells))


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 1 << 32), order=st.integers(0, 1 << 32))
def test_a_fault_stands_between_the_samples_around_it(seed: int, order: int) -> None:
    cells = cells_of(seed)
    out = run(cells, Random(order))
    faults = [item for item in out if isinstance(item, SensorFault)]
    assert len(faults) == sum(isinstance(i, SensorFault) for c in cells for i in c.items()), "one was lost"
    for cell in cells:
        own = [f.phase for f in faults if f.sensor.endswith(cell.name)]
        assert own == [i.phase for i in cell.items() if isinstance(i, SensorFault)]
    assert all((f.stream, f.streams) == ("load", ("load",)) for f in faults)
    for place, item in enumerate(out):
        if isinstance(item, SensorFault):
            before = [i.last_ns for i in out[:place] if isinstance(i, Block)]
            after = [i.start_ns for i in out[place:] if isinstance(i, Block)]
            promised = [i.until_ns for i in out[:place] if isinstance(i, Silence)]
            assert all(t <= item.at_ns for t in before) and all(t >= item.at_ns for t in after), item
            assert all(until_ns <= item.at_ns for until_ns in promised), item


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 1 << 32), order=st.integers(0, 1 << 32))
def test_a_silence_is_kept(seed: int, order: int) -> None:
    promised_ns = 0
    for item in run(cells_of(seed), Random(order)):
        if isinstance(item, Silence):
            promised_ns = item.until_ns
        elif isinstance(item, Block):
            assert item.start_ns >= promised_ns


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 1 << 32))
def test_the_gaps_are_exactly_what_is_missing(seed: int) -> None:
    """By the agent's own count: samples and gaps together are all points from the first to the last."""
    watch = GapWatch()
    count = missing = 0
    reasons = set()
    last: Block | None = None
    for item in run(cells_of(seed)):
        if isinstance(item, Block):
            gaps = watch.before(item)
            missing += sum(gap.samples for gap in gaps)
            reasons |= {gap.reason for gap in gaps}
            count += len(item)
            last = item
    if last is not None:
        assert count + missing == last.end
    assert reasons <= {o.reason.value for c in cells_of(seed) for o in c.outages}


def steady(name: str, error: float, outages: Sequence[Outage] = (), *, samples: int = 200) -> Cell:
    """A cell that gives ten counts a millisecond: its value tells its time."""
    clock = RegularClock(0, START_NS + 3_000_000, round(1e12 / RATE_HZ * (1 + error)))
    values = [(clock.time_ns(i) - START_NS) // 100_000 for i in range(samples)]
    return Cell(name, clock, values, list(outages))


def test_no_cell_is_shifted_in_time() -> None:
    cells = [steady("fl", 0.02), steady("fr", -0.03), steady("rl", 0.0)]
    out = [item for item in run(cells) if isinstance(item, Block)]
    off = [np.abs(b.values - ((b.times_ns() - START_NS) / 1e5)[:, None]).max() for b in out]
    assert max(off) <= 1.0, f"{max(off) / 10:.2f} ms"
    assert out[0].first == 0 and out[0].clock == out[-1].clock, "one clock, and counted from the first sample"
    assert not any(item.missing_reason for item in out)


def test_a_cell_that_fails_makes_a_gap_of_all_with_its_reason() -> None:
    outage = Outage(50, 90, FaultKind.NACK, told=True, silent=True)
    cells = [steady("fl", 0.02), steady("fr", -0.03, [outage]), steady("rl", 0.0)]
    out = run(cells)
    blocks = [item for item in out if isinstance(item, Block)]
    (begin,) = [i for i, b in enumerate(blocks) if b.missing_reason]
    quality = blocks[begin].quality
    assert blocks[begin].missing_reason == "nack"
    assert quality is not None and quality[0] == Quality.MISSING_BEFORE
    lost_ns = cells[1].clock.time_ns(90) - cells[1].clock.time_ns(49)
    missing = blocks[begin].first - blocks[begin - 1].end
    assert abs(missing - lost_ns / 12_500_000) <= 1, f"{missing} points in {lost_ns / 1e6:.1f} ms"
    assert [i.phase for i in out if isinstance(i, SensorFault)] == [FaultPhase.START, FaultPhase.END]


def test_a_cell_that_was_missing_from_the_start_is_counted() -> None:
    outage = Outage(0, 40, FaultKind.MISSING, told=True, silent=True)
    out = run([steady("fl", 0.02), steady("fr", 0.0, [outage])])
    first = next(item for item in out if isinstance(item, Block))
    assert (first.first, first.missing_reason) == (41, "missing"), "as many points as since the beginning"
    assert first.start_ns == GRID.time_ns(41)


def test_the_word_goes_on_while_a_cell_is_silent() -> None:
    """The other streams of the agent must not wait for a scale that has lost a corner."""
    gathered = Gathered("load", ["fl", "fr"], RATE_HZ, start_ns=START_NS)
    alive, dead = steady("fl", 0.0), steady("fr", 0.0)
    (whole,) = alive.items()
    (begun,) = dead.items()
    assert isinstance(whole, Block) and isinstance(begun, Block)
    gathered.push(whole)
    gathered.push(begun.cut(0, 50))
    until_ns = dead.clock.time_ns(150)
    (silence,) = gathered.push(Silence("load.fr", until_ns))
    assert isinstance(silence, Silence) and silence.stream == "load"
    assert until_ns - 12_500_000 <= silence.until_ns <= until_ns


def test_what_comes_after_the_word_that_nothing_would_is_late() -> None:
    gathered = Gathered("load", ["fl"], RATE_HZ, start_ns=START_NS)
    (whole,) = steady("fl", 0.0).items()
    assert isinstance(whole, Block)
    gathered.push(whole.cut(0, 50))
    gathered.push(Silence("load.fl", whole.clock.time_ns(50) + 30_000_000))
    (block,) = gathered.push(whole.cut(50, 100))
    assert isinstance(block, Block)
    assert block.missing_reason == "late" and block.start_ns >= whole.clock.time_ns(50) + 30_000_000


def test_an_idle_part_holds_no_memory() -> None:
    gathered = Gathered("load", ["fl", "fr"], RATE_HZ, start_ns=START_NS)
    alive = steady("fl", 0.0, samples=20_000)
    (whole,) = alive.items()
    assert isinstance(whole, Block)
    for begin in range(0, 20_000, 100):
        gathered.push(whole.cut(begin, begin + 100))
        gathered.push(Silence("load.fr", alive.clock.time_ns(begin + 99)))
    held = [len(part.values) + len(part.holes) for part in gathered._parts.values()]
    assert max(held) < 200, held
