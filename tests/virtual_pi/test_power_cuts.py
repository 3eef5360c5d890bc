"""The short form of scripts/prove_power_cuts: its probe is killed instead of a machine; a loss is found."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from agent.outbox import Outbox
from scripts.virtual_pi.cutting import Lines
from scripts.virtual_pi.gate import HOST, Gate
from scripts.virtual_pi.paths import TOP
from scripts.virtual_pi.power_cuts import PowerCuts, Truth

KILLS = 2
LINES = 25


def probed(folder: Path, truth: Truth) -> None:
    """Let the probe write, hear so many of its lines, and kill it."""
    words = [sys.executable, "-m", "scripts.virtual_pi.witness", "probe", str(folder), str(truth.next_seq)]
    with subprocess.Popen(words, cwd=TOP, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _, line in zip(range(LINES), process.stdout, strict=False):
            truth.hear(line.rstrip("\n"))
        process.kill()
        lines = Lines(truth.hear)
        lines.feed(process.stdout.read().encode())


def test_what_the_probe_called_durable_is_there_after_each_kill(tmp_path: Path) -> None:
    cuts = PowerCuts(tmp_path, seed=1, say=print)
    for _ in range(KILLS):
        probed(tmp_path / "outbox", cuts.truth)
    truth = cuts.truth
    assert len(truth.durable) > 3 * KILLS * LINES / 2, f"{len(truth.durable)} records"
    assert truth.may_be_gone, "nothing was ever acknowledged"
    assert cuts.tally.is_good, cuts.tally
    with Outbox(tmp_path / "outbox") as outbox:  # somebody takes what nobody has allowed
        known = truth.durable - truth.may_be_gone
        lost = next(waiting for waiting in outbox.take(1000, timeout_s=0) if waiting.seq in known)
        outbox.acknowledge([lost.doc_id])
    probed(tmp_path / "outbox", truth)
    assert [str(lost.seq) in words for words in cuts.tally.lost] == [True], cuts.tally.lost


def test_a_boot_with_a_hole_and_an_alarm_that_never_came_are_told(tmp_path: Path) -> None:
    cuts = PowerCuts(tmp_path, seed=1, say=print)
    for line in ("W aa 3", "W bb 0"):
        cuts.truth.hear(line)
    cuts.judge({("aa", 0), ("aa", 1), ("aa", 3)}, arrived_again=2)
    tally = cuts.tally
    assert tally.lost == ["alarms [('bb', 0)]"]
    assert tally.holes == ["boot aa: [2] of 0 to 3"]
    assert (tally.boots, tally.records_arrived, tally.records_arrived_again, tally.is_good) == (
        1,
        3,
        2,
        False,
    )


def test_a_line_that_the_cut_has_torn_was_not_said() -> None:
    said: list[str] = []
    lines = Lines(said.append)
    for piece in (b"D 1", b" 9\nA 1 2\nD 10 1", b""):
        lines.feed(piece)
    assert said == ["D 1 9", "A 1 2"]


def test_the_gate_carries_breaks_and_refuses() -> None:
    with socket.create_server((HOST, 0)) as server, Gate(server.getsockname()[1]) as gate:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((HOST, gate.port))
        for _ in range(2):
            gate.open()
            near = socket.create_connection((HOST, gate.port))
            far, _ = server.accept()
            near.sendall(b"there")
            far.sendall(b"back")
            assert (far.recv(9), near.recv(9)) == (b"there", b"back")
            gate.shut()
            assert near.recv(9) == b"" == far.recv(9)
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((HOST, gate.port))
            near.close()
            far.close()
