"""The promise: what it names is there, and what it tells a receiver to do is right."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from agent.config import Config
from agent.outbox import Outbox
from agent.records import Kind, Record, decode, encode
from tests.docs.contract import document as contract
from tests.house.tree import TOP
from tests.outbox.samples import BOOT, NEVER_S
from tests.outbox.test_room import features

PAGE = (TOP / "docs" / "guarantees.md").read_text(encoding="utf-8")
TABLE = PAGE.split("## In one table")[1].split("\n## ")[0]
Document = dict[str, Any]


def named(pattern: str) -> list[str]:
    found = sorted(set(re.findall(pattern, PAGE)))
    assert found, pattern
    return found


@pytest.mark.parametrize("name", named(r"`(tests/[\w./]+(?:::\w+)?)`"))
def test_every_test_that_is_named_is_there(name: str) -> None:
    path, _, function = name.partition("::")
    text = (TOP / path).read_text(encoding="utf-8")
    assert re.search(rf"^def {function or 'test_'}|TestCase\b", text, re.MULTILINE), name
    assert not function or f"def {function}(" in text, name


@pytest.mark.parametrize("name", named(r"`(scripts/\w+)"))
def test_every_proof_that_is_named_can_be_run(name: str) -> None:
    assert (TOP / name).stat().st_mode & 0o111, name


def test_every_proof_is_named() -> None:
    there = {f"scripts/{path.name}" for path in (TOP / "scripts").glob("prove_*")}
    assert there <= set(named(r"`(scripts/\w+)")), there


def test_every_module_to_be_run_is_there() -> None:
    for name in named(r"`python -m ([\w.]+)`"):
        assert (TOP / f"{name.replace('.', '/')}.py").exists(), name


def default_of(section: str, key: str) -> Any:
    return getattr(getattr(Config(), section), key)


@pytest.mark.parametrize("name", named(r"`(\[\w+\] \w+)`"))
def test_every_key_that_is_named_is_one(name: str) -> None:
    section, key = re.fullmatch(r"\[(\w+)\] (\w+)", name).groups()  # type: ignore[union-attr]
    assert key in {field.name for field in msgspec.structs.fields(getattr(Config(), section))}, name


@pytest.mark.parametrize(
    ("name", "figure"), re.findall(r"`(\[\w+\] \w+)`[^.|;`(\n]*\(([\d.]+) (?:s|MiB)\)", PAGE)
)
def test_every_figure_of_a_key_is_its_default(name: str, figure: str) -> None:
    section, key = name[1:].split("] ")
    assert default_of(section, key) == float(figure), name


@pytest.mark.parametrize("name", named(r"`queue\.(\w+)`"))
def test_what_health_is_to_say_is_described(name: str) -> None:
    assert name in contract()["components"]["schemas"]["QueueValues"]["properties"]


def test_every_line_says_by_what_it_is_shown() -> None:
    rows = [row.split(" | ") for row in TABLE.splitlines() if row.startswith("| ")][1:]
    assert len(rows) >= 12, rows
    for row in rows:
        assert "`" in row[2], row


@pytest.mark.parametrize(
    "of",
    ["power", "full", "read-only", "network", "broker", "clock", "corrupt", "again and again", "one name"],
)
def test_the_table_has_every_calamity(of: str) -> None:
    assert of in TABLE, of


@pytest.mark.parametrize("page", ["README.md", "docs/operators.md", "docs/engineers.md"])
def test_it_is_found(page: str) -> None:
    assert "guarantees.md" in (TOP / page).read_text(encoding="utf-8")


def ledger() -> tuple[Callable[[Document], bool], Callable[[str, str], set[int]]]:
    """Return `is_new` and `holes` as the page has them."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    return names["is_new"], names["holes"]


def an_event(seq: int, kind: Kind = Kind.EVENT) -> Record:
    body = {"v": 1, "box": "box", "boot": BOOT, "seq": seq, "note": "x" * 200}
    return Record(kind, BOOT, seq, f"cargobox/1/fleet/box/{kind}", encode(body))


