"""The short form of scripts/prove_recordings: its witness is killed instead of a machine; a loss is found."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scripts.virtual_pi.forgetful_disk import ForgetfulDisk
from scripts.virtual_pi.paths import TOP
from scripts.virtual_pi.recording_cuts import RecordingCuts
from scripts.virtual_pi.ring_witness import FAST_HZ

FIRST, SECOND = f"{1:016x}", f"{2:016x}"
WORDS = [sys.executable, "-m", "scripts.virtual_pi.ring_witness"]


def recorded(folder: Path, boot: str, cuts: RecordingCuts, enough: Callable[[str], bool]) -> None:
    """Let the witness record until a line of it is enough, and kill it."""
    words = [*WORDS, "record", str(folder), boot]
    with subprocess.Popen(words, cwd=TOP, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            cuts.hear(line.rstrip("\n"))
            if enough(line):
                break
        process.kill()


def found_in(folder: Path) -> dict[str, Any]:
    done = subprocess.run([*WORDS, "check", str(folder)], cwd=TOP, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def has_recorded_a_second(line: str) -> bool:
    return line.startswith("H ") and json.loads(line[2:])["accel"] > FAST_HZ


def test_what_the_witness_called_synced_and_kept_is_there_after_a_kill(tmp_path: Path) -> None:
    cuts = RecordingCuts(tmp_path, seed=1)
    ring = tmp_path / "ring"
    recorded(ring, FIRST, cuts, lambda line: line.startswith("K "))
    recorded(ring, SECOND, cuts, has_recorded_a_second)  # which mends what the first has left
    found = found_in(ring)
    cuts.judge(found, SECOND)
    tally = cuts.tally
    assert tally.is_good, tally
    assert (tally.files, tally.files_cut_short, tally.keeps_synced) == (1, 1, 1)
    assert tally.samples_synced > 2 * FAST_HZ

    # the same, had the card lost what it said it has
    for file in found["files"]:
        file["spans"] = {name: [first, first] for name, (first, _) in file["spans"].items()}
    cuts.judge({**found, "keeps": []}, SECOND)
    assert [words.split(": ")[0] for words in tally.lost] == [*[f"boot {FIRST}"] * 4, "kept"], tally.lost


@pytest.mark.parametrize("is_cut", [False, True])
def test_a_ring_that_pauses_is_told_unless_its_disk_is_gone(tmp_path: Path, is_cut: bool) -> None:
    image = tmp_path / "image"
    image.write_bytes(bytes(4096))
    cuts = RecordingCuts(tmp_path, seed=1)
    pauses = json.dumps({"boot": FIRST, "trouble": "Input/output error", "accel": 1, "load": 0})
    with ForgetfulDisk(image, tmp_path / "socket", random.Random(1)) as cuts.disk:
        if is_cut:
            cuts.disk.cut()
        cuts.hear(f"H {pauses}")
    assert cuts.tally.is_good == is_cut, cuts.tally
