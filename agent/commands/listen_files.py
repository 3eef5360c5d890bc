"""Records out of files: lines as a replay, the outbox and `listen --json` write them, or bare payloads."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import msgspec

from agent.errors import PayloadError
from agent.records import decode, is_compact

STDIN = "-"
Complain = Callable[[PayloadError, str], None]


@dataclass(frozen=True, slots=True)
class Said:
    """A document and the topic that it was said on; empty where nobody knows."""

    topic: str
    payload: dict[str, Any]


def read_all(names: Iterable[str], complain: Complain) -> Iterator[Said]:
    """Return what the files hold, in order; `complain` hears of what cannot be read. Raises PayloadError."""
    for name in names:
        if name == STDIN:
            yield from _read(sys.stdin.buffer, "stdin", complain)
            continue
        try:
            with Path(name).open("rb") as file:
                yield from _read(file, name, complain)
        except OSError as error:
            raise PayloadError(
                f"reading {name}",
                got=error.strerror or str(error),
                expected="a file with records, which this user may read",
                remedy="Check the path. Without FILE, this verb listens to a broker.",
            ) from error


def _read(file: IO[bytes], name: str, complain: Complain) -> Iterator[Said]:
    first = file.readline()
    if is_compact(first):
        yield from _told(first + file.read(), name, complain)
        return
    if first.strip() in (b"{", b"["):  # a document over many lines
        yield from _told(first + file.read(), name, complain)
        return
    for number, line in enumerate(_lines(first, file), start=1):
        if line.strip():
            yield from _told(line, f"{name}, line {number}", complain)


def _lines(first: bytes, file: IO[bytes]) -> Iterator[bytes]:
    while first:  # and not `for line in file`: what comes through a pipe is to be read as it comes
        yield first
        first = file.readline()


def _told(data: bytes, where: str, complain: Complain) -> Iterator[Said]:
    try:
        yield from _documents(data)
    except PayloadError as error:
        complain(error, where)


def _documents(data: bytes) -> Iterator[Said]:
    """Return the documents in a payload, a line of records.jsonl, or a list of such."""
    if data.lstrip()[:1] == b"[":
        try:
            for document in msgspec.json.decode(data, type=list[dict[str, Any]]):
                yield _said(document)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            yield _said(decode(data))  # which says what is wrong
        return
    yield _said(decode(data if is_compact(data) else data.strip()))


def _said(document: dict[str, Any]) -> Said:
    topic, payload = document.get("topic"), document.get("payload")
    if isinstance(topic, str) and isinstance(payload, dict):
        return Said(topic, payload)
    return Said("", document)
