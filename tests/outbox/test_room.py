"""A full outbox: features become coarser before anything goes, and what goes is told of."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from agent.outbox import Outbox, Waiting
from agent.outbox.inspect import iter_waiting
from agent.records import Encoding, Kind, Record, decode, encode
from agent.thinning import seqs_of
from tests.docs.contract import fault_of
from tests.outbox.samples import BOOT, NEVER_S, record


def features(seq: int, encoding: Encoding = "json") -> Record:
    """Ten seconds of features: record `seq` begins at second 10 · seq."""
    begin = 10 * seq
    stamps = [
        f"2026-01-01T{s // 3600:02d}:{s // 60 % 60:02d}:{s % 60:02d}.500000Z" for s in (begin, begin + 10)
    ]
    columns = {f"s{i}_degc": [20.0 + (seq * 7 + k * i) % 10 / 8 for k in range(10)] for i in range(6)}
    document = {
        "v": 1, "box": "box", "boot": BOOT, "seq": seq, "t": stamps[1], "tq": "synced", "cal": "none",
        "sw": "1", "window_s": 1, "start": stamps[0], "n": 10, "columns": columns,
    }  # fmt: skip
    return Record(Kind.FEATURES, BOOT, seq, "cargobox/1/fleet/box/features", encode(document, encoding))


def stands_for(records: Iterable[Waiting]) -> list[int]:
    """Return the numbers that records stand for, each as often as it is told."""
    told: list[int] = []
    for waiting in records:
        document = decode(waiting.payload)
        if waiting.kind == "features" and "window_s" in document:
            told += [seq for first, last in seqs_of(document) for seq in range(first, last + 1)]
        else:
            told.append(waiting.seq)
    return sorted(told)


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_features_are_thinned_before_anything_is_dropped(tmp_path: Path, encoding: Encoding) -> None:
    with Outbox(tmp_path, commit_window_s=NEVER_S, segment_bytes=20_000, max_bytes=100_000) as outbox:
        for seq in range(600):
            kind = {0: Kind.ALARM, 5: Kind.EVENT}.get(seq % 10)
            outbox.put([record(seq, kind) if kind else features(seq, encoding)])
            if seq % 20 == 0:
                outbox.flush()
        outbox.flush()
        stats = outbox.stats()
    left = list(iter_waiting(tmp_path))
    assert stats.dropped == 0 and stats.thinned > 300, stats
    assert stats.bytes <= 100_000 + 20_000, stats.bytes
    assert stands_for(left) == list(range(600)), "each is told of, once"
    spans = [decode(w.payload)["window_s"] for w in left if w.kind == "features"]
    assert {1, 10} <= set(spans), "the newest as they were"
    assert spans == sorted(spans, reverse=True), "the oldest are the coarsest"
    for waiting in left:
        document = decode(waiting.payload)
        if document.get("window_s", 1) > 1:
            assert document["coarsened"] == "outbox_full" and document["seq"] == waiting.seq
            assert fault_of("features", {**document, "columns": {}}) == ""


def test_what_is_dropped_at_last_is_told_of_exactly(tmp_path: Path) -> None:
    with Outbox(tmp_path, commit_window_s=NEVER_S, segment_bytes=4000, max_bytes=16_000) as outbox:
        for seq in range(1200):
            kind = {0: Kind.ALARM, 50: Kind.EVENT}.get(seq % 100)
            outbox.put([record(seq, kind) if kind else features(seq)])
            if seq % 25 == 0:
                outbox.flush()
        outbox.flush()
        stats, losses = outbox.stats(), outbox.take_dropped()
        assert outbox.take_dropped() == [], "told once in a while"
    left = list(iter_waiting(tmp_path))
    assert stats.dropped > 0 and stats.bytes <= 20_000, stats
    lost = {seq for loss in losses for first, last in loss.seqs for seq in range(first, last + 1)}
    assert {(loss.kind, loss.boot) for loss in losses} == {("features", BOOT)}, "nothing else had to go"
    assert set(stands_for(left)) | lost == set(range(1200)), "each is there or told of"
    assert not set(stands_for(left)) & lost, "and not both"
    assert {60} == {decode(w.payload)["window_s"] for w in left if w.kind == "features"} - {1, 10}

    gap = [
        Record(Kind.GAP, "1" * 16, i, "t", encode({"seq": i, **loss.body()})) for i, loss in enumerate(losses)
    ]
    with Outbox(tmp_path) as outbox:
        assert outbox.take_dropped() == losses, "also after a restart, until it was told"
        outbox.put_gaps(losses, gap)
        assert outbox.take_dropped(everything=True) == []
    with Outbox(tmp_path) as outbox:
        assert outbox.take_dropped() == []
    head = {"v": 1, "box": "b", "boot": "1" * 16, "t": "2026-01-01T00:00:00.000000Z", "tq": "synced"}
    for loss in losses:
        assert fault_of("gap", {**head, "seq": 0, "cal": "none", "sw": "1", **loss.body()}) == ""


def test_a_gap_record_that_has_to_go_leaves_its_losses_to_the_next(tmp_path: Path) -> None:
    body = {"kind": "features", "of": "2" * 16, "first": 3, "last": 9, "seqs": [[3, 5], [9, 9]]}
    gap = Record(Kind.GAP, BOOT, 0, "t", encode({"seq": 0, **body, "reason": "outbox_full"}))
    with Outbox(tmp_path, commit_window_s=NEVER_S, segment_bytes=1000, max_bytes=4000) as outbox:
        outbox.put([gap])
        for seq in range(1, 60):
            outbox.put([record(seq, Kind.EVENT)])
            outbox.flush()
        losses = {(loss.kind, loss.boot): loss.seqs for loss in outbox.take_dropped()}
    assert losses["gap", BOOT] == ((0, 0),)
    assert losses["features", "2" * 16] == ((3, 5), (9, 9))
    assert losses["event", BOOT][0][0] == 1


def test_what_memory_had_no_room_for_is_told_of_too(tmp_path: Path) -> None:
    from tests.outbox.shaky_disk import RefusingDisk

    disk = RefusingDisk()
    with Outbox(tmp_path, commit_window_s=NEVER_S, memory_max_bytes=5000, disk=disk) as outbox:
        disk.refuses = frozenset({"write", "create"})
        for seq in range(100):
            outbox.put([record(seq)])
        (loss,) = outbox.take_dropped()
        kept = outbox.waiting()
        assert loss.seqs == ((0, 99 - kept),)
        disk.refuses = frozenset()
    with Outbox(tmp_path) as outbox:
        assert outbox.take_dropped() == [loss], "noted as soon as the card took it"


def test_the_card_has_a_life(tmp_path: Path) -> None:
    with Outbox(tmp_path) as outbox:
        outbox.put([record(0, Kind.ALARM)])
        first = outbox.stats()
        assert first.card_life_years is None, "too early to tell"
        assert first.written_bytes >= 2 * 4096, first.written_bytes
    with Outbox(tmp_path) as outbox:
        assert outbox.stats().written_bytes > first.written_bytes, "counted over all time"


def test_while_anything_else_waits_no_alarm_is_dropped(tmp_path: Path) -> None:
    with Outbox(tmp_path, commit_window_s=NEVER_S, segment_bytes=4_000, max_bytes=20_000) as outbox:
        for seq in range(60):  # a third of the room in alarms; with the events between them thrice too much
            outbox.put([record(seq, Kind.EVENT if seq % 5 else Kind.ALARM, filler="x" * 700)])
            outbox.flush()
        mixed = list(iter_waiting(tmp_path))
        assert [w.seq for w in mixed if w.kind == "alarm"] == list(range(0, 60, 5)), "each alarm"
        assert 0 < sum(w.kind == "event" for w in mixed) < 30, "and of the rest what fits"
        for seq in range(60, 100):
            outbox.put([record(seq, Kind.ALARM, filler="x" * 700)])
        outbox.flush()
        alarms = list(iter_waiting(tmp_path))
        told = {
            n for loss in outbox.take_dropped(everything=True) for a, b in loss.seqs for n in range(a, b + 1)
        }
    assert {w.kind for w in alarms} == {"alarm"}, "not one goes before the last event has gone"
    assert alarms[-1].seq == 99 and 10 < len(alarms) < 40, [w.seq for w in alarms]
    assert {w.seq for w in alarms} | told == set(range(100)), "what went is told of"


def test_what_lies_in_the_file_that_is_written_to_goes_before_an_alarm(tmp_path: Path) -> None:
    with Outbox(tmp_path, commit_window_s=NEVER_S, segment_bytes=8_000, max_bytes=20_000) as outbox:
        fewest = most = 0
        for seq in range(60):
            outbox.put([record(seq, Kind.ALARM, filler="x" * 700), record(100 + seq, Kind.EVENT)])
            outbox.flush()
            kinds = [w.kind for w in iter_waiting(tmp_path)]
            alarms, events = kinds.count("alarm"), kinds.count("event")
            if alarms <= fewest:  # the new one came, so another went
                assert events == 0, f"after {seq}: an alarm went while {events} events waited"
                most += 1
            fewest = alarms
        assert most > 1, "alarms had to go"


def test_an_acknowledgement_outlives_the_file_in_which_it_stands(tmp_path: Path) -> None:
    """The file goes when its features are thinned or dropped; the record lies in an older one that stays."""
    with Outbox(tmp_path, commit_window_s=NEVER_S, segment_bytes=4000, max_bytes=24_000) as outbox:
        outbox.put([record(seq, Kind.EVENT, filler="x" * 1000 * (seq != 1)) for seq in range(8)])
        outbox.put([features(seq) for seq in range(8, 20)])
        outbox.flush()
        outbox.acknowledge([w.doc_id for w in outbox.take(100, timeout_s=0) if w.seq == 1])
        outbox.release_all()
        stands_in = max(int(path.stem) for path in tmp_path.glob("*.seg"))
        for seq in range(20, 300):
            outbox.put([features(seq)])
            if seq % 10 == 0:
                outbox.flush()
        outbox.flush()
        files = {int(path.stem) for path in tmp_path.glob("*.seg")}
        assert stands_in not in files and 1 in files, (stands_in, sorted(files))
    assert [w.seq for w in iter_waiting(tmp_path) if w.kind == "event"] == [0, *range(2, 8)]
