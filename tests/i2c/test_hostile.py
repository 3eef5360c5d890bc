"""Faults at random, one upon the other, on chips and bus: whatever happens, it is told, and all recover.

Each seed is one script of faults; it is in the failure's message. Simulated time only.
"""

from __future__ import annotations

import errno
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec
import pytest

from agent.blocks import FaultPhase, SensorFault
from agent.sources.drivers.base import ChipSettings
from scripts.virtual_pi.chips.base import Chip, RegisterChip
from scripts.virtual_pi.chips.tca9548a import Tca9548a
from tests.i2c.cases import BY_NAME, CASES
from tests.i2c.conftest import IN_THE_GUEST
from tests.i2c.rig import NS_PER_S, SimulatedRig, Step, Taken, check_order, check_sum, sample

pytestmark = pytest.mark.skipif(IN_THE_GUEST, reason="needs a bus that it can bend")

SEEDS = 2
FAULTS = 6
TROUBLE_S = 8.0
RECOVERY_S = 11.0  # the longest back-off is 5 s, and one self-test after it
QUIET_S = 2.0  # at the end nothing at all is missing
MOST_LOST = 2
MOST_LOST_PART = 0.005
LASTS_S = (0.001, 0.02, 0.2, 1.0)
FLAGS = ("absent", "all_ones", "frozen", "saturated", "stopped", "damage", "self_test_fails")
ERRNOS = (
    *(0, errno.EAGAIN, errno.EBUSY, errno.EINTR, errno.EINVAL, errno.EIO, errno.ENOMEM, errno.ENODEV),
    *(errno.ENXIO, errno.EOPNOTSUPP, errno.EPERM, errno.EPROTO, errno.EREMOTEIO, errno.ETIMEDOUT, 512),
)
MIXES = (
    ("ADXL345", "NAU7802", "ADS1115"),
    ("LIS3DH", "NAU7802", "SHT4x", "ADS1115"),
    ("MPU-6050", "BME280", "ADS1115"),
    ("ADXL355", "SHT4x"),
)

Fault = tuple[str, Callable[[], object], Callable[[], object]]
"""Its name, what begins it, what ends it."""


class Wire:
    """What lies between one chip and the bus: a bad contact, with these probabilities a transfer."""

    def __init__(self, chip: Chip, dice: random.Random) -> None:
        self.dice = dice
        self.refuses = self.lies = self.flips = self.deaf = self.garbles = 0.0
        self.read, self.write = chip.read, chip.write
        chip.read, chip.write = self.give, self.take  # type: ignore[method-assign]

    def heal(self) -> None:
        self.refuses = self.lies = self.flips = self.deaf = self.garbles = 0.0

    def give(self, count: int) -> bytes | None:
        answer = None if self.chance(self.refuses) else self.read(count)
        if answer is None:
            return None
        if self.chance(self.lies):
            return self.dice.randbytes(count)
        if self.chance(self.flips):
            bit = 1 << self.dice.randrange(8 * count)
            return (int.from_bytes(answer) ^ bit).to_bytes(count)
        return answer

    def take(self, data: bytes) -> bool:
        if self.chance(self.refuses):
            return False
        if self.chance(self.deaf):
            return True
        return self.write(self.dice.randbytes(len(data)) if self.chance(self.garbles) else data)

    def chance(self, of: float) -> bool:
        return of > 0 and self.dice.random() < of


