"""The ring: bounded, kept where it must be, and neither ended nor held up by a card that refuses."""

from __future__ import annotations

import errno
import itertools
import os
from pathlib import Path

import pytest

from agent.blocks import NS_PER_S, Block
from agent.health.troubles import troubles
from agent.outbox.files import Disk
from agent.recorder import shelf
from agent.recorder.incidents import Incident
from agent.recorder.ring import Ring
from tests.recorder.rings import (
    BLOCK,
    BOOT,
    PLENTY,
    RATE_HZ,
    drive,
    names,
    read_by_stock_tools,
    recorded,
    ring_at,
)

T = "2027-01-15T08:00:00.000000Z"


def incident(name: str, begin_s: float, end_s: float) -> Incident:
    spans = ((round(begin_s * NS_PER_S), round(end_s * NS_PER_S)),)
    return Incident(f"{BOOT}-{name}", name, 3, spans, T)


def fill(ring: Ring, seconds: float, start_s: float = 10.0) -> int:
    end = 0
    for item in drive(seconds, start_s=start_s):
        ring.write(item)
        if isinstance(item, Block) and item.stream == "accel":
            end = item.end
    return end


def test_every_sample_is_in_one_file_and_stock_tools_read_each(tmp_path: Path) -> None:
    ring = ring_at(tmp_path)
    end = fill(ring, 3.5)
    ring.close()
    assert recorded(tmp_path) == {"accel": list(range(end)), "temperature": [0, 1, 2, 3]}
    files = shelf.files_in(tmp_path)
    assert len(files) == 4 and [file.state for file in files] == ["whole"] * 4
    assert [file.path.name for file in files] == names(tmp_path), "names must sort as they were made"
    assert BOOT in files[0].path.name and "20270115T080010Z" in files[0].path.name, files[0].path.name
    assert all(read_by_stock_tools(file.path) for file in files)
    extents = [file.extent for file in files]
    assert all(a and b and a.start_ns < b.start_ns for a, b in itertools.pairwise(extents))


def test_the_oldest_go_when_there_are_too_many_bytes(tmp_path: Path) -> None:
    """20 kB/s: half a MiB beside the file that is open is some 26 s."""
    ring = ring_at(tmp_path, {"max_mib": 0.5, "file_mib": 0.25})
    fill(ring, 40.0)
    ring.close()
    size_bytes = sum(path.stat().st_size for path in tmp_path.glob("*.mcap"))
    assert 0.2 * (1 << 20) < size_bytes <= 0.5 * (1 << 20), size_bytes
    kept = recorded(tmp_path)["accel"]
    assert kept[-1] == 40 * RATE_HZ - 1 and kept == list(range(kept[0], kept[-1] + 1)), (kept[0], kept[-1])
    assert names(tmp_path)[0] > "00000010", names(tmp_path)


def test_a_small_ring_keeps_its_bound_whatever_a_file_may_be(tmp_path: Path) -> None:
    """At every moment, with the file that is open: `file_mib` alone would let that one grow beyond it."""
    ring = ring_at(tmp_path, {"max_mib": 0.4, "file_mib": 16.0, "file_s": 600.0})
    largest_bytes = 0
    for item in drive(60.0):
        ring.write(item)
        largest_bytes = max(largest_bytes, ring.look()["bytes"])
    ring.close()
    assert 0.2 * (1 << 20) < largest_bytes <= 0.4 * (1 << 20), largest_bytes


