"""The process that codes snippets is stopped, as one that hangs would be: alarms leave as ever."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from agent.records import Kind
from agent.timebase import wall_ns_of
from firmware_bridge.virtual import VirtualBox
from scripts.benches.alarms_troubled import coders_of
from tests.card.riding import TimedWatcher
from tests.card.trip import FallsAgain
from tests.live.broker import LastingBroker
from tests.live.processes import Running, command
from tests.live.setting import write_config

pytestmark = [pytest.mark.board, pytest.mark.broker, pytest.mark.slow]

MORE = """
[snippets]
major_before_s = 0.5
major_after_s = 0.5
critical_before_s = 0.5
critical_after_s = 0.5
[upload]
batch_s = 1
budget = 1.0
reserve = 0.0
encoding = "json"
"""
LATE_S = 2.0
"""Far less than the coder is waited for, and far more than an alarm takes on a busy machine."""
ON_THE_WAY = 5
"""Snippets that were coded when it was stopped, one of a stream."""
WHILE_STOPPED = 4
"""Alarms, one every five seconds: by then snippets would have come."""


def test_alarms_leave_while_the_coder_is_stopped_and_snippets_come_when_it_goes_on(tmp_path: Path) -> None:
    with (
        LastingBroker(tmp_path / "broker") as broker,
        TimedWatcher(broker.port) as watcher,
        VirtualBox(FallsAgain(), tmp_path / "port", tmp_path / "board") as box,
    ):
        config = write_config(tmp_path, port=box.port, broker_port=broker.port, more=MORE)
        with Running(command("run", "--config", config, "--json")) as agent:
            boot = agent.wait_line("reading .*; boot").rpartition(" ")[2]
            watcher.until_kind(Kind.SNIPPET)
            (coder,) = coders_of(agent.process.pid)
            os.kill(coder, signal.SIGSTOP)
            coded = len(watcher.of(Kind.SNIPPET))
            try:
                stopped_s = time.time()
                watcher.until(lambda: len(since(watcher, Kind.ALARM, stopped_s)) >= WHILE_STOPPED, "alarms")
                late_s = [late for _, late in since(watcher, Kind.ALARM, stopped_s)]
                assert max(late_s) < LATE_S, late_s
                before = len(watcher.of(Kind.SNIPPET))
                assert before - coded <= ON_THE_WAY, "somebody else codes them, in the agent's own time"
            finally:
                os.kill(coder, signal.SIGCONT)
            watcher.until_kind(Kind.SNIPPET, before + 1)
            assert coders_of(agent.process.pid) == [coder], "the same one, which was waited for"
            os.kill(coder, signal.SIGSTOP)
            assert agent.end(signal.SIGTERM) == 0, agent.err
            made = agent.document["records"]
            watcher.until_records(boot, sum(made.values()))
            assert len(watcher.of(Kind.SNIPPET)) == made[Kind.SNIPPET] > before, "all came that was taken"
            assert agent.document["withheld_snippets"] == 0, "the agent codes the last ones by itself"


def since(watcher: TimedWatcher, kind: Kind, begin_s: float) -> list[tuple[int, float]]:
    """Return the numbers of the records that were made since then, each with how late it came."""
    made = [(wall_ns_of(m.body["t"]) / 1e9, m.body) for m in watcher.of(kind)]
    return [
        (body["seq"], watcher.came_s[body["boot"], body["seq"]] - t_s) for t_s, body in made if t_s > begin_s
    ]
