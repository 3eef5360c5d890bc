"""What the pipeline and the uplink see of the outbox."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest
from tinydb import where

from agent.errors import OutboxError
from agent.outbox import Outbox, OutboxDB
from agent.outbox.files import segment_files
from agent.outbox.inspect import iter_set_aside, iter_waiting, outbox_stats
from agent.records import Kind, Record, decode, encode
from tests.outbox.samples import BOOT, NEVER_S, record, records, seqs_after, seqs_taken


def test_payloads_come_out_byte_for_byte(tmp_path: Path) -> None:
    payloads = [
        b'{ "b" : 1.0,\n "a":[1, 2] }',
        b'{"x":"\\u00e9 \\"payload\\": {}","payload":{"payload":1}}',
        b"{}",
    ]
    sent = [Record(Kind.EVENT, BOOT, i, 'a/b,"payload":', p) for i, p in enumerate(payloads)]
    with Outbox(tmp_path, commit_window_s=0) as outbox:
        outbox.put(sent)
        outbox.flush()
    with Outbox(tmp_path) as outbox:
        taken = outbox.take(10, timeout_s=0)
    assert [w.payload for w in taken] == payloads
    assert {(w.kind, w.boot, w.topic) for w in taken} == {("event", BOOT, 'a/b,"payload":')}


def test_an_alarm_is_durable_on_return_and_the_rest_is_not_handed_out_before_it_is(tmp_path: Path) -> None:
    with Outbox(tmp_path, commit_window_s=NEVER_S) as outbox:
        outbox.put(records(range(3)))
        assert seqs_taken(outbox) == []
        outbox.put([record(3, Kind.ALARM)])
        assert seqs_taken(outbox) == [3, 0, 1, 2], "its sync made the others durable, too"


def test_the_window_makes_the_rest_durable_by_itself(tmp_path: Path) -> None:
    with Outbox(tmp_path, commit_window_s=0.05) as outbox:
        begun_s = time.monotonic()
        outbox.put(records(range(3)))
        taken = outbox.take(10, timeout_s=10)
        waited_s = time.monotonic() - begun_s
        assert [w.seq for w in taken] == [0, 1, 2]
        assert 0.04 < waited_s < 5, f"handed out after {waited_s:.3f} s"


def test_a_burst_does_not_wait_for_the_window(tmp_path: Path) -> None:
    with Outbox(tmp_path, commit_window_s=NEVER_S) as outbox:
        for seq in range(400):
            outbox.put([record(seq, filler="x" * 1000)])
        assert len(outbox.take(1000, timeout_s=10)) > 200


def test_alarms_come_first_and_the_oldest_next(tmp_path: Path) -> None:
    with Outbox(tmp_path) as outbox:
        outbox.put([*records(range(5)), record(5, Kind.ALARM), *records(range(6, 8)), record(8, Kind.ALARM)])
        outbox.flush()
        assert [w.seq for w in outbox.take(1, urgent_only=True, timeout_s=0)] == [5]
        assert seqs_taken(outbox, 4) == [8, 0, 1, 2]
        assert outbox.take(5, urgent_only=True, timeout_s=0) == []
        assert seqs_taken(outbox) == [3, 4, 6, 7]


def test_what_was_handed_out_comes_again_only_after_release(tmp_path: Path) -> None:
    with Outbox(tmp_path) as outbox:
        outbox.put([*records(range(3)), record(3, Kind.ALARM)])
        first = outbox.take(2, timeout_s=0)
        assert [w.seq for w in first] == [3, 0]
        assert outbox.stats().leased == 2
        outbox.release([first[0].doc_id])
        assert seqs_taken(outbox) == [3, 1, 2]
        outbox.release_all()
        assert seqs_taken(outbox) == [3, 0, 1, 2]
        outbox.acknowledge([w.doc_id for w in first])
        outbox.release_all()
        assert seqs_taken(outbox) == [1, 2], "what has arrived never comes again"
    assert seqs_after(tmp_path) == [1, 2]


def test_take_wakes_for_a_record_for_wake_and_for_close(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, commit_window_s=0)
    taken: list[list[int]] = []
    turn = threading.Semaphore(0)

    def consume() -> None:
        for _ in range(3):
            taken.append([w.seq for w in outbox.take(10)])
            turn.release()

    consumer = threading.Thread(target=consume)
    consumer.start()
    outbox.put([record(1)])
    assert turn.acquire(timeout=10)
    outbox.wake()
    assert turn.acquire(timeout=10)
    outbox.close()
    consumer.join(10)
    assert taken == [[1], [], []]


def test_a_wake_before_take_is_not_lost(tmp_path: Path) -> None:
    with Outbox(tmp_path) as outbox:
        outbox.wake()
        assert outbox.take(1) == []


def test_segments_go_from_the_oldest_on(tmp_path: Path) -> None:
    with Outbox(tmp_path, segment_bytes=1000) as outbox:
        outbox.put(records(range(50)))
        outbox.flush()
        taken = outbox.take(50, timeout_s=0)
        full = outbox.stats().segments
        assert full > 5
        outbox.acknowledge([w.doc_id for w in taken[1:]])
        outbox.flush()
        names = [path.name for _, path in segment_files(tmp_path)]
        assert names[0] == "00000001.seg", "its first record still waits, so all acknowledgements stay, too"
        outbox.acknowledge([taken[0].doc_id])
        outbox.flush()
        assert [path.name for _, path in segment_files(tmp_path)] == [sorted(names)[-1]]
        assert outbox.stats().segments == 1
    assert seqs_after(tmp_path) == []


def test_ids_rise_for_ever(tmp_path: Path) -> None:
    with Outbox(tmp_path, segment_bytes=300) as outbox:
        outbox.put(records(range(20)))
        outbox.flush()
        last = outbox.take(20, timeout_s=0)
        outbox.acknowledge([w.doc_id for w in last])
    with Outbox(tmp_path) as outbox:
        outbox.put([record(20, Kind.ALARM)])
        assert outbox.take(1, timeout_s=0)[0].doc_id > last[-1].doc_id


def test_a_refused_record_is_kept_apart_with_its_reason(tmp_path: Path) -> None:
    with Outbox(tmp_path) as outbox:
        outbox.put([record(0, Kind.ALARM), record(1, Kind.ALARM)])
        first = outbox.take(1, timeout_s=0)[0]
        outbox.set_aside(first.doc_id, "not authorised")
        assert outbox.stats().set_aside == 1
        assert outbox.stats().waiting == 1
    assert seqs_after(tmp_path) == [1]
    (refused,) = iter_set_aside(tmp_path)
    assert refused["reason"] == "not authorised"
    assert refused["document"]["payload"] == json.loads(record(0).payload)
    with Outbox(tmp_path) as outbox:
        assert outbox.stats().set_aside == 1, "counted over all time"


def test_a_second_agent_is_told_who_holds_the_outbox(tmp_path: Path) -> None:
    with Outbox(tmp_path), pytest.raises(OutboxError) as caught:
        Outbox(tmp_path)
    assert "pid" in caught.value.got
    assert seqs_after(tmp_path) == []


def test_a_directory_that_cannot_be_is_an_error_in_four_parts(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutboxError) as caught:
        Outbox(tmp_path / "file" / "outbox")
    assert "Not a directory" in str(caught.value)


def test_when_the_card_is_full_the_oldest_goes_and_alarms_stay(tmp_path: Path) -> None:
    dropped: list[tuple[str, int, str]] = []
    with Outbox(tmp_path, segment_bytes=4000, max_bytes=40_000, on_dropped=dropped.extend) as outbox:
        alarms = set(range(0, 1000, 50))
        for seq in range(1000):
            outbox.put([record(seq, Kind.ALARM if seq in alarms else Kind.FEATURES)])
        outbox.flush()
        stats = outbox.stats()
        assert stats.bytes <= 40_000 + 4000, f"{stats.bytes} bytes"
        left = [w.seq for w in iter_waiting(tmp_path)]
        gone = {seq for boot, seq, kind in dropped if boot == BOOT and kind == "features"}
        assert len(dropped) == len(gone) == stats.dropped, "each is reported once"
        assert gone | set(left) == set(range(1000)), "each is there or reported"
        assert alarms <= set(left)
        plain = [seq for seq in left if seq not in alarms]
        assert plain == list(range(plain[0], 1000)) or set(plain) == set(range(min(plain), 1000)) - alarms
        assert stats.waiting == len(left) and stats.waiting_urgent == len(alarms)
    assert sorted(seqs_after(tmp_path)) == sorted(left)


def test_alarms_go_last_but_go(tmp_path: Path) -> None:
    dropped: list[tuple[str, int, str]] = []
    with Outbox(tmp_path, segment_bytes=2000, max_bytes=10_000, on_dropped=dropped.extend) as outbox:
        outbox.put(records(range(300), Kind.ALARM))
        outbox.put([record(300, Kind.ALARM)])
        outbox.flush()  # room is made beside, no alarm waits for it
        left = seqs_taken(outbox)
        assert left == list(range(301 - len(left), 301)), "the newest are left"
        assert [seq for _, seq, _ in dropped] == list(range(301 - len(left)))
        assert outbox.stats().bytes <= 12_000


def test_records_in_flight_are_not_dropped(tmp_path: Path) -> None:
    with Outbox(tmp_path, segment_bytes=2000, max_bytes=10_000) as outbox:
        outbox.put(records(range(10)))
        outbox.flush()
        flying = outbox.take(10, timeout_s=0)
        outbox.put(records(range(10, 400)))
        outbox.flush()
        outbox.release_all()
        assert seqs_taken(outbox)[:10] == [w.seq for w in flying]


def test_a_document_that_is_no_record_is_set_aside(tmp_path: Path) -> None:
    with Outbox(tmp_path) as outbox:
        outbox.db.insert({"foo": 1})
        outbox.put([record(0, Kind.ALARM)])
        assert seqs_taken(outbox) == [0]
        assert outbox.take(1, timeout_s=0) == []
        assert outbox.stats().set_aside == 1


def test_put_after_close_is_counted_not_raised(tmp_path: Path) -> None:
    dropped: list[tuple[str, int, str]] = []
    outbox = Outbox(tmp_path, on_dropped=dropped.extend)
    outbox.close()
    outbox.close()
    outbox.put([record(7)])
    assert dropped == [(BOOT, 7, "features")]
    assert outbox.take(1) == []


def test_stats_tell_the_oldest(tmp_path: Path) -> None:
    with Outbox(tmp_path) as outbox:
        assert outbox.stats().oldest_t is None
        outbox.put(records(range(3)))
        stats = outbox.stats()
        assert (stats.waiting, stats.appended, stats.oldest_t) == (3, 3, "2026-01-01T00:00:00.000000Z")


def test_payloads_that_are_no_json_come_out_as_they_went_in(tmp_path: Path) -> None:
    """And whoever looks into the outbox reads them: with TinyDB, with `list`, among what was refused."""
    document = {"seq": 0, "t": "2026-01-01T00:00:00.000000Z", "columns": {"load_total_kg": [60.01, 60.0]}}
    payload = encode(document, "msgpack")
    assert not payload.isascii()
    packed = [Record(Kind.ALARM, BOOT, seq, "cargobox/1/fleet/box/alarm", payload) for seq in range(2)]
    with Outbox(tmp_path) as outbox:
        outbox.put([*packed, record(2)])
        outbox.flush()
        outbox.db.insert(
            {"kind": "event", "boot": BOOT, "seq": 3, "topic": "t"}
        )  # without a payload: no record
        assert [d["payload"]["seq"] for d in outbox.db if "payload" in d] == [0, 0, 2]
        assert outbox.db.get(where("payload").columns.load_total_kg == [60.01, 60.0]) is not None
        first, second, third = outbox.take(4, timeout_s=0)
        assert (first.payload, second.payload, third.payload) == (payload, payload, record(2).payload)
        outbox.set_aside(first.doc_id, "payload format invalid")
    assert outbox_stats(tmp_path)["oldest_t"] == document["t"]
    assert [w.payload for w in iter_waiting(tmp_path)] == [payload, record(2).payload]
    empty, refused = iter_set_aside(tmp_path)
    assert "it is no record" in empty["reason"]
    assert refused["document"]["payload"] == document
    with OutboxDB(tmp_path) as db:
        db.update({"qos": 0}, where("seq") == 1)
    with Outbox(tmp_path) as outbox:
        (changed, _) = outbox.take(2, timeout_s=0)
    assert decode(changed.payload) == document, "rewritten by another's hand, it still says the same"
