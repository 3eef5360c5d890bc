"""What is open ends when its stream falls silent, or the log is over; and a hole is no time that lasted."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from agent.blocks import NS_PER_S, SiBlock
from agent.detection.bump import BumpDetector, BumpSettings
from agent.detection.drop import DropDetector, DropSettings
from agent.detection.finding import Detector, Finding
from agent.detection.harsh import HarshDetector, HarshSettings
from agent.detection.pressure import PressureDetector, PressureSettings
from agent.detection.shock import ShockDetector, ShockSettings
from agent.detection.tilt import TiltDetector, TiltSettings
from agent.detection.track import SILENT_NS
from agent.detection.vibration import VibrationDetector, VibrationSettings
from agent.records import Phase
from tests.detection.signals import F64, GRAVITY_MPS2, rest, si_block, tilted

RATE_HZ = 200.0
AFTER_S = 15.0
rng = np.random.default_rng(3)


def road(seconds: float, rms_mps2: float) -> F64:
    calm = rest(seconds, RATE_HZ)
    return calm + rng.normal(0, rms_mps2, calm.shape)


def falling() -> F64:
    return np.concatenate([road(5, 0.1), road(0.3, 0.1) - [0, 0, GRAVITY_MPS2]])


def struck(peak_g: float, hertz: float) -> F64:
    signal = road(10, 0.1)
    n = round(RATE_HZ / hertz / 2)
    signal[-n - 8 : -8, 2] += peak_g * GRAVITY_MPS2 * np.sin(np.pi * (np.arange(n) + 0.5) / n)
    return signal


def pushed() -> F64:
    signal = road(10, 0.1)
    signal[1600:, 0] -= 0.55 * GRAVITY_MPS2
    return signal


def swinging() -> F64:
    return np.concatenate([np.full(600, 5000.0), np.full(20, 9000.0)])[:, None]


Case = tuple[Callable[[], Detector], F64]
CASES: dict[str, Case] = {
    "tilt": (
        lambda: TiltDetector(TiltSettings(), (0, 0, 1)),
        np.concatenate([road(5, 0.1), tilted(9, 200, 45)]),
    ),
    "vibration": (
        lambda: VibrationDetector(VibrationSettings()),
        np.concatenate([road(5, 0.1), road(60, 6.0)]),
    ),
    "drop": (lambda: DropDetector(DropSettings()), falling()),
    "shock": (lambda: ShockDetector(ShockSettings()), struck(50, 20)),
    "bump": (lambda: BumpDetector(BumpSettings()), struck(1.5, 8)),
    "harsh": (lambda: HarshDetector(HarshSettings()), pushed()),
    "pressure": (lambda: PressureDetector(PressureSettings()), swinging()),
}


def blocks_of(signal: F64) -> tuple[list[SiBlock], list[SiBlock]]:
    """Return what comes before a silence, and after it."""
    stream = "pressure" if signal.shape[1] == 1 else "accel"
    end_s = len(signal) / RATE_HZ
    after = np.full((1000, 1), 5000.0) if stream == "pressure" else road(5, 0.1)
    return [si_block(stream, signal, RATE_HZ)], [si_block(stream, after, RATE_HZ, start_s=end_s + AFTER_S)]


def at_once(make: Callable[[], Detector], blocks: list[SiBlock]) -> list[Finding]:
    detector = make()
    found = [f for block in blocks for f in detector.feed(block)]
    return sorted([*found, *detector.advance(1 << 62)], key=lambda f: f.decided_ns)


def as_it_comes(make: Callable[[], Detector], blocks: list[SiBlock], step_ns: int) -> list[Finding]:
    """Feed what is before each horizon, which goes on while nothing comes."""
    detector, before_ns = make(), -1
    found: list[Finding] = []
    for horizon_ns in range(step_ns, int(blocks[-1].times_ns[-1]) + 12 * NS_PER_S, step_ns):
        for block in blocks:
            a, b = np.searchsorted(block.times_ns, (horizon_ns - step_ns, horizon_ns))
            if b > a:
                part = si_block(block.stream, block.values[a:b], RATE_HZ, start_s=(block.first + a) / RATE_HZ)
                found += detector.feed(part)
        said = detector.advance(horizon_ns)
        assert all(before_ns < f.decided_ns <= horizon_ns for f in said), (before_ns, horizon_ns, said)
        found += said
        before_ns = horizon_ns
    return [*found, *detector.advance(1 << 62)]


@pytest.mark.parametrize("what", CASES)
def test_what_is_open_ends_with_its_last_sample_when_the_log_does(what: str) -> None:
    make, signal = CASES[what]
    before, _ = blocks_of(signal)
    found = at_once(make, before)
    assert [f.phase for f in found if f.phase is not Phase.UPDATE] == [Phase.START, Phase.END], found
    end, last_ns = found[-1], int(before[0].times_ns[-1])
    assert end.end_ns is not None and end.end_ns <= last_ns + 500_000_000, end
    assert last_ns < end.decided_ns <= last_ns + SILENT_NS + 600_000_000, end


@pytest.mark.parametrize("what", CASES)
@pytest.mark.parametrize("step_ns", [50_000_000, 370_000_000, 7_300_000_000])
def test_a_silence_ends_it_however_long_the_wait_for_more(what: str, step_ns: int) -> None:
    make, signal = CASES[what]
    before, after = blocks_of(signal)
    found = at_once(make, [*before, *after])
    ends = [f for f in found if f.phase is Phase.END]
    assert ends and ends[0].decided_ns < int(after[0].times_ns[0]), found
    assert as_it_comes(make, [*before, *after], step_ns) == found


@pytest.mark.parametrize("what", CASES)
def test_listed_times_with_a_silence_in_one_block(what: str) -> None:
    make, signal = CASES[what]
    (first,), (second,) = blocks_of(signal)
    one = SiBlock(
        first.stream,
        0,
        np.concatenate([first.times_ns, second.times_ns]),
        first.period_ns,
        np.concatenate([first.values, second.values]),
    )
    assert at_once(make, [one]) == at_once(make, [first, second])


def test_a_hole_is_no_time_that_it_leaned() -> None:
    detector = TiltDetector(TiltSettings(), (0, 0, 1))
    parts = [
        (np.concatenate([rest(5, 100), tilted(1.2, 100, 75)]), 0.0),
        (tilted(0.1, 100, 75), 10.3),
        (rest(5, 100), 10.4),
    ]
    found = at_once(lambda: detector, [si_block("accel", v, 100, start_s=s) for v, s in parts])
    assert not found, found


@pytest.mark.parametrize("rate_hz", [1.0, 2.0])
def test_a_slow_stream_is_no_hole(rate_hz: float) -> None:
    signal = np.concatenate([rest(30, rate_hz), tilted(20, rate_hz, 45)])
    found = at_once(lambda: TiltDetector(TiltSettings(), (0, 0, 1)), [si_block("accel", signal, rate_hz)])
    assert [f.phase for f in found] == [Phase.START, Phase.END], found


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("what", ["tilt", "vibration", "harsh"])
def test_one_sample_that_is_no_number_stops_nobody(what: str, bad: float) -> None:
    make, signal = CASES[what]
    spoiled = signal.copy()
    spoiled[700, 1] = bad
    with np.errstate(invalid="ignore"):
        found = at_once(make, [si_block("accel", spoiled, RATE_HZ)])
    assert [f.phase for f in found if f.phase is not Phase.UPDATE] == [Phase.START, Phase.END], found
