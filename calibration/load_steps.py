"""One step of a load session: what the cells showed while nothing moved, and whether it may count.

The refusals are those of Klipper's guided load cell calibration (`LOAD_CELL_CALIBRATE`: saturated, span under
1 %, zero over 2 %), and those that its users ask for: unsteady, a cell that counts backwards or carries
nothing, a mass over another cell than was said. Limits come from the cell's capacity and from the
verification interval; none from a recording.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from calibration.errors import CalibrationRefused
from calibration.load_plate import CENTRE, F64, Plate, place_words

Kind = Literal["zero", "span up", "span down", "corner", "repeat", "creep"]
KINDS: tuple[Kind, ...] = ("zero", "span up", "span down", "corner", "repeat", "creep")
LEAST_SPAN = 0.01  # of a cell's capacity (Klipper)
MOST_ZERO = 0.02  # of a cell's capacity (Klipper)
LEAST_S = 1.0  # of readings
FIRST_S = 5.0  # of a creep step that stand for its reading
BLOCKS = 5  # whose means are compared: OIML R 76-1 T.4.1 looks at 5 s
STEADY_V = 0.5  # of the verification interval: so far may the means lie apart
_LEAST_SAMPLES = 8
_IDLE = 0.05  # of what the busiest cell carries of a mass in the centre: a foot in the air
_MISTAKEN = 0.3  # by so much may reading and mass disagree with the steps before, corner or not
# Cells are sold to ±10 %, the cheapest to ±15 %: a reading by the nominal scale that is off by half of it or
# more is another mass than was said, one in pounds, or a scale that was set for other cells.
_BEYOND_NOMINAL = 1.5
_MOST_CREEP_POINTS = 720


@dataclass(frozen=True, slots=True)
class Limits:
    """What a step is judged by, in kg. ``full_scale_kg``: where a cell's converter ends."""

    capacity_kg: float
    full_scale_kg: float
    steady_kg: float
    dead_load_kg: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class LoadStep:
    """A step that counts. ``mean_kg``, ``standard_error_kg``, ``noise_kg``: (n,), noise of one reading.

    ``creep_s`` and ``creep_kg`` (k,): the sum over time, of creep steps. ``resolution_kg``: the smallest
    change that the readings show, the sum of all cells.
    """

    kind: Kind
    place: str
    mass_kg: float
    begin_s: float
    end_s: float
    mean_kg: F64
    standard_error_kg: F64
    noise_kg: F64
    resolution_kg: float
    creep_s: F64
    creep_kg: F64


@dataclass(frozen=True, slots=True)
class Judgement:
    """What became of a step, in words. ``accepted``: it counts; else ``refusal`` says why not.

    ``mean_kg``: what each cell showed; ``wander_kg`` of the unsteadiest cell or the sum, ``limit_kg`` for it.
    """

    accepted: bool
    words: str
    number: int
    kind: str
    place: str
    mass_kg: float
    mean_kg: tuple[float, ...]
    wander_kg: float
    limit_kg: float
    refusal: CalibrationRefused | None = None


@dataclass(frozen=True, slots=True)
class Steadiness:
    """For a meter: how far the means of the parts of a reading lie apart, and how far they may (kg).

    ``cell``: the index of the unsteadiest cell; None when it is the sum. ``noise_kg``: what noise explains.
    """

    wander_kg: float
    limit_kg: float
    noise_kg: float
    cell: int | None

    @property
    def steady(self) -> bool:
        """Whether a step taken now would count as steady."""
        return self.wander_kg <= self.limit_kg