def arriving(outbox: Outbox, chance: random.Random) -> Iterator[Document]:
    """Yield what comes to the far end: in parts, some of it twice, one in seven refused."""
    while parcels := outbox.take(20, timeout_s=0):
        for parcel in parcels:
            if chance.random() < 0.15 and parcel.kind != Kind.GAP:
                outbox.set_aside(parcel.doc_id, "not authorised")
                continue
            yield decode(parcel.payload)
            if chance.random() < 0.7:
                outbox.acknowledge([parcel.doc_id])
        outbox.release_all()


def gaps(outbox: Outbox, seq: int) -> int:
    """Put the gap records that are owed; return the next number."""
    losses = outbox.take_dropped(everything=True)
    records = []
    for loss in losses:
        body = {"v": 1, "box": "box", "boot": BOOT, "seq": seq, **loss.body()}
        records.append(Record(Kind.GAP, BOOT, seq, "cargobox/1/fleet/box/gap", encode(body)))
        seq += 1
    outbox.put_gaps(losses, records)
    return seq


@pytest.mark.parametrize("seed", range(4))
def test_the_ledger_over_a_store_that_ran_full(tmp_path: Path, seed: int) -> None:
    """A day without a network in a store of 20 kB, a part of it sent before, refusals, repetitions."""
    chance = random.Random(seed)
    is_new, holes = ledger()
    came: list[Document] = []
    seq = 0
    with Outbox(tmp_path, commit_window_s=NEVER_S, segment_bytes=2000, max_bytes=20_000) as outbox:
        for _ in range(150):
            if chance.random() < 0.7:
                outbox.put([features(seq)])
            else:
                outbox.put([an_event(seq, chance.choice([Kind.EVENT, Kind.ALARM]))])
            seq += 1
            if chance.random() < 0.1:
                outbox.flush()
                came += [decode(p.payload) for p in outbox.take(5, timeout_s=0)]  # and lost: no PUBACK
                outbox.release_all()
        outbox.flush()
        seq = gaps(outbox, seq)
        assert outbox.stats().thinned and outbox.stats().dropped, "else it shows little"
        came += arriving(outbox, chance)
        seq = gaps(outbox, seq)
        came += arriving(outbox, chance)
        seq = gaps(outbox, seq)
        came += arriving(outbox, chance)
        assert not outbox.waiting() and outbox.stats().set_aside
    new = [is_new(document) for document in came]
    assert holes("box", BOOT) == set(), (holes("box", BOOT), seq)
    assert not any(map(is_new, came)), "all of it has come before"
    assert 0 < new.count(True) < len(new), "some came twice"
    told = {n for d in came if "of" in d for first, last in d["seqs"] for n in range(first, last + 1)}
    lost = next(d["seq"] for d in came if d.get("note") and d["seq"] not in told)
    is_new, holes = ledger()
    for document in came:
        if document["seq"] != lost:
            is_new(document)
    assert holes("box", BOOT) == {lost}, "and a loss that is not told of is seen"


def test_a_coarser_record_with_a_number_that_has_come_is_not_thrown_away() -> None:
    is_new, holes = ledger()
    head = {"box": "b", "boot": "1"}
    assert is_new({**head, "seq": 3}) and not is_new({**head, "seq": 3})
    assert holes("b", "1") == {0, 1, 2}
    assert is_new({**head, "seq": 3, "seqs": [[1, 3]]}) and holes("b", "1") == {0}
    assert is_new({"box": "b", "boot": "2", "seq": 0, "of": "1", "seqs": [[0, 0]]})
    assert holes("b", "1") == set() == holes("b", "2")


def test_the_ledger_is_short_enough_to_be_typed_in() -> None:
    (code,) = cast("list[str]", re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
    lines = [line for line in code.splitlines() if line.strip() and '"""' not in line]
    assert len(lines) <= 14, len(lines)
