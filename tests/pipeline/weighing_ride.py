"""Rides on a rough road and rests, weighed second by second."""

from __future__ import annotations

from typing import Any

import numpy as np

from agent.blocks import NS_PER_S, Block, SiBlock
from agent.features.weighed import Weighing
from agent.features.weighing import Weigher
from firmware_bridge.virtual.streams import GRAVITY_MPS2
from scripts.benches.weighing import UP
from scripts.benches.weighing_road import Ride, blocks

SECONDS = 20


def si(block: Block) -> SiBlock:
    return SiBlock(block.stream, 0, block.times_ns(), block.period_ns, block.values, block.quality)


def weighed(load: Block, accel: Block, up: Any = UP) -> dict[int, Weighing]:
    weigher = Weigher(up)
    weigher.feed(si(load))
    weigher.feed(si(accel))
    return dict(weigher.advance(int(load.last_ns) + NS_PER_S))


def changed(block: Block, values: Any, quality: Any = None) -> Block:
    return Block(block.stream, 0, block.clock, np.asarray(values, np.float32), quality)


def at_rest(ride: Ride, force: tuple[float, float, float] = (0.0, 0.0, GRAVITY_MPS2)) -> tuple[Block, Block]:
    """Cells and accelerometer of a box that stands still."""
    load, accel = blocks(ride)
    rng = np.random.default_rng(ride.seed)
    kg = ride.mass_kg * force[2] / GRAVITY_MPS2 / 4
    cells = kg + ride.load_noise_kg * rng.standard_normal(load.values.shape)
    return changed(load, cells), changed(
        accel, np.array(force) + ride.motion_noise_mps2 * rng.standard_normal(accel.values.shape)
    )
