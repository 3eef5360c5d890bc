"""Indices through holes, wraps and nonsense."""

from __future__ import annotations

from firmware_bridge.continuity import SUSPECTS_MOST, Continuity, Place
from firmware_bridge.describe import BoardStream

STREAM = BoardStream("accel", ("x",), "mps2", 1.0, 1000.0, 16, None)
MS = 1_000_000


def begun(*, counts_from_zero: bool = True) -> Continuity:
    it = Continuity(STREAM)
    it.begin_session(reason="cable", counts_from_zero=counts_from_zero)
    return it


def test_frames_without_a_hole() -> None:
    it = begun()
    assert it.place(0, 3, 0) == Place(0, "")
    assert it.place(3, 3, 3 * MS) == Place(3, "")
    assert it.lost == 0


def test_a_hole_with_and_without_a_missing_sequence_number() -> None:
    it = begun()
    it.place(0, 3, 0)
    assert it.place(6, 3, 6 * MS, "cable") == Place(6, "cable")
    assert it.place(12, 3, 12 * MS) == Place(12, "overflow")
    assert it.lost == 6


def test_the_first_frames_of_a_session_may_be_missing_too() -> None:
    assert begun().place(6, 3, 6 * MS, "cable") == Place(6, "cable")
    assert begun(counts_from_zero=False).place(9000, 3, 6 * MS) == Place(0, "")


def test_an_index_wraps() -> None:
    it = begun(counts_from_zero=False)
    it.place(2**32 - 2, 2, 0)
    assert it.place(0, 2, 2 * MS) == Place(2, "")
    assert it.place(2, 2, 4 * MS) == Place(4, "")


def test_a_frame_of_a_time_past_is_dropped() -> None:
    it = begun()
    it.place(0, 3, 0)
    assert it.place(0, 3, 0) is None
    assert it.rejected == 1


def test_a_new_session_jumps_by_the_time_that_was_lost() -> None:
    it = begun()
    it.place(0, 10, 0)
    it.begin_session(reason="reboot", counts_from_zero=True)
    assert it.place(0, 3, 1010 * MS + 300_000) == Place(1010, "reboot")
    assert it.place(3, 3, 1013 * MS) == Place(1013, "")
    it.begin_session(reason="reboot", counts_from_zero=True)
    assert it.place(0, 3, 1015 * MS) == Place(1016, ""), "a clock that is a little early is no way back"


def test_an_index_that_contradicts_the_ticks_is_not_believed_at_once() -> None:
    it = begun()
    it.place(0, 3, 0)
    assert it.place(2_000_000, 3, 3 * MS) is None, "a damaged frame that passed its CRC"
    assert it.place(3, 3, 3 * MS) == Place(3, "")


def test_a_sensor_that_really_paused_is_believed_at_the_second_frame() -> None:
    it = begun()
    it.place(0, 3, 0)
    assert it.place(3, 3, 60_000 * MS) is None
    assert it.place(6, 3, 60_003 * MS) == Place(6, "overflow")
    assert it.place(9, 3, 60_006 * MS) == Place(9, "")


def test_two_frames_of_nonsense_in_a_row_are_not_believed_either() -> None:
    it = begun()
    it.place(0, 3, 0)
    assert it.place(2_000_000, 3, 3 * MS) is None
    assert it.place(1_500_000_000, 3, 3 * MS) is None, "49 days of samples that were never missing"
    assert it.place(3, 3, 3 * MS) == Place(3, "")
    assert it.lost == 0


def test_a_board_gone_mad_is_believed_in_the_end_rather_than_never_heard_again() -> None:
    it = begun()
    it.place(0, 3, 0)
    placed = [it.place(10_000 * 4**n, 3, 3 * MS) for n in range(SUSPECTS_MOST + 1)]
    assert placed[:-1] == [None] * SUSPECTS_MOST
    assert placed[-1] is not None


def test_what_was_odd_in_one_session_says_nothing_in_the_next() -> None:
    it = begun()
    it.place(0, 3, 0)
    assert it.place(2_000_000, 3, 3 * MS) is None
    it.begin_session(reason="reboot", counts_from_zero=True)
    assert it.place(0, 3, 10 * MS) == Place(10, "reboot")
    assert it.place(2_000_003, 3, 6 * MS) is None


def test_what_is_missing_after_a_reboot_is_told_by_the_better_time() -> None:
    it = begun()
    it.place(0, 10, 50 * MS)  # its ticks were read 50 ms late
    it.settle(10 * MS)
    it.begin_session(reason="reboot", counts_from_zero=True)
    assert it.place(0, 3, 1010 * MS) == Place(1010, "reboot")


def test_a_pause_is_not_settled_away() -> None:
    it = begun()
    it.place(0, 3, 0)
    it.place(3, 3, 60_000 * MS)
    for n in range(2, 6):
        assert it.place(3 * n, 3, (60_000 + 3 * n) * MS) is not None, f"frame {n}"
        it.settle(3 * (n + 1) * MS)