@dataclass
class Attack:
    """Chips on a bus, and a script of what happens to them."""

    seed: int
    names: Sequence[str]
    behind: bool = False
    """All of them behind a multiplexer, that may fail as well."""
    settings: list[ChipSettings] = field(default_factory=list)
    chips: list[Chip] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.rig = SimulatedRig(seed=self.seed)
        for name in self.names:
            settings, chip = BY_NAME[name].make(self.rig)
            self.settings.append(settings)
            self.chips.append(chip)
        self.targets = list(self.chips)
        if self.behind:
            replace = msgspec.structs.replace
            self.settings = [replace(s, mux=0x70, channel=n) for n, s in enumerate(self.settings)]
            channels = {n: [chip] for n, chip in enumerate(self.chips)}
            self.targets.append(Tca9548a(now_ns=self.rig.now_ns, channels=channels))
        self.rig.put(self.targets[-1:] if self.behind else self.chips)
        self.wires = {id(chip): Wire(chip, self.dice) for chip in self.targets}

    def run(self, *, victims: Sequence[Chip] | None = None, with_bus: bool = True) -> Taken:
        """Sample through the script and then until all must have recovered."""
        script: list[Step] = []
        for _ in range(FAULTS):
            if with_bus and self.dice.random() < 0.3:
                who, possible = "bus", self.bus_faults()
            else:
                chip = self.dice.choice(victims or self.targets)
                who, possible = type(chip).__name__, self.chip_faults(chip)
            name, begin, end = self.dice.choice(possible)
            at_s = self.dice.uniform(0, TROUBLE_S)
            end_s = min(TROUBLE_S, at_s + self.dice.choice(LASTS_S))
            script += [(at_s, begin), (end_s, end)]
            self.told.append(f"{at_s:.3f}-{end_s:.3f} {who} {name}")
        over: list[int] = []
        script.append((TROUBLE_S, lambda: over.append(self.rig.now_ns())))

        def recovered(taken: Taken) -> bool:
            return bool(over) and self.rig.now_ns() > over[0] + RECOVERY_S * NS_PER_S

        return sample(self.rig, self.settings, until=recovered, script=script)

    def chip_faults(self, chip: Chip) -> list[Fault]:
        """Return what may happen to one chip."""
        wire, dice = self.wires[id(chip)], self.dice

        def setting(what: Chip | Wire, name: str, value: object, after: object) -> Fault:
            return f"{name} {value}", lambda: setattr(what, name, value), lambda: setattr(what, name, after)

        faults = [setting(chip, name, True, False) for name in FLAGS]
        faults.append(setting(chip, "identity", dice.randrange(256), None))
        for name in ("refuses", "lies", "flips", "deaf", "garbles"):
            faults.append(setting(wire, name, dice.choice((0.002, 0.02, 0.3, 1.0)), 0.0))
        faults.append(("power", chip.power_cycle, chip.power_cycle))
        if isinstance(chip, RegisterChip):
            change = chip.set_register
            for count in (1, 30):
                where = [(dice.randrange(256), dice.randrange(256)) for _ in range(count)]
                faults.append(
                    (f"{count} registers", lambda w=where: [change(*one) for one in w], lambda: None)  # type: ignore[misc]
                )
        return faults

    def bus_faults(self) -> list[Fault]:
        """Return what may happen to all of them."""
        bus, dice = self.rig.bus, self.dice
        number, count = dice.choice(ERRNOS), dice.choice((1, 3, 10, 300))
        bus.gone_errno = dice.choice((errno.ENODEV, errno.EIO, errno.ESHUTDOWN))
        held_s = dice.choice((0.01, 0.1, 1, 20))

        def losing(times: int) -> Callable[[], object]:
            return lambda: setattr(bus, "arbitration_losses", times)

        return [
            ("pulled", self.rig.pull, self.rig.plug),
            ("held down", self.rig.hold_down, self.rig.let_go),
            (f"asleep for {held_s} s", lambda: self.rig.hold_up(round(held_s * NS_PER_S)), lambda: None),
            (f"{count} arbitrations lost", losing(count), losing(0)),
            (
                f"{count} errors {number}",
                lambda: bus.fail_next.extend(
                    OSError(number, "") if number else OSError() for _ in range(count)
                ),
                bus.fail_next.clear,
            ),
        ]

    def check(self, taken: Taken) -> None:
        """All is told in its order, adds up, and is over."""
        story = f"seed {self.seed}: {self.told}; {taken.kinds()[-12:]}"
        try:
            check_order(taken)
            for name in self.names:
                for stream in BY_NAME[name].streams:
                    assert stream in taken.samples, f"no sample of {stream}"
                    check_sum(taken, stream)
                    self.check_stream(taken, name, stream)
            going_on: dict[tuple[str, ...], SensorFault] = {}
            for fault in taken.faults:
                going_on.pop(fault.streams, None)
                if fault.phase is not FaultPhase.END:
                    going_on[fault.streams] = fault
            assert not going_on, f"not over: {[fault.kind.value for fault in going_on.values()]}"
        except AssertionError as error:
            raise AssertionError(f"{error}; {story}") from error

    def check_stream(self, taken: Taken, name: str, stream: str) -> None:
        """It has recovered, lacks nothing any more, and its index has kept up with time."""
        case, samples, now_ns = BY_NAME[name], taken.samples[stream], self.rig.now_ns()
        newest_s = (now_ns - samples[-1].time_ns) / NS_PER_S
        assert abs(newest_s) < 0.5, f"{stream}: the newest sample is {newest_s:.2f} s old"
        late = [g for g in taken.gaps if g.stream == stream and g.end_ns > now_ns - QUIET_S * NS_PER_S]
        assert not late, f"{stream}: {late}"
        rate_hz = case.rate_hz * (1 if case.triggered else 1 + case.error_ppm * 1e-6)
        passed_s = (samples[-1].time_ns - samples[0].time_ns) / NS_PER_S
        off = samples[-1].index - samples[0].index - passed_s * rate_hz
        # while it is silent samples are counted by a clock that may be off by what was measured last
        assert abs(off) < 3 + 0.01 * passed_s * rate_hz, f"{stream}: {off:.0f} samples of {samples[-1].index}"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("seed", range(SEEDS))
