"""A real agent under a short fire; ``scripts/prove_orders`` has the long one."""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter
from pathlib import Path

import pytest

from agent.orders import Refusal
from tests.orders.fire import under_fire
from tests.orders.garbage import Garbage
from tests.orders.signing import KEY_ID, NOW_S, judge, mark, signed

JUDGED = 3000


@pytest.mark.broker
def test_nothing_is_done_and_nothing_breaks(tmp_path: Path) -> None:
    outcome = under_fire(tmp_path, 500, qos_1_part=0.06)
    outcome.check()
    judged = sum(count for reason, count in outcome.counts.items() if reason not in ("done", "dropped"))
    assert judged >= 15, outcome.counts
    assert judged + outcome.counts["dropped"] >= 400, outcome.counts
    assert any("more since" in line or "is not done" in line for line in outcome.lines), outcome.lines


def test_every_kind_of_it_is_refused_for_the_right_reason(tmp_path: Path) -> None:
    captured = signed(7)
    one = judge(tmp_path)
    one.judge("status", captured, retained=False, now=mark())
    garbage = Garbage(random.Random(3), captured, lambda: NOW_S)
    came: dict[str, Counter[str]] = {kind: Counter() for kind in garbage.kinds}
    for junk in itertools.islice(garbage, JUDGED):
        if junk.kind == "not of QoS 1":  # the desk's to drop
            continue
        with pytest.raises(Refusal) as refused:
            one.judge(junk.verb, junk.payload, retained=junk.retain, now=mark())
        came[junk.kind][refused.value.reason] += 1
    want = {
        "malformed": ("unsigned", "empty"),
        "unknown_key": ("wrong key",),
        "signature": ("out of context", "zero signature", "text changed", "name of the right key"),
        "address": ("wrong box", "wrong fleet"),
        "verb": ("another verb", "unknown verb"),
        "arguments": ("arguments",),
        "lifetime": ("good for ever", "backwards"),
        "expired": ("expired",),
        "replayed": ("replayed", "older"),
        "retained": ("retained",),
    }
    for reason, kinds in want.items():
        assert {kind: set(came[kind]) for kind in kinds} == {kind: {reason} for kind in kinds}, came
    assert json.loads((tmp_path / "orders.json").read_text())["counters"] == {KEY_ID: 7}
