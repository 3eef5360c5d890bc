"""Backgrounds: specific force on a box while nothing harms it, recorded by others or made by the standard.

Every background gives the force in the axes of a box that stands upright: x forward, y left, z up. The
recordings are described in ``README.md`` of their folder; what was done to each to find those axes stands at
the function that reads it. They keep the errors of the sensors that made them.

From recordings on which things happen that nobody wrote down, only calm parts are taken, and calm is
defined by physics: level within 0.35 g after a 2 Hz low-pass (below every harsh-driving threshold in use,
0.38 g), and neither weightless nor slammed (0.4 to 1.8 g). A scene could not be marked otherwise.
"""

from __future__ import annotations

import csv
import functools
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from firmware_bridge.virtual.road import RoadNoise

F64 = npt.NDArray[np.float64]
GRAVITY_MPS2 = 9.80665  # standard gravity, CGPM 1901
RECORDINGS = Path(__file__).resolve().parents[2].parent / "shared" / "data"

CALM_LEVEL_MPS2 = 0.35 * GRAVITY_MPS2
CALM_MAGNITUDES_MPS2 = (0.4 * GRAVITY_MPS2, 1.8 * GRAVITY_MPS2)
CALM_LOWPASS_S = 0.35  # the length of a moving mean whose first zero is near 3 Hz, -3 dB near 1.3 Hz
SEAM_S = 0.5

Maker = Callable[[int, float, np.random.Generator], F64]


@dataclass(frozen=True, slots=True)
class Background:
    """``make(samples, rate_hz, rng)`` gives (samples, 3) m/s²; ``rates_hz``: lowest and highest."""

    name: str
    rates_hz: tuple[int, int]
    moving: bool
    rms_mps2: float
    """Of the vibration, vertically: how much of a small happening it hides."""
    recorded: bool
    make: Maker

    @property
    def fast(self) -> bool:
        """Whether shocks can be seen at its rate: at least 400 Hz."""
        return self.rates_hz[0] >= 400

    @property
    def quick(self) -> bool:
        """Whether driving manoeuvres, falls and bumps can be seen at its rate: at least 50 Hz."""
        return self.rates_hz[0] >= 50


@functools.cache
def backgrounds(*, recorded: bool = True) -> Mapping[str, Background]:
    """Return all that can be used here, by name. `recorded` False: only those made by the standard."""
    found = [*_made()]
    if recorded and RECORDINGS.is_dir():
        found += [*_transit(), *_driver(), *_container(), *_car_trip()]
    return {one.name: one for one in found}


def stitched(spans: Sequence[F64], samples: int, seam: int, rng: np.random.Generator) -> F64:
    """Return (samples, 3) from randomly drawn parts of `spans`, each seam a cross-fade of equal power."""
    weights = np.array([len(s) for s in spans], dtype=np.float64)
    weights /= weights.sum()
    out = np.empty((0, 3))
    fade = 0.5 - 0.5 * np.cos(math.pi * (np.arange(seam) + 0.5) / seam)
    while len(out) < samples:
        span = spans[int(rng.choice(len(spans), p=weights))]
        missing = samples - len(out) + seam
        start = int(rng.integers(0, max(1, len(span) - missing + 1)))
        part = span[start : start + missing]
        if len(out) == 0:
            out = part.copy()
            continue
        level = out[-seam:].mean(axis=0) * (1 - fade[:, None]) + part[:seam].mean(axis=0) * fade[:, None]
        waves = (out[-seam:] - out[-seam:].mean(axis=0)) * np.sqrt(1 - fade[:, None])
        waves += (part[:seam] - part[:seam].mean(axis=0)) * np.sqrt(fade[:, None])
        out = np.concatenate([out[:-seam], level + waves, part[seam:]])
    return out[:samples]


def resampled(values: F64, samples: int) -> F64:
    """Return `values` (n, 3) on another number of samples of the same time, band-limited where it grows."""
    if len(values) == samples:
        return values
    at = np.arange(samples) * (len(values) / samples)
    return np.stack([np.interp(at, np.arange(len(values)), column) for column in values.T], axis=1)


