"""The guided sessions without a terminal: what is asked, what is shown, what is kept, what is taken back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agent.calibrating import accel_run, load_run
from agent.calibrating.feed import Chunk
from agent.calibrating.sketch import box_rows, side_words, turned
from agent.errors import UsageError
from calibration.journal import Journal
from calibration.session import read_session
from tests.commands.calibrating import (
    Stage,
    accel_guide,
    accel_head,
    journal_at,
    load_guide,
    load_head,
    play,
    play_until,
    text_of,
    waits,
)

# --- accelerometer ---


def test_the_first_pose_is_taken_as_the_box_lies_and_the_next_one_is_shown(tmp_path: Path) -> None:
    stage = Stage("accel")
    with journal_at(tmp_path, accel_head(stage)) as journal:
        guide = accel_guide(stage, journal)
        assert not waits(guide), "nothing has been seen yet"
        happened = play(guide, stage, 4)
        assert any("Pose 1 is taken" in line and "TOP up" in line for line in happened), happened
        assert len(journal.steps) == 1
        assert waits(guide)
        shown = text_of(guide.view())
    assert "as it lies now" in shown
    assert "Enter: the virtual hand lays it down with" in shown
    assert "✓ 1  TOP up" in shown
    assert "moving" in shown
    assert "2.0 of 2.0 s" in shown


def test_a_whole_session_ends_good_and_near_the_hidden_truth(tmp_path: Path) -> None:
    stage = Stage("accel", seed=5)
    with journal_at(tmp_path, accel_head(stage)) as journal:
        guide = accel_guide(stage, journal)
        play_until(guide, stage, 10, journal)
        for _ in range(60):
            if guide.session.good_enough:
                break
            play_until(guide, stage, len(journal.steps) + 1, journal)
        assert "Good enough" in text_of(guide.view())
        guide.press("enter")
        assert guide.over()
        path = journal.path
    outcome = accel_run.judge_session(read_session(path))
    assert outcome.good, outcome
    assert outcome.certificate is not None
    found = accel_run.compared(outcome.certificate, stage.bench.truth.accel.errors)
    assert found["worst_after_mg"] < 1.0, found
    assert found["worst_before_mg"] > 20.0, found
    again = accel_run.judge_session(read_session(path))
    assert again.certificate is not None
    assert again.certificate.gain == outcome.certificate.gain, "fitted again, it is the same"


def test_a_pose_is_taken_back_in_the_journal_too(tmp_path: Path) -> None:
    stage = Stage("accel")
    with journal_at(tmp_path, accel_head(stage)) as journal:
        guide = accel_guide(stage, journal)
        play_until(guide, stage, 3, journal)
        last = journal.steps[-1].number
        assert "taken back" in guide.press("u")[0]
        assert len(guide.session.poses) == len(journal.steps) == 2
        assert "▶ 3  " in text_of(guide.view()), "it is wanted again"
        play_until(guide, stage, 3, journal)
        path = journal.path
    assert [s.number for s in read_session(path).steps] == [1, 2, last + 1]
    with Journal.resume(path) as journal:
        guide = accel_guide(stage, journal)
        for _ in range(3):
            assert guide.press("u")
        assert guide.press("u") == []
        assert "no pose to take back" in text_of(guide.view())


def test_it_goes_on_where_it_was_and_refuses_the_same_pose_again(tmp_path: Path) -> None:
    stage = Stage("accel")
    with journal_at(tmp_path, accel_head(stage)) as journal:
        play_until(accel_guide(stage, journal), stage, 4, journal)
        path = journal.path
    with Journal.resume(path) as journal:
        guide = accel_guide(stage, journal)
        assert len(guide.session.poses) == 4
        assert "Goes on with 4 poses" in text_of(guide.view())
        happened = play(guide, stage, 4)
        assert any("nearly pose 4 again" in line for line in happened), happened
        assert len(journal.steps) == 4
        play_until(guide, stage, 5, journal)
    session = read_session(path)
    means = [session.head.values(step).mean(axis=0) for step in session.steps]
    steps = [len(step.raw) for step in session.steps]
    assert all(1500 <= n <= 2000 for n in steps), f"about two seconds a pose: {steps}"
    scatter = [float(session.head.values(step).std(axis=0).max()) for step in session.steps]
    assert max(scatter) < 0.05, f"the very samples that were judged, and no turn: {scatter}"
    assert all(8.5 < float(np.linalg.norm(m)) < 11.1 for m in means)


def test_a_cable_that_was_pulled_ends_no_session(tmp_path: Path) -> None:
    stage = Stage("accel")
    with journal_at(tmp_path, accel_head(stage)) as journal:
        guide = accel_guide(stage, journal)
        play_until(guide, stage, 2, journal)
        assert "look after the cable" in text_of(guide.view("Nothing has come: look after the cable."))
        later = [Chunk(c.t_s + 1000.0, c.raw, c.values, True) for c in stage.second()]
        for chunk in later:
            guide.take(chunk, None)
        assert len(guide.session.poses) == 2
        assert len(journal.steps) == 2


def test_no_keys_any_more(tmp_path: Path) -> None:
    stage = Stage("accel")
    with journal_at(tmp_path, accel_head(stage)) as journal:
        assert not accel_guide(stage, journal).alone(), "a virtual hand needs somebody's Enter"


# --- load cells ---


def test_a_load_session_from_nothing_to_a_verdict(tmp_path: Path) -> None:
    stage = Stage("load", seed=2)
    with journal_at(tmp_path, load_head(stage, (10.0, 20.0))) as journal:
        guide = load_guide(stage, journal)
        play(guide, stage, 1)
        first = text_of(guide.view())
        assert "Take everything off the plate" in first
        assert "fl" in first
        wanted = len(guide.session.plan())
        play_until(guide, stage, wanted, journal)
        assert "All is done" in text_of(guide.view())
        guide.press("enter")
        assert guide.over()
        path = journal.path
    outcome = load_run.judge_session(read_session(path))
    assert outcome.certificate is not None, outcome
    assert outcome.good, outcome
    found = load_run.compared(outcome.certificate, stage.bench.truth.load, (10.0, 20.0))
    assert found["worst_after_g"] < found["stated_g"], found
    assert found["worst_before_g"] > 300, found
    assert outcome.certificate.capacity == 200.0
    assert outcome.certificate.verification_interval == 0.1


def test_a_refused_step_is_told_why_is_not_kept_and_is_asked_again(tmp_path: Path) -> None:
    stage = Stage("load")
    with journal_at(tmp_path, load_head(stage)) as journal:
        guide = load_guide(stage, journal, by_hand=True)
        play_until(guide, stage, 1, journal)
        guide.press("enter")  # and has put nothing on
        happened = play(guide, stage, 8)
        assert any("Not taken" in line and "at least 1 %" in line for line in happened), happened
        assert len(journal.steps) == 1
        assert "Put 20 kg in the centre" in text_of(guide.view())
        stage.put(20.0)
        play_until(guide, stage, 2, journal)


def test_unsteady_readings_are_waited_for_and_then_refused(tmp_path: Path) -> None:
    stage = Stage("load")
    with journal_at(tmp_path, load_head(stage)) as journal:
        guide = load_guide(stage, journal, by_hand=True)
        play(guide, stage, 1)
        guide.press("enter")
        happened: list[str] = []
        for _ in range(40):
            for chunk in stage.second():
                swing = 0.5 * np.sin(2 * np.pi * 0.4 * (chunk.t_s + np.arange(len(chunk.raw)) / 80.0))
                values = chunk.values + swing[:, None]
                raw = np.round(values / stage.spec.scale).astype(np.int32)
                happened += guide.take(Chunk(chunk.t_s, raw, values), None)
            if happened:
                break
        else:
            raise AssertionError("it waits for ever")
        assert chunk.t_s > 25, f"given up after {chunk.t_s} s"
        assert "unsteady" in happened[0], happened
        assert not journal.steps


def test_a_step_is_broken_off_and_one_is_taken_back(tmp_path: Path) -> None:
    stage = Stage("load")
    with journal_at(tmp_path, load_head(stage)) as journal:
        guide = load_guide(stage, journal)
        play_until(guide, stage, 2, journal)
        guide.press("enter")
        assert not waits(guide)
        assert "Broken off" in guide.press("u")[0]
        assert waits(guide)
        assert len(journal.steps) == 2
        assert "Taken back: 20 kg in the centre" in guide.press("u")[0]
        assert [step.kind for step in journal.steps] == ["zero"]
        path = journal.path
    with Journal.resume(path) as journal:
        guide = load_guide(stage, journal)
        assert "Goes on with 1 step" in text_of(guide.view())
        assert "Put 20 kg in the centre" in text_of(guide.view())


# --- what is drawn ---


@pytest.mark.parametrize(
    ("up", "words"),
    [
        ((0.0, 0.0, 1.0), "TOP up"),
        ((0.05, -0.99, 0.1), "RIGHT up"),
        ((0.7, 0.7, 0.0), "the edge of FRONT and LEFT up"),
        ((-0.58, 0.57, -0.57), "the corner of BOTTOM, BACK and LEFT up"),
    ],
)
def test_words_and_sketch_tell_the_same(up: tuple[float, float, float], words: str) -> None:
    assert side_words(up) == words
    upward = turned(up) @ np.array(up)
    np.testing.assert_allclose(upward / np.linalg.norm(upward), (0, 0, 1), atol=1e-9)
    drawn = "\n".join(box_rows(up))
    for name in (
        words.removesuffix(" up").replace("the edge of ", "").replace("the corner of ", "").split(" and ")
    ):
        for part in name.split(", "):
            assert part in drawn, f"{part} looks upwards and is not to be seen:\n{drawn}"


def test_it_fits_where_there_is_little_room_and_no_unicode(tmp_path: Path) -> None:
    stage = Stage("accel")
    with journal_at(tmp_path, accel_head(stage)) as journal:
        guide = accel_guide(stage, journal)
        play_until(guide, stage, 2, journal)
        for width, height in ((100, 35), (79, 24), (59, 18), (40, 12)):
            for unicode in (True, False):
                text = text_of(guide.view("Nothing comes."), width, height, unicode=unicode)
                rows = text.split("\n")
                assert len(rows) <= height, f"{len(rows)} rows of {height}"
                assert max(map(len, rows)) <= width, f"{max(map(len, rows))} columns of {width}"
                assert "Enter: the virtual hand" in text.replace("\n", " ")
                assert "Nothing comes." in text


def test_masses_in_grams_are_refused_before_anything_is_put_on() -> None:
    spec = Stage("load", seed=1).spec
    for grams in ((10_000.0,), (10.0, 20_000.0)):
        with pytest.raises(UsageError, match="not in grams"):
            load_run.settings_of(load_run.LoadSettings(capacity_kg=50.0, masses_kg=grams), spec)
