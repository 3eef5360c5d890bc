"""Outputs: a relay or a PWM, in its safe state at boot and whenever the host is quiet.

They move only by `Outputs.set`, which the program calls for an authorised command.
"""

import machine
from settings import Section, SettingFault
from wiring import said

FULL = 65535

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wiring import Wiring


class Relay:
    """On or off; on from half of the full value up."""

    kind = "relay"

    def __init__(self, section: Section, wiring: "Wiring") -> None:
        self.name = section.text("name")
        self._on_level = 0 if section.yes_no("active_low", False) else 1
        self._safe = FULL if section.choice("safe", ("on", "off"), "off") == "on" else 0
        number = wiring.output_pin(section, "pin")
        section.finish()
        # the level goes with the direction, so that the pin never shows the other one
        self._pin = machine.Pin(number, machine.Pin.OUT, value=self._level(self._safe))

    def _level(self, value: int) -> int:
        return self._on_level if value > FULL // 2 else 1 - self._on_level

    def set(self, value: int) -> None:
        """Move to `value`."""
        self._pin(self._level(value))

    def make_safe(self) -> None:
        """Move to the safe state."""
        self.set(self._safe)


class Pwm:
    """A share of the full power."""

    kind = "pwm"

    def __init__(self, section: Section, wiring: "Wiring") -> None:
        self.name = section.text("name")
        self._safe = round(section.number("safe", 0, 1, 0) * FULL)
        frequency_hz = section.whole("frequency_hz", 10, 100_000, 1000)
        number = wiring.output_pin(section, "pin")
        section.finish()
        self._pwm = machine.PWM(machine.Pin(number), freq=frequency_hz, duty_u16=self._safe)

    def set(self, value: int) -> None:
        """Move to `value`."""
        self._pwm.duty_u16(value)

    def make_safe(self) -> None:
        """Move to the safe state."""
        self.set(self._safe)


class Outputs:
    """All of them, by number."""

    def __init__(self, entries: "list[Any]", wiring: "Wiring", faults: "list[SettingFault]") -> None:
        self._all: "list[Relay | Pwm]" = []
        self._movable = True
        for i in range(len(entries)):
            try:
                self._all.append(_output(Section(f"outputs[{i}]", entries[i]), wiring))
            except Exception as error:
                if isinstance(error, SettingFault):
                    faults.append(error)
                else:
                    faults.append(SettingFault(f"outputs[{i}]", said(error), "a pin that can do this"))
                # a number would mean another output than the host believes
                self._movable = False
        self.make_safe()

    def about(self) -> "list[dict[str, str]]":
        """Return name and kind of each, for the description."""
        return [{"name": o.name, "kind": o.kind} for o in self._all] if self._movable else []

    def set(self, number: int, value: int) -> bool:
        """Move one to `value` (0 to 65535); return whether there is such an output."""
        if not self._movable or not 0 <= number < len(self._all) or not 0 <= value <= FULL:
            return False
        self._all[number].set(value)
        return True

    def make_safe(self) -> None:
        """Move each to its safe state."""
        for output in self._all:
            output.make_safe()


def _output(section: Section, wiring: "Wiring") -> "Relay | Pwm":
    if section.choice("kind", ("relay", "pwm")) == "relay":
        return Relay(section, wiring)
    return Pwm(section, wiring)