def test_one_chip(case: object, seed: int) -> None:
    attack = Attack(seed, [getattr(case, "name")])  # noqa: B009
    attack.check(attack.run())


@pytest.mark.parametrize("names", MIXES, ids="+".join)
def test_several_on_a_bus(names: Sequence[str]) -> None:
    attack = Attack(11, names)
    attack.check(attack.run())


@pytest.mark.parametrize("names", MIXES, ids="+".join)
def test_several_behind_a_multiplexer(names: Sequence[str]) -> None:
    attack = Attack(12, names, behind=True)
    attack.check(attack.run())


@pytest.mark.parametrize(("names", "seed"), [*zip(MIXES, range(4), strict=True)], ids=str)
def test_what_one_chip_does_costs_the_others_next_to_nothing(names: Sequence[str], seed: int) -> None:
    attack = Attack(seed, names)
    victim = seed % len(names)
    taken = attack.run(victims=[attack.chips[victim]], with_bus=False)
    attack.check(taken)
    own = set(BY_NAME[names[victim]].streams)
    # one turn of its self-test or its set-up may come right when a sample of theirs is due
    others = [gap for gap in taken.gaps if gap.stream not in own]
    long = [gap for gap in others if gap.samples > MOST_LOST or gap.reason not in ("busy", "overflow")]
    assert not long, f"seed {seed}: {long[:4]}; {attack.told}"
    lost, came = sum(gap.samples for gap in others), sum(n for s, n in taken.counts.items() if s not in own)
    assert lost < MOST_LOST_PART * came, f"seed {seed}: {lost} of {came}; {attack.told}"


def test_a_self_test_of_single_reads_lets_others_sample() -> None:
    attack = Attack(0, MIXES[0])
    taken = sample(attack.rig, attack.settings, seconds=6)
    assert set(taken.counts) == {"accel", "load", "pressure"}, taken.kinds()
    assert not taken.gaps and not taken.faults, f"{taken.gaps}, {taken.kinds()}"
