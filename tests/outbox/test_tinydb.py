"""Whoever opens the outbox with TinyDB has TinyDB: the same calls as on its own storage, the same answers."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tinydb import Query, TinyDB, where
from tinydb.operations import delete, increment
from tinydb.storages import MemoryStorage
from tinydb.table import Document

from agent.errors import OutboxError
from agent.outbox import Outbox, OutboxDB, SegmentStorage
from agent.records import Kind
from tests.outbox.samples import record, records

Open = Callable[[Path], TinyDB]


def ours(directory: Path) -> TinyDB:
    return OutboxDB(directory)


def stock_table(directory: Path) -> TinyDB:
    return TinyDB(directory, storage=SegmentStorage)


@pytest.fixture(params=[ours, stock_table])
def open_db(request: pytest.FixtureRequest) -> Open:
    chosen: Open = request.param
    return chosen


def test_records_are_documents(tmp_path: Path, open_db: Open) -> None:
    with Outbox(tmp_path) as outbox:
        outbox.put([*records(range(5)), record(5, Kind.ALARM)])
    q = Query()
    with open_db(tmp_path) as db:
        assert len(db) == 6
        assert [d["seq"] for d in db.search(q.kind == "alarm")] == [5]
        assert db.count(q.payload.seq >= 3) == 3
        assert db.contains(q.seq == 4) and not db.contains(q.seq == 9)
        found = db.get(q.seq == 2)
        assert isinstance(found, Document)
        assert db.get(doc_id=found.doc_id) == found
        assert [d["qos"] for d in db] == [1] * 6
        assert db.get(doc_id=77) is None
        assert [d["seq"] for d in db.get(doc_ids=[1, 3])] == [0, 2]
        assert db.remove(q.kind == "features") == [1, 2, 3, 4, 5]
    with open_db(tmp_path) as db:
        assert [d["seq"] for d in db.all()] == [5]
        assert db.all()[0].doc_id == 6


Call = Callable[[TinyDB], Any]
keys = st.sampled_from("abc")
numbers = st.integers(-5, 5)
documents = st.dictionaries(keys, numbers | st.text(max_size=3) | st.lists(numbers, max_size=2), max_size=3)
q_is = st.builds(lambda k, n: where(k) == n, keys, numbers)
queries = q_is | st.builds(lambda k: where(k).exists(), keys) | st.builds(lambda a, b: a | ~b, q_is, q_is)
calls: st.SearchStrategy[Call] = st.one_of(
    st.builds(lambda d: lambda db: db.insert(d), documents),
    st.builds(lambda d: lambda db: db.insert_multiple(d), st.lists(documents, max_size=3)),
    st.builds(lambda q: lambda db: db.search(q), queries),
    st.builds(lambda q: lambda db: db.get(q), queries),
    st.builds(lambda i: lambda db: db.get(doc_id=i), st.integers(1, 8)),
    st.builds(lambda i: lambda db: db.contains(doc_id=i), st.integers(1, 8)),
    st.builds(lambda q: lambda db: db.count(q), queries),
    st.builds(lambda q: lambda db: sorted(db.remove(q)), queries),
    st.builds(lambda d, q: lambda db: sorted(db.update(d, q)), documents, queries),
    st.builds(lambda k, n: lambda db: db.update(increment(k), where(k) == n), keys, numbers),
    st.builds(lambda k: lambda db: db.update(delete(k), where(k).exists()), keys),
    st.builds(lambda d: lambda db: sorted(db.update(d)), documents),
    st.builds(lambda d, q: lambda db: sorted(db.upsert(d, q)), documents, queries),
    st.builds(lambda a, b: lambda db: db.update_multiple([(a, b)]), documents, queries),
    st.builds(lambda: len),
    st.builds(lambda: lambda db: [(d.doc_id, dict(d)) for d in db.all()]),
)


@pytest.mark.parametrize("opened", [ours, stock_table])
@given(st.lists(calls, max_size=12))
def test_the_same_calls_give_the_same_answers(opened: Open, sequence: list[Call]) -> None:
    with tempfile.TemporaryDirectory() as name:
        model = TinyDB(storage=MemoryStorage)
        db = opened(Path(name))
        for call in sequence:
            assert call(db) == call(model)
        db.close()
        with opened(Path(name)) as again:
            assert {d.doc_id: dict(d) for d in again} == {d.doc_id: dict(d) for d in model}


def test_truncate_and_drop(tmp_path: Path, open_db: Open) -> None:
    with open_db(tmp_path) as db:
        db.insert_multiple([{"a": 1}, {"a": 2}])
        db.truncate()
        assert len(db) == 0 and db.tables() == set()
        db.insert({"a": 3})
        db.drop_tables()
    with open_db(tmp_path) as db:
        assert db.all() == []


def test_a_document_with_a_known_id_is_refused_as_tinydb_refuses_it(tmp_path: Path) -> None:
    with OutboxDB(tmp_path) as db:
        db.insert(Document({"a": 1}, doc_id=10))
        assert db.insert({"a": 2}) == 11
        with pytest.raises(ValueError, match="already exists"):
            db.insert(Document({"a": 1}, doc_id=10))


def test_another_table_is_refused_in_four_parts(tmp_path: Path) -> None:
    with stock_table(tmp_path) as db, pytest.raises(OutboxError, match="one table"):
        db.table("trips").insert({"a": 1})


def test_the_live_outbox_answers_queries(tmp_path: Path) -> None:
    with Outbox(tmp_path) as outbox:
        outbox.put([record(1), record(2, Kind.ALARM)])
        taken = outbox.take(1, timeout_s=0)
        q = Query().kind == "alarm"
        assert outbox.db.count(q) == 1
        outbox.acknowledge([w.doc_id for w in taken])
        assert outbox.db.count(q) == 0, "no stale answer from a query cache"
        outbox.db.insert({**outbox.db.all()[0], "kind": "alarm", "seq": 3})
        assert [w.seq for w in outbox.take(5, urgent_only=True, timeout_s=0)] == [3]
