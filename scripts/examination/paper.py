"""A paper: which scenes are set, drawn from its seed, and their judgement by several workers.

A scene depends on the seed, its half and its number alone; neither on how many workers there are nor on
which other scenes are asked for.
"""

from __future__ import annotations

import multiprocessing
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from agent.detection.finding import EventType
from agent.errors import ConfigError
from scripts.examination import families
from scripts.examination.backgrounds import Background, backgrounds
from scripts.examination.judge import Listener, Verdict, judged
from scripts.examination.scene import Draw, Kind, Scene

TAG = 0xE8A3  # keeps these random numbers apart from others of the same seed
HARMFUL, HARMLESS = "harmful", "harmless"


@dataclass(frozen=True, slots=True)
class Question:
    """One scene to come. ``half``: harmful or harmless; ``number``: its place in that half."""

    seed: int
    half: str
    number: int
    kind: str
    background: str
    recorded: bool = True


def kinds_of(half: str) -> list[Kind]:
    """Return the kinds of one half, in a fixed order."""
    return [kind for kind in families.KINDS if (kind.event is None) == (half == HARMLESS)]


def types() -> list[str]:
    """Return the event types that are examined, in the order in which they are named."""
    known = {kind.event for kind in kinds_of(HARMFUL)}
    return [event.value for event in EventType if event.value in known]


def set_paper(
    seed: int,
    scenes: int,
    *,
    only: str | None = None,
    background: str | None = None,
    recorded: bool = True,
) -> list[Question]:
    """Return a paper of `scenes` harmful and as many harmless scenes.

    ``only``: of this event type or kind; ``background``: on those alone whose name begins so. Types, and
    the kinds within a type, take turns; the background is drawn among all on which a kind makes sense.
    """
    found = backgrounds(recorded=recorded)
    names = sorted(n for n in found if background is None or n.startswith(background))
    paper: list[Question] = []
    for half in (HARMFUL, HARMLESS):
        groups = _groups(half, only)
        groups = [g for g in ([k for k in g if _usable(k, names, found)] for g in groups) if g]
        for number in range(scenes if groups else 0):
            turn, group = divmod(number, len(groups))
            kind = groups[group][turn % len(groups[group])]
            usable = _usable(kind, names, found)
            name = usable[int(_rng(seed, half, number, 0).integers(len(usable)))]
            paper.append(Question(seed, half, number, kind.name, name, recorded))
    return paper


def _groups(half: str, only: str | None) -> list[list[Kind]]:
    kinds = kinds_of(half)
    if only is not None:
        kinds = [kind for kind in kinds if only in (kind.event, kind.name, half)]
    if half == HARMLESS:
        return [[kind] for kind in kinds]
    return [[kind for kind in kinds if kind.event == event] for event in types()]


def _usable(kind: Kind, names: Iterable[str], found: Mapping[str, Background]) -> list[str]:
    return [name for name in names if kind.suits(found[name])]


def _rng(seed: int, half: str, number: int, use: int) -> np.random.Generator:
    return np.random.default_rng((seed, TAG, zlib.crc32(half.encode()), number, use))


def scene_for(question: Question) -> Scene:
    """Build the scene of a question."""
    kind = next(kind for kind in families.KINDS if kind.name == question.kind)
    ground: Background = backgrounds(recorded=question.recorded)[question.background]
    rng = _rng(question.seed, question.half, question.number, 1)
    return kind.build(Draw(rng, kind.name, question.number, ground))


def answer(question: Question, listen: Listener | None = None) -> Verdict:
    """Build the scene of a question and judge what is said of it."""
    try:
        scene = scene_for(question)
    except ConfigError as error:  # a profile that the agent does not know: nothing can be recognised by it
        event = next(kind.event for kind in families.KINDS if kind.name == question.kind)
        why = f"settings refused: {error}".splitlines()[0]
        return Verdict(question.kind, question.number, question.background, event, passed=False, why=why)
    return judged(scene, listen)


def sit(
    paper: Sequence[Question],
    *,
    workers: int = 1,
    listen: Listener | None = None,
    on_verdict: Callable[[Question, Verdict], None] = lambda question, verdict: None,
) -> list[Verdict]:
    """Answer a paper; return the verdicts in its order."""
    verdicts = []
    for question, verdict in zip(paper, _answers(paper, workers, listen), strict=True):
        on_verdict(question, verdict)
        verdicts.append(verdict)
    return verdicts


def _answers(paper: Sequence[Question], workers: int, listen: Listener | None) -> Iterator[Verdict]:
    if workers <= 1 or listen is not None:
        yield from (answer(question, listen) for question in paper)
        return
    if paper:
        backgrounds(recorded=paper[0].recorded)  # read once, before the workers come out of this process
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        yield from pool.imap(answer, paper, chunksize=4)
