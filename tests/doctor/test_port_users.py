"""Which program has a port open: seen by its open files, and by its lock where those are hidden."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from firmware_bridge import port_users
from firmware_bridge.port_users import PortUser, users_of
from tests.bridge.cable import cable

HOLD = """
import os, sys, fcntl
fd = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)
if sys.argv[2] == "lock":
    fcntl.flock(fd, fcntl.LOCK_EX)
print("open", flush=True)
sys.stdin.read()
"""


@contextmanager
def holder(port: Path, *more: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLD, str(port), *(more or ("plain",))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.readline() == "open\n"
        yield process
        process.stdin.close()


def test_a_port_that_nobody_has_open(tmp_path: Path) -> None:
    with cable(tmp_path / "port"):
        assert users_of(str(tmp_path / "port")) == (), "the far end of a pty is the board, and no user"
    assert users_of(str(tmp_path / "port")) == ()


def test_a_program_that_has_it_open_is_named(tmp_path: Path) -> None:
    with cable(tmp_path / "port"):
        with holder(tmp_path / "port") as process:
            (user,) = users_of(str(tmp_path / "port"))
            assert user.pid == process.pid and Path(sys.executable).name in user.command
            assert str(user).endswith(f"(process {process.pid})")
            assert "\n" not in str(user) or len(str(user)) < 120
        assert users_of(str(tmp_path / "port")) == ()


def test_this_process_is_no_other_program(tmp_path: Path) -> None:
    with cable(tmp_path / "port"):
        fd = os.open(tmp_path / "port", os.O_RDWR | os.O_NOCTTY)
        assert users_of(str(tmp_path / "port")) == ()
        os.close(fd)


def test_a_program_of_another_user_is_seen_by_its_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(port_users, "_openers", lambda _: set())  # what a user without rights gets to see
    with cable(tmp_path / "port"), holder(tmp_path / "port", "lock") as process:
        assert [user.pid for user in users_of(str(tmp_path / "port"))] == [process.pid]


def test_waiting_for_a_lock_is_no_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port_users, "_openers", lambda _: set())
    with cable(tmp_path / "port"):
        fd = os.open(tmp_path / "port", os.O_RDWR | os.O_NOCTTY)
        fcntl.flock(fd, fcntl.LOCK_EX)
        assert users_of(str(tmp_path / "port")) == ()
        os.close(fd)


@pytest.mark.parametrize(
    "command, ours",
    [
        ("python3 /opt/cargobox/bin/cargobox run --config /etc/cargobox/cargobox.toml --wait", True),
        ("cargobox run --config c.toml", True),
        ("python -m agent.cli run --config c.toml", True),
        ("cargobox record --out trip.mcap", False),
        ("screen /dev/ttyACM0 115200", False),
        ("run", False),
    ],
)
def test_which_program_is_the_agent(command: str, ours: bool) -> None:
    assert PortUser(7, command).is_agent is ours


def test_a_long_command_is_cut() -> None:
    assert str(PortUser(7, "x" * 100)) == f"{'x' * 60}… (process 7)"
