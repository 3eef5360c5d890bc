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
from agent.plain_files import MOST_BYTES, read_regular
from agent.ranges import IN_WORDS, LEAST

S = TypeVar("S", bound=msgspec.Struct)

MOST_DOTS = 64
"""In one key; tomllib takes time with the square of them."""
_DOTTED = re.compile(rf"""(?:[\w"'-]+[ \t]*\.[ \t]*){{{MOST_DOTS}}}""")
ANY = "*"
HEXADECIMAL = frozenset({"address", "mux"})  # keys whose numbers people write like that

# what msgspec calls things → in words
_TYPES = {
    "int": "a whole number",
    "float": "a number",
    "str": "text in quotes",
    "bool": "true or false",
    "array": "a list in [ ]",
    "object": "a table of keys",
}
_COMPARED = {"<=": "at most", ">=": "at least", "<": "less than", ">": "more than"}
_OF = {"int": "", "float": "", "array of length": "a list of "}
_LIMIT = re.compile(rf"(?P<what>{'|'.join(_OF)}) (?P<how>[<>]=?) (?P<limit>\S+)$")
_QUOTED = re.compile(r"Expected (?:int|float), got str$")
_UNKNOWN = re.compile(r"unknown field `(?P<key>[^`]*)`(?: - at `\$(?P<path>[^`]*)`)?")
_WRONG = re.compile(r"^(?P<what>.*?)(?: - at `\$(?P<path>[^`]*)`)?$", re.DOTALL)


def read_table(path: Path, *, what: str, remedy: str) -> dict[str, Any]:
    """Read a TOML file. `what` it is and the `remedy` go into the ConfigError that it may raise."""
    doing = f"reading the {what} {path}"
    try:
        text = read_regular(path, MOST_BYTES).decode("utf-8-sig")
        if _DOTTED.search(text):
            raise ValueError(f"a key of more than {MOST_DOTS} parts")
        return tomllib.loads(text)
    except OSError as error:
        raise ConfigError(
            doing, got=str(error.strerror), expected="a readable TOML file", remedy=remedy
        ) from error
    except (ValueError, RecursionError) as error:  # tomllib's own, and int()'s of too many digits
        got = "brackets within brackets without end" if isinstance(error, RecursionError) else str(error)
        remedy = "Correct that line: a comma between entries, quotes around text, each { } in one line."
        raise ConfigError(doing, got=got, expected="valid TOML", remedy=remedy) from error


def typed(table: Mapping[str, Any], kind: type[S], *, doing: str, remedy: str) -> S:
    """Convert `table` to `kind`. Raises ConfigError that names the key, what it got, what it wanted."""
    try:
        made = msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        raise _explained(str(error), table, kind, doing, remedy) from error
    for path, number in _endless(table, []):
        raise ConfigError(
            doing,
            got=_setting(table, kind, path, str(number)),
            expected="a number that one can count to",
            remedy="Leave the key away to take its default; the documentation says what that is.",
        )
    for path, text in _cut_short(table, []):
        raise ConfigError(
            doing,
            got=_setting(table, kind, path, repr(text)),
            expected="text without the character U+0000, with which every name ends",
            remedy=r"Take the \u0000 out.",
        )
    return made


