"""A ring on a card that somebody has been at: odd things in its folder, flipped bits, files taken away."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.blocks import NS_PER_S
from agent.cli import main
from agent.recorder import holdings, reading, shelf
from agent.recorder.incidents import Incident
from agent.recorder.ring import Ring
from agent.timebase import rfc3339
from tests.recorder.rings import BOOT, WALL_NS, drive, names, recorded, ring_at

LATER = "f" * 16
NAME = "{number}_20270115T080000Z_" + BOOT + ".mcap"
PUT: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "folder": lambda path: path.mkdir(),
    "device": lambda path: path.symlink_to("/dev/zero"),
    "link": lambda path: path.symlink_to(path.with_name("nowhere")),
}


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    def tell(*_: object) -> None:
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, tell)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def fill(ring: Ring, seconds: float = 3.0) -> None:
    for item in drive(seconds):
        ring.write(item)
    ring.close()


def told(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    capsys.readouterr()
    status = main(["recordings", *words, "--json"])
    return status, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("what", PUT)
def test_what_is_no_file_is_left_alone_and_said(
    what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    strange, keep = tmp_path / NAME.format(number="00000001"), tmp_path / "x.keep"
    PUT[what](strange)
    PUT[what](keep)
    ring = ring_at(tmp_path)
    fill(ring)
    assert not ring.trouble and len(recorded(tmp_path)["accel"]) == 3 * 3200
    assert strange.name in caplog.text and "no plain files" in caplog.text
    status, document = told(capsys, "list", "--dir", str(tmp_path))
    assert status == 1 and sum("no plain file" in words for words in document["wrong"]) == 2
    assert told(capsys, "verify", "--dir", str(tmp_path))[0] == 0
    assert os.path.lexists(strange) and os.path.lexists(keep)


@pytest.mark.parametrize(
    "keep",
    [
        b"",
        b"\0" * 300,
        b"[" * 100_000,
        b'{"id": "x", "boot": "' + BOOT.encode() + b'", "why": "", "spans": []}',
        b'{"id": "../outside", "boot": "' + LATER.encode() + b'", "why": "", "spans": [[1, 2]]}',
        b'{"id": "x", "boot": "' + BOOT.encode() + b'", "why": "", "spans": [[1, 1e400]]}',
        b" " * (2 << 20),
    ],
    ids=["empty", "torn", "deep", "no spans", "another's name", "endless", "huge"],
)
def test_a_keep_that_is_none_is_said_once_and_nothing_else_is_harmed(
    keep: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "ring"
    folder.mkdir()
    outside = tmp_path / "outside.keep"
    outside.write_bytes(b"mine")
    (folder / "x.keep").write_bytes(keep)
    ring = ring_at(folder)
    fill(ring)
    assert not ring.trouble and len(names(folder)) == 3
    assert outside.read_bytes() == b"mine" and (folder / "x.keep").read_bytes() == keep
    assert caplog.text.count("what is kept cannot be read") == 1, "it is looked at every few seconds"
    status, document = told(capsys, "list", "--dir", str(folder))
    assert status == 1 and "x.keep" in document["wrong"][0]


def test_the_last_number_of_eight_digits_is_not_the_last(tmp_path: Path) -> None:
    """With a name of nine digits it would be no file of the ring any more, and fill the card."""
    fill(ring_at(tmp_path), 1.0)
    (first,) = names(tmp_path)
    (tmp_path / first).rename(tmp_path / first.replace("00000001", "99999999"))
    ring = ring_at(tmp_path, boot=LATER)
    fill(ring, 2.5)
    assert len(ring.files()) == 4 and {file.number for file, _ in ring.files()} > {99_999_999, 100_000_000}


def test_flipped_bits_end_no_ring_and_take_no_other_file_with_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One to sixteen bits in heads, chunks, ends and metadata, of ended files and of one that is not."""
    rng = random.Random(8)
    master = tmp_path / "master"
    ring = ring_at(master)
    for item in drive(3.5):
        ring.write(item)
    assert ring._open is not None
    ring._open.recorder.flush()
    shutil.copytree(master, tmp_path / "copy")
    ring.close()
    files = names(tmp_path / "copy")
    assert len(files) == 4
    for round_ in range(120):
        folder = tmp_path / "now"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(tmp_path / "copy", folder)
        hit = folder / rng.choice(files)
        data = bytearray(hit.read_bytes())
        near = rng.choice(["head", "end", "any"])
        for _ in range(rng.choice([1, 1, 2, 16])):
            low, high = {"head": (0, 900), "end": (len(data) - 900, len(data)), "any": (0, len(data))}[near]
            data[rng.randrange(max(0, low), min(high, len(data)))] ^= 1 << rng.randrange(8)
        hit.write_bytes(data)
        others = {name: (folder / name).read_bytes() for name in files if name != hit.name}
        again = ring_at(folder, boot=LATER)
        for item in drive(0.1, start_s=99.0):
            again.write(item)
        again.close()
        where = f"round {round_}: {hit.name}, {near}"
        assert not again.trouble, where
        for name, before in others.items():
            if name != files[-1]:  # which was not ended, and is now
                assert (folder / name).read_bytes() == before, where
        left = {path.name.removesuffix(shelf.DAMAGED_SUFFIX) for path in folder.iterdir()}
        assert left >= set(files), f"{where}: a file is gone"
        told(capsys, "list", "--dir", str(folder))
        told(capsys, "verify", "--dir", str(folder))
        for excerpt in reading.read(folder, 0, 1 << 62):
            for _ in excerpt.items:
                pass


