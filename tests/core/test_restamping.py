"""A clock that was never set, jumps forward, jumps back: order and stamps, through pipeline and outbox."""

from __future__ import annotations

import itertools
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.blocks import NS_PER_S, Block, RegularClock
from agent.clock_book import FILE_NAME, MOST_RUNS, ClockBook, Run
from agent.outbox import Outbox
from agent.pipeline import Pipeline
from agent.records import Head, Record, Severity, as_json, decode, encode
from agent.reduction import UploadSettings
from agent.restamping import RestampingQueue, Stamps, Step, moved
from agent.snippets import Snippet, coded_later, parts_of
from agent.streams import TABLE
from agent.timebase import TimeMark, TimeQuality, rfc3339, wall_ns_of

RATE_HZ = 50
CLOCK = RegularClock.of_rate(RATE_HZ)
TRUE_NS = 1_780_000_000 * NS_PER_S  # wall time of box time 0
HOUR_NS = 3600 * NS_PER_S
SYNCED, HOLDOVER, UNSET = TimeQuality.SYNCED, TimeQuality.HOLDOVER, TimeQuality.UNSET


class Boot:
    """One run of an agent over `outbox`: a tank that sloshes every few seconds, and a clock that is told."""

    def __init__(
        self, outbox: Outbox, boot: str, encoding: str = "auto", book: ClockBook | None = None
    ) -> None:
        upload = UploadSettings(batch_s=1, budget=1.0, encoding=encoding)  # type: ignore[arg-type]
        self.pipeline = Pipeline(
            [TABLE["pressure"]], head=Head("box-7", boot, "0.1.0"), fleet="north", upload=upload
        )
        self.stamps = Stamps(boot, book)
        self.outbox = outbox
        self.queue = RestampingQueue(outbox, self.stamps)
        self.made: list[Record] = []
        self._second = 0

    def clock(self, offset_ns: int, quality: TimeQuality) -> None:
        mark = TimeMark(self._second * NS_PER_S, offset_ns, quality)
        self._put(self.pipeline.push(mark))
        self.stamps.mark(mark)

    def drive(self, seconds: int) -> None:
        values = np.full((seconds * RATE_HZ, 1), 5000.0, np.float32)
        values[:: 40 * RATE_HZ] += 4500.0  # an event now and then
        block = Block("pressure", self._second * RATE_HZ, CLOCK, values)
        self._second += seconds
        self._put(self.pipeline.push(block))

    def _put(self, records: list[Record]) -> None:
        self.stamps.made(records)
        self.outbox.put(records)
        self.made += records

    def arrive(self) -> list[dict[str, Any]]:
        """Return what the uplink gets, acknowledged; in its order."""
        self.outbox.flush()
        out = []
        while parcels := self.queue.take(1000, timeout_s=0.0):
            self.queue.acknowledge([p.doc_id for p in parcels])
            out += [decode(p.payload) for p in parcels]
        return out


@pytest.fixture
def outbox(tmp_path: Path) -> Any:
    with Outbox(tmp_path / "outbox") as outbox:
        yield outbox


def plain(documents: list[dict[str, Any]]) -> list[int]:
    """Return the seqs of the plain lane, in order of arrival: alarms overtake it."""
    return [d["seq"] for d in documents if d.get("phase") != "start"]


def true_times(boot: Boot) -> dict[int, str]:
    """Return the times that the records would have had with a clock that was right from the start."""
    out = {}
    for record in boot.made:
        document = decode(record.payload)
        offset_ns = TRUE_NS if record.unsure_ns is None else record.unsure_ns
        out[record.seq] = rfc3339(wall_ns_of(document["t"]) - offset_ns + TRUE_NS)
    return out


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_booted_in_1970_and_set_later(outbox: Outbox, encoding: str) -> None:
    boot = Boot(outbox, "0" * 16, encoding)
    boot.clock(42 * NS_PER_S, UNSET)
    boot.drive(60)
    boot.clock(TRUE_NS, SYNCED)
    boot.drive(30)
    unset = [record.seq for record in boot.made if record.unsure_ns is not None]
    arrived = boot.arrive()
    assert len(unset) > 5 and len(arrived) == len(boot.made), (len(unset), len(arrived))
    assert len(plain(arrived)) > 5 and plain(arrived) == sorted(plain(arrived)), "order within the lane"
    expected = true_times(boot)
    for document in arrived:
        was_unset = document["seq"] in unset
        assert document["tq"] == ("restamped" if was_unset else "synced"), document
        off_ns = wall_ns_of(document["t"]) - wall_ns_of(expected[document["seq"]])
        assert abs(off_ns) <= 1000, (off_ns, document)
        if "start" in document:
            assert 0 <= wall_ns_of(document["t"]) - wall_ns_of(document["start"]) < 61 * NS_PER_S, document
        if document.get("end"):
            assert 0 <= wall_ns_of(document["end"]) - wall_ns_of(document["start"]) < 61 * NS_PER_S, document
    assert boot.stamps.steps() == [
        Step(first=unset[0], last=unset[-1], step_s=(TRUE_NS - 42 * NS_PER_S) / NS_PER_S)
    ]


