"""What all proofs share: how they are asked, how they end, and that both ways to print give the same."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent.errors import UsageError
from scripts import proof
from tests.house.tree import TOP

PROOFS = sorted(path.name for path in (TOP / "scripts").glob("prove_*"))
FIGURES: dict[str, Any] = {
    "kills": 1200,
    "kinds": {"put: write": 3},
    "gaps": {},
    "is_online": True,
    "lost": ["alarm 7", "alarm 9"],
}


def done(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=TOP, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", PROOFS)
def test_each_proof_says_what_it_does_and_can_tell_it_in_json(name: str) -> None:
    told = done(f"scripts/{name}", "--help")
    assert told.returncode == 0, told.stderr
    first = (TOP / "scripts" / name).read_text().split('"""')[1].splitlines()[0]
    assert first in told.stdout and "--json" in told.stdout


def test_a_proof_gives_the_same_figures_in_words_and_in_json() -> None:
    words, document = done("scripts/prove_kills", "1"), done("scripts/prove_kills", "1", "--json")
    assert (words.returncode, document.returncode) == (0, 0), words.stderr + document.stderr
    names = [line.split(":")[0] for line in words.stdout.splitlines()]
    figures = json.loads(document.stdout)
    assert names[:-1] == [name.replace("_", " ") for name in figures][:-1]
    assert names[-1] == "not as promised" and figures["wrong"] == []


def test_figures_in_words() -> None:
    assert list(proof.in_words(FIGURES)) == [
        "kills: 1,200",
        "kinds:",
        "  put: write: 3",
        "gaps: none",
        "is online: yes",
        "lost: 2",
        "  alarm 7",
        "  alarm 9",
    ]


@dataclass
class Counted:
    kinds: Counter[str]
    spans: list[tuple[int, int]]


def test_what_a_proof_has_counted_is_what_json_says() -> None:
    told = proof.figures_of(Counted(Counter(alarm=3), [(1, 2)]))
    assert json.loads(json.dumps(told)) == {"kinds": {"alarm": 3}, "spans": [[1, 2]]}


def failing() -> proof.Proof:
    assert FIGURES["kills"] == 1, "one kill was meant"
    return proof.Proof({})


def not_to_be_tried() -> proof.Proof:
    raise UsageError("trying", got="nothing", expected="something", remedy="Give it.")


def test_the_end_says_what_came_of_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert proof.run(lambda: proof.Proof({"lost": 0}), as_json=True) == 0
        assert json.loads(capsys.readouterr().out)["wrong"] == []
        assert proof.run(lambda: proof.Proof({"lost": 1}, ["one is lost"]), as_json=False) == 1
        assert capsys.readouterr().out.endswith("not as promised: 1\n  one is lost\n")
        assert proof.run(failing, as_json=True) == 1
        assert json.loads(capsys.readouterr().out)["wrong"][0].startswith("one kill was meant")
        assert proof.run(not_to_be_tried, as_json=True) == 1
        said = capsys.readouterr()
        assert said.out == "" and "could not be tried" in said.err
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_broken_off_it_cleans_up_and_claims_nothing(number: int, status: int, tmp_path: Path) -> None:
    program = f"""
import sys, tempfile, threading
from scripts import proof

def prove():
    with tempfile.TemporaryDirectory(dir={str(tmp_path)!r}):
        print("begun", file=sys.stderr, flush=True)
        threading.Event().wait()

sys.exit(proof.run(prove, as_json=True))
"""
    words = [sys.executable, "-c", program]
    with subprocess.Popen(
        words, cwd=TOP, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None and process.stderr.readline() == "begun\n"
        process.send_signal(number)
        said, _ = process.communicate()
    assert (process.returncode, said, list(tmp_path.iterdir())) == (status, "", [])
