"""The guided session of load cells: empty, loaded, the mass over each cell; one thing is asked at a time.

After Enter it waits until the reading is steady, as long as that takes and no longer than half a minute; what
the session does not accept is told with its reason and asked again. Each step is in the journal before it is
told.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from agent.calibrating.feed import Chunk
from agent.calibrating.guide import END, UNDO, Guided
from agent.calibrating.sketch import Sketch, plate_rows
from agent.calibrating.terminal import ENTER
from agent.calibrating.view import Gauge, View, counted
from calibration.errors import CalibrationRefused
from calibration.journal import Journal
from calibration.load_plan import WantedStep
from calibration.load_session import LoadSession
from calibration.session import SessionStep

CREEP = "creep"
WINDOW_S = 2.0  # of what the meter shows
FIRST_S = 5.0  # of a creep step that have to be steady
PATIENCE_S = 30.0  # until what is not steady is given up, with the reason
SETTLE_S = 2.0  # of a virtual mass, after the hand has let go
HAND_S = 8.0  # after which a hand that is not felt is not waited for any more
F64 = npt.NDArray[np.float64]


class LoadingHand(Protocol):
    """What loads the plate of a virtual box."""

    def put(self, mass_kg: float, place: str = "centre") -> None:
        """Let that mass stand there, and nothing else."""
        ...

    def take_off(self) -> None:
        """Take everything off."""
        ...

    @property
    def felt(self) -> bool:
        """Whether the box has felt all of it."""
        ...


def restore(session: LoadSession, steps: Iterable[tuple[SessionStep, F64]]) -> list[SessionStep]:
    """Give `session` the steps of a journal, each with its readings in kg; return those it did not take."""
    return [
        step
        for step, values in steps
        if not session.step(
            step.kind, values, mass_kg=step.mass_kg, place=step.place or "centre", t_s=step.t_s
        ).accepted
    ]


class LoadGuide(Guided[LoadSession, LoadingHand]):
    """A session with the person, the journal and, on a virtual box, the `hand` that Enter moves."""

    def __init__(
        self,
        session: LoadSession,
        journal: Journal,
        *,
        now: Callable[[], str],
        device: str,
        hand: LoadingHand | None = None,
        unicode: bool = True,
    ) -> None:
        super().__init__(session, journal, now=now, device=device, hand=hand, unicode=unicode)
        self._t_s: float | None = None
        self._recent: deque[F64] = deque()
        self._raw: list[npt.NDArray[Any]] = []
        self._values: list[F64] = []
        self._steady = False
        self._taking: WantedStep | None = None
        self._asked_s = 0.0
        self._begun_s = 0.0
        self._moves: deque[tuple[float, Callable[[], None]]] = deque()
        self._moved_s: float | None = None
        for step in restore(session, ((step, journal.head.values(step)) for step in journal.steps)):
            journal.undo(step.number)
        if session.steps:
            self._say(f"Goes on with {counted(len(session.steps), 'step')} taken before.", "good")

    # --- what comes in ---

    def take(self, chunk: Chunk, temperature_degc: float | None) -> list[str]:
        """Take samples; return what happened."""
        self._t_s = chunk.t_s + len(chunk.raw) / self._rate_hz
        self._look(chunk.values)
        if self._taking is None:
            return []
        if chunk.after_gap:
            self._forget()
        if not self._hands_off():
            return []
        if not self._raw:
            self._begun_s = chunk.t_s
        self._raw.append(chunk.raw)
        self._values.append(chunk.values)
        return self._consider(self._taking, temperature_degc)

    def press(self, key: str) -> list[str]:
        """Enter: what was asked for is done; u: take the last step back; e: end here."""
        self.keys_pressed += 1
        if key == UNDO:
            return self._undo()
        if key == END:
            self._over = True
        plan = self.session.plan()
        if key != ENTER or self._taking is not None or self._t_s is None:
            return []
        if not plan:
            self._over = True
            return []
        self._taking = plan[0]
        self._asked_s = self._t_s
        self._forget()
        self._say("Hands off, and wait.", "")
        if self._hand is not None:
            self._let_hand(self._hand, plan[0])
            return [f"the hand: {plan[0].words}"]
        return []

    @property
    def listening(self) -> bool:
        """Whether only a key leads on."""
        return self._taking is None and self._t_s is not None

    def alone(self) -> bool:
        """Nobody is there to put masses down: what was begun is ended, and no more is asked."""
        if self._taking is None and not self.session.plan():
            self._over = True
        return self._taking is not None or self._over

    # --- what comes out ---

    def view(self, trouble: str = "") -> View:
        """Return the screen as it is now."""
        plan = self.session.plan()
        steps = [
            (f"{i}  {_short(s.kind, s.place, s.mass_kg)}", "done")
            for i, s in enumerate(self.session.steps, 1)
        ]
        steps += [
            (f"{len(steps) + i}  {_short(w.kind, w.place, w.mass_kg)}", "now" if i == 1 else "later")
            for i, w in enumerate(plan, 1)
        ]
        wanted = self._taking or (plan[0] if plan else None)
        if wanted is None:
            now, ask = f"{len(self.session.steps)} steps taken", "All is done. Enter: write the certificate."
        else:
            now = f"step {len(self.session.steps) + 1} of {len(steps)}: {wanted.why}"
            ask = wanted.words + (
                " Hands off, then Enter." if self._hand is None else " Enter lets the hand do it."
            )
            if self._taking is not None:
                ask = "Do not touch it: it is being weighed."
        return View(
            title="cargobox calibrate load",
            device=self._device,
            now=now,
            ask=ask,
            keys="Enter done, take it   u take the last one back   e end here   q stop, go on later",
            sketches=(self._sketch(wanted),),
            gauges=tuple(self._gauges(wanted)),
            steps=tuple(steps),
            said=self._said,
            said_style=self._said_style,
            trouble=trouble,
        )

    # --- within ---

    def _let_hand(self, hand: LoadingHand, wanted: WantedStep) -> None:
        assert self._t_s is not None
        mass_kg, place = wanted.mass_kg or 0.0, wanted.place

        def put() -> None:
            hand.put(mass_kg, place)

        if wanted.kind == "zero":
            self._moves.append((self._t_s, hand.take_off))
        elif wanted.kind in {"repeat", CREEP}:
            self._moves += [(self._t_s, hand.take_off), (self._t_s + 3.0, put)]
        else:
            self._moves.append((self._t_s, put))

    def _hands_off(self) -> bool:
        """Let the hand move when its time has come; return whether it is through and all has settled."""
        assert self._t_s is not None
        if self._hand is None:
            return True
        while self._moves and self._t_s >= self._moves[0][0]:
            self._moves.popleft()[1]()
            self._moved_s = None
            self._asked_s = self._t_s
        if self._moves:
            return False
        if self._moved_s is None:
            if not self._hand.felt and self._t_s - self._asked_s < HAND_S:
                return False
            self._moved_s = self._t_s + 1.0  # it is felt when the second that is being made up begins
        return self._t_s - self._moved_s >= SETTLE_S

    def _consider(self, wanted: WantedStep, temperature_degc: float | None) -> list[str]:
        """Take the step when its readings are there and steady, or when they never will be."""
        assert self._t_s is not None
        count = round(wanted.seconds * self._rate_hz)
        held = sum(map(len, self._raw))
        first = round(min(wanted.seconds, FIRST_S) * self._rate_hz)
        patient = self._t_s - self._asked_s < PATIENCE_S
        if held < first or (self._steady and held < count):
            return []
        values = np.concatenate(self._values)
        raw = np.concatenate(self._raw)
        self._steady = self.session.steadiness(values[:first]).steady
        if not self._steady and patient:
            # the newest `first` readings, and from there on
            self._begun_s += (held - first + 1) / self._rate_hz
            self._raw, self._values = [raw[-(first - 1) :]], [values[-(first - 1) :]]
            return []
        if held < count and self._steady:
            return []
        return self._taken(wanted, raw[:count], values[:count], temperature_degc)

    def _taken(
        self, wanted: WantedStep, raw: npt.NDArray[Any], values: F64, temperature_degc: float | None
    ) -> list[str]:
        self._taking = None
        mass_kg = wanted.mass_kg or 0.0
        judgement = self.session.step(
            wanted.kind, values, mass_kg=mass_kg, place=wanted.place, t_s=self._begun_s
        )
        if not judgement.accepted:
            refusal = judgement.refusal
            words = (
                judgement.words
                if refusal is None
                else f"Not taken: {refusal.got}, expected {refusal.expected}. {refusal.remedy}"
            )
            self._say(words, "bad")
            return [words]
        self._journal.append(
            judgement.kind,
            raw,
            at=self._now(),
            t_s=self._begun_s,
            mass_kg=mass_kg,
            place=judgement.place,
            temperature_degc=temperature_degc,
        )
        words = f"Step {judgement.number} is taken and kept: {judgement.words.removeprefix('Taken: ')}"
        self._say(words, "good")
        return [words]

    def _undo(self) -> list[str]:
        if self._taking is not None:
            self._taking = None
            self._moves.clear()
            self._say("Broken off; nothing was taken.", "warn")
            return [self._said]
        step = self.session.undo()
        if step is None:
            self._say("There is no step to take back.", "")
            return []
        self._journal.undo()
        self._say(
            f"Taken back: {_short(step.kind, step.place, step.mass_kg)}.",
            "warn",
        )
        return [self._said]

    def _forget(self) -> None:
        self._raw, self._values, self._steady = [], [], False

    def _look(self, values: F64) -> None:
        self._recent.append(values)
        while sum(map(len, self._recent)) - len(self._recent[0]) >= WINDOW_S * self._rate_hz:
            self._recent.popleft()

    def _gauges(self, wanted: WantedStep | None) -> Sequence[Gauge]:
        if sum(map(len, self._recent)) < 8:
            return ()
        steadiness = self.session.steadiness(np.concatenate(self._recent))
        limit_g = 1000 * steadiness.limit_kg
        gauges = [
            Gauge(
                "moving",
                steadiness.wander_kg / (2 * steadiness.limit_kg),
                f"{1000 * steadiness.wander_kg:.1f} g, steady below {limit_g:.1f} g",
                steadiness.steady,
            )
        ]
        if self._taking is not None and wanted is not None:
            done_s = sum(map(len, self._raw)) / self._rate_hz
            gauges.append(
                Gauge("weighed", done_s / wanted.seconds, f"{done_s:.0f} of {wanted.seconds:.0f} s")
            )
        return gauges

    def _sketch(self, wanted: WantedStep | None) -> Sketch:
        mean = np.concatenate(self._recent).mean(axis=0) if self._recent else None
        shown = {
            name: "" if mean is None else f"{mean[i]:.2f} kg" for i, name in enumerate(self.session.cells)
        }
        load = wanted.place if wanted is not None and wanted.kind != "zero" else None
        words = "seen from above"
        if mean is not None:
            words += f"; {mean.sum():.2f} kg, uncorrected"
        return Sketch(words, plate_rows(shown, load=load, unicode=self._unicode), strong=True)


def _short(kind: str, place: str, mass_kg: float | None) -> str:
    """Name a step in few words."""
    mass = "a known mass" if mass_kg is None else f"{mass_kg:g} kg"
    return {
        "zero": "empty",
        "span up": f"{mass} in the centre",
        "span down": f"{mass} left in the centre",
        "corner": f"{mass} over {place}",
        "repeat": f"{mass} again",
        CREEP: f"{mass}, left alone",
    }.get(kind, kind)


def explain(session: LoadSession) -> str:
    """Return why there is no fit yet; empty where there is one."""
    try:
        session.fit()
    except CalibrationRefused as refusal:
        return f"{refusal.got}, expected {refusal.expected}. {refusal.remedy}"
    return ""