def test_what_was_sent_stays_and_receivers_are_told_by_how_much(outbox: Outbox) -> None:
    boot = Boot(outbox, "0" * 16)
    boot.clock(0, UNSET)
    boot.drive(30)
    early = boot.arrive()
    assert {d["tq"] for d in early} == {"unset"} and boot.stamps.steps() == []
    boot.drive(30)
    boot.clock(TRUE_NS, SYNCED)
    late = boot.arrive()
    assert {d["tq"] for d in late} == {"restamped"}
    (step,) = boot.stamps.steps()
    assert step.first == 0 and step.last == max(d["seq"] for d in late)
    expected = true_times(boot)
    for document in early:  # what a receiver does
        righted = rfc3339(wall_ns_of(document["t"]) + round(step.step_s * NS_PER_S))
        assert righted == expected[document["seq"]]
    assert sorted(d["seq"] for d in (*early, *late)) == [r.seq for r in boot.made], "once each"


def test_the_time_of_the_last_shutdown_is_put_right(outbox: Outbox) -> None:
    """fake-hwclock: a plausible date, three hours late."""
    boot = Boot(outbox, "0" * 16)
    boot.clock(TRUE_NS - 3 * HOUR_NS, HOLDOVER)
    boot.drive(30)
    boot.clock(TRUE_NS, SYNCED)
    boot.drive(30)
    arrived = boot.arrive()
    times = [wall_ns_of(d["t"]) for d in arrived if d.get("phase") != "start"]
    assert {d["tq"] for d in arrived} == {"restamped", "synced"} and times == sorted(times)
    assert boot.stamps.steps()[0].step_s == 3 * 3600


EARLIER_NS = TRUE_NS - 40 * HOUR_NS


@pytest.mark.parametrize(
    ("of", "offset_ns", "start_ns"),
    [
        # recorded yesterday, by a clock that was right, or never set: on neither there is anything new
        ("f" * 16, EARLIER_NS, EARLIER_NS),
        ("f" * 16, 0, 0),
        # of this start, out of memory or out of its recordings, whose files note an offset of their own
        ("", TRUE_NS - 3 * HOUR_NS, TRUE_NS),
        ("0" * 16, TRUE_NS - 5 * HOUR_NS, TRUE_NS),
    ],
    ids=["earlier, right", "earlier, never set", "memory", "recordings"],
)
def test_ordered_samples_stand_on_the_clock_of_their_own_start(
    outbox: Outbox, of: str, offset_ns: int, start_ns: int
) -> None:
    boot = Boot(outbox, "0" * 16)
    boot.clock(TRUE_NS - 3 * HOUR_NS, HOLDOVER)
    boot.drive(10)
    block = Block("pressure", 0, CLOCK, np.full((RATE_HZ, 1), 5000.0, np.float32))
    parts = parts_of([block], coded_later)
    snippet = Snippet("order-1", "pressure", (), Severity.GENERAL, 0, block.values.nbytes, parts)
    boot._put(boot.pipeline.ordered(snippet, TABLE["pressure"], offset_ns, of))
    boot.clock(TRUE_NS, SYNCED)
    (told,) = [document for document in boot.arrive() if document.get("id") == "order-1"]
    assert told["tq"] == "restamped" and wall_ns_of(told["t"]) >= TRUE_NS
    assert wall_ns_of(told["start"]) == start_ns, told["start"]
    assert told.get("of", boot.stamps.boot) == (of or boot.stamps.boot)


