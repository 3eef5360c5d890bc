"""Records that the broker refuses: out of the queue, kept, counted and listed; bounded.

They lie in ``set-aside.log``, frames as in a segment. When it is full it becomes ``set-aside.old.log``
and the one before that goes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from agent.outbox.documents import unpacked
from agent.outbox.files import Disk
from agent.outbox.frames import Frame, Op, encode, scan
from agent.outbox.reader import Stored
from agent.plain_files import read_regular

FILE_NAME = "set-aside.log"
OLD_FILE_NAME = "set-aside.old.log"
FILE_MAX_BYTES = 1 << 20


class SetAside(msgspec.Struct, frozen=True):
    """A refused record, why, and when it was refused (RFC 3339)."""

    reason: str
    t: str
    document: msgspec.Raw


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(SetAside).decode


def _as_json(body: bytes) -> msgspec.Raw:
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return msgspec.Raw(_encode(body.decode("utf-8", "replace")))
    return msgspec.Raw(body)


class AsideFile:
    """Appends refused records. Its owner sees to it that one thread calls at a time."""

    def __init__(self, directory: Path, disk: Disk) -> None:
        self._directory = directory
        self._disk = disk
        self.count = sum(1 for _ in read_aside(directory))

    def add(self, stored: Stored, reason: str, t: str) -> None:
        """Keep a record; durable on return. Raises OSError."""
        self.count += 1
        body = _encode(SetAside(reason, t, _as_json(stored.body)))
        path = self._directory / FILE_NAME
        size = path.stat().st_size if path.exists() else 0
        if size and size + len(body) > FILE_MAX_BYTES:
            self._disk.rename(path, self._directory / OLD_FILE_NAME)
            size = 0
        fd = self._disk.open_write(path) if size else self._create(path)
        try:
            self._disk.write_at(fd, size, encode(Op.PUT, 0, stored.doc_id, body))
            self._disk.sync(fd)
        finally:
            self._disk.close(fd)
        if not size:
            self._disk.sync_directory(self._directory)

    def _create(self, path: Path) -> int:
        self._disk.remove(path)
        return self._disk.create(path)


def read_aside(directory: Path) -> Iterator[tuple[int, SetAside]]:
    """Return (id, refused record), oldest first; damaged ones are left out."""
    for name in (OLD_FILE_NAME, FILE_NAME):
        try:
            data = read_regular(directory / name)
        except OSError:
            continue
        for item in scan(data, 0):
            if isinstance(item, Frame):
                try:
                    refused = _decode(data[item.body_start : item.end])
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                    continue  # sound, and yet no refused record: some other file under this name
                yield item.doc_id, refused


def aside_as_json(doc_id: int, refused: SetAside) -> dict[str, Any]:
    """Return a refused record as `cargobox outbox list --json` shows it."""
    document = msgspec.json.decode(refused.document)
    return {
        "doc_id": doc_id,
        "reason": refused.reason,
        "t": refused.t,
        "document": unpacked(document) if isinstance(document, dict) else document,
    }