def measure_steadiness(readings_kg: F64, limit_kg: float) -> Steadiness:
    """Compare the means of five parts of readings (n, cells), of each cell and of the sum."""
    columns = np.column_stack((readings_kg, readings_kg.sum(axis=1)))
    count = min(BLOCKS, len(columns))
    if count == 0:
        return Steadiness(math.inf, limit_kg, 0.0, None)
    parts = np.array([part.mean(axis=0) for part in np.array_split(columns, count)])
    wander = parts.max(axis=0) - parts.min(axis=0)
    worst = int(wander.argmax())
    noise = _noise(columns)[worst] * np.sqrt(count / len(columns))
    cells = readings_kg.shape[1]
    # Five means of mere noise lie 2.3 of their standard deviations apart, in one case of 100 4.6.
    return Steadiness(float(wander[worst]), limit_kg, 4.6 * float(noise), worst if worst < cells else None)


def read_step(
    kind: str, readings_kg: F64, *, mass_kg: float, place: str, begin_s: float, rate_hz: float
) -> LoadStep:
    """Reduce the readings (n, cells) of a step to what the fit needs. They must have been checked."""
    known = _kind_of(kind)
    steady = readings_kg
    creep_s = creep_kg = np.empty(0)
    if known == "creep":
        steady = readings_kg[: max(_LEAST_SAMPLES, int(FIRST_S * rate_hz))]
        points = min(_MOST_CREEP_POINTS, max(2, int(len(readings_kg) / rate_hz / FIRST_S)))
        parts = np.array_split(readings_kg.sum(axis=1), points)
        ends = np.cumsum([len(part) for part in parts]) / rate_hz
        creep_s = ends - np.array([len(part) for part in parts]) / rate_hz / 2
        creep_kg = np.array([part.mean() for part in parts])
    blocks = np.array([part.mean(axis=0) for part in np.array_split(steady, BLOCKS)])
    noise = _noise(steady)
    error = np.maximum(blocks.std(axis=0, ddof=1) / np.sqrt(BLOCKS), noise / np.sqrt(len(steady)))
    return LoadStep(
        kind=known, place=place, mass_kg=mass_kg, begin_s=begin_s,
        end_s=begin_s + len(readings_kg) / rate_hz, mean_kg=steady.mean(axis=0), standard_error_kg=error,
        noise_kg=noise, resolution_kg=_resolution(readings_kg), creep_s=creep_s, creep_kg=creep_kg,
    )  # fmt: skip


def check_readings(
    kind: str, readings_kg: F64, mass_kg: float, place: str, *, plate: Plate, limits: Limits, rate_hz: float
) -> None:
    """Refuse what no step may be: holes, too short, saturated, unsteady, a mass that cannot be."""
    known = _kind_of(kind)
    doing = _doing(known, mass_kg, place)
    plate.position_of(place)
    if plate.count > 1 and (known == "corner") != (place in plate.cells):
        raise CalibrationRefused(
            doing,
            got=f"a step {known!r} at {place_words(place)}",
            expected="a corner over a cell, all else in the centre",
            remedy="Put the mass where the step asks for it.",
        )
    if readings_kg.ndim != 2 or readings_kg.shape[1] != plate.count:
        raise CalibrationRefused(
            doing, got=f"readings of shape {readings_kg.shape}", expected=f"{plate.count} cells each",
            remedy="Check the cells of the load stream in the configuration.",
        )  # fmt: skip
    least = max(_LEAST_SAMPLES, int(LEAST_S * rate_hz))
    if len(readings_kg) < least:
        raise CalibrationRefused(
            doing, got=f"only {len(readings_kg)} readings", expected=f"at least {least}",
            remedy="Wait a little longer before you go on.",
        )  # fmt: skip
    if not np.isfinite(readings_kg).all():
        raise CalibrationRefused(
            doing, got=f"{int((~np.isfinite(readings_kg)).sum())} readings without a value", expected="none",
            remedy="Check the plugs of the load cells, then take the step again.",
        )  # fmt: skip
    saturated = np.abs(readings_kg).max(axis=0) >= limits.full_scale_kg
    if saturated.any():
        raise CalibrationRefused(
            doing, got=f"{_names(plate, saturated)} at the end of its range: saturated",
            expected=f"less than {limits.full_scale_kg:g} kg on each cell",
            remedy="Take mass off. If the plate is empty, a wire of this cell is off or broken.",
        )  # fmt: skip
    if known != "zero" and not (np.isfinite(mass_kg) and mass_kg > 0):
        raise CalibrationRefused(
            doing, got=f"a mass of {mass_kg} kg", expected="the known mass, more than zero",
            remedy="Say what the mass weighs; it is stamped on it.",
        )  # fmt: skip
    if known != "zero" and mass_kg > limits.capacity_kg * plate.count:
        raise CalibrationRefused(
            doing, got=f"{mass_kg:g} kg", expected=f"at most {limits.capacity_kg * plate.count:g} kg",
            remedy="The cells would be bent for good. Use a smaller mass.",
        )  # fmt: skip
    checked = readings_kg
    if known == "creep":  # creeps as it must; only its beginning has to be still
        checked = readings_kg[: max(_LEAST_SAMPLES, int(FIRST_S * rate_hz))]
    steadiness = measure_steadiness(checked, limits.steady_kg)
    if not steadiness.steady:
        where = "the sum" if steadiness.cell is None else place_words(plate.cells[steadiness.cell])
        noisy = steadiness.wander_kg <= steadiness.noise_kg
        raise CalibrationRefused(
            doing,
            got=f"unsteady readings: {where} wandered by {1e3 * steadiness.wander_kg:.1f} g",
            expected=f"at most {1e3 * steadiness.limit_kg:.1f} g (half a verification interval)",
            remedy="It is noise: average longer, or choose a larger verification interval."
            if noisy
            else "Hands off, engine off, out of the wind; wait until it has come to rest.",
        )


