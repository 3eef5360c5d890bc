"""Every operation of the outbox, cut at every step: what must be there afterwards.

Runs as a test with a part of the bytes of each write, and whole as `scripts/prove_cuts`.
"""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.outbox import Outbox, Waiting
from agent.outbox.inspect import iter_set_aside
from agent.records import Kind, Record, decode, encode
from agent.thinning import seqs_of
from tests.outbox.cutting_disk import CuttingDisk, Snapshot
from tests.outbox.samples import BOOT, NEVER_S, record

STEPS = {"create", "write", "sync", "truncate", "remove", "rename", "sync directory"}
SEGMENT_BYTES = 1000
MAX_BYTES = 6000
REMEMBERED = 2000
"""So many states are remembered with what was found in them: the same come soon after each other."""


class Promise:
    """`durable`: must be told of, once. `may_be`: not yet durable. `gone`: acknowledged, may come again."""

    def __init__(self) -> None:
        self.durable: set[int] = set()
        self.may_be: set[int] = set()
        self.gone: set[int] = set()
        self.payloads: dict[int, bytes] = {}

    def settle(self) -> None:
        """All that was put is durable."""
        self.durable |= self.may_be
        self.may_be = set()


@dataclass(frozen=True, slots=True)
class Found:
    """What an outbox tells that was opened after a cut."""

    told: tuple[int, ...]
    explained: frozenset[int]


class Cuts:
    """Opens what each cut leaves, and holds it against the promise."""

    def __init__(
        self,
        scratch: Path,
        every: int,
        shard: tuple[int, int] = (0, 1),
        on_opened: Callable[[], None] = lambda: None,
    ) -> None:
        self.promise = Promise()
        self.checked: Counter[str] = Counter()
        """Cuts held against what was promised when they came."""
        self.opened: set[bytes] = set()
        """The states, each by its hash; many cuts leave the same one."""
        self.doing = ""
        self.steps: set[str] = set()
        self._scratch = scratch
        self._every = every
        self._shard = shard
        self._on_opened = on_opened
        self._found: OrderedDict[bytes, Found] = OrderedDict()

    @contextlib.contextmanager
    def outbox(self, name: str) -> Iterator[Outbox]:
        """Open an outbox on a disk that is cut at every step."""
        directory = self._scratch / name
        directory.mkdir(exist_ok=True)
        disk = CuttingDisk(directory, self._check, self._every, self._shard)
        with Outbox(
            directory,
            commit_window_s=NEVER_S,
            segment_bytes=SEGMENT_BYTES,
            max_bytes=MAX_BYTES,
            disk=disk,
        ) as outbox:
            yield outbox
        self.steps |= disk.steps.keys()

    def _check(self, step: str, snapshot: Snapshot) -> None:
        self.checked[f"{self.doing}: {step}"] += 1
        where = f"{self.doing}, cut at {step} {self.checked}"
        found, promise = self._open(snapshot, where), self.promise
        told = set(found.told)
        assert len(told) == len(found.told), f"twice: {sorted(found.told)}, {where}"
        unknown = told - promise.durable - promise.may_be - promise.gone
        assert not unknown, f"never put: {unknown}, {where}"
        missing = promise.durable - told - found.explained
        assert not missing, f"lost: {sorted(missing)}, {where}"

    def _open(self, snapshot: Snapshot, where: str) -> Found:
        """Open what a cut leaves; once where the same comes again, which may be promised more by then."""
        parts = (part for name in sorted(snapshot) for part in (name.encode(), snapshot[name]))
        key = hashlib.blake2b(
            b"".join(b"%d:%b" % (len(part), part) for part in parts), digest_size=16
        ).digest()
        known = self._found.get(key)
        if known is not None:
            return known
        with tempfile.TemporaryDirectory(dir=self._scratch) as left:
            lay_out(snapshot, Path(left))
            with Outbox(Path(left), commit_window_s=NEVER_S) as outbox:
                trouble = outbox.stats().trouble
                found = found_in(outbox, Path(left), self.promise.payloads)
        assert trouble is None, f"{trouble}, {where}"
        self._found[key] = found
        if len(self._found) > REMEMBERED:
            self._found.popitem(last=False)
        self.opened.add(key)
        self._on_opened()
        return found


def lay_out(snapshot: Snapshot, directory: Path) -> None:
    """Write what a cut leaves."""
    for name, data in snapshot.items():
        (directory / name).write_bytes(data)


def found_in(outbox: Outbox, directory: Path, payloads: dict[int, bytes]) -> Found:
    """Take all, and hold it against what was put."""
    taken = outbox.take(10_000, timeout_s=0)
    runs = [run for loss in outbox.take_dropped(everything=True) for run in loss.seqs]
    explained = {seq for first, last in runs for seq in range(first, last + 1)}
    explained |= {refused["document"]["seq"] for refused in iter_set_aside(directory)}
    explained |= {seq for waiting in taken for seq in explained_by(waiting)}
    told = tuple(seq for waiting in taken for seq in told_by(waiting, payloads))
    return Found(told, frozenset(explained))


