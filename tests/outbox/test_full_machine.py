"""The outbox against a model where it is too small, on a card that is full now and then and cut at any call.

Records are thinned, dropped, set aside and told of by gap records; each one that was promised is there once,
in a thinned record, or explained. Longer: `OUTBOX_EXAMPLES=2000 pytest tests/outbox/test_full_machine.py`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from agent.outbox import Dropped, Outbox, Waiting
from agent.records import Kind, Record, encode
from tests.outbox.cuts import explained_by, features, found_in, lay_out, told_by
from tests.outbox.cutting_disk import CuttingDisk, Snapshot
from tests.outbox.samples import BOOT, NEVER_S, record

SEGMENT_BYTES = 600
MAX_BYTES = 2500
KINDS = [Kind.FEATURES, Kind.FEATURES, Kind.FEATURES, Kind.EVENT, Kind.ALARM]
STORM = 12


@dataclass
class PoorDisk(CuttingDisk):
    """Keeps what one cut leaves, after so many calls from when it is told to; refuses while it is `full`."""

    full: bool = False
    left: Snapshot | None = None
    """What the cut left."""
    _calls_left: int = 0
    _end: int = 0
    _part: int = 0

    def cut_after(self, calls: int, end: int, part: int) -> None:
        """`end`: which of the three; `part`: of a torn write, in thousandths."""
        self._calls_left, self._end, self._part = calls, end, part

    def _cut(self, what: str, torn: Any = None) -> None:
        if self._calls_left:
            self._calls_left -= 1
            if not self._calls_left:
                self.left = list(self._ends(torn))[self._end]

    def _torn_at(self, size: int) -> list[int]:
        return [size * self._part // 1000]

    def create(self, path: Path) -> int:
        self._refuse()
        return super().create(path)

    def write_at(self, fd: int, offset: int, data: bytes) -> None:
        if self.full:
            super().write_at(fd, offset, data[: len(data) // 2])
        self._refuse()
        super().write_at(fd, offset, data)

    def sync(self, fd: int) -> None:
        self._refuse()
        super().sync(fd)

    def _refuse(self) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class FullMachine(RuleBasedStateMachine):
    """`durable`: there once or explained. `may`: not promised yet. `gone`: arrived, may come again."""

    def __init__(self) -> None:
        super().__init__()
        self._home = tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
        self.opened = 0
        self.next_seq = 0
        self.payloads: dict[int, bytes] = {}
        self.durable: set[int] = set()
        self.may: set[int] = set()
        self.gone: set[int] = set()
        self.leased: dict[int, Waiting] = {}

    @initialize()
    def begin(self) -> None:
        self.open({})

    def open(self, left: Snapshot) -> None:
        self.opened += 1
        self.directory = Path(self._home.name) / str(self.opened)
        self.directory.mkdir()
        lay_out(left, self.directory)
        self.disk = PoorDisk(self.directory, lambda step, snapshot: None)
        self.outbox = Outbox(
            self.directory,
            commit_window_s=NEVER_S,
            segment_bytes=SEGMENT_BYTES,
            max_bytes=MAX_BYTES,
            on_dropped=self.dropped,
            disk=self.disk,
        )
        self.leased.clear()

    @contextlib.contextmanager
    def doing(self) -> Iterator[None]:
        """Whoever is cut while he does it was promised no more than before."""
        durable, may = set(self.durable), set(self.may)
        yield
        if self.disk.left is not None:
            self.crash(self.disk.left, durable, may | self.may | self.durable)

    def crash(self, left: Snapshot, durable: set[int], may: set[int]) -> None:
        self.disk.full = False
        self.outbox.close()
        self.open(left)
        found = found_in(self.outbox, self.directory, self.payloads)
        self.outbox.release_all()
        told = set(found.told)
        assert len(told) == len(found.told), f"twice: {sorted(found.told)}"
        missing = durable - told - found.explained
        assert not missing, f"lost: {sorted(missing)}; told {sorted(told)}, {sorted(found.explained)}"
        assert told <= durable | may | self.gone, f"never put: {sorted(told - durable - may - self.gone)}"
        self.durable, self.may = durable | told, set()
        self.gone -= told

    def settle(self) -> None:
        if self.outbox.stats().trouble is None:
            self.durable |= self.may
            self.may.clear()

    def dropped(self, dropped: list[Dropped]) -> None:
        if any(kind == Kind.ALARM for _, _, kind in dropped):
            stats = self.outbox.stats()
            plain = stats.waiting - stats.waiting_urgent - stats.leased
            assert plain <= len(self.may), f"an alarm was dropped before {plain} others: {stats}"

    @rule(kind=st.sampled_from(KINDS))
    def put_many(self, kind: Kind) -> None:
        self.put_these([kind] * STORM)

    @rule(kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=8))
    def put(self, kinds: list[Kind]) -> None:
        self.put_these(kinds)

    def put_these(self, kinds: list[Kind]) -> None:
        made: list[Record] = []
        for seq, kind in enumerate(kinds, self.next_seq):
            made.append(features(seq) if kind is Kind.FEATURES else record(seq, kind))
        self.next_seq += len(made)
        self.payloads |= {r.seq: r.payload for r in made}
        with self.doing():
            self.may |= {r.seq for r in made}
            self.outbox.put(made)
            if any(r.urgent for r in made):
                self.settle()

    @rule()
    def flush(self) -> None:
        with self.doing():
            self.outbox.flush()
            self.settle()

    @rule(limit=st.integers(1, 12), urgent_only=st.booleans())
    def take(self, limit: int, urgent_only: bool) -> None:
        with self.doing():
            taken = self.outbox.take(limit, urgent_only=urgent_only, timeout_s=0)
            order = [(not w.urgent, w.seq) for w in taken]
            assert order == sorted(order), f"alarms first, each the oldest first: {order}"
            for waiting in taken:
                told = set(told_by(waiting, self.payloads))
                assert told <= self.durable | self.may, f"{sorted(told)} were not waiting"
                early = told & self.may
                if early and self.outbox.stats().trouble is None:  # committed before its time, to make room
                    assert early <= self.on_the_medium(), "only durable records go out"
                assert waiting.doc_id not in self.leased, "handed out twice"
                self.leased[waiting.doc_id] = waiting

    def on_the_medium(self) -> set[int]:
        """Return the numbers of what would be there after a cut that takes all that was not synced."""
        with tempfile.TemporaryDirectory(dir=self._home.name) as scratch:
            lay_out(self.disk.synced(), Path(scratch))
            with Outbox(Path(scratch), commit_window_s=NEVER_S) as outbox:
                return set(found_in(outbox, Path(scratch), self.payloads).told)

    @precondition(lambda self: self.leased)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        ids = data.draw(st.lists(st.sampled_from(sorted(self.leased)), unique=True))
        for waiting in [self.leased.pop(i) for i in ids]:
            arrived = {*told_by(waiting, self.payloads), *explained_by(waiting)}
            self.durable -= arrived
            self.may -= arrived
            self.gone |= arrived
        with self.doing():
            self.outbox.acknowledge(ids)

    @precondition(lambda self: self.leased and not self.disk.full)
    @rule(data=st.data())
    def set_aside(self, data: st.DataObject) -> None:
        doc_id = data.draw(st.sampled_from(sorted(self.leased)))
        if self.leased[doc_id].kind != Kind.GAP:  # what it told of would not be told any more
            del self.leased[doc_id]
            with self.doing():
                self.outbox.set_aside(doc_id, "not authorised")

    @rule()
    def release(self) -> None:
        self.outbox.release_all()
        self.leased.clear()

    @rule()
    def tell_what_was_dropped(self) -> None:
        with self.doing():
            losses = self.outbox.take_dropped(everything=True)
            gaps = [
                Record(Kind.GAP, BOOT, seq, "t", encode({"seq": seq, **loss.body()}))
                for seq, loss in enumerate(losses, self.next_seq)
            ]
            self.next_seq += len(gaps)
            self.payloads |= {gap.seq: gap.payload for gap in gaps}
            self.may |= {gap.seq for gap in gaps}
            self.outbox.put_gaps(losses, gaps)
            self.settle()

    @rule()
    def fill_the_card(self) -> None:
        self.disk.full = True

    @precondition(lambda self: self.disk.full)
    @rule()
    def make_room_on_the_card(self) -> None:
        self.disk.full = False
        seq = self.next_seq
        self.next_seq += 1
        self.payloads[seq] = record(seq).payload
        with self.doing():
            self.may.add(seq)
            self.outbox.try_card_now()
            self.outbox.put([record(seq)])
            self.outbox.flush()
            assert self.outbox.stats().in_memory == 0, "what the card refused is on it now"
            self.settle()

    @rule(calls=st.integers(1, 40), end=st.integers(0, 2), part=st.integers(0, 999))
    def cut_soon(self, calls: int, end: int, part: int) -> None:
        self.disk.cut_after(calls, end, part)

    @precondition(lambda self: not self.disk.full)
    @rule()
    def restart(self) -> None:
        with self.doing():
            self.outbox.close()
            if self.disk.left is None:
                self.durable |= self.may
                self.may.clear()
                left = {p.name: p.read_bytes() for p in self.directory.iterdir()}
                self.crash(left, set(self.durable), set())

    def teardown(self) -> None:
        if hasattr(self, "outbox"):
            self.disk.full = False
            self.outbox.close()
        self._home.cleanup()


FullMachine.TestCase.settings = settings(
    max_examples=int(os.environ.get("OUTBOX_EXAMPLES", "20")), stateful_step_count=30, deadline=None
)
TestFullOutbox = FullMachine.TestCase


def test_what_a_gap_record_tells_is_not_forgotten_where_there_is_no_room_for_the_record_itself() -> None:
    machine = FullMachine()
    try:
        machine.begin()
        machine.put_many(kind=Kind.EVENT)
        machine.flush()
        machine.put_many(kind=Kind.EVENT)
        machine.take(limit=12, urgent_only=False)  # what is handed out keeps its room
        machine.tell_what_was_dropped()
        refused = sorted(machine.leased)[1]
        del machine.leased[refused]
        machine.outbox.set_aside(refused, "not authorised")
        machine.take(limit=10, urgent_only=False)
        machine.flush()
        machine.put_many(kind=Kind.FEATURES)
        machine.flush()
        machine.tell_what_was_dropped()
        machine.restart()
    finally:
        machine.teardown()
