"""Frames in their order, against a board that keeps the last few and a cable that loses many."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from firmware_bridge.refill import (
    CABLE,
    FIRST_WAIT_NS,
    HELD_MOST,
    OVERFLOW,
    PATIENCE_NS,
    SEQ_WRAP,
    WAIT_MAX_NS,
    WAIT_MIN_NS,
    AnswerTime,
    FrameOrder,
    Ready,
)

RING_FRAMES = 40
MS = 1_000_000
LOSSES = st.lists(st.booleans(), max_size=30)


class Refilled(RuleBasedStateMachine):
    """The board's frames are whole numbers that never wrap; each says itself."""

    @initialize(first=st.sampled_from([0, 1, SEQ_WRAP - 10, SEQ_WRAP // 2 - 10]), known=st.booleans())
    def begin(self, first: int, known: bool) -> None:
        self.answer_time = AnswerTime()
        self.order: FrameOrder[int] = FrameOrder(self.answer_time)
        self.order.begin(first % SEQ_WRAP if known else None)
        self.now_ns = 1_000_000_000
        self.made = self.left = self.first = first  # frames before `left` have left the board, or never will
        self.never_left: set[int] = set()
        self.never_left_end = first
        self.given: list[Ready[int]] = []
        self.may_miss_before = first  # frames before this are told by the board to be gone
        self.known_at: dict[int, int] = {}  # frame → when the host could know that it exists
        self.known_end = first
        self.expired: set[int] = set()
        self.asked_at: dict[int, int] = {}  # frame → when the host asked for it last, with no answer since
        if not known:
            self.make(1, [])  # the first that comes is where the host begins

    # --- the board ---

    @property
    def oldest(self) -> int:
        return max(self.first, self.made - RING_FRAMES)

    def come(self, number: int) -> None:
        """A frame reaches the host."""
        self.know(number + 1)
        self.give(self.order.take(number % SEQ_WRAP, number, self.now_ns))

    def know(self, end: int) -> None:
        for number in range(self.known_end, end):
            self.known_at[number] = self.now_ns
        self.known_end = max(self.known_end, end)

    @rule(count=st.integers(1, 30), losses=LOSSES)
    def make(self, count: int, losses: list[bool]) -> None:
        """Frames are made, and all that wait leave; some are lost."""
        self.made += count
        for lost, number in itertools.zip_longest(losses, range(self.left, self.made)):
            if number is not None and number >= self.oldest and not lost:
                self.come(number)
        self.left = self.made

    @rule(count=st.integers(1, 2 * RING_FRAMES))
    def stall(self, count: int) -> None:
        """Frames are made, and the cable takes none: the ring may run over."""
        self.made += count
        if self.left < self.oldest:
            self.never_left.update(range(self.left, self.oldest))
            self.left = self.never_left_end = self.oldest

    @precondition(lambda self: self.left == self.made)
    @rule()
    def tell(self) -> None:
        self.know(self.made)
        self.order.heard_of(self.made % SEQ_WRAP, self.now_ns)
        assert self.order.waiting or self.order.complete_to(self.made % SEQ_WRAP)

    @rule(room=st.integers(0, 12), losses=LOSSES, request_lost=st.booleans(), answer_lost=st.booleans())
    def ask(self, room: int, losses: list[bool], request_lost: bool, answer_lost: bool) -> None:
        asked = self.order.ask(self.now_ns)
        if asked is None:
            return
        assert self.order.waiting
        first = self.whole(asked[0])
        for number in range(first, min(first + asked[1], self.made)):
            since_ns = self.now_ns - self.asked_at.get(number, -WAIT_MAX_NS)
            assert since_ns >= self.answer_time.wait_ns, f"asked for {number} again after {since_ns} ns"
            self.asked_at[number] = self.now_ns
        if not request_lost:
            self.refill(first, asked[1], room, losses, answer_lost)

    def refill(self, first: int, count: int, room: int, losses: list[bool], answer_lost: bool) -> None:
        """Do what the board does: what waits leaves first, then what is sent again, then the answer."""
        self.make(0, [])
        end = min(first + count, self.made)
        done = max(first, min(self.oldest, end))
        again = range(done, max(done, min(end, done + room)))
        for lost, number in itertools.zip_longest(losses, again):
            if number is not None and not lost:
                self.come(number)
        done = again.stop
        if answer_lost:
            return
        self.asked_at.clear()
        self.may_miss_before = max(self.may_miss_before, self.oldest)
        told = (
            first,
            self.oldest,
            self.made,
            done,
            self.never_left_end if self.never_left else self.made - SEQ_WRAP // 2,
        )
        self.give(self.order.answered(*(n % SEQ_WRAP for n in told)))

    @precondition(lambda self: self.left == self.made)
    @rule(ahead=st.integers(200, SEQ_WRAP // 2 - 200), told=st.booleans())
    def damage_that_passes(self, ahead: int, told: bool) -> None:
        """A number far ahead appears; the next answer shows that there is no such frame."""
        if told:
            self.order.heard_of((self.made + ahead) % SEQ_WRAP, self.now_ns)
        else:
            self.give(self.order.take((self.made + ahead) % SEQ_WRAP, -1, self.now_ns))
        asked = self.order.ask(self.now_ns)
        assert asked is not None
        self.refill(self.whole(asked[0]), asked[1], 12, [], answer_lost=False)

    @rule(ms=st.integers(1, 300))
    def wait(self, ms: int) -> None:
        self.now_ns += ms * MS
        late = [n for n, at in self.known_at.items() if self.now_ns - at >= PATIENCE_NS]
        self.expired.update(late)
        self.give(self.order.expire(self.now_ns))

    # --- what the host makes of it ---

    def whole(self, seq: int) -> int:
        half = SEQ_WRAP // 2
        return self.made + (seq - self.made + half) % SEQ_WRAP - half

    def give(self, ready: list[Ready[int]]) -> None:
        for one in ready:
            assert one.frame >= 0, "damage was given out"
            assert one.seq == one.frame % SEQ_WRAP
            expected = self.given[-1].frame + 1 if self.given else self.first
            assert one.frame >= expected, f"{one.frame} after {expected - 1}"
            missing = range(expected, one.frame)
            needless = [n for n in missing if n >= self.may_miss_before and n not in self.expired]
            assert not needless, f"{needless} could still be had"
            assert bool(one.missing_reason) == bool(missing), f"{list(missing)}: {one.missing_reason!r}"
            if missing and not self.expired:
                if self.never_left.issuperset(missing) and missing[-1] < self.never_left_end:
                    assert one.missing_reason == OVERFLOW, f"{list(missing)} never left"
                if missing[0] >= self.never_left_end:
                    assert one.missing_reason == CABLE, f"{list(missing)} had left"
            self.given.append(one)

    @rule()
    def settle(self) -> None:
        """The cable is whole for a while."""
        self.make(1, [])
        self.tell()
        for _ in range(3 * RING_FRAMES):
            if not self.order.waiting:
                break
            self.now_ns += self.answer_time.wait_ns
            self.ask(12, [], request_lost=False, answer_lost=False)
        assert self.order.complete_to(self.made % SEQ_WRAP), "a whole cable brings all that is still there"
        assert self.order.flush() == []


TestRefilled = Refilled.TestCase
TestRefilled.settings = settings(
    max_examples=200, stateful_step_count=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def order_after(*seqs: int, now_ns: int = 0) -> FrameOrder[int]:
    """Return the order of a stream of which these frames came, from 0 on."""
    order: FrameOrder[int] = FrameOrder(AnswerTime())
    order.begin(0)
    for seq in seqs:
        order.take(seq, seq, now_ns)
    return order


def test_after_a_silence_longer_than_the_numbers_last_any_number_goes() -> None:
    order = order_after(0, 1, 3)
    assert [r.frame for r in order.flush()] == [3], "what was held back is not lost with the hole"
    order.begin(None)
    order.heard_of(40_000, 0)  # nothing is known to be missing before the first frame came
    assert not order.waiting
    assert not order.complete_to(40_000)
    assert [r.frame for r in order.take(39_000, 39_000, 0)] == [39_000]


def test_two_holes_that_are_gone_keep_a_reason_each() -> None:
    order = order_after(0, 2, 4)
    assert order.ask(0) == (1, 1)
    ready = order.answered(first=1, oldest=4, upcoming=5, done=2, never_left=2)
    assert [(r.frame, r.missing_reason) for r in ready] == [(2, OVERFLOW), (4, CABLE)]


def test_what_found_no_room_is_asked_for_at_once() -> None:
    order = order_after(0, 9)
    assert order.ask(0) == (1, 8)
    order.take(1, 1, 0)
    order.take(2, 2, 0)
    order.answered(first=1, oldest=0, upcoming=10, done=3, never_left=10 + SEQ_WRAP // 2)
    assert order.ask(0) == (3, 6)
    order.answered(first=3, oldest=0, upcoming=10, done=3, never_left=10 + SEQ_WRAP // 2)
    assert order.ask(0) is None, "a board without any room is not asked again at once"


def test_patience_ends_and_not_before() -> None:
    order = order_after(0, 2, now_ns=5)
    assert order.expire(5 + PATIENCE_NS - 1) == []
    assert [(r.frame, r.missing_reason) for r in order.expire(5 + PATIENCE_NS)] == [(2, CABLE)]


def test_a_board_that_tells_of_less_than_came_is_believed() -> None:
    order = order_after(0, 20_000)
    order.expire(PATIENCE_NS)  # no answer ever came: the damage was taken for a frame
    order.heard_of(1, PATIENCE_NS)
    assert [r.frame for r in order.take(1, 1, PATIENCE_NS)] == [1]


def test_no_more_is_held_back_than_fits() -> None:
    order = order_after(0)
    given = [r for seq in range(2, HELD_MOST + 3) for r in order.take(seq, seq, 0)]
    assert (given[0].frame, given[0].missing_reason, len(given)) == (2, CABLE, HELD_MOST + 1)


@pytest.mark.parametrize("answer_ms", [1, 3, 30, 200, 2000])
def test_the_wait_follows_the_answers(answer_ms: int) -> None:
    answer_time = AnswerTime()
    assert answer_time.wait_ns == FIRST_WAIT_NS
    for _ in range(50):
        answer_time.took(answer_ms * MS)
    assert WAIT_MIN_NS <= answer_time.wait_ns <= WAIT_MAX_NS
    assert answer_time.wait_ns >= min(answer_ms * MS, WAIT_MAX_NS), f"{answer_time.wait_ns} ns"
    order: FrameOrder[int] = FrameOrder(answer_time)
    order.begin(0)
    order.take(1, 1, 0)
    assert order.ask(7) == (0, 1)
    assert order.due_ns() == 7 + answer_time.wait_ns
    assert order.ask(6 + answer_time.wait_ns) is None
    assert order.ask(7 + answer_time.wait_ns) == (0, 1)
