"""A virtual box on a clock of its own, and a person who is a list of keys: whole sessions in a moment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.calibrating import accel_run, load_run
from agent.calibrating.accel_guide import AccelGuide
from agent.calibrating.feed import Chunk
from agent.calibrating.guide import Guide
from agent.calibrating.load_guide import LoadGuide
from agent.calibrating.view import View
from agent.streams import TABLE, StreamClass, StreamSpec, Unit
from calibration.gravity import Gravity
from calibration.journal import Journal
from calibration.session import SessionHead
from firmware_bridge.virtual.calibration_bench import CalibrationBench, Rehearsal
from firmware_bridge.virtual.streams import STREAMS

CHUNK_S = 0.25
AT = "2026-03-01T10:00:00Z"
CREEP_S = 20.0


class Stage:
    """The bench in rehearsal: seconds pass when they are asked for. It is also the hand."""

    felt = True

    def __init__(self, stream: str, seed: int = 1) -> None:
        self.bench = CalibrationBench(seed)
        self.stream = stream
        self.spec = spec_of(stream)
        self._box = Rehearsal(self.bench, (stream,))
        self.moves: list[tuple[Any, ...]] = []

    def turn(self, up: tuple[float, float, float]) -> None:
        self.moves.append(("turn", up))
        self._box.turn(up)

    def put(self, mass_kg: float, place: str = "centre") -> None:
        self.moves.append(("put", mass_kg, place))
        self._box.put(mass_kg, place)

    def take_off(self) -> None:
        self.moves.append(("off",))
        self._box.take_off()

    def second(self) -> Iterator[Chunk]:
        """Let a second pass; yield its samples in the pieces in which a cable brings them."""
        begin_s = float(self._box.now_s)
        counts: npt.NDArray[np.int32] = self._box.run(1)[self.stream]
        size = round(CHUNK_S * self.spec.rate_hz)
        for i in range(0, len(counts), size):
            raw = counts[i : i + size]
            yield Chunk(begin_s + i / self.spec.rate_hz, raw, raw.astype(np.float64) * self.spec.scale)


def spec_of(stream: str) -> StreamSpec:
    given = next(s for s in STREAMS if s.name == stream)
    kind = TABLE[stream].kind if stream in TABLE else StreamClass.MOTION
    return StreamSpec(
        name=given.name, axes=given.axes, unit=Unit(given.unit), rate_hz=given.rate_hz,
        sample_bits=given.sample_bits, kind=kind, scale=given.scale, full_scale=given.full_scale,
        sensor="virtual 01",
    )  # fmt: skip


def head_of(stage: Stage, settings: dict[str, float | str | list[float]]) -> SessionHead:
    return SessionHead(
        what="accel" if stage.stream == "accel" else "load",
        stream=stage.stream, sensor=stage.spec.sensor, unit=stage.spec.unit.value, axes=stage.spec.axes,
        rate_hz=stage.spec.rate_hz, scale=stage.spec.scale, begun_at=AT, settings=settings,
    )  # fmt: skip


def accel_head(stage: Stage) -> SessionHead:
    return head_of(stage, accel_run.settings_of(Gravity()))


def load_head(stage: Stage, masses_kg: tuple[float, ...] = (20.0,)) -> SessionHead:
    given = load_run.LoadSettings(
        capacity_kg=stage.bench.truth.load.capacity_kg, masses_kg=masses_kg, creep_s=CREEP_S
    )
    return head_of(stage, load_run.settings_of(given, stage.spec))


def accel_guide(stage: Stage, journal: Journal) -> AccelGuide:
    session = accel_run.new_session(journal.head)
    return AccelGuide(session, journal, now=lambda: AT, device="rehearsal", hand=stage)


def load_guide(stage: Stage, journal: Journal, *, by_hand: bool = False) -> LoadGuide:
    session = load_run.new_session(journal.head)
    return LoadGuide(session, journal, now=lambda: AT, device="rehearsal", hand=None if by_hand else stage)


def waits(guide: Guide) -> bool:
    """Whether only a key leads on now."""
    return guide.listening


def play(guide: Guide, stage: Stage, seconds: int) -> list[str]:
    """Let time pass without a key; return what happened."""
    return [line for _ in range(seconds) for chunk in stage.second() for line in guide.take(chunk, 21.0)]


def play_until(guide: Guide, stage: Stage, steps: int, journal: Journal, *, limit_s: int = 400) -> list[str]:
    """Press Enter whenever it is asked for, until the journal holds so many steps."""
    lines: list[str] = []
    for _ in range(limit_s):
        if len(journal.steps) >= steps or guide.over():
            return lines
        if guide.listening:
            lines += guide.press("enter")
        lines += play(guide, stage, 1)
    raise AssertionError(f"{len(journal.steps)} of {steps} steps after {limit_s} s; it said {lines[-5:]}")


def journal_at(folder: Path, head: SessionHead, name: str = "a") -> Journal:
    return Journal.create(folder / f"{name}.session.jsonl", head)


def text_of(view: View, width: int = 99, height: int = 35, *, unicode: bool = True) -> str:
    """Return a screen as a person reads it."""
    from agent.calibrating.view import rows_of

    return "\n".join("".join(t for t, _ in row) for row in rows_of(view, width, height, unicode=unicode))


class Scripted:
    """A person who presses these keys, one each time he is asked."""

    eager = False

    def __init__(self, keys: Iterable[str]) -> None:
        self._keys = iter(keys)
        self.gone = False
        self.heard: list[str] = []
        self.shown = 0

    def keys(self, wait_s: float) -> list[str]:
        key = next(self._keys, None)
        self.gone = key is None
        return [] if key is None else [key]

    def show(self, view: View) -> None:
        self.shown += 1

    def tell(self, line: str) -> None:
        self.heard.append(line)