def _explained(said: str, table: Mapping[str, Any], kind: Any, doing: str, remedy: str) -> ConfigError:
    """Turn what msgspec said into an error in four parts."""
    unknown = _UNKNOWN.search(said)
    if unknown:
        path = _named(table, kind, _keys(unknown["path"]))
        known = _fields_at(table, kind, path)
        where = f" in {_section(table, kind, path)}" if path else ""
        return ConfigError(
            doing,
            got=f"a key {unknown['key']!r}{where}{did_you_mean(unknown['key'], known)}",
            expected=f"only {', '.join(known)}" if known else "a key that is known there",
            remedy="Correct the spelling or take the key out.",
        )
    wrong = _WRONG.match(said)
    path = _named(table, kind, _keys(wrong["path"] if wrong else None))
    what = wrong["what"].replace("`", "") if wrong else said
    missing = re.match(r"Object missing required field (\w+)", what)
    if missing:
        where = _section(table, kind, path)
        words = _words_at(table, kind, [*path, missing[1]])
        known = _fields_at(table, kind, path)
        expected = f"a key {missing[1]!r}, of {', '.join(known)}"
        if words:
            expected = f"{missing[1]} = one of {', '.join(words)}"
        return ConfigError(doing, got=f"no {missing[1]!r} in {where}", expected=expected, remedy=remedy)
    value = _value_at(table, path)
    shown = repr(value)
    if path and path[-1] in HEXADECIMAL and isinstance(value, int):
        shown = f"0x{value:02X}"
        what = re.sub(r"\d+$", lambda limit: f"0x{int(limit[0]):02X}", what)
    wanted = _wanted(what)
    if isinstance(value, Mapping) and what.startswith("Expected array"):
        wanted = f"[[{'.'.join(path)}]], in double brackets"
    words = _words_at(table, kind, path) if what.startswith(("Invalid enum value", "Invalid value")) else []
    return ConfigError(
        doing,
        got=f"{_setting(table, kind, path, shown)}"
        f"{did_you_mean(value, words) if isinstance(value, str) else ''}",
        expected=f"one of {', '.join(words)}" if words else wanted,
        remedy=remedy,
    )


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


def _cut_short(value: Any, path: list[str]) -> Iterator[tuple[list[str], str]]:
    """Yield the keys whose text no file, host or user can be called by."""
    if isinstance(value, str) and "\0" in value:
        yield path, value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _cut_short(part, [*path, str(key)])
    elif isinstance(value, list):
        for place, part in enumerate(value):
            yield from _cut_short(part, [*path, str(place)])


def _section(table: Any, kind: Any, path: list[str]) -> str:
    """Name a section as the file has it: ``[a.b]``, or ``[[a.b]] 2, chips 3 (ADXL345)`` in lists of them."""
    if not path:
        return "it"
    parts: list[str] = []
    begin = 0
    for at, key in enumerate(path):
        if key.isdigit() and (entry := _struct_at(table, kind, path[: at + 1])) is not None:
            name = ".".join(path[begin:at])
            tag = entry.__struct_config__.tag
            number = f"{int(key) + 1}{'' if tag is None else f' ({tag})'}"
            parts.append(f"{name} {number}" if parts else f"[[{name}]] {number}")
            begin = at + 1
        elif key.isdigit() and at == len(path) - 1 and isinstance(_value_at(table, path), Mapping):
            name = ".".join(path[begin:at])  # an entry of which it is not known what it is meant to be
            parts.append(f"{name} {int(key) + 1}" if parts else f"[[{name}]] {int(key) + 1}")
            begin = at + 1
    if begin < len(path):
        rest = ".".join(path[begin:])
        parts.append(rest if parts else f"[{rest}]")
    return ", ".join(parts)


def _setting(table: Any, kind: Any, path: list[str], value: str) -> str:
    """Name a key with its value: ``a.b = 3``, or ``b = 3 in [[a]] 2`` in lists of sections."""
    listed = [at for at, key in enumerate(path) if key.isdigit() and at < len(path) - 1]
    for at in reversed(listed):
        if isinstance(_value_at(table, path[: at + 1]), Mapping):
            where = _section(table, kind, path[: at + 1])
            return f"{'.'.join(path[at + 1 :])} = {value} in {where}"
    return f"{'.'.join(path)} = {value}"


def _wanted(what: str) -> str:
    """Turn msgspec's words ('Expected int, got str') into the end of a sentence, in words for people."""
    for pattern, words in IN_WORDS.items():
        if what.endswith(f"matching regex {pattern!r}"):
            return words
    if _QUOTED.match(what):
        return "a number, without quotes"
    what = re.sub(r", got .*$", "", what)
    what = re.sub(r"^Expected ", "", what)
    limit = _LIMIT.match(what)
    if limit:
        if limit["limit"] == repr(LEAST):
            return f"more than 0, at least {LEAST:g}"
        return f"{_OF[limit['what']]}{_COMPARED[limit['how']]} {limit['limit']}"
    return " or ".join(_TYPES.get(kind, kind) for kind in what.split(" | ") if kind != "null")


