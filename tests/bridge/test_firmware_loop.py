"""The firmware's own source over a board of a few lines: what takes too long, or luck, on the real one."""

from __future__ import annotations

import itertools
import json
import struct
from collections import Counter

import pytest

from firmware_bridge import wire
from firmware_bridge.describe import parse_description
from firmware_bridge.outputs import authorise
from firmware_bridge.status import Counters
from tests.bridge.fake_board import KEY, TURN_US, FakeBoard, FakeLauncher, PowerOff, make, run

START = wire.command(1, wire.DO_START)
STOP = wire.command(2, wire.DO_STOP)
SESSION = 0xFFFFFFFF  # of the first start: what the board's chance gave, made odd
FRAME_BYTES = 13 + 3 * 2 + 1 + wire.FRAME_EXTRA_BYTES  # three samples of two bytes
NONE_SINCE = 0x8000  # a "never left" that much before the next frame says that all left


def started(turns: int, ticks_us: int = 0) -> FakeBoard:
    board = FakeBoard(turns, ticks_us)
    board.hear(0, START)
    return board


def headers(board: FakeBoard) -> list[tuple[int, ...]]:
    """Return (kind, stream, sequence, index, ticks, count) of each data frame."""
    return [struct.unpack_from(wire.DATA_HEADER, f) for f in board.frames(wire.DATA)]


def describe(board: FakeBoard) -> dict[str, object]:
    about: dict[str, object] = json.loads(bytes(board.frames(wire.DESCRIBE)[-1][2:]))
    return about


def ask_again(ident: int, first: int, count: int, stream: int = 0) -> bytes:
    return wire.command(ident, wire.DO_REFILL, struct.pack(wire.REFILL_ARGUMENTS, stream, first, count))


def refilled(board: FakeBoard) -> list[tuple[int, ...]]:
    """Return (oldest, upcoming, done, never left) of each answer."""
    return [struct.unpack(wire.REFILLED, told) for _, _, told in board.answers(wire.DO_REFILL)]


# --- samples ---


def test_every_sample_leaves_in_the_turn_that_finds_it() -> None:
    board = started(100)
    run(board)
    told = headers(board)
    assert [h[2] for h in told] == list(range(len(told))), "sequence numbers without a hole"
    assert [h[3] for h in told] == [3 * i for i in range(len(told))], "three samples a turn"
    assert told[-1][3] + told[-1][5] == board.sampled, "nothing waits for another turn"


@pytest.mark.parametrize("index", [2**30 - 100, 2**31 - 100, 2**32 - 100])
def test_an_index_that_outgrows_small_integers_goes_on_and_wraps(index: int) -> None:
    board = started(100)
    firmware = make(board)

    def age() -> None:
        firmware.index[0] = index
        firmware.seq[0] = 0xFFF0

    board.on_turn[10] = age
    with pytest.raises(PowerOff):
        firmware.run()
    told = headers(board)[9:]  # the start comes in turn 0, the first samples in turn 1
    assert [h[3] for h in told] == [(index + 3 * i) % 2**32 for i in range(len(told))]
    assert [h[2] for h in told] == [(0xFFF0 + i) % 2**16 for i in range(len(told))]


def test_ticks_that_wrap_are_told_as_they_are() -> None:
    board = started(100, ticks_us=2**32 - 100_000)
    run(board)
    ticks = [h[4] for h in headers(board)]
    assert {(b - a) % 2**32 for a, b in itertools.pairwise(ticks)} == {TURN_US}
    assert min(ticks) < 100_000 and max(ticks) > 2**32 - 100_000


def test_what_the_host_does_not_read_in_time_is_counted() -> None:
    board = started(2500)
    board.on_turn[200] = lambda: setattr(board, "takes", 100)  # and not on the border of a frame
    board.on_turn[1900] = lambda: setattr(board, "takes", 1 << 30)
    board.hear(1901, ask_again(5, 0, 60))
    run(board)
    sequences = [h[2] for h in headers(board)]
    assert sequences == sorted(sequences), "no frame before its turn"
    lost = sequences[-1] + 1 - len(sequences)
    held = board.ring_bytes // (FRAME_BYTES + 6)
    stalled = 1700
    assert stalled - held - 20 <= lost <= stalled - held + 20, f"{lost} frames lost, {held} fit the ring"
    assert sum(b != a + 1 for a, b in itertools.pairwise(sequences)) == 1, "one hole"
    counters = Counters()
    counters.take_status(board.frames(wire.STATUS)[-1])
    assert counters.ring_lost == [3 * lost] and counters.board_stalls > 1600
    # the frame that was cut off by the stall is damage, and the one behind it is not
    damaged = len(board.pieces()) - sum(len(board.frames(kind)) for kind in range(1, 8))
    assert damaged == 1
    (oldest, upcoming, done, never_left), *_ = refilled(board)
    first_again = next(b for a, b in itertools.pairwise(sequences) if b != a + 1)
    assert never_left == first_again, "what never left ends where frames go on"
    assert (done, upcoming) == (60, 1900) and upcoming - held - 5 <= oldest


