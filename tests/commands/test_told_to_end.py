"""SIGTERM ends a verb as Ctrl-C does: what it had begun is taken back, and the status says so."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

# a real process and the real entry; only the work of the verb never ends
STUCK = """
import pathlib, sys, threading
from agent import cli
from agent.commands import recordings
part = pathlib.Path(sys.argv.pop())
def work(args):
    part.touch()
    try:
        print("begun", flush=True)
        threading.Event().wait()
    finally:
        part.unlink()
recordings.run = work
sys.exit(cli.main())
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_what_was_begun_is_taken_back(tmp_path: Path, number: signal.Signals) -> None:
    part = tmp_path / "out.mcap.part"
    process = subprocess.Popen(
        [sys.executable, "-c", STUCK, "recordings", "list", str(part)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None and process.stdout.readline() == "begun\n"
    assert part.exists()
    process.send_signal(number)
    _, said = process.communicate(timeout=20)
    assert (process.returncode, said) == (130, "stopped\n")
    assert not part.exists()
