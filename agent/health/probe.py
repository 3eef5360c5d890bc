"""What is measured, as the monitor sees it: a part of the health record that can be asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol


class Probe(Protocol):
    """One thing that is measured."""

    name: str
    """The key of the health record that it fills."""

    def look(self, now_s: float) -> Mapping[str, Any]:
        """Return its figures now; without those that cannot be had here. Never raises OSError."""
        ...


def text_of(path: Path) -> str | None:
    """Return what a file of the kernel says, without the line's end; None where it does not."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None


def number_of(path: Path) -> int | None:
    """Return the whole number in a file of the kernel; None where there is none."""
    try:
        return int(text_of(path) or "")
    except ValueError:
        return None
