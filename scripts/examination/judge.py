"""The judgement: one scene through the very pipeline of a box, and what its records say, held to the truth.

Harmful: recognised when a record of the right type reaches the severity that the scene asks for within its
window, and none did before the harm began. The delay counts from the moment the condition was complete to
the sample that decided it. Harmless: fails on any record on the topic of alarms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

import agent
from agent.blocks import NS_PER_S, Block, RegularClock
from agent.errors import FourPartError
from agent.pipeline import Pipeline
from agent.records import Head, Kind, Record, decode
from agent.timebase import TimeMark, TimeQuality
from scripts.examination.box_settings import config_of
from scripts.examination.scene import ALARM, BEGAN_S, GENERAL, Scene

EPOCH_S = 1_790_000_000
PIECE_S = 10
EARLY_S = 0.25
"""So much before the harm begins its detector may speak: half a filter's length."""


@dataclass(frozen=True, slots=True)
class Said:
    """One event record, in seconds of the scene: when it was decided, and since when it lasts."""

    event: str
    phase: str
    severity: int
    decided_s: float
    start_s: float
    alarm: bool
    context: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one scene. ``side``: alarms of other types than the truth's."""

    kind: str
    number: int
    background: str
    event: str | None
    passed: bool
    why: str = ""
    delay_s: float | None = None
    side: tuple[str, ...] = ()
    general: tuple[str, ...] = ()
    seconds: float = 0.0
    drawn: dict[str, float | str] = field(default_factory=dict)


Listener = Callable[[Scene], list[Said]]


def judged(scene: Scene, listen: Listener | None = None) -> Verdict:
    """Return the verdict on a scene. `listen`: what hears it; the agent's pipeline by default."""
    try:
        said = (listen or heard)(scene)
    except FourPartError as error:
        return _verdict(scene, passed=False, why=f"settings refused: {error}".splitlines()[0])
    except Exception as error:  # an agent that breaks has not recognised anything; the paper goes on
        return _verdict(scene, passed=False, why=f"the agent broke: {type(error).__name__}: {error}")
    alarms = [one for one in said if one.alarm]
    if scene.truth.event is None:
        why = ", ".join(_in_words(one) for one in alarms)
        return _verdict(scene, passed=not alarms, why=why, said=said)
    return _harmful(scene, said)


def heard(scene: Scene) -> list[Said]:
    """Return every event record that the agent's pipeline makes of a scene."""
    config = config_of(scene.settings)
    pipeline = Pipeline(
        config.apply_to(one.spec for one in scene.series),
        head=Head(config.box.id, "0" * 16, agent.__version__),
        fleet=config.box.fleet,
        detectors=config.detect,
        upload=config.upload,
        mount_up=config.mount_up(scene.mount_up),
    )
    records = pipeline.push(mark())
    for block in pieces(scene):
        records += pipeline.push(block)
    records += pipeline.finish()
    return [_said(record) for record in records if record.kind in (Kind.ALARM, Kind.EVENT)]


def mark() -> TimeMark:
    """The wall clock of every scene: set, and whole seconds ahead of box time."""
    return TimeMark(0, EPOCH_S * NS_PER_S, TimeQuality.SYNCED)


def pieces(scene: Scene) -> Iterator[Block]:
    """Return a scene's samples as blocks of some seconds, the streams abreast."""
    ends = 0.0
    given = dict.fromkeys((one.spec.name for one in scene.series), 0)
    clocks = {
        one.spec.name: RegularClock.of_rate(one.spec.rate_hz, anchor_ns=round(BEGAN_S * NS_PER_S))
        for one in scene.series
    }
    while ends < scene.seconds:
        ends += PIECE_S
        for one in scene.series:
            name, first = one.spec.name, given[one.spec.name]
            last = min(len(one.counts), round(ends * one.spec.rate_hz))
            if last > first:
                yield Block(name, first, clocks[name], one.counts[first:last])
                given[name] = last


def _said(record: Record) -> Said:
    body = decode(record.payload)
    return Said(
        body["type"],
        body["phase"],
        body["severity"],
        _scene_s(body["t"]),
        _scene_s(body["start"]),
        record.kind is Kind.ALARM,
        body.get("context", ""),
    )


def _scene_s(wall: str) -> float:
    return datetime.fromisoformat(wall).timestamp() - EPOCH_S - BEGAN_S


def _harmful(scene: Scene, said: list[Said]) -> Verdict:
    truth = scene.truth
    right = [one for one in said if one.event == truth.event and one.phase != "end"]
    enough = [one for one in right if one.severity >= truth.severity]
    early = [one for one in enough if one.decided_s < truth.begins_s - EARLY_S]
    timely = [one for one in enough if truth.begins_s - EARLY_S <= one.decided_s <= truth.until_s]
    if timely and not early:
        return _verdict(scene, passed=True, said=said, delay_s=timely[0].decided_s - truth.complete_s)
    if early:
        why = f"before anything happened: {_in_words(early[0])}"
    elif enough:
        late_s = enough[0].decided_s - truth.complete_s
        why = f"late, {late_s:.1f} s after it was complete: {_in_words(enough[0])}"
    elif right:
        why = f"too mild, severity {truth.severity} wanted: {_in_words(right[-1])}"
    else:
        others = ", ".join(_in_words(one) for one in said if one.severity >= GENERAL and one.phase == "start")
        why = f"not recognised; said: {others or 'nothing'}"
    return _verdict(scene, passed=False, why=why, said=said)


def _verdict(
    scene: Scene,
    *,
    passed: bool,
    why: str = "",
    said: list[Said] | None = None,
    delay_s: float | None = None,
) -> Verdict:
    others = [one for one in said or () if one.event != scene.truth.event and one.phase != "end"]
    return Verdict(
        kind=scene.kind,
        number=scene.number,
        background=scene.background,
        event=scene.truth.event,
        passed=passed,
        why=why,
        delay_s=delay_s,
        side=tuple(sorted({one.event for one in others if one.alarm or one.severity >= ALARM})),
        general=tuple(sorted({one.event for one in others if one.severity == GENERAL})),
        seconds=scene.seconds,
        drawn=dict(scene.drawn),
    )


def _in_words(one: Said) -> str:
    return f"{one.event} {one.phase} of severity {one.severity} at {one.decided_s:.2f} s ({one.context})"