# --- frames sent again ---


def test_frames_are_sent_again_byte_for_byte_before_the_answer() -> None:
    board = started(60)
    board.hear(40, ask_again(7, 10, 3))
    run(board)
    copies = Counter(piece for piece in board.pieces() if wire.unseal(piece)[0] == wire.DATA)
    again = [wire.unseal(piece) for piece, count in copies.items() if count == 2]
    assert [struct.unpack_from(wire.DATA_HEADER, f)[2] for f in again] == [10, 11, 12]
    kinds = [(b[0], b[2] | b[3] << 8) for b in map(wire.unseal, board.pieces())]
    at = next(n for n, kind in enumerate(kinds) if kind[0] == wire.RESPONSE and kind[1] == wire.DO_REFILL)
    assert kinds[at - 3 : at] == [(wire.DATA, seq) for seq in (10, 11, 12)]
    assert refilled(board) == [(0, 39, 13, (39 - NONE_SINCE) % 2**16)]


def test_frames_that_find_no_room_are_had_by_asking_on() -> None:
    board = started(300)
    first = 20
    for turn in range(250, 290):
        board.on_turn[turn] = lambda: board.inbox.extend(
            ask_again(9, refilled(board)[-1][2] if refilled(board) else first, 200)
        )
    run(board)
    dones = [done for _, _, done, _ in refilled(board)]
    assert dones[0] < first + 200, "an answer has room for some"
    assert all(a < b or a >= 250 for a, b in itertools.pairwise(dones)), dones
    counts = Counter(h[2] for h in headers(board))
    assert all(counts[seq] == 2 for seq in range(first, 250)), "each came again once"


@pytest.mark.parametrize(
    ("first", "count", "done"),
    [(0, 5, 5), (0, 2000, 1000), (1000, 1, 1000), (1010, 5, 1010), (0, 0, 0)],
    ids=["gone", "partly gone", "not made yet", "far ahead", "none"],
)
def test_what_is_gone_or_not_made_is_dealt_with_at_once(first: int, count: int, done: int) -> None:
    board = started(1100)
    board.hear(1001, ask_again(7, first, count))
    run(board)
    oldest, upcoming, told, _ = refilled(board)[0]
    assert upcoming == 1000
    held = board.ring_bytes // (FRAME_BYTES + 6)
    assert 1000 - held - 2 <= oldest <= 1000 - held + 2, f"{1000 - oldest} of {held} frames held"
    assert told == done if count < 2000 else oldest < told <= done, (told, oldest)


@pytest.mark.parametrize(
    "arguments", [b"", b"\0" * 4, b"\0" * 6, struct.pack(wire.REFILL_ARGUMENTS, 1, 0, 1)], ids=len
)
def test_arguments_that_make_no_sense_are_refused(arguments: bytes) -> None:
    board = started(60)
    board.hear(40, wire.command(7, wire.DO_REFILL, arguments))
    run(board)
    assert board.answers(wire.DO_REFILL) == [(7, wire.BAD_ARGUMENTS, b"")]


def test_the_host_is_told_how_far_all_has_come_only_once_it_has_left() -> None:
    board = started(400)
    board.on_turn[100] = lambda: setattr(board, "takes", 0)
    board.on_turn[150] = lambda: setattr(board, "takes", 1 << 30)
    run(board)
    seen = -1
    told_at = []
    for body in map(wire.unseal, board.pieces()):
        if body[0] == wire.DATA:
            seen = struct.unpack_from(wire.DATA_HEADER, body)[2]
        elif body[0] == wire.REFILL:
            _, ticks, upcoming = struct.unpack("<BIH", body)
            assert upcoming == seen + 1, "told of frames that had not left"
            told_at.append(ticks)
    gaps_us = [b - a for a, b in itertools.pairwise(told_at)]
    assert sorted(set(gaps_us))[0] == 9 * TURN_US, "the first turn after 25 ms"
    assert len(told_at) >= 350 * TURN_US // 28_000, f"{len(told_at)} times"
    assert max(gaps_us) <= 60 * TURN_US, "only the stall keeps it silent"


# --- outputs ---


def move(ident: int, counter: int, value: int = 65535, key: bytes = KEY, session: int = SESSION) -> bytes:
    return wire.command(ident, wire.DO_OUTPUT, authorise(key, session, counter, 0, value))


