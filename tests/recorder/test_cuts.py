"""A power cut at any call to the disk and within writes: files open, one chunk is lost at most, and said."""

from __future__ import annotations

import shutil
from pathlib import Path

from agent.blocks import Block
from agent.recorder import shelf
from agent.recorder.mcap_writer import JOIN_SAMPLES
from agent.recorder.mending import mend
from tests.outbox.cutting_disk import CuttingDisk, Snapshot
from tests.recorder.rings import BLOCK, drive, names, read_by_stock_tools, recorded, ring_at

CHUNK_SAMPLES = 4 * 1024 // 6 + JOIN_SAMPLES
"""4 KiB of three axes of 16 bits; it ends with a whole message."""


def test_at_any_moment(tmp_path: Path) -> None:
    directory, after = tmp_path / "ring", tmp_path / "after"
    directory.mkdir()
    handed = 0
    cuts: dict[tuple[str, ...], int] = {}
    worst = 0

    def on_cut(what: str, snapshot: Snapshot) -> None:
        nonlocal worst
        files = {name: data for name, data in snapshot.items() if name.endswith((".mcap", ".keep"))}
        key = tuple(f"{name}:{hash(data)}" for name, data in sorted(files.items()))
        if key in cuts:
            return
        cuts[key] = 1
        shutil.rmtree(after, ignore_errors=True)
        after.mkdir()
        for name, data in files.items():
            (after / name).write_bytes(data)
        again = ring_at(after, boot="f" * 16)
        again.write(next(item for item in drive(0.1) if isinstance(item, Block)))
        again.close()
        assert not list(after.glob("*.damaged")), what
        for path in after.glob("*.mcap"):
            assert read_by_stock_tools(path)
            shelf.files_in(after)
        for file in shelf.files_in(after):
            assert file.state in ("whole", "cut"), (what, file)
            if file.state == "cut":
                assert file.extent is not None and "at most one chunk" in file.extent.lost
        for name in [name for name in names(after) if "f" * 16 in name]:
            (after / name).unlink()
        found = recorded(after).get("accel", [])
        assert found == list(range(len(found))), f"{what}: a hole in the middle"
        lost = handed - len(found)
        worst = max(worst, lost)
        # what waits to be joined, the chunk that is filled, and the one that the cut met
        assert lost <= CHUNK_SAMPLES + JOIN_SAMPLES + BLOCK, f"{what}: {lost} samples are lost"

    disk = CuttingDisk(directory, on_cut, every=1500)
    ring = ring_at(directory, {"file_s": 0.5}, disk=disk)
    for item in drive(1.2):
        if isinstance(item, Block) and item.stream == "accel":
            handed = item.end
        ring.write(item)
    ring.close()
    assert len(cuts) > 60 and worst > BLOCK, (len(cuts), worst)
    assert disk.steps["write"] > 30 and disk.steps["create"] >= 3, disk.steps


def test_mending_is_cut_too(tmp_path: Path) -> None:
    """Whatever of the new end is there, the file is mended again, and nothing more is lost."""
    ring = ring_at(tmp_path / "ring", {"file_s": 60.0})
    for item in drive(1.0):
        ring.write(item)
    (name,) = names(tmp_path / "ring")
    torn = (tmp_path / "ring" / name).read_bytes() + b"\x06\x10\0\0"
    before = len(recorded(tmp_path / "ring")["accel"])
    directory = tmp_path / "mending"
    directory.mkdir()
    (directory / name).write_bytes(torn)
    states = 0

    def on_cut(what: str, snapshot: Snapshot) -> None:
        nonlocal states
        states += 1
        again = tmp_path / f"again-{states}"
        again.mkdir()
        path = again / name
        path.write_bytes(snapshot[name])
        if shelf.look_at(path).state != "cut":  # type: ignore[union-attr]
            found = mend(path, ring._disk, 5.0)
            assert found.extent is not None, what
        assert len(recorded(again)["accel"]) == before
        assert read_by_stock_tools(path)

    found = mend(directory / name, CuttingDisk(directory, on_cut, every=900), 5.0)
    assert found.torn_bytes == 4 and states > 8, (found, states)
    ring.close()


def test_a_file_whose_first_chunk_is_damaged_is_mended_with_its_channels(tmp_path: Path) -> None:
    ring = ring_at(tmp_path, {"file_s": 60.0})
    for item in drive(1.0):
        ring.write(item)
    ring.close()
    (name,) = names(tmp_path)
    path = tmp_path / name
    data = bytearray(path.read_bytes())
    data[data.index(b"zstd") + 200] ^= 1
    path.write_bytes(data[: len(data) * 2 // 3])
    found = mend(path, ring._disk, 5.0)
    assert found.damaged_places == 1 and found.chunks >= 2, found
    assert read_by_stock_tools(path) >= 2
    assert found.extent is not None and "1 damaged places before" in found.extent.lost
