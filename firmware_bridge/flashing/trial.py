"""The new program runs once. It is kept when it has answered; or the old one is back, and we say why."""

from __future__ import annotations

import contextlib
import enum
import time
from dataclasses import dataclass

from firmware_bridge import wire
from firmware_bridge.describe import Description
from firmware_bridge.errors import LinkError
from firmware_bridge.flashing.errors import TrialError, VanishedError
from firmware_bridge.flashing.finding import Place, take_port
from firmware_bridge.flashing.greeting import ask_for_prompt, greet
from firmware_bridge.flashing.repl import Repl
from firmware_bridge.flashing.slots import Slots
from firmware_bridge.link import Link

TRIAL_S = 30.0
"""Until it has answered or is given up: two boots, the watchdog's 8 s and the launcher's open door of 3 s."""
OLD_BACK_S = 15.0
GREET_S = 1.0


class Outcome(enum.Enum):
    """What answered after the reset; in words, beside a new program that did not."""

    NEW = "it did"
    OLD = "the old one does"
    PROMPT = "the board is at its prompt"
    NOBODY = "nobody does"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a trial ended."""

    outcome: Outcome
    description: Description | None = None


def await_trial(place: Place, slot: str, version: str, timeout_s: float = TRIAL_S) -> Ended:
    """Return who answers once the board has booted to try `slot`."""
    deadline_s = time.monotonic() + timeout_s
    prompts = 0
    while time.monotonic() < deadline_s:
        port = place.wait()
        # a board that reboots takes its port along
        with contextlib.suppress(LinkError):
            greeting = greet(port, GREET_S)
            if (about := greeting.description) is not None:
                is_new = about.trial and (about.slot, about.firmware) == (slot, version)
                return Ended(Outcome.NEW if is_new else Outcome.OLD, about)
            # the first may be what it said just before the reset
            prompts += greeting.at_prompt
            if prompts > 1:
                return Ended(Outcome.PROMPT)
    return Ended(Outcome.NOBODY)


def keep(place: Place, version: str) -> Description:
    """Have a real session with the program on trial, and let the board keep it; raise `LinkError`."""
    port = place.wait()
    take_port(port).close()
    link = Link(port)
    try:
        description = link.open()
        if description.firmware != version:
            raise VanishedError(
                f"board on {place.port}",
                got=f"firmware {description.firmware} all of a sudden",
                expected=f"{version}, which had answered",
                remedy="Give the same command again.",
            )
        link.do("keep this program", wire.DO_KEEP)
        return description
    finally:
        link.close()


def explain(place: Place, ended: Ended, version: str, old_version: str) -> TrialError:
    """Ask the board why the new program failed, see that the old one runs; return the error to raise."""
    why, old = "", ended.description
    with contextlib.suppress(LinkError):
        port = place.wait()
        if old is not None:
            ask_for_prompt(port)
        with Repl(place.wait()) as repl:
            slots = Slots(repl)
            why = slots.why()
            has_old = bool(slots.active)
        old = _old_program(place) if has_old else None
    got = f"firmware {version} did not answer"
    traceback = "\n".join(why.splitlines()[1:])
    if traceback:
        got += f", it ended with {traceback.splitlines()[-1]}"
    elif ended.outcome is not Outcome.NOBODY:
        got += ": it hung, or lost its power"
    if old is not None:
        after = f"Firmware {old.firmware} is back and runs."
    elif old_version:
        after = f"Firmware {old_version}, which was there, did not answer either: press the reset button."
    else:
        after = "There was no program before it: the board waits at its prompt, and can be flashed again."
    last = "look at the wiring and at config.json (docs/boards.md)."
    if traceback:
        last = "send what is printed above to whoever made this firmware."
    error = TrialError(
        f"board on {place.port}, trying the new program",
        got=got,
        expected=f"its description in {TRIAL_S:.0f} s",
        remedy=f"{after} `cargobox flash` tries again; if it stays, {last}",
    )
    error.traceback = traceback
    return error


def _old_program(place: Place) -> Description | None:
    deadline_s = time.monotonic() + OLD_BACK_S
    while time.monotonic() < deadline_s:
        with contextlib.suppress(LinkError):
            if (about := greet(place.wait(), GREET_S).description) is not None:
                return about
    return None