def test_what_waits_is_on_the_card_after_a_while_also_when_nothing_follows(tmp_path: Path) -> None:
    """A cable that an accident pulls ends the samples; the power may go an hour later."""
    ring = ring_at(tmp_path, {"sync_s": 0.1, "chunk_kib": 64})
    items = list(drive(0.5))
    for item in items:
        ring.write(item)
    opened = ring._open
    assert opened is not None and opened.waits_since_s is not None
    opened.waits_since_s -= 0.2
    ring.rest()
    size_bytes = opened.path.stat().st_size
    assert recorded(tmp_path)["accel"] == list(range(RATE_HZ // 2))
    ring.rest()
    assert opened.path.stat().st_size == size_bytes
    ring.close()


def test_an_incident_keeps_its_files_and_the_second_bound_lets_the_oldest_go(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ring = ring_at(tmp_path, {"max_mib": 0.3, "file_mib": 0.25, "kept_mib": 0.2})
    for i, item in enumerate(drive(30.0)):
        ring.write(item)
        if i == 200:  # 4 s on: it reaches back into files that are closed, and ahead of the present
            ring.write(incident("drop-1", 12.0, 15.5))
    kept = [(file, keeps) for file, keeps in ring.files() if keeps]
    extents = [file.extent for file, _ in kept]
    assert len(kept) in (4, 5) and extents[0] and extents[-1], [file.number for file, _ in kept]
    assert extents[0].start_ns <= 12 * NS_PER_S and extents[-1].end_ns >= 15.5 * NS_PER_S, extents
    assert {keep.why for _, keeps in kept for keep in keeps} == {"drop-1"}
    again = ring_at(tmp_path / "none")
    assert again.files() == []
    ring.write(incident("drop-2", 36.0, 39.0))
    fill_on = [item for item in drive(34.0) if isinstance(item, Block) and item.start_ns >= 40 * NS_PER_S]
    for item in fill_on:
        ring.write(item)
    ring.close()
    assert "drop-1" in caplog.text and "no longer kept" in caplog.text
    whys = {keep.why for _, keeps in ring.files() for keep in keeps}
    assert whys == {"drop-2"}, "the oldest incident goes, not the newest"
    told = ring.look()
    assert (told["let_go"], told["last_let_go"]) == (1, f"{BOOT}-drop-1")
    assert [words for _, words in troubles({"recorder": told}, {})] == [
        f"recordings of 1 incident, the last {BOOT}-drop-1, are no longer kept: no room"
    ]
    assert [path.name for path in tmp_path.glob("*.keep")] == [f"{BOOT}-drop-2.keep"]


def test_what_is_kept_outlives_the_agent_and_a_person_may_release_it(tmp_path: Path) -> None:
    ring = ring_at(tmp_path)
    fill(ring, 3.0)
    ring.write(incident("shock-1", 10.5, 11.5))
    ring.close()
    later = ring_at(tmp_path, {"max_mib": 0.01, "file_mib": 0.001}, boot="f" * 16)
    for item in drive(2.0):
        later.write(item)
    assert names(tmp_path)[0].startswith("00000001") and names(tmp_path)[1].startswith("00000002")
    (tmp_path / f"{BOOT}-shock-1.keep").unlink()
    later._make_room()
    assert not [name for name in names(tmp_path) if BOOT in name], "released, and still there"
    later.close()


class Moody(Disk):
    """Refuses what it is told to."""

    refuses: frozenset[str] = frozenset()
    error = errno.ENOSPC

    def write_at(self, fd: int, offset: int, data: bytes) -> None:
        if "write" in self.refuses:
            super().write_at(fd, offset, data[: len(data) // 2])
            raise OSError(self.error, os.strerror(self.error))
        super().write_at(fd, offset, data)

    def create(self, path: Path) -> int:
        if "create" in self.refuses:
            raise OSError(self.error, os.strerror(self.error))
        return super().create(path)

    def sync(self, fd: int) -> None:
        if "sync" in self.refuses:
            raise OSError(self.error, os.strerror(self.error))
        super().sync(fd)


@pytest.mark.parametrize("refuses", ["write", "sync", "write create sync"])
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS, errno.ETIMEDOUT])
def test_a_card_that_refuses_pauses_the_ring_and_it_goes_on(
    tmp_path: Path,
    refuses: str,
    error: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "cargobox")
    now_s = [100.0]
    monkeypatch.setattr("agent.recorder.ring.time.monotonic", lambda: now_s[0])
    disk = Moody()
    disk.error = error
    ring = ring_at(tmp_path, disk=disk)
    end = 0
    for i, item in enumerate(drive(6.0)):
        now_s[0] += 0.02
        disk.refuses = frozenset(refuses.split()) if 80 <= i < 150 else frozenset()
        ring.write(item)
        if i == 149:
            assert ring.look()["paused"] and os.strerror(error) in ring.look()["trouble"]
            assert ring.take_missed() == [], "told once it is over"
        if isinstance(item, Block) and item.stream == "accel":
            end = item.end
    assert ring.trouble == ""
    (missed,) = [m for m in ring.take_missed() if m.stream == "accel"]
    ring.close()
    there = set(recorded(tmp_path)["accel"])
    gone = set(range(missed.first, missed.last + 1))
    assert there | gone == set(range(end)), "neither recorded nor told of"
    assert 50 * BLOCK < len(gone) < 220 * BLOCK and missed.reason == "card", (missed, len(gone))
    if refuses != "sync":  # what was written and not synced is there, and sure is only what was synced
        assert not there & gone
    assert caplog.text.count("recordings pause") == 1 and caplog.text.count("takes them again") == 1
    assert all(read_by_stock_tools(tmp_path / name) for name in names(tmp_path))


def test_it_leaves_the_outbox_its_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [100.0]
    monkeypatch.setattr("agent.recorder.ring.time.monotonic", lambda: now_s[0])
    free = [PLENTY]
    ring = ring_at(tmp_path, {"min_free_mib": 500.0}, free_bytes=lambda _: free[0])
    for i, item in enumerate(drive(20.0)):
        now_s[0] += 0.02
        if i == 400:
            free[0] = 400 << 20
        if i == 700:
            assert "500" not in ring.trouble and "the outbox's" in ring.trouble
            assert len(names(tmp_path)) <= 1, "first the oldest recordings go"
            free[0] = PLENTY
        ring.write(item)
    assert not ring.trouble
    ring.close()
    assert sum(m.last - m.first + 1 for m in ring.take_missed() if m.stream == "accel") > 100 * BLOCK


def test_two_agents_do_not_share_a_ring(tmp_path: Path) -> None:
    first, second = ring_at(tmp_path), ring_at(tmp_path, boot="f" * 16)
    fill(first, 0.5)
    fill(second, 0.5)
    assert "another process" in second.trouble and len(names(tmp_path)) == 1
    first.close()
    second.close()
    assert {name[-21:-5] for name in names(tmp_path)} == {BOOT}


def test_a_block_that_no_file_can_hold_is_told_once_and_no_pause(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ring = ring_at(tmp_path)
    fill(ring, 0.1)
    block = next(item for item in drive(0.1) if isinstance(item, Block))
    for first in (0, 64):
        ring.write(Block("gyro", first, block.clock, block.values))
    ring.close()
    assert caplog.text.count("a block of 'gyro'") == 1 and not ring.trouble
    assert [(m.stream, m.first, m.last) for m in ring.take_missed()] == [("gyro", 0, 127)]


def test_it_is_read_while_it_is_written(tmp_path: Path) -> None:
    ring = ring_at(tmp_path)
    end = fill(ring, 2.5)
    found = recorded(tmp_path)["accel"]
    assert found == list(range(len(found))) and end - len(found) < 2000, (end, len(found))
    assert [file.state for file in shelf.files_in(tmp_path)] == ["whole", "whole", "open"]
    ring.close()


def test_the_counts_of_what_is_written_wear_the_card(tmp_path: Path) -> None:
    ring = ring_at(tmp_path)
    fill(ring, 5.0)
    size_bytes = sum(path.stat().st_size for path in tmp_path.glob("*.mcap"))
    ring.close()
    written = ring._wear.written_bytes
    assert size_bytes < written < 8 * size_bytes, (size_bytes, written)
    assert (tmp_path / "wear.json").exists()
