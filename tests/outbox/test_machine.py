"""The outbox against a model, with power cuts at any byte between any two calls."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agent.outbox import Outbox, Waiting
from agent.outbox.inspect import iter_waiting
from agent.records import Kind
from tests.outbox.samples import NEVER_S, record
from tests.outbox.shaky_disk import LosingDisk


class OutboxMachine(RuleBasedStateMachine):
    """`durable`: promised to be kept. `written`: may be kept. `gone`: acknowledged, may come again."""

    def __init__(self) -> None:
        super().__init__()
        self._home = tempfile.TemporaryDirectory()
        self.home = Path(self._home.name)
        self.cuts = 0
        self.next_seq = 0
        self.payloads: dict[int, bytes] = {}
        self.durable: set[int] = set()
        self.written: set[int] = set()
        self.gone: set[int] = set()
        self.leased: dict[int, Waiting] = {}

    @initialize(segment_bytes=st.sampled_from([200, 1000, 1 << 20]))
    def begin(self, segment_bytes: int) -> None:
        self.segment_bytes = segment_bytes
        self.open("0")

    def open(self, name: str, disk: LosingDisk | None = None) -> None:
        self.directory = self.home / name
        self.disk = disk or LosingDisk()
        self.outbox = Outbox(
            self.directory, commit_window_s=NEVER_S, segment_bytes=self.segment_bytes, disk=self.disk
        )
        self.leased.clear()

    @rule(kinds=st.lists(st.sampled_from([Kind.FEATURES, Kind.FEATURES, Kind.EVENT, Kind.ALARM]), max_size=8))
    def put(self, kinds: list[Kind]) -> None:
        made = [record(self.next_seq + i, kind) for i, kind in enumerate(kinds)]
        self.next_seq += len(made)
        self.outbox.put(made)
        for rec in made:
            self.payloads[rec.seq] = rec.payload
            self.written.add(rec.seq)
        if any(rec.urgent for rec in made):
            self.durable |= self.written
            self.written.clear()

    @rule()
    def flush(self) -> None:
        self.outbox.flush()
        self.durable |= self.written
        self.written.clear()

    @rule(limit=st.integers(1, 12), urgent_only=st.booleans())
    def take(self, limit: int, urgent_only: bool) -> None:
        taken = self.outbox.take(limit, urgent_only=urgent_only, timeout_s=0)
        for waiting in taken:
            assert waiting.payload == self.payloads[waiting.seq]
            assert waiting.seq in self.durable, "only durable records are handed out"
            assert waiting.seq not in self.leased, "handed out twice"
            self.leased[waiting.seq] = waiting
        ready = len(self.durable - self.leased.keys())
        assert len(taken) == limit or urgent_only or ready == 0

    @precondition(lambda self: self.leased)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        seqs = data.draw(st.lists(st.sampled_from(sorted(self.leased)), unique=True))
        self.outbox.acknowledge([self.leased.pop(seq).doc_id for seq in seqs])
        self.durable.difference_update(seqs)
        self.gone.update(seqs)

    @rule()
    def release(self) -> None:
        self.outbox.release_all()
        self.leased.clear()

    @rule()
    def restart(self) -> None:
        self.outbox.close()
        self.durable |= self.written
        self.written.clear()
        name = self.directory.name
        self.open(name)
        assert not self.outbox.stats().findings
        # A clean stop forgets nothing, neither records nor acknowledgements.
        assert {w.seq for w in iter_waiting(self.directory)} == self.durable

    @rule(data=st.data())
    def cut_the_power(self, data: st.DataObject) -> None:
        self.cuts += 1
        name = str(self.cuts)
        self.disk.cut_into(
            self.home / name, self.directory, lambda low, high: data.draw(st.integers(low, high))
        )
        self.outbox.close()
        self.open(name)
        self.check_after_reopening()

    @rule()
    def kill(self) -> None:
        self.cuts += 1
        name = str(self.cuts)
        disk = self.disk.after_kill(self.directory, self.home / name)
        self.outbox.close()
        self.open(name, disk)
        self.check_after_reopening()

    def check_after_reopening(self) -> None:
        found = [w.seq for w in iter_waiting(self.directory)]
        assert len(found) == len(set(found)), f"twice: {found}"
        assert self.durable <= set(found), f"lost: {sorted(self.durable - set(found))}"
        assert set(found) <= self.durable | self.written | self.gone
        self.durable = set(found)
        self.written.clear()

    @invariant()
    def counts(self) -> None:
        if hasattr(self, "outbox"):
            assert self.outbox.waiting() == len(self.durable) + len(self.written)

    def teardown(self) -> None:
        if hasattr(self, "outbox"):
            self.outbox.close()
        self._home.cleanup()


OutboxMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestOutbox = OutboxMachine.TestCase