def test_a_clock_that_ran_freely_and_well_stays_as_it_was(outbox: Outbox) -> None:
    boot = Boot(outbox, "0" * 16)
    boot.clock(TRUE_NS - NS_PER_S // 2, HOLDOVER)
    boot.drive(30)
    boot.clock(TRUE_NS, SYNCED)
    assert {d["tq"] for d in boot.arrive()} == {"holdover"} and boot.stamps.steps() == []


def test_a_jump_back_an_hour_reorders_and_repeats_nothing(outbox: Outbox) -> None:
    """Somebody sets the clock back by hand; no time server has ever spoken, until one does."""
    boot = Boot(outbox, "0" * 16)
    boot.clock(TRUE_NS, HOLDOVER)
    boot.drive(30)
    boot.clock(TRUE_NS - HOUR_NS, HOLDOVER)
    boot.drive(30)
    jumped = boot.arrive()
    assert sorted(d["seq"] for d in jumped) == [r.seq for r in boot.made], "once each"
    assert plain(jumped) == sorted(plain(jumped)), "in order"
    lane = [d["t"] for d in jumped if d.get("phase") != "start"]
    backwards = [b < a for a, b in itertools.pairwise(lane)]
    assert backwards.count(True) == 1, "the times jump once, the order does not"
    for document in jumped:
        if document.get("end"):
            assert document["start"] <= document["end"], document
    boot.drive(30)
    boot.clock(TRUE_NS, SYNCED)
    boot.drive(30)
    rest = boot.arrive()
    assert sorted(d["seq"] for d in (*jumped, *rest)) == list(range(len(boot.made))), "once each"
    assert plain(rest) == sorted(plain(rest)), "in order"
    assert {d["tq"] for d in rest} == {"restamped", "synced"}
    times = [wall_ns_of(d["t"]) for d in rest if d.get("phase") != "start"]
    assert times == sorted(times)
    assert [s.step_s for s in boot.stamps.steps()] == [3600.0]


def test_what_a_time_server_has_said_stands_when_somebody_sets_the_clock(outbox: Outbox) -> None:
    """Setting it takes the kernel's word back, but box time still knows."""
    boot = Boot(outbox, "0" * 16)
    boot.clock(TRUE_NS, SYNCED)
    boot.drive(30)
    boot.clock(TRUE_NS - HOUR_NS, HOLDOVER)
    boot.drive(30)
    arrived = boot.arrive()
    times = [wall_ns_of(d["t"]) for d in arrived if d.get("phase") != "start"]
    assert times == sorted(times) and plain(arrived) == sorted(plain(arrived))
    assert {d["tq"] for d in arrived} == {"synced", "restamped"}
    expected = true_times(boot)
    assert all(d["t"] == expected[d["seq"]] for d in arrived)


def test_across_a_reboot_the_order_holds_and_nobody_guesses(tmp_path: Path) -> None:
    """What a boot of the kernel left that never saw a set clock stays `unset`, and in front."""
    with Outbox(tmp_path / "outbox") as outbox:
        first = Boot(outbox, "f" * 16)
        first.clock(0, UNSET)
        first.drive(30)
    with Outbox(tmp_path / "outbox") as outbox:
        second = Boot(outbox, "0" * 16)
        second.clock(0, UNSET)
        second.drive(30)
        second.clock(TRUE_NS, SYNCED)
        arrived = second.arrive()
    lane = [(d["boot"], d["seq"]) for d in arrived if d.get("phase") != "start"]
    assert lane == [(r.boot, r.seq) for boot in (first, second) for r in boot.made if not r.urgent]
    assert len(arrived) == len(first.made) + len(second.made)
    assert {(d["boot"][0], d["tq"]) for d in arrived} == {("f", "unset"), ("0", "restamped")}


def test_on_the_card_it_stays_as_it_was_made(outbox: Outbox) -> None:
    boot = Boot(outbox, "0" * 16)
    boot.clock(0, UNSET)
    boot.drive(20)
    boot.clock(TRUE_NS, SYNCED)
    outbox.flush()
    assert {d["payload"]["tq"] for d in outbox.db.all()} == {"unset"}


steps = st.integers(-(10**18), 10**18).filter(lambda ns: abs(ns) >= NS_PER_S)


@given(step_ns=steps, fast=st.booleans())
def test_moved_and_moved_back_is_the_same(step_ns: int, fast: bool) -> None:
    document = {
        "v": 1,
        "t": "2026-11-22T01:22:18.766321Z",
        "tq": "unset",
        "start": "2026-11-22T01:22:18.617321Z",
        "end": None,
        "values": {"height_m": 0.11, "from": "2026-11-22T01:22:18.617321Z"},
    }
    payload = encode(document, "msgpack" if fast else "json")
    there = moved(payload, step_ns // 1000 * 1000)
    back = decode(moved(there, -(step_ns // 1000 * 1000)))
    assert back == {**document, "tq": "restamped"}, as_json(there)
    assert wall_ns_of(decode(there)["t"]) - wall_ns_of(document["t"]) == step_ns // 1000 * 1000  # type: ignore[arg-type]


@pytest.mark.parametrize("payload", [b"", b"{", b"\x81\xa1t\xc1", b"hello", b'{"t":"yesterday"}'])
def test_what_cannot_be_read_is_not_touched(payload: bytes) -> None:
    assert moved(payload, NS_PER_S) == payload


def test_what_runs_there_are_is_bounded() -> None:
    stamps = Stamps("0" * 16)
    stamps.made([Record("event", "0" * 16, i, "t", b"{}", i * HOUR_NS) for i in range(10_000)])  # type: ignore[arg-type]
    stamps.mark(TimeMark(0, TRUE_NS, SYNCED))
    assert len(stamps.steps()) == 256 and stamps.step_ns(9_999) and not stamps.step_ns(5)
    assert not stamps.step_ns(10_000), "not made yet"


def test_a_day_without_a_time_server_is_one_run() -> None:
    """The offset is measured each minute, and never the same to the ns."""
    stamps = Stamps("0" * 16)
    stamps.made([Record("event", "0" * 16, i, "t", b"{}", (i * 7919) % 100_000) for i in range(1440)])  # type: ignore[arg-type]
    stamps.mark(TimeMark(0, TRUE_NS, SYNCED))
    assert stamps.step_ns(0) == TRUE_NS, "the first record of the day is still known"
    assert stamps.steps() == [Step(first=0, last=1439, step_s=TRUE_NS / NS_PER_S)]


KERNEL = "2c1d2f5e-0000-4000-8000-000000000001"


def started_twice(folder: Path, *, second_kernel: str = KERNEL, sync_in_first: bool = False) -> list[Any]:
    """Return what arrives after the second start, whose clock is set at its end."""
    with Outbox(folder) as outbox:
        first = Boot(outbox, "f" * 16, book=ClockBook(folder, KERNEL))
        first.clock(0, UNSET)
        first.drive(30)
        first.clock(5 * NS_PER_S, UNSET)  # somebody set it, wrong
        first.drive(30)
        if sync_in_first:
            first.clock(TRUE_NS, SYNCED)
            first.clock(TRUE_NS - HOUR_NS, HOLDOVER)
            first.drive(30)
    with Outbox(folder) as outbox:
        second = Boot(outbox, "0" * 16, book=ClockBook(folder, second_kernel))
        second.clock(7 * NS_PER_S, UNSET)
        second.drive(30)
        if not sync_in_first:
            second.clock(TRUE_NS, SYNCED)
        arrived = second.arrive()
    expected = {boot.stamps.boot: true_times(boot) for boot in (first, second)}
    for document in arrived:
        if document["tq"] == "restamped":
            off_ns = wall_ns_of(document["t"]) - wall_ns_of(expected[document["boot"]][document["seq"]])
            assert abs(off_ns) <= 1000, (off_ns, document)
    return arrived


@pytest.mark.parametrize("sync_in_first", [False, True])
def test_an_earlier_start_in_the_same_boot_of_the_kernel_is_put_right(
    tmp_path: Path, sync_in_first: bool
) -> None:
    arrived = started_twice(tmp_path / "outbox", sync_in_first=sync_in_first)
    of_first = [d for d in arrived if d["boot"][0] == "f"]
    assert {d["tq"] for d in arrived} == {"restamped"}, [(d["seq"], d["tq"], d["t"]) for d in arrived]
    assert any(d.get("severity", 0) >= 3 for d in of_first), "alarms, too"


@pytest.mark.parametrize("kernel", ["another", ""])
def test_another_boot_of_the_kernel_believes_nothing(tmp_path: Path, kernel: str) -> None:
    arrived = started_twice(tmp_path / "outbox", second_kernel=kernel)
    assert {(d["boot"][0], d["tq"]) for d in arrived} == {("f", "unset"), ("0", "restamped")}


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff\xfe", b'{"v":1}', b'{"v":2,"kernel_boot":""}'])
def test_a_book_that_cannot_be_read_is_none(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(damage)
    book = ClockBook(tmp_path, KERNEL)
    assert book.starts == {} and book.right_ns is None


def test_a_book_that_cannot_be_written_says_nothing_that_is_not_so(tmp_path: Path) -> None:
    book = ClockBook(tmp_path, KERNEL)
    book.keep("a", [Run(0, 5)], None)
    (tmp_path / "clock.new").mkdir()  # nothing can be written there
    book.keep("a", [Run(0, 5), Run(9, 7)], None)
    assert not (tmp_path / FILE_NAME).exists()


def test_a_pipe_in_the_place_of_the_book_keeps_nobody_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / FILE_NAME)
    os.mkfifo((tmp_path / FILE_NAME).with_suffix(".new"))

    def keep() -> None:
        book = ClockBook(tmp_path, KERNEL)
        assert book.starts == {}
        book.keep("a", [Run(0, 5)], None)

    keeping = threading.Thread(target=keep, daemon=True)
    keeping.start()
    keeping.join(20)
    assert not keeping.is_alive(), "it waits for whoever writes into the pipe"
    assert ClockBook(tmp_path, KERNEL).starts == {"a": [Run(0, 5)]}


def test_the_book_is_bounded_and_keeps_the_latest(tmp_path: Path) -> None:
    for i in range(MOST_RUNS + 10):
        ClockBook(tmp_path, KERNEL).keep(f"{i:016x}", [Run(0, i)], None)
    starts = list(ClockBook(tmp_path, KERNEL).starts)
    assert len(starts) == MOST_RUNS and starts[-1] == f"{MOST_RUNS + 9:016x}", len(starts)
