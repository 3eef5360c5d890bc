"""`cargobox calibrate` as a process: in a pipe, and with keys on a real terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from calibration.journal import Journal
from calibration.session import SUFFIX, read_session
from tests.commands.refusal import refused
from tests.live.processes import PATIENCE_S, Running, command, environment


@pytest.mark.board
def test_in_a_pipe_it_is_plain_lines_and_goes_on_after_ctrl_c(tmp_path: Path) -> None:
    line = ["calibrate", "accel", "--virtual", "--seed", "4", "--yes", "--json"]
    with Running(command(*line), cwd=tmp_path) as process:
        process.wait_line("Pose 1 is taken")
        assert process.end(signal.SIGINT) == 130, process.err
    assert process.document["verdict"] == "stopped"
    assert "\x1b" not in process.err, "no colours"
    assert "go on with: cargobox calibrate accel --virtual --seed 4 --resume" in process.err
    (session,) = (tmp_path / "certificates").glob(f"*{SUFFIX}")
    assert len(read_session(session).steps) >= 1
    with Running(command(*line), cwd=tmp_path) as process:
        process.wait_line("going on with")
        process.wait_line("nearly pose 1 again|is taken and kept")
        assert process.end(signal.SIGTERM) == 130, process.err
    assert "Traceback" not in process.err
    told = refused(*line, "--resume", session, "--seed", "5", status=2, cwd=tmp_path)
    assert "--new" in told.remedy


class Terminal:
    """A real pty of 100 × 35 with the command in it."""

    def __init__(self, *arguments: object, cwd: Path) -> None:
        self._near, self.far = pty.openpty()
        termios.tcsetwinsize(self.far, (35, 100))
        self.before = termios.tcgetattr(self.far)
        self.process = subprocess.Popen(
            command(*arguments),
            stdin=self.far,
            stdout=subprocess.PIPE,
            stderr=self.far,
            cwd=cwd,
            env=environment(TERM="xterm-256color", LANG="C.UTF-8", PYTHONUTF8="1", COLUMNS="100", LINES="35"),
            start_new_session=True,
        )
        self.said = ""

    def press(self, keys: str) -> None:
        os.write(self._near, keys.encode())

    def wait_for(self, pattern: str) -> None:
        """Wait until the screen has shown it since the last time."""
        end_s = time.monotonic() + PATIENCE_S
        while not (found := re.search(pattern, self.said)):
            readable, _, _ = select.select([self._near], [], [], max(0.0, end_s - time.monotonic()))
            assert readable, f"never showed {pattern!r}: {self.said[-1500:]!r}"
            self.said += os.read(self._near, 65536).decode(errors="replace")
        self.said = self.said[found.end() :]

    def end(self) -> int:
        status = self.process.wait(PATIENCE_S)
        while select.select([self._near], [], [], 0)[0]:
            self.said += os.read(self._near, 65536).decode(errors="replace")
        return status

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        os.close(self._near)
        os.close(self.far)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    shown = Terminal("calibrate", "accel", "--virtual", "--seed", "4", cwd=tmp_path)
    yield shown
    shown.close()


@pytest.mark.board
def test_on_a_terminal_keys_work_and_all_is_put_back(terminal: Terminal, tmp_path: Path) -> None:
    terminal.wait_for(r"\x1b\[\?1049h")
    terminal.wait_for("as it lies now")
    terminal.wait_for("Pose 1 is taken")
    terminal.press("u")
    terminal.wait_for("Pose 1 is taken back")
    terminal.press("q")
    assert terminal.end() == 1, terminal.said
    assert "\x1b[?25h\x1b[?1049l" in terminal.said, "cursor and screen are put back"
    assert termios.tcgetattr(terminal.far) == terminal.before, "and how keys come"
    assert "nothing was taken" in terminal.said
    (session,) = (tmp_path / "certificates").glob(f"*{SUFFIX}")
    with Journal.resume(session) as journal:
        assert not journal.steps, "taken back; the file still has it"
    assert json.loads(session.read_bytes().splitlines()[-1]) == {"line": "undo", "number": 1}
