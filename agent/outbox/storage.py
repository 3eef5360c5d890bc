"""TinyDB on segments: a `Storage` and a `Table` that append, where stock TinyDB rewrites its file.

Whoever opens the outbox with TinyDB has TinyDB's own query API::

    with OutboxDB(directory) as db:                      # or TinyDB(directory, storage=SegmentStorage)
        db.search(Query().kind == "alarm")

`SegmentTable` is what makes it fast; a stock `Table` on a `SegmentStorage` gives the same answers at
TinyDB's usual cost. Documents are read from the card one at a time as a query asks for them. A write by
these calls is durable when they return. Ids are TinyDB's, rise for ever and are never used twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any, cast

from tinydb import TinyDB
from tinydb.storages import Storage
from tinydb.table import Table

from agent.errors import OutboxError
from agent.outbox.documents import decode_document, encode_document, is_urgent
from agent.outbox.files import Disk
from agent.outbox.frames import Flag, Why
from agent.outbox.log import SegmentLog

TABLE_NAME = TinyDB.default_table_name
Document = dict[str, Any]


class SegmentStorage(Storage):
    """Keeps the documents of one table in a directory of segments."""

    def __init__(
        self,
        directory: str | Path,
        *,
        segment_bytes: int = 1 << 20,
        disk: Disk | None = None,
        log: SegmentLog | None = None,
    ) -> None:
        self.log = log or SegmentLog(Path(directory), segment_bytes=segment_bytes, disk=disk)

    def read(self) -> dict[str, dict[str, Any]] | None:
        """Return the table; its documents are read when they are asked for."""
        if not len(self.log.index):
            return None
        return {TABLE_NAME: cast("dict[str, Any]", _Documents(self.log))}

    def write(self, data: dict[str, dict[str, Any]]) -> None:
        """Append what distinguishes `data` from what is there; for a stock `Table` only."""
        for name in data:
            if name != TABLE_NAME:
                raise OutboxError(
                    f"writing table {name!r} to the outbox {self.log.directory}",
                    got="a table of its own",
                    expected=f"the one table {TABLE_NAME!r}",
                    remedy="Keep other data in a database of its own; the outbox is a queue.",
                )
        edits = _Edits(self.log)
        table = data.get(TABLE_NAME, {})
        if isinstance(table, _Documents):
            return
        for doc_id in list(edits):
            if str(doc_id) not in table:
                del edits[doc_id]
        for key, document in table.items():
            if int(key) not in edits or edits[int(key)] != document:
                edits[int(key)] = document
        edits.apply()

    def close(self) -> None:
        """Let go of the directory."""
        self.log.close()


class _Documents(Mapping[str, Document]):
    """All waiting documents by id, as TinyDB reads a table."""

    def __init__(self, log: SegmentLog) -> None:
        self._log = log

    def __getitem__(self, key: str) -> Document:
        stored = self._log.read(int(key))
        if stored is None:
            raise KeyError(key)
        return decode_document(stored.body)

    def __iter__(self) -> Iterator[str]:
        with self._log.lock:
            ids = list(self._log.index)
        return map(str, ids)

    def __len__(self) -> int:
        return len(self._log.index)

    def __contains__(self, key: object) -> bool:
        return int(str(key)) in self._log.index

    def items(self) -> Any:
        """Return (id, document) pairs; a record that is delivered meanwhile is left out."""
        for key in self:
            stored = self._log.read(int(key))
            if stored is not None:
                yield key, decode_document(stored.body)


class _Edits(MutableMapping[int, Document]):
    """A table as TinyDB's updaters see it, which notes what they do to it.

    An updater looks at one document after the other and may change it in place, so a document is
    compared with what it was as soon as the next one is asked for; only changed ones are kept.
    """

    def __init__(self, log: SegmentLog) -> None:
        self._log = log
        self._changed: dict[int, Document] = {}
        self._removed: set[int] = set()
        self._looked_at: tuple[int, Document, bytes] | None = None

    def __getitem__(self, doc_id: int) -> Document:
        if self._looked_at is not None and self._looked_at[0] == doc_id:
            return self._looked_at[1]
        self._settle()
        if doc_id in self._changed:
            return self._changed[doc_id]
        stored = None if doc_id in self._removed else self._log.read(doc_id)
        if stored is None:
            raise KeyError(doc_id)
        self._looked_at = (doc_id, decode_document(stored.body), stored.body)
        return self._looked_at[1]

    def __setitem__(self, doc_id: int, document: Mapping[str, Any]) -> None:
        self._settle()
        self._removed.discard(doc_id)
        self._changed[doc_id] = dict(document)

    def __delitem__(self, doc_id: int) -> None:
        self._settle()
        if doc_id not in self:
            raise KeyError(doc_id)
        self._changed.pop(doc_id, None)
        self._removed.add(doc_id)

    def __contains__(self, doc_id: object) -> bool:
        if doc_id in self._changed:
            return True
        return isinstance(doc_id, int) and doc_id not in self._removed and doc_id in self._log.index

    def __iter__(self) -> Iterator[int]:
        with self._log.lock:
            known = [i for i in self._log.index if i not in self._removed]
        return iter(known + [i for i in self._changed if i not in self._log.index])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def clear(self) -> None:
        """Remove all documents."""
        self._looked_at = None
        self._changed.clear()
        self._removed.update(self._log.index)

    def apply(self) -> None:
        """Append the changes and return when they are durable."""
        self._settle()
        self._log.done(sorted(self._removed), Why.REMOVED)
        if self._changed:
            self._log.put(
                [
                    (i, (encode_document(doc), Flag.URGENT if is_urgent(doc) else Flag.NONE))
                    for i, doc in sorted(self._changed.items())
                ]
            )
        self._log.commit()

    def _settle(self) -> None:
        if self._looked_at is not None:
            doc_id, document, body = self._looked_at
            self._looked_at = None
            if document != decode_document(body):
                self._changed[doc_id] = document


class SegmentTable(Table):
    """TinyDB's table, on a `SegmentStorage`: an insert appends, a removal appends, a look-up reads one."""

    def __init__(self, storage: Storage, name: str, cache_size: int = 0, persist_empty: bool = False) -> None:
        if not isinstance(storage, SegmentStorage):
            raise TypeError(f"a SegmentTable needs a SegmentStorage, not {type(storage).__name__}")
        self._log = storage.log
        # No query cache: records come and go beside this table, by the outbox.
        super().__init__(storage, name, cache_size=0)

    def _get_next_id(self) -> int:
        return self._log.reserve_id()

    def _update_table(self, updater: Callable[[dict[int, Any]], None]) -> None:
        edits = _Edits(self._log)
        updater(cast("dict[int, Any]", edits))
        edits.apply()


class OutboxDB(TinyDB):
    """A TinyDB whose table is a `SegmentTable`."""

    table_class = SegmentTable

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("storage", SegmentStorage)
        super().__init__(*args, **kwargs)
