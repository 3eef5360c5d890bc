"""How far each key has counted, on the card: written and synced before an order is done.

A file that is there and cannot be read is no reason to begin at nothing, since then all that was ever
overheard could be sent again: no order is taken until somebody has looked.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import msgspec

from agent.errors import OrderError
from agent.plain_files import read_regular


class _State(msgspec.Struct, frozen=True, kw_only=True):
    v: Literal[1] = 1
    counters: dict[str, int] = {}
    issued: int = 0


class Memory:
    """Not safe across threads: the desk's alone."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._state: _State | None = None

    def counter(self, key: str) -> int:
        """Return the last counter that was taken of a key. Raises OrderError."""
        return self._read().counters.get(key, 0)

    def issued_s(self) -> int:
        """Return when the latest order was made that was taken: it is later than this. Raises OrderError."""
        return self._read().issued

    def advance(self, key: str, counter: int, issued_s: int, *, sure: bool) -> None:
        """Note an order as taken; durable on return. Raises OrderError, and then it is not taken.

        `sure`: `issued_s` was held against a clock that is right. It then replaces what a sender with a clock
        of the future may have left here, by which all later orders would look too old.
        """
        old = self._read()
        latest_s = issued_s if sure else max(old.issued, issued_s)
        new = _State(counters={**old.counters, key: counter}, issued=latest_s)
        draft = self._path.with_name(self._path.name + ".new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            draft.unlink(missing_ok=True)  # a pipe there would keep us for ever
            with draft.open("wb") as file:
                file.write(msgspec.json.encode(new))
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._path)
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise OrderError(
                f"noting an order in {self._path}",
                got=f"{error.strerror or error}",
                expected="a file that can be written",
                remedy="Make room, or mend the card: an order that cannot be noted is not obeyed.",
            ) from error
        self._state = new

    def _read(self) -> _State:
        if self._state is None:
            try:
                self._state = msgspec.json.decode(read_regular(self._path), type=_State)
            except FileNotFoundError:
                self._state = _State()
            except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise OrderError(
                    f"reading {self._path}",
                    got=str(getattr(error, "strerror", None) or error),
                    expected="how far the keys of [orders] have counted",
                    remedy="No order is obeyed meanwhile. Give the box a new key in [orders] keys, take the "
                    "old ones out, and then delete the file.",
                ) from error
        return self._state