def test_one_file_that_the_card_does_not_give_back_is_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / NAME.format(number="00000001")).write_bytes(b"\x89MCAP0\r\n")

    def mend(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(holdings, "mend", mend)
    ring = ring_at(tmp_path)
    fill(ring)
    assert not ring.trouble and len(list(tmp_path.glob("*.damaged"))) == 1 and len(names(tmp_path)) == 3


def test_a_file_that_is_taken_away_while_it_is_written_is_noticed_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.recorder.ring.LOOK_S", 0.0)
    monkeypatch.setattr("agent.recorder.ring.RETRY_MIN_S", 0.0)
    ring = ring_at(tmp_path, {"file_s": 100.0})
    items = list(drive(6.0))
    missed = []
    for at, item in enumerate(items):
        ring.write(item)
        if at == len(items) // 2:
            assert ring._open is not None
            ring._open.path.unlink()
        missed += ring.take_missed()
    ring.close()
    gone = next(one for one in missed if one.stream == "accel")
    there = recorded(tmp_path)["accel"]
    assert gone.first == 0 and sorted({*range(gone.first, gone.last + 1), *there}) == list(range(6 * 3200))
    assert there, "it goes on in another file"


def test_an_incident_between_two_files_is_on_the_card_at_once(tmp_path: Path) -> None:
    ring = ring_at(tmp_path, {"file_s": 100.0})
    for item in drive(2.0):
        ring.write(item)
    assert ring._open is not None
    ring._end_file(ring._open)
    ring.write(Incident(f"{BOOT}-drop-1", "x", 4, ((0, 1 << 60),), ""))
    assert [path.name for path in tmp_path.glob("*.keep")] == [f"{BOOT}-drop-1.keep"], "before any other item"
    ring.close()


def test_the_whole_folder_taken_away_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.recorder.ring.LOOK_S", 0.0)
    monkeypatch.setattr("agent.recorder.ring.RETRY_MIN_S", 0.0)
    folder = tmp_path / "ring"
    ring = ring_at(folder)
    items = list(drive(6.0))
    for at, item in enumerate(items):
        ring.write(item)
        if at == len(items) // 2:
            shutil.rmtree(folder)
    ring.close()
    assert not ring.trouble and len(recorded(folder)["accel"]) > 3200


@pytest.mark.parametrize(
    "times",
    [
        ("9" * 400 + "d", "now"),
        ("1e9d", "now"),
        ("999999d", "now"),
        ("0001-01-01T00:00:00", "now"),
        ("now", "now"),
        ("0001-01-01T00:00:00-23:59", "9999-12-31T23:59:59+23:59"),
        ("nan", "inf"),
        ("٣d", "now"),
        ("2027-01-15T08:00:00Z\x1b[2J", "now"),
    ],
)
def test_absurd_times_are_refused_in_words(
    times: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(ring_at(tmp_path))
    for what in (["keep", *times], ["export", *times, str(tmp_path / "out.mcap")]):
        status = main(["recordings", *what, "--dir", str(tmp_path)])
        said = capsys.readouterr()
        assert status in (0, 1, 2) and "\x1b" not in said.err, said.err
        if status:
            assert said.err.startswith("error: ") and len(said.err) < 1000, said.err
    assert not list(tmp_path.glob("*.part"))


def test_two_keeps_within_a_second_are_two_and_what_they_say_steers_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(ring_at(tmp_path))
    spans = [(rfc3339(WALL_NS + round(a * NS_PER_S)), rfc3339(WALL_NS + round(b * NS_PER_S)))
             for a, b in ((10.2, 10.5), (12.2, 12.5))]  # fmt: skip
    kept = [
        told(capsys, "keep", *span, "--dir", str(tmp_path), "--why", "\x1b[2J\nno")[1]["kept"][0]
        for span in spans
    ]
    assert len(set(kept)) == 2 == len(list(tmp_path.glob("*.keep")))
    main(["recordings", "list", "--dir", str(tmp_path)])
    assert "\x1b" not in (said := capsys.readouterr().out) and r"\x1b[2J\nno" in said, said
    assert main(["recordings", "release", "", "--dir", str(tmp_path)]) == 2
    assert main(["recordings", "keep", *spans[0], "--dir", str(tmp_path), "--why", "x" * 9999]) == 2


def test_a_keep_of_all_times_is_written_and_read_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(ring_at(tmp_path))
    assert main(
        ["recordings", "keep", "1970-01-02T00:00:00Z", "2200-01-01T00:00:00Z", "--dir", str(tmp_path)]
    ) == 0  # fmt: skip
    capsys.readouterr()
    status, document = told(capsys, "list", "--dir", str(tmp_path))
    assert status == 0 and all(file["kept"] for file in document["files"])
    later = ring_at(tmp_path, {"max_mib": 0.01, "file_mib": 0.001}, boot=LATER)
    later.write(Incident("f-1", "x", 3, ((0, 1),), ""))
    fill(later, 1.0)
    assert [name for name in names(tmp_path) if BOOT in name], "kept"
