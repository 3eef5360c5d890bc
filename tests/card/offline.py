"""Days without a network, time compressed: the real outbox on a real disk, then the real uplink to a broker.

Time is compressed by not waiting for it. All else is as in the agent: what a second brings is put at once,
what is not an alarm is committed with a sync of its own (here after each second that brought something, which
is what the commit window of half a second comes to), room is made, and gap records are put each ten minutes.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.outbox import Outbox
from agent.outbox.queue import TELL_S
from agent.outbox.wear import AMPLIFICATION, DAYS_A_YEAR
from agent.records import Kind, decode
from agent.uplink import BrokerConfig, Uplink
from tests.card.day import BOOT, BOX, FLEET, Hours, gap, told
from tests.card.listener import heard
from tests.card.riding import Account, account
from tests.live.broker import LastingBroker
from tests.live.processes import TOP, environment

DAY_S = 86_400
DEFAULT_MAX_BYTES = 512 << 20
DRAIN_PATIENCE_S = 3600.0
LISTEN_PATIENCE_S = 600.0
ENDURANCE_BYTES = 10e12


@dataclass
class Stay:
    """What so long a time without a network came to."""

    days: float
    max_bytes: int
    made: Counter[str] = field(default_factory=Counter)
    payload_bytes: int = 0
    after_days_bytes: dict[int, int] = field(default_factory=dict)
    """Size of the store after each day."""
    most_bytes: int = 0
    written_bytes: int = 0
    gaps_put: int = 0
    """Which take numbers, too."""
    thinned: int = 0
    dropped: int = 0
    waiting: int = 0
    filling_s: float = 0.0
    drain_s: float = 0.0
    """Until the broker had confirmed all of it."""
    heard_s: float = 0.0
    """Until whoever listens to it had it."""
    published_bytes: int = 0
    arrived: Counter[str] = field(default_factory=Counter)
    windows: Counter[str] = field(default_factory=Counter)
    """Feature records that arrived, by the seconds of their windows."""
    hours_of: dict[str, float] = field(default_factory=dict)
    """Hours of features that arrived, by the same."""
    alarms_lost: int = 0
    alarms_out_of_order: int = 0
    ahead_of_last_alarm: int = 0
    """Other records that came before the last alarm."""
    first_kinds: list[str] = field(default_factory=list)
    account: Account | None = None

    def lines(self) -> Iterator[str]:
        """Say it in lines."""
        wrong = self.wrong()
        bound = f"max_mib = {self.max_bytes / (1 << 20):g}"
        yield f"{self.days:g} days offline, {bound}: {'WRONG: ' + '; '.join(wrong) if wrong else 'good'}"
        sizes = ", ".join(f"day {day}: {size / 1e6:.1f} MB" for day, size in self.after_days_bytes.items())
        yield f"  store: {sizes}; at most {self.most_bytes / 1e6:.1f} MB of {self.max_bytes / 1e6:.1f}"
        total = sum(self.made.values())
        yield f"  made: {total} records, {self.payload_bytes / 1e6:.1f} MB of payload: {dict(self.made)}"
        a_day = self.written_bytes / self.days
        years = ENDURANCE_BYTES / (a_day * AMPLIFICATION * DAYS_A_YEAR)
        yield f"  written to the card: {a_day / 1e6:.0f} MB a day: a card of 10 TB lasts {years:.1f} years"
        hours = {f"{span} s": round(hours, 1) for span, hours in sorted(self.hours_of.items(), key=_number)}
        yield f"  thinned: {self.thinned} records; dropped: {self.dropped}; hours by window: {hours}"
        rate = self.waiting / self.drain_s if self.drain_s else 0.0
        yield (
            f"  drained: {self.waiting} records in {self.drain_s:.1f} s ({rate:.0f} a second, "
            f"{self.published_bytes / 1e6:.1f} MB), heard by a subscriber after {self.heard_s:.1f} s"
        )
        yield (
            f"  order: {self.arrived['alarm']} alarms of {self.made['alarm']}, {self.ahead_of_last_alarm} "
            f"other records before the last of them, {self.alarms_out_of_order} out of their order; "
            f"first came {self.first_kinds}"
        )
        if self.account is not None:
            yield f"  {self.account.line()}"

    def wrong(self) -> list[str]:
        """Return what is not as promised."""
        wrong = []
        if self.account is None or self.account.holes:
            wrong.append(f"holes: {self.account.holes[:10] if self.account else 'nothing came'}")
        if self.alarms_lost:
            wrong.append(f"{self.alarms_lost} alarms did not come")
        if self.alarms_out_of_order:
            wrong.append(f"{self.alarms_out_of_order} alarms out of order")
        if self.most_bytes > self.max_bytes + MOST_BEYOND_BYTES:
            wrong.append(f"the store grew to {self.most_bytes}")
        if self.dropped and self.account is not None and not self.account.told:
            wrong.append("what was dropped is not told of")
        return wrong


MOST_BEYOND_BYTES = 5 << 20  # agent.outbox.queue.HARD_SEGMENTS, and the one that is written to


def _number(item: tuple[str, float]) -> int:
    return int(item[0])


def stay(
    folder: Path,
    hours: Hours,
    days: float,
    max_bytes: int = DEFAULT_MAX_BYTES,
    segment_bytes: int = 1 << 20,
) -> Stay:
    """Be offline for so many days, then drain; return what came of it."""
    it = Stay(days, max_bytes)
    with Outbox(folder / "outbox", max_bytes=max_bytes, segment_bytes=segment_bytes) as outbox:
        began_s = time.monotonic()
        seqs = _fill(outbox, hours, it)
        it.filling_s = time.monotonic() - began_s
        stats = outbox.stats()
        it.waiting, it.thinned, it.dropped = stats.waiting, stats.thinned, stats.dropped
        it.written_bytes = stats.written_bytes
        _drain(folder, outbox, it)
    _judge(folder / "heard", it, seqs)
    return it


def _fill(outbox: Outbox, hours: Hours, it: Stay) -> int:
    seq = told_s = day = 0
    for second, records in told(hours, round(it.days * DAY_S), lambda: it.gaps_put):
        for record in records:
            it.made[record.kind] += 1
            it.payload_bytes += len(record.payload)
        outbox.put(records)
        seq = records[-1].seq + 1 if records else seq
        outbox.flush()
        if second - told_s >= TELL_S or second >= it.days * DAY_S:
            told_s = second
            if losses := outbox.take_dropped(everything=True):
                gaps = [gap(seq + i, second, loss.body()) for i, loss in enumerate(losses)]
                outbox.put_gaps(losses, gaps)
                it.made[Kind.GAP] += len(gaps)
                seq += len(gaps)
                it.gaps_put += len(gaps)
        size_bytes = outbox.stats().bytes if second % 60 == 0 or second // DAY_S > day else 0
        it.most_bytes = max(it.most_bytes, size_bytes)
        if second // DAY_S > day:
            day = second // DAY_S
            it.after_days_bytes[day] = size_bytes
    return seq


def _drain(folder: Path, outbox: Outbox, it: Stay) -> None:
    # a subscriber that is slower than we are must not lose what the broker has confirmed to us
    with LastingBroker(folder / "broker", "max_queued_messages 0") as broker:
        command = [sys.executable, "-m", "tests.card.listener", str(broker.port), str(folder / "heard")]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, cwd=TOP, env=environment()
        ) as listener:
            assert listener.stdout is not None
            assert listener.stdout.readline() == "ready\n"
            config = BrokerConfig(host="127.0.0.1", port=broker.port)
            uplink = Uplink(config, outbox, fleet=FLEET, box=BOX, boot=BOOT, software="proof")
            began_s = time.monotonic()
            uplink.start()
            pause = threading.Event()
            while outbox.waiting() and time.monotonic() - began_s < DRAIN_PATIENCE_S:
                pause.wait(0.02)
            it.drain_s = time.monotonic() - began_s
            it.published_bytes = uplink.stats().published_bytes
            uplink.stop(drain_s=10)  # its farewell is the last that comes
            listener.wait(LISTEN_PATIENCE_S)
            it.heard_s = time.monotonic() - began_s


def _judge(path: Path, it: Stay, made: int) -> None:
    alarms: list[int] = []
    others = 0
    seen: set[int] = set()
    twice = 0
    bodies: list[dict[str, Any]] = []
    for _, kind, payload in heard(path):
        if kind == "status":
            continue
        body = decode(payload)
        if body["seq"] in seen:
            twice += 1
            continue
        seen.add(body["seq"])
        it.arrived[kind] += 1
        if len(it.first_kinds) < SHOWN:
            it.first_kinds.append(kind)
        if kind == Kind.ALARM:
            alarms.append(body["seq"])
            it.ahead_of_last_alarm = others
        else:
            others += 1
        if "window_s" in body:
            span = str(body["window_s"])
            it.windows[span] += 1
            it.hours_of[span] = it.hours_of.get(span, 0.0) + body["n"] * body["window_s"] / 3600
        bodies.append({key: body[key] for key in ("boot", "seq", "seqs", "window_s", "of") if key in body})
    it.alarms_lost = it.made[Kind.ALARM] - len(alarms)
    it.alarms_out_of_order = sum(after < before for before, after in itertools.pairwise(alarms))
    it.account = account(bodies, BOOT, made, twice)


SHOWN = 3
