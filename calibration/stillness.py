"""When a sensor lies still, told from nothing but its own noise.

A sensor that rests shows its own noise and nothing else. Tedaldi et al. (ICRA 2014, IV-A) compare the
variance of a short window with that of a known rest, by a factor of 4 to 20. Here the rest is found, too:
it is the quietest two seconds so far, of whatever level, and the factors are theirs. So nothing depends
on which chip it is, at which rate it runs, or how loud the floor is.

Samples are taken in blocks of a quarter of a second. A stretch of blocks is one rest while it is quiet as a
whole, each block reads the same length of gravity, and has not turned by more than the mean can bear.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]

BLOCK_S = 0.25
LEAST_BLOCK = 4  # samples; of fewer, a variance says little
REST_S = 2.0  # as long as a pose
VARIANCE_FACTOR = 4.0  # Tedaldi et al., IV-A: 4 to 20: the strictest for a rest as a whole,
TREMOR_FACTOR = 20.0  # and the loosest for a short tremor in it, as of the hand that holds the box.
TREMOR_BLOCKS = 2
# No MEMS accelerometer is quieter at these rates: ADXL355, 22.5 µg/√Hz, over 20 Hz.
QUIETEST_MPS2 = 1e-3
# None at rest is louder: ADXL345 at 3200 Hz, 1.5 LSB of 3.9 mg at 100 Hz [datasheet, table 1], times √32.
LOUDEST_MPS2 = 0.4
# What rests feels gravity, in whatever unit it was taken to be: less than a twentieth of it, or more than
# three times, is a line that is unplugged and gives zeros, or ones.
LEAST_GRAVITY_MPS2, MOST_GRAVITY_MPS2 = 0.5, 30.0
# Put down by hand, a box still settles: a turn of 0.02 rad in all shortens the mean of gravity by 0.02²/24 of
# it, 17 µg, and is no reason to begin anew.
TURN_RAD = 0.01


@dataclass(frozen=True, slots=True)
class StillnessMeter:
    """What a person is shown: scatter now and at most (m/s², all axes), and how long it has been still."""

    deviation_mps2: float
    limit_mps2: float
    still_s: float
    hold_s: float


@dataclass(frozen=True, slots=True)
class BlockOfRest:
    """A quarter of a second: mean (3,), summed variance of all axes about it, and of neighbours."""

    begin: int
    samples: int
    mean: F64
    variance: float
    white_variance: F64


@dataclass(slots=True)
class Stretch:
    """Consecutive quiet blocks. ``doubtful``: a tremor at the end, which counts once it is quiet again."""

    blocks: list[BlockOfRest]
    doubtful: list[BlockOfRest] = field(default_factory=list)
    _means: F64 = field(init=False)  # sums: a parked vehicle rests for hours
    _variances: float = field(init=False)

    def __post_init__(self) -> None:
        self._means = np.sum([block.mean for block in self.blocks], axis=0)
        self._variances = sum(block.variance for block in self.blocks)

    def add(self, blocks: list[BlockOfRest]) -> None:
        """Take in the next blocks."""
        self.blocks += blocks
        for block in blocks:
            self._means = self._means + block.mean
            self._variances += block.variance

    @property
    def begin(self) -> int:
        """Index of the first sample."""
        return self.blocks[0].begin

    @property
    def end(self) -> int:
        """Index behind the last sample."""
        return self.blocks[-1].begin + self.blocks[-1].samples

    @property
    def mean(self) -> F64:
        """Mean reading (3,)."""
        mean: F64 = self._means / len(self.blocks)
        return mean

    @property
    def variance(self) -> float:
        """Variance within the blocks, all axes summed."""
        return self._variances / len(self.blocks)

    def settled(self) -> Stretch:
        """Return it without what still moved at its ends: blocks that read another length than the others.

        Another: beyond three standard deviations, both of the samples' own noise and of what the blocks
        differ by (from the median of absolute deviations; F. R. Hampel 1974).
        """
        blocks = self.blocks
        lengths = [math.sqrt(float(block.mean @ block.mean)) for block in blocks]
        middle = float(np.median(lengths))
        away = np.abs(np.array(lengths) - middle)
        noise: F64 = np.mean([block.white_variance / block.samples for block in blocks], axis=0)
        limit = 3 * max(1.4826 * float(np.median(away)), math.sqrt(float(noise.max())))
        first, last = 0, len(blocks)
        while first < last // 4 and away[first] > limit:
            first += 1
        while last > len(blocks) - len(blocks) // 4 and away[last - 1] > limit:
            last -= 1
        return Stretch(blocks[first:last])

    def standard_error(self, resolution: F64) -> F64:
        """Standard error of the mean (3,), from what neighbouring samples and neighbouring blocks differ by.

        Differences, and not deviations: a slow turn in the installer's hand is no noise of the length. The
        larger of both, since a chip with a low-pass filter shows too little from sample to sample. And what
        steps of `resolution` (3,) hide where the noise is too small to spread over them (P. Carbone,
        D. Petri, IEEE Trans. Instrum. Meas. 43, 1994): (q/√12)·exp(−2π²σ²/q²).
        """
        count = len(self.blocks)
        samples = sum(block.samples for block in self.blocks)
        noise: F64 = np.mean([block.white_variance for block in self.blocks], axis=0)
        steps = np.diff([block.mean for block in self.blocks], axis=0)
        slow: F64 = (steps**2).mean(axis=0) / 2 / count if count >= 3 else np.zeros(3)
        step2 = np.maximum(resolution**2, 1e-30)
        hidden = step2 / 12 * np.exp(-4 * np.pi**2 * np.maximum(noise - step2 / 12, 0.0) / step2)
        total: F64 = np.sqrt(np.maximum(noise / samples, slow) + hidden)
        return total


class StillnessDetector:
    """Cuts samples into blocks and tells which follow each other at rest. ``rate_hz``: of the samples.

    ``rest_variance``: what is known of the sensor's rest (all axes, m²/s⁴), where it is known already.
    """

    def __init__(
        self, rate_hz: float, *, rest_variance: float | None = None, factor: float = VARIANCE_FACTOR
    ) -> None:
        self.rate_hz = rate_hz
        self.factor = factor
        self.block_samples = max(LEAST_BLOCK, round(BLOCK_S * rate_hz))
        self.resolution: F64 = np.zeros(3)
        self.known_rest = rest_variance is not None
        self.rest_variance = LOUDEST_MPS2**2 * 3 if rest_variance is None else rest_variance
        self.stretch: Stretch | None = None
        self.deviation_mps2 = math.nan
        self._learned = False
        self._begin = 0
        self._pending: F64 = np.empty((0, 3))
        self._latest: deque[float] = deque(maxlen=max(2, round(REST_S * rate_hz / self.block_samples)))

    @property
    def limit_variance(self) -> float:
        """Most that a block at rest may scatter by, all axes summed."""
        return self.factor * max(self.rest_variance, self._floor)

    @property
    def still_s(self) -> float:
        """How long it has been still by now."""
        return 0.0 if self.stretch is None else len(self.stretch.blocks) * self.block_samples / self.rate_hz

    def blocks(self, values_mps2: F64) -> list[BlockOfRest]:
        """Take samples (n, 3); return the blocks that are complete with them."""
        data = np.concatenate((self._pending, values_mps2))
        size = self.block_samples
        whole = len(data) // size
        self._look_at_steps(data[: whole * size])
        out = [
            _block(self._begin + i * size, part)
            for i, part in enumerate(data[: whole * size].reshape(whole, size, 3))
        ]
        self._begin += whole * size
        self._pending = data[whole * size :]
        return out

    def step(self, block: BlockOfRest) -> tuple[Stretch | None, Stretch | None]:
        """Take the next block; return the stretch that ended with it, and the one that it belongs to."""
        self.deviation_mps2 = math.sqrt(block.variance)
        before = self.stretch
        if not feels_gravity(block.mean):
            self.stretch = None
            self._latest.clear()
            return before, None
        self._learn(block.variance)
        if before is not None and before.variance > self.limit_variance:
            # it can be quieter than that, as it has shown by now: what is left of the rest is its quiet end
            self.stretch = self._quiet_end([*before.blocks, block])
            return before, self.stretch
        # a line that says the same number again and again, of a sensor that scatters, is stuck
        stuck = block.variance == 0 and self._learned and self.rest_variance > VARIANCE_FACTOR * self._floor
        if before is not None and not stuck and self._goes_on(before, block):
            return None, before
        quiet = not stuck and block.variance <= self.limit_variance
        self.stretch = Stretch([block]) if quiet else None
        return before, self.stretch

    def interrupt(self) -> Stretch | None:
        """Forget what is not complete: samples are missing. Returns the stretch that ends with it."""
        self._begin += len(self._pending)
        self._pending = np.empty((0, 3))
        self._latest.clear()
        ended, self.stretch = self.stretch, None
        return ended

    def skip(self, samples: int) -> None:
        """Count samples that are not there."""
        self._begin += samples

    def _goes_on(self, stretch: Stretch, block: BlockOfRest) -> bool:
        """Whether the block is more of the same rest; takes it in where it is."""
        if not self._same(block.mean, stretch.mean):
            return False
        if block.variance > self.limit_variance:
            tremor = self.limit_variance * max(TREMOR_FACTOR / self.factor, 1.0)
            stretch.doubtful.append(block)
            return block.variance <= tremor and len(stretch.doubtful) <= TREMOR_BLOCKS
        more = [*stretch.doubtful, block]
        total = stretch.variance * len(stretch.blocks) + sum(one.variance for one in more)
        if total > self.limit_variance * (len(stretch.blocks) + len(more)):
            return False
        stretch.add(more)
        stretch.doubtful.clear()
        return True

    def _same(self, mean: F64, of_stretch: F64) -> bool:
        """Whether a block still belongs to the stretch: as long as it, and not turned far."""
        length = math.sqrt(float(of_stretch @ of_stretch))
        away = mean - of_stretch
        along = float(away @ of_stretch) / max(length, QUIETEST_MPS2)
        across2 = float(away @ away) - along * along
        return (
            along * along <= self.limit_variance and across2 <= (TURN_RAD * length) ** 2 + self.limit_variance
        )

    @property
    def _floor(self) -> float:
        """Variance below which no rest is: of a chip, and of the steps that it reads in."""
        return float(np.sum(np.maximum(QUIETEST_MPS2**2, self.resolution**2 / 12)))

    def _quiet_end(self, blocks: list[BlockOfRest]) -> Stretch | None:
        first = len(blocks)
        while first > 0 and blocks[first - 1].variance <= self.limit_variance:
            first -= 1
        return Stretch(blocks[first:]) if first < len(blocks) else None

    def _learn(self, variance: float) -> None:
        self._latest.append(variance)
        if self.known_rest or len(self._latest) < (self._latest.maxlen or 0) or not any(self._latest):
            return
        if not all(self._latest) and max(self._latest) > self._floor:
            return  # it scatters, and a part of this it was stuck: the mean of both is neither's
        self._learned = True
        self.rest_variance = min(self.rest_variance, sum(self._latest) / len(self._latest))

    def _look_at_steps(self, data: F64) -> None:
        """Learn the resolution: the least step between neighbouring samples, an axis each."""
        if len(data) < 2:
            return
        steps = np.abs(np.diff(data, axis=0))
        least = np.where(steps > 0, steps, np.inf).min(axis=0)
        known = np.where(self.resolution > 0, self.resolution, np.inf)
        least = np.minimum(least, known)
        self.resolution = np.where(np.isfinite(least), least, 0.0)


def rest_variance(values_mps2: F64, rate_hz: float) -> float:
    """Return the variance (all axes) of a recording (n, 3) at rest: the median of what is near its quietest.

    The quietest alone would be the luckiest of many, and too low.
    """
    detector = StillnessDetector(rate_hz)
    variances: list[float] = []
    for part in whole_parts(values_mps2):
        for block in detector.blocks(values_mps2[part]):
            detector.step(block)
            variances.append(block.variance)
        detector.interrupt()
    near = [variance for variance in variances if 0 < variance <= detector.limit_variance]
    return float(np.median(near)) if near else detector.rest_variance


def stretches(
    values_mps2: F64, rate_hz: float, *, factor: float = VARIANCE_FACTOR
) -> tuple[list[Stretch], F64]:
    """Return all rests of a recording (n, 3), judged by its own quiet, and its resolution (3,).

    Rows with NaN part the rests.
    """
    rest = rest_variance(values_mps2, rate_hz)
    detector = StillnessDetector(rate_hz, rest_variance=rest, factor=factor)
    out: list[Stretch] = []
    at = 0
    for part in whole_parts(values_mps2):
        detector.skip(part.start - at)
        at = part.stop
        for block in detector.blocks(values_mps2[part]):
            ended, _ = detector.step(block)
            if ended is not None:
                out.append(ended)
        ended = detector.interrupt()
        if ended is not None:
            out.append(ended)
    return out, detector.resolution


def feels_gravity(mean_mps2: F64) -> bool:
    """Whether a mean reading (3,) can be that of a sensor at rest at all."""
    return LEAST_GRAVITY_MPS2 <= math.sqrt(float(mean_mps2 @ mean_mps2)) <= MOST_GRAVITY_MPS2


def whole_parts(values: F64) -> list[slice]:
    """Return where the values are finite, row by row, as slices."""
    good = np.isfinite(values).all(axis=1)
    edges = np.flatnonzero(np.diff(np.concatenate(([False], good, [False])).astype(np.int8)))
    return [slice(int(b), int(e)) for b, e in zip(edges[::2], edges[1::2], strict=True)]


def _block(begin: int, part: F64) -> BlockOfRest:
    mean = part.mean(axis=0)
    stuck = bool((part == part[0]).all())  # rounding of the mean would hide it
    variance = 0.0 if stuck else float(np.sum((part - mean) ** 2) / (len(part) - 1))
    white: F64 = (np.diff(part, axis=0) ** 2).mean(axis=0) / 2
    return BlockOfRest(begin, len(part), mean, variance, white)
