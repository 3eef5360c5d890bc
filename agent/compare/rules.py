"""What is let pass: tolerances and keys to leave out, by name or by pattern (``*_mps2``).

A key is a value's or a column's name, with or without its axis (``accel_rms_mps2.x``); for times ``start``,
``end``, ``told``, ``alarm``, or ``time`` for all of them; a key of a record's head (``cal``); an event type;
a kind of record (``features``); a key of the summary (``published_bytes``, ``notes``).
"""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Self

import msgspec

TIME = "time"
TIME_KEYS = frozenset({"start", "end", "told", "alarm"})
ALWAYS_IGNORED = frozenset(
    # what has to differ from version to version and run to run, or follows from what is compared anyway
    {
        *("sw", "software", "seq", "wall_s", "realtime_factor", "fingerprint", "log", "map"),
        *("records_sha256", "upload_ratio", "records", "events", "gaps", "folders"),
    }
)
LOOSE: Mapping[str, str] = {TIME: "0.1", "*": "1%", "published_bytes": "1%"}
"""What ``--tolerance loose`` stands for."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What may differ: an amount in the key's own unit (times: seconds), or a part of the greater figure."""

    most: float
    relative: bool = False

    @classmethod
    def parsed(cls, text: str) -> Self:
        """Read ``0.5`` or ``2%``. Raises ValueError."""
        number = text.strip()
        relative = number.endswith("%")
        most = float(number.removesuffix("%")) / (100 if relative else 1)
        if not (math.isfinite(most) and most >= 0):
            raise ValueError(f"{text!r} is not 0 or more")
        return cls(most, relative)

    def admits(self, a: float, b: float) -> bool:
        """Return whether two figures are the same by it."""
        if a == b:
            return True
        try:
            return abs(a - b) <= self.most * (max(abs(a), abs(b)) if self.relative else 1.0)
        except OverflowError:  # whole numbers that no float holds
            return False


EXACT = Tolerance(0.0)


class CompareSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file of ``compare --config``; ``window_s``: how far apart two events may be and be the same one."""

    window_s: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 5.0
    ignore: tuple[str, ...] = ()
    tolerance: dict[str, str | float] = {}


class Rules:
    """Looks up what holds for a key: its own name before a pattern, a longer pattern before a shorter one."""

    def __init__(
        self,
        tolerances: Mapping[str, Tolerance] | None = None,
        ignore: Iterable[str] = (),
        window_s: float = CompareSettings().window_s,
    ) -> None:
        self.window_s = window_s
        self.tolerances = dict(tolerances or {})
        self.ignored = frozenset(ignore)
        self._found: dict[str, Tolerance] = {}
        self._left_out: dict[str, bool] = {}
        self._used: set[str] = set()

    def ignores(self, key: str) -> bool:
        """Return whether nobody wants to hear of it."""
        known = self._left_out.get(key)
        if known is None:
            pattern = _pattern_for(key, self.ignored)
            if pattern is not None:
                self._used.add(pattern)
            known = self._left_out[key] = pattern is not None or key in ALWAYS_IGNORED
        return known

    def of(self, key: str) -> Tolerance:
        """Return the tolerance of a key."""
        found = self._found.get(key)
        if found is None:
            pattern = _pattern_for(key, self.tolerances)
            if pattern is not None:
                self._used.add(pattern)
            found = self._found[key] = EXACT if pattern is None else self.tolerances[pattern]
        return found

    def same(self, key: str, a: Any, b: Any) -> bool:
        """Return whether two values of a key are the same."""
        if a == b and isinstance(a, bool) == isinstance(b, bool):
            return True
        if is_number(a) and is_number(b):
            if key in TIME_KEYS:
                return self.of(key).admits(0.0, (a - b) / 1e9)
            return self.of(key).admits(a, b)
        if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
            return all(self.same(key, one, other) for one, other in zip(a, b, strict=True))
        return False

    def unused(self) -> list[str]:
        """Return the patterns that met nothing: misspelt, perhaps."""
        return sorted((self.ignored | self.tolerances.keys()) - self._used)


def is_number(value: Any) -> bool:
    """Return whether it is a figure, and not a truth."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _pattern_for(key: str, patterns: Iterable[str]) -> str | None:
    names = [key]
    if "." in key:
        names.append(key.partition(".")[0])
    time = key in TIME_KEYS
    if time:
        names.append(TIME)
    for name in names:
        if name in patterns:
            return name
    fitting = [
        pattern
        for pattern in patterns
        # `*` means values: a share of a time since 1970 means nothing
        if not time and any(fnmatch.fnmatchcase(name, pattern) for name in names)
    ]
    return max(fitting, key=lambda pattern: (len(pattern), pattern), default=None)