def told_by(waiting: Waiting, payloads: dict[int, bytes]) -> list[int]:
    """Return the numbers of the records that this one is, or stands for."""
    document = decode(waiting.payload)  # a torn one could not be read
    if "seqs" in document and waiting.kind == Kind.FEATURES:
        return [seq for first, last in seqs_of(document) for seq in range(first, last + 1)]
    assert waiting.payload == payloads[waiting.seq]
    return [waiting.seq]


def explained_by(waiting: Waiting) -> list[int]:
    """Return the numbers of the records that this one says are lost."""
    if waiting.kind != Kind.GAP:
        return []
    return [seq for first, last in decode(waiting.payload)["seqs"] for seq in range(first, last + 1)]


def features(seq: int) -> Record:
    """Return two seconds of features, the `seq`th two."""
    stamps = [f"2026-01-01T00:{s // 60:02d}:{s % 60:02d}.000000Z" for s in (2 * seq, 2 * seq + 2)]
    document = {"seq": seq, "t": stamps[1], "window_s": 1, "start": stamps[0], "n": 2}
    return Record(Kind.FEATURES, BOOT, seq, "t", encode({**document, "columns": {"a_degc": [20.5, 21.0]}}))


def every_operation(
    scratch: Path,
    every: int,
    shard: tuple[int, int] = (0, 1),
    on_opened: Callable[[], None] = lambda: None,
) -> Cuts:
    """Do all that an outbox can do, cut everywhere; return what was checked."""
    cuts = Cuts(scratch, every, shard, on_opened)
    promise = cuts.promise

    def put(outbox: Outbox, *records: Record) -> None:
        promise.payloads |= {r.seq: r.payload for r in records}
        promise.may_be |= {r.seq for r in records}
        outbox.put(records)

    cuts.doing = "open a new one"
    with cuts.outbox("first") as outbox:
        cuts.doing = "put"
        put(outbox, *(record(seq) for seq in range(4)))
        outbox.flush()
        promise.settle()
        cuts.doing = "put an alarm"
        put(outbox, record(4), record(5, Kind.ALARM))
        promise.settle()
        cuts.doing = "acknowledge, remove a segment"
        put(outbox, *(record(seq) for seq in range(6, 14)))
        outbox.flush()
        promise.settle()
        taken = outbox.take(9, timeout_s=0)
        promise.gone |= {w.seq for w in taken}
        promise.durable -= promise.gone
        outbox.acknowledge([w.doc_id for w in taken])
        put(outbox, record(14))
        outbox.flush()
        promise.settle()
        cuts.doing = "set aside"
        outbox.set_aside(outbox.take(1, timeout_s=0)[0].doc_id, "not authorised")
        outbox.flush()
        outbox.release_all()
        cuts.doing = "thin"
        for seq in range(15, 55):
            put(outbox, features(seq) if seq % 9 else record(seq, Kind.EVENT))
            if seq % 3 == 0:
                outbox.flush()
                promise.settle()
        outbox.flush()
        promise.settle()
        assert outbox.stats().thinned > 20 and not outbox.stats().dropped, outbox.stats()
        cuts.doing = "drop"
        for seq in range(55, 130):
            put(outbox, record(seq, Kind.ALARM if seq % 9 == 0 else Kind.EVENT))
            if seq % 3 == 0:
                outbox.flush()
                promise.settle()
        outbox.flush()
        promise.settle()
        cuts.doing = "tell what was dropped"
        losses = outbox.take_dropped()
        assert {loss.kind for loss in losses} >= {"features", "event"}, losses
        gaps = [
            Record(Kind.GAP, BOOT, 130 + i, "t", encode({"seq": 130 + i, **loss.body()}))
            for i, loss in enumerate(losses)
        ]
        promise.payloads |= {gap.seq: gap.payload for gap in gaps}
        promise.may_be |= {gap.seq for gap in gaps}
        outbox.put_gaps(losses, gaps)
        promise.settle()
        cuts.doing = "close"
    cuts.doing = "open again"
    with cuts.outbox("first") as outbox:
        put(outbox, record(140, Kind.ALARM))
        promise.settle()
    torn = sorted((scratch / "first").glob("*.seg"))[-1]
    torn.write_bytes(torn.read_bytes() + b"\xf5\xfe torn")
    cuts.doing = "open and mend"
    with cuts.outbox("first"):
        pass
    assert cuts.steps == STEPS, cuts.steps
    return cuts