def _keys(path: str | None) -> list[str]:
    """Split msgspec's path; ``[...]`` stands for whichever key of a mapping."""
    return [k for k in re.split(r"[.\[\]]+", (path or "").replace("[...]", f".{ANY}")) if k]


def _named(table: Any, kind: Any, path: list[str]) -> list[str]:
    """Put the name of the entry that is wrong in the place of `ANY`."""
    if ANY not in path:
        return path
    at = path.index(ANY)
    struct = _struct_in(_hint_at(table, kind, path[:at]), None)
    for name, entry in _value_at(table, path[:at]).items():
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


def _fields_at(table: Any, kind: Any, path: list[str]) -> list[str]:
    struct = _struct_at(table, kind, path)
    if struct is None:
        return []
    about = struct.__struct_config__
    return [*((about.tag_field,) if about.tag_field else ()), *struct.__struct_fields__]


def _struct_at(table: Any, kind: Any, path: list[str]) -> Any:
    """Return the struct that stands at `path`; of several that may, the one that the entry says it is."""
    return _struct_in(_hint_at(table, kind, path), _value_at(table, path))


def _hint_at(table: Any, kind: Any, path: list[str]) -> Any:
    """Return the type of what stands at `path` in a table of the type `kind`; None if it is not known."""
    for at, key in enumerate(path):
        kind = _hint_below(kind, _value_at(table, path[:at]), key)
    return kind


def _hint_below(hint: Any, value: Any, key: str) -> Any:
    struct = _struct_of(hint, value)
    if struct is not None:
        return typing.get_type_hints(struct).get(key)
    for part in _parts(hint):
        arguments = typing.get_args(part)
        if typing.get_origin(part) is dict:
            return arguments[1]
        if typing.get_origin(part) in (list, tuple) and key.isdigit():
            return arguments[0]
    return None


def _words_at(table: Any, kind: Any, path: list[str]) -> list[str]:
    """Return the words that the key at `path` allows, if it allows only some."""
    structs = [s for s in _parts(_hint_at(table, kind, path[:-1])) if _is_struct(s)]
    tags = [str(s.__struct_config__.tag) for s in structs if s.__struct_config__.tag_field == path[-1]]
    if tags:
        return tags
    for part in _parts(_hint_at(table, kind, path)):
        if isinstance(part, type) and issubclass(part, enum.Enum):
            return [str(word.value) for word in part]
        if typing.get_origin(part) is typing.Literal:
            return [str(word) or '"" (none)' for word in typing.get_args(part)]
    return []


def _struct_in(hint: Any, value: Any) -> Any:
    """Return the struct in a hint: itself, in an Optional, or what a mapping or a list holds."""
    struct = _struct_of(hint, value)
    if struct is not None:
        return struct
    for part in _parts(hint):
        if typing.get_origin(part) is dict:
            return _struct_in(typing.get_args(part)[1], value)
    return None


def _struct_of(hint: Any, value: Any) -> Any:
    """Return the struct that a hint is; of several, the one whose tag is in `value`."""
    structs = [part for part in _parts(hint) if _is_struct(part)]
    if len(structs) < 2:
        return structs[0] if structs else None
    for struct in structs:
        about = struct.__struct_config__
        if isinstance(value, Mapping) and about.tag is not None and value.get(about.tag_field) == about.tag:
            return struct
    return None


def _is_struct(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, msgspec.Struct)


def _parts(hint: Any) -> list[Any]:
    """Return what a hint allows: the members of a union, without what annotates them."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return [part for member in typing.get_args(hint) for part in _parts(member)]
    if typing.get_origin(hint) is typing.Annotated:
        return _parts(typing.get_args(hint)[0])
    return [hint]
