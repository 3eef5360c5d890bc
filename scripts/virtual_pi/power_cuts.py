"""Power cuts of the virtual Pi: the agent as its service, a disk that forgets, and a broker that outlives it.

The broker and its subscriber run on the host, so that what they have is sure; a gate before them is shut most
of the time. What is held against the agent after each cut and at the end:

- the alarms that the agent's witness named (`Outbox.put` had returned): each arrives;
- the numbers of each boot: without a hole from 0 to the last that arrives;
- a second outbox beside it, whose durable records are all known (`witness probe`): none is lost, none twice;
- `cargobox outbox verify`, what the kernel says of its file system, and e2fsck(8) at the end.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from firmware_bridge.virtual import VirtualBox
from firmware_bridge.virtual.trip import Trip
from scripts import proof
from scripts.virtual_pi import cutting
from scripts.virtual_pi.cutting import PowerCutProof
from scripts.virtual_pi.gate import Gate
from scripts.virtual_pi.machine import VirtualPi
from scripts.virtual_pi.paths import PROJECT, VENV
from scripts.virtual_pi.serial_cable import SerialCable
from tests.live.watcher import Watcher
from tests.uplink.brokers import Mosquitto

OUTBOX, PROBE = "/var/lib/cargobox/outbox", "/var/lib/probe"
INSTALLED_S, SERVICE_UP_S, DRAINED_S = 600.0, 300.0, 300.0
SHORTEST_S, LONGEST_S = 3.0, 8.0
"""So long it runs before a cut, once it reads the box."""
PYTHON = f"cd {PROJECT} && exec {VENV}/bin/python -u -m scripts.virtual_pi.witness"
# a demo's trip has some alarms a minute; from a fifth of a g each jolt of the road is one
CONFIGURATION = """
[box]
id = "power-cuts"
[source.serial]
port = "/dev/ttyS1"
[broker]
host = "10.0.2.2"
port = {port}
[upload]
batch_s = 1
[health]
every_s = 5.0
[detect.shock]
peak_mps2 = 2.0
delta_v_mps = 0.01
noted_peak_mps2 = 1.9
noted_delta_v_mps = 0.005
settle_s = 0.05
"""
WITNESSED = f"""[Service]
Environment=PYTHONPATH={PROJECT}
ExecStart=
ExecStart={VENV}/bin/python -m scripts.virtual_pi.witness agent run \
--config /etc/cargobox/cargobox.toml --wait
"""
INSTALL = f"{VENV}/bin/cargobox service install && systemctl is-enabled cargobox.service && sync"


@dataclass
class Tally(cutting.Tally):
    """What was counted beside."""

    cuts_offline: int = 0
    alarms_known_durable: int = 0
    probe_records_known_durable: int = 0
    records_arrived: int = 0
    records_arrived_again: int = 0
    boots: int = 0
    torn_tails: int = 0
    """Found at an opening, and cut off."""
    sample_gaps: dict[str, int] = field(default_factory=dict)
    """Records that tell of samples which the sensor never gave, by their reason: a cable that loses bytes."""
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    holes: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)


@dataclass
class Truth:
    """What the witnesses have said."""

    alarms: set[tuple[str, int]] = field(default_factory=set)
    durable: set[int] = field(default_factory=set)
    may_be_gone: set[int] = field(default_factory=set)
    next_seq: int = 0
    on_found: Callable[[dict[str, Any]], None] = lambda _: None
    """Called with what the probe finds when it opens its outbox."""

    def hear(self, line: str) -> None:
        """Take one line of a witness."""
        kind, _, rest = line.partition(" ")
        if kind == "W":
            boot, seq = rest.split()
            self.alarms.add((boot, int(seq)))
        elif kind == "D":
            first, last = map(int, rest.split())
            self.durable.update(range(first, last + 1))
            self.next_seq = max(self.next_seq, last + 1)
        elif kind == "A":
            self.may_be_gone.update(map(int, rest.split()))
        elif kind == "F":
            self.on_found(json.loads(rest))


class PowerCuts(PowerCutProof[Tally]):
    """The whole proof."""

    NETWORK = True

    def __init__(
        self, folder: Path, *, seed: int, say: Callable[[str], None] = proof.tell, niceness: int = 0
    ) -> None:
        super().__init__(folder, Tally(), seed=seed, say=say, niceness=niceness)
        self.truth = Truth(on_found=self._judge_probe)
        self._opened = threading.Event()
        self._gate: Gate
        self._watcher: Watcher

    @contextlib.contextmanager
    def beside(self) -> Iterator[None]:
        """The broker, its subscriber, the gate and the box."""
        broker = Mosquitto(self.folder, "max_queued_messages 0")
        try:
            with (
                Gate(broker.port) as self._gate,
                Watcher(broker.port) as self._watcher,
                VirtualBox(Trip(seed=self.seed), self.folder / "box", self.folder / "board"),
            ):
                yield
        finally:
            broker.kill()

    def install(self, pi: VirtualPi) -> None:
        """Install the service as operators do."""
        pi.put(WITNESSED.encode(), "/etc/systemd/system/cargobox.service.d/witness.conf")
        pi.put(CONFIGURATION.format(port=self._gate.port).encode(), "/etc/cargobox/cargobox.toml")
        pi.check(INSTALL, timeout_s=INSTALLED_S)

    def hear(self, line: str) -> None:
        """Take one line of a witness."""
        self.truth.hear(line)

    @contextlib.contextmanager
    def _on(self, *, with_box: bool) -> Iterator[VirtualPi]:
        """Switch it on; the service begins by itself."""
        with self.booted() as pi, contextlib.ExitStack() as parts:
            if with_box:
                parts.enter_context(SerialCable(str(self.folder / "box"), pi.serial))
            self.listen_to(pi, f"{PYTHON} listen")
            end_s = time.monotonic() + SERVICE_UP_S
            shown = ""
            while "active" not in shown.split() or (with_box and "reading" not in shown):
                if time.monotonic() > end_s:
                    journal = pi.run("journalctl -u 'cargobox*' -o cat -n 40").output
                    self.tally.not_up.append(f"{self.after}: the service: {shown}\n{journal}")
                    break
                shown = pi.check("systemctl show --value -p ActiveState -p StatusText cargobox; sleep 0.5")
            yield pi

    @contextlib.contextmanager
    def until_cut(self) -> Iterator[VirtualPi]:
        """Look, let all write, online or not."""
        is_online = self._gate_by_chance()
        with self._on(with_box=True) as pi:
            self._look(pi)
            self._probe(pi)
            self.run_for(SHORTEST_S, LONGEST_S)
            if self.rng.random() < 0.5:
                is_online = not is_online
                self._set_gate(is_online)
                self.run_for(SHORTEST_S, LONGEST_S)
            yield pi
        self._gate.shut()
        self.tally.cuts_offline += not is_online

    def _gate_by_chance(self) -> bool:
        is_online = self.rng.random() < 0.5
        self._set_gate(is_online)
        return is_online

    def _set_gate(self, is_online: bool) -> None:
        (self._gate.open if is_online else self._gate.shut)()

    def progress(self) -> str:
        """Return what is known so far."""
        return (
            f"{len(self.truth.alarms)} alarms and {len(self.truth.durable)} records of the probe durable, "
            f"{len(self._watcher.messages)} arrived"
        )

    def _look(self, pi: VirtualPi) -> None:
        """After a cut: what the agent found, whether its files are sound, and what the probe's has lost."""
        after = self.after
        said = pi.run("journalctl -b -u cargobox -o cat | grep 'outbox ' ").output
        for line in said.splitlines():
            self.tally.torn_tails += "never completely written" in line or "being created" in line
            if "damage" in line or "cannot be" in line:
                self.tally.damaged.append(f"{after}: {line}")
        for folder in (OUTBOX, PROBE):
            if pi.run(f"test -d {folder}").status == 0:
                verdict = pi.run(f"{VENV}/bin/cargobox outbox verify --dir {folder}")
                if verdict.status:
                    self.tally.damaged.append(f"{after}: verify {folder}: {verdict.output}")
        self.look_at_kernel(pi)

    def _probe(self, pi: VirtualPi) -> None:
        """Let the probe open its outbox, and write; return when it has said what it found."""
        self._opened.clear()
        self.listen_to(pi, f"{PYTHON} probe {PROBE} {self.truth.next_seq}")
        if not self._opened.wait(SERVICE_UP_S):
            self.tally.not_up.append(f"{self.after}: the probe's outbox")

    def _judge_probe(self, found: dict[str, Any]) -> None:
        """Hold what the probe has found against all that was durable; it says that first."""
        seqs, truth, after = found["found"], self.truth, self.after
        if missing := truth.durable - truth.may_be_gone - set(seqs):
            self.tally.lost.append(f"{after}: the probe's {sorted(missing)}")
        if len(seqs) != len(set(seqs)):
            again = sorted(seq for seq, count in Counter(seqs).items() if count > 1)
            self.tally.twice.append(f"{after}: the probe's {again}")
        if found["damaged"]:
            self.tally.damaged.append(f"{after}: the probe's: {found['findings']}")
        self.tally.torn_tails += found["torn_bytes"] > 0
        self._opened.set()

    def last_boot(self) -> None:
        """Switch it on without a box, so that nothing new comes; let all out that waits, and judge."""
        watcher = self._watcher
        with self._on(with_box=False) as pi:
            self._look(pi)
            self._probe(pi)
            self._gate.open()
            end_s = time.monotonic() + DRAINED_S
            stats = f"{VENV}/bin/cargobox outbox stats --dir {OUTBOX} --json"
            while (waiting := json.loads(pi.check(stats))["waiting"]) and time.monotonic() < end_s:
                threading.Event().wait(1.0)
            if waiting:
                self.tally.lost.append(f"{waiting} records still wait {DRAINED_S:.0f} s after the last boot")
            with contextlib.suppress(AssertionError):  # what has not come is named by judge
                watcher.until(lambda: self.truth.alarms <= _arrived(watcher), "alarm that was witnessed")
            pi.power_off()
        reasons = Counter(
            str(message.body["reason"]) for message in watcher.of("gap") if "stream" in message.body
        )
        self.tally.sample_gaps = dict(sorted(reasons.items()))
        self.judge(_arrived(watcher), arrived_again=watcher.duplicates)

    def judge(self, arrived: set[tuple[str, int]], *, arrived_again: int) -> None:
        """Hold what has arrived, as (boot, seq), against what was durable."""
        tally = self.tally
        if missing := self.truth.alarms - arrived:
            tally.lost.append(f"alarms {sorted(missing)}")
        boots: dict[str, set[int]] = {}
        for boot, seq in arrived:
            boots.setdefault(boot, set()).add(seq)
        for boot, seqs in boots.items():
            if holes := set(range(max(seqs))) - seqs:
                tally.holes.append(f"boot {boot}: {sorted(holes)} of 0 to {max(seqs)}")
        tally.alarms_known_durable = len(self.truth.alarms)
        tally.probe_records_known_durable = len(self.truth.durable)
        tally.records_arrived, tally.records_arrived_again = len(arrived), arrived_again
        tally.boots = len(boots)


def _arrived(watcher: Watcher) -> set[tuple[str, int]]:
    messages = watcher.of("alarm", "event", "features", "gap", "snippet", "health")
    return {(str(message.body["boot"]), int(message.body["seq"])) for message in messages}
