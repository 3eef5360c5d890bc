"""What the drivers of motion sensors share: their streams, their registers, and a self-test in a moving box.

A self-test pushes the sensor's mass by a known force and compares. A box on a van may be pushed by other
forces meanwhile, so the comparison is made twice, between three measurements without the force, and only
what is far beyond all that moved without it counts against the chip.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from agent.blocks import FaultKind
from agent.sources.drivers.base import BusCost, ChipError, ChipStream, Counts, Place, expect, read_cost
from agent.streams import TABLE

MG_PER_G = 1000

STILL_S = 5.0
"""A sensor with noise of `LIVELY_STEPS`, read 25 times a second or more, keeps all three axes to a bit for so
long once in 10^7 times."""
LIVELY_STEPS = 0.25  # standard deviation of the noise, in steps
LONGEST_READ = 252  # bytes of one transaction: other chips wait meanwhile, and some adapters stop at 255

SELF_TEST_TRIES = 4
AGREEMENT_PART = 0.25  # of the range of limits: two failures so near to each other are believed
PAUSE_S = 0.15  # up to this before each measurement, each time another: a swing must not keep in step with it
GOLDEN = 0.6180339887498949  # its multiples are spread as evenly as numbers can be (Knuth, TAOCP 3, 6.4)

Measure = Callable[[bool], Generator[float, None, Counts]]
"""Measure with the self-test's force off or on, and give (n, axes) counts; yields how long to wait."""
Limits = npt.NDArray[np.float64]


def motion_stream(
    table: str,
    name: str,
    *,
    rate_hz: float,
    scale: float,
    rails: tuple[float, float],
    noise_steps: float,
    sample_bits: int = 16,
) -> ChipStream:
    """Return the stream `name`, which is like `table` of the table of streams.

    `noise_steps`: standard deviation of the sensor's own noise, in its smallest steps.
    """
    spec = msgspec.structs.replace(
        TABLE[table],
        name=name,
        rate_hz=float(rate_hz),
        sample_bits=sample_bits,
        scale=scale,
        full_scale=rails[1] * scale,
    )
    return ChipStream(spec, rails=rails, still_s=STILL_S if noise_steps >= LIVELY_STEPS else None)


def check_block(
    place: Place, first: int, last: int, wanted: Mapping[int, int], *, increment: int = 0
) -> None:
    """Read registers `first` to `last` at once, and compare those of them that are in `wanted`.

    `increment` is set in the address where the chip asks for it. Raises `ChipError` (REGISTERS).
    """
    found = place.read_registers(first | increment, last - first + 1)
    for register, value in wanted.items():
        if first <= register <= last:
            expect(register, found[register - first], value)


def bursts(count: int, burst: int) -> Iterator[int]:
    """Part `count` samples into reads of at most `burst`."""
    for done in range(0, count, burst):
        yield min(burst, count - done)


def bursts_cost(count: int, burst: int, octets: int) -> BusCost:
    """Cost of `count` samples of so many `octets` in reads of at most `burst` samples."""
    return sum((read_cost(n * octets) for n in bursts(count, burst)), BusCost(0, 0))


def bad_fill(found: int, most: int) -> ChipError:
    """Return the error for a FIFO that says it holds more than it can."""
    return ChipError(
        FaultKind.BAD_DATA, "asking how full the FIFO is", got=f"{found}", expected=f"at most {most}"
    )


def too_few(found: int, wanted: int) -> ChipError:
    """Return the error for a chip that gives no samples during its self-test."""
    return ChipError(
        FaultKind.SILENT, "testing itself", got=f"{found} samples", expected=f"at least {wanted}"
    )


def run_self_test(
    measure: Measure, axes: tuple[str, ...], low: Any, high: Any, *, end: int, absolute: bool = False
) -> Iterator[float]:
    """Let the chip test itself; the force must move each axis by `low` to `high` counts.

    With `absolute` either way. `end`: counts at which its range ends, in the test. Raises `ChipError`:
    SELF_TEST when it certainly does not move, twice alike. In a box that is shaken all the while nothing is
    certain, and nothing is raised.
    """
    lows: Limits = np.asarray(low, dtype=np.float64)
    highs: Limits = np.asarray(high, dtype=np.float64)
    failures: list[Limits] = []
    turn = 0
    for _ in range(SELF_TEST_TRIES):
        parts: list[Counts] = []
        for on in (False, True, False, True, False):
            turn += 1
            yield PAUSE_S * (turn * GOLDEN % 1.0)
            parts.append((yield from measure(on)))
        moved, doubt = _moved(parts, absolute, end)
        wrong = (moved + doubt < lows) | (moved - doubt > highs)
        if wrong.any():
            near = AGREEMENT_PART * (highs - lows)
            if any((np.abs(moved - before) <= near)[wrong].all() for before in failures):
                raise _failed(axes, moved, lows, highs, wrong)
            failures.append(moved)
        elif ((moved >= lows) & (moved <= highs) & (doubt <= (highs - lows) / 2)).all():
            return


def _moved(parts: list[Counts], absolute: bool, end: int) -> tuple[Limits, Limits]:
    """Return by how much the force moved each axis, and how far that may be wrong."""
    means = np.array([part.mean(axis=0, dtype=np.float64) for part in parts])
    spread = np.max([part.std(axis=0, dtype=np.float64) for part in parts], axis=0)
    rest = means[0::2]
    shifts = means[1::2] - (rest[:-1] + rest[1:]) / 2
    moved = shifts.mean(axis=0)
    # what moves evenly drops out of the differences; what is left of the rest's movement need not
    bent = np.abs(rest[0] - 2 * rest[1] + rest[2])
    doubt = 2 * (bent + np.ptp(shifts, axis=0) + spread)
    # what was cut off at the end of the range hides the force
    doubt[np.max([np.abs(part.astype(np.int64)).max(axis=0) for part in parts], axis=0) >= end] = np.inf
    return (np.abs(moved) if absolute else moved), doubt


def _failed(
    axes: tuple[str, ...], moved: Limits, low: Limits, high: Limits, wrong: npt.NDArray[np.bool_]
) -> ChipError:
    bad = [i for i in range(len(axes)) if wrong[i]]
    return ChipError(
        FaultKind.SELF_TEST,
        "testing itself",
        got="its test force moved " + ", ".join(f"{axes[i]} by {moved[i]:.0f}" for i in bad) + " counts",
        expected=", ".join(f"{axes[i]} by {low[i]:.0f} to {high[i]:.0f}" for i in bad),
    )
