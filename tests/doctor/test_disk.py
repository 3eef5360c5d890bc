"""The card under the outbox, on real file systems: in memory, full, read-only, somebody else's."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from agent.doctor import Patient, State, disk
from agent.outbox import Outbox
from tests.doctor.looking import about, as_nobody, only, patient, public_folder, states

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root mounts file systems and gives files away")


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB in memory, where the outbox is."""
    folder = tmp_path / "outbox"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m,nr_inodes=20", "tmpfs", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("this machine does not let us mount")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_no_configuration() -> None:
    assert only(disk.check(Patient())).state is State.SKIPPED


def test_a_folder_that_is_not_there_yet_is_not_made(tmp_path: Path) -> None:
    found = list(disk.check(patient(tmp_path)))
    assert not states(found) & {State.WRONG}, found
    writing = about(found, "writing to")
    assert writing.found.startswith(f"{tmp_path / 'outbox'} will be made here; 4 KiB are safe after")
    assert 0 <= writing.figures["sync_median_ms"] <= writing.figures["sync_max_ms"]
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


def test_room_is_told(tmp_path: Path) -> None:
    room = about(disk.check(patient(tmp_path)), "room at")
    free_mib = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize / 2**20
    assert room.figures["free_mib"] == pytest.approx(free_mib, rel=0.2)
    assert room.figures["outbox_max_mib"] == 512


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "outbox").write_text("")
    found = only(disk.check(patient(tmp_path)))
    assert found.state is State.WRONG and found.found == "it is a file"


def test_a_running_agent_is_told_of(tmp_path: Path) -> None:
    with Outbox(tmp_path / "outbox"):
        found = list(disk.check(patient(tmp_path)))
    held = next(f for f in found if "agent has it open" in f.found)
    assert held.state is State.OK and held.figures == {"in_use_by_pid": os.getpid()}
    assert about(found, "writing to").state in {State.OK, State.WARNING}


@needs_root
def test_a_small_file_system_in_memory(tmp_path: Path, mounted: Path) -> None:
    found = list(disk.check(patient(tmp_path)))
    room = about(found, "room at")
    assert room.state is State.WRONG and "(tmpfs)" in room.found, "1 MiB is not room enough"
    assert about(found, "writing to").state is State.OK
    roomy = msgspec.structs.replace(
        patient(tmp_path).config,  # type: ignore[type-var]
        outbox=msgspec.structs.replace(patient(tmp_path).config.outbox, max_mib=0.5),  # type: ignore[union-attr]
    )
    subprocess.run(["mount", "-o", "remount,nr_inodes=5000", str(mounted)], check=True)
    room = about(disk.check(Patient(config=roomy)), "room at")
    assert room.state is State.WARNING and "kept in memory" in room.found, room


@needs_root
def test_a_full_file_system(tmp_path: Path, mounted: Path) -> None:
    (mounted / "filler").write_bytes(bytes(1 << 20))
    found = list(disk.check(patient(tmp_path)))
    assert about(found, "writing to").state is State.WRONG
    assert "No space left on device" in about(found, "writing to").found
    assert [f.name for f in mounted.iterdir()] == ["filler"]


@needs_root
def test_no_room_for_another_file(tmp_path: Path, mounted: Path) -> None:
    for number in range(19):
        (mounted / str(number)).touch()
    writing = about(disk.check(patient(tmp_path)), "writing to")
    assert writing.state is State.WRONG and "No space left" in writing.found and "df -i" in writing.remedy


@needs_root
def test_a_card_gone_read_only(tmp_path: Path, mounted: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(mounted)], check=True)
    found = list(disk.check(patient(tmp_path)))
    broken = next(f for f in found if "read-only" in f.found)
    assert broken.state is State.WRONG and "mmc" in broken.remedy
    assert not any("writing" in f.subject for f in found)


@needs_root
def test_a_folder_of_somebody_else() -> None:
    with public_folder() as folder:
        (folder / "outbox").mkdir()
        (folder / "box.toml").write_text('[outbox]\ndirectory = "outbox"\n[broker]\nhost = "127.0.0.1"\n')
        done = as_nobody("doctor", "--config", folder / "box.toml", "--json", cwd=folder)
    assert done.stdout, done.stderr
    writing = next(f for f in json.loads(done.stdout)["findings"] if "writing to" in f["subject"])
    assert writing["state"] == "wrong", writing
    assert writing["found"] == "permission denied: it belongs to root, and this is nobody"
    assert "chown -R nobody" in writing["remedy"]
