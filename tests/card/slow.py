"""A card that takes everything and is slow with it, as worn or cheap ones are: how late do alarms leave?

The kernel lets the device take so many requests and bytes a second and no more: a sync, which is some of
them, then takes half a second to two, and more while something else writes to the same card.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from firmware_bridge.virtual.playback import Trip
from scripts.benches.alarm_trip import DETECT, AlarmTrip
from tests.card.cards import Ext4
from tests.card.riding import Phase
from tests.card.scenarios import REFUSAL_WORDS, Setting, Told, check, lasting, recovered, setting, told_of
from tests.card.trip import FallsAgain

MORE = """
[recorder]
directory = "{card}/recordings"
max_mib = 16
kept_mib = 4
min_free_mib = 0
sync_s = 1.0
"""
SIZE_MIB = 64
REFUSED = re.compile(rf"^(?!\w+ health:).*(?:{'|'.join(REFUSAL_WORDS)})", re.MULTILINE)
"""Of a card that comes and goes, health speaks once in each of its records, which here come every second."""


@dataclass(frozen=True, slots=True)
class Slowness:
    """What the device takes a second."""

    requests_hz: int
    bytes_hz: int


WORN = Slowness(6, 100_000)
"""Syncs of a third of a second to one."""
DYING = Slowness(2, 50_000)
"""Syncs of one second to several: now and then one that is given up."""
PROMISED_MS = 2000.0
"""docs/guarantees.md: so long an alarm waits for a card that does not answer."""
BESIDE_MS = 1000.0
"""For all else on its way, on a machine that does other things, too."""


def slow(
    folder: Path,
    *,
    seconds: float = 30.0,
    slowness: Slowness = WORN,
    record: bool = False,
    many: bool = False,
    beside_ms: float = BESIDE_MS,
) -> Told:
    """The card becomes slow and fast again; `record`: to the same card; `many`: three alarms a second."""
    card = Ext4(folder, SIZE_MIB)
    trip: Trip = AlarmTrip() if many else FallsAgain()
    more = (MORE.format(card=card.path) if record else "") + (DETECT if many else "")
    with setting(folder, card, trip=trip, more=more) as at:
        with at.ride() as ride:
            before = ride.phase("fast", lambda p: p.left >= 2)
            with card.slow(slowness.requests_hz, slowness.bytes_hz):
                during = ride.phase("slow", lasting(seconds))
            after = ride.phase("fast again", lambda p: recovered(at, ride) and settled(p, beside_ms))
            ride.end()
        name = f"a card of {slowness.requests_hz} requests and {slowness.bytes_hz // 1000} kB a second"
        name += f"{', and recorded to' if record else ''}{', three alarms a second' if many else ''}"
        told = told_of(name, at, [ride])
        told.refusals_said = len(REFUSED.findall(ride.agent.err))
        check(told, during, refused=False)
        judge(told, at, ride.boot, (before, during, after), beside_ms)
        return told


def settled(phase: Phase, beside_ms: float) -> bool:
    """Whether alarms leave without waiting for the card, the last few."""
    return len(phase.late_ms) >= 3 and max(phase.late_ms[-2:]) < beside_ms / 2


def judge(told: Told, at: Setting, boot: str, phases: tuple[Phase, ...], beside_ms: float) -> None:
    """Note how late alarms were, and what is said of what was let go."""
    for phase in phases:
        p50, p99, most = np.percentile(phase.late_ms, (50, 99, 100))
        told.notes.append(
            f"{phase.name}: {len(phase.late_ms)} alarms, late p50 {p50:.0f} ms, p99 {p99:.0f} ms, "
            f"at most {most:.0f} ms"
        )
    during = phases[1]
    if during.slowest_ms > PROMISED_MS + beside_ms:
        told.wrong.append(f"an alarm took {during.slowest_ms:.0f} ms, and {PROMISED_MS:.0f} are promised")
    gaps = [m.body for m in at.watcher.of("gap", boot=boot)]
    recordings = [body for body in gaps if body.get("kind") == "recording"]
    samples = [body for body in gaps if "stream" in body and body.get("kind") != "recording"]
    health = [m.body for m in at.watcher.of("health", boot=boot)]
    refused = sum(body["queue"]["card_refuses"] for body in health)
    in_memory = max(body["queue"]["in_memory"] for body in health)
    paused = sum(bool(body.get("recorder", {}).get("paused")) for body in health)
    told.notes.append(
        f"gap records: {len(recordings)} of recordings, {len(samples)} of samples; of {len(health)} health "
        f"records {refused} say that the card refuses (up to {in_memory} in memory), {paused} that "
        "recordings pause"
    )
    if paused and not recordings:
        told.wrong.append("recordings paused, and no gap record says which samples are in none")
    if samples:
        told.wrong.append(f"samples were lost: {samples[:3]}")
