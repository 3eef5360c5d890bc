"""Samples are coded in a process of their own, and all the same where that cannot be had."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
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
