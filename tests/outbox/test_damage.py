"""Whatever lies in the files, opening succeeds, and what is sound comes out."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import OutboxError
from agent.outbox import Outbox
from agent.outbox.frames import (
    SEGMENT_HEADER_BYTES,
    Damage,
    Flag,
    Frame,
    Op,
    decode_runs,
    encode,
    encode_runs,
    run_of_puts,
    scan,
)
from agent.outbox.inspect import verify
from agent.records import Kind
from tests.outbox.samples import filled, record, seqs_after, seqs_taken

COUNT = 8


@pytest.fixture
def segment(tmp_path: Path) -> Path:
    filled(tmp_path / "outbox", COUNT)
    return tmp_path / "outbox" / "00000001.seg"


def frame_ends(data: bytes) -> list[int]:
    return [item.end for item in scan(data)]


def test_a_tail_torn_at_any_byte_costs_what_was_torn_and_nothing_else(segment: Path) -> None:
    whole = segment.read_bytes()
    ends = frame_ends(whole)
    # every byte of the first frame and the last; of those between, each fifth and the edges
    first, last = ends[0], ends[-2]
    near = {end + step for end in ends for step in (-1, 0, 1)}
    for length in range(len(whole)):
        if first < length < last and length % 5 and length not in near:
            continue
        segment.write_bytes(whole[:length])
        complete = sum(end <= length for end in ends)
        with Outbox(segment.parent) as outbox:
            assert seqs_taken(outbox) == list(range(complete)), f"cut at {length}"
            if length not in (0, SEGMENT_HEADER_BYTES, *ends):
                assert outbox.stats().torn_bytes > 0, f"cut at {length}"
                assert outbox.stats().findings, f"cut at {length}"
            outbox.put([record(99, Kind.ALARM)])
        assert seqs_after(segment.parent)[-complete - 1 :] == [99, *range(complete)], f"cut at {length}"
        for path in segment.parent.glob("*.seg"):
            path.unlink()


@pytest.mark.parametrize("tail", [b"\0" * 5000, b"\xf5" * 999, b"\xf5\xfe" * 500, b'{"seq":1}' * 40])
def test_rubbish_after_the_end_is_cut_off(segment: Path, tail: bytes) -> None:
    whole = segment.read_bytes()
    segment.write_bytes(whole + tail)
    with Outbox(segment.parent) as outbox:
        assert seqs_taken(outbox) == list(range(COUNT))
        # zeros are no rubbish: they are written ahead of the frames
        assert outbox.stats().torn_bytes == len(tail.strip(b"\0"))
    assert segment.read_bytes() == whole


def test_one_damaged_byte_costs_one_record_at_most(segment: Path) -> None:
    whole = segment.read_bytes()
    for at in range(len(whole)):
        broken = bytearray(whole)
        broken[at] ^= 0x41
        segment.write_bytes(broken)
        verdict = verify(segment.parent)
        with Outbox(segment.parent) as outbox:
            seqs = seqs_taken(outbox)
            stats = outbox.stats()
        assert set(seqs) <= set(range(COUNT)) and len(seqs) == len(set(seqs)) >= COUNT - 1, f"byte {at}"
        assert stats.findings, f"byte {at}"
        assert stats.damaged_stretches or stats.torn_bytes, f"byte {at}"
        assert verdict.findings and (not verdict.sound or verdict.torn_bytes), f"byte {at}"


def test_a_damaged_segment_in_the_middle_leaves_the_others(tmp_path: Path) -> None:
    with Outbox(tmp_path, segment_bytes=1000) as outbox:
        outbox.put([record(seq) for seq in range(30)])
    second = tmp_path / "00000002.seg"
    size = second.stat().st_size
    second.write_bytes(b"\0" * size)
    with Outbox(tmp_path) as outbox:
        seqs = seqs_taken(outbox)
        assert seqs[:5] == [0, 1, 2, 3, 4] and seqs[-1] == 29 and len(seqs) < 30
        assert "00000002.seg" in " ".join(outbox.stats().findings)
    assert second.stat().st_size == size, "only a tail is cut; what is damaged is left to be looked at"


def test_a_record_that_rots_while_the_agent_runs_is_counted(segment: Path) -> None:
    with Outbox(segment.parent) as outbox:
        data = bytearray(segment.read_bytes())
        data[SEGMENT_HEADER_BYTES + 40] ^= 1
        segment.write_bytes(data)
        assert seqs_taken(outbox) == list(range(1, COUNT))
        assert outbox.stats().damaged == 1


def test_an_unreadable_segment_is_put_aside(tmp_path: Path) -> None:
    filled(tmp_path, 3)
    (tmp_path / "00000000.seg").mkdir()  # reading it fails, as a bad block would
    assert seqs_after(tmp_path) == [0, 1, 2]
    assert (tmp_path / "00000000.unreadable").is_dir()


@pytest.mark.parametrize(
    "rubbish",
    [
        b'[["event","b\xff",[[1,2]]]]',  # no UTF-8, as one flipped bit makes it
        b'[["event","b",[],"x"],["event","c",[[5,1]]],["event","d",[[0,99999999999999999999]]]]',
        b"[" * 100_000,
        bytes(80),
    ],
)
def test_whatever_the_small_files_hold_the_outbox_opens_and_tells_of_losses(
    tmp_path: Path, rubbish: bytes
) -> None:
    filled(tmp_path, 3)
    for name in ("dropped.json", "wear.json", "set-aside.log", "set-aside.old.log"):
        (tmp_path / name).write_bytes(rubbish)
    with Outbox(tmp_path) as outbox:
        assert [loss.body() for loss in outbox.take_dropped(everything=True)] == []
        outbox.set_aside(1, "why")
        told = outbox.take_dropped(everything=True)
        assert [(loss.kind, loss.seqs) for loss in told] == [(Kind.FEATURES, ((0, 0),))]
    assert seqs_after(tmp_path) == [1, 2]


def test_a_damaged_book_of_losses_is_said_once_and_begun_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    filled(tmp_path, 1)
    (tmp_path / "dropped.json").write_bytes(bytes(80))
    outbox = Outbox(tmp_path)
    assert (tmp_path / "dropped.json").read_bytes() == b"[]", "also where the agent is killed at once"
    outbox.close()
    assert seqs_after(tmp_path) == [0]
    assert caplog.text.count("begun anew") == 1, caplog.text


def test_a_segment_in_the_place_of_the_refused_is_no_refused_record(tmp_path: Path) -> None:
    filled(tmp_path, 3)
    shutil.copy(tmp_path / "00000001.seg", tmp_path / "set-aside.log")
    assert verify(tmp_path).set_aside == 0
    assert seqs_after(tmp_path) == [0, 1, 2]


@pytest.mark.parametrize("number", [0, 99_999_999_999])
def test_a_segment_of_an_impossible_number_is_put_aside(tmp_path: Path, number: int) -> None:
    filled(tmp_path, 3)
    shutil.copy(tmp_path / "00000001.seg", tmp_path / f"{number:08d}.seg")
    with Outbox(tmp_path) as outbox:
        assert seqs_taken(outbox) == [0, 1, 2]
        assert any("a number that no segment has" in f for f in outbox.stats().findings)
    assert (tmp_path / f"{number:08d}.unreadable").exists()


def test_a_pipe_in_the_place_of_any_file_keeps_nobody_waiting(tmp_path: Path) -> None:
    filled(tmp_path, 3)
    for name in ("00000009.seg", "dropped.json", "wear.json", "set-aside.log"):
        (tmp_path / name).unlink(missing_ok=True)
        os.mkfifo(tmp_path / name)
    assert verify(tmp_path).unreadable_segments == 1
    assert seqs_after(tmp_path) == [0, 1, 2]


def test_a_folder_in_the_place_of_the_lock_is_named(tmp_path: Path) -> None:
    filled(tmp_path, 3)
    (tmp_path / "lock").unlink()
    (tmp_path / "lock").mkdir()
    with pytest.raises(OutboxError) as said:
        Outbox(tmp_path)
    assert f"{tmp_path / 'lock'} is a folder" in said.value.got
    (tmp_path / "lock").rmdir()
    assert seqs_after(tmp_path) == [0, 1, 2]


frames_st = st.lists(
    st.tuples(
        st.sampled_from([Op.PUT, Op.PUT, Op.PUT, Op.DONE]),
        st.sampled_from(list(Flag)),
        st.integers(0, 2**64 - 1) | st.integers(0, 20),
        st.binary(max_size=60),
    ),
    max_size=12,
)


@given(frames_st, st.binary(max_size=30))
def test_every_frame_is_found_behind_any_rubbish(
    frames: list[tuple[Op, Flag, int, bytes]], rubbish: bytes
) -> None:
    data = b"".join(encode(*frame) for frame in frames)
    found = [i for i in scan(rubbish + b"|" + data, 0) if isinstance(i, Frame)]
    assert [(f.op, f.flags, f.doc_id) for f in found[-len(frames) :]] == [f[:3] for f in frames] or not frames


@given(frames_st, st.data())
def test_the_fast_way_reads_what_the_slow_way_reads(
    frames: list[tuple[Op, Flag, int, bytes]], data: st.DataObject
) -> None:
    stored = bytearray(b"".join(encode(*frame) for frame in frames))
    if stored and data.draw(st.booleans()):
        stored[data.draw(st.integers(0, len(stored) - 1))] ^= 0x10
    raw, offset = bytes(stored), 0
    fast: list[tuple[int, int, int]] = []
    for item in scan(raw, 0):
        if item.start if isinstance(item, Damage) else item.offset < offset:
            continue
        run = run_of_puts(raw, item.start if isinstance(item, Damage) else item.offset)
        fast += [(run.first_id + k, run.offsets[k], run.flags[k]) for k in range(len(run.offsets))]
        offset = run.end
    slow = [(i.doc_id, i.offset, i.flags) for i in scan(raw, 0) if isinstance(i, Frame) and i.op == Op.PUT]
    assert sorted(set(fast)) == sorted(slow)


@given(st.sets(st.integers(1, 200)))
def test_runs_are_the_ids(ids: set[int]) -> None:
    assert sorted(decode_runs(encode_runs(ids))) == sorted(ids)
