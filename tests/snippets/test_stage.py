"""What is cut around an event, what is sent of it, and that it is the same for any way of cutting blocks."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.blocks import NS_PER_S, Block, ListedClock, RegularClock
from agent.pipeline import Item, Pipeline
from agent.records import Head, Kind, Phase, Record, Severity, decode
from agent.reduction import UploadSettings
from agent.snippets import Snippets, SnippetSettings
from agent.snippets.coding import RAW, Coded, Coding, Values, coded, decoded
from agent.snippets.form import blocks_of
from agent.snippets.stage import LONGEST_NS, MEMORY_NS, PART_BYTES
from agent.streams import TABLE
from tests.pipeline.test_partition import ALL, MARKS, NAMES, WHOLE, interleavings
from tests.snippets.cached import cached_coder

S = NS_PER_S


def stage(**changes: float) -> Snippets:
    return Snippets(SnippetSettings(**changes), ["accel", "temperature"], cached_coder)


def accel(first: int, seconds: float, rate_hz: int = 100) -> Block:
    n = round(seconds * rate_hz)
    values = (np.arange(first, first + n)[:, None] % 999 + [0, 1, 2]).astype(np.int16)
    return Block("accel", first, RegularClock.of_rate(rate_hz), values)


def happen(to: Snippets, event: str, at_s: float, severity: Severity, phase: Phase = Phase.START) -> None:
    at_ns = round(at_s * S)
    to.event(event, phase, severity, ["accel"], start_ns=at_ns, decided_ns=at_ns)


def spans(of: Snippets, at_s: float = 1000.0) -> list[tuple[float, float, tuple[str, ...]]]:
    """Return from when to when each piece goes, and around which events."""
    out = []
    for snippet in of.offered(round(at_s * S)):
        runs = [run for part in snippet.parts for run in part.runs]
        out.append((runs[0].start_ns / S, (runs[-1].last_ns + S // 100) / S, snippet.events))
    return out


@pytest.mark.parametrize(
    ("severity", "span"),
    [
        (Severity.MINOR, None),
        (Severity.GENERAL, (29.5, 31.0)),
        (Severity.MAJOR, (28.0, 33.0)),
        (Severity.CRITICAL, (25.0, 35.0)),
    ],
)
def test_a_severity_has_its_span(severity: Severity, span: tuple[float, float] | None) -> None:
    snippets = stage()
    snippets.feed(accel(0, 60))
    happen(snippets, "drop-1", 30, severity)
    snippets.cut_until(60 * S)
    assert spans(snippets, 60) == ([] if span is None else [(*span, ("drop-1",))])


def test_nothing_is_offered_before_it_is_complete_and_coded() -> None:
    snippets = stage()
    snippets.feed(accel(0, 32.99))
    happen(snippets, "drop-1", 30, Severity.MAJOR)
    waiting = []
    for until_ns in (33 * S - 1, 33 * S):
        snippets.cut_until(until_ns)
        waiting.append(snippets.waiting)
        snippets.feed(accel(3299, 1))
    assert waiting == [0, 1]
    assert not spans(snippets, 37.9), "offered before there was time to code it"
    assert spans(snippets, 39) == [(28.0, 33.0, ("drop-1",))]


def test_overlapping_events_share_one_and_nothing_is_sent_twice() -> None:
    snippets = stage()
    snippets.feed(accel(0, 60))
    happen(snippets, "drop-1", 30, Severity.MAJOR)
    happen(snippets, "shock-1", 32, Severity.CRITICAL)
    snippets.cut_until(37 * S)
    happen(snippets, "bump-1", 37.2, Severity.GENERAL)
    snippets.cut_until(60 * S)
    said = spans(snippets, 60)
    assert said == [(27.0, 37.0, ("drop-1", "shock-1")), (37.0, 38.2, ("bump-1",))], said


def test_getting_worse_takes_more() -> None:
    snippets = stage()
    snippets.feed(accel(0, 60))
    happen(snippets, "drop-1", 30, Severity.MAJOR)
    happen(snippets, "drop-1", 30, Severity.MAJOR, Phase.UPDATE)
    happen(snippets, "drop-1", 30, Severity.CRITICAL, Phase.END)
    snippets.cut_until(60 * S)
    assert spans(snippets, 60) == [(25.0, 35.0, ("drop-1",))]


def test_getting_worse_late_takes_what_lies_before_the_first_piece_too() -> None:
    snippets = stage()
    snippets.feed(accel(0, 80))
    happen(snippets, "warm-1", 30, Severity.GENERAL)
    snippets.cut_until(39 * S)
    for decided_s, severity in [(39, Severity.MAJOR), (44, Severity.CRITICAL)]:
        snippets.event("warm-1", Phase.UPDATE, severity, ["accel"], start_ns=30 * S, decided_ns=decided_s * S)
        snippets.cut_until(decided_s * S)
    said = sorted(spans(snippets, 80))
    assert [one[:2] for one in said] == [(25, 28), (28, 29.5), (29.5, 31), (31, 33), (33, 35)], said
    assert {one[2] for one in said} == {("warm-1",)}


@given(
    events=st.lists(
        st.tuples(st.integers(0, 12), st.integers(0, 300), st.sampled_from(Severity)), min_size=2, max_size=12
    )
)
def test_whatever_grows_worse_no_sample_is_cut_twice_and_none_left_out(
    events: list[tuple[int, int, Severity]],
) -> None:
    """Each is told some time after it began, in the order in which it was decided."""
    snippets = stage()
    wanted = np.zeros(6000, bool)
    for i, (late_s, decided, severity) in enumerate(sorted(events, key=lambda one: one[1])):
        decided_ns = (100 + decided) * S // 10 + 15 * S
        start_ns = decided_ns - late_s * S
        snippets.feed(accel(0, 60)) if i == 0 else None
        snippets.cut_until(decided_ns)
        snippets.forget_before(decided_ns)
        phase = Phase.UPDATE
        snippets.event(f"bump-{i}", phase, severity, ["accel"], start_ns=start_ns, decided_ns=decided_ns)
        before_ns, after_ns = snippets.settings.span_ns(severity)
        wanted[(start_ns - before_ns) * 100 // S : (start_ns + after_ns) * 100 // S] = True
    snippets.cut_until(100 * S)
    sent = np.zeros(6000, int)
    for snippet in snippets.offered(100 * S, ended=True):
        for run in (run for part in snippet.parts for run in part.runs):
            sent[run.first : run.end] += 1
    assert sent.max(initial=0) <= 1, "twice"
    assert (sent[wanted] == 1).all(), "left out"


def test_what_began_long_ago_is_shown_as_it_was_noticed() -> None:
    snippets = stage()
    snippets.feed(accel(0, 200))
    snippets.event("tilt-1", Phase.START, Severity.MAJOR, ["accel"], start_ns=10 * S, decided_ns=150 * S)
    snippets.cut_until(200 * S)
    assert spans(snippets) == [(148.0, 153.0, ("tilt-1",))]


def test_a_shaking_that_does_not_end_is_cut_into_pieces_without_a_hole() -> None:
    snippets = stage()
    snippets.feed(accel(0, 120))
    for second in range(10, 100):
        snippets.cut_until(second * S)
        happen(snippets, f"bump-{second}", second, Severity.GENERAL)
    snippets.cut_until(120 * S)
    said = spans(snippets, 130)
    assert (said[0][0], said[-1][1]) == (9.5, 100.0), said
    assert all(one[1] == two[0] for one, two in itertools.pairwise(said)), said
    assert max(end - start for start, end, _ in said) <= LONGEST_NS / S, said


def test_the_memory_holds_seconds_and_no_more() -> None:
    """In short blocks, as a live box gives them."""
    snippets = stage()
    for i in range(6000):
        snippets.feed(accel(2 * i, 0.02))
        snippets.forget_before(round((i + 1) * 0.02 * S))
    second_bytes = 100 * 6
    most = (MEMORY_NS / S + 2 + 2) * second_bytes
    assert MEMORY_NS / S * second_bytes <= snippets.memory.held_bytes <= most, snippets.memory.held_bytes


def test_an_event_keeps_what_it_still_needs() -> None:
    snippets = stage(critical_before_s=20.0, critical_after_s=60.0)
    for second in range(100):
        for tenth in range(10):
            snippets.feed(accel(100 * second + 10 * tenth, 0.1))
        if second == 30:
            happen(snippets, "drop-1", 30, Severity.CRITICAL)
        snippets.cut_until((second + 1) * S)
        snippets.forget_before((second + 1) * S)
    assert spans(snippets, 110) == [(10.0, 90.0, ("drop-1",))]


def test_the_worst_goes_first_and_what_finds_no_room_is_counted() -> None:
    snippets = stage()
    for start_s, severity in ((10, Severity.GENERAL), (20, Severity.CRITICAL), (40, Severity.MAJOR)):
        snippets.feed(accel((start_s - 10) * 100, 20 if start_s > 10 else 10))
        happen(snippets, f"drop-{start_s}", start_s, severity)
        snippets.cut_until((start_s + 10) * S)
    offered = list(snippets.offered(60 * S))
    assert [one.events[0] for one in offered] == ["drop-20", "drop-40", "drop-10"]
    snippets.sent(offered[0])
    counts = [(snippets.waiting, snippets.withheld)]
    for at_s, ended in ((700, False), (800, True)):  # ten minutes on, and at the end
        list(snippets.offered(at_s * S, ended=ended))
        counts.append((snippets.waiting, snippets.withheld))
    assert counts == [(2, 0), (1, 1), (0, 2)]


def test_large_ones_come_in_parts_that_fit_a_packet() -> None:
    p = Pipeline(
        [TABLE["accel"]],
        head=Head("b", "0" * 16, "t"),
        fleet="f",
        upload=UploadSettings(budget=1.0),
        snippets=SnippetSettings(critical_before_s=5.0, critical_after_s=10.0),
    )
    rng = np.random.default_rng(3)
    values = rng.integers(-30_000, 30_000, (40_000, 3)).astype(np.int16)  # which no codec makes smaller
    block = Block("accel", 0, RegularClock.of_rate(1000), values)
    p._snippets.feed(block)  # type: ignore[union-attr]
    p._snippets.event(  # type: ignore[union-attr]
        "drop-1", Phase.START, Severity.CRITICAL, ["accel"], start_ns=20 * S, decided_ns=20 * S
    )
    p._snippets.cut_until(40 * S)  # type: ignore[union-attr]
    (snippet,) = p._snippets.offered(60 * S)  # type: ignore[union-attr]
    records = p.ordered(snippet, TABLE["accel"], 0)
    assert len(records) == -(-15_000 * 6 // PART_BYTES), len(records)
    assert max(len(r.payload) for r in records) < 1 << 16, max(len(r.payload) for r in records)
    again = np.concatenate([b.values for r in records for b in blocks_of(decode(r.payload))])
    assert np.array_equal(again, values[15_000:30_000])


@pytest.mark.parametrize("failing", ["raises", "other values", "other kind"])
def test_a_codec_that_fails_costs_bytes_and_no_sample(failing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    values = accel(0, 3).values

    def broken(_: bytes) -> Values:
        if failing == "raises":
            raise RuntimeError
        return values + 1 if failing == "other values" else values.astype(np.int32)

    monkeypatch.setattr("agent.sample_codec.decode", broken)
    told = coded(values)
    assert (told.codec, told.failed) == (RAW, True)
    assert np.array_equal(decoded(told.codec, told.data, "int16", 3), values)


# -- through the pipeline ----------------------------------------------------------------------


def run(items: Sequence[Item]) -> list[Record]:
    p = Pipeline(
        [TABLE[n] for n in NAMES],
        head=Head(box="b", boot="0" * 16, software="t"),
        fleet="f",
        upload=UploadSettings(batch_s=4, budget=0.9),
        snippets=SnippetSettings(minor_before_s=0.2, minor_after_s=0.2),
        coder=cached_coder,
    )
    records = [r for item in (*MARKS, *items) for r in p.push(item)]
    return records + p.finish()


REFERENCE = run(ALL)


def test_the_samples_are_those_of_the_sensor_to_the_bit_and_the_nanosecond() -> None:
    told = [decode(r.payload) for r in REFERENCE if r.kind is Kind.SNIPPET]
    assert {one["stream"] for one in told} >= {"accel", "pressure"}, told
    assert any(len(one["runs"]) > 1 for one in told), "no snippet spans the hole"
    for one in told:
        for block in blocks_of(one):
            whole = WHOLE[block.stream]
            where = slice(block.first, block.end)
            assert block.values.dtype == whole.values.dtype
            assert block.values.tobytes() == whole.values[where].tobytes()
            assert np.array_equal(block.times_ns(), whole.times_ns()[where])
            assert block.clock == whole.clock
            flags = np.zeros(len(block)) if block.quality is None else block.quality
            assert whole.quality is not None and np.array_equal(flags, whole.quality[where])


@settings(max_examples=25, deadline=None)
@given(interleavings())
def test_any_partition_gives_the_same_bytes(items: list[Item]) -> None:
    records = run(items)
    assert [(r.seq, r.topic, r.payload) for r in records] == [(r.seq, r.topic, r.payload) for r in REFERENCE]


@pytest.mark.parametrize("size", [2, 7, 64, 4096])
def test_uneven_clocks_and_numbers_that_are_none(size: int) -> None:
    """A drop with times of its own for each sample, and a NaN beside it, which stays what it is."""
    n = 3000
    values = np.random.default_rng(4).normal(0, 0.05, (n, 3)).astype(np.float32)
    values[:, 2] += 9.81
    values[1500:1570] *= 0.02
    values[1570:1573] = 80.0
    values[1480, 1] = np.nan
    times_ns = 7 + np.arange(n) * 5_000_000 + np.random.default_rng(5).integers(0, 900_000, n)
    whole = Block("accel", 0, ListedClock(0, times_ns, 5_000_000_000), values)

    def records(size: int) -> list[Record]:
        p = Pipeline(
            [TABLE["accel"]],
            head=Head("b", "0", "t"),
            fleet="f",
            upload=UploadSettings(budget=1.0),
            snippets=SnippetSettings(),
            coder=cached_coder,
        )
        cut = [whole.cut(i, min(i + size, n)) for i in range(0, n, size)]
        return [r for block in cut for r in p.push(block)] + p.finish()

    told = [r.payload for r in records(n)]
    assert [r.payload for r in records(size)] == told
    snippets = [one for payload in told if "data" in (one := decode(payload))]
    assert snippets
    with_nan = 0
    for block in (block for one in snippets for block in blocks_of(one)):
        assert block.values.tobytes() == values[block.first : block.end].tobytes()
        assert np.array_equal(block.times_ns(), times_ns[block.first : block.end])
        with_nan += int(np.isnan(block.values).any())
    assert with_nan, [one["first"] for one in snippets]


class _NotYet:
    """A coder that is behind for a while."""

    def __init__(self, values: Values) -> None:
        self.asked = 0
        self._coding = cached_coder(values)

    def ready(self) -> bool:
        self.asked += 1
        return self.asked > 2

    def result(self) -> Coded:
        return self._coding.result()


def test_a_slow_coder_holds_nothing_up() -> None:
    pieces: list[_NotYet] = []

    def slow(values: Values) -> Coding:
        pieces.append(_NotYet(values))
        return pieces[-1]

    snippets = Snippets(SnippetSettings(), ["accel"], slow)
    snippets.feed(accel(0, 60))
    happen(snippets, "drop-1", 30, Severity.MAJOR)
    snippets.cut_until(60 * S)
    offers = [len(list(snippets.offered(second * S))) for second in (60, 70, 80)]
    assert offers == [0, 0, 1], offers
