"""The raw session on the card: cut anywhere, taken back, gone on with, damaged."""

from __future__ import annotations

import json
import os
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration.errors import SessionError
from calibration.journal import Journal
from calibration.session import (
    SUFFIX,
    Session,
    SessionHead,
    digest_of,
    parse_session,
    read_session,
    unfinished,
)

HEAD = SessionHead(
    what="accel",
    stream="accel",
    sensor="virtual 01",
    unit="mps2",
    axes=("x", "y", "z"),
    rate_hz=1000.0,
    scale=0.005,
    begun_at="2026-03-01T10:00:00Z",
)


def counts(number: int, samples: int = 20) -> npt.NDArray[np.int32]:
    return np.arange(samples * 3, dtype=np.int32).reshape(samples, 3) + 1000 * number


def written(path: Path, poses: int = 3) -> Path:
    with Journal.create(path, HEAD) as journal:
        for number in range(poses):
            journal.append("pose", counts(number), at="2026-03-01T10:00:01Z", t_s=float(number))
    return path


def numbers(session: Session) -> list[int]:
    return [step.number for step in session.steps]


def test_what_was_written_is_read_in_full_and_in_si(tmp_path: Path) -> None:
    path = tmp_path / f"a{SUFFIX}"
    with Journal.create(path, HEAD) as journal:
        journal.append("span", counts(4), at="t", t_s=1.5, mass_kg=10.0, place="fl", temperature_degc=21.5)
        journal.append("zero", counts(1).astype(np.float32), at="t", t_s=2.0, temperature_degc=22.0)
    session = read_session(path)
    assert session.head == HEAD
    span, zero = session.steps
    assert (span.kind, span.mass_kg, span.place, span.t_s) == ("span", 10.0, "fl", 1.5)
    assert span.raw.dtype == np.int32
    assert zero.raw.dtype == np.float32
    np.testing.assert_array_equal(span.raw, counts(4))
    np.testing.assert_allclose(session.head.values(span), counts(4) * 0.005)
    assert session.samples == 40
    assert session.temperatures_degc == (21.5, 22.0)


@given(keep=st.integers(0, 3000))
def test_a_session_cut_anywhere_has_all_that_was_whole(
    keep: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = written(tmp_path_factory.mktemp("cut") / f"a{SUFFIX}")
    whole = path.read_bytes()
    data = whole[:keep]
    lines = data.count(b"\n")
    if lines == 0:
        with pytest.raises(SessionError, match="no whole line"):
            parse_session(data)
        return
    assert numbers(parse_session(data)) == list(range(1, lines)), f"{lines} lines of {len(data)} bytes"
    path.write_bytes(data)
    with Journal.resume(path) as journal:
        journal.append("pose", counts(9), at="t", t_s=9.0)
    again = read_session(path)
    assert numbers(again) == list(range(1, lines + 1)), "what is added stands behind the last whole line"
    np.testing.assert_array_equal(again.steps[-1].raw, counts(9))


def test_a_step_that_is_taken_back_stays_in_the_file_and_its_number_is_not_given_again(
    tmp_path: Path,
) -> None:
    path = written(tmp_path / f"a{SUFFIX}")
    with Journal.resume(path) as journal:
        assert (taken := journal.undo()) is not None
        assert taken.number == 3
        assert journal.append("pose", counts(7), at="t", t_s=7.0).number == 4
        journal.undo()
        journal.undo()
    session = read_session(path)
    assert numbers(session) == [1]
    assert session.undone == 3
    assert path.read_bytes().count(b'"line":"step"') == 4, "nothing is removed"
    with Journal.resume(path) as journal:
        assert journal.undo() is not None
        assert journal.undo() is None, "there is nothing left to take back"


def test_a_session_can_be_found_that_came_to_no_end(tmp_path: Path) -> None:
    early = written(tmp_path / f"early{SUFFIX}")
    late = tmp_path / f"late{SUFFIX}"
    later = msgspec.structs.replace(HEAD, begun_at="2026-03-02T10:00:00Z")
    with Journal.create(late, later) as journal:
        journal.append("pose", counts(0), at="t", t_s=0.0)
    other = msgspec.structs.replace(HEAD, sensor="virtual 02")
    (tmp_path / f"rubbish{SUFFIX}").write_text("nothing\n")
    assert unfinished(tmp_path, HEAD) == [late, early]
    assert unfinished(tmp_path, other) == []
    with Journal.resume(late) as journal:
        journal.done("good")
    assert unfinished(tmp_path, HEAD) == [early]
    assert read_session(late).verdict == "good"


def test_what_an_unplugged_thermometer_says_is_no_temperature(tmp_path: Path) -> None:
    with Journal.create(tmp_path / f"a{SUFFIX}", HEAD) as journal:
        for i, degc in enumerate((21.0, -127.0, 23.0, float("nan"))):
            journal.append("pose", counts(i), at="t", t_s=float(i), temperature_degc=degc)
    assert read_session(journal.path).temperatures_degc == (21.0, 23.0)


def test_a_session_without_a_step_leaves_nothing_behind(tmp_path: Path) -> None:
    with Journal.create(tmp_path / f"a{SUFFIX}", HEAD):
        pass
    assert not list(tmp_path.iterdir())


def test_two_programs_do_not_write_one_session(tmp_path: Path) -> None:
    path = written(tmp_path / f"a{SUFFIX}")
    with Journal.resume(path), pytest.raises(SessionError, match="another program writes to it"):
        Journal.resume(path)
    with pytest.raises(SessionError, match="File exists"):
        Journal.create(path, HEAD)


def test_what_another_program_wrote_until_it_was_locked_is_not_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / f"a{SUFFIX}")
    real_open = os.open

    def late(name: Path, flags: int, *more: int) -> int:
        """The other program goes on, and ends, between this one's first look and its lock."""
        monkeypatch.undo()
        with Journal.resume(path) as other:
            other.append("pose", counts(9), at="t", t_s=9.0)
        return real_open(name, flags, *more)

    monkeypatch.setattr(os, "open", late)
    with Journal.resume(path) as journal:
        journal.append("pose", counts(10), at="t", t_s=10.0)
    assert numbers(read_session(path)) == [1, 2, 3, 4, 5]


