"""Short forms of `scripts/prove_card`: a few seconds of each, all at once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.card.cards import CannotMount, Tmpfs, done
from tests.card.scenarios import Told, full, read_only, stuck
from tests.card.slow import slow
from tests.live.processes import TOP, environment

pytestmark = [pytest.mark.board, pytest.mark.broker, pytest.mark.slow]

MOUNTED = os.geteuid() == 0 and bool(shutil.which("mkfs.ext4") and shutil.which("fsfreeze"))
PROOFS = {
    "full": lambda folder: full(folder, card=Tmpfs, seconds=0.5, at_once=True),
    "read-only": lambda folder: read_only(folder, seconds=0.5, error=False),
    "stuck": lambda folder: stuck(folder, seconds=3.0),
    # how late they are is for scripts/prove_card, which has the machine to itself
    "slow": lambda folder: slow(folder, seconds=3.0, beside_ms=20_000.0),
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Told]]]:
    """Begin all of them."""
    if not MOUNTED:
        pytest.skip("nobody but root may mount a card, and mkfs.ext4 and fsfreeze are needed")
    try:
        folder = tmp_path_factory.mktemp("mount")
        done("mount", "-t", "tmpfs", "card", folder)
        done("umount", folder)
    except CannotMount as why:
        pytest.skip(str(why))
    with ThreadPoolExecutor() as pool:
        yield {name: pool.submit(run, tmp_path_factory.mktemp(name)) for name, run in PROOFS.items()}


@pytest.mark.parametrize("name", PROOFS)
def test_alarms_leave_and_nothing_is_lost(name: str, running: dict[str, Future[Told]]) -> None:
    try:
        told = running[name].result()
    except CannotMount as why:
        pytest.skip(str(why))
    words = "\n".join(told.lines())
    assert not told.wrong, words
    assert all(account.made and not account.holes for account in told.accounts), words


@pytest.mark.skipif(MOUNTED, reason="root has tried more")
def test_a_full_card_in_a_namespace(tmp_path: Path) -> None:
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-rm", "true"], check=False).returncode:
        pytest.skip("no user namespaces here")
    program = [unshare, "-rm", sys.executable, str(TOP / "scripts/prove_card")]
    ran = subprocess.run(
        [*program, "--only", "full-tmpfs", "--seconds", "1"],
        capture_output=True, text=True, check=False, env=environment(CARGOBOX_IN_NAMESPACE="1"),
    )  # fmt: skip
    if "left out" in ran.stderr:
        pytest.skip(ran.stderr)
    assert ran.returncode == 0, ran.stdout + ran.stderr