def check_zero(mean_kg: F64, plate: Plate, limits: Limits) -> None:
    """Refuse a zero that is more than 2 % of a cell's capacity off."""
    off = mean_kg - limits.dead_load_kg / plate.count
    beyond = np.abs(off) > MOST_ZERO * limits.capacity_kg
    if beyond.any():
        worst = int(np.abs(off).argmax())
        raise CalibrationRefused(
            "reading the empty plate",
            got=f"{_names(plate, beyond)} far from zero: {off[worst]:+.3f} kg, "
            f"{100 * abs(off[worst]) / limits.capacity_kg:.1f} % of its capacity",
            expected=f"at most {100 * MOST_ZERO:g} % ({MOST_ZERO * limits.capacity_kg:g} kg)",
            remedy="Take everything off the plate and see that nothing leans on it. If the plate itself is "
            "that heavy, say what it weighs: --plate-kg; if not, the cell was overloaded and is bent.",
        )


def check_load(
    step: LoadStep, zero_kg: F64, earlier: Sequence[LoadStep], plate: Plate, limits: Limits
) -> None:
    """Refuse a loaded step that the cells did not feel as they should."""
    doing = _doing(step.kind, step.mass_kg, step.place)
    rise = step.mean_kg - zero_kg
    size = float(np.abs(rise).max())
    if size < LEAST_SPAN * limits.capacity_kg:
        raise CalibrationRefused(
            doing,
            got=f"readings that rose by {size:.3f} kg, {100 * size / limits.capacity_kg:.2f} % of a cell's "
            "capacity",
            expected=f"at least {100 * LEAST_SPAN:g} %",
            remedy="Use a larger mass. If it was large, the cells do not feel it: see that the plate stands "
            "on the cells alone, and check their wires.",
        )
    backwards = rise < -0.3 * size if step.place == CENTRE else rise < -0.6 * size
    if backwards.any():
        raise CalibrationRefused(
            doing, got=f"{_names(plate, backwards)} counting backwards",
            expected="readings that rise under load",
            remedy="Swap its wires A+ and A− (often white and green), or turn the cell round: the arrow on "
            "it shows where the load goes.",
        )  # fmt: skip
    idle = np.abs(rise) < _IDLE * size
    if step.place == CENTRE and plate.count > 1 and idle.any():
        raise CalibrationRefused(
            doing, got=f"{_names(plate, idle)} carrying nothing", expected="a share of the mass on each cell",
            remedy="Put the mass in the centre of the plate. If it stands there, a foot hangs in the air or "
            "a wire is off: turn the foot until the plate does not rock, check the wire, begin again.",
        )  # fmt: skip
    if step.place in plate.cells and plate.count > 1:
        felt = int(rise.argmax())
        if plate.cells[felt] != step.place:
            raise CalibrationRefused(
                doing,
                got=f"{place_words(plate.cells[felt])} feeling it most",
                expected=f"{place_words(step.place)} feeling it most",
                remedy="Put the mass over the cell that was asked for. If it stands there, two cells are "
                "plugged the wrong way round: swap them.",
            )
    ratio = float(rise.sum()) / step.mass_kg
    ratios = [(s.mean_kg - z).sum() / s.mass_kg for s, z in _with_zeros(earlier) if s.mass_kg > 0]
    if ratios and abs(ratio / float(np.median(ratios)) - 1) > _MISTAKEN:
        meant = ratio / float(np.median(ratios)) * step.mass_kg
        raise CalibrationRefused(
            doing, got=f"readings as of {meant:.2f} kg", expected=f"about {step.mass_kg:g} kg in all",
            remedy=f"Put on {step.mass_kg:g} kg, no more and no less. If that lies there, the first mass was "
            "another than was said: take it back (u), and weigh it again.",
        )  # fmt: skip
    if not 1 / _BEYOND_NOMINAL <= ratio <= _BEYOND_NOMINAL:
        raise CalibrationRefused(
            doing, got=f"readings as of {float(rise.sum()):.2f} kg by the nominal scale of the cells",
            expected=f"about {step.mass_kg:g} kg in all",
            remedy=f"Put on {step.mass_kg:g} kg, no more and no less. Is it that, in kilograms? Then the "
            "nominal scale is wrong: put `scale` of this stream right in the configuration, and begin again.",
        )  # fmt: skip