def test_any_change_changes_the_digest_and_damage_is_told_with_its_line(tmp_path: Path) -> None:
    path = written(tmp_path / f"a{SUFFIX}")
    before = digest_of(path)
    lines = path.read_bytes().splitlines(keepends=True)
    step = json.loads(lines[2])
    step["samples"] += 1
    path.write_bytes(b"".join([*lines[:2], json.dumps(step).encode() + b"\n", *lines[3:]]))
    assert digest_of(path) != before
    with pytest.raises(SessionError, match="line 3: 60 values for 21 samples of 3 axes"):
        read_session(path)
    path.write_bytes(b"".join(lines[1:]))
    with pytest.raises(SessionError, match="line 1: no head"):
        read_session(path)
    with pytest.raises(SessionError, match="No such file"):
        read_session(tmp_path / "none")


@pytest.mark.parametrize(
    "edited",
    [{"rate_hz": 0}, {"rate_hz": 1e300}, {"scale": -1e300}, {"settings": {"gravity_mps2": 0}},
     {"settings": {"gravity_standard_mps2": 1e300}}, {"settings": {"mass_tolerance": 1e300}}],
)  # fmt: skip
def test_absurd_numbers_in_the_head_are_told(tmp_path: Path, edited: dict[str, object]) -> None:
    path = written(tmp_path / f"a{SUFFIX}")
    head, *steps = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([json.dumps({**json.loads(head), **edited}).encode() + b"\n", *steps]))
    with pytest.raises(SessionError, match=r"line 1: \w+ of .*edited"):
        read_session(path)


def test_a_full_medium_is_told_and_spoils_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / f"a{SUFFIX}")
    real_write = os.write

    def half(fd: int, data: bytes) -> int:
        real_write(fd, bytes(data)[:10])
        raise OSError(28, "No space left on device")

    with Journal.resume(path) as journal:
        monkeypatch.setattr(os, "write", half)
        with pytest.raises(SessionError, match="No space left"):
            journal.append("pose", counts(5), at="t", t_s=5.0)
        monkeypatch.undo()
        journal.append("pose", counts(6), at="t", t_s=6.0)
    session = read_session(path)
    assert len(session.steps) == 4
    np.testing.assert_array_equal(session.steps[-1].raw, counts(6))


def test_each_line_is_on_the_medium_before_the_next_step_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[tuple[str, bool]] = []
    write, fsync = os.write, os.fsync

    def noted(what: str, fd: int) -> None:
        happened.append((what, os.readlink(f"/proc/self/fd/{fd}").endswith(SUFFIX)))

    def written_to(fd: int, data: bytes) -> int:
        noted("write", fd)
        return write(fd, data)

    def synced(fd: int) -> None:
        noted("fsync", fd)
        fsync(fd)

    monkeypatch.setattr(os, "write", written_to)
    monkeypatch.setattr(os, "fsync", synced)
    line = [("write", True), ("fsync", True)]
    journal = Journal.create(tmp_path / f"a{SUFFIX}", HEAD)
    assert happened == [*line, ("fsync", False)], "the head, then the folder's entry"
    for act in (
        lambda: journal.append("pose", counts(1), at="t", t_s=1.0),
        journal.undo,
        lambda: journal.done("good"),
    ):
        happened.clear()
        act()
        assert happened == line, f"{happened}"
    journal.close()