def test_an_output_moves_for_who_holds_the_key() -> None:
    board = started(100)
    board.hear(10, move(1, counter=5, value=40_000))
    run(board)
    assert board.moved == [(0, 40_000)]
    assert board.answers(wire.DO_OUTPUT) == [(1, wire.OK, struct.pack("<I", 5))]


def test_an_output_does_not_move_for_anyone_else() -> None:
    board = started(200)
    board.hear(10, move(1, counter=5))
    spoilt = bytearray(authorise(KEY, SESSION, 6, 0, 1))
    spoilt[1] ^= 1  # another value than was signed
    refused = {
        20: move(2, counter=5),  # said again
        30: move(3, counter=4),
        40: move(4, counter=9, key=b"another key"),
        50: move(5, counter=9, session=SESSION - 2),
        60: wire.command(6, wire.DO_OUTPUT, bytes(spoilt)),
        70: wire.command(7, wire.DO_OUTPUT, authorise(KEY, SESSION, 9, 0, 1)[:-1]),
        80: STOP + move(8, counter=9) + move(9, counter=9, session=0),
    }
    for turn, frame in refused.items():
        board.hear(turn, frame)
    board.hear(90, START + move(10, counter=9) + move(11, counter=1, session=1))
    run(board)
    assert board.moved == [(0, 65535), (0, 65535)], "the first, and the new session's"
    results = {ident: result for ident, result, _ in board.answers(wire.DO_OUTPUT)}
    assert results.pop(7) == wire.BAD_ARGUMENTS
    assert results.pop(1) == results.pop(11) == wire.OK
    assert set(results.values()) == {wire.NOT_AUTHORISED} and len(results) == 8
    assert all(
        told == struct.pack("<I", 5) for ident, _, told in board.answers(wire.DO_OUTPUT) if ident in (2, 3)
    )


def test_a_board_without_a_key_never_moves_an_output() -> None:
    board = started(100)
    board.output_key = b""
    board.hear(10, move(1, counter=1, key=b""))
    run(board)
    assert board.moved == [] and board.answers(wire.DO_OUTPUT)[0][1] == wire.NOT_AUTHORISED


def test_an_output_that_is_not_there_is_a_failure() -> None:
    board = started(100)
    board.hear(10, wire.command(3, wire.DO_OUTPUT, authorise(KEY, SESSION, 1, 4, 1)))
    run(board)
    assert board.answers(wire.DO_OUTPUT)[0][:2] == (3, wire.FAILED)


def test_outputs_are_safe_after_a_stop() -> None:
    board = started(100)
    board.hear(50, STOP)
    run(board)
    assert board.safe == 1


@pytest.mark.parametrize("ticks_us", [0, 2**32 - 2_000_000], ids=["early", "across the wrap of the ticks"])
def test_a_host_that_goes_quiet_is_noticed_once(ticks_us: int) -> None:
    board = started(4000, ticks_us)

    def look() -> None:
        assert board.safe == 0, "safe before the host had been quiet for 5 s"

    board.on_turn[1650] = look
    run(board)
    assert board.safe == 1
    assert any(b"host quiet" in f for f in board.frames(wire.LOG))


def test_pings_keep_the_outputs_alive() -> None:
    board = started(4000)
    for turn in range(1000, 4000, 1000):
        board.hear(turn, wire.command(2, wire.DO_PING))
    run(board)
    assert board.safe == 0 and board.frames(wire.LOG) == []
    assert struct.unpack(wire.PONG, board.answers(wire.DO_PING)[-1][2])[2] == SESSION


# --- the launcher, faults, and what is no command ---


@pytest.mark.parametrize("trial", [False, True])
def test_a_program_on_trial_says_so_and_is_kept_when_told(trial: bool) -> None:
    board, launcher = FakeBoard(50), FakeLauncher()
    launcher.trial, launcher.slot = trial, "b"
    board.hear(10, wire.command(4, wire.DO_KEEP))
    run(board, launcher)
    assert launcher.kept == 1 and board.answers(wire.DO_KEEP) == [(4, wire.OK, b"")]
    description = parse_description(board.frames(wire.DESCRIBE)[0], "port")
    assert (description.trial, description.slot, description.outputs) == (trial, "b", ("heater",))


def test_a_launcher_that_cannot_keep_it_says_why() -> None:
    board, launcher = FakeBoard(50), FakeLauncher()
    launcher.full = True
    board.hear(10, wire.command(4, wire.DO_KEEP))
    run(board, launcher)
    ((_, result, why),) = board.answers(wire.DO_KEEP)
    assert result == wire.FAILED and b"no space" in why


