"""Every key of the configuration, taken from the code: the table that it stands in and its default."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from typing import Any

import msgspec

from agent.config import Config

NEEDED = "needed"
NO_DEFAULT = (None, NEEDED)


def keys() -> dict[tuple[str, str], Any]:
    """Return (table, key) → default; None or `NEEDED` where there is none."""
    return {(table, key): default for table, key, default in _walk(Config, Config(), "")}


def _walk(
    kind: type[msgspec.Struct], filled: msgspec.Struct | None, table: str
) -> Iterator[tuple[str, str, Any]]:
    hints = typing.get_type_hints(kind)
    for field in msgspec.structs.fields(kind):
        default = field.default if field.default is not msgspec.NODEFAULT else NEEDED
        value = getattr(filled, field.name) if filled is not None else default
        inner = _struct_in(hints[field.name])
        if inner is None:
            yield table, field.name, value
            continue
        below = f"{table}.{field.name}".lstrip(".")
        if isinstance(value, dict):
            yield from _walk(inner, None, f"{below}.NAME")
        else:
            yield from _walk(inner, value if isinstance(value, inner) else None, below)


def _struct_in(hint: Any) -> type[msgspec.Struct] | None:
    """Return the struct that a hint holds: itself, in an Optional, or in a mapping."""
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return hint
    if typing.get_origin(hint) in (typing.Union, types.UnionType, dict):
        return next((s for part in typing.get_args(hint) if (s := _struct_in(part)) is not None), None)
    return None
