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
    """Return (table, key) → default; None or `NEEDED` where there is none.

    Of a list of tables that are told apart by a tag, each kind is a table of its own, ``list.TAG``; the tag
    and what all kinds have with one default are keys of ``list``.
    """
    return {(table, key): default for table, key, default in _walk(Config, Config(), "")}


def words() -> dict[tuple[str, str], tuple[str, ...]]:
    """Return (table, key) → the words that it allows, for keys that allow only some."""
    return {where: tuple(map(str, _words(hint))) for where, hint in _hints(Config, "") if _words(hint)}


def _walk(
    kind: type[msgspec.Struct], filled: msgspec.Struct | None, table: str
) -> Iterator[tuple[str, str, Any]]:
    hints = typing.get_type_hints(kind)
    for field in msgspec.structs.fields(kind):
        default = field.default if field.default is not msgspec.NODEFAULT else NEEDED
        value = getattr(filled, field.name) if filled is not None else default
        inner = _structs_in(hints[field.name])
        below = f"{table}.{field.name}".lstrip(".")
        if not inner:
            yield table, field.name, value
        elif isinstance(value, dict):
            yield from _walk(inner[0], None, f"{below}.NAME")
        elif _is_list(hints[field.name]):
            if (
                filled is None
            ):  # within an entry of a list it may be written as a key, else only as [[tables]]
                yield table, field.name, value
            yield from _walk_list(inner, below)
        else:
            yield from _walk(inner[0], value if isinstance(value, inner[0]) else None, below)


def _walk_list(kinds: list[type[msgspec.Struct]], table: str) -> Iterator[tuple[str, str, Any]]:
    tags = {kind: kind.__struct_config__.tag for kind in kinds}
    if None in tags.values():
        (kind,) = kinds
        yield from _walk(kind, None, table)
        return
    common = _common(kinds)
    yield table, str(kinds[0].__struct_config__.tag_field), NEEDED
    yield from ((table, key, default) for key, default in common.items())
    for kind, tag in tags.items():
        for place, key, default in _walk(kind, None, f"{table}.{tag}"):
            if place != f"{table}.{tag}" or key not in common:
                yield place, key, default


def _common(kinds: list[type[msgspec.Struct]]) -> dict[str, Any]:
    """Return the keys that all kinds have from their common ancestor, and with its default."""
    ancestor = kinds[0].__mro__[1]
    assert all(ancestor in kind.__mro__ for kind in kinds)
    return {f.name: f.default for f in msgspec.structs.fields(ancestor) if not f.required}


def _hints(kind: type[msgspec.Struct], table: str) -> Iterator[tuple[tuple[str, str], Any]]:
    for name, hint in typing.get_type_hints(kind).items():
        inner = _structs_in(hint)
        below = f"{table}.{name}".lstrip(".")
        for one in inner:
            tag = one.__struct_config__.tag
            yield from _hints(one, below if tag is None else f"{below}.{tag}")
        if not inner:
            yield (table, name), hint


def _words(hint: Any) -> list[Any]:
    parts = [hint, *typing.get_args(hint)]
    return [w for part in parts if typing.get_origin(part) is typing.Literal for w in typing.get_args(part)]


def _is_list(hint: Any) -> bool:
    if typing.get_origin(hint) is typing.Annotated:
        return _is_list(typing.get_args(hint)[0])
    return typing.get_origin(hint) in (list, tuple)


def _structs_in(hint: Any) -> list[type[msgspec.Struct]]:
    """Return the structs that a hint holds: itself, in an Optional, in a union, a mapping or a list."""
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return [hint]
    if typing.get_origin(hint) in (typing.Union, types.UnionType, dict, list, tuple, typing.Annotated):
        return [struct for part in typing.get_args(hint) for struct in _structs_in(part)]
    return []
