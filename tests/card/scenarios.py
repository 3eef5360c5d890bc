"""What a card can do to the agent, one scenario a function; each returns what was counted.

In all of them the agent is the real one, in a process of its own; its samples come from the virtual box,
which falls every few seconds, and its records go to a real mosquitto, to which we listen.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from firmware_bridge.virtual import VirtualBox
from firmware_bridge.virtual.playback import Trip
from tests.card.cards import Card, Ext4
from tests.card.riding import Account, Phase, Ride, TimedWatcher, account
from tests.card.trip import FallsAgain
from tests.live.broker import LastingBroker
from tests.live.processes import cargobox
from tests.live.setting import write_config

REFUSAL_WORDS = ("No space left", "Read-only", "refuses to be written", "does not answer", "Input/output")
NOT_KEPT = re.compile(r"^.*outbox: (\d+) (?:more )?records were not kept", re.MULTILINE)
"""Said of the first at once, and of the rest ten minutes later or when the agent ends."""
MORE = """
[health]
every_s = 1
[upload]
batch_s = 1
budget = 1.0
reserve = 0.0
encoding = "json"
"""


@dataclass
class Told:
    """What a scenario came to."""

    name: str
    phases: list[Phase]
    accounts: list[Account]
    refusals_said: int
    """Lines of the log that speak of the card."""
    notes: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """Say it in lines."""
        yield f"{self.name}: {'WRONG: ' + '; '.join(self.wrong) if self.wrong else 'good'}"
        yield from (f"  {phase.line()}" for phase in self.phases)
        yield from (f"  {told.line()}" for told in self.accounts)
        yield f"  lines of the log that speak of the card: {self.refusals_said}"
        yield from (f"  {note}" for note in self.notes)


@dataclass
class Setting:
    """What all scenarios stand on."""

    folder: Path
    card: Card
    broker: LastingBroker
    watcher: TimedWatcher
    config: Path

    def ride(self, *options: object) -> Ride:
        """Start the agent."""
        return Ride(self.folder, self.config, self.watcher, *options)

    def stats(self) -> dict[str, Any]:
        """Return what waits on the card, as another process finds it."""
        done = cargobox("outbox", "stats", "--json", "--config", self.config)
        assert done.end() == 0, done.err
        return done.document

    def queue(self, boot: str) -> dict[str, Any]:
        """Return what the latest health record says of the outbox."""
        health = self.watcher.of("health", boot=boot)
        return dict(max(health, key=lambda m: m.body["seq"]).body["queue"]) if health else {}


@contextlib.contextmanager
def setting(
    folder: Path, card: Card, *, outbox: str = "", more: str = "", trip: Trip | None = None
) -> Iterator[Setting]:
    """A box, a broker, a card and a configuration that brings them together."""
    with (
        card,
        LastingBroker(folder / "broker") as broker,
        TimedWatcher(broker.port) as watcher,
        VirtualBox(trip or FallsAgain(), folder / "port", folder / "board") as box,
    ):
        config = write_config(folder, port=box.port, broker_port=broker.port, more=MORE + more)
        text = config.read_text().replace(
            'directory = "outbox"', f'directory = "{card.path}/outbox"\n{outbox}'
        )
        config.write_text(text)
        yield Setting(folder, card, broker, watcher, config)


def full(
    folder: Path,
    *,
    card: type[Card] = Ext4,
    seconds: float = 20.0,
    size_mib: int = 16,
    at_once: bool = False,
) -> Told:
    """Another file takes all the room while the agent writes, or before (`at_once`); later it goes."""
    with setting(folder, card(folder, size_mib)) as at:
        filled = at.card.fill() if at_once else 0
        with at.ride(*(() if at_once else ("--record", at.card.path / "trip.mcap"))) as ride:
            if not at_once:
                ride.phase("before", lambda p: p.alarms >= 1)
                filled = at.card.fill()
            refuses = lasting(seconds)
            during = ride.phase(
                "full", lambda p: refuses(p) and at.queue(ride.boot).get("card_refuses", False)
            )
            memory = at.queue(ride.boot)
            at.card.free()
            ride.phase("room again", lambda p: recovered(at, ride) and p.alarms >= 1)
            ride.end()
        told = told_of(f"a full {card.__name__.lower()}", at, [ride])
        told.notes.append(
            f"another file took {filled >> 10} KiB; meanwhile up to {memory['in_memory']} in memory"
        )
        check(told, during, refused=True)
        if not at_once:
            note_recording(told, ride)
        return told


def full_and_offline(folder: Path, *, card: type[Card] = Ext4, seconds: float = 15.0) -> Told:
    """A full card, and nobody to send to: memory runs over, and gap records tell what was not kept."""
    with setting(folder, card(folder, 16), outbox="memory_mib = 0.02") as at:
        with at.ride() as ride:
            ride.phase("before", lambda p: p.alarms >= 1)
            at.card.fill()
            at.broker.save()
            at.broker.kill()
            during = ride.phase("full and offline", run_over(ride, seconds))
            at.card.free()
            at.broker.start()
            ride.phase("both again", lambda p: recovered(at, ride) and p.alarms >= 1)
            ride.end()
        told = told_of("a full card, and offline", at, [ride])
        check(told, during, refused=True, offline=True)
        said = [int(count) for count in NOT_KEPT.findall(ride.agent.err)]
        if not 1 <= len(said) <= 2 or sum(said) != told.accounts[0].told:
            told.wrong.append(f"that records are not kept is said as {said}, of {told.accounts[0].told}")
        if not told.accounts[0].told:
            told.wrong.append("no gap record tells of what memory could not hold")
        health = [m.body["queue"] for m in at.watcher.of("health", boot=ride.boot)]
        counted, in_memory = (max(q[key] for q in health) for key in ("dropped", "in_memory"))
        told.notes.append(f"by the health records {counted} not kept, {in_memory} in memory at most")
        if counted != told.accounts[0].told:
            told.wrong.append(
                f"{told.accounts[0].told} are told of, but {counted} counted by the health record"
            )
        alarms_told = [m for m in at.watcher.of("gap") if m.body.get("kind") == "alarm"]
        told.notes.append(f"alarms not kept: {len(alarms_told)}")
        return told


def read_only(folder: Path, *, seconds: float = 20.0, size_mib: int = 16, error: bool = True) -> Told:
    """ext4 finds an error and takes no write any more; then the agent starts on a card that is read-only."""
    card = Ext4(folder, size_mib)
    rides, phases = [], []
    with setting(folder, card) as at:
        if error:
            with at.ride() as first:
                first.phase("before", lambda p: p.alarms >= 1)
                card.fail()
                phases.append(first.phase("read-only after an error", lasting(seconds)))
                first.end()
            rides.append(first)
        card.unmount()
        card.mend()
        card.mount()
        (card.path / "outbox").mkdir(exist_ok=True)
        card.unmount()
        card.mount("ro")
        with at.ride() as second:
            phases.append(second.phase("started read-only", lasting(seconds)))
            card.allow_writing()
            second.phase("writable again", lambda p: recovered(at, second) and p.alarms >= 1)
            second.end()
        rides.append(second)
        told = told_of("a read-only card", at, rides)
        for phase in phases:
            check(told, phase, refused=True)
        return told


def stuck(folder: Path, *, seconds: float = 20.0, size_mib: int = 16, record: bool = False) -> Told:
    """The card answers no write and no sync for so long, and then goes on as if nothing had been."""
    card = Ext4(folder, size_mib)
    with setting(folder, card) as at:
        with at.ride(*(("--record", card.path / "trip.mcap") if record else ())) as ride:
            ride.phase("before", lambda p: p.alarms >= 1)
            with card.stuck():
                during = ride.phase("stuck", lasting(seconds))
            ride.phase("going again", lambda p: recovered(at, ride) and p.alarms >= 1)
            ride.end()
        told = told_of(f"a card that is stuck{', and recorded to' if record else ''}", at, [ride])
        check(told, during, refused=True)
        if record:
            note_recording(told, ride, survives=True)
        return told


def orders(folder: Path, *, card: type[Card] = Ext4) -> Told:
    """A signed order that cannot be noted is refused, in words, and is done when there is room again."""
    key = folder / "key"
    made = cargobox("order", "--key", key, "make-key")
    assert made.end() == 0, made.err
    at_card = card(folder, 16)
    more = (
        f'[orders]\nallow = ["status"]\nkeys = ["{key}.pub"]\nstate_file = "{at_card.path}/state/orders.json"'
    )
    with setting(folder, at_card, more=more) as at:

        def order() -> tuple[int, str]:
            done = cargobox("order", "--key", key, "--config", at.config, "status")
            return done.end(), done.err + done.out

        with at.ride() as ride:
            ride.phase("before", lambda p: p.alarms >= 1)
            before = order()
            at.card.fill()
            refused = order()
            during = ride.phase("full", lasting(0))
            at.card.free()
            after = order()
            ride.phase("room again", lambda p: recovered(at, ride) and p.alarms >= 1)
            ride.end()
        told = told_of("an order on a full card", at, [ride])
        check(told, during, refused=False)
        told.notes.append(f"the order was answered: {refused[1].strip().splitlines()[-1]}")
        if (before[0], refused[0], after[0]) != (0, 1, 0) or "No space left" not in refused[1]:
            told.wrong.append(f"orders before, on the full card and after: {before}, {refused}, {after}")
        return told


def note_recording(told: Told, ride: Ride, *, survives: bool = False) -> None:
    """Note how often it was said that the recording has ended: once; never if it may survive."""
    said = [line for line in ride.agent.err.splitlines() if line.startswith("ERROR recording")]
    told.notes.append(f"said of the recording on the same card: {' | '.join(said)}")
    if len(said) > 1 or not (said or survives):
        told.wrong.append(f"the recording's end was said {len(said)} times")


def lasting(seconds: float) -> Callable[[Phase], bool]:
    """Until it has lasted so long and has seen an alarm."""
    return lambda phase: phase.end_s - phase.begin_s >= seconds and phase.left >= 1


def recovered(at: Setting, ride: Ride) -> bool:
    """Whether the card is said to be well again, in health records made after it was not."""
    refused = False
    for message in sorted(at.watcher.of("health", boot=ride.boot), key=lambda m: int(m.body["seq"])):
        queue = message.body["queue"]
        refused = queue["card_refuses"] or (refused and queue["in_memory"] > 0)
    return not refused


def run_over(ride: Ride, seconds: float) -> Callable[[Phase], bool]:
    """Until records have not been kept for so long."""
    since_s: list[float] = []

    def until(phase: Phase) -> bool:
        if not since_s and NOT_KEPT.search(ride.agent.err):
            since_s.append(phase.end_s)
        return bool(since_s) and phase.end_s - since_s[0] >= seconds

    return until


def told_of(name: str, at: Setting, rides: list[Ride]) -> Told:
    """Return what was counted, after all has arrived that was sent."""
    bodies = [m.body for m in list(at.watcher.messages) if m.kind != "status"]
    accounts, phases, said = [], [], 0
    for ride in rides:
        ride.settle()
        accounts.append(account(bodies, ride.boot, ride.made(), at.watcher.duplicates))
        phases += ride.phases
        lines = [line for line in ride.agent.err.splitlines() if any(w in line for w in REFUSAL_WORDS)]
        said += len(lines)
    told = Told(name, phases, accounts, said)
    for of in accounts:
        if of.holes:
            told.wrong.append(f"{len(of.holes)} records are nowhere: {of.holes[:10]}")
    for ride in rides:
        if waiting := ride.document["waiting"]:
            told.wrong.append(f"{waiting} still wait at the end")
    return told


MOST_LATE_MS = 15_000.0
"""Less than a card is stuck for; on a quiet machine it is two seconds once, and else milliseconds."""
MOST_GROWN_MIB = 24.0


def check(told: Told, during: Phase, *, refused: bool, offline: bool = False) -> None:
    """Note what is not as promised."""
    before = told.phases[0]
    if not during.alarms or (not during.left and not offline):
        told.wrong.append(f"{during.name}: of {during.alarms} alarms {during.left} left")
    if during.slowest_ms > MOST_LATE_MS and not offline:
        told.wrong.append(f"{during.name}: an alarm took {during.slowest_ms:.0f} ms")
    if during.silence_s > 10:
        told.wrong.append(f"{during.name}: the watchdog was not fed for {during.silence_s:.0f} s")
    if during.memory_mib > before.memory_mib + MOST_GROWN_MIB:
        told.wrong.append(f"{during.name}: memory grew to {during.memory_mib:.0f} MiB")
    if refused and not told.refusals_said:
        told.wrong.append("the log says nothing of the card")
    if told.refusals_said > MOST_SAID:
        told.wrong.append(f"the log says it {told.refusals_said} times")


MOST_SAID = 8
