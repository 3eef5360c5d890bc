"""Rides made of plain formulas: pushes, slopes and a truck's road, in a box mounted anyhow."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent.detection.context import ContextWatch
from agent.detection.finding import Finding
from agent.detection.harsh import HarshDetector, HarshSettings
from agent.records import Phase
from agent.streams import TABLE
from firmware_bridge.virtual.road import RoadNoise
from tests.detection.signals import F64, GRAVITY_MPS2, si_block

RATE_HZ = 1000
RISE_S = 0.3


@dataclass(frozen=True, slots=True)
class Part:
    """``ahead_g``, ``left_g``: of the vehicle's acceleration; ``slope_deg``: nose up; ``road``: it shakes."""

    seconds: float
    ahead_g: float = 0.0
    left_g: float = 0.0
    slope_deg: float = 0.0
    yaw_radps: float = 0.0
    road: bool = True


def mounted(seed: int) -> F64:
    """Return a rotation (3, 3) drawn evenly."""
    q, r = np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))
    q = q * np.sign(np.diag(r))
    return np.asarray(q if np.linalg.det(q) > 0 else -q)


@functools.cache
def _road(seed: int, seconds: int) -> F64:
    noise = RoadNoise(seed)
    return np.concatenate([noise.box_mps2(second) for second in range(seconds)])


def ride(
    parts: Sequence[Part],
    *,
    seed: int = 0,
    rotation: F64 | None = None,
    bias: Sequence[float] = (0.0, 0.0, 0.0),
) -> tuple[F64, F64]:
    """Return specific force and rate of turn (n, 3) at 1 kHz, in the axes that `rotation` gives."""
    counts = [round(p.seconds * RATE_HZ) for p in parts]
    rows = [
        (
            p.ahead_g + np.sin(np.radians(p.slope_deg)),
            p.left_g,
            np.cos(np.radians(p.slope_deg)),
            float(p.road),
            p.yaw_radps,
        )
        for p in parts
    ]
    plain = np.repeat(np.array(rows), counts, axis=0)
    width = round(RISE_S * RATE_HZ)
    padded = np.pad(plain, ((width // 2, width - width // 2 - 1), (0, 0)), mode="edge")
    smooth = np.stack(
        [np.convolve(column, np.full(width, 1 / width), "valid") for column in padded.T], axis=1
    )
    force = smooth[:, :3] * GRAVITY_MPS2
    seconds = -(-len(force) // RATE_HZ)
    force += _road(seed, seconds)[: len(force)] * smooth[:, 3:4]
    force += np.random.default_rng(seed).normal(0, 0.03, force.shape)
    turning = np.zeros_like(force)
    turning[:, 2] = smooth[:, 4]
    axes = np.eye(3) if rotation is None else rotation
    return force @ axes.T + np.asarray(bias), turning @ axes.T


def said_of(
    force: F64,
    turning: F64 | None = None,
    *,
    settings: HarshSettings | None = None,
    rate_hz: float = RATE_HZ,
    block: int = 1000,
    watched: bool = True,
) -> list[Finding]:
    """Return what the detector says, the context watched beside it."""
    names = ("accel",) if turning is None else ("accel", "gyro")
    context = ContextWatch([TABLE[name] for name in names]) if watched else None
    detector = HarshDetector(
        settings or HarshSettings(), gyro_stream=None if turning is None else "gyro", context=context
    )
    found: list[Finding] = []
    for first in range(0, len(force), block):
        for name, values in zip(names, (force, turning), strict=False):
            assert values is not None
            part = si_block(name, values[first : first + block], rate_hz, start_s=first / rate_hz)
            found += detector.feed(part)
            if context is not None:
                context.feed(part)
        horizon_ns = int(part.times_ns[-1]) + 1
        if context is not None:
            context.advance(horizon_ns)
        found += detector.advance(horizon_ns)
    if context is not None:
        context.advance(1 << 62)
    return found + list(detector.advance(1 << 62))


def starts(found: Sequence[Finding]) -> list[Finding]:
    return [f for f in found if f.phase is Phase.START]
