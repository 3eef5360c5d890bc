"""The kernel's word on its clock, and what is made of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent import kernel_clock, timebase
from agent.kernel_clock import STA_UNSYNC, TIME_ERROR, Timex, kernel_state


def test_what_the_kernel_says_here() -> None:
    state = kernel_state()
    assert state is not None, "adjtimex(2) answers anybody"
    assert 0 <= state[1] <= 2**40, state


def answer(result: int, status: int = 0) -> Callable[[Timex], int]:
    def ask(about: Timex) -> int:
        about.maxerror, about.status = 7, status
        return result

    return ask


@pytest.mark.parametrize(
    "result, status, state",
    [
        (0, 0x2001, (True, 7)),  # systemd-timesyncd: STA_PLL, STA_NANO
        (1, 0x2001, (True, 7)),  # a leap second is to come
        (TIME_ERROR, STA_UNSYNC, (False, 7)),
        (TIME_ERROR, 0, (False, 7)),
        (0, STA_UNSYNC, (False, 7)),
        (-1, 0, None),
    ],
)
def test_what_its_answers_mean(result: int, status: int, state: tuple[bool, int] | None) -> None:
    assert kernel_state(answer(result, status)) == state


def test_the_kernel_is_believed_before_a_file_of_timesyncd(monkeypatch: pytest.MonkeyPatch) -> None:
    for state in (True, False):
        monkeypatch.setattr(kernel_clock, "kernel_state", lambda state=state: (state, 7))
        assert timebase.kernel_clock_synced() is state


def test_where_it_may_not_be_asked_the_file_tells(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refused(_: Timex) -> int:
        raise OSError

    monkeypatch.setattr(kernel_clock, "kernel_state", lambda: kernel_state(refused))
    there = tmp_path / "synchronized"
    opened = open

    def instead(path: Any, *rest: Any) -> Any:
        assert path == "/run/systemd/timesync/synchronized"
        return opened(there, *rest)

    monkeypatch.setattr("builtins.open", instead)
    assert not timebase.kernel_clock_synced()
    there.touch()
    assert timebase.kernel_clock_synced()
