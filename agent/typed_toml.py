"""A TOML file as typed settings, and its mistakes in words: the key, what it got, what it wanted."""

from __future__ import annotations

import enum
import math
import re
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from agent.errors import ConfigError, did_you_mean

S = TypeVar("S", bound=msgspec.Struct)

ANY = "*"

_UNKNOWN = re.compile(r"unknown field `(?P<key>[^`]*)`(?: - at `\$(?P<path>[^`]*)`)?")
_WRONG = re.compile(r"^(?P<what>.*?)(?: - at `\$(?P<path>[^`]*)`)?$", re.DOTALL)


def read_table(path: Path, *, what: str, remedy: str) -> dict[str, Any]:
    """Read a TOML file. `what` it is and the `remedy` go into the ConfigError that it may raise."""
    doing = f"reading the {what} {path}"
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise ConfigError(
            doing, got=str(error.strerror), expected="a readable TOML file", remedy=remedy
        ) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(doing, got=str(error), expected="valid TOML", remedy=remedy) from error


def typed(table: Mapping[str, Any], kind: type[S], *, doing: str, remedy: str) -> S:
    """Convert `table` to `kind`. Raises ConfigError that names the key, what it got, what it wanted."""
    try:
        made = msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        unknown = _UNKNOWN.search(str(error))
        if unknown:
            path = _named(table, kind, _keys(unknown["path"]))
            known = _fields_at(kind, path)
            where = f" in [{'.'.join(path)}]" if path else ""
            raise ConfigError(
                doing,
                got=f"a key {unknown['key']!r}{where}{did_you_mean(unknown['key'], known)}",
                expected=f"only {', '.join(known)}" if known else "a key that is known there",
                remedy="Correct the spelling or take the key out.",
            ) from error
        wrong = _WRONG.match(str(error))
        path = _named(table, kind, _keys(wrong["path"] if wrong else None))
        what = wrong["what"].replace("`", "") if wrong else str(error)
        missing = re.match(r"Object missing required field (\w+)", what)
        if missing:
            struct = _struct_at(kind, path)
            raise ConfigError(
                doing,
                got=f"no {missing[1]!r} in {_section(path)}",
                expected=f"a key {missing[1]!r}, of {', '.join(struct.__struct_fields__)}",
                remedy=remedy,
            ) from error
        value = _value_at(table, path)
        words = _words_at(kind, path) if what.startswith("Invalid enum value") else []
        raise ConfigError(
            doing,
            got=f"{'.'.join(path)} = {value!r}{did_you_mean(str(value), words)}",
            expected=f"one of {', '.join(words)}" if words else _wanted(what),
            remedy=remedy,
        ) from error
    for path, number in _endless(table, []):
        raise ConfigError(
            doing,
            got=f"{'.'.join(path)} = {number}",
            expected="a number that one can count to",
            remedy="Leave the key away to take its default; the documentation says what that is.",
        )
    return made


def _endless(value: Any, path: list[str]) -> Iterator[tuple[list[str], float]]:
    """Yield the keys with ``inf`` or ``nan``, which TOML knows and no setting of ours can mean."""
    if isinstance(value, float) and not math.isfinite(value):
        yield path, value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _endless(part, [*path, str(key)])
    elif isinstance(value, list):
        for place, part in enumerate(value):
            yield from _endless(part, [*path, str(place)])


def _section(path: list[str]) -> str:
    return f"[{'.'.join(path)}]" if path else "it"


def _wanted(what: str) -> str:
    """Turn msgspec's words ('Expected int, got str') into the end of a sentence."""
    what = re.sub(r", got .*$", "", what)
    return re.sub(r"^Expected ", "", what)


def _keys(path: str | None) -> list[str]:
    """Split msgspec's path; ``[...]`` stands for whichever key of a mapping."""
    return [k for k in re.split(r"[.\[\]]+", (path or "").replace("[...]", f".{ANY}")) if k]


def _named(table: Any, kind: Any, path: list[str]) -> list[str]:
    """Put the name of the entry that is wrong in the place of `ANY`."""
    if ANY not in path:
        return path
    at = path.index(ANY)
    struct = _struct_at(kind, path[:at])
    entries = _value_at(table, path[:at])
    for name, entry in entries.items():
        try:
            msgspec.convert(entry, struct)
        except msgspec.ValidationError:
            return [*path[:at], name, *path[at + 1 :]]
    return path


def _value_at(table: Any, path: list[str]) -> Any:
    for key in path:
        if isinstance(table, Mapping) and key in table:
            table = table[key]
        elif isinstance(table, list) and key.isdigit() and int(key) < len(table):
            table = table[int(key)]
        else:
            return table
    return table


def _fields_at(kind: Any, path: list[str]) -> list[str]:
    struct = _struct_at(kind, path)
    return list(struct.__struct_fields__) if struct is not None else []


def _struct_at(kind: Any, path: list[str]) -> Any:
    """Return the struct that stands at `path`; the name of a mapping's entry is passed over."""
    for key in path:
        hints = typing.get_type_hints(kind)
        if key in hints:
            kind = _struct_in(hints[key])
            if kind is None:
                return None
    return kind


def _words_at(kind: Any, path: list[str]) -> list[str]:
    """Return the words that the key at `path` allows, if it allows only some."""
    hint = typing.get_type_hints(_struct_at(kind, path[:-1])).get(path[-1])
    for part in (hint, *typing.get_args(hint)):
        if isinstance(part, type) and issubclass(part, enum.Enum):
            return [str(word.value) for word in part]
        if typing.get_origin(part) is typing.Literal:
            return [str(word) for word in typing.get_args(part)]
    return [str(part) for part in typing.get_args(hint)] if typing.get_origin(hint) is typing.Literal else []


def _struct_in(hint: Any) -> Any:
    """Return the struct inside an Optional, an Annotated or a mapping."""
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return hint
    if typing.get_origin(hint) in (typing.Union, types.UnionType, dict, typing.Annotated):
        return next((s for part in typing.get_args(hint) if (s := _struct_in(part)) is not None), None)
    return None
