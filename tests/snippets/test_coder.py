"""Samples are coded in a process of their own, and all the same where that cannot be had."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from agent import snippet_coder
from agent.snippet_coder import SnippetCoder
from agent.snippets.coding import RAW, SAMPLES, Values, coded, decoded

RNG = np.random.default_rng(7)
SHAPES: dict[str, Values] = {
    "int16": np.cumsum(RNG.integers(-9, 9, (600, 3)), axis=0).astype(np.int16),
    "int32": RNG.integers(-(1 << 23), 1 << 23, (40, 4)).astype(np.int32),
    "float32": RNG.normal(0, 1, (40, 1)).astype(np.float32),
    "float64": np.array([[np.nan], [0.0], [-0.0], [np.inf]]),
}


@pytest.fixture
def coder() -> Iterator[SnippetCoder]:
    made, stop = SnippetCoder(), threading.Event()
    thread = threading.Thread(target=made.run, args=(stop,))
    thread.start()
    yield made
    stop.set()
    thread.join()


def test_what_the_process_codes_is_what_would_be_coded_here(
    coder: SnippetCoder, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a replay, which codes by itself, gives the same bytes."""
    monkeypatch.setattr(snippet_coder, "coded", lambda _: pytest.fail("coded here"))
    pieces = {name: coder(values) for name, values in SHAPES.items()}
    for name, values in SHAPES.items():
        until = threading.Event()
        while not pieces[name].ready():
            until.wait(0.01)
        told = pieces[name].result()
        assert told == coded(values), name
        again = decoded(told.codec, told.data, name, values.shape[1])
        assert again.tobytes() == values.tobytes()
    assert pieces["int16"].result().codec == SAMPLES and not caplog.records


@pytest.mark.parametrize(
    "instead",
    [["/nowhere/python"], [sys.executable, "-c", "pass"], [sys.executable, "-c", "print('x' * 99)"]],
    ids=["none", "ends at once", "says something else"],
)
def test_without_it_the_agent_codes_by_itself(
    instead: list[str],
    coder: SnippetCoder,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        snippet_coder,
        "_start",
        lambda: subprocess.Popen(instead, stdin=subprocess.PIPE, stdout=subprocess.PIPE),
    )
    monkeypatch.setattr(snippet_coder, "PATIENCE_S", 5.0)
    caplog.set_level(logging.WARNING)
    values = SHAPES["int16"]
    pieces = [coder(values), coder(values)]
    until = threading.Event()
    while not pieces[1].ready():
        until.wait(0.01)
    assert [piece.result() for piece in pieces] == [coded(values)] * 2
    said = [record.message for record in caplog.records]
    assert len(said) == 1 and "coded in the agent itself" in said[0], said


def test_who_cannot_wait_codes_it_without_the_thread() -> None:
    values = SHAPES["int16"]
    assert SnippetCoder()(values).result() == coded(values)


def test_noise_goes_as_it_is() -> None:
    values = RNG.integers(-(1 << 15), 1 << 15, (50, 3)).astype(np.int16)
    told = coded(values)
    assert (told.codec, told.failed) in ((RAW, False), (SAMPLES, False)) and len(told.data) <= 300


def run(coder: SnippetCoder, values: Values) -> None:
    """Have a piece coded, and see that it was coded rightly."""
    piece, until = coder(values), threading.Event()
    while not piece.ready():
        until.wait(0.01)
    assert piece.result() == coded(values)


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """The processes that were begun."""
    found: list[subprocess.Popen[bytes]] = []
    start = snippet_coder._start

    def starting() -> subprocess.Popen[bytes]:
        found.append(start())
        return found[-1]

    monkeypatch.setattr(snippet_coder, "_start", starting)
    return found


Begun = list[subprocess.Popen[bytes]]


def test_one_that_is_killed_is_begun_again_and_told(
    begun: Begun, coder: SnippetCoder, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent that codes by itself for ever after would hold its alarms up for ever after."""
    caplog.set_level(logging.WARNING)
    run(coder, SHAPES["int16"])
    with monkeypatch.context() as patch:
        patch.setattr(snippet_coder, "coded", lambda _: pytest.fail("coded here"))
        for number in (1, 2, 3):
            begun[-1].kill()
            begun[-1].wait()
            run(coder, SHAPES["int32"])
            assert len(begun) == number + 1
    assert [record.message.split(":")[1] for record in caplog.records] == [
        " the process that codes them failed, and is begun again"
    ] * 3


def test_one_that_stands_still_is_given_up_and_another_goes_on(
    begun: Begun, coder: SnippetCoder, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(coder, SHAPES["int16"])
    monkeypatch.setattr(snippet_coder, "PATIENCE_S", 1.0)
    os.kill(begun[0].pid, signal.SIGSTOP)
    run(coder, SHAPES["float32"])
    assert len(begun) == 2 and begun[0].returncode == -signal.SIGKILL
    assert "begun again: no answer within" in caplog.text


def test_the_end_does_not_wait_for_one_that_stands_still(
    begun: Begun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snippet_coder, "ENDING_S", 0.2)
    coder, stop = SnippetCoder(), threading.Event()
    thread = threading.Thread(target=coder.run, args=(stop,))
    thread.start()
    run(coder, SHAPES["int16"])
    os.kill(begun[0].pid, signal.SIGSTOP)
    last = coder(SHAPES["int32"])
    stop.set()
    began_s = time.monotonic()
    assert last.result() == coded(SHAPES["int32"])  # as the pipeline does at its end, on its own thread
    thread.join()
    assert time.monotonic() - began_s < 30, "PATIENCE_S is 60 s"
    assert begun[0].wait() == -signal.SIGKILL


def test_what_cannot_be_had_is_tried_again_after_a_while(
    coder: SnippetCoder, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []
    start = snippet_coder._start

    def starting() -> subprocess.Popen[bytes]:
        tries.append(1)
        if len(tries) < 3:
            raise OSError("no room for it")
        return start()

    monkeypatch.setattr(snippet_coder, "_start", starting)
    monkeypatch.setattr(snippet_coder, "AGAIN_MIN_S", 0.0)
    monkeypatch.setattr(snippet_coder, "AGAIN_MAX_S", 0.0)
    caplog.set_level(logging.INFO)
    run(coder, SHAPES["int16"])
    assert len(tries) == 3