def _with_zeros(steps: Sequence[LoadStep]) -> list[tuple[LoadStep, F64]]:
    out, zero = [], None
    for step in steps:
        zero = step.mean_kg if step.kind == "zero" else zero
        if zero is not None:
            out.append((step, zero))
    return out


def _kind_of(kind: str) -> Kind:
    for known in KINDS:
        if kind == known:
            return known
    raise CalibrationRefused(
        "taking a step of the load cells", got=f"a step {kind!r}", expected=", ".join(KINDS),
        remedy="Take one of these steps.",
    )  # fmt: skip


def _doing(kind: str, mass_kg: float, place: str) -> str:
    return "reading the empty plate" if kind == "zero" else f"weighing {mass_kg:g} kg at {place_words(place)}"


def _names(plate: Plate, which: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> str:
    if which.all() and plate.count > 1:
        return "every cell"
    *first, last = (place_words(cell) for cell, hit in zip(plate.cells, which, strict=True) if hit)
    return f"{', '.join(first)} and {last}" if first else last


def _noise(columns: F64) -> F64:
    """Noise of one reading, from the differences of neighbours, which slow changes do not enter: (k,)."""
    if len(columns) < 2:
        return np.zeros(columns.shape[1])
    out: F64 = np.sqrt((np.diff(columns, axis=0) ** 2).mean(axis=0) / 2)
    return out


def _resolution(readings_kg: F64) -> float:
    """Smallest change that the readings show, of all cells together as root of squares."""
    steps = []
    for column in readings_kg.T:
        apart = np.diff(np.unique(column))
        steps.append(float(apart.min()) if len(apart) else 0.0)
    return float(np.sqrt((np.array(steps) ** 2).sum()))