def test_the_prompt_is_asked_for_before_the_board_resets() -> None:
    board, launcher = started(50), FakeLauncher()
    board.hear(10, wire.command(4, wire.DO_PROMPT))
    run(board, launcher)
    assert (launcher.prompts, board.resets, board.safe) == (1, 1, 1)
    assert board.answers(wire.DO_PROMPT) == [(4, wire.OK, b"")], "answered before it goes"


def test_a_full_flash_does_not_end_the_program_that_is_asked_for_the_prompt() -> None:
    board, launcher = started(50), FakeLauncher()
    launcher.full = True
    board.hear(10, wire.command(4, wire.DO_PROMPT))
    run(board, launcher)
    ((_, result, why),) = board.answers(wire.DO_PROMPT)
    assert result == wire.FAILED and b"no space" in why
    assert (board.resets, board.safe) == (0, 0), "it goes on sampling"


def test_a_fault_is_told_kept_in_the_description_and_cleared() -> None:
    board = started(60)
    board.on_turn[10] = lambda: board.tells.append(("accel", "reading its chip id", "0x00", "0xE5"))
    board.hear(20, wire.command(1, wire.DO_DESCRIBE))
    board.on_turn[30] = lambda: board.tells.append(("accel", "reading its chip id", "", "0xE5"))
    board.hear(40, wire.command(1, wire.DO_DESCRIBE))
    run(board)
    faults = [parse_description(f, "port").faults for f in board.frames(wire.DESCRIBE)]
    assert faults == [{}, {"accel": "reading its chip id: 0x00, expected 0xE5"}, {}]
    counters = Counters()
    told = [counters.take_fault(bytes(f[2:])) for f in board.frames(wire.LOG) if f[1] == wire.FAULT]
    assert told == ["accel: reading its chip id: 0x00, expected 0xE5", "accel: works again"]
    assert counters.faults == {}


def test_faults_that_find_no_room_in_the_description_come_behind_it() -> None:
    """All sensors of a bus whose plug is out: that is when a host must be able to read the description."""
    board = started(60)
    wordy = [(f"stream {n}", "reading its chip id" + 150 * ".", "0x00", "0xE5") for n in range(10)]
    board.on_turn[1] = lambda: board.tells.extend(wordy)
    board.on_turn[40] = board.sent.clear
    board.hear(41, wire.command(1, wire.DO_DESCRIBE))
    run(board)
    (body,) = board.frames(wire.DESCRIBE)
    assert len(body) <= wire.MAX_BODY_BYTES
    assert parse_description(body, "port").faults == {}
    counters = Counters()
    for told in board.frames(wire.LOG):
        counters.take_fault(bytes(told[2:]))
    assert set(counters.faults) == {stream for stream, *_ in wordy}


def test_what_is_no_command_is_counted_and_harms_nothing() -> None:
    board = started(1000)
    damaged = bytearray(wire.command(1, wire.DO_STOP))
    damaged[2] ^= 4
    nonsense = [
        bytes(damaged),
        b"\xff" * 5000 + b"\0",
        wire.seal(b"\x05"),
        wire.seal(bytes([wire.DATA, 1, wire.DO_STOP])),
        wire.seal(b"\x05\x01"),
        b"\x80\0",
    ]
    for turn, piece in enumerate(nonsense):
        board.hear(100 + 30 * turn, b"\0\0" + piece + b"\0")
    board.hear(500, wire.command(3, 200))
    run(board)
    counters = Counters()
    counters.take_status(board.frames(wire.STATUS)[-1])
    assert counters.board_bad_input == len(nonsense)
    assert board.answers(200) == [(3, wire.UNKNOWN_VERB, b"")]
    assert board.answers(wire.DO_STOP) == []
    assert [h[2] for h in headers(board)] == list(range(999)), "all that while it samples"


def test_commands_in_pieces_and_together_are_all_obeyed() -> None:
    board = FakeBoard(300)
    frames = b"".join(wire.command(n, wire.DO_PING) for n in range(1, 6))
    board.hear(0, frames)
    for n, byte in enumerate(frames):
        board.hear(10 + n, bytes([byte]))
    run(board)
    assert [ident for ident, _, _ in board.answers(wire.DO_PING)] == [1, 2, 3, 4, 5] * 2


def test_a_start_begins_anew_and_says_its_session() -> None:
    board = started(300)
    board.hear(100, START)
    board.hear(200, STOP + START)
    run(board)
    sessions = [struct.unpack(wire.STARTED, told)[0] for _, _, told in board.answers(wire.DO_START)]
    assert sessions == [SESSION, SESSION, 1], "the one under way, then another that is not 0"
    assert describe(board)["session"] == 0
    assert [h[3] for h in headers(board)].count(0) == 2