def _recorded(
    name: str, spans: Sequence[F64], rate_hz: float, rates_hz: tuple[int, int], *, moving: bool = True
) -> Background:
    seam = max(2, round(SEAM_S * rate_hz))
    usable = [span for span in spans if len(span) >= 4 * seam]
    whole = np.concatenate(usable)
    smooth = _moving_mean(whole[:, 2], max(1, round(rate_hz)))
    rms = float(np.sqrt(np.mean((whole[:, 2] - smooth) ** 2)))

    def make(samples: int, asked_hz: float, rng: np.random.Generator) -> F64:
        if asked_hz <= rates_hz[1]:  # its own rate is not known better than that
            return stitched(usable, samples, seam, rng)
        own = math.ceil(samples * rate_hz / asked_hz) + 1
        return resampled(stitched(usable, own, seam, rng), samples)

    return Background(name, rates_hz, moving, rms, recorded=True, make=make)


def _moving_mean(values: F64, length: int) -> F64:
    kernel = np.ones(length) / length
    padded = np.concatenate([np.full(length, values[0]), values, np.full(length, values[-1])])
    return np.convolve(padded, kernel, "same")[length:-length]


def calm_spans(force_mps2: F64, rate_hz: float, least_s: float = 4.0) -> list[F64]:
    """Return the parts of (n, 3) that are calm as this module's docstring says, 1 s away from what is not."""
    length = max(1, round(CALM_LOWPASS_S * rate_hz))
    level = np.hypot(_moving_mean(force_mps2[:, 0], length), _moving_mean(force_mps2[:, 1], length))
    magnitude = np.sqrt((force_mps2**2).sum(axis=1))
    low, high = CALM_MAGNITUDES_MPS2
    wild = (level > CALM_LEVEL_MPS2) | (magnitude < low) | (magnitude > high)
    near = np.convolve(wild, np.ones(2 * round(rate_hz) + 1), "same") > 0
    edges = np.flatnonzero(np.diff(np.concatenate([[True], near, [True]]).astype(np.int8)))
    spans = [force_mps2[a:b] for a, b in zip(edges[::2], edges[1::2], strict=True)]
    return [span for span in spans if len(span) >= least_s * rate_hz]


def upright(force_mps2: F64) -> F64:
    """Return (n, 3) turned by the shortest way so that its mean points along z."""
    mean = force_mps2.mean(axis=0)
    return force_mps2 @ turn_onto(mean / np.linalg.norm(mean), np.array([0.0, 0.0, 1.0])).T


def turn_onto(a: F64, b: F64) -> F64:
    """Return the rotation (3, 3) that takes the unit vector `a` to `b` by the shortest way (Rodrigues)."""
    axis, cosine = np.cross(a, b), float(a @ b)
    if cosine < -0.999999:
        return np.diag([1.0, -1.0, -1.0]) if abs(a[0]) < 0.5 else np.diag([-1.0, 1.0, -1.0])
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.asarray(np.eye(3) + cross + cross @ cross / (1 + cosine))


def _transit() -> list[Background]:
    """Trams and buses: z is up; they pull away with x negative and stop with it positive: forward is -x."""
    found = []
    for path in sorted((RECORDINGS / "transit-vibration").glob("*.csv")):
        force = np.loadtxt(path, skiprows=1) * (-1.0, -1.0, 1.0)
        name = "transit " + "_".join(path.stem.split("_")[:3])
        neutral = "neutral" in path.stem  # at a stop, its engine running
        found.append(_recorded(name, [force], 488.0, (476, 500), moving=not neutral))
    return found


def _driver() -> list[Background]:
    """A phone in a car, turned to the earth's axes: turned back by the yaw, its calm parts.

    The first heading is not recorded; the one taken makes the centripetal force point to where it turns.
    """
    found = []
    for trip in ("17", "20"):
        folder = RECORDINGS / "driver-behavior" / trip
        read = functools.partial(np.loadtxt, delimiter=",", skiprows=1, usecols=(1, 2, 3, 4))
        if not (folder / "acelerometro_terra.csv").exists():
            continue
        accel, gyro = read(folder / "acelerometro_terra.csv"), read(folder / "giroscopio_terra.csv")
        time_s = np.arange(0.0, (accel[-1, 0] - accel[0, 0]) / 1e9, 1 / 51)
        a = _on_grid(accel, accel[0, 0], time_s)
        yaw_rate = _on_grid(gyro, accel[0, 0], time_s)[:, 2]
        yaw = np.cumsum(yaw_rate) / 51
        turned = (a[:, 0] + 1j * a[:, 1]) * np.exp(-1j * yaw)
        left = (yaw_rate * turned).sum()
        turned *= np.exp(1j * (math.pi / 2 - np.angle(left)))
        force = np.stack([turned.real, turned.imag, a[:, 2]], axis=1)
        found.append(_recorded(f"driver {trip}", calm_spans(force, 51.0), 51.0, (51, 51)))
    return found


