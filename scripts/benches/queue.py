"""The outbox beside SQLite (WAL, FULL) and stock TinyDB: cost of an append of the same durability.

Both append one record at a time, each on the medium when the call returns, one by turns, so that the disk
is as warm and as busy for the one as for the other; the ratio is the median of the pairs'. Stock TinyDB does
not sync.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import tinydb

from agent.outbox import Outbox
from agent.records import Kind, Record
from scripts.benches.figures import Figure

WAITING = (1000, 20_000, 200_000)
MILLION = 1_000_000
TURNS = 1500
TINY_APPENDS = {1000: 50, 20_000: 5, 200_000: 1}
AT_ONCE = 1000
PAYLOAD = b'{"v":1,"box":"bench","boot":"0000000000000000","seq":%d,"body":"' + b"x" * 300 + b'"}'
SCHEMA = "create table queue (id integer primary key, topic text, payload blob)"
INSERT = "insert into queue (topic, payload) values (?, ?)"

Append = Callable[[int], object]


def record(seq: int, kind: Kind = Kind.ALARM) -> Record:
    """Return a record; an alarm must be on disk before the call returns."""
    return Record(kind, "0" * 16, seq, f"cargobox/1/bench/bench/{kind}", PAYLOAD % seq)


def _filled(folder: Path, waiting: int) -> Outbox:
    box = Outbox(folder, max_bytes=4 << 30)
    for first in range(0, waiting, AT_ONCE):
        box.put([record(i, Kind.FEATURES) for i in range(first, min(first + AT_ONCE, waiting))])
    box.flush()
    return box


def _sqlite(path: Path, waiting: int) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("pragma journal_mode=wal")
    db.execute("pragma synchronous=full")
    db.execute(SCHEMA)
    db.execute("begin")
    made = (record(i) for i in range(waiting))
    db.executemany(INSERT, ((r.topic, r.payload) for r in made))
    db.execute("commit")
    return db


def _took_s(append: Append, i: int) -> float:
    began_s = time.perf_counter()
    append(i)
    return time.perf_counter() - began_s


def _by_turns(own: Append, peer: Append, waiting: int) -> tuple[float, float]:
    """Return the median seconds of an append, and the median ratio to the peer's."""
    os.sync()  # what was filled in is not to be written meanwhile
    own_s: list[float] = []
    peer_s: list[float] = []
    for k in range(TURNS):
        pair = [(own, own_s), (peer, peer_s)]
        for append, took_s in pair if k % 2 else reversed(pair):
            took_s.append(_took_s(append, waiting + k))
    return statistics.median(own_s), statistics.median(a / b for a, b in zip(own_s, peer_s, strict=True))


def _tinydb_s(path: Path, waiting: int) -> float:
    db = tinydb.TinyDB(path)
    try:
        db.insert_multiple({"topic": "t", "payload": (PAYLOAD % i).decode()} for i in range(waiting))
        count = TINY_APPENDS[waiting]
        began_s = time.perf_counter()
        for i in range(count):
            db.insert({"topic": "t", "payload": (PAYLOAD % i).decode()})
        return (time.perf_counter() - began_s) / count
    finally:
        db.close()


def _beside(folder: Path, waiting: int) -> list[Figure]:
    box, db = _filled(folder / f"outbox-{waiting}", waiting), _sqlite(folder / f"{waiting}.sqlite", waiting)

    def insert(i: int) -> None:
        r = record(i)
        db.execute(INSERT, (r.topic, r.payload))

    try:
        own_s, ratio = _by_turns(lambda i: box.put([record(i)]), insert, waiting)
    finally:
        box.close()
        db.close()
    tiny_s = _tinydb_s(folder / f"{waiting}.json", waiting)
    with_them = f"with {waiting} waiting"
    beside = f"WAL, synchronous FULL, by turns, {with_them}"
    return [
        Figure("outbox, an alarm made durable", 1000 * own_s, "ms", with_them),
        Figure("outbox, against SQLite", ratio, "×", beside, at_most=1.0),
        Figure("outbox, against stock TinyDB", own_s / tiny_s, "×", f"which does not sync, {with_them}"),
    ]


def _flat(folder: Path) -> list[Figure]:
    few, many = _filled(folder / "few", 1000), _filled(folder / "many", MILLION)
    try:
        _, flat = _by_turns(lambda i: many.put([record(i)]), lambda i: few.put([record(i)]), MILLION)
    finally:
        few.close()
        many.close()
    began_s = time.perf_counter()
    with Outbox(folder / "many", max_bytes=4 << 30) as box:
        opened_s = time.perf_counter() - began_s
        waiting = box.waiting()
    return [
        Figure("outbox, an append with 1M waiting", flat, "×", "that with 1k", at_most=1.2),
        Figure(f"outbox, opening {waiting} records", opened_s, "s", "every checksum", at_most=3.0),
    ]


def bench(args: argparse.Namespace) -> list[Figure]:
    """Measure."""
    figures: list[Figure] = []
    for waiting in WAITING:
        with tempfile.TemporaryDirectory(dir=".") as scratch:  # a disk, and not a memory file system
            figures += _beside(Path(scratch), waiting)
    with tempfile.TemporaryDirectory(dir=".") as scratch:
        figures += _flat(Path(scratch))
    return figures
