"""The outbox beside SQLite (WAL, FULL) and stock TinyDB: cost of an append of the same durability."""

from __future__ import annotations

import argparse
import itertools
import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import tinydb

from agent.outbox import Outbox
from agent.records import Kind, Record
from scripts.benches.figures import Figure

WAITING = 1000
MEASURED = 100
PAYLOAD = b'{"v":1,"box":"bench","boot":"0000000000000000","seq":%d,"body":"' + b"x" * 300 + b'"}'


def record(seq: int) -> Record:
    """Return an alarm, which must be on disk before the call returns."""
    return Record(Kind.ALARM, "0" * 16, seq, "cargobox/1/bench/bench/alarm", PAYLOAD % seq)


def _cost_s(append: Callable[[int], None], fill: Callable[[int], None]) -> float:
    for i in range(WAITING):
        fill(i)
    began_s = time.perf_counter()
    for i in range(WAITING, WAITING + MEASURED):
        append(i)
    return (time.perf_counter() - began_s) / MEASURED


def _outbox_s(folder: Path) -> float:
    box = Outbox(folder / "outbox")
    try:
        return _cost_s(lambda i: box.put([record(i)]), lambda i: box.put([record(i)]))
    finally:
        box.close()


def _sqlite_s(folder: Path) -> float:
    db = sqlite3.connect(folder / "queue.sqlite", isolation_level=None)
    db.execute("pragma journal_mode=wal")
    db.execute("pragma synchronous=full")
    db.execute("create table queue (id integer primary key, topic text, payload blob)")

    def append(i: int) -> None:
        r = record(i)
        db.execute("insert into queue (topic, payload) values (?, ?)", (r.topic, r.payload))

    try:
        return _cost_s(append, append)
    finally:
        db.close()


def _tinydb_s(folder: Path) -> float:
    db = tinydb.TinyDB(folder / "queue.json")
    numbers = itertools.count()

    def fill(i: int) -> None:
        if i == 0:  # all at once: it rewrites the file at each insert
            db.insert_multiple(
                {"topic": "t", "payload": (PAYLOAD % next(numbers)).decode()} for _ in range(WAITING)
            )

    def append(i: int) -> None:
        db.insert({"topic": "t", "payload": (PAYLOAD % i).decode()})

    try:
        return _cost_s(append, fill)
    finally:
        db.close()


def bench(args: argparse.Namespace) -> list[Figure]:
    """Measure."""
    with tempfile.TemporaryDirectory(dir=".") as scratch:  # a disk, and not a memory file system
        folder = Path(scratch)
        own_s, sqlite_s, tiny_s = _outbox_s(folder), _sqlite_s(folder), _tinydb_s(folder)
    waiting = f"with {WAITING} waiting"
    return [
        Figure("outbox, an alarm made durable", 1000 * own_s, "ms", waiting),
        Figure("outbox, against SQLite", own_s / sqlite_s, "×", f"WAL, synchronous FULL, {waiting}"),
        Figure("outbox, against stock TinyDB", own_s / tiny_s, "×", f"which does not sync, {waiting}"),
    ]
