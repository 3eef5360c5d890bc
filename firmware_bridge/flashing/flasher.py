"""All of it in order: who is there, what is there, write into the free slot, try, keep or take back."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from firmware_bridge import firmware_files
from firmware_bridge.describe import Description
from firmware_bridge.firmware_files import version_number
from firmware_bridge.flashing import building, trial
from firmware_bridge.flashing.errors import FlashError, RefusedError
from firmware_bridge.flashing.finding import Place
from firmware_bridge.flashing.greeting import ask_for_prompt, greet
from firmware_bridge.flashing.repl import Repl
from firmware_bridge.flashing.slots import Slots
from firmware_bridge.flashing.target import Target, look_at

FLASHED, KEPT, NOTHING = "flashed", "kept", "nothing"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the one who flashes asks for."""

    force: bool = False
    """Also the same version again, and an older one."""
    config: bytes | None = None
    """A configuration for the board, to come with the program."""
    remove: tuple[str, ...] = ()
    """Files in the board's flash that are not ours, to make room."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was done."""

    port: str
    did: str
    """``flashed``, ``kept`` (it was on trial already) or ``nothing``."""
    firmware: str
    before: str
    """The version that was there; empty for none."""
    board: str
    unique_id: str
    slot: str
    seconds: float = 0.0
    micropython: str = ""
    compiled: bool = False
    bytes: int = 0


@dataclass(slots=True)
class Flasher:
    """Puts the shipped firmware on the board at `place`; `say` takes lines, `progress` 0 to 1."""

    place: Place
    wishes: Wishes
    say: Callable[[str], object] = lambda _: None
    progress: Callable[[float], object] = lambda _: None
    _before: str = ""

    def flash(self) -> Report:
        """Do it; raise `FlashError` or another `LinkError`. The board is left answering in any case."""
        begun_s = time.monotonic()
        return replace(self._flash(), seconds=round(time.monotonic() - begun_s, 3))

    def _flash(self) -> Report:
        shipped = firmware_files.shipped_version()
        port = self.place.now() or self.place.port
        greeting = greet(port)
        about = greeting.description
        if about is not None:
            self._before = about.firmware
            self.say(f"{self.place.port}: {about.board} {about.unique_id}, firmware {about.firmware}")
            if about.trial and about.firmware == shipped and self.wishes == Wishes():
                self.say("it is on trial and was never confirmed: confirming it")
                return self._kept(KEPT, trial.keep(self.place, shipped))
            if about.firmware == shipped and self.wishes == Wishes():
                self.say(f"nothing to do: it is the version that belongs here ({shipped})")
                return _report(self.place.port, NOTHING, about, before=shipped)
            self._refuse_older(about.firmware, shipped)
        elif greeting.at_prompt:
            self.say(f"{self.place.port}: MicroPython's prompt, no program runs")
        elif greeting.is_ours:
            self.say(f"{self.place.port}: a cargo box whose firmware speaks another protocol")
        else:
            self.say(f"{self.place.port}: no cargo box answers; interrupting whatever runs there")
        if greeting.is_ours and not ask_for_prompt(port):
            self.say("it does not go to its prompt by itself; interrupting it")
        with Repl(self.place.wait()) as repl:
            target = look_at(repl, force=self.wishes.force)
            self.say(f"{target.machine or target.platform}, MicroPython {target.version_text}")
            slots = Slots(repl)
            for name in self.wishes.remove:
                self.say(f"removed {name}" if slots.remove(name) else f"there is no file {name} to remove")
            self._before = self._before or slots.active_version
            self._refuse_older(self._before, shipped)
            image = building.build(target)
            config = self._new_config(slots)
            is_there = not self.wishes.force and config is None and self._is_there(slots, image)
            if not is_there:
                self._install(repl, slots, target, image, config)
        if is_there:
            return self._awaken(slots.active, shipped)
        self.say("trying the new program")
        ended = trial.await_trial(self.place, slots.free_slot, shipped)
        if ended.outcome is not trial.Outcome.NEW:
            self.say(f"the new program did not answer; {ended.outcome.value}. Asking the board why")
            raise trial.explain(self.place, ended, shipped, self._before)
        report = self._kept(FLASHED, trial.keep(self.place, shipped))
        return replace(
            report, micropython=target.version_text, compiled=image.is_compiled, bytes=image.total_bytes
        )

    def _install(
        self, repl: Repl, slots: Slots, target: Target, image: building.Image, config: bytes | None
    ) -> None:
        kind = f"compiled for {target.architecture}" if image.is_compiled else "as source"
        self.say(f"writing {len(image.files)} files, {image.total_bytes} bytes, {kind}")
        try:
            slots.install(image, config, self.progress)
            slots.mark_trial()
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise self._full(repl, slots, target, image) from error

    def _new_config(self, slots: Slots) -> bytes | None:
        """Return the configuration if one is asked for that the board has not yet."""
        return None if self.wishes.config in (None, slots.config()) else self.wishes.config

    def _is_there(self, slots: Slots, image: building.Image) -> bool:
        return self._before == image.version and slots.holds(slots.active, image.files)

    def _awaken(self, slot: str, shipped: str) -> Report:
        """The program was there all the time, and did not run; the board boots to it now."""
        ended = trial.await_trial(self.place, slot, shipped)
        about = ended.description
        if about is None or about.firmware != shipped:
            raise FlashError(
                f"board on {self.place.port}",
                got=f"firmware {shipped} is in its flash, whole, and does not answer",
                expected="its description",
                remedy="`cargobox flash --force` writes it again; "
                "if it stays, its configuration or its wiring is wrong (docs/boards.md).",
            )
        self.say(f"nothing to write: version {shipped} was there, whole; it runs again")
        return _report(self.place.port, NOTHING, about, before=shipped)

    def _kept(self, did: str, about: Description) -> Report:
        self.say(f"firmware {about.firmware} answers, and stays")
        for subject, words in about.faults.items():
            self.say(f"the board says of {subject}: {words}")
        return _report(self.place.port, did, about, before=self._before)

    def _refuse_older(self, before: str, shipped: str) -> None:
        if not self.wishes.force and version_number(before) > version_number(shipped):
            raise RefusedError(
                f"board on {self.place.port}",
                got=f"firmware {before}, which is newer",
                expected=f"at most {shipped}, which belongs to this program",
                remedy="Install the newer cargobox-agent; or `--force`, which puts the older one on it.",
            )

    def _full(self, repl: Repl, slots: Slots, target: Target, image: building.Image) -> FlashError:
        strangers = slots.strangers()
        running = f"Firmware {self._before} is untouched and runs on. " if slots.active else ""
        cure = "Take a board with a larger flash."
        if strangers:
            cure = f"Not ours are: {strangers}. The same command with `--remove NAME` removes one first."
        return FlashError(
            f"board on {repl.port}, writing the new program",
            got=f"its flash is full ({target.free_bytes} bytes were free)",
            expected=f"room for {image.total_bytes + len(image.launcher)} bytes beside the running program",
            remedy=f"{running}{cure}",
        )


def _report(port: str, did: str, about: Description, *, before: str) -> Report:
    return Report(port, did, about.firmware, before, about.board, about.unique_id, about.slot)
