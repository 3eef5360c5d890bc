"""What will not be watched, and why: no stream for it, no limits set, or switched off.

From the detectors' own notes, as `cargobox run` has them in its log, before a single sample has come.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from agent.config import Config
from agent.detection import make_detectors, not_made
from agent.doctor.finding import Area, Finding, Patient, State
from agent.streams import TABLE
from firmware_bridge.describe import Description

LEARNED = ("tilt", "slosh")  # learn which way is up from the first rest, of which there was none yet


def of_board(about: Description, patient: Patient) -> Iterator[Finding]:
    """Say what a box with this board, and with the chips that are configured beside it, will not watch."""
    board = {stream.name: len(stream.axes) for stream in about.streams}
    return _judge(patient, board, about.mount_up)


def of_chips(patient: Patient) -> Iterator[Finding]:
    """Say it of a box that has no board; nothing where a board belongs to it, which is asked itself."""
    return iter(()) if patient.expects_board else _judge(patient, {}, None)


def _judge(
    patient: Patient, board: Mapping[str, int], mount_up: tuple[float, float, float] | None
) -> Iterator[Finding]:
    config = patient.config or Config()
    axes = dict(board)
    for bus in config.source.i2c:
        for chip in bus.chips:
            for stream in chip.make().streams:  # cells of several chips are one stream
                axes[stream.spec.name] = axes.get(stream.spec.name, 0) + len(stream.spec.axes)
    unwatched = {name for name, override in config.streams.items() if override.watch is False}
    specs = [
        msgspec.structs.replace(TABLE[name], axes=tuple(str(at) for at in range(count)))
        for name, count in axes.items()
        if name in TABLE and name not in unwatched
    ]
    up = config.mount_up(mount_up)
    detectors = make_detectors(config.detect, specs, up)
    notes = [note for detector in detectors for note in detector.notes()]
    notes += not_made(config.detect, specs)
    for note in notes:
        name, _, why = note.partition(": ")
        if up is None and name in LEARNED and "never rested" in why:
            why = "not watched until the box has rested and so shown which way is up; or set [mounting] up"
        yield Finding(Area.STREAMS, State.SKIPPED, f"watch for {name}", why, "", {"watched": False})
