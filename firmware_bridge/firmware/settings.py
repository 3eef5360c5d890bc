"""``/config.json``: what is connected to the board, and where. docs/boards.md tells of each key.

Nothing in it may keep the board from answering: what cannot be read is left out and told.
"""

import json

PATH = "config.json"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any


class SettingFault(Exception):
    """A setting that cannot be: which key, what it says, what it may say."""

    def __init__(self, key: str, got: str, expected: str) -> None:
        super().__init__(key + " is " + got + ", expected " + expected)
        self.key = key
        self.got = got
        self.expected = expected


def read_settings(path: str, defaults: str) -> "dict[str, Any]":
    """Return what the file says, or `defaults` where there is none; raise `SettingFault`."""
    text = defaults
    try:
        with open(path) as file:
            text = file.read()
    except OSError:
        pass
    except (ValueError, MemoryError) as error:
        raise SettingFault(path, "unreadable: " + str(error), "a text of a few kB") from None
    try:
        settings: "dict[str, Any]" = json.loads(text)
    except (ValueError, MemoryError, RuntimeError):  # the last for brackets in brackets in brackets
        raise SettingFault(path, "no JSON: " + text[:40], "a JSON document") from None
    if not isinstance(settings, dict):
        raise SettingFault(path, _words(settings), "an object in braces")
    return settings


class Section:
    """One object of the file: its keys are asked for one by one, and none may be left over."""

    def __init__(self, name: str, values: "Any") -> None:
        """`name`: where it stands, for errors. Raises `SettingFault` where it is no object."""
        self.name = name
        if not isinstance(values, dict):
            raise SettingFault(name, _words(values), "an object in braces")
        self._values = values
        self._known: "set[str]" = set()

    def key(self, key: str) -> str:
        """Return the key with its place in front."""
        return self.name + "." + key if self.name else key

    def fault(self, key: str, expected: str) -> SettingFault:
        """Return the error for what this key says."""
        got = _words(self._values[key]) if key in self._values else "missing"
        return SettingFault(self.key(key), got, expected)

    def value(self, key: str, default: "Any" = None) -> "Any":
        """Return whatever the key says."""
        self._known.add(key)
        return self._values.get(key, default)

    def whole(self, key: str, low: int, high: int, default: "int | None" = None) -> int:
        """Return a whole number of a range."""
        value = self.value(key, default)
        if type(value) is not int or not low <= value <= high:
            raise self.fault(key, f"a whole number from {low} to {high}")
        return int(value)

    def number(self, key: str, low: float, high: float, default: "float | None" = None) -> float:
        """Return a number of a range."""
        value = self.value(key, default)
        if type(value) not in (int, float) or not low <= value <= high:
            raise self.fault(key, f"a number from {low} to {high}")
        return float(value)

    def text(self, key: str, default: "str | None" = None) -> str:
        """Return a text that is not empty."""
        value = self.value(key, default)
        if not isinstance(value, str) or not value:
            raise self.fault(key, "a text")
        return value

    def yes_no(self, key: str, default: bool) -> bool:
        """Return true or false."""
        value = self.value(key, default)
        if not isinstance(value, bool):
            raise self.fault(key, "true or false")
        return value

    def choice(self, key: str, choices: "Iterable[Any]", default: "Any" = None) -> "Any":
        """Return one of `choices`."""
        value = self.value(key, default)
        if isinstance(value, (list, dict)) or value not in choices:
            raise self.fault(key, "one of " + ", ".join([str(c) for c in sorted(choices)]))
        return value

    def address(self, choices: "tuple[int, ...]") -> int:
        """Return one of these I2C addresses, the first if none is said; JSON has no 0x53 but as a text."""
        value = self.value("address", choices[0])
        try:
            number = int(value, 0) if isinstance(value, str) else value
        except ValueError:
            number = -1
        if number not in choices:
            raise self.fault("address", "one of " + ", ".join([f'"0x{c:02X}"' for c in choices]))
        return int(number)

    def items(self, key: str) -> "list[Any]":
        """Return a list, empty where the key is missing."""
        value = self.value(key, [])
        if not isinstance(value, list):
            raise self.fault(key, "a list")
        return value

    def hide(self, key: str) -> None:
        """Let no message show what a key says: it is a secret, even if a wrong one."""
        self._values = dict(self._values)
        self._values[key] = "(hidden)"

    def finish(self) -> None:
        """Raise `SettingFault` for a key that nobody asked for: it would be a typing error."""
        for key in self._values:
            if key not in self._known:
                raise SettingFault(
                    self.key(key), "unknown", "one of " + ", ".join([str(k) for k in sorted(self._known)])
                )


def _words(value: "Any") -> str:
    """Return what somebody wrote, short enough for a message."""
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."