def _on_grid(table: F64, began_ns: float, time_s: F64) -> F64:
    at_s = (table[:, 0] - began_ns) / 1e9
    return np.stack([np.interp(time_s, at_s, table[:, k]) for k in (1, 2, 3)], axis=1)


def _container() -> list[Background]:
    """A small box moved by hand or standing: its idle and calm parts, each turned upright by its mean."""
    path = RECORDINGS / "container-motion" / "samples.csv"
    if not path.exists():
        return []
    samples: dict[tuple[str, str], list[list[float]]] = defaultdict(list)
    with path.open(newline="") as text:
        for row in csv.DictReader(text):
            samples[row["label"], row["sample"]].append([float(row[k]) for k in ("accX", "accY", "accZ")])
    found = []
    for label, moving in (("Idle", False), ("Terrestrial", True)):
        whole = [upright(np.array(v)) for (which, _), v in samples.items() if which == label]
        spans = [calm for one in whole for calm in calm_spans(one, 59.0)]
        if spans:
            found.append(_recorded(f"container {label}", spans, 59.0, (59, 59), moving=moving))
    return found


def _car_trip() -> list[Background]:
    """A parcel in a car boot at 2 Hz, at an odd angle that changes on its way. Good for tilt and no more.

    Each stretch is turned upright by itself: a scene begins with a box that stands, not with one that slid.
    """
    path = RECORDINGS / "fragile-goods-box" / "car_trip_0921.csv"
    if not path.exists():
        return []
    with path.open(newline="") as text:
        keys = ("acceleratorX", "acceleratorY", "acceleratorZ")
        rows = [[float(row[k]) for k in keys] for row in csv.DictReader(text) if row[keys[0]]]
    force = np.array(rows[:1800]) * GRAVITY_MPS2 / 1000  # before the drops at its end
    spans = [upright(span) for span in calm_spans(upright(force), 2.0, 10.0)]
    return [_recorded("car trip", spans, 2.0, (2, 2))]


# a four-stroke diesel with six cylinders at 640 rpm: one beat a turn, and its three firings (Hz, g)
IDLE_TONES = ((10.7, 0.004), (32.0, 0.010))


def _made() -> list[Background]:
    """Rest, an idling engine, and the truck of ASTM D4169 on the bed and on the box's own springs."""
    roads = [
        _road("made truck I, sprung", "I", sprung=True, rms_g=0.30),
        _road("made truck II, sprung", "II", sprung=True, rms_g=0.21),
        _road("made truck III, sprung", "III", sprung=True, rms_g=0.15),
        _road("made truck II, bed", "II", sprung=False, rms_g=0.52),
        _road("made truck III, bed", "III", sprung=False, rms_g=0.37),
    ]
    rest = Background("made rest", (1000, 1000), False, 0.0, recorded=False, make=_rest)
    idle = Background("made idle", (1000, 1000), False, 0.1, recorded=False, make=_idle)
    return [*roads, rest, idle]


def _road(name: str, level: str, *, sprung: bool, rms_g: float) -> Background:
    def make(samples: int, rate_hz: float, rng: np.random.Generator) -> F64:
        del rate_hz
        noise = RoadNoise(int(rng.integers(1 << 31)), level=level)
        of_second = noise.box_mps2 if sprung else noise.platform_mps2
        force = np.concatenate([of_second(k) for k in range(math.ceil(samples / 1000))])[:samples]
        force[:, 2] += GRAVITY_MPS2
        return force

    return Background(name, (1000, 1000), True, rms_g * GRAVITY_MPS2, recorded=False, make=make)


def _rest(samples: int, rate_hz: float, rng: np.random.Generator) -> F64:
    del rate_hz, rng
    return np.tile([0.0, 0.0, GRAVITY_MPS2], (samples, 1))


def _idle(samples: int, rate_hz: float, rng: np.random.Generator) -> F64:
    force = _rest(samples, rate_hz, rng)
    time_s = np.arange(samples) / rate_hz
    for hertz, size_g in IDLE_TONES:
        tone = size_g * GRAVITY_MPS2 * np.sin(2 * math.pi * (hertz * time_s + rng.random()))
        force += tone[:, None] * (0.5, 0.7, 1.0)
    return force
